"""What the operator's own sign-in promises under the variants of Entra ID and Azure DevOps."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sandbox.cloud.variants import VARIANTS
from sandbox.cluster.client import condition
from tests.support.scenarios.scenario import ACCOUNT, message
from tests.support.scenarios.sign_in_scenario import APP, SignInScenario

Choices = Mapping[str, str]

SLACK = 30
SIGN_IN = [
    "secretOutsideAscii",
    "rareErrors",
    "administratorErrors",
    "missingVerifier",
    "resourceAreas",
    "usageCosts",
    "slowDown",
    "revocation",
    "missingScope",
    "rateLimitHeaders",
    "hiddenProjects",
]
"""Variants of Entra ID, and of what the prerequisite checks read."""
SINGLES: list[Choices] = [{name: value} for name in SIGN_IN for value in list(VARIANTS[name].values)[1:]]
HIDDEN: Choices = {"listAvailableWithoutAuthorization": "stale", "provisioningAfterLoss": "unchanged"}
"""Nothing that Azure answers shows a lost authorization."""


def label(choices: Choices) -> str:
    """Return the name of a case."""
    return " ".join(f"{name}={value}" for name, value in choices.items())


@pytest.mark.parametrize("state", ["unchanged", "refreshed"])
def test_a_loss_that_azure_does_not_show_is_noticed_by_the_sign_in(scenario: SignInScenario, state: str) -> None:
    scenario.control.variants(**{**HIDDEN, "provisioningAfterLoss": state})
    scenario.connect()
    scenario.sign_in()
    scenario.wait("SignedIn", "True", timeout=SLACK)
    scenario.wait("Ready", "True", timeout=SLACK)
    since = scenario.control.last()
    scenario.control.change_account(ACCOUNT, blocked=True)
    # The account is the one that authorizes Defender; its own authorization cannot be seen to be lost.
    body = scenario.wait("ReauthRequired", "True", "AccountBlocked", timeout=SLACK)
    assert ACCOUNT in message(body, "ReauthRequired")
    assert scenario.writes(since) == []


@pytest.mark.long
@pytest.mark.parametrize("choices", SINGLES, ids=label)
def test_a_sign_in_works_is_lost_and_is_renewed_under_each_variant(scenario: SignInScenario, choices: Choices) -> None:
    scenario.control.variants(**choices)
    scenario.connect()
    scenario.sign_in()
    body = scenario.wait("SignedIn", "True", timeout=SLACK)
    scenario.wait("Ready", "True", timeout=SLACK)
    body = scenario.wait_until(lambda body: condition(body, "PrerequisitesMet").get("reason") != "NotChecked")
    assert condition(body, "PrerequisitesMet")["status"] != "False", message(body, "PrerequisitesMet")
    assert condition(body, "ReauthRequired")["status"] == "False"
    scenario.control.change_account(ACCOUNT, revoke_sessions=True)
    scenario.wait("ReauthRequired", "True", "SignInRequired", timeout=SLACK)
    scenario.sign_in()
    scenario.wait("SignedIn", "True", timeout=SLACK)
    scenario.wait("ReauthRequired", "False", timeout=SLACK)


@pytest.mark.long
@pytest.mark.parametrize("pace", list(VARIANTS["slowDown"].values))
def test_a_device_is_signed_in_at_each_pace(scenario: SignInScenario, pace: str) -> None:
    scenario.control.variants(slowDown=pace)
    scenario.only_sign_in("device", {"method": "DeviceCode", "account": ACCOUNT, "client": {"id": APP}})
    scenario.sign_in_by_device("device")
    scenario.wait("SignedIn", "True", name="device", timeout=2 * SLACK)
