"""The pipeline checks in the status of an organization: numbers, examples, and two conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.azure_types import Annotations, AzureOrganization
from defender_devops.api.conditions import Condition, find_condition
from defender_devops.api.organization import OrganizationStatus
from defender_devops.api.pipelines.evidence import ExtensionState
from defender_devops.api.pipelines.states import PIPELINE_REASONS, PipelineReason, PipelineState
from defender_devops.api.reasons import REASONS, ConditionType
from defender_devops.reconcile.facts.annotations_effective import AnnotationsReason
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.facts.pipeline_results import (
    AnnotationsEvidence,
    PipelinesObservation,
    WithoutResults,
    examples,
    with_extension_prerequisite,
)
from defender_devops.reconcile.facts.pipelines import RepositoryAssessment
from defender_devops.reconcile.facts.posture import CspmPlan
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot
from defender_devops.reconcile.report.report import report
from defender_devops.reconcile.report.status_events import status_events
from tests.unit.reconcile.builder import NOW, snapshot
from tests.unit.reconcile.condition_cases import SIGN_IN

CHECKS = "spec: {pipelineChecks: {mode: Enabled}}"
RESOURCE = "resources: {contoso: {generated: true}}"
ANNOTATED = "spec: {pullRequestAnnotations: {mode: Enabled}}"
KIND, ANNOTATIONS = ConditionType.PIPELINES_CONFIGURED, ConditionType.PULL_REQUEST_ANNOTATIONS_EFFECTIVE


def assessment_of(reason: PipelineReason, repository: str = "shop") -> RepositoryAssessment:
    """A repository with one reason."""
    return RepositoryAssessment("Web", repository, PIPELINE_REASONS[reason].state, reason)


def observation(*reasons: PipelineReason, **attributes: object) -> PipelinesObservation:
    """The result of a complete check of one repository for each reason."""
    assessments = [assessment_of(reason, f"repository-{number}") for number, reason in enumerate(reasons)]
    counts = {state: sum(item.state is state for item in assessments) for state in PipelineState}
    complete = PipelinesObservation(counts=counts, examples=examples(assessments, 10), changed_at=NOW)
    return replace(complete, **attributes)


def world(checks: PipelinesObservation | None, *fragments: str) -> ConnectorSnapshot:
    """A connector with checks of contoso."""
    base = snapshot(SIGN_IN, CHECKS, RESOURCE, *fragments)
    return replace(base, pipelines={"contoso": checks} if checks is not None else {})


def status_of(state: ConnectorSnapshot) -> OrganizationStatus:
    """The new status of contoso's resource."""
    statuses = report(Assessment(state), None, NOW).organizations
    return next(status for resource, status in statuses if resource.spec.organization == "contoso")


def with_statuses(state: ConnectorSnapshot) -> ConnectorSnapshot:
    """The snapshot with what it reports as the status of its resources."""
    statuses = {
        resource.metadata.uid: status for resource, status in report(Assessment(state), None, NOW).organizations
    }
    resources = tuple(
        resource.model_copy(update={"status": statuses.get(resource.metadata.uid, resource.status)})
        for resource in state.organizations
    )
    return replace(state, organizations=resources)


def condition_of(state: ConnectorSnapshot, kind: ConditionType = KIND) -> Condition | None:
    """A condition of contoso's resource."""
    return find_condition(status_of(state).conditions, kind)


@dataclass(frozen=True)
class Case:
    """What a check shows, and the condition PipelinesConfigured that follows."""

    name: str
    checks: PipelinesObservation
    status: str
    reason: str
    fragments: tuple[str, ...] = ()


