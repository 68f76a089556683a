"""Two operators that both consider themselves the leader share one token Secret without losing a token."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import KubernetesClient
from sandbox.cluster.client import condition
from sandbox.loopback import get
from sandbox.stack import Operator
from tests.support.scenarios.scenario import KIND
from tests.support.scenarios.sign_in_scenario import TOKENS, SignInScenario
from tests.system.signin.conftest import Stage, working_in

WRITES = {"create", "update", "patch", "delete"}
ROUNDS = 3
TOKEN_ENDPOINT = {"service": "authority", "path": "oauth2/v2.0/token"}
SLOW = 0.5
"""Seconds until Entra ID issues a token: long enough that both operators request one before either has it."""


def secret_reads(operator: Operator) -> float:
    """Number of Secrets that an operator has read."""
    page = get(f"{operator.metrics}/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "defender_devops_kubernetes_requests_total"
        and (sample.labels["verb"].lower(), sample.labels["resource"]) == ("get", "secrets")
    )


def samples(operator: Operator, metric: str) -> list[tuple[dict[str, str], float]]:
    """Labels and value of each sample of a metric."""
    page = get(f"{operator.metrics}/metrics").text
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == f"defender_devops_{metric}"
    ]


def test_a_second_release_writes_nothing_to_the_connectors_of_the_first_and_says_so(
    scenario: SignInScenario, stage: Stage, tmp_path: Path
) -> None:
    scenario.connect()
    scenario.sign_in()
    url = scenario.wait("SignedIn", "True", timeout=20)["status"]["signIn"]["url"]
    log = tmp_path / "second.log"
    with stage.another_operator(log, DEFENDER_DEVOPS_OPERATOR_NAME="second") as second:
        second.process.wait_until(lambda: samples(second, "connectors_managed_elsewhere") or None, timeout=20)
        reconciles = samples(second, "reconcile_total")
        for number in ("1", "2", "3"):  # events for both
            request = {"metadata": {"annotations": {"defender-devops.io/reconcile-requested-at": number}}}
            scenario.kube.patch(KIND, "contoso", request, scenario.namespace)
            scenario.wait_until(lambda body: body["status"].get("lastHandledReconcileAt") == number)  # noqa: B023 - called here only
        second.process.wait_until(lambda: samples(second, "reconcile_total") != reconciles or None, timeout=20)
        managed_elsewhere = samples(second, "connectors_managed_elsewhere")
        requests = samples(second, "kubernetes_requests_total")
        azure = samples(second, "azure_requests_total")
    body = scenario.connector()
    assert body["status"]["signIn"]["url"] == url
    assert body["status"]["operator"]["name"] == "sandbox"
    assert managed_elsewhere == [({"operator": "sandbox"}, 1.0)]
    written = {labels["resource"] for labels, _ in requests if labels["verb"] in WRITES}
    assert written == {"leases"}, "its own"
    assert azure == []
    assert log.read_text().count("another installation of the operator manages connectors") == 1


def redeemed_tokens(scenario: SignInScenario, since: int) -> list[str]:
    """SHA-256 of the refresh tokens that were redeemed, in order."""
    requests = scenario.control.journal(since=since, operation="Token refresh_token")
    return [digest for request in requests for digest in request["codes"]]


def wait_for_renewal(scenario: SignInScenario, token: str, timeout: float = 30) -> dict[str, str]:
    """Wait until the Secret holds another refresh token and no claim."""

    def is_renewed(_: dict[str, Any]) -> bool:
        tokens = scenario.tokens()
        return tokens["refresh-token"] != token and "claim" not in tokens

    scenario.kube.wait("Secret", TOKENS, scenario.namespace, until=is_renewed, timeout=timeout)
    return scenario.tokens()


@pytest.mark.long
def test_each_refresh_token_is_used_once_and_nothing_is_lost(
    scenario: SignInScenario, stage: Stage, tmp_path: Path
) -> None:
    scenario.connect()
    scenario.sign_in()
    since = condition(scenario.wait("SignedIn", "True", timeout=20), "SignedIn")["lastTransitionTime"]
    with stage.another_operator(tmp_path / "operator.log") as other:
        other.process.wait_until(lambda: secret_reads(other) or None, timeout=20)
        scenario.control.fault(**TOKEN_ENDPOINT, times=None, delay=SLOW)
        start = scenario.control.last()
        target_reads = {operator: secret_reads(operator) + ROUNDS for operator in (stage.operator, other)}
        for number in range(ROUNDS):
            token = scenario.tokens()["refresh-token"]
            # Both watches report the new Secret at the same time, and both operators prove the sign-in with it.
            scenario.secret("signin-app", client_secret="sandbox-sign-in-secret", note=str(number))
            wait_for_renewal(scenario, token)
        for operator, reads in target_reads.items():  # both took part
            operator.process.wait_until(lambda: secret_reads(operator) >= reads or None, timeout=20)  # noqa: B023 - called here only
        scenario.control.clear_faults()
    redemptions = Counter(redeemed_tokens(scenario, start))
    assert len(redemptions) >= ROUNDS
    assert set(redemptions.values()) == {1}
    tokens = wait_for_renewal(scenario, scenario.tokens()["refresh-token"])
    assert hashlib.sha256(tokens["refresh-token"].encode()).hexdigest() not in redemptions
    body = scenario.wait("SignedIn", "True", timeout=20)
    assert condition(body, "SignedIn")["lastTransitionTime"] == since, "the sign-in was never lost"
    assert condition(body, "ReauthRequired")["status"] == "False"


@pytest.mark.long
def test_the_claim_of_a_killed_operator_expires_and_nothing_is_lost(
    kube: KubernetesClient, stage: Stage, tmp_path: Path
) -> None:
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "killed"}})
    with ControlClient(stage.cloud.control) as control:
        control.reset()
        scenario = SignInScenario(kube, control, "killed", stage.cloud.ca, tmp_path / "first.log")
        with stage.another_operator(scenario.log, **working_in("killed")) as first:
            scenario.connect()
            scenario.sign_in()
            scenario.wait("SignedIn", "True")
            token = scenario.tokens()["refresh-token"]
            control.fault(**TOKEN_ENDPOINT, delay=60)
            scenario.secret("signin-app", client_secret="sandbox-sign-in-secret", note="changed")
            first.process.wait_until(lambda: "claim" in scenario.tokens() or None, timeout=20)
            first.process.kill()
        claimed = json.loads(scenario.tokens()["claim"])
        control.clear_faults()
        with stage.another_operator(tmp_path / "second.log", **working_in("killed")):
            tokens = wait_for_renewal(scenario, token, timeout=120)
            scenario.wait("SignedIn", "True")
            used_again = control.journal(operation="Token refresh_token")[-1]["time"]
            scenario.leave()
    assert used_again >= datetime.fromisoformat(claimed["until"]).timestamp()
    assert tokens["refresh-token"] != token
