"""Traces: a span for each reconcile, with one for each of its requests. Without OpenTelemetry they are discarded."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Final, Literal, Protocol

__all__ = ["Exporter", "ReconcileSpan", "Traces", "open_traces"]

Exporter = Literal["none", "otlp"]


class ReconcileSpan(Protocol):
    """One reconcile that is under way."""

    def failed(self) -> None:
        """Mark the reconcile as failed."""
        ...


class Traces(Protocol):
    """Destination of spans."""

    def reconcile(self, namespace: str, name: str) -> AbstractContextManager[ReconcileSpan]:
        """Return a context manager that records the reconcile of a connector as a span."""
        ...

    def record_request(self, service: str, operation: str, code: str, seconds: float) -> None:
        """Record a span of a request that has just ended, within the caller's reconcile; outside of one, nothing.

        Args:
            service: name of the service.
            operation: name of the operation; one of few.
            code: HTTP status, or `error` if there was no answer.
            seconds: duration.
        """
        ...

    def close(self) -> None:
        """Send the remaining spans. Blocks for some seconds at most."""
        ...


def open_traces(exporter: Exporter) -> Traces:
    """Return traces for an exporter. OpenTelemetry's own variables (`OTEL_…`) configure where it sends them."""
    if exporter == "none":
        return _NoTraces()
    # An optional dependency that is slow to load: imported only if it is used.
    from defender_devops.telemetry.open_telemetry import OpenTelemetryTraces  # noqa: PLC0415 - as above

    return OpenTelemetryTraces.open()


class _NoSpan:
    def failed(self) -> None:
        """Do nothing."""


class _NoTraces:
    """Discards all spans."""

    _SPAN: Final = _NoSpan()

    def reconcile(self, namespace: str, name: str) -> AbstractContextManager[ReconcileSpan]:  # noqa: ARG002 - a Traces
        """Record nothing."""
        return nullcontext(self._SPAN)

    def record_request(self, service: str, operation: str, code: str, seconds: float) -> None:
        """Record nothing."""

    def close(self) -> None:
        """Send nothing."""
