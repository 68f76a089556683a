"""What a person mends takes effect within seconds, with the operator's own intervals: it does not wait for the next."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import KubernetesClient
from sandbox.cluster.client import condition
from sandbox.stack import Operator
from tests.support.scenarios.scenario import ACCOUNT, KIND, message
from tests.support.scenarios.sign_in_scenario import SignInScenario
from tests.system.signin.conftest import Stage, working_in

ORDINARY = {"DEFENDER_DEVOPS_REFRESH_INTERVAL": "300", "DEFENDER_DEVOPS_CHECK_INTERVAL": "600"}
"""The defaults: what is seen within seconds here was not seen by looking at the clock."""

SECONDS = 10


@pytest.fixture(scope="module")
def patient(stage: Stage, kube: KubernetesClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator beside the quick one, with a namespace to itself."""
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "patient"}})
    log = tmp_path_factory.mktemp("patient") / "operator.log"
    with stage.another_operator(log, **ORDINARY, **working_in("patient")) as operator:
        yield operator


@pytest.fixture
def scenario(patient: Operator, stage: Stage, kube: KubernetesClient) -> Iterator[SignInScenario]:
    """The namespace of the patient operator, with somebody signed in and all in order."""
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


def look_now(scenario: SignInScenario) -> None:
    """Ask for a look, as kubectl annotate does; nobody waits ten minutes in a test."""
    stamp = {"defender-devops.io/reconcile-requested-at": str(time.monotonic_ns())}
    scenario.kube.patch(KIND, "contoso", {"metadata": {"annotations": stamp}}, scenario.namespace)


def test_a_lost_sign_in_is_ready_again_as_soon_as_somebody_has_signed_in(scenario: SignInScenario) -> None:
    scenario.control.change_account(ACCOUNT, revoke_sessions=True)
    look_now(scenario)
    lost = scenario.wait("ReauthRequired", "True", "SignInRequired")
    assert condition(lost, "Ready")["status"] == "True"
    scenario.wait("PrerequisitesMet", "Unknown", "CheckUnavailable")
    scenario.sign_in()
    scenario.wait("SignedIn", "True", timeout=SECONDS)
    scenario.wait("ReauthRequired", "False", timeout=SECONDS)
    scenario.wait("PrerequisitesMet", "True", timeout=SECONDS)


def is_told_of(scenario: SignInScenario, reason: str) -> bool:
    """Whether there is an event with that reason."""
    return any(each["reason"] == reason for each in scenario.kube.list_all("Event", scenario.namespace))


def alarm(operator: Operator) -> float:
    """What the metric says that the alert is made of."""
    page = httpx.get(f"{operator.metrics}/metrics", trust_env=False).text
    (sample,) = [
        sample
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "defender_devops_reauth_required"
    ]
    assert sample.labels == {"namespace": "patient", "name": "contoso"}
    return float(sample.value)


def test_an_account_that_lost_its_rights_makes_the_connector_unready_until_a_person_has_mended_it(
    scenario: SignInScenario, patient: Operator
) -> None:
    patient.process.wait_until(lambda: alarm(patient) == 0 or None, timeout=20)
    scenario.control.remove_access(ACCOUNT)
    look_now(scenario)
    lost = scenario.wait("ReauthRequired", "True", "AuthorizationLost")
    assert ACCOUNT in message(lost, "ReauthRequired")
    scenario.wait("Ready", "False", "AuthorizationLost")
    assert condition(scenario.connector(), "Stalled")["status"] == "True"
    assert scenario.address() in message(lost, "ReauthRequired")
    patient.process.wait_until(
        lambda: (alarm(patient) == 1 and is_told_of(scenario, "AuthorizationLost")) or None, timeout=20
    )
    scenario.control.restore_access(ACCOUNT)
    scenario.sign_in()
    scenario.wait("Ready", "True", timeout=SECONDS)
    patient.process.wait_until(
        lambda: (alarm(patient) == 0 and is_told_of(scenario, "NotRequired")) or None, timeout=20
    )
    scenario.wait("ReauthRequired", "False", timeout=SECONDS)
    scenario.wait("PrerequisitesMet", "True", timeout=SECONDS)
