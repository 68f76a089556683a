"""Authorized, SignedIn and ReauthRequired, with each of their reasons."""

from __future__ import annotations

from dataclasses import replace

import pytest

from defender_devops.api.conditions import find_condition, is_true
from defender_devops.api.reasons import REASONS, ConditionType
from defender_devops.reconcile.facts.assessment import assess
from defender_devops.reconcile.facts.snapshot import Failure
from defender_devops.reconcile.report.report import report
from tests.unit.reconcile.builder import NOW, SPENT_CODE, snapshot, with_status
from tests.unit.reconcile.cases import ABSENT, CODE, FRESH, NO_CONFIGURATION, OBSERVE
from tests.unit.reconcile.says import (
    AUTHORIZED,
    EXCHANGE_FAILED,
    FORBIDDEN,
    NEVER_AUTHORIZED,
    PENDING,
    REVOKED,
    SIGN_IN,
    UNREAD,
    WHO,
    Says,
    condition,
    signed_in,
    unreadable,
)

PAGE = "{url: https://sign-in.contoso.com/security/contoso}"
AUTHORIZED_CASES = [
    Says(
        "a step that failed for another reason says nothing about it",
        (),
        "Authorized",
        "True",
        "Authorized",
        failure=Failure("Forbidden", "m", terminal=True),
    ),
    Says("it works", (), "Authorized", "True", "Authorized"),
    Says(
        "nobody has authorized",
        (ABSENT, FRESH, WHO),
        "Authorized",
        "False",
        "AwaitingAuthorization",
        ("Authorize connector contoso in the Defender portal as mdc@contoso.com.",),
    ),
    Says(
        "nobody has brought a code",
        (ABSENT, FRESH, CODE),
        "Authorized",
        "False",
        "AwaitingAuthorization",
        ("no Secret defender-code",),
    ),
    Says(
        "a code that was refused",
        (ABSENT, FRESH, CODE, "code: refused"),
        "Authorized",
        "False",
        "AuthorizationCodeInvalid",
        ("code of Entra ID",),
    ),
    Says(
        "a code that was sent and came to nothing",
        (
            NO_CONFIGURATION,
            CODE,
            "code: spent",
            f"status: {{authorization: {{lastAuthorizedAt: null, codeHash: {SPENT_CODE}}}}}",
        ),
        "Authorized",
        "False",
        "AwaitingAuthorization",
        ("sent before", "get a new one-time code"),
    ),
    Says(
        "a code and a page to paste it on",
        (
            NO_CONFIGURATION,
            FRESH,
            CODE,
            SIGN_IN,
            signed_in(PAGE),
            "code: spent",
            f"status: {{authorization: {{codeHash: {SPENT_CODE}}}}}",
        ),
        "Authorized",
        "False",
        "AwaitingAuthorization",
        ("or enter it on the connector's page (status.signIn.url)",),
    ),
    Says(
        "under Observe no code is asked for",
        (ABSENT, FRESH, CODE, OBSERVE, "code: refused"),
        "Authorized",
        "False",
        "AwaitingAuthorization",
        ("in the Defender portal",),
    ),
    Says(
        "the code is being exchanged",
        (PENDING, CODE, NEVER_AUTHORIZED),
        "Authorized",
        "Unknown",
        "AwaitingAuthorization",
        ("redeeming the one-time code",),
    ),
    Says(
        "the portal's authorization is being taken up",
        (PENDING, NEVER_AUTHORIZED),
        "Authorized",
        "Unknown",
        "AwaitingAuthorization",
        ("validating its authorization",),
    ),
    Says("another operation is under way", (PENDING, AUTHORIZED), "Authorized", "True", "Authorized"),
    Says(
        "a new code is being exchanged after a loss",
        (PENDING, CODE, "status: {conditions: [{type: Authorized, status: 'False', reason: AuthorizationLost}]}"),
        "Authorized",
        "Unknown",
        "AwaitingAuthorization",
    ),
    Says(
        "the exchange failed",
        (EXCHANGE_FAILED, CODE, NEVER_AUTHORIZED),
        "Authorized",
        "False",
        "TokenExchangeFailed",
        ("InvalidOAuthCode.", "cannot be used again", "get a new one-time code"),
    ),
    Says(
        "the exchange failed with Adopt",
        (EXCHANGE_FAILED, NEVER_AUTHORIZED),
        "Authorized",
        "False",
        "TokenExchangeFailed",
        ("in the Defender portal",),
    ),
    Says(
        "the exchange failed at once",
        (NO_CONFIGURATION, CODE, NEVER_AUTHORIZED),
        "Authorized",
        "False",
        "TokenExchangeFailed",
        ("It is spent", "get a new one-time code"),
        Failure("TokenExchangeFailed", "It is spent.", terminal=True),
    ),
    Says(
        "the exchange of a further code failed",
        (
            EXCHANGE_FAILED,
            CODE,
            "status: {conditions: [{type: Authorized, status: Unknown, reason: AwaitingAuthorization}]}",
        ),
        "Authorized",
        "False",
        "TokenExchangeFailed",
    ),
    Says(
        "an operation showed that it is lost",
        (EXCHANGE_FAILED, AUTHORIZED),
        "Authorized",
        "False",
        "AuthorizationLost",
        ("InvalidOAuthCode",),
    ),
    Says(
        "… and at the second look too",
        (EXCHANGE_FAILED, "status: {conditions: [{type: Authorized, status: 'False', reason: AuthorizationLost}]}"),
        "Authorized",
        "False",
        "AuthorizationLost",
    ),
    Says(
        "the probe showed that it is lost",
        (REVOKED, AUTHORIZED, WHO),
        "Authorized",
        "False",
        "AuthorizationLost",
        (
            "authorized on 2026-02-01 08:00 UTC",
            "with the account mdc@contoso.com",
            "It was revoked.",
            "Authorize connector contoso in the Defender portal as mdc@contoso.com",
        ),
    ),
    Says(
        "the probe finds it revoked, and there is a page to sign in at",
        (
            REVOKED,
            AUTHORIZED,
            SIGN_IN,
            signed_in("{signed_in: true, account: mdc@contoso.com, url: 'https://page.test/x'}"),
        ),
        "Authorized",
        "False",
        "AuthorizationLost",
        (
            "Defender portal as mdc@contoso.com. Then sign in on the connector's page (status.signIn.url) to have it ",
            "(status.signIn.url) to have it checked at once.",
        ),
    ),
    Says(
        "the probe finds it revoked, and the page takes a new code too",
        (REVOKED, AUTHORIZED, SIGN_IN, CODE, signed_in("{signed_in: true, url: 'https://page.test/x'}")),
        "Authorized",
        "False",
        "AuthorizationLost",
        (
            "or enter it on the connector's page (status.signIn.url). It is valid for minutes. Then sign in on the ",
            "(status.signIn.url) to have it checked at once.",
        ),
    ),
    Says(
        "the probe answers with nobody where there were some",
        ("{azure: {available: none}, status: {discovery: {organizations: {available: 2}}}}",),
        "Authorized",
        "False",
        "AuthorizationLost",
        ("no longer reaches any organization",),
    ),
    Says(
        "the probe answers with nobody where there never were any",
        ("azure: {available: none, organizations: null}",),
        "Authorized",
        "True",
        "Authorized",
    ),
    Says(
        "the checks found the account gone",
        (SIGN_IN, signed_in("{signed_in: true, authorizing_account_lost: the account is gone}")),
        "Authorized",
        "False",
        "AuthorizationLost",
        ("the account is gone",),
    ),
    Says(
        "the connector was deleted",
        (ABSENT, AUTHORIZED),
        "Authorized",
        "False",
        "AuthorizationLost",
        ("connector was deleted",),
    ),
    Says(
        "the configuration was deleted",
        (NO_CONFIGURATION, AUTHORIZED),
        "Authorized",
        "False",
        "AuthorizationLost",
        ("DevOps configuration was deleted",),
    ),
    Says(
        "the probe was throttled",
        (AUTHORIZED, "azure: {probe: {reason: Throttled, message: slow}}"),
        "Authorized",
        "True",
        "Authorized",
    ),
    Says("our own rights are missing", (AUTHORIZED, FORBIDDEN), "Authorized", "True", "Authorized"),
    Says("nobody knows yet", (UNREAD, unreadable("Forbidden", terminal=True)), "Authorized", "Unknown", "NotChecked"),
    Says(
        "Azure is down",
        (AUTHORIZED, unreadable("AzureUnavailable", terminal=False)),
        "Authorized",
        "True",
        "Authorized",
    ),
]

