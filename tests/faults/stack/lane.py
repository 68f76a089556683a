"""A lane: namespace, simulated cloud, proxy and operator, in which one plan is executed at a time.

Lanes share one cluster and nothing else, so that several plans run at once and each can be repeated alone.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.credentials import kubeconfig
from sandbox.stack import Cloud, Operator
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from tests.faults.plans.rule import AZURE, KUBERNETES
from tests.faults.stack.proxy import FaultProxy, Signals
from tests.support.scenarios.azure_user import AzureUser
from tests.support.scenarios.azure_world import write_world
from tests.support.scenarios.quick import QUICK, watching
from tests.support.scenarios.scenario import KIND, ORGANIZATION, Scenario

__all__ = ["SPEED", "Lane"]

SPEED: Final = 3600
"""Seconds of the simulated cloud for each real one."""

_SETTINGS: Final = {
    # Discovery ends early, so that a connector at rest is at rest within seconds.
    "DEFENDER_DEVOPS_DISCOVERY_SETTLE_INTERVAL": "0.5",
    "DEFENDER_DEVOPS_POSTURE_INTERVAL": "0",
    "DEFENDER_DEVOPS_BACKOFF_MAXIMUM": "2",
    "DEFENDER_DEVOPS_TERMINAL_RETRY_INTERVAL": "2",
}
_CLIENT_SECRET: Final = "canary-client-secret-of-the-operator"
_EXIT_TIMEOUT: Final = 15.0
_QUIET_POLL: Final = 0.05
_RESOURCES: Final = ("azuredevopsconnectors", "devopsorganizations")


class Lane:
    """Where one plan is executed at a time; `open` creates one.

    Attributes:
        scenario: actions of a user.
        azure_user: another client of Azure.
        proxy: between the operator and both servers.
        log: the operator's log.
        operator: the operator that runs.
        replica: a second operator, where a plan needs one.
        secrets: values by name that must not appear anywhere.
    """

    def __init__(
        self,
        cluster: Cluster,
        cloud: Cloud,
        scenario: Scenario,
        azure_user: AzureUser,
        *,
        folder: Path,
        settings: Mapping[str, str],
    ) -> None:
        self.scenario = scenario
        self.azure_user = azure_user
        self.log = folder / "operator.log"
        self.operator: Operator | None = None
        self.replica: Operator | None = None
        self.secrets = {
            "the operator's client secret": (_CLIENT_SECRET,),
            "the token of the API server": (cluster.admin_token,),
        }
        self._cluster = cluster
        self._cloud = cloud
        self._folder = folder
        self._lease = ""
        self._settings = settings
        upstreams = {
            KUBERNETES: (cluster.server, cluster.ca),
            AZURE: (str(cloud.endpoints["arm"]), cloud.ca),
        }
        self.proxy = FaultProxy(upstreams, Signals(self.kill, self.freeze))

    @classmethod
    @contextmanager
    def open(cls, cluster: Cluster, folder: Path, name: str, settings: Mapping[str, str]) -> Iterator[Lane]:
        """Start cloud, proxy and operator for a namespace of its own; all end with the context.

        Args:
            cluster: where the namespace is.
            folder: for logs.
            name: name of the namespace.
            settings: more variables of the operator.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as running:
            world = _write_small_world(folder / "world.yaml")
            cloud = running.enter_context(Cloud.start(folder / "cloud", "--speed", str(SPEED), "--world", world))
            control = running.enter_context(ControlClient(cloud.control))
            kube = running.enter_context(cluster.client())
            azure_user = running.enter_context(AzureUser.sign_in(cloud))
            lane = cls(cluster, cloud, Scenario(kube, control, name), azure_user, folder=folder, settings=settings)
            lane.scenario.enter()
            running.enter_context(lane.proxy)
            running.callback(lane.stop)
            lane.start()
            yield lane

    @property
    def control(self) -> ControlClient:
        """The control interface of the cloud."""
        return self.scenario.control

    @property
    def kube(self) -> KubernetesClient:
        """The API server, without the proxy."""
        return self.scenario.kube

    @property
    def namespace(self) -> str:
        """The lane's namespace."""
        return self.scenario.namespace

    @property
    def is_running(self) -> bool:
        """Whether the operator runs, frozen or not."""
        return self.operator is not None and self.operator.process.exit_status is None

    # --- the operator

    def start(self) -> None:
        """Start an operator with a lease of its own: it need not wait for the lease of one that was killed."""
        if self.operator is not None:
            self.operator.stop()
        self._lease = f"lane-{uuid.uuid4().hex[:12]}"
        self.operator = Operator.start(self.log, self._environment())

    def start_replica(self) -> None:
        """Start a second operator, which waits for the lease of the first."""
        self.replica = Operator.start(self.log, self._environment(), ready=False)

    def start_rival(self) -> None:
        """Start an operator of another installation: with another name and a lease of its own."""
        environment = self._environment() | {
            "DEFENDER_DEVOPS_LEASE_NAME": f"{self._lease}-rival",
            "DEFENDER_DEVOPS_OPERATOR_NAME": "rival",
        }
        self.replica = Operator.start(self.log, environment)

    def promote_replica(self) -> None:
        """Make the second operator the lane's only one: the first has lost its lease and ends, or is killed."""
        first, self.operator, self.replica = self.operator, self.replica, None
        if first is not None:
            first.process.wait(_EXIT_TIMEOUT)
            first.process.kill()
        if self.operator is not None:
            self.operator.wait_ready()

    def kill(self) -> None:
        """End the operator as `kill -9` does."""
        if self.is_running and self.operator is not None:
            os.kill(self.operator.process.pid, signal.SIGKILL)

    def wait_ended(self) -> int | None:
        """Wait for the operator's end; return its exit status, or None if it still runs."""
        return None if self.operator is None else self.operator.process.wait(_EXIT_TIMEOUT)

    def freeze(self) -> None:
        """Stop the operator as a suspended machine does."""
        if self.is_running and self.operator is not None:
            os.kill(self.operator.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen operator continue."""
        if self.is_running and self.operator is not None:
            os.kill(self.operator.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop all operators."""
        self.thaw()
        for operator in (self.operator, self.replica):
            if operator is not None:
                operator.stop()
        self.operator = self.replica = None

    def metrics(self) -> str:
        """Return the operator's metrics; empty where it does not run."""
        if self.operator is None or not self.is_running:
            return ""
        with httpx.Client(trust_env=False, timeout=10) as http:
            return http.get(f"{self.operator.metrics}/metrics").text

    def _environment(self) -> dict[str, str]:
        access = self._folder / "through-the-proxy.kubeconfig"
        access.write_text(
            kubeconfig(self.proxy.addresses[KUBERNETES], self._cluster.ca, token=self._cluster.admin_token)
        )
        return {
            **self._cloud.environment(),
            **CLIENT_SECRET_IDENTITY,
            "AZURE_CLIENT_SECRET": _CLIENT_SECRET,
            **QUICK,
            **_SETTINGS,
            **watching([self.namespace], [self.namespace]),
            "KUBECONFIG": str(access),
            "DEFENDER_DEVOPS_ARM_ENDPOINT": self.proxy.addresses[AZURE],
            "DEFENDER_DEVOPS_LEASE_NAME": self._lease,
            **self._settings,
        }

    # --- what is between operator and servers

    def remember_lists(self) -> None:
        """Remember the lists of both resources, for the action OLDER."""
        group = f"/apis/defender-devops.io/v1alpha1/namespaces/{self.namespace}"
        self.proxy.remember_lists({name: f"{group}/{name}" for name in _RESOURCES}, self._cluster.admin_token)

    def wait_quiet(self, seconds: float, timeout: float, *, server: str = "") -> bool:
        """Wait until nothing was written for some seconds; return whether that happened before the time-out.

        Args:
            seconds: how long nothing is written.
            timeout: seconds to wait at most.
            server: count writes to this server only.
        """
        begin = time.monotonic()
        while time.monotonic() < begin + timeout:
            times = (write.time for write in reversed(self.proxy.writes) if write.description.startswith(server))
            if time.monotonic() - max(begin, next(times, 0.0)) >= seconds:
                return True
            time.sleep(_QUIET_POLL)
        return False

    # --- from one plan to the next

    def clear(self) -> None:
        """Begin anew: an empty namespace, the initial cloud, no rules, an operator that runs."""
        self.proxy.lift()
        self.proxy.end_silence()
        self.thaw()
        if self.replica is not None:
            self.replica.stop()
            self.replica = None
        if not self.is_running:
            self.start()
        self.scenario.enter()
        try:
            self.scenario.leave()
        except TimeoutError:
            self._remove_by_force()
        self.control.reset()

    def renew(self) -> None:
        """Begin anew with another operator, which remembers nothing."""
        self.stop()
        self.clear()

    def _remove_by_force(self) -> None:
        """Remove the objects that the operator does not let go."""
        for kind in (KIND, ORGANIZATION):
            for body in self.kube.list_all(kind, self.namespace):
                self.kube.patch(kind, body["metadata"]["name"], {"metadata": {"finalizers": None}}, self.namespace)


def _write_small_world(file: Path) -> Path:
    """Write a world whose organizations have one project each, so that discovery is over at once."""
    write_world(file, trusted_namespace="nobody", has_assessments=False)
    world: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    for application in world["applications"]:
        if application["clientId"] == CLIENT_SECRET_IDENTITY["AZURE_CLIENT_ID"]:
            application["secrets"] = [{"value": _CLIENT_SECRET}]
    for organization in world["organizations"]:
        organization["projects"] = [{"name": "first", "repositories": ["code"]}]
    file.write_text(yaml.safe_dump(world), encoding="utf-8")
    return file
