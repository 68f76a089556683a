"""What the pipeline checks show, in the status of an organization: numbers, and three conditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from defender_devops.api.azure_types import AzureOrganization
from defender_devops.api.conditions import Status, truncate_message
from defender_devops.api.pipelines.states import PIPELINE_REASONS, PipelineState
from defender_devops.api.pipelines.status import PipelineExample, PipelinesStatus, RepositoryStates
from defender_devops.api.reasons import REASONS, ConditionType, Reason
from defender_devops.reconcile.facts.annotations_effective import annotations_effective
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.facts.pipeline_results import PipelinesObservation
from defender_devops.reconcile.facts.posture import CspmPlan
from defender_devops.reconcile.report.condition_result import QUOTED_MAX, ConditionResult

__all__ = ["annotations_result", "evidence_result", "pipelines_result", "pipelines_status"]

_NAME_MAX: Final = 256
_STATUSES: Final[Mapping[bool | None, Status]] = {True: "True", False: "False", None: "Unknown"}


def pipelines_status(observation: PipelinesObservation, previous: PipelinesStatus | None) -> PipelinesStatus | None:
    """Return the numbers of the last complete check; before the first one, what the status has already."""
    if observation.counts is None:
        return previous
    return PipelinesStatus(
        repositories=RepositoryStates.model_validate(
            {state.value: observation.counts[state] for state in PipelineState}
        ),
        ran_without_results=observation.without_results.number,
        examples=tuple(
            PipelineExample(
                repository=truncate_message(assessment.full_name, _NAME_MAX),
                state=assessment.state.value,
                reason=assessment.reason.value,
            )
            for assessment in observation.examples
        ),
        examples_without_results=tuple(truncate_message(name, _NAME_MAX) for name in observation.without_results.names),
        checked_at=observation.changed_at,
    )


def pipelines_result(observation: PipelinesObservation, status: PipelinesStatus | None) -> ConditionResult | None:
    """Return the result for PipelinesConfigured.

    Args:
        observation: what the checks show.
        status: the organization's new `status.pipelines`.

    Returns:
        None while the first check since the start is under way and the status has numbers: the condition stays.
    """
    if observation.failure is not None:
        return _failed(observation.failure)
    if observation.counts is None:
        if status is not None:
            return None
        message = "The first check of the pipelines has not ended yet. Large organizations take up to an hour or two."
        return ConditionResult("Unknown", Reason.NOT_CHECKED, message)
    counts, suffix = observation.counts, _without_results(observation)
    scanned = counts[PipelineState.RAN] + counts[PipelineState.CONFIGURED] + counts[PipelineState.COVERED_OTHERWISE]
    missing, undecided = counts[PipelineState.MISSING], counts[PipelineState.UNDECIDED]
    total = scanned + missing + undecided
    if missing:
        message = (
            f"Nothing scans {missing} of {total} repositories{_examples(observation, PipelineState.MISSING)}. "
            "kubectl defender-devops pipelines lists all, with what to add."
        )
        return ConditionResult("False", Reason.REPOSITORIES_NOT_SCANNED, message + suffix)
    if undecided:
        message = (
            f"It could not be decided whether {undecided} of {total} repositories are scanned"
            f"{_examples(observation, PipelineState.UNDECIDED)}. kubectl defender-devops pipelines lists all, with the "
            "reason."
        )
        return ConditionResult("Unknown", Reason.REPOSITORIES_UNDECIDED, message + suffix)
    message = f"Something scans each of {total} repositories; in {counts[PipelineState.RAN]} a scan ran."
    return ConditionResult("True", Reason.PIPELINES_CONFIGURED, message + suffix)


def evidence_result(observation: PipelinesObservation) -> ConditionResult | None:
    """Return the result for PipelineEvidenceStored; None while nothing had to be stored since the start."""
    failure = observation.storage_failure
    if failure is not None:
        has_reason = failure.reason in REASONS[ConditionType.PIPELINE_EVIDENCE_STORED]
        return ConditionResult("False", failure.reason if has_reason else Reason.EVIDENCE_NOT_STORED, failure.message)
    if not observation.is_stored:
        return None
    return ConditionResult("True", Reason.EVIDENCE_STORED, Reason.EVIDENCE_STORED.cause)


def annotations_result(
    observation: PipelinesObservation, organization: AzureOrganization, plan: CspmPlan | None
) -> ConditionResult | None:
    """Return the result for PullRequestAnnotationsEffective.

    Args:
        observation: what the checks show.
        organization: as Defender for Cloud reports it.
        plan: the plan Defender CSPM; None if it has not been read since the start.

    Returns:
        None while what decides has not been read since the start: the condition stays.
    """
    if plan is None or (observation.annotations is None and observation.failure is None):
        return None
    effect = annotations_effective(plan.is_enabled, organization.annotations.enabled, observation.annotations)
    return ConditionResult(_STATUSES[effect.is_effective], Reason(effect.reason.value), effect.message)


def _failed(failure: Failure) -> ConditionResult:
    has_reason = failure.reason in REASONS[ConditionType.PIPELINES_CONFIGURED]
    detail = truncate_message(failure.message, QUOTED_MAX)
    message = f"{detail} The numbers in status.pipelines are those of the last complete check."
    return ConditionResult("Unknown", failure.reason if has_reason else Reason.CHECK_UNAVAILABLE, message)


def _examples(observation: PipelinesObservation, state: PipelineState) -> str:
    """Return the first example of a state with its cause, as the end of a clause; empty without any."""
    example = next((assessment for assessment in observation.examples if assessment.state is state), None)
    if example is None:
        return ""
    cause = PIPELINE_REASONS[example.reason].cause.rstrip(".")
    return truncate_message(f", such as {example.full_name} ({cause})", QUOTED_MAX)


def _without_results(observation: PipelinesObservation) -> str:
    """Return how many scans Defender for Cloud shows nothing of, or why that is not known; empty if neither."""
    without_results = observation.without_results
    if without_results.number:
        names = f", such as {without_results.names[0]}" if without_results.names else ""
        return truncate_message(
            f" Scans of {without_results.number} ran more than 48 hours ago, and Defender for Cloud shows nothing of "
            f"them{names}: check that the build publishes the artifact CodeAnalysisLogs, and Defender's authorization.",
            QUOTED_MAX,
        )
    if without_results.problem and observation.counts is not None and observation.counts[PipelineState.RAN]:
        return truncate_message(
            f" Whether Defender for Cloud shows their results is not known: {without_results.problem}", QUOTED_MAX
        )
    return ""