SIGNED_IN_CASES = [
    Says("absent without a sign-in", (), "SignedIn"),
    Says(
        "absent after the block was removed",
        ("status: {conditions: [{type: SignedIn, status: 'True', reason: SignedIn}]}",),
        "SignedIn",
    ),
    Says("absent while nothing is known", (SIGN_IN,), "SignedIn"),
    Says(
        "somebody is",
        (SIGN_IN, signed_in("{signed_in: true, account: mdc@contoso.com}")),
        "SignedIn",
        "True",
        "SignedIn",
        ("mdc@contoso.com",),
    ),
    Says(
        "a service principal is",
        (SIGN_IN, signed_in("{signed_in: true}")),
        "SignedIn",
        "True",
        "SignedIn",
        ("service principal",),
    ),
    *(
        Says(
            f"not, with {reason}",
            (SIGN_IN, signed_in(f"{{signed_in: false, reason: {reason}, message: Do this.}}")),
            "SignedIn",
            "False",
            reason,
            ("Do this.",),
        )
        for reason in (
            "SignInRequired",
            "WrongAccount",
            "WrongTenant",
            "ConsentRequired",
            "AccountBlocked",
            "OAuthAppMisconfigured",
        )
    ),
    Says(
        "Entra does not answer",
        (SIGN_IN, signed_in("{signed_in: null, reason: TokenServiceUnavailable, message: Wait.}")),
        "SignedIn",
        "Unknown",
        "TokenServiceUnavailable",
    ),
    Says(
        "Entra does not answer, and a person was already asked for",
        (
            SIGN_IN,
            "status: {conditions: [{type: SignedIn, status: 'False', reason: SignInRequired, message: Sign in.}]}",
            signed_in("{signed_in: null, reason: TokenServiceUnavailable, message: Wait.}"),
        ),
        "SignedIn",
        "False",
        "SignInRequired",
        ("Sign in.",),
    ),
    Says(
        "not looked at yet: the last word stands",
        (
            SIGN_IN,
            "status: {conditions: [{type: SignedIn, status: 'True', reason: SignedIn}]}",
            signed_in("{signed_in: null, reason: NotChecked}"),
        ),
        "SignedIn",
        "True",
        "SignedIn",
    ),
    Says(
        "Azure is down: the last word stands",
        (
            SIGN_IN,
            "status: {conditions: [{type: SignedIn, status: 'True', reason: SignedIn}]}",
            unreadable("Forbidden", terminal=True),
        ),
        "SignedIn",
        "True",
        "SignedIn",
    ),
]

