"""kill -9 between any two requests: the same end, and the one-time code is sent once at most."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sandbox.cluster.client import Manifest, condition
from sandbox.stack import Operator
from tests.support.scene import KIND, Scene

REQUESTS = 8
"""A connector needs no more of Azure until it is Ready."""

Run = Callable[..., Operator]


@pytest.mark.parametrize(
    "number", [pytest.param(each, marks=() if each in {3, 4} else pytest.mark.long) for each in range(1, REQUESTS + 1)]
)
def test_an_operator_killed_at_a_request_ends_where_it_would_have(own_scene: Scene, run: Run, number: int) -> None:
    scene = own_scene
    operator = run()
    scene.new_code()
    scene.apply(scene.manifest())
    while len(scene.control.journal(service="arm")) < number:
        assert scene.control.journal(service="arm", since=scene.control.last(), wait=20)
    operator.process.kill()
    run()
    _bring_another_code_if_asked(scene)
    ready = scene.wait("Ready", "True", timeout=60)
    sent = [code for entry in scene.control.journal() for code in entry.get("codes", [])]
    assert len(sent) == len(set(sent))
    assert ready["status"]["azure"]["created"] is True
    assert {name: condition(each, "Ready")["reason"] for name, each in scene.organizations().items()} == {
        "contoso": "Onboarded",
        "fabrikam": "Onboarded",
    }
    (left,) = scene.control.world()["connectors"]
    assert left["id"].lower() == ready["status"]["connectorId"].lower()
    writes = scene.writes()
    assert writes.count("SecurityConnectors_CreateOrUpdate") == 1
    assert writes.count("DevOpsConfigurations_CreateOrUpdate") == 1


def _bring_another_code_if_asked(scene: Scene) -> None:
    """Between writing the code's hash down and sending it, a crash costs the code: a person has to bring another."""

    def asks(body: Manifest) -> bool:
        return "handed over already" in condition(body, "Authorized").get("message", "")

    def is_ready(body: Manifest) -> bool:
        return condition(body, "Ready").get("status") == "True"

    told = scene.kube.wait(
        KIND, "contoso", scene.namespace, until=lambda body: asks(body) or is_ready(body), timeout=60
    )
    if asks(told):
        scene.new_code()
