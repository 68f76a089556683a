"""A fresh cluster, a fresh cloud and one subject, ready to be measured."""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import yaml

from benchmarks.load import NAMESPACE, Body, Load
from sandbox.cloud.control.client import ControlClient
from sandbox.cloud.world.load import DEFAULT_WORLD
from sandbox.cluster import Cluster
from sandbox.cluster.ports import free_ports
from sandbox.process import ManagedProcess
from sandbox.stack import Cloud, Operator, install_crds, prepare_namespace
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY

__all__ = ["ORGANIZATIONS_EACH", "SUBJECTS", "Stand", "Subject", "stand"]

Subject = Literal["operator", "yardstick"]
SUBJECTS: tuple[Subject, ...] = ("operator", "yardstick")

ORGANIZATIONS_EACH = 5
TENANT = "11111111-1111-1111-1111-111111111111"
PRINCIPAL = "defender-devops-sandbox"
CONNECTORS_IN_A_SUBSCRIPTION = 50
"""So few that Resource Manager's limits, which the operator keeps by itself, are never met in any of them."""
GROUP = "rg-devops-security"
DOMAIN = "contoso.com"

_SPEED = 20
"""Azure's seconds to one of ours: its long-running operations take 20 s and more, which is not what is measured."""

_READY_SECONDS = 60


@dataclass
class Stand:
    """What a measurement works with.

    Attributes:
        load: a team at work.
        control: the cloud's other side.
        start: starts the subject; gives its process and the URL of its metrics, which is empty without any.
        subject: the running subject.
        connectors: how many the world has organizations for.
        throttled: whether all of them are in one subscription.
        cloud: process of the simulated cloud.
        metrics: URL of the operator's metrics; empty for another subject.
    """

    load: Load
    control: ControlClient
    start: Callable[[], tuple[ManagedProcess, str]]
    subject: ManagedProcess
    connectors: int
    throttled: bool
    cloud: psutil.Process
    metrics: str = ""

    @property
    def process(self) -> psutil.Process:
        """The subject's process, to be measured."""
        return psutil.Process(self.subject.pid)

    def cpu_of_environment(self) -> dict[str, float]:
        """Return the processor time of what the subject shares the machine with, in seconds, by name."""
        this = psutil.Process()
        cluster = [child for child in this.children() if child.pid not in {self.subject.pid, self.cloud.pid}]
        return {
            "the cloud": _cpu_seconds(self.cloud),
            "the cluster": sum(_cpu_seconds(process) for process in cluster),
            "the load": _cpu_seconds(this),
        }

    def restart(self, *, is_killed: bool) -> None:
        """End the subject with SIGKILL or SIGTERM, start it again and wait until it is ready."""
        if is_killed:
            self.subject.kill()
        else:
            self.subject.stop()
        self.subject, self.metrics = self.start()

    def subscription(self, number: int) -> str:
        """Where a connector is, by number."""
        return _subscription(number, throttled=self.throttled)

    def manifests(self, first: int = 0, last: int | None = None) -> Iterator[Body]:
        """Connectors by number, each with five organizations of its own."""
        for number in range(first, self.connectors if last is None else last):
            yield _manifest(number, self.subscription(number))


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


