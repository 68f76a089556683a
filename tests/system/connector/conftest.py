"""Scenes for tests of the whole operator.

`scene` shares one cloud and one operator with all other tests: the cloud begins anew for each, and each has a namespace
to itself. `neighbour` is a second namespace beside it, `ungranted` one that may use no identity of the operator's.
`own_scene` with `run` is for tests that kill the operator, or run it with settings of their own.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.stack import Cloud, Operator
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from tests.support.scenarios.azure_user import AzureUser
from tests.support.scenarios.azure_world import SERVICE_ACCOUNT, WORKLOAD, write_world
from tests.support.scenarios.scenario import SUBSCRIPTION, TENANT, UNKNOWN_SUBSCRIPTION, Scenario

QUICK = {
    "DEFENDER_DEVOPS_REFRESH_INTERVAL": "1",
    "DEFENDER_DEVOPS_RESOURCE_GRAPH_LAG": "0.2",
    "DEFENDER_DEVOPS_CHECK_INTERVAL": "2",
    "DEFENDER_DEVOPS_OPERATION_POLL_INTERVAL": "0.5",
    "DEFENDER_DEVOPS_DISCOVERY_SETTLE_INTERVAL": "10",
    "DEFENDER_DEVOPS_BACKOFF_INITIAL": "0.5",
    "DEFENDER_DEVOPS_BACKOFF_MAXIMUM": "4",
    "DEFENDER_DEVOPS_LOG_FORMAT": "console",
}
"""As much faster than the defaults as the cloud's time is: an hour in ten seconds."""

_GRANTED = tuple(f"scene-{number}" for number in range(12))
_TRUSTED = "scene-trusted"
_UNGRANTED = "scene-ungranted"
_ALL = (*_GRANTED, _TRUSTED, _UNGRANTED)


def watching(namespaces: Iterable[str], granted: Iterable[str]) -> dict[str, str]:
    """Variables for these namespaces; the granted ones may act as the operator, and by their service account."""
    own = [
        {"namespace": namespace, "tenantId": TENANT, "subscriptionId": subscription}
        for namespace in granted
        for subscription in (SUBSCRIPTION, UNKNOWN_SUBSCRIPTION)
    ]
    by_service_account = [{**each, "clientId": WORKLOAD, "serviceAccountName": SERVICE_ACCOUNT} for each in own]
    return {
        "DEFENDER_DEVOPS_NAMESPACES": json.dumps(list(namespaces)),
        "DEFENDER_DEVOPS_IDENTITY_GRANTS": json.dumps([*own, *by_service_account]),
    }


@pytest.fixture(scope="session")
def shared_cloud(
    start_cloud: Callable[..., Cloud], cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Cloud:
    """One cloud for all scenes."""
    world = write_world(tmp_path_factory.mktemp("world") / "world.yaml", trusted_namespace=_TRUSTED)
    federation = ("--federation-issuer", cluster.issuer, "--federation-jwks", cluster.jwks)
    return start_cloud("--speed", "360", "--world", world, *federation)


@pytest.fixture(scope="session")
def shared_operator(
    cluster: Cluster, kube: KubernetesClient, shared_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operator]:
    """One operator for all scenes; it watches the namespaces that they take in turn."""
    for name in _ALL:
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    environment = {
        "KUBECONFIG": str(cluster.kubeconfig),
        **shared_cloud.environment(),
        **CLIENT_SECRET_IDENTITY,
        **QUICK,
        **watching(_ALL, (*_GRANTED, _TRUSTED)),
    }
    log = tmp_path_factory.mktemp("shared-operator") / "operator.log"
    with Operator.start(log, environment) as operator:
        yield operator
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="session")
def namespaces() -> Iterator[str]:
    """Namespaces that may act as the operator, each given out again long after the last test has left it."""
    return itertools.cycle(_GRANTED)


@contextmanager
def _set(kube: KubernetesClient, control: ControlClient, namespace: str) -> Iterator[Scenario]:
    scenario = Scenario(kube, control, namespace)
    scenario.enter()
    yield scenario
    scenario.leave()


@pytest.fixture
def control(shared_cloud: Cloud, shared_operator: Operator) -> Iterator[ControlClient]:
    """The other side of the shared cloud, which begins anew."""
    with ControlClient(shared_cloud.control) as control:
        control.reset()
        yield control
        shared_operator.process.check()


@pytest.fixture
def scenario(kube: KubernetesClient, control: ControlClient, namespaces: Iterator[str]) -> Iterator[Scenario]:
    """A namespace of the test's own, in the shared cloud."""
    with _set(kube, control, next(namespaces)) as scenario:
        yield scenario


@pytest.fixture
def neighbour(kube: KubernetesClient, scenario: Scenario, namespaces: Iterator[str]) -> Iterator[Scenario]:
    """Another namespace beside the test's own, as other people of the same cluster have."""
    with _set(kube, scenario.control, next(namespaces)) as neighbour:
        yield neighbour


@pytest.fixture
def trusted_scenario(kube: KubernetesClient, control: ControlClient) -> Iterator[Scenario]:
    """The namespace whose service account an identity of the cloud trusts."""
    with _set(kube, control, _TRUSTED) as trusted_scenario:
        yield trusted_scenario


@pytest.fixture
def ungranted_scenario(kube: KubernetesClient, control: ControlClient) -> Iterator[Scenario]:
    """A namespace that is granted nothing."""
    with _set(kube, control, _UNGRANTED) as ungranted_scenario:
        yield ungranted_scenario


@pytest.fixture
def azure_user(shared_cloud: Cloud, control: ControlClient) -> Iterator[AzureUser]:
    """Somebody else who works on the same connectors in Azure."""
    del control  # the cloud has to begin anew before
    with AzureUser.sign_in(shared_cloud) as caller:
        yield caller


@pytest.fixture
def own_scenario(kube: KubernetesClient, cloud: Cloud, namespace: str) -> Iterator[Scenario]:
    """Namespace and cloud of the test's own; `run` starts the operator."""
    with ControlClient(cloud.control) as control:
        scenario = Scenario(kube, control, namespace)
        yield scenario
        scenario.delete_all()


@pytest.fixture
def own_settings(namespace: str) -> dict[str, str]:
    """Variables of a quick operator that watches the test's own namespace, and may act as itself there."""
    return QUICK | watching([namespace], [namespace])


@pytest.fixture
def run(start_operator: Callable[..., Operator], cloud: Cloud, own_settings: dict[str, str]) -> Callable[..., Operator]:
    """Start an operator for the test's own namespace and cloud, with these settings."""

    def start(**settings: str) -> Operator:
        own = {f"DEFENDER_DEVOPS_{name.upper()}": value for name, value in settings.items()}
        return start_operator(cloud, own_settings | own)

    return start
