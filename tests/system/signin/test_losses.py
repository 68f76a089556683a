"""Every way in which a sign-in ends, on the simulated cloud: reported within a check interval, and restored."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster.client import condition
from sandbox.demo.browser import Browser
from tests.support.scenarios.scenario import ACCOUNT
from tests.support.scenarios.sign_in_scenario import APP, PASSWORD, TOKENS, SignInScenario
from tests.system.signin.conftest import CHECK_INTERVAL

SERVICE_PRINCIPAL = {"method": "ServicePrincipal", "account": None}
SLACK = 20
"""Seconds beyond the check interval, for a busy machine. That one interval is enough is shown by the unit tests."""


def signed_in(scenario: SignInScenario) -> None:
    scenario.connect()
    scenario.sign_in()
    scenario.wait("SignedIn", "True", timeout=30)


def revoked(control: ControlClient) -> None:
    control.change_account(ACCOUNT, revoke_sessions=True)


LOSSES: list[tuple[str, Callable[[ControlClient], None], str]] = [
    ("90 days without use", lambda control: control.move(0, wall=91 * 86400), "SignInRequired"),
    ("sessions revoked", revoked, "SignInRequired"),
    ("account locked", lambda control: control.change_account(ACCOUNT, locked=True), "AccountBlocked"),
    (
        "Conditional Access",
        lambda control: control.change_account(ACCOUNT, conditional_access="Block"),
        "AccountBlocked",
    ),
    ("consent withdrawn", lambda control: control.change_account(ACCOUNT, withdraw_consent=True), "ConsentRequired"),
]


@pytest.mark.parametrize(("lose", "reason"), [row[1:] for row in LOSSES], ids=[row[0] for row in LOSSES])
def test_a_loss_is_reported_within_one_check_interval_and_the_connector_stays_ready(
    scenario: SignInScenario, lose: Callable[[ControlClient], None], reason: str
) -> None:
    signed_in(scenario)
    scenario.wait("Ready", "True")
    lose(scenario.control)
    body = scenario.wait("ReauthRequired", "True", reason, timeout=CHECK_INTERVAL + SLACK)
    assert condition(body, "SignedIn")["status"] == "False"
    assert condition(body, "SignedIn")["reason"] == reason
    assert condition(body, "Ready")["status"] == "True"
    reauth_message = condition(body, "ReauthRequired")["message"]
    assert ACCOUNT in reauth_message
    assert "status.signIn.url" in reauth_message
    assert scenario.address() not in reauth_message
    assert scenario.tokens()["refresh-token"], "the stored tokens are kept"


@pytest.mark.parametrize("change", [{"deleted": True}, {"blocked": True}], ids=["removed", "disabled"])
def test_a_removed_account_ends_defenders_authorization_and_that_is_reported_first(
    scenario: SignInScenario, change: dict[str, bool]
) -> None:
    signed_in(scenario)
    scenario.wait("Ready", "True")
    scenario.control.change_account(ACCOUNT, **change)
    scenario.wait("SignedIn", "False", "AccountBlocked", timeout=CHECK_INTERVAL + SLACK)
    scenario.wait("ReauthRequired", "True", "AuthorizationLost", timeout=CHECK_INTERVAL + SLACK)
    scenario.wait("Ready", "False", timeout=SLACK)


def test_a_changed_password_does_not_end_the_sign_in(scenario: SignInScenario) -> None:
    """Refresh tokens of a confidential client stay valid after it, but not after sessions are revoked."""
    signed_in(scenario)
    first_token = scenario.tokens()["refresh-token"]
    scenario.control.change_account(ACCOUNT, password="another-password")
    scenario.kube.wait(
        "Secret", TOKENS, scenario.namespace, until=lambda body: value(body, "refresh-token") != first_token, timeout=30
    )
    scenario.wait("SignedIn", "True", timeout=SLACK)


def value(secret: dict[str, Any], key: str) -> str:
    return base64.b64decode(secret["data"][key]).decode()


def test_an_expired_app_secret_is_reported_and_a_new_one_takes_effect_at_once(scenario: SignInScenario) -> None:
    signed_in(scenario)
    app, old = "defender-devops-sign-in", {"value": "sandbox-sign-in-secret", "expiresIn": 86400}
    scenario.control.change_application(app, secrets=[old])
    scenario.control.move(0, wall=2 * 86400)
    body = scenario.wait("SignedIn", "False", "OAuthAppMisconfigured", timeout=CHECK_INTERVAL + SLACK)
    assert "AADSTS7000222" in condition(body, "SignedIn")["message"]
    assert condition(body, "ReauthRequired")["status"] == "False", "no person has to sign in"
    scenario.control.change_application(app, secrets=[old, {"value": "a-new-secret"}])
    scenario.secret("signin-app", client_secret="not quite")
    scenario.wait_until(lambda body: "AADSTS7000215" in condition(body, "SignedIn").get("message", ""), timeout=SLACK)
    scenario.secret("signin-app", client_secret="a-new-secret")
    scenario.wait("SignedIn", "True", timeout=SLACK)


def test_an_outage_of_an_hour_loses_no_token_and_requires_no_sign_in(scenario: SignInScenario) -> None:
    signed_in(scenario)
    scenario.wait("PrerequisitesMet", "True", timeout=CHECK_INTERVAL + SLACK)
    outage = {"error": "temporarily_unavailable", "error_codes": [90033]}
    scenario.control.fault(service="authority", path="oauth2/v2.0/token", times=None, status=503, body=outage)
    scenario.wait("SignedIn", "Unknown", "TokenServiceUnavailable", timeout=CHECK_INTERVAL + SLACK)
    first_token = scenario.tokens()["refresh-token"]
    scenario.control.move(0, wall=3600)
    scenario.wait_request(path="oauth2/v2.0/token", times=3)
    body = scenario.wait("SignedIn", "Unknown", "TokenServiceUnavailable", timeout=SLACK)
    assert condition(body, "ReauthRequired")["status"] == "False"
    assert condition(body, "PrerequisitesMet")["status"] == "True", "the last result is kept"
    assert scenario.tokens()["refresh-token"] == first_token
    scenario.control.clear_faults()
    scenario.wait("SignedIn", "True", timeout=3 * CHECK_INTERVAL + SLACK)
    assert scenario.tokens()["refresh-token"] != first_token


def test_truncated_responses_lose_no_token(scenario: SignInScenario) -> None:
    signed_in(scenario)
    scenario.control.fault(service="authority", path="oauth2/v2.0/token", times=3, cut="after")
    scenario.wait("SignedIn", "Unknown", "TokenServiceUnavailable", timeout=CHECK_INTERVAL + SLACK)
    scenario.wait("SignedIn", "True", timeout=30)


def test_an_account_of_another_tenant_is_rejected(scenario: SignInScenario) -> None:
    scenario.connect()
    with Browser(scenario.ca) as browser:
        browser.open(scenario.address())
        browser.press("Sign in with Microsoft")
        browser.press("Sign in", loginfmt="megan@litware.com", passwd=PASSWORD)
        assert "does not exist in tenant" in browser.text or "50020" in browser.text
    assert "refresh-token" not in scenario.tokens()


def test_removed_rights_in_azure_devops_are_reported_and_so_is_their_return(scenario: SignInScenario) -> None:
    signed_in(scenario)
    scenario.wait("PrerequisitesMet", "True", timeout=CHECK_INTERVAL + SLACK)
    scenario.control.change_organization("contoso", third_party_oauth=False)
    body = scenario.wait("PrerequisitesMet", "False", timeout=2 * CHECK_INTERVAL + SLACK)
    assert "Policies" in condition(body, "PrerequisitesMet")["message"]
    scenario.control.change_organization("contoso", third_party_oauth=True)
    scenario.wait("PrerequisitesMet", "True", timeout=2 * CHECK_INTERVAL + SLACK)


def test_a_service_principal_signs_in_by_itself(scenario: SignInScenario) -> None:
    scenario.connect(SERVICE_PRINCIPAL)
    body = scenario.wait("SignedIn", "True", timeout=30)
    assert body["status"]["signIn"]["tenantId"]
    assert "account" not in body["status"]["signIn"]
    assert scenario.tokens() == {}


def test_a_user_supplied_refresh_token_is_imported_and_renewed(scenario: SignInScenario) -> None:
    signed_in(scenario)
    token = scenario.tokens()["refresh-token"]
    scenario.secret("handed-in", token=token)
    scenario.connect(
        {
            "method": "RefreshToken",
            "refreshTokenSecretRef": {"name": "handed-in", "key": "token"},
            "tokenSecretName": "imported",
            "client": {"id": APP, "type": "Secret", "secretRef": {"name": "signin-app", "key": "client-secret"}},
        }
    )
    scenario.kube.wait("Secret", "imported", scenario.namespace, until=lambda body: "account" in body.get("data", {}))
    scenario.wait("SignedIn", "True", timeout=30)
