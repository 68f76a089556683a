"""What Azure DevOps shows about the pipelines of one organization: the evidence that a repository is scanned.

A reading is either a value or an `Unread` with the cause: what could not be read is never mistaken for "no".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

__all__ = [
    "ARTIFACT_NAME",
    "SECURITY_DEVOPS_TASK_ID",
    "BranchPolicy",
    "Build",
    "ExtensionState",
    "OrganizationEvidence",
    "Pipeline",
    "Repository",
    "RepositoryFeatures",
    "ScanTask",
    "StepResult",
    "Unread",
    "YamlReading",
]

SECURITY_DEVOPS_TASK_ID: Final = "8d616517-6390-454f-b369-6fd038d8fe96"
"""Id of the task MicrosoftSecurityDevOps. Container mapping runs the same task in every job, under other step names."""

ARTIFACT_NAME: Final = "CodeAnalysisLogs"
"""Name of the only build artifact whose SARIF files Defender for Cloud takes in, whatever tool wrote them."""


class Unread(StrEnum):
    """Why something was not read."""

    NOT_YET = "NotReadYet"
    """The check has not come to it."""

    NOT_INDEXED = "NotNamed"
    """A whole index of Code Search names no file of the repository, so the file was not read."""

    DENIED = "AccessDenied"
    """The signed-in account may not read it."""

    SCOPE = "ScopeMissing"
    """The sign-in lacks the OAuth scope."""

    GONE = "NotFound"
    """It does not exist (any more): logs and artifacts end with the retention of their build."""

    UNAVAILABLE = "ServiceUnavailable"
    """The service failed, or answered without the requested shape."""

    TOO_LARGE = "TooLarge"
    """It has more bytes, or more nodes, than are read."""

    NOT_YAML = "NotYaml"
    """The text is not the YAML of a pipeline."""

    REJECTED = "PreviewRejected"
    """Azure DevOps cannot expand the pipeline without a run: a parameter without a default, a missing resource."""


class ScanTask(StrEnum):
    """The tasks that scan, by what they are called in YAML."""

    SECURITY_DEVOPS = "MicrosoftSecurityDevOps"
    DEFENDER_CLI = "MicrosoftDefenderCLI"
    ADVANCED_SECURITY = "AdvancedSecurity"


class StepResult(StrEnum):
    """What the timeline of a build shows of the steps with the task MicrosoftSecurityDevOps."""

    RAN = "ran"
    FAILED = "failed"
    SKIPPED = "skipped"
    ABSENT = "absent"


class ExtensionState(StrEnum):
    """State of the extension Microsoft Security DevOps in an organization."""

    INSTALLED = "Installed"
    DISABLED = "Disabled"
    MISSING = "Missing"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Repository:
    """A Git repository in Azure Repos.

    Attributes:
        project: name of its project.
        default_branch: full name, such as refs/heads/main; None for an empty repository.
    """

    id: str
    name: str
    project_id: str
    project: str
    default_branch: str | None
    is_disabled: bool = False
    is_fork: bool = False


@dataclass(frozen=True, slots=True)
class YamlReading:
    """What the YAML of a pipeline says: a file, or the YAML with all templates expanded.

    Attributes:
        tasks: tasks that scan, in enabled steps.
        has_templates: whether it includes other files.
        checkouts: what it checks out besides its own repository: an alias, or `git://project/repository`.
        repositories: alias and name (`repository` or `project/repository`) of the Azure Repos that it declares.
    """

    tasks: frozenset[ScanTask] = frozenset()
    has_templates: bool = False
    checkouts: tuple[str, ...] = ()
    repositories: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Build:
    """A completed build of the default branch.

    Attributes:
        version: commit of the YAML; empty if the response has none.
        artifact: whether it published `CodeAnalysisLogs`.
        yaml: its YAML with all templates expanded.
        yaml_build_id: the build whose YAML that is: an earlier one, until the YAML of this one is read.
        yaml_read_at: when that was read.
        step: what its timeline shows.
        first_scan_at: end of the earliest build of the pipeline that is known to have scanned, before this one.
    """

    id: int
    finished_at: datetime
    version: str = ""
    artifact: bool | Unread = Unread.NOT_YET
    yaml: YamlReading | Unread = Unread.NOT_YET
    yaml_build_id: int = 0
    yaml_read_at: datetime | None = None
    step: StepResult | Unread = Unread.NOT_YET
    first_scan_at: datetime | None = None

    @property
    def scanned_since(self) -> datetime | None:
        """When the pipeline first scanned, as far as that is known."""
        has_scanned = self.artifact is True or self.step is StepResult.RAN
        return self.first_scan_at or (self.finished_at if has_scanned else None)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline (build definition).

    Attributes:
        repository_id: of its YAML file, which may build other repositories too; empty if that is not in Azure Repos.
        source_type: type of that repository: TfsGit, TfsVersionControl, GitHub, ….
        yaml_path: path of its file; empty for a designer pipeline.
        external_branch: full name of the default branch of a repository outside Azure Repos; empty for Azure Repos.
        is_enabled: whether it can run.
        latest_build_id: the latest completed build of any branch when `build` was determined; 0 for none.
        build: the last completed build of the default branch; None if there is none.
        designer_task: whether it has the task, for a designer pipeline.
        file: the YAML file on the default branch.
        file_read_at: when that was read.
        preview: the YAML that it would run; None if that is not requested.
        preview_read_at: when that was read.
        is_single_checkout: whether a whole index of Code Search shows that neither its file, nor any that it could
            include, checks out a repository.
    """

    id: int
    project_id: str
    name: str
    revision: int
    repository_id: str
    source_type: str
    yaml_path: str
    external_branch: str = ""
    is_enabled: bool = True
    latest_build_id: int = 0
    build: Build | Unread | None = Unread.NOT_YET
    designer_task: bool | Unread = Unread.NOT_YET
    file: YamlReading | Unread = Unread.NOT_YET
    file_read_at: datetime | None = None
    preview: YamlReading | Unread | None = None
    preview_read_at: datetime | None = None
    is_single_checkout: bool = False

    @property
    def is_designer(self) -> bool:
        """Whether it is a designer (classic) pipeline, which has no YAML."""
        return not self.yaml_path


