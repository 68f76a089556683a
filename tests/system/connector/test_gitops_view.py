"""How Argo CD and Flux see a connector's life: by the scripts that we ship, and by the real kstatus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.cluster.client import Manifest, condition
from tests.support.chart.argocd import health
from tests.support.chart.kstatus import kstatus
from tests.support.scenarios.replicas import until
from tests.support.scenarios.scenario import ACCOUNT, KIND, ORGANIZATION, Scene

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


def new(scene: Scene) -> Manifest:
    """As the API server answers whoever makes it."""
    return scene.kube.create(scene.manifest())


def without_a_code(scene: Scene) -> Manifest:
    scene.apply(scene.manifest(**NOT_THERE))
    return scene.wait("Authorized", "False", "AwaitingAuthorization")


def refused_for_a_while(scene: Scene) -> Manifest:
    scene.new_code()
    scene.control.fault(service="arm", method="PUT", status=503, times=None)
    scene.apply(scene.manifest())
    return scene.wait("Ready", "False", "AzureUnavailable")


def ready_and_discovering(scene: Scene) -> Manifest:
    body = scene.ready()
    assert condition(body, "Discovered")["status"] == "False"
    return body


def discovered(scene: Scene) -> Manifest:
    scene.ready(organizations={"names": ["contoso"]})
    return scene.wait("Discovered", "True", timeout=60)


def edited(scene: Scene) -> Manifest:
    """As the API server answers whoever edits it: what the status says is about the spec before."""
    scene.ready()
    return scene.apply(scene.manifest(azure={"tags": {"owner": "platform"}}))


def lost(scene: Scene) -> Manifest:
    scene.ready()
    scene.control.remove_access(ACCOUNT)
    return scene.wait("ReauthRequired", "True", "AuthorizationLost")


def lost_and_mended(scene: Scene) -> Manifest:
    lost(scene)
    scene.control.restore_access(ACCOUNT)
    return scene.wait("Ready", "True")


def wrong_region(scene: Scene) -> Manifest:
    scene.new_code()
    scene.apply(scene.manifest(azure={"location": "antarctica"}))
    return scene.wait("Provisioned", "False", "RegionNotSupported")


def suspended(scene: Scene) -> Manifest:
    scene.ready()
    scene.apply(scene.manifest(suspend=True))
    return scene.wait("Ready", "True", "Suspended")


def suspended_from_the_start(scene: Scene) -> Manifest:
    scene.apply(scene.manifest(suspend=True))
    return scene.wait("Ready", "Unknown", "Suspended")


def being_deleted(scene: Scene) -> Manifest:
    """As the API server has it while Azure takes its time."""
    scene.ready()
    scene.control.fault(service="arm", method="DELETE", status=503, times=None)
    scene.kube.delete(KIND, "contoso", scene.namespace)
    return scene.connector()


def forbidden_to_delete(scene: Scene) -> Manifest:
    scene.ready()
    error = {"code": "AuthorizationFailed", "message": "no right to delete"}
    scene.control.fault(service="arm", method="DELETE", status=403, body={"error": error}, times=None)
    scene.kube.delete(KIND, "contoso", scene.namespace)
    return scene.wait("Stalled", "True", "DeletionBlocked")


CONNECTORS: list[tuple[Callable[[Scene], Manifest], Seen]] = [
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
    [pytest.param(*each, marks=[pytest.mark.long] if each[0] in SLOW else []) for each in CONNECTORS],
    ids=[stage.__name__.replace("_", " ") for stage, _ in CONNECTORS],
)
def test_a_connector_is_seen_as_what_it_is(scene: Scene, stage: Callable[[Scene], Manifest], expected: Seen) -> None:
    assert seen(stage(scene)) == expected


def declared(scene: Scene) -> Manifest:
    """As the API server answers whoever declares one."""
    return scene.declare("fabrikam", onboarding="Onboarded")


def onboarded(scene: Scene) -> Manifest:
    scene.ready()
    return scene.organizations()["fabrikam"]


def excluded(scene: Scene) -> Manifest:
    scene.ready()
    scene.declare("fabrikam", onboarding="Excluded")
    return scene.wait_organization("fabrikam", "Ready", "True", "Excluded")


def before_its_connector(scene: Scene) -> Manifest:
    """Tools apply in any order: its connector may be on its way."""
    scene.declare("fabrikam", onboarding="Onboarded")
    return scene.wait_organization("fabrikam", "Ready", "False", "ConnectorNotFound")


def left_by_its_connector(scene: Scene) -> Manifest:
    scene.ready()
    scene.declare("fabrikam", onboarding="Onboarded")
    scene.wait_organization("fabrikam", "Ready", "True")
    scene.kube.delete(KIND, "contoso", scene.namespace)
    return scene.wait_organization("fabrikam", "Ready", "False", "ConnectorNotFound")


def held_elsewhere(scene: Scene) -> Manifest:
    scene.in_portal("of-somebody-else", organizations=["fabrikam"])
    scene.new_code()
    scene.apply(scene.manifest())
    return scene.wait_organization("contoso-fabrikam", "Ready", "False", "HeldByOtherConnector")


def declared_twice(scene: Scene) -> Manifest:
    """The one of the two that does not count: the younger, and who that is within one second is not ours to say."""
    scene.ready()
    scene.declare("fabrikam", name="one", onboarding="Onboarded")
    scene.declare("fabrikam", name="other", onboarding="Onboarded")

    def in_conflict() -> list[Manifest]:
        found = scene.kube.list_all(ORGANIZATION, scene.namespace)
        return [each for each in found if condition(each, "Ready").get("reason") == "Conflict"]

    until(lambda: bool(in_conflict()), 30)
    (body,) = in_conflict()
    return body


ORGANIZATIONS: list[tuple[Callable[[Scene], Manifest], Seen]] = [
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
    scene: Scene, stage: Callable[[Scene], Manifest], expected: Seen
) -> None:
    body = stage(scene)
    assert body["kind"] == ORGANIZATION
    assert seen(body) == expected
