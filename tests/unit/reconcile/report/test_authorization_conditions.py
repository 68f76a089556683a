"""Authorized, SignedIn and ReauthRequired, with each of their reasons."""

from __future__ import annotations

from dataclasses import replace

import pytest

from defender_devops.api.conditions import find_condition, is_true
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.report.report import report
from tests.unit.reconcile.builder import NOW, SPENT_CODE, snapshot, with_status
from tests.unit.reconcile.cases import ABSENT, CODE, FRESH, NO_CONFIGURATION, OBSERVE
from tests.unit.reconcile.condition_cases import (
    AUTHORIZED,
    EXCHANGE_FAILED,
    FORBIDDEN,
    NEVER_AUTHORIZED,
    PENDING,
    REVOKED,
    SIGN_IN,
    UNREAD,
    WEIRD,
    WHO,
    ConditionCase,
    assert_condition,
    assert_reasons_are_documented,
    signed_in,
    unreadable,
)

BROWSER_SIGN_IN = SIGN_IN.replace("DeviceCode", "AuthorizationCode").replace("client: {", "client: {type: Federated, ")
"""Only a browser that has signed in may enter a code on the page."""

DISCOVERY_FAILED = (
    "azure: {configuration: {state: Failed, message: 'AzureDevOps token exchange failed: InvalidOAuthCode.'}}"
)
"""An operation failed for the authorization, but Azure still lists the organizations."""
FAILED_SILENTLY = "azure: {configuration: {state: Failed, message: ''}}"
NOTHING_LISTED = "azure: {organizations: null, available: none}"
RELIED = "azure: {relied: true}"
"""The operation is a change that the operator has sent without a code."""
REPORTED_LOSS = "azure: {reportedLoss: true}"
WAS_LOST = "status: {conditions: [{type: Authorized, status: 'False', reason: AuthorizationLost}]}"
SENT = f"status: {{authorization: {{lastAuthorizedAt: null, codeHash: {SPENT_CODE}}}}}"

