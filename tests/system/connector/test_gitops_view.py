"""How Argo CD and Flux see a connector's life: by the scripts that we ship, and by the real kstatus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.cluster.client import Manifest, condition
from tests.support.chart.argocd import health
from tests.support.chart.kstatus import kstatus
from tests.support.scenarios.replicas import wait_until
from tests.support.scenarios.scenario import ACCOUNT, KIND, ORGANIZATION, Scenario

Seen = tuple[str, str]
"""What kstatus says, and what Argo CD shows."""

UNDER_WAY, IN_PLACE, FAILED = ("InProgress", "Progressing"), ("Current", "Healthy"), ("Failed", "Degraded")
PAUSED = ("Current", "Suspended")
GOING, STUCK = ("Terminating", "Progressing"), ("Terminating", "Degraded")
"""kstatus has one word for all deletions."""

NOT_THERE: dict[str, Any] = {"authorization": {"codeSecretRef": {"name": "nowhere"}}}


def seen(body: Manifest) -> Seen:
    """How both see an object as it is."""
    (flux,) = kstatus(body)
    return flux, health(body)["status"]


def new(scenario: Scenario) -> Manifest:
    """As the API server answers whoever makes it."""
    return scenario.kube.create(scenario.manifest())


def without_a_code(scenario: Scenario) -> Manifest:
    scenario.apply(scenario.manifest(**NOT_THERE))
    return scenario.wait("Authorized", "False", "AwaitingAuthorization")


def refused_for_a_while(scenario: Scenario) -> Manifest:
    scenario.new_code()
    scenario.control.fault(service="arm", method="PUT", status=503, times=None)
    scenario.apply(scenario.manifest())
    return scenario.wait("Ready", "False", "AzureUnavailable")


def ready_and_discovering(scenario: Scenario) -> Manifest:
    body = scenario.ready()
    assert condition(body, "Discovered")["status"] == "False"
    return body


def discovered(scenario: Scenario) -> Manifest:
    scenario.ready(organizations={"names": ["contoso"]})
    return scenario.wait("Discovered", "True", timeout=60)


def edited(scenario: Scenario) -> Manifest:
    """As the API server answers whoever edits it: what the status says is about the spec before."""
    scenario.ready()
    return scenario.apply(scenario.manifest(azure={"tags": {"owner": "platform"}}))


def lost(scenario: Scenario) -> Manifest:
    scenario.ready()
    scenario.control.remove_access(ACCOUNT)
    return scenario.wait("ReauthRequired", "True", "AuthorizationLost")


def lost_and_mended(scenario: Scenario) -> Manifest:
    lost(scenario)
    scenario.control.restore_access(ACCOUNT)
    return scenario.wait("Ready", "True")


def wrong_region(scenario: Scenario) -> Manifest:
    scenario.new_code()
    scenario.apply(scenario.manifest(azure={"location": "antarctica"}))
    return scenario.wait("Provisioned", "False", "RegionNotSupported")


def suspended(scenario: Scenario) -> Manifest:
    scenario.ready()
    scenario.apply(scenario.manifest(suspend=True))
    return scenario.wait("Ready", "True", "Suspended")


def suspended_from_the_start(scenario: Scenario) -> Manifest:
    scenario.apply(scenario.manifest(suspend=True))
    return scenario.wait("Ready", "Unknown", "Suspended")


def being_deleted(scenario: Scenario) -> Manifest:
    """As the API server has it while Azure takes its time."""
    scenario.ready()
    scenario.control.fault(service="arm", method="DELETE", status=503, times=None)
    scenario.kube.delete(KIND, "contoso", scenario.namespace)
    return scenario.connector()


def forbidden_to_delete(scenario: Scenario) -> Manifest:
    scenario.ready()
    error = {"code": "AuthorizationFailed", "message": "no right to delete"}
    scenario.control.fault(service="arm", method="DELETE", status=403, body={"error": error}, times=None)
    scenario.kube.delete(KIND, "contoso", scenario.namespace)
    return scenario.wait("Stalled", "True", "DeletionBlocked")


CONNECTORS: list[tuple[Callable[[Scenario], Manifest], Seen]] = [
    (new, UNDER_WAY),
    (without_a_code, UNDER_WAY),
    (refused_for_a_while, UNDER_WAY),
    (ready_and_discovering, IN_PLACE),
    (discovered, IN_PLACE),
    (edited, UNDER_WAY),
    (lost, FAILED),
    (lost_and_mended, IN_PLACE),
    (wrong_region, FAILED),
    (suspended, PAUSED),
    (suspended_from_the_start, ("InProgress", "Suspended")),
    (being_deleted, GOING),
    (forbidden_to_delete, STUCK),
]


SLOW = {discovered, lost_and_mended}


@pytest.mark.parametrize(
    ("stage", "expected"),
    [pytest.param(*case, marks=[pytest.mark.long] if case[0] in SLOW else []) for case in CONNECTORS],
    ids=[stage.__name__.replace("_", " ") for stage, _ in CONNECTORS],
)
def test_a_connector_is_seen_as_what_it_is(
    scenario: Scenario, stage: Callable[[Scenario], Manifest], expected: Seen
) -> None:
    assert seen(stage(scenario)) == expected


def declared(scenario: Scenario) -> Manifest:
    """As the API server answers whoever declares one."""
    return scenario.declare("fabrikam", onboarding="Onboarded")


def onboarded(scenario: Scenario) -> Manifest:
    scenario.ready()
    return scenario.organizations()["fabrikam"]


def excluded(scenario: Scenario) -> Manifest:
    scenario.ready()
    scenario.declare("fabrikam", onboarding="Excluded")
    return scenario.wait_organization("fabrikam", "Ready", "True", "Excluded")


def before_its_connector(scenario: Scenario) -> Manifest:
    """Tools apply in any order: its connector may be on its way."""
    scenario.declare("fabrikam", onboarding="Onboarded")
    return scenario.wait_organization("fabrikam", "Ready", "False", "ConnectorNotFound")


def left_by_its_connector(scenario: Scenario) -> Manifest:
    scenario.ready()
    scenario.declare("fabrikam", onboarding="Onboarded")
    scenario.wait_organization("fabrikam", "Ready", "True")
    scenario.kube.delete(KIND, "contoso", scenario.namespace)
    return scenario.wait_organization("fabrikam", "Ready", "False", "ConnectorNotFound")


def held_elsewhere(scenario: Scenario) -> Manifest:
    scenario.in_portal("of-somebody-else", organizations=["fabrikam"])
    scenario.new_code()
    scenario.apply(scenario.manifest())
    return scenario.wait_organization("contoso-fabrikam", "Ready", "False", "HeldByOtherConnector")


def declared_twice(scenario: Scenario) -> Manifest:
    """The one of the two that does not count: the younger, and who that is within one second is not ours to say."""
    scenario.ready()
    scenario.declare("fabrikam", name="one", onboarding="Onboarded")
    scenario.declare("fabrikam", name="other", onboarding="Onboarded")

    def in_conflict() -> list[Manifest]:
        organizations = scenario.kube.list_all(ORGANIZATION, scenario.namespace)
        return [
            organization
            for organization in organizations
            if condition(organization, "Ready").get("reason") == "Conflict"
        ]

    wait_until(lambda: bool(in_conflict()), 30)
    (body,) = in_conflict()
    return body


ORGANIZATIONS: list[tuple[Callable[[Scenario], Manifest], Seen]] = [
    (declared, UNDER_WAY),
    (onboarded, IN_PLACE),
    (excluded, IN_PLACE),
    (before_its_connector, UNDER_WAY),
    (left_by_its_connector, FAILED),
    (held_elsewhere, FAILED),
    (declared_twice, FAILED),
]


@pytest.mark.parametrize(
    ("stage", "expected"), ORGANIZATIONS, ids=[stage.__name__.replace("_", " ") for stage, _ in ORGANIZATIONS]
)
def test_an_organization_is_seen_as_what_it_is(
    scenario: Scenario, stage: Callable[[Scenario], Manifest], expected: Seen
) -> None:
    body = stage(scenario)
    assert body["kind"] == ORGANIZATION
    assert seen(body) == expected