UNREAD = Failure("AzureDevOpsUnavailable", "Azure DevOps does not respond.")
CASES = [
    Case("no check has ended", PipelinesObservation(), "Unknown", "NotChecked", ("has not ended yet",)),
    Case("everything is scanned", observation(PipelineReason.ARTIFACT_PUBLISHED), "True", "PipelinesConfigured"),
    Case("configured counts", observation(PipelineReason.FILE_HAS_TASK), "True", "PipelinesConfigured"),
    Case("covered otherwise counts", observation(PipelineReason.AGENTLESS_SCANNING), "True", "PipelinesConfigured"),
    Case("nothing to scan", observation(PipelineReason.EMPTY), "True", "PipelinesConfigured", ("each of 0",)),
    Case(
        "one is missing",
        observation(PipelineReason.ARTIFACT_PUBLISHED, PipelineReason.NO_PIPELINE, PipelineReason.NEVER_BUILT),
        "False",
        "RepositoriesNotScanned",
        ("1 of 3 repositories, such as Web/repository-1 (The repository has no pipeline)", "kubectl defender-devops"),
    ),
    Case(
        "one is undecided",
        observation(PipelineReason.ARTIFACT_PUBLISHED, PipelineReason.TEMPLATES),
        "Unknown",
        "RepositoriesUndecided",
        ("1 of 2 repositories are scanned, such as Web/repository-1",),
    ),
    Case(
        "a scope is missing",
        PipelinesObservation(failure=Failure("PipelineScopeMissing", "The sign-in lacks vso.build.")),
        "Unknown",
        "PipelineScopeMissing",
        ("vso.build",),
    ),
    Case(
        "a later check fails",
        observation(PipelineReason.NO_PIPELINE, failure=UNREAD),
        "Unknown",
        "AzureDevOpsUnavailable",
        ("those of the last complete check",),
    ),
    Case(
        "a failure without a reason of its own",
        PipelinesObservation(failure=Failure("KubernetesRefused", "The Secret cannot be written.")),
        "Unknown",
        "CheckUnavailable",
        ("Secret",),
    ),
    Case(
        "scans without results",
        observation(PipelineReason.ARTIFACT_PUBLISHED, without_results=WithoutResults(1, ("Web/repository-0",))),
        "True",
        "PipelinesConfigured",
        ("Defender for Cloud shows nothing of them, such as Web/repository-0",),
    ),
    Case(
        "scans without results, and no examples",
        observation(PipelineReason.ARTIFACT_PUBLISHED, without_results=WithoutResults(1)),
        "True",
        "PipelinesConfigured",
        ("Scans of 1 ran", "shows nothing of them: check"),
    ),
    Case(
        "results are not known",
        observation(PipelineReason.ARTIFACT_PUBLISHED, without_results=WithoutResults(problem="It was truncated.")),
        "True",
        "PipelinesConfigured",
        ("Whether Defender for Cloud shows their results is not known: It was truncated.",),
    ),
]


def test_where_no_scan_ran_unknown_results_are_not_mentioned() -> None:
    checks = observation(PipelineReason.FILE_HAS_TASK, without_results=WithoutResults(problem="It was truncated."))
    condition = condition_of(world(checks))
    assert condition is not None
    assert "truncated" not in condition.message


STORED, NOT_STORED = ConditionType.PIPELINE_EVIDENCE_STORED, "The Secret x cannot be written."


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, None),
        ({"is_stored": True}, ("True", "EvidenceStored")),
        ({"storage_failure": Failure("EvidenceTooLarge", "Too large.")}, ("False", "EvidenceTooLarge")),
        ({"storage_failure": Failure("KubernetesRefused", NOT_STORED)}, ("False", "EvidenceNotStored")),
    ],
    ids=["not yet", "stored", "too large", "refused"],
)
def test_whether_the_evidence_is_stored(attributes: dict[str, object], expected: tuple[str, str] | None) -> None:
    condition = condition_of(world(observation(PipelineReason.ARTIFACT_PUBLISHED, **attributes)), STORED)
    assert (condition and (condition.status, condition.reason)) == expected


