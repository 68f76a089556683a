"""Traces with OpenTelemetry, sent with OTLP over HTTP. Needs the extra `traces`.

Spans contain no exceptions and no messages: attributes are names, numbers and codes.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final, Self

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from defender_devops.telemetry.context import reconcile_id
from defender_devops.telemetry.export_session import open_export_session

__all__ = ["OpenTelemetryTraces"]

_DISTRIBUTION: Final = "defender-devops-operator"
_CLOSING_SECONDS: Final = 5.0
_ERROR: Final = "error"
_ERROR_CLASSES: Final = "4", "5"
"""First digits of HTTP statuses of errors."""


class OpenTelemetryTraces:
    """Spans of this process.

    Args:
        processor: receives the spans that have ended.
    """

    def __init__(self, processor: SpanProcessor) -> None:
        resource = Resource.create(
            {
                SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", _DISTRIBUTION),
                SERVICE_VERSION: version(_DISTRIBUTION),
            }
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("defender_devops", version(_DISTRIBUTION))

    @classmethod
    def open(cls) -> Self:
        """Return traces that are sent in the background to OTEL_EXPORTER_OTLP_ENDPOINT."""
        return cls(BatchSpanProcessor(OTLPSpanExporter(session=open_export_session())))

    @contextmanager
    def reconcile(self, namespace: str, name: str) -> Iterator[_ReconcileSpan]:
        """Record the reconcile of a connector as a span; see `Traces`."""
        attributes = {
            "k8s.namespace.name": namespace,
            "defender_devops.connector": name,
            "defender_devops.reconcile_id": reconcile_id() or "",
        }
        with self._tracer.start_as_current_span(
            "reconcile", attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            reconcile = _ReconcileSpan(span)
            try:
                yield reconcile
            except BaseException:  # a reconcile that is cancelled has not done its work either
                reconcile.failed()
                raise

    def record_request(self, service: str, operation: str, code: str, seconds: float) -> None:
        """Record a span of a request that has just ended; see `Traces`."""
        if not trace.get_current_span().is_recording():
            return
        end = time.time_ns()
        span = self._tracer.start_span(
            f"{service}: {operation}",
            kind=SpanKind.CLIENT,
            start_time=end - int(seconds * 1e9),
            attributes={"peer.service": service, **_status_attributes(code)},
        )
        if code == _ERROR or code.startswith(_ERROR_CLASSES):
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def close(self) -> None:
        """Send the remaining spans for some seconds at most: a collector that hangs must not delay the exit."""
        sending = threading.Thread(target=self._provider.shutdown, name="trace-shutdown", daemon=True)
        sending.start()
        sending.join(_CLOSING_SECONDS)


class _ReconcileSpan:
    def __init__(self, span: Span) -> None:
        self._span = span

    def failed(self) -> None:
        """Mark the span as failed; the log has the reason under the same reconcile id."""
        self._span.set_status(Status(StatusCode.ERROR))


def _status_attributes(code: str) -> dict[str, str | int]:
    """Return an HTTP status as attributes of OpenTelemetry's semantic conventions."""
    return {"error.type": "no answer"} if code == _ERROR else {"http.response.status_code": int(code)}
