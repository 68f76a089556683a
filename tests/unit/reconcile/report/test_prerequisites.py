"""PrerequisitesMet, with each of its reasons."""

from __future__ import annotations

import pytest

from defender_devops.api.reasons import REASONS, ConditionType
from defender_devops.reconcile.facts.assessment import assess
from defender_devops.reconcile.report.report import report
from tests.unit.reconcile.builder import NOW, snapshot
from tests.unit.reconcile.says import SIGN_IN, Says, condition


def checks(*told: str) -> str:
    return f"prerequisites: {{{', '.join(told)}}}"


PASSED = "contoso: [{check: AccessLevel, status: 'True'}]"
UNMET = "fabrikam: [{check: AccessLevel, status: 'False', reason: NotAMember, message: Assign Basic.}]"
UNCLEAR = "fabrikam: [{check: AccessLevel, status: Unknown}]"
PREREQUISITES_CASES = [
    Says("absent without a sign-in", (), "PrerequisitesMet"),
    Says("nothing was checked yet", (SIGN_IN,), "PrerequisitesMet", "Unknown", "NotChecked"),
    Says("all are met", (SIGN_IN, checks(PASSED)), "PrerequisitesMet", "True", "PrerequisitesMet"),
    Says(
        "one is not",
        (SIGN_IN, checks(PASSED, UNMET)),
        "PrerequisitesMet",
        "False",
        "PrerequisitesNotMet",
        ("fabrikam: AccessLevel (Assign Basic.)",),
    ),
    Says(
        "one is not, and nobody said why",
        (SIGN_IN, checks("fabrikam: [{check: AccessLevel, status: 'False'}]")),
        "PrerequisitesMet",
        "False",
        "PrerequisitesNotMet",
        ("fabrikam: AccessLevel",),
    ),
    Says(
        "one could not be told",
        (SIGN_IN, checks(PASSED, UNCLEAR)),
        "PrerequisitesMet",
        "Unknown",
        "CheckUnavailable",
        ("fabrikam",),
    ),
    Says(
        "three are named and the rest is counted",
        (SIGN_IN, checks("fabrikam: [" + ", ".join(f"{{check: C{n}, status: 'False'}}" for n in range(5)) + "]")),
        "PrerequisitesMet",
        "False",
        "PrerequisitesNotMet",
        ("C0", "C2", "and 2 more"),
    ),
    Says(
        "who is left out does not count",
        (SIGN_IN, checks(PASSED, UNMET), "spec: {organizations: {exclude: [fabrikam]}}"),
        "PrerequisitesMet",
        "True",
        "PrerequisitesMet",
    ),
]

CASES = [*PREREQUISITES_CASES]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_condition_says_what_is_the_matter_and_what_to_do(case: Says) -> None:
    found = condition(case.condition, *case.world, failure=case.failure)
    if case.reason is None:
        assert found is None
        return
    assert found is not None
    assert (found.status, found.reason) == (case.status, case.reason)
    for each in case.words:
        assert each in found.message
    assert found.observed_generation == snapshot(*case.world).connector.metadata.generation


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_reason_is_one_that_the_documentation_knows_for_its_condition(case: Says) -> None:
    written = report(assess(snapshot(*case.world)), case.failure, NOW)
    for conditions in (written.status.conditions, *(status.conditions for _, status in written.organizations)):
        for each in conditions:
            assert each.reason in REASONS[ConditionType(each.type)], each
