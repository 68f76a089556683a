"""Spans of reconciles and requests, and where they go."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from pydantic import ValidationError

from defender_devops.settings import Settings
from defender_devops.telemetry.context import begin_reconcile
from defender_devops.telemetry.metrics import Metrics
from defender_devops.telemetry.open_telemetry import OpenTelemetryTraces
from defender_devops.telemetry.requests import Requests
from defender_devops.telemetry.traces import open_traces


@pytest.fixture
def memory() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(memory: InMemorySpanExporter) -> Iterator[OpenTelemetryTraces]:
    traces = OpenTelemetryTraces(SimpleSpanProcessor(memory))
    yield traces
    traces.close()


def test_requests_stand_within_their_reconcile_with_their_answers_and_times(
    traces: OpenTelemetryTraces, memory: InMemorySpanExporter
) -> None:
    requests, identifier = Requests(Metrics(), traces), begin_reconcile()
    with traces.reconcile("security", "contoso"):
        requests.azure("read connector", 200, 0.25)
        requests.azure_devops("git", None, 30.0)
        requests.kubernetes("patch", "azuredevopsconnectors/status", "409", 0.01)
    *spans, reconcile = memory.get_finished_spans()
    assert reconcile.attributes == {
        "k8s.namespace.name": "security",
        "defender_devops.connector": "contoso",
        "defender_devops.reconcile_id": identifier,
    }
    assert reconcile.status.status_code == StatusCode.UNSET
    assert {span.parent.span_id for span in spans if span.parent} == {reconcile.context.span_id}
    assert [(span.name, span.status.status_code.name, dict(span.attributes or {})) for span in spans] == [
        ("Azure: read connector", "UNSET", {"peer.service": "Azure", "http.response.status_code": 200}),
        ("Azure DevOps: git", "ERROR", {"peer.service": "Azure DevOps", "error.type": "no answer"}),
        (
            "Kubernetes: patch azuredevopsconnectors/status",
            "ERROR",
            {"peer.service": "Kubernetes", "http.response.status_code": 409},
        ),
    ]
    lasted = [(span.end_time or 0) - (span.start_time or 0) for span in spans]
    assert lasted == [250_000_000, 30_000_000_000, 10_000_000]


def test_requests_outside_of_a_reconcile_have_no_span(
    traces: OpenTelemetryTraces, memory: InMemorySpanExporter
) -> None:
    traces.record_request("Kubernetes", "update leases", "200", 0.01)
    assert memory.get_finished_spans() == ()


async def test_reconciles_at_once_keep_their_requests_apart(
    traces: OpenTelemetryTraces, memory: InMemorySpanExporter
) -> None:
    async def reconcile(name: str) -> None:
        with traces.reconcile("security", name):
            await asyncio.sleep(0)
            traces.record_request("Azure", f"read {name}", "200", 0.0)

    await asyncio.gather(*(reconcile(name) for name in ("contoso", "fabrikam")))
    spans = {span.context.span_id: span for span in memory.get_finished_spans()}
    requests = [span for span in spans.values() if span.parent]
    assert len(requests) == 2
    for span in requests:
        parent = spans[span.parent.span_id]  # type: ignore[union-attr]
        assert span.name == f"Azure: read {(parent.attributes or {})['defender_devops.connector']}"


@pytest.mark.parametrize("error", [None, RuntimeError("client_secret=hunter2"), asyncio.CancelledError("hunter2")])
def test_a_failed_reconcile_is_marked_and_no_message_is_kept(
    traces: OpenTelemetryTraces, memory: InMemorySpanExporter, error: BaseException | None
) -> None:
    try:
        with traces.reconcile("security", "contoso") as span:
            if error:
                raise error
            span.failed()
    except (RuntimeError, asyncio.CancelledError):
        pass
    (reconcile,) = memory.get_finished_spans()
    assert reconcile.status.status_code == StatusCode.ERROR
    assert "hunter2" not in reconcile.to_json()


def test_without_traces_opentelemetry_is_not_even_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "defender_devops.telemetry.open_telemetry", None)
    traces = open_traces("none")
    with traces.reconcile("security", "contoso") as span:
        traces.record_request("Azure", "read connector", "200", 0.1)
        span.failed()
    traces.close()


def test_asking_for_traces_without_the_extra_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings(traces="otlp").traces == "otlp"
    monkeypatch.setattr("defender_devops.settings.find_spec", lambda _: None)
    assert Settings().traces == "none"
    with pytest.raises(ValidationError, match=r"defender-devops-operator\[traces\]"):
        Settings(traces="otlp")


async def test_spans_reach_a_collector_and_the_last_ones_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[ExportTraceServiceRequest] = []

    async def collect(request: web.Request) -> web.Response:
        received.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response()

    application = web.Application()
    application.router.add_post("/v1/traces", collect)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{runner.addresses[0][1]}")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "defender-west")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    traces = open_traces("otlp")
    with traces.reconcile("security", "contoso"):
        traces.record_request("Azure", "read connector", "200", 0.1)
    await asyncio.to_thread(traces.close)
    await runner.cleanup()
    (resource,) = (spans for request in received for spans in request.resource_spans)
    attributes = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
    assert attributes["service.name"] == "defender-west"
    assert [span.name for scope in resource.scope_spans for span in scope.spans] == [
        "Azure: read connector",
        "reconcile",
    ]
