"""Messages stay within bounds, and what to do is not what is cut off."""

from __future__ import annotations

import pytest

from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.report.report import report
from tests.unit.reconcile.builder import NOW, snapshot
from tests.unit.reconcile.cases import CODE, OBSERVE
from tests.unit.reconcile.condition_cases import (
    HELD,
    NEVER_AUTHORIZED,
    SIGN_IN,
    UNREAD,
    WHO,
    reported_condition,
    signed_in,
)

LONG = "ä" * 2000 + ". Do this."
LONG_WORLDS = {
    "a failed reading": (f"unreadable: {{reason: Forbidden, message: '{LONG}', terminal: true}}", UNREAD),
    "a failed change": (f"azure: {{configuration: {{state: Failed, message: '{LONG}'}}}}",),
    "a failed exchange": (
        f"azure: {{configuration: {{state: Failed, message: 'InvalidOAuthCode {LONG}'}}}}",
        CODE,
        "azure: {available: none}",
        NEVER_AUTHORIZED,
    ),
    "a lost authorization": (
        f"azure: {{probe: {{reason: TokenExchangeFailed, message: '{LONG}', terminal: true}}}}",
        WHO,
    ),
    "a sign-in": (
        SIGN_IN,
        signed_in(f"{{signed_in: false, is_lost: true, reason: SignInRequired, message: '{LONG}'}}"),
    ),
    "a holder": (HELD, f"conflictingConnectors: {{tailspin: '{LONG}'}}"),
    "a check": (
        SIGN_IN,
        f"prerequisites: {{contoso: [{{check: AccessLevel, status: 'False', message: '{LONG[:1000]}'}}]}}",
    ),
    "an organization": (f"azure: {{organizations: {{contoso: {{provisioning: Failed, message: '{LONG}'}}}}}}",),
    "an organization that waits": (f"azure: {{organizations: {{contoso: {{state: Free, message: '{LONG}'}}}}}}",),
    "drift": (
        OBSERVE,
        "spec: {azure: {tags: {" + ", ".join(f"a-very-long-name-of-a-tag-{n}: x" for n in range(48)) + "}}}",
    ),
}


@pytest.mark.parametrize("world", LONG_WORLDS.values(), ids=LONG_WORLDS)
def test_messages_stay_within_a_kilobyte_whatever_azure_says(world: tuple[str, ...]) -> None:
    result = report(Assessment(snapshot(*world)), None, NOW)
    every = [
        *result.status.conditions,
        *(condition for _, status in result.organizations for condition in status.conditions),
    ]
    assert all(len(condition.message.encode()) <= 1024 for condition in every)
    assert any("…" in condition.message for condition in every)


@pytest.mark.parametrize(
    ("world", "kind", "what_to_do"),
    [
        ("a failed exchange", "Authorized", "get a new one-time code and put it into key code of Secret defender-code"),
        (
            "a lost authorization",
            "Authorized",
            "Authorize connector contoso in the Defender portal as mdc@contoso.com.",
        ),
        ("a failed change", "Provisioned", "The operator retries within minutes."),
        ("a sign-in", "ReauthRequired", "Defender still works; the operator's checks have stopped."),
        ("a holder", "OrganizationsAvailable", "Remove it there, or exclude it here."),
    ],
)
def test_the_fix_is_never_truncated(world: str, kind: str, what_to_do: str) -> None:
    actual = reported_condition(kind, *LONG_WORLDS[world])
    assert actual is not None
    assert what_to_do in actual.message
