"""What a run cost: writes to Kubernetes, requests to Azure Resource Manager, processor time and memory."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import psutil

from benchmarks.load import Load
from sandbox.cloud.arm.throttling import kind_of
from sandbox.cloud.control.client import ControlClient

__all__ = ["Costs", "Meter", "megabytes"]

_WRITES = {"POST", "PUT", "PATCH", "APPLY", "DELETE"}
_METRIC = re.compile(r"^apiserver_request_total\{(?P<labels>[^}]*)\} (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_ALL = 1_000_000
_QUERY = "Resources_Query"


@dataclass(frozen=True)
class Costs:
    """What happened between two moments.

    Attributes:
        kubernetes_writes: to the two resources, whoever wrote.
        events: writes of Kubernetes events.
        arm: requests to Resource Manager by the kind that its budgets know: reads, writes, deletes.
        resource_graph: queries of Resource Graph, which has a budget of its own.
        cpu: seconds of the subject's processor time.
    """

    kubernetes_writes: int
    events: int
    arm: Counter[str]
    resource_graph: int
    cpu: float

    @property
    def arm_requests(self) -> int:
        """All requests to Resource Manager."""
        return self.arm.total()


class Meter:
    """Counts from `start` on.

    Args:
        load: reads the API server's metrics.
        control: reads the cloud's journal.
        process: the subject.

    Attributes:
        journal_start: number of the last request before the start.
    """

    def __init__(self, load: Load, control: ControlClient, process: psutil.Process) -> None:
        self._load = load
        self._control = control
        self._process = process
        self.journal_start = 0

    async def start(self) -> None:
        """Begin to count here."""
        self._writes_before = await self._writes()
        self.journal_start = self._control.last()
        self._cpu_before = self._cpu()

    def follow(self, process: psutil.Process) -> None:
        """Count the processor time of the process that the subject was started again as, from its start on."""
        self._process, self._cpu_before = process, 0.0

    async def read(self) -> Costs:
        """What it has cost since."""
        cpu = self._cpu() - self._cpu_before
        writes = await self._writes()
        requests = self._control.journal(since=self.journal_start, service="arm", limit=_ALL)
        return Costs(
            kubernetes_writes=writes["defender-devops.io"] - self._writes_before["defender-devops.io"],
            events=writes["events"] - self._writes_before["events"],
            arm=Counter(kind_of(entry["method"]) for entry in requests if entry.get("operation") != _QUERY),
            resource_graph=sum(entry.get("operation") == _QUERY for entry in requests),
            cpu=cpu,
        )

    async def _writes(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for match in _METRIC.finditer(await self._load.text("/metrics")):
            labels = dict(_LABEL.findall(match["labels"]))
            if labels["verb"] in _WRITES:
                resource = "events" if labels["resource"] == "events" else labels["group"]
                counts[resource] += int(float(match["value"]))
        return counts

    def _cpu(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system


def megabytes(process: psutil.Process) -> float:
    """Resident memory, in 10^6 bytes."""
    return process.memory_info().rss / 1e6
