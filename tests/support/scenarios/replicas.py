"""Operators as processes that share a lease, each with a pod of its own to label."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from sandbox.cluster import KubernetesClient
from sandbox.loopback import get
from sandbox.stack import Operator
from sandbox.stack.operator import NAMESPACE

__all__ = ["Replicas", "is_leader", "wait_until"]


class Replicas:
    """Starts replicas that share a lease of their own."""

    def __init__(self, kube: KubernetesClient, environment: dict[str, str], folder: Path, running: ExitStack) -> None:
        self.kube = kube
        self.lease = f"lease-{uuid.uuid4().hex[:8]}"
        # Leadership does not depend on what is watched; the connectors of other tests are not for these operators.
        self.environment = {"DEFENDER_DEVOPS_NAMESPACES": json.dumps([NAMESPACE]), **environment}
        self.environment["DEFENDER_DEVOPS_LEASE_NAME"] = self.lease
        self.folder = folder
        self.running = running

    def start(self, name: str, **settings: str) -> Operator:
        """Start one in a pod of its own, and wait until it is ready; `settings` are more variables."""
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
        """Return the name of the replica that holds the lease; empty if none does."""
        lease = self.kube.get("Lease", self.lease, NAMESPACE)
        assert lease is not None
        identity = lease["spec"].get("holderIdentity") or ""
        return str(identity).partition("_")[0].removeprefix(f"{self.lease}-")

    def transitions(self) -> int:
        """Return the number of changes of the lease's holder."""
        lease = self.kube.get("Lease", self.lease, NAMESPACE)
        assert lease is not None
        return int(lease["spec"]["leaseTransitions"])

    def labelled(self) -> set[str]:
        """Return the names of the replicas whose pod has the leader's label."""
        pods = self.kube.list_all("Pod", NAMESPACE)
        metadata = [pod["metadata"] for pod in pods if pod["metadata"]["name"].startswith(self.lease)]
        return {
            pod_metadata["name"].removeprefix(f"{self.lease}-")
            for pod_metadata in metadata
            if (pod_metadata.get("labels") or {}).get("defender-devops.io/role") == "leader"
        }


def is_leader(operator: Operator) -> bool:
    """Whether its metrics say that it is the leader."""
    return "defender_devops_leader 1.0" in get(f"{operator.metrics}/metrics").text


def wait_until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for a condition; return the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"the condition is not true after {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - began
