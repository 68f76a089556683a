"""Tells metrics and traces of every request that the operator makes."""

from __future__ import annotations

from dataclasses import dataclass

from defender_devops.telemetry.metrics import Metrics, code_of
from defender_devops.telemetry.traces import Traces

__all__ = ["Requests"]


@dataclass(frozen=True, slots=True)
class Requests:
    """What clients are given to tell of their requests.

    Attributes:
        metrics: counts them.
        traces: has a span for each.
    """

    metrics: Metrics
    traces: Traces

    def azure(self, operation: str, status: int | None, seconds: float) -> None:
        """Azure was asked; status None: it did not answer."""
        self.metrics.azure_request(operation, status, seconds)
        self.traces.request("Azure", operation, code_of(status), seconds)

    def azure_devops(self, area: str, status: int | None, seconds: float) -> None:
        """Azure DevOps was asked; status None: it did not answer."""
        self.metrics.azure_devops_request(area, status, seconds)
        self.traces.request("Azure DevOps", area, code_of(status), seconds)

    def kubernetes(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """The Kubernetes API was asked; code `error`: it did not answer."""
        self.metrics.kubernetes_request(verb, resource, code, seconds)
        self.traces.request("Kubernetes", f"{verb} {resource}", code, seconds)
