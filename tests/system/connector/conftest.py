"""Scenes for tests of the whole operator.

`scene` shares one cloud and one operator with all other tests: the cloud begins anew for each, and each has a namespace
of its own. `own_scene` with `run` is for tests that kill the operator, or run it with settings of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.stack import Cloud, Operator
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from tests.support.scene import GRANTED, KIND, SUBSCRIPTION, TENANT, Scene

QUICK = {
    "DEFENDER_DEVOPS_REFRESH_INTERVAL": "1",
    "DEFENDER_DEVOPS_CHECK_INTERVAL": "2",
    "DEFENDER_DEVOPS_OPERATION_POLL_INTERVAL": "0.5",
    "DEFENDER_DEVOPS_DISCOVERY_SETTLE_INTERVAL": "10",
    "DEFENDER_DEVOPS_BACKOFF_INITIAL": "0.5",
    "DEFENDER_DEVOPS_BACKOFF_MAXIMUM": "4",
    "DEFENDER_DEVOPS_LOG_FORMAT": "console",
}
"""As much faster than the defaults as the cloud's time is: an hour in ten seconds."""

_POOL = tuple(f"scene-{number}" for number in range(40))


def _watching(*namespaces: str, granted: tuple[str, ...] | None = None) -> dict[str, str]:
    grants = [
        {"namespace": each, "tenantId": TENANT, "subscriptionId": SUBSCRIPTION}
        for each in (namespaces if granted is None else granted)
    ]
    return {
        "DEFENDER_DEVOPS_NAMESPACES": json.dumps(namespaces),
        "DEFENDER_DEVOPS_IDENTITY_GRANTS": json.dumps(grants),
    }


@pytest.fixture(scope="session")
def shared_cloud(start_cloud: Callable[..., Cloud]) -> Cloud:
    """One cloud for all scenes."""
    return start_cloud("--speed", "360")


@pytest.fixture(scope="session")
def shared_operator(
    cluster: Cluster, kube: KubernetesClient, shared_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operator]:
    """One operator for all scenes; it watches the namespaces that they take one after the other."""
    for name in _POOL:
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    environment = {
        "KUBECONFIG": str(cluster.kubeconfig),
        **shared_cloud.environment(),
        **CLIENT_SECRET_IDENTITY,
        **QUICK,
        **_watching(*_POOL, granted=_POOL[:GRANTED]),
    }
    log = tmp_path_factory.mktemp("shared-operator") / "operator.log"
    with Operator.start(log, environment) as operator:
        yield operator
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="session")
def namespaces() -> Iterator[str]:
    """Namespaces of the pool, each given out once."""
    return iter(_POOL)


@contextmanager
def _set(kube: KubernetesClient, cloud: Cloud, namespace: str) -> Iterator[Scene]:
    with ControlClient(cloud.control) as control:
        yield Scene(kube, control, namespace)
        for each in kube.list_all(KIND, namespace):
            kube.delete(KIND, each["metadata"]["name"], namespace)


@pytest.fixture
def scene(
    kube: KubernetesClient, shared_cloud: Cloud, shared_operator: Operator, namespaces: Iterator[str]
) -> Iterator[Scene]:
    """A namespace of the test's own, in the shared cloud, which begins anew."""
    with _set(kube, shared_cloud, next(namespaces)) as scene:
        scene.control.reset()
        yield scene
        shared_operator.process.check()


@pytest.fixture
def own_scene(kube: KubernetesClient, cloud: Cloud, namespace: str) -> Iterator[Scene]:
    """Namespace and cloud of the test's own; `run` starts the operator."""
    with _set(kube, cloud, namespace) as scene:
        yield scene


@pytest.fixture
def run(start_operator: Callable[..., Operator], cloud: Cloud, namespace: str) -> Callable[..., Operator]:
    """Start an operator for the test's own namespace and cloud, with these settings."""

    def start(**settings: str) -> Operator:
        own = {f"DEFENDER_DEVOPS_{name.upper()}": value for name, value in settings.items()}
        return start_operator(cloud, QUICK | _watching(namespace) | own)

    return start
