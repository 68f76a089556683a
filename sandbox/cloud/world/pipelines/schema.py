"""Pipelines, builds, policies and switches in the world file, as pydantic models with defaults."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.cloud.models import CamelModel

__all__ = [
    "AdvancedSecuritySpec",
    "BranchPolicySpec",
    "BuildSpec",
    "GeneratePipelinesSpec",
    "PipelineSpec",
    "TaskGroupSpec",
    "TaskSpec",
]

BuildResult = Literal["succeeded", "partiallySucceeded", "failed", "canceled"]
StepResult = Literal["succeeded", "succeededWithIssues", "failed", "canceled", "skipped", "abandoned"]


class AdvancedSecuritySpec(CamelModel):
    """Switches of GitHub Advanced Security; `codeQl` is the default setup."""

    code_security: bool = False
    code_ql: bool = False
    dependency_scanning_injection: bool = False
    secret_protection: bool = False
    block_pushes: bool = False


class TaskSpec(CamelModel):
    """A step of a designer pipeline or of a task group; `task` as in YAML, such as `MicrosoftSecurityDevOps@1`."""

    task: str
    display_name: str | None = None
    inputs: dict[str, str] = Field(default_factory=dict)
    enabled: bool = True


class BuildSpec(CamelModel):
    """A build, which runs what its pipeline has at the time it is added.

    Attributes:
        age: seconds of inner time since it finished.
        branch: full name, `refs/pull/7/merge` for a pull request; the default branch if absent.
        steps: result of a step by its display name or its task's name; others succeed.
        result: in place of the one that follows from the steps.
        artifacts: names in place of those that the steps publish.
        retained: whether a lease keeps logs and artifacts beyond the retention.
        yaml: expanded YAML in place of the pipeline's.
    """

    age: float = Field(default=0.0, ge=0)
    branch: str | None = None
    reason: str | None = None
    status: Literal["completed", "inProgress", "notStarted", "cancelling", "postponed"] = "completed"
    result: BuildResult | None = None
    steps: dict[str, StepResult] = Field(default_factory=dict)
    artifacts: list[str] | None = None
    retained: bool = False
    yaml: str | None = None


class PipelineSpec(CamelModel):
    """A pipeline.

    Attributes:
        repository: that of its YAML file: a name, or `project/name`; `owner/name` for GitHub; ignored for TFVC.
        repository_type: the default is `TfsGit`, or `TfsVersionControl` in a project with TFVC.
        yaml: path of its file; null makes a designer pipeline, which runs `tasks`.
        view_denied: accounts that are denied "View builds" of it.
        expanded_yaml: in place of the expansion of its file.
        validation_error: message of the error with which a preview fails.
    """

    name: str
    repository: str = ""
    repository_type: Literal["TfsGit", "TfsVersionControl", "GitHub"] | None = None
    yaml: str | None = "azure-pipelines.yml"
    tasks: list[str | TaskSpec] = Field(default_factory=list)
    folder: str = "\\"
    queue_status: Literal["enabled", "paused", "disabled"] = "enabled"
    view_denied: list[str] = Field(default_factory=list)
    expanded_yaml: str | None = None
    validation_error: str | None = None
    builds: list[BuildSpec] = Field(default_factory=list)


class BranchPolicySpec(CamelModel):
    """A branch policy: build validation by a pipeline (name), or `type: reviewers` without one.

    Attributes:
        repository: a name; null applies to all repositories of the project.
        branch: full name, or its beginning for `Prefix`; not used by `DefaultBranch`.
    """

    type: Literal["build", "reviewers"] = "build"
    pipeline: str | None = None
    repository: str | None = None
    branch: str = "refs/heads/main"
    match_kind: Literal["Exact", "Prefix", "DefaultBranch"] = "Exact"
    enabled: bool = True
    blocking: bool = True
    manual_queue_only: bool = False
    display_name: str | None = None


class TaskGroupSpec(CamelModel):
    """A task group of designer pipelines."""

    name: str
    tasks: list[str | TaskSpec] = Field(default_factory=list)


class GeneratePipelinesSpec(CamelModel):
    """Pipelines of generated repositories, with builds that go on; see `scenarios.Scenario`.

    Attributes:
        builds_per_day: new builds a day of inner time in each organization.
        seed: of the distribution of scenarios.
    """

    builds_per_day: float = Field(default=0.0, ge=0)
    seed: int = 7
