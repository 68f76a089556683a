"""Traces: a span for each reconcile, and within it one for each request. Without OpenTelemetry they go nowhere."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Final, Literal, Protocol

__all__ = ["Exporter", "ReconcileSpan", "Traces", "open_traces"]

Exporter = Literal["none", "otlp"]


class ReconcileSpan(Protocol):
    """One reconcile that is under way."""

    def failed(self) -> None:
        """It has not done what it was to do."""
        ...


class Traces(Protocol):
    """Where spans go."""

    def reconcile(self, namespace: str, name: str) -> AbstractContextManager[ReconcileSpan]:
        """A span of the reconcile of a connector, from here to the end of the block."""
        ...

    def request(self, service: str, what: str, code: str, seconds: float) -> None:
        """A span of a request that has just ended, within the caller's reconcile; outside of any there is none.

        Args:
            service: who was asked.
            what: for what; one of few.
            code: HTTP status, or `error` where there was no answer.
            seconds: how long it took.
        """
        ...

    def close(self) -> None:
        """Send what is not sent yet. Blocks for some seconds at most."""
        ...


def open_traces(exporter: Exporter) -> Traces:
    """Traces that go where the exporter sends them. OpenTelemetry's own variables (`OTEL_…`) say where that is."""
    if exporter == "none":
        return _NoTraces()
    # An extra, and slow to load: only who wants it does.
    from defender_devops.telemetry.open_telemetry import OpenTelemetryTraces  # noqa: PLC0415 - as above

    return OpenTelemetryTraces.open()


class _NoSpan:
    def failed(self) -> None:
        """Nobody is told."""


class _NoTraces:
    """Keeps nothing."""

    _SPAN: Final = _NoSpan()

    def reconcile(self, namespace: str, name: str) -> AbstractContextManager[ReconcileSpan]:  # noqa: ARG002 - a Traces
        """No span."""
        return nullcontext(self._SPAN)

    def request(self, service: str, what: str, code: str, seconds: float) -> None:
        """No span."""

    def close(self) -> None:
        """Nothing to send."""
