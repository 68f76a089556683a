"""Every way in which a sign-in ends, on the simulated cloud: seen within a check interval, and mended."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster.client import condition
from sandbox.demo.browser import Browser
from tests.support.scenarios.scenario import ACCOUNT
from tests.support.scenarios.sign_in_scenario import APP, PASSWORD, TOKENS, SignInScene
from tests.system.signin.conftest import CHECK_INTERVAL

SERVICE_PRINCIPAL = {"method": "ServicePrincipal", "account": None}
SLACK = 20
"""Seconds beyond the check interval, for a busy machine; that one is enough, the unit tests show by their clock."""


def signed_in(scene: SignInScene) -> None:
    scene.connect()
    scene.sign_in()
    scene.wait("SignedIn", "True", timeout=30)


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
def test_a_loss_is_seen_within_one_check_interval_and_leaves_the_connector_ready(
    scene: SignInScene, lose: Callable[[ControlClient], None], reason: str
) -> None:
    signed_in(scene)
    scene.wait("Ready", "True")
    lose(scene.control)
    body = scene.wait("ReauthRequired", "True", reason, timeout=CHECK_INTERVAL + SLACK)
    assert condition(body, "SignedIn")["status"] == "False"
    assert condition(body, "SignedIn")["reason"] == reason
    assert condition(body, "Ready")["status"] == "True"
    told = condition(body, "ReauthRequired")["message"]
    assert ACCOUNT in told
    assert scene.address() in told
    assert scene.tokens()["refresh-token"], "nothing stored is thrown away"


@pytest.mark.parametrize("change", [{"deleted": True}, {"blocked": True}], ids=["removed", "disabled"])
def test_an_account_that_is_gone_takes_defenders_authorization_with_it_and_that_comes_first(
    scene: SignInScene, change: dict[str, bool]
) -> None:
    signed_in(scene)
    scene.wait("Ready", "True")
    scene.control.change_account(ACCOUNT, **change)
    scene.wait("SignedIn", "False", "AccountBlocked", timeout=CHECK_INTERVAL + SLACK)
    scene.wait("ReauthRequired", "True", "AuthorizationLost", timeout=CHECK_INTERVAL + SLACK)
    scene.wait("Ready", "False", timeout=SLACK)


def test_a_changed_password_leaves_the_sign_in_alone(scene: SignInScene) -> None:
    """Refresh tokens of a confidential client survive it; only revoked sessions do not."""
    signed_in(scene)
    before = scene.tokens()["refresh-token"]
    scene.control.change_account(ACCOUNT, password="another-password")
    scene.kube.wait(
        "Secret", TOKENS, scene.namespace, until=lambda body: value(body, "refresh-token") != before, timeout=30
    )
    scene.wait("SignedIn", "True", timeout=SLACK)


def value(secret: dict[str, Any], key: str) -> str:
    return base64.b64decode(secret["data"][key]).decode()


def test_an_expired_app_secret_is_told_and_a_new_one_takes_effect_at_once(scene: SignInScene) -> None:
    signed_in(scene)
    app, old = "defender-devops-sign-in", {"value": "sandbox-sign-in-secret", "expiresIn": 86400}
    scene.control.change_application(app, secrets=[old])
    scene.control.move(0, wall=2 * 86400)
    body = scene.wait("SignedIn", "False", "OAuthAppMisconfigured", timeout=CHECK_INTERVAL + SLACK)
    assert "AADSTS7000222" in condition(body, "SignedIn")["message"]
    assert condition(body, "ReauthRequired")["status"] == "False", "no person has to sign in for that"
    scene.control.change_application(app, secrets=[old, {"value": "a-new-secret"}])
    scene.secret("signin-app", client_secret="not quite")
    scene.wait_until(lambda body: "AADSTS7000215" in condition(body, "SignedIn").get("message", ""), timeout=SLACK)
    scene.secret("signin-app", client_secret="a-new-secret")
    scene.wait("SignedIn", "True", timeout=SLACK)


def test_an_hours_outage_loses_no_token_and_asks_nobody_to_sign_in(scene: SignInScene) -> None:
    signed_in(scene)
    scene.wait("PrerequisitesMet", "True", timeout=CHECK_INTERVAL + SLACK)
    outage = {"error": "temporarily_unavailable", "error_codes": [90033]}
    scene.control.fault(service="authority", path="oauth2/v2.0/token", times=None, status=503, body=outage)
    scene.wait("SignedIn", "Unknown", "TokenServiceUnavailable", timeout=CHECK_INTERVAL + SLACK)
    before = scene.tokens()["refresh-token"]
    scene.control.move(0, wall=3600)
    scene.wait_request(path="oauth2/v2.0/token", times=3)
    body = scene.wait("SignedIn", "Unknown", "TokenServiceUnavailable", timeout=SLACK)
    assert condition(body, "ReauthRequired")["status"] == "False"
    assert condition(body, "PrerequisitesMet")["status"] == "True", "what was found last stands"
    assert scene.tokens()["refresh-token"] == before
    scene.control.clear_faults()
    scene.wait("SignedIn", "True", timeout=3 * CHECK_INTERVAL + SLACK)
    assert scene.tokens()["refresh-token"] != before


def test_answers_that_are_cut_off_lose_no_token(scene: SignInScene) -> None:
    signed_in(scene)
    scene.control.fault(service="authority", path="oauth2/v2.0/token", times=3, cut="after")
    scene.wait("SignedIn", "Unknown", "TokenServiceUnavailable", timeout=CHECK_INTERVAL + SLACK)
    scene.wait("SignedIn", "True", timeout=30)


def test_another_tenants_account_is_refused_with_both_tenants_named(scene: SignInScene) -> None:
    scene.connect()
    with Browser(scene.ca) as browser:
        browser.open(scene.address())
        browser.press("Sign in with Microsoft")
        browser.press("Sign in", loginfmt="megan@litware.com", passwd=PASSWORD)
        assert "does not exist in tenant" in browser.text or "50020" in browser.text
    assert "refresh-token" not in scene.tokens()


def test_rights_lost_in_azure_devops_are_told_and_come_back(scene: SignInScene) -> None:
    signed_in(scene)
    scene.wait("PrerequisitesMet", "True", timeout=CHECK_INTERVAL + SLACK)
    scene.control.change_organization("contoso", third_party_oauth=False)
    body = scene.wait("PrerequisitesMet", "False", timeout=2 * CHECK_INTERVAL + SLACK)
    assert "Policies" in condition(body, "PrerequisitesMet")["message"]
    scene.control.change_organization("contoso", third_party_oauth=True)
    scene.wait("PrerequisitesMet", "True", timeout=2 * CHECK_INTERVAL + SLACK)


def test_a_service_principal_signs_in_by_itself(scene: SignInScene) -> None:
    scene.connect(SERVICE_PRINCIPAL)
    body = scene.wait("SignedIn", "True", timeout=30)
    assert body["status"]["signIn"]["tenantId"]
    assert "account" not in body["status"]["signIn"]
    assert scene.tokens() == {}


def test_a_refresh_token_that_is_handed_in_is_taken_over_and_renewed(scene: SignInScene) -> None:
    signed_in(scene)
    token = scene.tokens()["refresh-token"]
    scene.secret("handed-in", token=token)
    scene.connect(
        {
            "method": "RefreshToken",
            "refreshTokenSecretRef": {"name": "handed-in", "key": "token"},
            "tokenSecretName": "taken-over",
            "client": {"id": APP, "type": "Secret", "secretRef": {"name": "signin-app", "key": "client-secret"}},
        }
    )
    scene.kube.wait("Secret", "taken-over", scene.namespace, until=lambda body: "account" in body.get("data", {}))
    scene.wait("SignedIn", "True", timeout=30)