PAGE = "{url: https://sign-in.contoso.com/security/contoso}"
CONTRADICTIONS = [
    ConditionCase(
        "an operation that failed before the check worked again is outweighed",
        (DISCOVERY_FAILED, AUTHORIZED),
        "Authorized",
        "True",
        "Authorized",
    ),
    ConditionCase(
        "the operator's own change failed for the authorization, whatever an old list says",
        (DISCOVERY_FAILED, AUTHORIZED, RELIED),
        "Authorized",
        "False",
        "AuthorizationLost",
        ("token exchange failed",),
    ),
    ConditionCase(
        "a loss that only the operator's own change shows needs a person",
        (DISCOVERY_FAILED, AUTHORIZED, RELIED),
        "ReauthRequired",
        "True",
        "AuthorizationLost",
    ),
    ConditionCase(
        "a list that has followed the authorization outweighs an older failure",
        (DISCOVERY_FAILED, AUTHORIZED, RELIED, REPORTED_LOSS),
        "Authorized",
        "True",
        "Authorized",
    ),
    ConditionCase(
        "after a restart a list does not end a loss that the state of the configuration still shows",
        (DISCOVERY_FAILED, WAS_LOST),
        "Authorized",
        "Unknown",
        "CheckUnavailable",
        ("may be an old answer", "token exchange failed", "The operator repeats the operation"),
    ),
    ConditionCase(
        "after a restart it is not known whether a person is needed",
        (DISCOVERY_FAILED, WAS_LOST),
        "ReauthRequired",
        "Unknown",
        "CheckUnavailable",
    ),
    ConditionCase(
        "a check that was refused and succeeds ends a loss",
        (DISCOVERY_FAILED, WAS_LOST, REPORTED_LOSS),
        "Authorized",
        "True",
        "Authorized",
    ),
    ConditionCase(
        "with Observe the operator cannot find out",
        (DISCOVERY_FAILED, AUTHORIZED, OBSERVE),
        "Authorized",
        "Unknown",
        "CheckUnavailable",
        ("authorize again", "may be an old answer"),
    ),
    ConditionCase(
        "an own change that failed without a message leaves it open",
        (FAILED_SILENTLY, AUTHORIZED, RELIED),
        "Authorized",
        "Unknown",
        "CheckUnavailable",
        ("failed without a message",),
    ),
    ConditionCase(
        "an own change that failed without a message is no false alarm",
        (FAILED_SILENTLY, AUTHORIZED, RELIED),
        "ReauthRequired",
        "Unknown",
        "CheckUnavailable",
    ),
    ConditionCase(
        "a list that is empty now is a loss, whatever the operation says",
        (FAILED_SILENTLY, NOTHING_LISTED, AUTHORIZED, "status: {discovery: {organizations: {available: 2}}}"),
        "Authorized",
        "False",
        "AuthorizationLost",
    ),
    *(
        ConditionCase(
            f"a first code that was not redeemed is no loss: {title}",
            (FAILED_SILENTLY, "azure: {organizations: null, available: unknown}", REVOKED, CODE, SENT, "code: spent"),
            kind,
            "False",
            reason,
        )
        for title, kind, reason in (
            ("the code is to be replaced", "Authorized", "TokenExchangeFailed"),
            ("nothing that worked has stopped", "ReauthRequired", "NotRequired"),
        )
    ),
    ConditionCase(
        "a first operation that failed without a message, and lists nothing, is not taken for an authorization",
        (FAILED_SILENTLY, NOTHING_LISTED, CODE, SENT, "code: spent"),
        "Authorized",
        "Unknown",
        "CheckUnavailable",
        ("lists none",),
    ),
    ConditionCase(
        "a first operation that failed without a message is not taken for an authorization, whatever a list says",
        (FAILED_SILENTLY, CODE, SENT, "code: spent"),
        "Authorized",
        "Unknown",
        "CheckUnavailable",
        ("may be an old answer",),
    ),
    ConditionCase(
        "a list that comes before the first code is redeemed proves nothing",
        ("azure: {configuration: {state: Pending}}", CODE, SENT, "code: spent"),
        "Authorized",
        "Unknown",
        "AwaitingAuthorization",
    ),
    ConditionCase(
        "a message without blanks is understood as well",
        (
            EXCHANGE_FAILED.replace("AzureDevOps token exchange failed: InvalidOAuthCode", "TokenExchangeFailed"),
            CODE,
            SENT,
        ),
        "Authorized",
        "False",
        "TokenExchangeFailed",
    ),
]
AUTHORIZED_CASES = [
    *CONTRADICTIONS,
    # unexplained refusals
    ConditionCase(
        "Azure rejects the check for an unknown reason",
        (WEIRD, AUTHORIZED),
        "Authorized",
        "Unknown",
        "CheckUnavailable",
        ("rejected the check of Defender's authorization: Azure rejected the request: Weird.",),
    ),
    ConditionCase(
        "Azure keeps rejecting the check for an unknown reason",
        (WEIRD, AUTHORIZED, "azure: {refusals: 3}"),
        "Authorized",
        "Unknown",
        "CheckUnavailable",
        ("keeps rejecting", "may be lost", "Weird.", "authorize again"),
    ),
    ConditionCase("an unknown refusal is no loss", (WEIRD, AUTHORIZED), "ReauthRequired", "False", "NotRequired"),
    *(
        ConditionCase(
            f"the operator's own access is refused: {reason}",
            (
                f"azure: {{probe: {{reason: {reason}, message: m, terminal: true, category: ACCESS}}, refusals: 9}}",
                AUTHORIZED,
            ),
            "Authorized",
            "True",
            "Authorized",
        )
        for reason in ("InvalidSpec", "Forbidden", "ProviderNotRegistered", "CredentialsMissing")
    ),
    # a code of an unusual form
    ConditionCase(
        "a code of an unusual form is being exchanged",
        (PENDING, CODE, NEVER_AUTHORIZED, "code: unusual"),
        "Authorized",
        "Unknown",
        "AwaitingAuthorization",
        ("redeeming the one-time code. The one-time code does not have the usual form.",),
    ),
    ConditionCase(
        "a code of an unusual form could not be redeemed",
        (EXCHANGE_FAILED, CODE, NEVER_AUTHORIZED, "code: unusual"),
        "Authorized",
        "False",
        "TokenExchangeFailed",
        ("The one-time code does not have the usual form.", "get a new one-time code"),
    ),
    # the account that authorizes
    ConditionCase(
        "a code of another account is not sent",
        (ABSENT, FRESH, CODE, WHO, "code: of another account"),
        "Authorized",
        "False",
        "WrongAccount",
        ("Defender was authorized as alex@contoso.com", "mdc@contoso.com"),
    ),
    ConditionCase(
        "a code of another account asks for a person",
        (ABSENT, FRESH, CODE, WHO, "code: of another account"),
        "ReauthRequired",
        "True",
        "WrongAccount",
    ),
    ConditionCase(
        "another account has authorized",
        (CODE, WHO, "status: {authorization: {account: alex@contoso.com}}"),
        "Authorized",
        "False",
        "WrongAccount",
        (
            "Defender was authorized as alex@contoso.com, not as spec.authorization.account",
            "spec.authorization.account",
        ),
    ),
    ConditionCase(
        "another account has authorized, so a person must act",
        (CODE, WHO, "status: {authorization: {account: alex@contoso.com}}"),
        "ReauthRequired",
        "True",
        "WrongAccount",
    ),
    ConditionCase(
        "the declared account has authorized, in other letters",
        (CODE, WHO, "status: {authorization: {account: MDC@Contoso.com}}"),
        "Authorized",
        "True",
        "Authorized",
    ),
    ConditionCase(
        "no account is declared",
        (CODE, "status: {authorization: {account: alex@contoso.com}}"),
        "Authorized",
        "True",
        "Authorized",
    ),
    ConditionCase(
        "a step that failed for another reason says nothing about it",
        (),
        "Authorized",
        "True",
        "Authorized",
        failure=Failure("Forbidden", "m", terminal=True),
    ),
    ConditionCase("it works", (), "Authorized", "True", "Authorized"),
    ConditionCase(
        "nobody has authorized",
        (ABSENT, FRESH, WHO),
        "Authorized",
        "False",
        "AwaitingAuthorization",
        ("Authorize connector contoso in the Defender portal as mdc@contoso.com.",),
    ),
    ConditionCase(
        "nobody has brought a code",
        (ABSENT, FRESH, CODE),
        "Authorized",
        "False",
        "AwaitingAuthorization",
        ("no Secret defender-code",),
    ),
    ConditionCase(
        "a code that was refused",
        (ABSENT, FRESH, CODE, "code: refused"),
        "Authorized",
        "False",
        "AuthorizationCodeInvalid",
        ("code of Entra ID",),
    ),
    ConditionCase(
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
    ConditionCase(
        "a code and a page to paste it on",
        (
            NO_CONFIGURATION,
            FRESH,
            CODE,
            BROWSER_SIGN_IN,
            signed_in(PAGE),
            "code: spent",
            f"status: {{authorization: {{codeHash: {SPENT_CODE}}}}}",
        ),
        "Authorized",
        "False",
        "AwaitingAuthorization",
        ("or enter it on the connector's page (status.signIn.url)",),
    ),
    ConditionCase(
        "a misspelled region of a connector to adopt",
        (ABSENT, FRESH, "spec: {azure: {location: westurope}}"),
        "Authorized",
        "False",
        "AwaitingAuthorization",
        ("in the Defender portal", "Did you mean westeurope?"),
    ),
    ConditionCase(
        "under Observe no code is asked for",
        (ABSENT, FRESH, CODE, OBSERVE, "code: refused"),
        "Authorized",
        "False",
        "AwaitingAuthorization",
        ("in the Defender portal",),
    ),
    ConditionCase(
        "the code is being exchanged",
        (PENDING, CODE, NEVER_AUTHORIZED),
        "Authorized",
        "Unknown",
        "AwaitingAuthorization",
        ("redeeming the one-time code",),
    ),
    ConditionCase(
        "the portal's authorization is being taken up",
        (PENDING, NEVER_AUTHORIZED),
        "Authorized",
        "Unknown",
        "AwaitingAuthorization",
        ("validating its authorization",),
    ),
    ConditionCase("another operation is under way", (PENDING, AUTHORIZED), "Authorized", "True", "Authorized"),
    ConditionCase(
        "a new code is being exchanged after a loss",
        (PENDING, CODE, "status: {conditions: [{type: Authorized, status: 'False', reason: AuthorizationLost}]}"),
        "Authorized",
        "Unknown",
        "AwaitingAuthorization",
    ),
    ConditionCase(
        "the exchange failed",
        (EXCHANGE_FAILED, CODE, NEVER_AUTHORIZED),
        "Authorized",
        "False",
        "TokenExchangeFailed",
        ("InvalidOAuthCode.", "cannot be used again", "get a new one-time code"),
    ),
    ConditionCase(
        "the exchange failed with Adopt",
        (EXCHANGE_FAILED, NEVER_AUTHORIZED),
        "Authorized",
        "False",
        "TokenExchangeFailed",
        ("in the Defender portal",),
    ),
    ConditionCase(
        "the exchange failed at once",
        (NO_CONFIGURATION, CODE, NEVER_AUTHORIZED),
        "Authorized",
        "False",
        "TokenExchangeFailed",
        ("It is spent", "get a new one-time code"),
        Failure("TokenExchangeFailed", "It is spent.", terminal=True),
    ),
    ConditionCase(
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
    ConditionCase(
        "an operation showed that it is lost",
        (EXCHANGE_FAILED, AUTHORIZED),
        "Authorized",
        "False",
        "AuthorizationLost",
        ("InvalidOAuthCode",),
    ),
    ConditionCase(
        "… and at the second look too",
        (EXCHANGE_FAILED, "status: {conditions: [{type: Authorized, status: 'False', reason: AuthorizationLost}]}"),
        "Authorized",
        "False",
        "AuthorizationLost",
    ),
    ConditionCase(
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
    ConditionCase(
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
            "Then sign in on the connector's page (status.signIn.url) to have it checked at once.",
        ),
    ),
    ConditionCase(
        "the probe finds it revoked, and the page takes a new code too",
        (REVOKED, AUTHORIZED, BROWSER_SIGN_IN, CODE, signed_in("{signed_in: true, url: 'https://page.test/x'}")),
        "Authorized",
        "False",
        "AuthorizationLost",
        (
            (
                "or enter it on the connector's page (status.signIn.url). The code expires after a few minutes. "
                "Then sign in on the connector's page (status.signIn.url) to have it checked at once."
            ),
        ),
    ),
    ConditionCase(
        "the probe answers with nobody where there were some",
        ("{azure: {available: none}, status: {discovery: {organizations: {available: 2}}}}",),
        "Authorized",
        "False",
        "AuthorizationLost",
        ("no longer reaches any organization",),
    ),
    ConditionCase(
        "the probe answers with nobody where there never were any",
        ("azure: {available: none, organizations: null}",),
        "Authorized",
        "True",
        "Authorized",
    ),
    ConditionCase(
        "the checks found the account gone",
        (SIGN_IN, signed_in("{signed_in: true, authorizing_account_lost: the account is gone}")),
        "Authorized",
        "False",
        "AuthorizationLost",
        ("the account is gone",),
    ),
    ConditionCase(
        "the connector was deleted",
        (ABSENT, AUTHORIZED),
        "Authorized",
        "False",
        "AuthorizationLost",
        ("connector was deleted",),
    ),
    ConditionCase(
        "the configuration was deleted",
        (NO_CONFIGURATION, AUTHORIZED),
        "Authorized",
        "False",
        "AuthorizationLost",
        ("DevOps configuration was deleted",),
    ),
    ConditionCase(
        "the probe was throttled",
        (AUTHORIZED, "azure: {probe: {reason: Throttled, message: slow}}"),
        "Authorized",
        "True",
        "Authorized",
    ),
    ConditionCase("our own rights are missing", (AUTHORIZED, FORBIDDEN), "Authorized", "True", "Authorized"),
    ConditionCase(
        "nobody knows yet", (UNREAD, unreadable("Forbidden", terminal=True)), "Authorized", "Unknown", "NotChecked"
    ),
    ConditionCase(
        "Azure is down",
        (AUTHORIZED, unreadable("AzureUnavailable", terminal=False)),
        "Authorized",
        "True",
        "Authorized",
    ),
]

SIGNED_IN_CASES = [
    ConditionCase("absent without a sign-in", (), "SignedIn"),
    ConditionCase(
        "absent after the block was removed",
        ("status: {conditions: [{type: SignedIn, status: 'True', reason: SignedIn}]}",),
        "SignedIn",
    ),
    ConditionCase("absent while nothing is known", (SIGN_IN,), "SignedIn"),
    ConditionCase(
        "somebody is",
        (SIGN_IN, signed_in("{signed_in: true, account: mdc@contoso.com}")),
        "SignedIn",
        "True",
        "SignedIn",
        ("mdc@contoso.com",),
    ),
    ConditionCase(
        "a service principal is",
        (SIGN_IN, signed_in("{signed_in: true}")),
        "SignedIn",
        "True",
        "SignedIn",
        ("service principal",),
    ),
    *(
        ConditionCase(
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
    ConditionCase(
        "Entra does not answer",
        (SIGN_IN, signed_in("{signed_in: null, reason: TokenServiceUnavailable, message: Wait.}")),
        "SignedIn",
        "Unknown",
        "TokenServiceUnavailable",
    ),
    ConditionCase(
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
    ConditionCase(
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
    ConditionCase(
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


def loss(reason: str) -> str:
    return signed_in(f"{{signed_in: false, is_lost: true, reason: {reason}, message: Sign in at the page.}}")


def authorized(kind: str, status: str, reason: str) -> str:
    return f"status: {{conditions: [{{type: {kind}, status: '{status}', reason: {reason}, message: Do it.}}]}}"


BY_SERVICE_PRINCIPAL = """
spec: {signIn: {method: ServicePrincipal, client: {type: Federated, id: 55555555-5555-5555-5555-555555555555}}}
"""
SILENT = signed_in("{signed_in: null, reason: TokenServiceUnavailable, message: Wait.}")
NEVER = signed_in("{signed_in: false, reason: SignInRequired, message: Sign in at the page.}")
CONTINUES = "Sign in at the page. Defender still works; the operator's checks have stopped."
REAUTH_CASES = [
    ConditionCase("nothing has stopped", (), "ReauthRequired", "False", "NotRequired"),
    ConditionCase("nothing has stopped that never worked", (ABSENT, FRESH), "ReauthRequired", "False", "NotRequired"),
    ConditionCase(
        "a first code that failed is no renewal",
        (EXCHANGE_FAILED, CODE, NEVER_AUTHORIZED),
        "ReauthRequired",
        "False",
        "NotRequired",
    ),
    ConditionCase(
        "Defender's is lost",
        (REVOKED, AUTHORIZED),
        "ReauthRequired",
        "True",
        "AuthorizationLost",
        ("It was revoked", "Restore", "authorize again"),
    ),
    ConditionCase(
        "Defender's was lost before anybody looked", (REVOKED, FRESH), "ReauthRequired", "True", "AuthorizationLost"
    ),
    ConditionCase(
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
    ConditionCase("the connector was deleted", (ABSENT, AUTHORIZED), "ReauthRequired", "True", "AuthorizationLost"),
    *(
        ConditionCase(
            f"the operator's is lost: {reason}", (SIGN_IN, loss(reason)), "ReauthRequired", "True", reason, (CONTINUES,)
        )
        for reason in ("SignInRequired", "WrongAccount", "WrongTenant", "ConsentRequired")
    ),
    ConditionCase(
        "the operator's account is blocked, which does not authorize Defender",
        (SIGN_IN, "spec: {authorization: {account: other@contoso.com}}", loss("AccountBlocked")),
        "ReauthRequired",
        "True",
        "AccountBlocked",
        (CONTINUES,),
    ),
    ConditionCase(
        "the operator's account is blocked, and authorizes Defender as well",
        (SIGN_IN, loss("AccountBlocked")),
        "ReauthRequired",
        "True",
        "AccountBlocked",
        ("Defender works under this account, too, so its findings may stop",),
    ),
    ConditionCase(
        "a service principal's is lost",
        (
            BY_SERVICE_PRINCIPAL,
            loss("AccountBlocked"),
        ),
        "ReauthRequired",
        "True",
        "AccountBlocked",
        (CONTINUES,),
    ),
    ConditionCase(
        "both are lost, Defender's first",
        (SIGN_IN, REVOKED, AUTHORIZED, loss("SignInRequired")),
        "ReauthRequired",
        "True",
        "AuthorizationLost",
        ("It was revoked", "The operator's own sign-in has stopped as well: see SignedIn."),
    ),
    ConditionCase(
        "the operator's is lost while nobody knows how Defender's stands",
        (SIGN_IN, loss("SignInRequired"), "azure: {available: unknown}"),
        "ReauthRequired",
        "True",
        "SignInRequired",
        ("Sign in at the page. The operator's checks have stopped.",),
    ),
    ConditionCase("nobody has signed in yet", (SIGN_IN, NEVER), "ReauthRequired", "False", "NotRequired"),
    *(
        ConditionCase(
            f"signing in does not mend the app: {reason}",
            (SIGN_IN, loss(reason)),
            "ReauthRequired",
            "False",
            "NotRequired",
        )
        for reason in ("OAuthAppMisconfigured", "CredentialsMissing")
    ),
    ConditionCase("an outage of Entra is no loss", (SIGN_IN, WORKED, SILENT), "ReauthRequired", "False", "NotRequired"),
    *(
        ConditionCase(
            f"a loss stands {moment}",
            (SIGN_IN, WORKED, authorized("SignedIn", "False", "SignInRequired"), *silence),
            "ReauthRequired",
            "True",
            "SignInRequired",
            ("Do it. The operator's checks have stopped.",),
        )
        for moment, silence in (
            ("during an outage of Entra after a restart", (SILENT, "azure: {available: unknown}")),
            (
                "before the first look",
                (signed_in("{signed_in: null, reason: NotChecked}"), "azure: {available: unknown}"),
            ),
            ("while Azure cannot be read", (unreadable("Forbidden", terminal=True),)),
        )
    ),
    ConditionCase(
        "an app that needed no person still does not while nobody can tell",
        (SIGN_IN, WORKED, authorized("SignedIn", "False", "OAuthAppMisconfigured"), SILENT),
        "ReauthRequired",
        "False",
        "NotRequired",
    ),
    ConditionCase(
        "nobody had signed in, and nobody can tell",
        (SIGN_IN, authorized("SignedIn", "False", "SignInRequired"), SILENT),
        "ReauthRequired",
        "False",
        "NotRequired",
    ),
    ConditionCase(
        "without a sign-in none is lost",
        (WORKED, authorized("SignedIn", "False", "SignInRequired")),
        "ReauthRequired",
        "False",
        "NotRequired",
    ),
    ConditionCase(
        "while nothing is known the last word stands",
        (authorized("Authorized", "False", "AuthorizationLost"), unreadable("Forbidden", terminal=True)),
        "ReauthRequired",
        "True",
        "AuthorizationLost",
        ("Do it.",),
    ),
]

CASES = [*AUTHORIZED_CASES, *SIGNED_IN_CASES, *REAUTH_CASES]


def test_an_answer_that_became_empty_stays_a_loss_until_organizations_return() -> None:
    world = snapshot(AUTHORIZED)
    world = with_status(world, report(Assessment(world), None, NOW).status)
    nobody = snapshot("azure: {available: none, organizations: null}").cloud
    for _ in range(3):
        loss = report(Assessment(replace(world, cloud=nobody)), None, NOW).status
        world = with_status(world, loss)
        authorized = find_condition(loss.conditions, "Authorized")
        assert authorized is not None
        assert authorized.reason == "AuthorizationLost"
    back = report(Assessment(replace(world, cloud=snapshot().cloud)), None, NOW).status
    assert is_true(back.conditions, "Authorized")


def test_an_answer_that_was_always_empty_is_no_loss() -> None:
    nobody = "azure: {available: none, organizations: null}"
    revoked = report(Assessment(snapshot(nobody, REVOKED)), None, NOW).status
    assert is_true(
        report(Assessment(with_status(snapshot(nobody), revoked)), None, NOW).status.conditions, "Authorized"
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_condition_states_the_problem_and_the_fix(case: ConditionCase) -> None:
    assert_condition(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_reason_is_documented_for_its_condition(case: ConditionCase) -> None:
    assert_reasons_are_documented(case)
