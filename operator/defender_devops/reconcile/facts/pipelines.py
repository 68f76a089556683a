"""Whether the repositories of an organization are scanned: the ladder of evidence, as functions of values.

The best evidence counts: a scan that ran, a pipeline with the task, something else that covers the repository. Only if
none of these exists and everything could be read, nothing scans the repository. The sources of the rules are in
docs/sandbox.md: what Azure DevOps documents, what was observed, and what is inferred.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from defender_devops.api.azure_types import AgentlessConfiguration, AutoDiscovery
from defender_devops.api.pipelines.evidence import (
    Build,
    OrganizationEvidence,
    Pipeline,
    Repository,
    ScanTask,
    StepResult,
    Unread,
    YamlReading,
)
from defender_devops.api.pipelines.states import PIPELINE_REASONS, PipelineReason, PipelineState

__all__ = [
    "MAX_BUILD_AGE",
    "PipelineVerdict",
    "RepositoryAssessment",
    "agentless_covers",
    "assess_pipeline",
    "assess_repositories",
    "checked_out_repositories",
    "pipelines_by_repository",
]

MAX_BUILD_AGE: Final = timedelta(days=90)
"""An older build is no evidence of scanning today: GitHub Advanced Security calls such scans stale."""

_AZURE_REPOS: Final = "tfsgit"
_TFVC: Final = "tfsversioncontrol"

_RANK: Final[Mapping[PipelineState, int]] = {
    state: rank
    for rank, state in enumerate(
        (
            PipelineState.RAN,
            PipelineState.CONFIGURED,
            PipelineState.COVERED_OTHERWISE,
            PipelineState.UNDECIDED,
            PipelineState.MISSING,
        )
    )
}
_REASON_RANK: Final[Mapping[PipelineReason, int]] = {reason: rank for rank, reason in enumerate(PipelineReason)}

_UNREAD_REASONS: Final[Mapping[Unread, PipelineReason]] = {
    Unread.NOT_YET: PipelineReason.NOT_READ_YET,
    Unread.NOT_INDEXED: PipelineReason.NEVER_BUILT,
    Unread.DENIED: PipelineReason.ACCESS_DENIED,
    Unread.SCOPE: PipelineReason.SCOPE_MISSING,
    Unread.GONE: PipelineReason.LOG_EXPIRED,
    Unread.UNAVAILABLE: PipelineReason.SERVICE_UNAVAILABLE,
    Unread.TOO_LARGE: PipelineReason.TOO_LARGE,
    Unread.NOT_YAML: PipelineReason.NOT_YAML,
    Unread.REJECTED: PipelineReason.PREVIEW_REJECTED,
}


@dataclass(frozen=True, slots=True)
class PipelineVerdict:
    """What one pipeline shows about its repository.

    Attributes:
        build_id: the build that shows it; None if no build does.
        file: path of the YAML file that shows it; empty if none does.
    """

    reason: PipelineReason
    pipeline: Pipeline | None = None
    build_id: int | None = None
    file: str = ""

    @property
    def state(self) -> PipelineState:
        """State that the reason belongs to."""
        return PIPELINE_REASONS[self.reason].state

    @property
    def order(self) -> tuple[int, int, int, int]:
        """Sort key: the best evidence first, then the newest, so that the order of pipelines does not matter."""
        pipeline_id = self.pipeline.id if self.pipeline else 0
        return _RANK[self.state], _REASON_RANK[self.reason], -(self.build_id or 0), -pipeline_id


@dataclass(frozen=True, slots=True)
class RepositoryAssessment:
    """State of one repository, with the evidence.

    Attributes:
        project: name of its project.
        repository: its name; `$/` for TFVC.
        pipeline: name of the pipeline that decides; None if none does.
        build_id: the build that decides; None if none does.
        file: path of the YAML file that decides; None if none does.
    """

    project: str
    repository: str
    state: PipelineState
    reason: PipelineReason
    pipeline: str | None = None
    pipeline_id: int | None = None
    build_id: int | None = None
    file: str | None = None

    @property
    def full_name(self) -> str:
        """`project/repository`."""
        return f"{self.project}/{self.repository}"


def assess_pipeline(pipeline: Pipeline, now: datetime) -> PipelineVerdict:
    """Return what a pipeline shows about the repository of its YAML file. Its state is never NOT_APPLICABLE."""
    build = pipeline.build
    recent = build if isinstance(build, Build) and now - build.finished_at <= MAX_BUILD_AGE else None
    if recent is not None and recent.artifact is True:
        return PipelineVerdict(PipelineReason.ARTIFACT_PUBLISHED, pipeline, recent.id)
    if recent is not None and recent.step is StepResult.RAN:
        return PipelineVerdict(PipelineReason.STEP_RAN, pipeline, recent.id)
    if pipeline.is_enabled:
        present = _configured(pipeline, recent) or _other_task(pipeline, recent)
        if present is not None:
            return present
    return _absent(pipeline, recent)


def _configured(pipeline: Pipeline, recent: Build | None) -> PipelineVerdict | None:
    """Return evidence that the pipeline has the task, if there is any."""
    if recent is not None and recent.step in {StepResult.SKIPPED, StepResult.FAILED}:
        return PipelineVerdict(PipelineReason.STEP_DID_NOT_RUN, pipeline, recent.id)
    if pipeline.designer_task is True:
        return PipelineVerdict(PipelineReason.DESIGNER_HAS_TASK, pipeline)
    if recent is not None and _has_task(recent.yaml, ScanTask.SECURITY_DEVOPS):
        return PipelineVerdict(PipelineReason.EXPANDED_YAML_HAS_TASK, pipeline, recent.yaml_build_id or recent.id)
    if _has_task(pipeline.preview, ScanTask.SECURITY_DEVOPS):
        return PipelineVerdict(PipelineReason.EXPANDED_YAML_HAS_TASK, pipeline)
    if _has_task(pipeline.file, ScanTask.SECURITY_DEVOPS):
        return PipelineVerdict(PipelineReason.FILE_HAS_TASK, pipeline, file=pipeline.yaml_path)
    return None


def _other_task(pipeline: Pipeline, recent: Build | None) -> PipelineVerdict | None:
    """Return evidence that the pipeline has another task that scans, if there is any."""
    readings = (recent.yaml if recent is not None else None, pipeline.preview, pipeline.file)
    for task, reason in (
        (ScanTask.ADVANCED_SECURITY, PipelineReason.ADVANCED_SECURITY_TASK),
        (ScanTask.DEFENDER_CLI, PipelineReason.DEFENDER_CLI_TASK),
    ):
        if any(_has_task(reading, task) for reading in readings):
            return PipelineVerdict(reason, pipeline)
    return None


def _absent(pipeline: Pipeline, recent: Build | None) -> PipelineVerdict:
    """Return why the pipeline does not scan, or what was not read to decide it."""
    unread = _first_unread(pipeline, recent)
    if unread is not None:
        return PipelineVerdict(_UNREAD_REASONS[unread], pipeline, recent.id if recent else None)
    if not pipeline.is_enabled:
        return PipelineVerdict(PipelineReason.NO_ENABLED_PIPELINE, pipeline)
    if recent is not None and not isinstance(_steps(pipeline, recent), Unread):
        return PipelineVerdict(PipelineReason.NO_TASK, pipeline, recent.id)
    return PipelineVerdict(_undecided_reason(pipeline, recent), pipeline)


def _first_unread(pipeline: Pipeline, recent: Build | None) -> Unread | None:
    """Return why the first reading of a decision is missing. Without a log, the file may still explain more."""
    if isinstance(pipeline.build, Unread):
        return pipeline.build
    if recent is not None and isinstance(recent.artifact, Unread):
        return recent.artifact
    if not pipeline.is_enabled:
        return None
    if pipeline.is_designer and isinstance(pipeline.designer_task, Unread):
        return pipeline.designer_task
    steps = _steps(pipeline, recent) if recent is not None else None
    return steps if isinstance(steps, Unread) and steps is not Unread.GONE else None


def _steps(pipeline: Pipeline, build: Build) -> YamlReading | StepResult | Unread:
    """Return what shows all steps of a build: the YAML, or the timeline of a designer pipeline with its task groups."""
    return build.step if pipeline.is_designer else build.yaml


def _undecided_reason(pipeline: Pipeline, recent: Build | None) -> PipelineReason:
    """Return why neither a build nor the file decides about an enabled pipeline."""
    if isinstance(pipeline.preview, Unread):
        return _UNREAD_REASONS[pipeline.preview]
    if isinstance(pipeline.file, YamlReading) and pipeline.file.has_templates:
        return PipelineReason.TEMPLATES
    unread_file = {Unread.NOT_YET, Unread.TOO_LARGE, Unread.NOT_YAML}
    if isinstance(pipeline.file, Unread) and pipeline.file in unread_file and not pipeline.is_designer:
        return _UNREAD_REASONS[pipeline.file]
    if recent is not None:
        return PipelineReason.LOG_EXPIRED
    return PipelineReason.NEVER_BUILT if pipeline.build is None else PipelineReason.BUILD_TOO_OLD


def _has_task(reading: YamlReading | Unread | None, task: ScanTask) -> bool:
    return isinstance(reading, YamlReading) and task in reading.tasks


def agentless_covers(configuration: AgentlessConfiguration, organization: str, repository: Repository) -> bool:
    """Whether agentless code scanning covers a repository.

    The scope holds names of organizations, projects and repositories; with automatic discovery Azure ignores it.
    """
    if not configuration.enabled:
        return False
    if configuration.auto_discovery == AutoDiscovery.ENABLED:
        return True
    names = {item.value.lower() for item in configuration.inventory}
    parts = (organization.lower(), repository.project.lower(), repository.name.lower())
    is_listed = any("/".join(parts[:length]) in names for length in (1, 2, 3))
    return is_listed == (configuration.inventory_list_type.lower() == "inclusion")


def pipelines_by_repository(evidence: OrganizationEvidence) -> Mapping[str, tuple[Pipeline, ...]]:
    """Return the pipelines by id of the repository that their YAML file, or the code of a designer pipeline, is in.

    Those outside Azure Repos, such as in GitHub, are below the empty id.
    """
    pipelines: defaultdict[str, list[Pipeline]] = defaultdict(list)
    for pipeline in evidence.pipelines:
        source = pipeline.source_type.lower()
        if source != _TFVC:
            pipelines[pipeline.repository_id if source == _AZURE_REPOS else ""].append(pipeline)
    return {repository: tuple(values) for repository, values in pipelines.items()}


@dataclass(slots=True)
class _OtherCheckouts:
    """What pipelines of other repositories check out, or may check out, while they scan.

    Attributes:
        repositories: by project and name of the repository in lower case.
        projects: pipelines of which it could not be determined what they check out, by id of the project.
    """

    repositories: dict[tuple[str, str], PipelineVerdict] = field(default_factory=dict)
    projects: dict[str, PipelineVerdict] = field(default_factory=dict)


def assess_repositories(
    evidence: OrganizationEvidence, agentless: AgentlessConfiguration | None, organization: str, now: datetime
) -> tuple[RepositoryAssessment, ...]:
    """Return the state of each repository, sorted by project and name.

    Args:
        evidence: what was read of the organization.
        agentless: configuration of agentless code scanning; None if it was not read.
        organization: name of the organization.
        now: the current time.
    """
    verdicts = {
        repository: tuple(assess_pipeline(pipeline, now) for pipeline in pipelines)
        for repository, pipelines in pipelines_by_repository(evidence).items()
    }
    others = _other_checkouts(evidence, verdicts)
    assessments = [
        _assess(repository, evidence, agentless, organization, (verdicts.get(repository.id, ()), others))
        for repository in evidence.repositories
    ]
    tfvc = {pipeline.project_id for pipeline in evidence.pipelines if pipeline.source_type.lower() == _TFVC}
    assessments += [
        RepositoryAssessment(evidence.projects[project], "$/", PipelineState.NOT_APPLICABLE, PipelineReason.TFVC)
        for project in tfvc & evidence.projects.keys()
    ]
    return tuple(
        sorted(assessments, key=lambda assessment: (assessment.project.lower(), assessment.repository.lower()))
    )


def _assess(
    repository: Repository,
    evidence: OrganizationEvidence,
    agentless: AgentlessConfiguration | None,
    organization: str,
    pipelines: tuple[tuple[PipelineVerdict, ...], _OtherCheckouts],
) -> RepositoryAssessment:
    """Return the state of one repository.

    Args:
        repository: the repository.
        evidence: of the organization.
        agentless: configuration of agentless code scanning; None if it was not read.
        organization: name of the organization.
        pipelines: verdicts of the repository's own pipelines, and the checkouts of all others.
    """
    own, others = pipelines
    reason = _not_applicable(repository)
    if reason is not None:
        return RepositoryAssessment(repository.project, repository.name, PipelineState.NOT_APPLICABLE, reason)
    verdicts = list(own)
    other = others.repositories.get((repository.project.lower(), repository.name.lower()))
    if other is None and not own:
        other = others.projects.get(repository.project_id)
    if other is not None:
        verdicts.append(other)
    if repository.project_id in evidence.unread_projects:
        verdicts.append(PipelineVerdict(_UNREAD_REASONS[evidence.unread_projects[repository.project_id]]))
    if not verdicts:
        verdicts.append(PipelineVerdict(PipelineReason.NO_PIPELINE))
    verdicts += _other_coverage(repository, evidence, agentless, organization)
    best = min(verdicts, key=lambda verdict: verdict.order)
    return RepositoryAssessment(
        repository.project,
        repository.name,
        best.state,
        best.reason,
        best.pipeline.name if best.pipeline else None,
        best.pipeline.id if best.pipeline else None,
        best.build_id,
        best.file or None,
    )


def _not_applicable(repository: Repository) -> PipelineReason | None:
    if repository.is_disabled:
        return PipelineReason.DISABLED
    if repository.default_branch is None:
        return PipelineReason.EMPTY
    return PipelineReason.FORK if repository.is_fork else None


def _other_coverage(
    repository: Repository, evidence: OrganizationEvidence, agentless: AgentlessConfiguration | None, organization: str
) -> Iterable[PipelineVerdict]:
    """Yield what covers the repository without a pipeline, or may cover it and was not read."""
    if agentless is None:
        yield PipelineVerdict(PipelineReason.AGENTLESS_UNREAD)
    elif agentless_covers(agentless, organization, repository):
        yield PipelineVerdict(PipelineReason.AGENTLESS_SCANNING)
    if isinstance(evidence.features, Unread):
        yield PipelineVerdict(PipelineReason.FEATURES_UNREAD)
    elif (features := evidence.features.get(repository.id)) is not None and features.any:
        yield PipelineVerdict(PipelineReason.ADVANCED_SECURITY)


def _other_checkouts(
    evidence: OrganizationEvidence, verdicts: Mapping[str, tuple[PipelineVerdict, ...]]
) -> _OtherCheckouts:
    """Return what pipelines that scan check out besides their own repository.

    Of the pipelines outside Azure Repos those count too that may scan: no other repository shows what they do.
    """
    checkouts = _OtherCheckouts()
    scanning = {PipelineState.RAN, PipelineState.CONFIGURED}
    relevant = [
        verdict
        for repository, repository_verdicts in verdicts.items()
        for verdict in repository_verdicts
        if verdict.state in scanning or (not repository and verdict.state is PipelineState.UNDECIDED)
    ]
    for verdict in sorted(relevant, key=lambda verdict: verdict.order):
        pipeline = verdict.pipeline
        if pipeline is None or pipeline.is_designer:  # a designer pipeline has one repository
            continue
        is_scan = verdict.state in scanning
        reason = PipelineReason.SCANNED_ELSEWHERE if is_scan else PipelineReason.EXTERNAL_YAML
        other = PipelineVerdict(reason, pipeline, verdict.build_id)
        names = checked_out_repositories(pipeline, evidence.projects.get(pipeline.project_id, ""))
        if names is None:
            checkouts.projects.setdefault(pipeline.project_id, other)
        for name in names or ():
            checkouts.repositories.setdefault(name, other)
    return checkouts


def checked_out_repositories(pipeline: Pipeline, project: str) -> tuple[tuple[str, str], ...] | None:
    """Return project and name, in lower case, of the other Azure Repos that a YAML pipeline checks out.

    None if that cannot be determined: no YAML was read, or an alias is not declared in what was read.
    """
    build = pipeline.build
    candidates = (build.yaml if isinstance(build, Build) else None, pipeline.preview, pipeline.file)
    readings = [reading for reading in candidates if isinstance(reading, YamlReading)]
    if not readings or (readings == [pipeline.file] and readings[0].has_templates):
        return () if pipeline.is_single_checkout else None
    declared = {alias.lower(): name for reading in readings for alias, name in reading.repositories}
    names: list[tuple[str, str]] = []
    for checkout in readings[0].checkouts:
        is_inline = checkout.lower().startswith("git://")
        name = checkout[len("git://") :].partition("@")[0] if is_inline else declared.get(checkout.lower())
        if name is None or "$" in name:
            return None
        if name:  # an alias of a repository outside Azure Repos has no name here
            first, _, second = name.partition("/")
            names.append((first.lower(), second.lower()) if second else (project.lower(), first.lower()))
    return tuple(names)
