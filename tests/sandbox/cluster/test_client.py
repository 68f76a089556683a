"""The synchronous Kubernetes client of the sandbox."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import pytest

from sandbox.cluster import KubernetesClient
from sandbox.cluster.client import ApiError, condition


def config_map(name: str, namespace: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def test_a_missing_object_is_none(kube: KubernetesClient, namespace: str) -> None:
    assert kube.get("ConfigMap", "nothing", namespace) is None
    kube.delete("ConfigMap", "nothing", namespace)


def test_a_429_is_retried(kube: KubernetesClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [httpx.Response(429, headers={"Retry-After": "3"}), httpx.Response(200, json={"kind": "Status"})]
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(kube._http, "request", lambda *_, **__: answers.pop(0))
    assert kube.request("GET", "/anything") == {"kind": "Status"}
    assert slept == [3.0]


def test_repeated_429s_are_given_up(kube: KubernetesClient, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = httpx.Response(429, headers={"Retry-After": "1"}, json={"message": "too many requests"})
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(kube._http, "request", lambda *_, **__: busy)
    with pytest.raises(ApiError, match="too many requests"):
        kube.request("GET", "/anything")
    assert slept == [1.0] * 10


def test_listed_objects_have_their_kind_so_that_they_can_be_applied_again(
    kube: KubernetesClient, namespace: str
) -> None:
    kube.create(config_map("one", namespace, value="1"))
    (manifest,) = (
        candidate for candidate in kube.list_all("ConfigMap", namespace) if candidate["metadata"]["name"] == "one"
    )
    del manifest["metadata"]["managedFields"]
    assert kube.apply(manifest)["data"] == {"value": "1"}


def test_two_kinds_of_the_same_name_are_distinguished_by_version(kube: KubernetesClient, namespace: str) -> None:
    core = kube.list_all("v1/Event", namespace)
    events = kube.list_all("events.k8s.io/v1/Event", namespace)
    assert (core, events) == ([], [])


def test_an_unknown_kind_is_named(kube: KubernetesClient) -> None:
    with pytest.raises(LookupError, match="does not know the kind Spaceship; is its CRD installed"):
        kube.get("Spaceship", "enterprise")


def test_objects_are_applied_in_the_order_of_their_dependencies(kube: KubernetesClient, namespace: str) -> None:
    inner = f"{namespace}-inner"
    kube.apply_all([config_map("one", inner), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": inner}}])
    assert kube.get("ConfigMap", "one", inner) is not None
    kube.delete("Namespace", inner)


def test_the_error_has_the_message_of_the_api_server(kube: KubernetesClient, namespace: str) -> None:
    with pytest.raises(ApiError, match="ConfigMap in version") as refusal:
        kube.create({**config_map("one", namespace), "data": "text"})
    assert (refusal.value.status, refusal.value.reason) == (400, "BadRequest")


def test_waiting_ends_with_the_change(kube: KubernetesClient, namespace: str) -> None:
    kube.create(config_map("one", namespace, value="old"))
    change = threading.Timer(0.3, kube.patch, ("ConfigMap", "one", {"data": {"value": "new"}}, namespace))
    change.start()
    manifest = kube.wait(
        "ConfigMap", "one", namespace, until=lambda candidate: candidate["data"]["value"] == "new", timeout=20
    )
    change.join()
    assert manifest["data"] == {"value": "new"}


def test_a_timeout_reports_the_current_status(kube: KubernetesClient, namespace: str) -> None:
    kube.create(config_map("one", namespace))
    with pytest.raises(TimeoutError, match=r"ConfigMap .*/one is not as expected after 0.2 s"):
        kube.wait("ConfigMap", "one", namespace, until=lambda candidate: "data" in candidate, timeout=0.2)
    with pytest.raises(TimeoutError, match="it does not exist"):
        kube.wait("ConfigMap", "two", namespace, until=bool, timeout=0.2)
    with pytest.raises(TimeoutError, match=r"one is still there after 0.2 s"):
        kube.wait_deleted("ConfigMap", "one", namespace, timeout=0.2)


@pytest.mark.parametrize("status", [{}, {"conditions": None}, {"conditions": [{"type": "Ready", "status": "True"}]}])
def test_a_missing_condition_is_empty(status: dict[str, Any]) -> None:
    assert condition({"status": status}, "Stalled") == {}
