"""Operators as processes that share a lease, each with a pod of its own to label."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx

from sandbox.cluster import KubernetesClient
from sandbox.stack import Operator
from sandbox.stack.operator import NAMESPACE

__all__ = ["Replicas", "is_leader", "wait_until"]


class Replicas:
    """Starts replicas that share a lease of their own."""

    def __init__(self, kube: KubernetesClient, environment: dict[str, str], folder: Path, running: ExitStack) -> None:
        self.kube = kube
        self.lease = f"lease-{uuid.uuid4().hex[:8]}"
        self.environment = environment | {"DEFENDER_DEVOPS_LEASE_NAME": self.lease}
        self.folder = folder
        self.running = running

    def start(self, name: str, **settings: str) -> Operator:
        """Start one in a pod of its own, and wait until it leads or stands by; `settings` are more variables."""
        pod = f"{self.lease}-{name}"
        self.kube.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": pod, "namespace": NAMESPACE},
                "spec": {"containers": [{"name": "operator", "image": "operator"}]},
            }
        )
        variables = self.environment | {"DEFENDER_DEVOPS_POD_NAME": pod} | settings
        return self.running.enter_context(Operator.start(self.folder / f"{name}.log", variables))

    def holder(self) -> str:
        """Which replica the lease names; empty if none."""
        lease = self.kube.get("Lease", self.lease, NAMESPACE)
        assert lease is not None
        identity = lease["spec"].get("holderIdentity") or ""
        return str(identity).partition("_")[0].removeprefix(f"{self.lease}-")

    def transitions(self) -> int:
        """How often the lease went from one to another."""
        lease = self.kube.get("Lease", self.lease, NAMESPACE)
        assert lease is not None
        return int(lease["spec"]["leaseTransitions"])

    def labelled(self) -> set[str]:
        """Whose pod is labelled as the leader's."""
        pods = self.kube.list_all("Pod", NAMESPACE)
        ours = [pod["metadata"] for pod in pods if pod["metadata"]["name"].startswith(self.lease)]
        return {
            each["name"].removeprefix(f"{self.lease}-")
            for each in ours
            if (each.get("labels") or {}).get("defender-devops.io/role") == "leader"
        }


def is_leader(operator: Operator) -> bool:
    """Whether it says of itself that it leads."""
    with httpx.Client(trust_env=False) as http:
        return "defender_devops_leader 1.0" in http.get(f"{operator.metrics}/metrics").text


def wait_until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for a condition; gives how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not come true in time"
        time.sleep(0.05)
    return time.monotonic() - began
