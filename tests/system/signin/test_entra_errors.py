"""Every error code of Entra ID, end to end: the conditions in each flow, and that they are reset afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from sandbox.cluster.client import condition
from tests.support.scenarios.scenario import ACCOUNT
from tests.support.scenarios.sign_in_scenario import APP, TOKENS, SignInScenario
from tests.system.signin.conftest import CHECK_INTERVAL

TIMEOUT = CHECK_INTERVAL + 20
TOKEN_ENDPOINT = {"service": "authority", "path": "oauth2/v2.0/token"}


@dataclass(frozen=True)
class ErrorClass:
    """A class of error codes.

    Attributes:
        numbers: AADSTS numbers; each comes with the `error` and the HTTP status that Entra ID uses for it.
        reason: of SignedIn.
        status: of SignedIn.
        reauth: whether a person must act.
    """

    numbers: tuple[int, ...]
    reason: str
    status: str = "False"
    reauth: bool = True


SIGN_IN = (50173, 70008, 700082, 70043, 70000, 50089, 50132, 50133, 50055, 50144, 50058, 50072, 50074, 50076, 50079)
CLASSES = {
    "sign in again": ErrorClass((*SIGN_IN, 50158, 53000, 53001, 700084), "SignInRequired"),
    "consent": ErrorClass((65001, 65004, 90094, 90095, 650052), "ConsentRequired"),
    "blocked": ErrorClass((50057, 50053, 50105, 50034, 50020, 51004, 53003, 530032, 53011, 500212), "AccountBlocked"),
    "app": ErrorClass((7000215, 7000222, 700016, 50011, 500011, 90002), "OAuthAppMisconfigured", reauth=False),
    "transient": ErrorClass(
        (50033, 50087, 90006, 90024, 90033, 90055, 50196), "TokenServiceUnavailable", status="Unknown", reauth=False
    ),
}
USED_CODE = (54005, 70008, 501481, 700005)


def by_code(scenario: SignInScenario) -> str:
    scenario.connect()
    scenario.sign_in()
    scenario.wait("Ready", "True")
    return "contoso"


def by_device(scenario: SignInScenario) -> str:
    scenario.only_sign_in("device", {"method": "DeviceCode", "account": ACCOUNT, "client": {"id": APP}})
    scenario.sign_in_by_device("device")
    return "device"


def client() -> dict[str, Any]:
    return {"id": APP, "type": "Secret", "secretRef": {"name": "signin-app", "key": "client-secret"}}


def by_user_supplied_token(scenario: SignInScenario) -> str:
    by_code(scenario)
    scenario.secret("handed-in", token=scenario.tokens()["refresh-token"])
    reference = {"name": "handed-in", "key": "token"}
    sign_in = {"method": "RefreshToken", "account": ACCOUNT, "client": client(), "refreshTokenSecretRef": reference}
    scenario.only_sign_in("handed-in", sign_in)
    return "handed-in"


def by_service_principal(scenario: SignInScenario) -> str:
    scenario.secret("signin-app", client_secret="sandbox-sign-in-secret")
    scenario.only_sign_in("principal", {"method": "ServicePrincipal", "client": client()})
    return "principal"


FLOWS: dict[str, Callable[[SignInScenario], str]] = {
    "authorization code": by_code,
    "device code": by_device,
    "refresh token": by_user_supplied_token,
    "service principal": by_service_principal,
}


def fail_tokens(scenario: SignInScenario, name: str, number: int, expected: ErrorClass) -> None:
    """Make every token request fail with that number, and check the conditions."""
    scenario.control.clear_faults()
    scenario.control.fault(**TOKEN_ENDPOINT, times=None, aadsts=number)
    # A change of the app's Secret causes a check at once.
    scenario.secret("signin-app", client_secret="sandbox-sign-in-secret", note=str(number))

    def is_reported(body: dict[str, Any]) -> bool:
        signed_in = condition(body, "SignedIn")
        return (signed_in.get("status"), signed_in.get("reason")) == (expected.status, expected.reason) and (
            f"AADSTS{number}" in signed_in["message"]
        )

    body = scenario.wait_until(is_reported, name=name, timeout=TIMEOUT)
    reauth = condition(body, "ReauthRequired")
    expected_reauth = (str(expected.reauth), expected.reason if expected.reauth else "NotRequired")
    assert (reauth["status"], reauth["reason"]) == expected_reauth, number
    if name == "contoso":
        assert condition(body, "Ready")["status"] == "True"


@pytest.mark.long
@pytest.mark.parametrize("expected", CLASSES.values(), ids=CLASSES)
def test_every_number_of_a_class_has_the_same_effect(scenario: SignInScenario, expected: ErrorClass) -> None:
    name = by_code(scenario)
    for number in expected.numbers:
        fail_tokens(scenario, name, number, expected)
    assert scenario.tokens()["refresh-token"], "the stored tokens are kept"
    scenario.control.clear_faults()
    scenario.wait("SignedIn", "True", timeout=TIMEOUT)
    scenario.wait("ReauthRequired", "False", timeout=TIMEOUT)


@pytest.mark.long
@pytest.mark.parametrize("expected", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_a_class_of_errors_has_the_same_effect_in_every_flow(
    scenario: SignInScenario, flow: Callable[[SignInScenario], str], expected: ErrorClass
) -> None:
    name = flow(scenario)
    scenario.wait("SignedIn", "True", name=name, timeout=30)
    fail_tokens(scenario, name, expected.numbers[0], expected)
    scenario.control.clear_faults()
    scenario.wait("SignedIn", "True", name=name, timeout=TIMEOUT)
    scenario.wait("ReauthRequired", "False", name=name, timeout=TIMEOUT)


def test_a_used_code_is_reported_and_another_sign_in_succeeds(scenario: SignInScenario) -> None:
    scenario.connect()
    scenario.wait("Ready", "True")  # the operator has its own token for Azure by now, so the fault is for the code
    for number in USED_CODE:
        scenario.control.fault(**TOKEN_ENDPOINT, aadsts=number)
        page = scenario.sign_in()
        assert "Start the sign-in again" in page
        assert f"AADSTS{number}" in page
        assert "refresh-token" not in scenario.tokens()
    scenario.sign_in()
    scenario.wait("SignedIn", "True", timeout=TIMEOUT)
    assert scenario.tokens(TOKENS)["refresh-token"]