@dataclass(frozen=True, slots=True)
class RepositoryFeatures:
    """Features of GitHub Advanced Security that scan a repository without a pipeline step."""

    code_scanning: bool = False
    dependency_scanning: bool = False
    secret_protection: bool = False

    @property
    def any(self) -> bool:
        """Whether at least one is enabled."""
        return self.code_scanning or self.dependency_scanning or self.secret_protection


@dataclass(frozen=True, slots=True)
class BranchPolicy:
    """An enabled build validation policy.

    Attributes:
        repository_id: empty for all repositories of the project.
        ref: full name of a branch, or the beginning of names for match_kind Prefix; empty for the default branch.
        match_kind: Exact, Prefix or DefaultBranch.
    """

    project_id: str
    pipeline_id: int
    repository_id: str
    ref: str
    match_kind: str

    def covers(self, repository: Repository) -> bool:
        """Whether it validates pull requests to the default branch of a repository."""
        if self.project_id != repository.project_id or repository.default_branch is None:
            return False
        if self.repository_id and self.repository_id != repository.id:
            return False
        match self.match_kind.lower():
            case "defaultbranch":
                return True
            case "prefix":
                return repository.default_branch.startswith(self.ref)
            case _:
                return self.ref == repository.default_branch


@dataclass(frozen=True, slots=True)
class OrganizationEvidence:
    """Everything that a check has read of one organization.

    Attributes:
        projects: names by id.
        repositories: all Git repositories.
        pipelines: all pipelines, of every kind.
        unread_projects: projects whose pipelines could not be listed, by id.
        features: of GitHub Advanced Security by id of the repository; a repository without an entry has none.
        policies: enabled build validation policies.
        unread_policies: projects whose policies were not read, by id.
        extension: state of the extension Microsoft Security DevOps.
        missing_scope: OAuth scope that the sign-in lacks, if that is why pipelines could not be read.
    """

    projects: Mapping[str, str] = field(default_factory=dict)
    repositories: tuple[Repository, ...] = ()
    pipelines: tuple[Pipeline, ...] = ()
    unread_projects: Mapping[str, Unread] = field(default_factory=dict)
    features: Mapping[str, RepositoryFeatures] | Unread = Unread.NOT_YET
    policies: tuple[BranchPolicy, ...] = ()
    unread_policies: Mapping[str, Unread] = field(default_factory=dict)
    extension: ExtensionState = ExtensionState.UNKNOWN
    missing_scope: str | None = None
