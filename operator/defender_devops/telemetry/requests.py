"""Passes every request of the operator to the metrics and to the traces."""

from __future__ import annotations

from dataclasses import dataclass

from defender_devops.telemetry.metrics import Metrics, status_code_label
from defender_devops.telemetry.traces import Traces

__all__ = ["Requests"]


@dataclass(frozen=True, slots=True)
class Requests:
    """Observers of requests, for the clients.

    Attributes:
        metrics: count them.
        traces: record a span for each.
    """

    metrics: Metrics
    traces: Traces

    def azure(self, operation: str, status: int | None, seconds: float) -> None:
        """Record a request to Azure; the status None means that there was no answer."""
        self.metrics.azure_request(operation, status, seconds)
        self.traces.record_request("Azure", operation, status_code_label(status), seconds)

    def azure_devops(self, area: str, status: int | None, seconds: float) -> None:
        """Record a request to Azure DevOps; the status None means that there was no answer."""
        self.metrics.azure_devops_request(area, status, seconds)
        self.traces.record_request("Azure DevOps", area, status_code_label(status), seconds)

    def kubernetes(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Record a request to the Kubernetes API; the code `error` means that there was no answer."""
        self.metrics.kubernetes_request(verb, resource, code, seconds)
        self.traces.record_request("Kubernetes", f"{verb} {resource}", code, seconds)