@asynccontextmanager
async def stand(
    subject: Subject,
    connectors: int,
    *,
    projects: int = 0,
    repositories: int = 0,
    recommendations: int = 0,
    posture_seconds: float | None = None,
    throttled: bool = False,
) -> AsyncIterator[Stand]:
    """Start everything, with a fresh one-time code in a Secret for each connector; end it all again.

    Args:
        subject: which operator.
        connectors: how many there will be.
        projects: in each organization; none is one that Defender reports meanwhile.
        repositories: in each project.
        recommendations: for each repository, all of them unhealthy.
        posture_seconds: interval of the operator's queries for recommendations; its default if None.
        throttled: whether Resource Manager keeps its limits, and all connectors are in one subscription.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        cluster = stack.enter_context(Cluster.start(folder / "cluster"))
        with cluster.client() as client:
            install_crds(client)
            prepare_namespace(client)
            prepare_namespace(client, NAMESPACE)
        subscriptions = sorted({_subscription(number, throttled=throttled) for number in range(connectors)})
        generated = _generated_parts(connectors * ORGANIZATIONS_EACH, projects, repositories, recommendations)
        world = _write_world(folder / "world.yaml", generated, subscriptions)
        limits = () if throttled else ("--no-throttling",)
        cloud = stack.enter_context(Cloud.start(folder / "cloud", "--speed", str(_SPEED), "--world", world, *limits))
        control = stack.enter_context(ControlClient(cloud.control))
        async with Load(cluster) as load:
            await load.create(_secret(number, control.issue_code(_account(number))) for number in range(connectors))
            grants = [
                {"namespace": NAMESPACE, "tenantId": TENANT, "subscriptionId": subscription}
                for subscription in subscriptions
            ]
            log = folder / f"{subject}.log"

            def start() -> tuple[ManagedProcess, str]:
                if subject == "operator":
                    return _start_operator(log, cluster, cloud, grants, posture_seconds)
                return _start_yardstick(log, cluster), ""

            process, metrics = start()
            place = Stand(
                load, control, start, process, connectors, throttled, psutil.Process(cloud.process.pid), metrics
            )
            try:
                yield place
                place.subject.check()
            finally:
                place.subject.stop()  # a restart has replaced the one of the start


def _start_operator(
    log: Path, cluster: Cluster, cloud: Cloud, grants: Sequence[Body], posture_seconds: float | None
) -> tuple[ManagedProcess, str]:
    environment = {
        "KUBECONFIG": str(cluster.kubeconfig),
        **cloud.environment(),
        **CLIENT_SECRET_IDENTITY,
        "DEFENDER_DEVOPS_IDENTITY_GRANTS": json.dumps(grants),
    }
    if posture_seconds is not None:
        environment["DEFENDER_DEVOPS_POSTURE_INTERVAL"] = str(posture_seconds)
    operator = Operator.start(log, environment)
    return operator.process, f"{operator.metrics}/metrics"


def _start_yardstick(log: Path, cluster: Cluster) -> ManagedProcess:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "benchmarks.yardstick", str(port)]
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    process = ManagedProcess("yardstick", command, log=log, env=environment, cwd=Path(__file__).parents[1])
    process.wait_until_responding(f"http://127.0.0.1:{port}/healthz", timeout=_READY_SECONDS)
    return process


def _generated_parts(organizations: int, projects: int, repositories: int, recommendations: int) -> dict[str, Body]:
    """What the simulated cloud generates: see `stand`, whose numbers these are."""
    return {
        "generate": {
            "organizations": organizations,
            "projects": projects,
            "repositories": organizations * projects * repositories,
        },
        "generateAssessments": {"perRepository": recommendations, "posture": False, "statuses": {"Unhealthy": 1}},
    }


def _write_world(file: Path, generated: Mapping[str, Body], subscriptions: Sequence[str]) -> Path:
    """The default world, with generated parts and these subscriptions more."""
    world = yaml.safe_load(DEFAULT_WORLD.read_text(encoding="utf-8"))
    for subscription in subscriptions:
        group = {"name": GROUP, "location": "westeurope"}
        world["subscriptions"].append(
            {"id": subscription, "name": subscription, "tenant": DOMAIN, "resourceGroups": [group]}
        )
        world["roleAssignments"].append(
            {"role": "Contributor", "principal": PRINCIPAL, "scope": f"/subscriptions/{subscription}"}
        )
    world.update(generated)
    world["generate"] |= {
        "tenant": DOMAIN,
        "account": f"mdc-devops-connector@{DOMAIN}",
        "subscription": subscriptions[0],
        "resourceGroup": GROUP,
        "organizationsPerAccount": ORGANIZATIONS_EACH,
    }
    file.write_text(yaml.safe_dump(world), encoding="utf-8")
    return file


def _subscription(number: int, *, throttled: bool) -> str:
    part = 0 if throttled else number // CONNECTORS_IN_A_SUBSCRIPTION
    return f"bbbbbbbb-0000-0000-0000-{part:012}"


def _account(number: int) -> str:
    """The dedicated account of a connector, by number: it is an administrator of its five organizations alone."""
    return f"account-{number + 1:04}@{DOMAIN}"


def _secret(number: int, code: str) -> Body:
    data = {"code": base64.b64encode(code.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"code-{number:04}"}, "data": data}


def _manifest(number: int, subscription: str) -> Body:
    first = number * ORGANIZATIONS_EACH + 1
    return {
        "apiVersion": "defender-devops.io/v1alpha1",
        "kind": "AzureDevOpsConnector",
        "metadata": {"name": f"connector-{number:04}", "namespace": NAMESPACE},
        "spec": {
            "azure": {
                "tenantId": TENANT,
                "subscriptionId": subscription,
                "resourceGroup": GROUP,
                "location": "westeurope",
            },
            "organizations": {
                "mode": "Selected",
                "names": [f"org-{number:04}" for number in range(first, first + ORGANIZATIONS_EACH)],
            },
            "authorization": {
                "method": "Code",
                "codeSecretRef": {"name": f"code-{number:04}", "key": "code"},
                "account": _account(number),
            },
        },
    }
