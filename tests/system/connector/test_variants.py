"""What the operator promises under every variant of the simulated cloud: no guess about Azure is load-bearing.

The cases come from the variants themselves, so that a new one is included. The long tests take each variant alone, and
pairs that a seed draws (`VARIANTS_SEED`); the quick ones take combinations of those that concern most of a connector's
life.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Mapping

import pytest

from sandbox.cloud.variants import VARIANTS
from sandbox.cluster.client import Manifest, condition
from tests.support.scenarios.scenario import ACCOUNT, KIND, Scenario, message, wait_for

Choices = Mapping[str, str]

ORGANIZATIONS = {"contoso", "fabrikam"}
"""What the manifest selects; the account is a member of more."""

REQUESTS_PER_PROBE = 40
"""Requests to Azure for each check of an authorization at rest: twice those where projects have to be listed."""

PAIRS = 200
SEED = int(os.environ.get("VARIANTS_SEED", "16"))

LOSS = "listAvailableWithoutAuthorization"
LOSS_IS_UNKNOWN = {"badRequest", "serverError"}
"""Answers after a loss that do not say what they are about."""
LOSS_IS_INVISIBLE = {"stale"}
"""Answers after a loss that are those of before it: only the operator's own sign-in can notice."""

QUICK: list[Choices] = [
    {LOSS: "unauthorized", "connectorChildren": "required", "graphChildren": "absent", "codeRedemption": "finished"},
    {LOSS: "forbidden", "connectorDeletion": "accepted", "unfamiliarAnswers": "values", "operationResults": "expire"},
    {LOSS: "badRequest", "concurrentOperations": "conflict", "createDuration": "tenMinutes", "listPages": "all"},
    {LOSS: "serverError", "provisioningAfterLoss": "unchanged", "graphDeletions": "linger"},
]
SINGLES: list[Choices] = [
    {name: value} for name, variant in VARIANTS.items() for value in variant.values if value != variant.default
]


def draw_pairs() -> list[Choices]:
    """Return pairs of values of different variants."""
    pairs = [
        first | second
        for first, second in itertools.combinations(map(dict, SINGLES), 2)
        if first.keys() != second.keys()
    ]
    return list(random.Random(SEED).sample(pairs, PAIRS))  # noqa: S311 - the seed repeats a run


def label(choices: Choices) -> str:
    """Return the name of a case."""
    return " ".join(f"{name}={value}" for name, value in choices.items())


def statuses(body: Manifest) -> dict[str, tuple[str, str]]:
    """Return status and reason of the conditions, without those that follow the discovery."""
    return {
        item["type"]: (item["status"], item["reason"])
        for item in body["status"]["conditions"]
        if item["type"] not in {"Discovered", "PostureAvailable"}
    }


def assert_becomes_ready(scenario: Scenario) -> None:
    """(a) Ready; (b) without a request to authorize again; (d) after one code; (e) with the selected organizations."""
    scenario.new_code()
    scenario.apply(scenario.manifest())
    ready = scenario.wait("Ready", "True", timeout=45)
    assert condition(ready, "ReauthRequired")["status"] == "False"
    assert len(scenario.control.journal(operation="DevOpsConfigurations_CreateOrUpdate")) == 1
    assert scenario.onboarded() == ORGANIZATIONS


def assert_rests(scenario: Scenario) -> None:
    """(c) Until the next check of the authorization nothing is written, no condition changes, few requests are sent."""
    scenario.wait_observed()
    since, conditions = scenario.control.last(), statuses(scenario.connector())
    scenario.wait_observed()
    assert scenario.writes(since) == []
    assert statuses(scenario.connector()) == conditions
    probes = scenario.control.journal(since=since, operation="AzureDevOpsOrgs_ListAvailable")
    polls = scenario.control.journal(since=since, operation="Resources_Query")
    assert len(probes) <= 2 * len(polls)
    assert len(scenario.control.journal(since=since, service="arm")) <= REQUESTS_PER_PROBE * len(probes)


def assert_loss_is_noticed(scenario: Scenario, answer: str) -> None:
    """(b) A loss is reported, and as Unknown where the answer does not say what it is; (e) nothing is offboarded."""
    since = scenario.control.last()
    scenario.control.change_account(ACCOUNT, blocked=True)
    if answer in LOSS_IS_INVISIBLE:
        scenario.wait_observed()
        scenario.wait_observed()
        assert condition(scenario.connector(), "Provisioned")["status"] == "True"
    elif answer in LOSS_IS_UNKNOWN:
        # A discovery run that fails for the lost authorization shows it, too.
        body = scenario.wait_until(lambda body: condition(body, "ReauthRequired")["status"] != "False", timeout=45)
        assert condition(body, "Authorized")["status"] != "True"
        assert "authoriz" in message(body, "Authorized")
    else:
        body = scenario.wait("ReauthRequired", "True", "AuthorizationLost", timeout=45)
        assert condition(body, "Authorized")["status"] == "False"
        assert ACCOUNT in message(body, "Authorized")
    assert condition(scenario.connector(), "Provisioned")["reason"] != "Forbidden"
    assert scenario.writes(since) == []
    assert scenario.onboarded() == ORGANIZATIONS
    assert len(scenario.control.journal(operation="DevOpsConfigurations_CreateOrUpdate")) == 1


def assert_is_deleted(scenario: Scenario) -> None:
    """(f) The resource goes, and what it created in Azure with it."""
    scenario.kube.delete(KIND, "contoso", scenario.namespace)
    scenario.kube.wait_deleted(KIND, "contoso", scenario.namespace)
    wait_for(lambda: scenario.in_azure() is None, "the connector is left in Azure")


def assert_promises(scenario: Scenario, choices: Choices) -> None:
    """A connector's life from the manifest to its deletion, with a lost authorization."""
    scenario.control.variants(**choices)
    assert_becomes_ready(scenario)
    assert_rests(scenario)
    assert_loss_is_noticed(scenario, choices.get(LOSS, VARIANTS[LOSS].default))
    assert_is_deleted(scenario)


@pytest.mark.parametrize("choices", QUICK, ids=label)
def test_the_promises_hold_under_the_variants_that_matter_most(scenario: Scenario, choices: Choices) -> None:
    assert_promises(scenario, choices)


@pytest.mark.long
@pytest.mark.parametrize("choices", SINGLES, ids=label)
def test_the_promises_hold_under_each_variant(scenario: Scenario, choices: Choices) -> None:
    assert_promises(scenario, choices)


@pytest.mark.long
@pytest.mark.parametrize("choices", draw_pairs(), ids=lambda choices: f"seed {SEED}: {label(choices)}")
def test_the_promises_hold_under_pairs_of_variants(scenario: Scenario, choices: Choices) -> None:
    assert_promises(scenario, choices)