def test_evidence_that_cannot_be_stored_is_an_event_once() -> None:
    stored = observation(PipelineReason.ARTIFACT_PUBLISHED, is_stored=True)
    failure = Failure("EvidenceTooLarge", "What was read has more than 1 MB.")
    failed = replace(stored, is_stored=False, storage_failure=failure)
    before, after = status_of(world(stored)).conditions, status_of(world(failed)).conditions
    assert [(event.type, event.reason) for event in status_events(before, after)] == [("Warning", "EvidenceTooLarge")]
    assert status_events(after, after) == ()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pipelines_configured(case: Case) -> None:
    condition = condition_of(world(case.checks))
    assert condition is not None
    assert (condition.status, condition.reason) == (case.status, case.reason)
    assert condition.reason in REASONS[KIND]
    for fragment in case.fragments:
        assert fragment in condition.message


def test_ready_does_not_depend_on_the_pipelines() -> None:
    ready = {condition_of(world(case.checks), ConditionType.READY) for case in CASES}
    assert len({(condition.status, condition.reason) for condition in ready if condition}) == 1


def test_the_status_has_the_numbers_and_the_examples_of_the_last_complete_check() -> None:
    reasons = [PipelineReason.ARTIFACT_PUBLISHED, *[PipelineReason.NO_TASK] * 12, PipelineReason.NEVER_BUILT]
    without_results = WithoutResults(2, ("Web/repository-0", "x" * 300))
    pipelines = status_of(world(observation(*reasons, without_results=without_results))).pipelines
    assert pipelines is not None
    assert pipelines.repositories is not None
    assert pipelines.repositories.model_dump(by_alias=True) == {
        "ran": 1,
        "configured": 0,
        "coveredOtherwise": 0,
        "undecided": 1,
        "missing": 12,
        "notApplicable": 0,
    }
    assert [example.state for example in pipelines.examples] == ["missing"] * 10 + ["undecided"]
    assert pipelines.examples[0].repository == "Web/repository-1"
    assert (pipelines.ran_without_results, pipelines.checked_at) == (2, NOW)
    assert pipelines.examples_without_results[0] == "Web/repository-0"
    assert len(pipelines.examples_without_results[1]) <= 256


def test_while_results_are_unknown_their_number_is_absent_and_not_zero() -> None:
    pipelines = status_of(world(observation(PipelineReason.ARTIFACT_PUBLISHED))).pipelines
    assert pipelines is not None
    assert pipelines.ran_without_results is None
    assert "ranWithoutResults" not in pipelines.dump()


@pytest.mark.parametrize(
    "checks", [PipelinesObservation(), PipelinesObservation(failure=UNREAD)], ids=["restart", "failure"]
)
def test_numbers_stay_until_a_check_has_ended(checks: PipelinesObservation) -> None:
    previous = with_statuses(world(observation(PipelineReason.NO_PIPELINE)))
    numbers = status_of(previous).pipelines
    after_restart = replace(previous, pipelines={"contoso": checks})
    assert status_of(after_restart).pipelines == numbers
    if checks.failure is None:
        assert condition_of(after_restart) == condition_of(previous)


def test_nothing_remains_once_the_checks_are_disabled() -> None:
    previous = with_statuses(world(observation(PipelineReason.NO_PIPELINE)))
    connector = previous.connector
    spec = connector.spec.model_copy(update={"pipeline_checks": None})
    disabled = replace(previous, connector=connector.model_copy(update={"spec": spec}), pipelines={})
    status = status_of(disabled)
    assert status.pipelines is None
    assert find_condition(status.conditions, KIND) is None


EVERYTHING = AnnotationsEvidence(effective=2, is_complete=True)


