"""The prerequisite DefenderPlan of a connector, and its effect on PrerequisitesMet."""

from __future__ import annotations

import pytest

from defender_devops.api.connector_status import Prerequisite
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.report.report import report
from tests.unit.reconcile.builder import NOW, snapshot
from tests.unit.reconcile.condition_cases import (
    SIGN_IN,
    ConditionCase,
    assert_condition,
    assert_reasons_are_documented,
)
from tests.unit.reconcile.report.test_prerequisites import PASSED, UNMET, checks

ANNOTATIONS = "spec: {pullRequestAnnotations: {mode: Enabled}}"
SCANNING = "spec: {agentlessScanning: {mode: Enabled}}"
OVERRIDE = "resources: {fabrikam: {pullRequestAnnotations: {mode: Enabled}}}"
DISABLED = "spec: {pullRequestAnnotations: {mode: Disabled}, agentlessScanning: {mode: Disabled}}"
ON, OFF = "plan: on", "plan: off"
UNREADABLE = "plan: {reason: Forbidden, message: 'Not allowed: pricings/read.', terminal: true}"
COMMAND = (
    "az security pricing create -n CloudPosture --tier standard --subscription 22222222-2222-2222-2222-222222222222"
)
KIND = "PrerequisitesMet"

CASES = [
    ConditionCase("no feature needs the plan", (OFF,), KIND),
    ConditionCase("features that are off do not need it", (OFF, DISABLED), KIND),
    ConditionCase("it was not read yet", (ANNOTATIONS,), KIND),
    ConditionCase("annotations with the plan", (ANNOTATIONS, ON), KIND, "True", "PrerequisitesMet"),
    ConditionCase(
        "annotations without the plan",
        (ANNOTATIONS, OFF),
        KIND,
        "False",
        "PrerequisitesNotMet",
        ("DefenderPlan", COMMAND),
    ),
    ConditionCase("scanning without the plan", (SCANNING, OFF), KIND, "False", "PrerequisitesNotMet", (COMMAND,)),
    ConditionCase(
        "both without the plan", (ANNOTATIONS, SCANNING, OFF), KIND, "False", "PrerequisitesNotMet", (COMMAND,)
    ),
    ConditionCase(
        "annotations of one organization without the plan",
        (OVERRIDE, OFF),
        KIND,
        "False",
        "PrerequisitesNotMet",
        (COMMAND,),
    ),
    ConditionCase(
        "the plan cannot be read",
        (ANNOTATIONS, UNREADABLE),
        KIND,
        "Unknown",
        "CheckUnavailable",
        ("subscription 2222",),
    ),
    ConditionCase(
        "with a sign-in, the plan alone does not meet what was not checked",
        (SIGN_IN, ANNOTATIONS, ON),
        KIND,
        "Unknown",
        "NotChecked",
    ),
    ConditionCase(
        "with a sign-in, the plan that is off counts at once",
        (SIGN_IN, ANNOTATIONS, OFF),
        KIND,
        "False",
        "PrerequisitesNotMet",
        (COMMAND,),
    ),
    ConditionCase(
        "the organizations and the plan", (SIGN_IN, ANNOTATIONS, ON, checks(PASSED)), KIND, "True", "PrerequisitesMet"
    ),
    ConditionCase(
        "an organization and the plan do not meet it",
        (SIGN_IN, ANNOTATIONS, OFF, checks(PASSED, UNMET)),
        KIND,
        "False",
        "PrerequisitesNotMet",
        ("fabrikam: AccessLevel", COMMAND),
    ),
    ConditionCase("Ready does not depend on it", (ANNOTATIONS, OFF), "Ready", "False", "Provisioning"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_condition_states_the_problem_and_the_fix(case: ConditionCase) -> None:
    assert_condition(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_reason_is_documented_for_its_condition(case: ConditionCase) -> None:
    assert_reasons_are_documented(case)


def prerequisites(*world: str) -> tuple[Prerequisite, ...]:
    return report(Assessment(snapshot(*world)), None, NOW).status.prerequisites or ()


def test_no_prerequisite_without_a_feature_that_needs_the_plan() -> None:
    assert prerequisites(OFF) == prerequisites(OFF, DISABLED) == ()
    assert "prerequisites" not in report(Assessment(snapshot(OFF)), None, NOW).status.dump()


def test_a_plan_that_is_on_is_met() -> None:
    assert prerequisites(ANNOTATIONS, ON) == (Prerequisite(check="DefenderPlan", status="True"),)


@pytest.mark.parametrize(
    ("world", "subject"),
    [
        ((ANNOTATIONS,), "Pull request annotations need"),
        ((SCANNING,), "Agentless scanning and its results need"),
        ((ANNOTATIONS, SCANNING), "Pull request annotations and agentless scanning need"),
    ],
)
def test_a_plan_that_is_off_names_what_needs_it_and_the_command(world: tuple[str, ...], subject: str) -> None:
    (prerequisite,) = prerequisites(*world, OFF)
    assert (prerequisite.status, prerequisite.reason) == ("False", "DefenderPlanDisabled")
    assert prerequisite.message is not None
    assert prerequisite.message.startswith(subject)
    assert prerequisite.message.endswith(COMMAND)


def test_a_plan_that_cannot_be_read_is_unknown_with_the_cause_and_the_missing_right() -> None:
    (prerequisite,) = prerequisites(SCANNING, UNREADABLE)
    assert (prerequisite.status, prerequisite.reason) == ("Unknown", "DefenderPlanUnreadable")
    assert prerequisite.message is not None
    for phrase in ("Not allowed: pricings/read", "Security Reader on subscription", "Microsoft.Security/pricings/read"):
        assert phrase in prerequisite.message


def test_a_plan_that_was_not_read_since_the_start_stays_as_it_was() -> None:
    previous = "status: {prerequisites: [{check: DefenderPlan, status: 'True'}]}"
    assert prerequisites(ANNOTATIONS, previous) == (Prerequisite(check="DefenderPlan", status="True"),)
    assert prerequisites(previous) == ()
