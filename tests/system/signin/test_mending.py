"""What a person corrects takes effect within seconds, not at the next interval: the operator runs with its defaults."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import KubernetesClient
from sandbox.cluster.client import condition
from sandbox.loopback import get
from sandbox.stack import Operator
from tests.support.scenarios.scenario import ACCOUNT, KIND, message
from tests.support.scenarios.sign_in_scenario import SignInScenario
from tests.system.signin.conftest import Stage, working_in

DEFAULTS = {"DEFENDER_DEVOPS_REFRESH_INTERVAL": "300", "DEFENDER_DEVOPS_CHECK_INTERVAL": "600"}
"""The default intervals: what is reported within seconds here was not due by them."""

SECONDS = 10


@pytest.fixture(scope="module")
def patient(stage: Stage, kube: KubernetesClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A second operator, with a namespace of its own."""
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "patient"}})
    log = tmp_path_factory.mktemp("patient") / "operator.log"
    with stage.another_operator(log, **DEFAULTS, **working_in("patient")) as operator:
        yield operator


@pytest.fixture
def scenario(patient: Operator, stage: Stage, kube: KubernetesClient) -> Iterator[SignInScenario]:
    """The namespace of that operator, with a person signed in and everything ready."""
    with ControlClient(stage.cloud.control) as control:
        control.reset()
        scenario = SignInScenario(kube, control, "patient", stage.cloud.ca, patient.process.log)
        scenario.connect()
        scenario.sign_in()
        scenario.wait("Ready", "True")
        scenario.wait("PrerequisitesMet", "True")
        yield scenario
        control.clear_faults()
        scenario.leave()
        patient.process.check()


def request_reconcile(scenario: SignInScenario) -> None:
    """Request a reconcile, as kubectl annotate does."""
    stamp = {"defender-devops.io/reconcile-requested-at": str(time.monotonic_ns())}
    scenario.kube.patch(KIND, "contoso", {"metadata": {"annotations": stamp}}, scenario.namespace)


def test_a_lost_sign_in_is_restored_as_soon_as_somebody_has_signed_in(scenario: SignInScenario) -> None:
    scenario.control.change_account(ACCOUNT, revoke_sessions=True)
    request_reconcile(scenario)
    body = scenario.wait("ReauthRequired", "True", "SignInRequired")
    assert condition(body, "Ready")["status"] == "True"
    scenario.wait("PrerequisitesMet", "Unknown", "CheckUnavailable")
    scenario.sign_in()
    scenario.wait("SignedIn", "True", timeout=SECONDS)
    scenario.wait("ReauthRequired", "False", timeout=SECONDS)
    scenario.wait("PrerequisitesMet", "True", timeout=SECONDS)


def has_event(scenario: SignInScenario, reason: str) -> bool:
    """Whether there is an event with that reason."""
    return any(event["reason"] == reason for event in scenario.kube.list_all("Event", scenario.namespace))


def reauth_metric(operator: Operator) -> float | None:
    """Return the value of the metric that the alert is based on; None while there is none."""
    page = get(f"{operator.metrics}/metrics").text
    samples = [
        sample
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "defender_devops_reauth_required"
    ]
    assert all(sample.labels == {"namespace": "patient", "name": "contoso"} for sample in samples)
    return next((float(sample.value) for sample in samples), None)


def test_an_account_without_rights_makes_the_connector_unready_until_they_are_restored(
    scenario: SignInScenario, patient: Operator
) -> None:
    patient.process.wait_until(lambda: reauth_metric(patient) == 0 or None, timeout=20)
    scenario.control.remove_access(ACCOUNT)
    request_reconcile(scenario)
    body = scenario.wait("ReauthRequired", "True", "AuthorizationLost")
    assert ACCOUNT in message(body, "ReauthRequired")
    scenario.wait("Ready", "False", "AuthorizationLost")
    assert condition(scenario.connector(), "Stalled")["status"] == "True"
    assert scenario.address() not in message(body, "ReauthRequired")
    patient.process.wait_until(
        lambda: (reauth_metric(patient) == 1 and has_event(scenario, "AuthorizationLost")) or None, timeout=20
    )
    scenario.control.restore_access(ACCOUNT)
    scenario.sign_in()
    scenario.wait("Ready", "True", timeout=SECONDS)
    patient.process.wait_until(
        lambda: (reauth_metric(patient) == 0 and has_event(scenario, "NotRequired")) or None, timeout=20
    )
    scenario.wait("ReauthRequired", "False", timeout=SECONDS)
    scenario.wait("PrerequisitesMet", "True", timeout=SECONDS)
