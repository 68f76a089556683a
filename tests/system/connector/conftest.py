"""Scenes for tests of the whole operator.

`scene` shares one cloud and one operator with all other tests: the cloud begins anew for each, and each has a namespace
to itself. `neighbour` is a second namespace beside it, `ungranted` one that may use no identity of the operator's.
`own_scenario` with `run` is for tests that kill the operator, or run it with settings of their own, in the same cloud.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.stack import Cloud, Operator
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from tests.support.scenarios.azure_user import AzureUser
from tests.support.scenarios.azure_world import write_world
from tests.support.scenarios.quick import QUICK, watching
from tests.support.scenarios.scenario import Scenario


@dataclass(frozen=True)
class Namespaces:
    """The namespaces of one process's scenarios: other processes of the run work in the same cluster.

    Attributes:
        granted: may act as the operator and by their service account.
        trusted: granted too; an identity of the cloud trusts its service account.
        ungranted: may use none of the operator's identities.
    """

    granted: tuple[str, ...]
    trusted: str
    ungranted: str

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.granted, self.trusted, self.ungranted)


@pytest.fixture(scope="session")
def pool(worker_id: str) -> Namespaces:
    """The namespaces that the shared operator watches."""
    prefix = f"scenario-{worker_id}"
    # Few: at every refresh interval the operator lists the objects of each namespace that it watches.
    granted = tuple(f"{prefix}-{number}" for number in range(3))
    return Namespaces(granted, trusted=f"{prefix}-trusted", ungranted=f"{prefix}-ungranted")


@pytest.fixture(scope="session")
def shared_cloud(
    start_cloud: Callable[..., Cloud], cluster: Cluster, pool: Namespaces, tmp_path_factory: pytest.TempPathFactory
) -> Cloud:
    """One cloud for all scenarios: recommendations are there where a test adds them, and come at no other time."""
    file = tmp_path_factory.mktemp("world") / "world.yaml"
    world = write_world(file, trusted_namespace=pool.trusted, has_assessments=False)
    federation = ("--federation-issuer", cluster.issuer, "--federation-jwks", cluster.jwks)
    return start_cloud("--speed", "360", "--world", world, *federation)


@pytest.fixture(scope="session")
def shared_operator(
    cluster: Cluster, shared_cloud: Cloud, pool: Namespaces, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operator]:
    """One operator for all scenarios; it watches the namespaces that they use in turn."""
    environment = {
        "KUBECONFIG": str(cluster.kubeconfig),
        **shared_cloud.environment(),
        **CLIENT_SECRET_IDENTITY,
        **QUICK,
        **watching(pool.names, (*pool.granted, pool.trusted)),
    }
    log = tmp_path_factory.mktemp("shared-operator") / "operator.log"
    with Operator.start(log, environment) as operator:
        yield operator
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="session")
def namespaces(pool: Namespaces) -> Iterator[str]:
    """Namespaces that may act as the operator; each is used again long after its last test has ended."""
    return itertools.cycle(pool.granted)


@contextmanager
def _open_scenario(kube: KubernetesClient, control: ControlClient, namespace: str) -> Iterator[Scenario]:
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
    with _open_scenario(kube, control, next(namespaces)) as scenario:
        yield scenario


@pytest.fixture
def neighbour(kube: KubernetesClient, scenario: Scenario, namespaces: Iterator[str]) -> Iterator[Scenario]:
    """Another namespace beside the test's own, as other people of the same cluster have."""
    with _open_scenario(kube, scenario.control, next(namespaces)) as neighbour:
        yield neighbour


@pytest.fixture
def trusted_scenario(kube: KubernetesClient, control: ControlClient, pool: Namespaces) -> Iterator[Scenario]:
    """The namespace whose service account an identity of the cloud trusts."""
    with _open_scenario(kube, control, pool.trusted) as scenario:
        yield scenario


@pytest.fixture
def ungranted_scenario(kube: KubernetesClient, control: ControlClient, pool: Namespaces) -> Iterator[Scenario]:
    """A namespace without any grant."""
    with _open_scenario(kube, control, pool.ungranted) as scenario:
        yield scenario


@pytest.fixture
def azure_user(shared_cloud: Cloud, control: ControlClient) -> Iterator[AzureUser]:
    """Somebody else who works on the same connectors in Azure."""
    del control  # the cloud has to begin anew before
    with AzureUser.sign_in(shared_cloud) as caller:
        yield caller


@pytest.fixture
def cloud(shared_cloud: Cloud) -> Cloud:
    """The shared cloud, which begins anew. The shared operator has no connector in it while another test runs."""
    with ControlClient(shared_cloud.control) as control:
        control.reset()
    return shared_cloud


@pytest.fixture
def own_scenario(kube: KubernetesClient, cloud: Cloud, namespace: str) -> Iterator[Scenario]:
    """A namespace of the test's own, with the cloud to itself; `run` starts the operator."""
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
        variables = {f"DEFENDER_DEVOPS_{name.upper()}": value for name, value in settings.items()}
        return start_operator(cloud, own_settings | variables)

    return start
