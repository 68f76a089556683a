"""Provisioned and OrganizationsAvailable, with each of their reasons."""

from __future__ import annotations

import pytest

from defender_devops.reconcile.facts.failure import Failure
from tests.unit.reconcile.cases import ABSENT, CODE, FRESH, LISTED, NO_CONFIGURATION, OBSERVE, SELECTED
from tests.unit.reconcile.condition_cases import (
    EXCHANGE_FAILED,
    FORBIDDEN,
    HELD,
    NEVER_AUTHORIZED,
    PENDING,
    PROVISIONED,
    REVOKED,
    TYPO,
    UNREAD,
    WHO,
    ConditionCase,
    assert_condition,
    assert_reasons_are_documented,
    unreadable,
)

UNREACHABLE = "azure: {unreachable: [fabrikam]}"
REMEMBERED = """
resources:
  fabrikam: {generated: true, status: {conditions: [{type: Onboarded, status: 'False', reason: Onboarding}]}}
"""
PROVISIONED_CASES = [
    ConditionCase("all agrees", (), "Provisioned", "True", "Provisioned"),
    ConditionCase(
        "what was just asked for has to show",
        (SELECTED,),
        "Provisioned",
        "False",
        "Provisioning",
        ("Pending changes",),
    ),
    ConditionCase("Azure is at it", (PENDING,), "Provisioned", "False", "Provisioning", ("is changing",)),
    ConditionCase(
        "Azure is at it, and all agreed before", (PENDING, PROVISIONED), "Provisioned", "True", "Provisioned"
    ),
    ConditionCase(
        "Azure is at it, for a new generation",
        (PENDING, PROVISIONED, "metadata: {generation: 2}"),
        "Provisioned",
        "False",
        "Provisioning",
    ),
    ConditionCase(
        "nothing is there",
        (ABSENT, FRESH),
        "Provisioned",
        "False",
        "ConnectorNotFound",
        ("no connector contoso", "rg-devops-security", "portal"),
    ),
    ConditionCase(
        "nothing is there to adopt, and the region is misspelled",
        (ABSENT, FRESH, "spec: {azure: {location: westurope}}"),
        "Provisioned",
        "False",
        "ConnectorNotFound",
        ("portal", "Did you mean westeurope?"),
    ),
    ConditionCase(
        "nothing is there, with Code",
        (ABSENT, FRESH, CODE),
        "Provisioned",
        "False",
        "ConnectorNotFound",
        ("one-time code",),
    ),
    ConditionCase(
        "nothing is there, with Observe",
        (ABSENT, FRESH, CODE, OBSERVE),
        "Provisioned",
        "False",
        "ConnectorNotFound",
        ("with managementPolicy Observe the operator does not create it",),
    ),
    ConditionCase(
        "no configuration is there",
        (NO_CONFIGURATION, FRESH),
        "Provisioned",
        "False",
        "ConnectorNotFound",
        ("DevOps configuration",),
    ),
    ConditionCase(
        "somebody deleted it",
        (ABSENT, WHO),
        "Provisioned",
        "False",
        "ConnectorNotFound",
        ("was deleted", "Authorize connector contoso in the Defender portal as mdc@contoso.com"),
    ),
    ConditionCase(
        "somebody deleted it, with Code",
        (ABSENT, CODE),
        "Provisioned",
        "False",
        "ConnectorNotFound",
        ("was deleted", "key code of Secret defender-code"),
    ),
    ConditionCase(
        "somebody deleted the configuration",
        (NO_CONFIGURATION,),
        "Provisioned",
        "False",
        "ConnectorNotFound",
        ("DevOps configuration of connector contoso", "was deleted"),
    ),
    ConditionCase(
        "another owns it", (FRESH, "azure: {owner: another}"), "Provisioned", "False", "NotAdopted", ("other/theirs",)
    ),
    ConditionCase(
        "another took it", ("azure: {owner: another}",), "Provisioned", "False", "OwnershipLost", ("other/theirs",)
    ),
    ConditionCase(
        "another region", ("azure: {location: eastus}",), "Provisioned", "False", "InvalidSpec", ("cannot be moved",)
    ),
    ConditionCase(
        "drift under Observe",
        (OBSERVE, SELECTED),
        "Provisioned",
        "False",
        "DriftDetected",
        ("Observe prevents these changes: update the DevOps configuration (auto-discovery Disabled",),
    ),
    ConditionCase(
        "drift under Observe stays a drift",
        (
            OBSERVE,
            LISTED,
            "{spec: {organizations: {mode: All}}, status: {azure: {organizationsMode: All}}}",
            "azure: {organizations: {fabrikam: null}, others: {fabrikam: Free}}",
            REMEMBERED,
        ),
        "Provisioned",
        "False",
        "DriftDetected",
    ),
    ConditionCase(
        "no drift by the tags that Observe may not set",
        (OBSERVE, "azure: {owner: nobody}"),
        "Provisioned",
        "True",
        "Provisioned",
    ),
    ConditionCase(
        "no drift by whose it is under Observe",
        (OBSERVE, "azure: {owner: elsewhere}"),
        "Provisioned",
        "True",
        "Provisioned",
    ),
    ConditionCase(
        "no drift by a code that Observe may not send",
        (OBSERVE, CODE, "code: new"),
        "Provisioned",
        "True",
        "Provisioned",
    ),
    ConditionCase(
        "the last operation failed",
        ("azure: {configuration: {state: Failed, message: 'Disk full.'}}",),
        "Provisioned",
        "False",
        "AzureUnavailable",
        ("Disk full. The operator retries",),
    ),
    ConditionCase(
        "an operation was canceled",
        ("azure: {configuration: {state: Canceled}}",),
        "Provisioned",
        "False",
        "AzureUnavailable",
        ("Canceled",),
    ),
    ConditionCase(
        "the choice waits for an authorization",
        (REVOKED, SELECTED),
        "Provisioned",
        "False",
        "Provisioning",
        ("once Defender is authorized",),
    ),
    ConditionCase(
        "our own rights are missing", (FORBIDDEN,), "Provisioned", "False", "Forbidden", ("Grant listAvailable.",)
    ),
    *(
        ConditionCase(
            f"reading failed with {reason}",
            (unreadable(reason, terminal=terminal), UNREAD),
            "Provisioned",
            "False",
            reason,
            ("Do this about it.",),
        )
        for reason, terminal in (
            ("AzureUnavailable", False),
            ("Throttled", False),
            ("Forbidden", True),
            ("InvalidSpec", True),
            ("ProviderNotRegistered", True),
            ("CredentialsMissing", True),
        )
    ),
    *(
        ConditionCase(
            f"a step failed with {reason}",
            (),
            "Provisioned",
            "False",
            reason,
            ("Do this about it.",),
            Failure(reason, "Do this about it.", terminal=True),
        )
        for reason in ("PolicyDenied", "RegionNotSupported", "InvalidSpec", "Forbidden", "Throttled")
    ),
    ConditionCase(
        "a step that failed in Kubernetes says nothing about Azure",
        (),
        "Provisioned",
        "True",
        "Provisioned",
        failure=Failure("KubernetesRefused", "quota", terminal=True),
    ),
]

