"""Replicas of the operator as processes, on a real API server: one leads, another follows it whatever happens to it."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from sandbox.cluster import Cluster, KubernetesClient
from sandbox.stack import Cloud, Operator
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from sandbox.stack.operator import NAMESPACE

TAKE_OVER = 15.0

Start = Callable[[str], Operator]


class Replicas:
    """Starts operators that share a lease, each with a pod of its own to label."""

    def __init__(self, kube: KubernetesClient, environment: dict[str, str], folder: Path, running: ExitStack) -> None:
        self.kube = kube
        self.lease = f"lease-{uuid.uuid4().hex[:8]}"
        self.environment = environment | {"DEFENDER_DEVOPS_LEASE_NAME": self.lease}
        self.folder = folder
        self.running = running

    def start(self, name: str) -> Operator:
        pod = f"{self.lease}-{name}"
        self.kube.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": pod, "namespace": NAMESPACE},
                "spec": {"containers": [{"name": "operator", "image": "operator"}]},
            }
        )
        variables = self.environment | {"DEFENDER_DEVOPS_POD_NAME": pod}
        return self.running.enter_context(Operator.start(self.folder / f"{name}.log", variables))

    def holder(self) -> str:
        """Which replica the lease names; empty if none."""
        lease = self.kube.get("Lease", self.lease, NAMESPACE)
        identity = lease["spec"].get("holderIdentity") or ""
        return identity.partition("_")[0].removeprefix(f"{self.lease}-")

    def transitions(self) -> int:
        return self.kube.get("Lease", self.lease, NAMESPACE)["spec"]["leaseTransitions"]

    def labelled(self) -> set[str]:
        """Whose pod is labelled as the leader's."""
        pods = self.kube.list_all("Pod", NAMESPACE)
        ours = [pod["metadata"] for pod in pods if pod["metadata"]["name"].startswith(self.lease)]
        return {
            each["name"].removeprefix(f"{self.lease}-")
            for each in ours
            if (each.get("labels") or {}).get("defender-devops.io/role") == "leader"
        }


def _until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for a condition; gives how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not come true in time"
        time.sleep(0.05)
    return time.monotonic() - began


def _leads(operator: Operator) -> bool:
    with httpx.Client(trust_env=False) as http:
        return "defender_devops_leader 1.0" in http.get(f"{operator.metrics}/metrics").text


@pytest.fixture
def replicas(kube: KubernetesClient, cluster: Cluster, cloud: Cloud, tmp_path: Path) -> Iterator[Replicas]:
    environment = {"KUBECONFIG": str(cluster.kubeconfig), **cloud.environment(), **CLIENT_SECRET_IDENTITY}
    with ExitStack() as running:
        yield Replicas(kube, environment, tmp_path, running)


def test_one_of_two_replicas_leads_both_are_ready_and_the_pod_of_one_is_labelled(replicas: Replicas) -> None:
    one, two = replicas.start("one"), replicas.start("two")
    assert (_leads(one), _leads(two)) == (True, False)
    assert replicas.holder() == "one"
    assert replicas.labelled() == {"one"}


def test_a_leader_that_is_killed_is_followed_within_15_seconds(replicas: Replicas) -> None:
    one, two = replicas.start("one"), replicas.start("two")
    one.process.kill()
    assert _until(lambda: _leads(two), TAKE_OVER) > 5
    assert replicas.holder() == "two"
    assert replicas.transitions() == 1


def test_a_leader_that_ends_is_followed_at_once_and_takes_its_label_off(replicas: Replicas) -> None:
    one, two = replicas.start("one"), replicas.start("two")
    assert one.stop() == 0
    assert replicas.holder() in ("", "two")
    _until(lambda: _leads(two), 3.0)
    _until(lambda: replicas.labelled() == {"two"}, 3.0)


def test_a_frozen_leader_is_followed_and_gives_up_when_it_wakes(replicas: Replicas) -> None:
    one, two = replicas.start("one"), replicas.start("two")
    os.kill(one.process.pid, signal.SIGSTOP)
    _until(lambda: _leads(two), TAKE_OVER)
    os.kill(one.process.pid, signal.SIGCONT)
    _until(lambda: one.process.exit_status is not None, 10.0)
    assert one.process.exit_status == 1
    assert replicas.holder() == "two"
    assert _leads(two)


def test_a_standby_that_ends_leaves_the_leader_alone(replicas: Replicas) -> None:
    one, two = replicas.start("one"), replicas.start("two")
    assert two.stop() == 0
    assert _leads(one)
    assert replicas.transitions() == 0


def test_a_replica_that_comes_back_takes_the_label_of_its_predecessor_off(replicas: Replicas) -> None:
    replicas.start("one").process.kill()
    assert replicas.labelled() == {"one"}
    two = replicas.start("two")
    _until(lambda: _leads(two), TAKE_OVER)
    replicas.start("one")
    assert replicas.labelled() == {"two"}
