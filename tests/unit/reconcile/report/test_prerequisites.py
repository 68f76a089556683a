"""PrerequisitesMet, with each of its reasons."""

from __future__ import annotations

import pytest

from tests.unit.reconcile.condition_cases import (
    SIGN_IN,
    ConditionCase,
    assert_condition,
    assert_reasons_are_documented,
)


def checks(*outcomes: str) -> str:
    return f"prerequisites: {{{', '.join(outcomes)}}}"


PASSED = "contoso: [{check: AccessLevel, status: 'True'}]"
UNMET = "fabrikam: [{check: AccessLevel, status: 'False', reason: NotAMember, message: Assign Basic.}]"
UNCLEAR = "fabrikam: [{check: AccessLevel, status: Unknown}]"
PREREQUISITES_CASES = [
    ConditionCase("absent without a sign-in", (), "PrerequisitesMet"),
    ConditionCase("nothing was checked yet", (SIGN_IN,), "PrerequisitesMet", "Unknown", "NotChecked"),
    ConditionCase("all are met", (SIGN_IN, checks(PASSED)), "PrerequisitesMet", "True", "PrerequisitesMet"),
    ConditionCase(
        "one is not",
        (SIGN_IN, checks(PASSED, UNMET)),
        "PrerequisitesMet",
        "False",
        "PrerequisitesNotMet",
        ("fabrikam: AccessLevel (Assign Basic.)",),
    ),
    ConditionCase(
        "one is not, and nobody said why",
        (SIGN_IN, checks("fabrikam: [{check: AccessLevel, status: 'False'}]")),
        "PrerequisitesMet",
        "False",
        "PrerequisitesNotMet",
        ("fabrikam: AccessLevel",),
    ),
    ConditionCase(
        "one could not be told",
        (SIGN_IN, checks(PASSED, UNCLEAR)),
        "PrerequisitesMet",
        "Unknown",
        "CheckUnavailable",
        ("fabrikam",),
    ),
    ConditionCase(
        "three are named and the rest is counted",
        (SIGN_IN, checks("fabrikam: [" + ", ".join(f"{{check: C{n}, status: 'False'}}" for n in range(5)) + "]")),
        "PrerequisitesMet",
        "False",
        "PrerequisitesNotMet",
        ("C0", "C2", "and 2 more"),
    ),
    ConditionCase(
        "who is left out does not count",
        (SIGN_IN, checks(PASSED, UNMET), "spec: {organizations: {exclude: [fabrikam]}}"),
        "PrerequisitesMet",
        "True",
        "PrerequisitesMet",
    ),
]

CASES = [*PREREQUISITES_CASES]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_condition_states_the_problem_and_the_fix(case: ConditionCase) -> None:
    assert_condition(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_reason_is_documented_for_its_condition(case: ConditionCase) -> None:
    assert_reasons_are_documented(case)