@pytest.mark.parametrize(
    ("plan", "enabled", "evidence", "expected"),
    [
        (CspmPlan(True), True, EVERYTHING, ("True", "AnnotationsEffective")),
        (CspmPlan(False), True, EVERYTHING, ("False", "DefenderPlanDisabled")),
        (CspmPlan(True), False, EVERYTHING, ("False", "AnnotationsDisabled")),
        (CspmPlan(True), True, AnnotationsEvidence(is_complete=True), ("False", "BuildPolicyMissing")),
        (CspmPlan(True), True, AnnotationsEvidence(without_task=1, is_complete=True), ("False", "TaskMissing")),
        (CspmPlan(True), True, AnnotationsEvidence(), ("Unknown", "NotChecked")),
        (CspmPlan(None), True, EVERYTHING, ("Unknown", "NotChecked")),
        (None, True, EVERYTHING, None),
        (CspmPlan(True), True, None, None),
    ],
    ids=["all", "plan", "setting", "policy", "task", "policies unread", "plan unread", "plan not yet", "check not yet"],
)
def test_annotations_effective(
    plan: CspmPlan | None, enabled: bool, evidence: AnnotationsEvidence | None, expected: tuple[str, str] | None
) -> None:
    state = world(observation(PipelineReason.ARTIFACT_PUBLISHED, annotations=evidence), ANNOTATED)
    organizations = tuple(
        replace(organization, annotations=Annotations(enabled=enabled)) for organization in state.cloud.organizations
    )
    state = replace(state, cloud=replace(state.cloud, organizations=organizations), cspm_plan=plan)
    condition = condition_of(state, ANNOTATIONS)
    assert (condition and (condition.status, condition.reason)) == expected


def test_annotations_have_no_condition_unless_they_are_enabled() -> None:
    checks = observation(PipelineReason.ARTIFACT_PUBLISHED, annotations=EVERYTHING)
    assert condition_of(replace(world(checks), cspm_plan=CspmPlan(True)), ANNOTATIONS) is None


def test_every_reason_of_annotations_is_documented() -> None:
    assert {reason.value for reason in AnnotationsReason} <= set(REASONS[ANNOTATIONS])


@pytest.mark.parametrize(
    ("extension", "expected"),
    [
        (ExtensionState.INSTALLED, [("SecurityDevOpsExtension", "True", "")]),
        (ExtensionState.MISSING, [("SecurityDevOpsExtension", "False", "SecurityDevOpsExtensionMissing")]),
        (ExtensionState.DISABLED, [("SecurityDevOpsExtension", "False", "SecurityDevOpsExtensionDisabled")]),
        (ExtensionState.UNKNOWN, []),
    ],
)
def test_the_extension_is_a_prerequisite(extension: ExtensionState, expected: list[tuple[str, str, str]]) -> None:
    checks = {"contoso": PipelinesObservation(extension=extension)}
    result = with_extension_prerequisite({"contoso": (), "fabrikam": ()}, checks)
    assert [(item.check, item.status, item.reason or "") for item in result["contoso"]] == expected
    assert result["fabrikam"] == ()


COUNTS = st.fixed_dictionaries({state: st.integers(0, 10_000) for state in PipelineState})


@given(counts=COUNTS)
def test_true_means_that_nothing_is_missing_or_undecided(counts: Mapping[PipelineState, int]) -> None:
    condition = condition_of(world(PipelinesObservation(counts=counts, changed_at=NOW)))
    assert condition is not None
    missing, undecided = counts[PipelineState.MISSING], counts[PipelineState.UNDECIDED]
    assert condition.status == ("False" if missing else "Unknown" if undecided else "True")
    assert len(condition.message.encode()) <= 1024


def test_an_organization_that_is_not_onboarded_has_no_numbers() -> None:
    previous = with_statuses(world(observation(PipelineReason.NO_PIPELINE)))
    organizations = tuple(
        replace(organization, onboarding_state="NotOnboarded") if organization.name == "contoso" else organization
        for organization in previous.cloud.organizations
    )
    assert any(isinstance(organization, AzureOrganization) for organization in organizations)
    state = replace(previous, cloud=replace(previous.cloud, organizations=organizations, available=None))
    assert status_of(state).pipelines is None
