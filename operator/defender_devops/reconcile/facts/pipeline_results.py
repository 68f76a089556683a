"""What the assessments of all repositories of an organization amount to, as part of a snapshot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import Final

from defender_devops.api.organization import Prerequisite, PrerequisiteCheck
from defender_devops.api.pipelines.evidence import BranchPolicy, Build, ExtensionState, OrganizationEvidence
from defender_devops.api.pipelines.results import RepositoryResults
from defender_devops.api.pipelines.states import PipelineState
from defender_devops.api.reasons import Reason
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.facts.pipelines import (
    RepositoryAssessment,
    assess_pipeline,
    pipelines_by_repository,
)

__all__ = [
    "EXAMPLES_MAX",
    "AnnotationsEvidence",
    "PipelinesObservation",
    "WithoutResults",
    "annotations_evidence",
    "count_states",
    "examples",
    "ran_without_results",
    "with_extension_prerequisite",
]

EXAMPLES_MAX: Final = 10

RESULTS_DELAY: Final = timedelta(hours=48)
"""Time after a scan until Defender for Cloud shows its results: it evaluates every 8 to 24 hours, and may miss one."""

_EVALUATED_RECENTLY: Final = (
    "Defender for Cloud has evaluated the organization for less than 48 hours, and may not have come to every "
    "repository yet."
)


@dataclass(frozen=True, slots=True)
class AnnotationsEvidence:
    """Which repositories fulfil the conditions of pull request annotations that Azure DevOps shows.

    Attributes:
        effective: repositories whose default branch has a build validation policy with a pipeline that has the task.
        without_task: repositories whose default branch has such a policy, but only with pipelines without the task.
        without_policy: names of repositories with the task, but without such a policy, at most `EXAMPLES_MAX`.
        without_policy_number: number of those.
        is_complete: whether all policies and pipelines could be read.
    """

    effective: int = 0
    without_task: int = 0
    without_policy: tuple[str, ...] = ()
    without_policy_number: int = 0
    is_complete: bool = False


@dataclass(frozen=True, slots=True)
class WithoutResults:
    """Repositories whose scans ran, and of which Defender for Cloud shows nothing.

    Attributes:
        number: None if it is not known.
        names: `project/repository`, sorted: all of them, or as many as a snapshot takes.
        problem: why the number is not known, as a sentence; empty while nothing was read.
    """

    number: int | None = None
    names: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PipelinesObservation:
    """What the pipeline checks show of one organization. It equals its predecessor while nothing has changed.

    Attributes:
        counts: number of repositories by state, every state included; None before the first complete check.
        examples: repositories that are missing or undecided, with the reason.
        changed_at: when counts or examples last changed; None before the first complete check.
        extension: state of the extension Microsoft Security DevOps.
        annotations: for `annotations_effective`; None before the first complete check.
        without_results: repositories whose scans ran without results in Defender for Cloud.
        failure: why the newest check could not be completed; everything else is of the last complete one.
        is_stored: whether what was read is in its Secret.
        storage_failure: why it is not.
    """

    counts: Mapping[PipelineState, int] | None = None
    examples: tuple[RepositoryAssessment, ...] = ()
    changed_at: datetime | None = None
    extension: ExtensionState = ExtensionState.UNKNOWN
    annotations: AnnotationsEvidence | None = None
    without_results: WithoutResults = field(default_factory=WithoutResults)
    failure: Failure | None = None
    is_stored: bool = False
    storage_failure: Failure | None = None


def count_states(assessments: Iterable[RepositoryAssessment]) -> Mapping[PipelineState, int]:
    """Return the number of repositories in each state, including zero."""
    counts = Counter(assessment.state for assessment in assessments)
    return {state: counts[state] for state in PipelineState}


def examples(assessments: Iterable[RepositoryAssessment], limit: int) -> tuple[RepositoryAssessment, ...]:
    """Return at most `limit` repositories that are missing, then as many that are undecided, in the given order."""
    listed = list(assessments)
    return tuple(
        assessment
        for state in (PipelineState.MISSING, PipelineState.UNDECIDED)
        for assessment in [assessment for assessment in listed if assessment.state is state][:limit]
    )


def with_extension_prerequisite(
    prerequisites: Mapping[str, tuple[Prerequisite, ...]], pipelines: Mapping[str, PipelinesObservation]
) -> Mapping[str, tuple[Prerequisite, ...]]:
    """Return the prerequisites of organizations with SecurityDevOpsExtension, where the extensions were read.

    Args:
        prerequisites: results of the other checks, by organization in lower case.
        pipelines: what the pipeline checks show, by organization in lower case.
    """
    added = {key: _extension_prerequisite(observation.extension) for key, observation in pipelines.items()}
    return {
        key: (*checks, prerequisite) if (prerequisite := added.get(key)) is not None else checks
        for key, checks in prerequisites.items()
    }


def _extension_prerequisite(extension: ExtensionState) -> Prerequisite | None:
    check = PrerequisiteCheck.SECURITY_DEVOPS_EXTENSION
    match extension:
        case ExtensionState.INSTALLED:
            return Prerequisite(check=check, status="True")
        case ExtensionState.MISSING:
            reason = Reason.SECURITY_DEVOPS_EXTENSION_MISSING
        case ExtensionState.DISABLED:
            reason = Reason.SECURITY_DEVOPS_EXTENSION_DISABLED
        case _:
            return None
    return Prerequisite(check=check, status="False", reason=reason, message=f"{reason.cause} {reason.cure}")


def annotations_evidence(evidence: OrganizationEvidence, now: datetime) -> AnnotationsEvidence:
    """Return which repositories fulfil the conditions of pull request annotations."""
    pipelines = pipelines_by_repository(evidence)
    with_task, undecided = set[tuple[str, int]](), set[tuple[str, int]]()
    for pipeline in chain.from_iterable(pipelines.values()):
        state = assess_pipeline(pipeline, now).state
        if state in {PipelineState.RAN, PipelineState.CONFIGURED}:
            with_task.add((pipeline.project_id, pipeline.id))
        elif state is PipelineState.UNDECIDED:
            undecided.add((pipeline.project_id, pipeline.id))
    effective = without_task = 0
    without_policy: list[str] = []
    is_complete = not evidence.unread_policies and not evidence.unread_projects
    policies_of_project = _by_project(evidence)
    for repository in evidence.repositories:
        validating = {
            (policy.project_id, policy.pipeline_id)
            for policy in policies_of_project.get(repository.project_id, ())
            if policy.covers(repository)
        }
        if validating & with_task:
            effective += 1
        elif validating:
            without_task += 1
            is_complete = is_complete and not validating & undecided
        elif any((pipeline.project_id, pipeline.id) in with_task for pipeline in pipelines.get(repository.id, ())):
            without_policy.append(f"{repository.project}/{repository.name}")
    names = tuple(sorted(without_policy, key=str.lower)[:EXAMPLES_MAX])
    return AnnotationsEvidence(effective, without_task, names, len(without_policy), is_complete)


def ran_without_results(
    evidence: OrganizationEvidence, assessments: Iterable[RepositoryAssessment], results: RepositoryResults
) -> WithoutResults:
    """Return the repositories whose scans ran more than 48 hours before Defender for Cloud showed nothing of them.

    Where the organization itself was evaluated for the first time within these 48 hours, that says nothing yet.

    Args:
        evidence: what was read of the organization.
        assessments: of its repositories.
        results: of which repositories Defender for Cloud has recommendations.
    """
    if results.names is None or results.answered_at is None:
        return WithoutResults(problem=results.problem)
    deadline = results.answered_at - RESULTS_DELAY
    if results.evaluated_since is None or results.evaluated_since > deadline:
        return WithoutResults(problem=_EVALUATED_RECENTLY)
    scanned_since = {
        pipeline.build.id: pipeline.build.scanned_since
        for pipeline in evidence.pipelines
        if isinstance(pipeline.build, Build)
    }
    names = sorted(
        assessment.full_name
        for assessment in assessments
        if assessment.state is PipelineState.RAN
        and assessment.full_name not in results.names
        and (scanned_at := scanned_since.get(assessment.build_id or 0)) is not None
        and scanned_at <= deadline
    )
    return WithoutResults(len(names), tuple(names))


def _by_project(evidence: OrganizationEvidence) -> Mapping[str, list[BranchPolicy]]:
    policies: dict[str, list[BranchPolicy]] = {}
    for policy in evidence.policies:
        policies.setdefault(policy.project_id, []).append(policy)
    return policies