WORKED = "status: {signIn: {tenantId: 11111111-1111-1111-1111-111111111111}}"


def lost(reason: str) -> str:
    return signed_in(f"{{signed_in: false, is_lost: true, reason: {reason}, message: Sign in at the page.}}")


def told(kind: str, status: str, reason: str) -> str:
    return f"status: {{conditions: [{{type: {kind}, status: '{status}', reason: {reason}, message: Do it.}}]}}"


BY_SERVICE_PRINCIPAL = """
spec: {signIn: {method: ServicePrincipal, client: {type: Federated, id: 55555555-5555-5555-5555-555555555555}}}
"""
SILENT = signed_in("{signed_in: null, reason: TokenServiceUnavailable, message: Wait.}")
NEVER = signed_in("{signed_in: false, reason: SignInRequired, message: Sign in at the page.}")
CONTINUES = "Sign in at the page. Defender still works; the operator's checks have stopped."
REAUTH_CASES = [
    Says("nothing has stopped", (), "ReauthRequired", "False", "NotRequired"),
    Says("nothing has stopped that never worked", (ABSENT, FRESH), "ReauthRequired", "False", "NotRequired"),
    Says(
        "a first code that failed is no renewal",
        (EXCHANGE_FAILED, CODE, NEVER_AUTHORIZED),
        "ReauthRequired",
        "False",
        "NotRequired",
    ),
    Says(
        "Defender's is lost",
        (REVOKED, AUTHORIZED),
        "ReauthRequired",
        "True",
        "AuthorizationLost",
        ("It was revoked", "Restore", "authorize again"),
    ),
    Says("Defender's was lost before anybody looked", (REVOKED, FRESH), "ReauthRequired", "True", "AuthorizationLost"),
    Says(
        "a renewal failed",
        (
            EXCHANGE_FAILED,
            CODE,
            "status: {conditions: [{type: Authorized, status: Unknown, reason: AwaitingAuthorization}]}",
        ),
        "ReauthRequired",
        "True",
        "TokenExchangeFailed",
    ),
    Says("the connector was deleted", (ABSENT, AUTHORIZED), "ReauthRequired", "True", "AuthorizationLost"),
    *(
        Says(
            f"the operator's is lost: {reason}", (SIGN_IN, lost(reason)), "ReauthRequired", "True", reason, (CONTINUES,)
        )
        for reason in ("SignInRequired", "WrongAccount", "WrongTenant", "ConsentRequired", "AccountBlocked")
    ),
    Says(
        "a service principal's is lost",
        (
            BY_SERVICE_PRINCIPAL,
            lost("AccountBlocked"),
        ),
        "ReauthRequired",
        "True",
        "AccountBlocked",
        (CONTINUES,),
    ),
    Says(
        "both are lost, Defender's first",
        (SIGN_IN, REVOKED, AUTHORIZED, lost("SignInRequired")),
        "ReauthRequired",
        "True",
        "AuthorizationLost",
        ("It was revoked", "The operator's own sign-in has stopped as well: see SignedIn."),
    ),
    Says(
        "the operator's is lost while nobody knows how Defender's stands",
        (SIGN_IN, lost("SignInRequired"), "azure: {available: unknown}"),
        "ReauthRequired",
        "True",
        "SignInRequired",
        ("Sign in at the page. The operator's checks stop.",),
    ),
    Says("nobody has signed in yet", (SIGN_IN, NEVER), "ReauthRequired", "False", "NotRequired"),
    *(
        Says(
            f"signing in does not mend the app: {reason}",
            (SIGN_IN, lost(reason)),
            "ReauthRequired",
            "False",
            "NotRequired",
        )
        for reason in ("OAuthAppMisconfigured", "CredentialsMissing")
    ),
    Says("an outage of Entra is no loss", (SIGN_IN, WORKED, SILENT), "ReauthRequired", "False", "NotRequired"),
    *(
        Says(
            f"a loss stands {when}",
            (SIGN_IN, WORKED, told("SignedIn", "False", "SignInRequired"), *silence),
            "ReauthRequired",
            "True",
            "SignInRequired",
            ("Do it. The operator's checks stop.",),
        )
        for when, silence in (
            ("during an outage of Entra after a restart", (SILENT, "azure: {available: unknown}")),
            (
                "before the first look",
                (signed_in("{signed_in: null, reason: NotChecked}"), "azure: {available: unknown}"),
            ),
            ("while Azure cannot be read", (unreadable("Forbidden", terminal=True),)),
        )
    ),
    Says(
        "an app that needed no person still does not while nobody can tell",
        (SIGN_IN, WORKED, told("SignedIn", "False", "OAuthAppMisconfigured"), SILENT),
        "ReauthRequired",
        "False",
        "NotRequired",
    ),
    Says(
        "nobody had signed in, and nobody can tell",
        (SIGN_IN, told("SignedIn", "False", "SignInRequired"), SILENT),
        "ReauthRequired",
        "False",
        "NotRequired",
    ),
    Says(
        "without a sign-in none is lost",
        (WORKED, told("SignedIn", "False", "SignInRequired")),
        "ReauthRequired",
        "False",
        "NotRequired",
    ),
    Says(
        "while nothing is known the last word stands",
        (told("Authorized", "False", "AuthorizationLost"), unreadable("Forbidden", terminal=True)),
        "ReauthRequired",
        "True",
        "AuthorizationLost",
        ("Do it.",),
    ),
]

CASES = [*AUTHORIZED_CASES, *SIGNED_IN_CASES, *REAUTH_CASES]


def test_an_answer_that_became_empty_is_a_loss_at_each_look_until_there_is_one_again() -> None:
    world = snapshot(AUTHORIZED)
    world = with_status(world, report(assess(world), None, NOW).status)
    nobody = snapshot("azure: {available: none, organizations: null}").cloud
    for _ in range(3):
        lost = report(assess(replace(world, cloud=nobody)), None, NOW).status
        world = with_status(world, lost)
        told = find_condition(lost.conditions, "Authorized")
        assert told is not None
        assert told.reason == "AuthorizationLost"
    back = report(assess(replace(world, cloud=snapshot().cloud)), None, NOW).status
    assert is_true(back.conditions, "Authorized")


def test_an_empty_answer_is_no_loss_where_it_was_always_empty() -> None:
    nobody = "azure: {available: none, organizations: null}"
    revoked = report(assess(snapshot(nobody, REVOKED)), None, NOW).status
    assert is_true(report(assess(with_status(snapshot(nobody), revoked)), None, NOW).status.conditions, "Authorized")


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