AVAILABLE_CASES = [
    ConditionCase(
        "while the configuration changes the last word stands",
        (
            HELD,
            "azure: {configuration: {state: Pending}}",
            "status: {conditions: [{type: OrganizationsAvailable, status: 'True', reason: Available}]}",
        ),
        "OrganizationsAvailable",
        "True",
        "Available",
    ),
    ConditionCase("all are", (), "OrganizationsAvailable", "True", "Available"),
    ConditionCase(
        "nobody can tell before there is a configuration",
        (NO_CONFIGURATION, FRESH),
        "OrganizationsAvailable",
        "Unknown",
        "NotChecked",
    ),
    ConditionCase(
        "there are none",
        ("azure: {organizations: null}",),
        "OrganizationsAvailable",
        "False",
        "NoOrganizations",
        ("Add the account",),
    ),
    ConditionCase(
        "the authorization no longer reaches one that is onboarded",
        (UNREACHABLE, WHO),
        "OrganizationsAvailable",
        "False",
        "OrganizationNotFound",
        ("no longer reaches fabrikam", "(mdc@contoso.com)", "authorize again"),
    ),
    ConditionCase(
        "the authorization does not reach one that is onboarded and excluded",
        (UNREACHABLE, "spec: {organizations: {exclude: [fabrikam]}}"),
        "OrganizationsAvailable",
        "True",
        "Available",
    ),
    ConditionCase(
        "the answer is unknown, so nothing is unreachable",
        (UNREACHABLE, "azure: {available: unknown}"),
        "OrganizationsAvailable",
        "Unknown",
        "NotChecked",
    ),
    ConditionCase(
        "a code was refused, and the answer is empty",
        (EXCHANGE_FAILED, CODE, NEVER_AUTHORIZED),
        "OrganizationsAvailable",
        "Unknown",
        "NotChecked",
        ("once Defender's authorization works",),
    ),
    ConditionCase(
        "Azure rejects a code in its answer, and the list is empty",
        ("azure: {organizations: null, available: none}", CODE, "status: {discovery: {organizations: {available: 2}}}"),
        "OrganizationsAvailable",
        "Unknown",
        "NotChecked",
        failure=Failure("TokenExchangeFailed", "refused", terminal=True),
    ),
    ConditionCase(
        "one is held",
        (HELD,),
        "OrganizationsAvailable",
        "False",
        "OrganizationConflict",
        ("onboarded by another connector: tailspin.", "Remove it there"),
    ),
    ConditionCase(
        "one is held, and it is known by whom",
        (HELD, "conflictingConnectors: {tailspin: another connector of this cluster}"),
        "OrganizationsAvailable",
        "False",
        "OrganizationConflict",
        ("tailspin (by another connector of this cluster)",),
    ),
    ConditionCase(
        "one is held that is left out",
        (HELD, "spec: {organizations: {exclude: [tailspin]}}"),
        "OrganizationsAvailable",
        "True",
        "Available",
    ),
    ConditionCase("one is held that nobody named", (HELD, SELECTED), "OrganizationsAvailable", "True", "Available"),
    ConditionCase(
        "one is held that came up after All",
        (HELD, "{spec: {organizations: {mode: All}}, status: {azure: {organizationsMode: All}}}"),
        "OrganizationsAvailable",
        "True",
        "Available",
    ),
    ConditionCase(
        "one is missing",
        (TYPO,),
        "OrganizationsAvailable",
        "False",
        "OrganizationNotFound",
        ("no organization named typo", "Correct the name"),
    ),
    ConditionCase(
        "one is missing that a resource names",
        ("resources: {typo: {onboarding: Onboarded}}",),
        "OrganizationsAvailable",
        "False",
        "OrganizationNotFound",
    ),
    ConditionCase(
        "four are missing",
        ("{spec: {organizations: {mode: Selected, names: [d, c, b, a]}}, resources: {a: {}, b: {}, c: {}, d: {}}}",),
        "OrganizationsAvailable",
        "False",
        "OrganizationNotFound",
        ("a, b, c and 1 more",),
    ),
    ConditionCase(
        "no answer: the last word stands",
        (
            "azure: {available: unknown}",
            "status: {conditions: [{type: OrganizationsAvailable, status: 'False', reason: OrganizationConflict}]}",
        ),
        "OrganizationsAvailable",
        "False",
        "OrganizationConflict",
    ),
    ConditionCase(
        "no answer and no last word",
        ("azure: {available: unknown}",),
        "OrganizationsAvailable",
        "Unknown",
        "NotChecked",
    ),
]

CASES = [*PROVISIONED_CASES, *AVAILABLE_CASES]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_condition_states_the_problem_and_the_fix(case: ConditionCase) -> None:
    assert_condition(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_reason_is_documented_for_its_condition(case: ConditionCase) -> None:
    assert_reasons_are_documented(case)
