"""The whole operator with its sign-in pages, the simulated Entra ID and Azure DevOps, and a real browser.

One cloud and one operator serve all tests here; the cloud is reset for each, and each has a namespace of its own.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.ports import free_ports
from sandbox.stack import Cloud, Operator
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from tests.support.scenarios.scenario import SUBSCRIPTION, TENANT
from tests.support.scenarios.sign_in_scenario import SignInScenario

CHECK_INTERVAL = 2


@dataclass
class Stage:
    """Cloud and operator of this folder."""

    cloud: Cloud
    operator: Operator
    log: Path
    settings: Mapping[str, str]

    def another_operator(self, log: Path, **changes: str) -> Operator:
        """One more beside it, as if it had lost the lease and did not know: same work, a page of its own."""
        (port,) = free_ports(1)
        page = {
            "DEFENDER_DEVOPS_SIGNIN_URL": f"http://localhost:{port}/signin",
            "DEFENDER_DEVOPS_SIGNIN_PORT": str(port),
        }
        return Operator.start(log, {**self.settings, **page, **changes})


def working_in(*namespaces: str) -> dict[str, str]:
    """Variables of an operator that watches these namespaces, and whose identity they may use."""
    grants = [{"namespace": name, "tenantId": TENANT, "subscriptionId": SUBSCRIPTION} for name in namespaces]
    return {
        "DEFENDER_DEVOPS_NAMESPACES": json.dumps(namespaces),
        "DEFENDER_DEVOPS_IDENTITY_GRANTS": json.dumps(grants),
    }


@pytest.fixture(scope="session")
def pool(worker_id: str) -> tuple[str, ...]:
    """The namespaces that the operator watches; other processes of the run work in the same cluster."""
    # Few: at every refresh interval the operator lists the objects of each namespace that it watches.
    return tuple(f"sign-in-{worker_id}-{number}" for number in range(3))


@pytest.fixture(scope="session")
def stage(
    cluster: Cluster,
    pool: tuple[str, ...],
    start_cloud: Callable[..., Cloud],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    """Both, started once."""
    cloud = start_cloud("--speed", "360")
    (port,) = free_ports(1)
    folder = tmp_path_factory.mktemp("sign-in")
    settings = {
        "KUBECONFIG": str(cluster.kubeconfig),
        **cloud.environment(),
        **CLIENT_SECRET_IDENTITY,
        **working_in(*pool),
        "DEFENDER_DEVOPS_REFRESH_INTERVAL": "1",
        "DEFENDER_DEVOPS_CHECK_INTERVAL": str(CHECK_INTERVAL),
        "DEFENDER_DEVOPS_OPERATION_POLL_INTERVAL": "0.5",
        "DEFENDER_DEVOPS_BACKOFF_INITIAL": "0.5",
        "DEFENDER_DEVOPS_BACKOFF_MAXIMUM": "4",
        "DEFENDER_DEVOPS_TERMINAL_RETRY_INTERVAL": "4",
        "DEFENDER_DEVOPS_MIN_REQUEUE_INTERVAL": "0.2",
        "DEFENDER_DEVOPS_PIPELINE_REQUEST_INTERVAL": "0.02",
        "DEFENDER_DEVOPS_PIPELINE_BUDGET_SHARE": "1",
        "DEFENDER_DEVOPS_LOG_LEVEL": "debug",
        "DEFENDER_DEVOPS_SIGNIN_URL": f"http://localhost:{port}/signin",
        "DEFENDER_DEVOPS_SIGNIN_HOST": "127.0.0.1",
        "DEFENDER_DEVOPS_SIGNIN_PORT": str(port),
    }
    log = folder / "operator.log"
    with Operator.start(log, settings) as operator:
        yield Stage(cloud, operator, log, settings)


@pytest.fixture(scope="session")
def namespaces(pool: tuple[str, ...]) -> Iterator[str]:
    """Namespaces of the pool; each is used again long after its last test has ended."""
    return itertools.cycle(pool)


@pytest.fixture
def scenario(kube: KubernetesClient, stage: Stage, namespaces: Iterator[str]) -> Iterator[SignInScenario]:
    """A namespace of the test's own; cloud as new."""
    with ControlClient(stage.cloud.control) as control:
        control.reset()
        scenario = SignInScenario(kube, control, next(namespaces), stage.cloud.ca, stage.log)
        scenario.enter()
        yield scenario
        scenario.leave()
    stage.operator.process.check()
