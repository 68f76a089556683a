"""What tests against a real API server and the simulated cloud share.

`cluster` and `kube` are one cluster for the whole run, also where several processes share it: a test works in a
`namespace` of its own, and an operator watches the namespaces of its test only.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from sandbox.cluster import Cluster, KubernetesClient
from sandbox.stack import Cloud, Operator
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from tests.support.scenarios.clusters import shared_cluster

# No test fails on time: a machine that others use too takes a hundred times as long now and then.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

StartCloud = Callable[..., Cloud]
StartOperator = Callable[..., Operator]


def pytest_configure() -> None:
    """Make the process what every test takes it for."""
    # No event loop yet; else asyncio makes one for pytest-asyncio to put back, never closed.
    asyncio.set_event_loop(None)
    # A shell ignores Ctrl-C for what it runs in the background, and the programs that tests start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Keep the modules and the thousands of collected tests out of all later garbage collections."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files whose tests are marked `early` first; the order is otherwise that of their names."""
    items.sort(key=lambda item: item.get_closest_marker("early") is None)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real API server with controllers and the project's CRDs."""
    with shared_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def kube(cluster: Cluster) -> Iterator[KubernetesClient]:
    """The API of `cluster`, as its administrator."""
    with cluster.client() as client:
        yield client


@pytest.fixture
def namespace(kube: KubernetesClient) -> Iterator[str]:
    """A namespace of the test's own, gone soon after it."""
    created = kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "test-"}})
    name: str = created["metadata"]["name"]
    yield name
    kube.delete("Namespace", name)


@pytest.fixture(scope="session")
def start_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartCloud]:
    """Start a simulated cloud with options of `python -m sandbox.cloud`; it runs until the end of the run."""
    with ExitStack() as running:

        def start(*arguments: str | Path) -> Cloud:
            return running.enter_context(Cloud.start(tmp_path_factory.mktemp("cloud"), *arguments))

        yield start


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A simulated cloud of the test's own, with the default world and time that runs 60 times as fast."""
    with Cloud.start(tmp_path / "cloud", "--speed", "60") as started:
        yield started


@pytest.fixture
def start_operator(cluster: Cluster, tmp_path: Path) -> Iterator[StartOperator]:
    """Start the operator against `cluster` and a cloud, as administrator and with a client secret; stopped at the end.

    `settings` are more variables for it, or other values.
    """
    with ExitStack() as running:

        def start(cloud: Cloud, settings: Mapping[str, str] | None = None) -> Operator:
            environment = {
                "KUBECONFIG": str(cluster.kubeconfig),
                **cloud.environment(),
                **CLIENT_SECRET_IDENTITY,
                **(settings or {}),
            }
            # Without namespaces it would reconcile the connectors of other tests with its own cloud.
            assert "DEFENDER_DEVOPS_NAMESPACES" in environment
            return running.enter_context(Operator.start(tmp_path / "operator.log", environment))

        yield start
