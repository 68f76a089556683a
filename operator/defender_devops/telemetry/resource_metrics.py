"""Metrics of each resource, computed from its status at a scrape.

With thousands of organizations, a gauge object for each series would need more memory than the rest of the operator.
The values that a scrape needs are kept in a few bytes instead, equal conditions only once. A rendered scrape is reused
while no status changes: with 1,000 connectors and 5,000 organizations that saves 0.8 s of CPU time at each scrape.
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from defender_devops.api.pipelines.states import PipelineState
from defender_devops.api.posture import Category, Coverage, Severity
from defender_devops.telemetry.metric_definitions import RESOURCE_GAUGES, MetricDefinition

__all__ = ["FindingValues", "ResourceMetrics"]

_CONNECTOR: Final = "AzureDevOpsConnector"
_ORGANIZATION_CONDITIONS: Final = frozenset({"Ready", "Stalled"})
"""The exported conditions of organizations, of which there are thousands; connectors summarize the others."""

_BY_NAME: Final = {gauge.name: gauge for gauge in RESOURCE_GAUGES}
_RECOMMENDATIONS: Final = _BY_NAME["recommendations"]
_AFFECTED: Final = _BY_NAME["affected_repositories"]
_COVERAGE: Final = _BY_NAME["posture_coverage"]
_PIPELINES: Final = _BY_NAME["pipeline_repositories"]
_WITHOUT_RESULTS: Final = _BY_NAME["pipeline_repositories_without_results"]
_WRITTEN_AS_LINES: Final = frozenset({_RECOMMENDATIONS, _AFFECTED, _COVERAGE, _PIPELINES, _WITHOUT_RESULTS})

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
"""Of label values in Prometheus' text format."""

_REAUTH_VALUES: Final[Mapping[str, float]] = {"True": 1.0, "False": 0.0}
"""Values of the metric reauth_required by the status of the condition; without a series for any other status."""

_PAIRS: Final = tuple((severity, category) for severity in Severity for category in Category)

Conditions = tuple[tuple[str, str], ...]
Counts = tuple[tuple[str, str, float], ...]


class FindingValues(Protocol):
    """The exported numbers of one organization's recommendations."""

    @property
    def organization(self) -> str:
        """Name of the organization."""
        ...

    @property
    def unhealthy(self) -> Mapping[tuple[Severity, Category], int]:
        """Open recommendations by severity and category; a pair without a series is absent."""
        ...

    @property
    def affected_repositories(self) -> int:
        """Repositories with an open recommendation."""
        ...

    @property
    def coverage(self) -> Mapping[Category, Coverage]:
        """Whether something looks for findings, by category."""
        ...


class _Pipelines(NamedTuple):
    """The repositories of one organization by whether they are scanned.

    Attributes:
        organization: its name.
        numbers: in the order of `PipelineState`.
        without_results: repositories whose scans have no results; -1 while that is not known.
    """

    organization: str
    numbers: tuple[int, ...]
    without_results: int


@dataclass(frozen=True, slots=True)
class _ResourceValues:
    """The exported values of one resource.

    Attributes:
        conditions: type and status of each.
        token_expires: Unix time, of connectors with a sign-in.
        counts: metric, state and number; of connectors.
        connector: name of the connector of an organization, by which alerts are grouped; empty for connectors.
        posture_problem: reason of a connector's condition PostureAvailable that is not True; else empty.
        pipelines: of an organization whose pipelines were checked.
    """

    conditions: Conditions
    token_expires: float | None = None
    counts: Counts = ()
    connector: str = ""
    posture_problem: str = ""
    pipelines: _Pipelines | None = None


class _Findings(NamedTuple):
    """The recommendations of one organization, in few bytes: there are thousands of organizations.

    Attributes:
        name: of the organization.
        numbers: in the order of `_PAIRS`; -1 where there is no series.
        affected_repositories: number of repositories.
        coverage: in the order of `Category`; empty where there is none.
    """

    name: str
    numbers: tuple[int, ...]
    affected_repositories: int
    coverage: tuple[str, ...]


class ResourceMetrics(Collector):
    """Keeps the exported values of every resource. Removing a resource removes all its series.

    `collect` may run in another thread than the other methods.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, str], _ResourceValues] = {}
        self._findings: dict[tuple[str, str], tuple[_Findings, ...]] = {}
        self._succeeded_at: dict[tuple[str, str], float] = {}
        self._version = 0
        self._rendered: tuple[int, bytes] | None = None
        self._shared_conditions: dict[Conditions, Conditions] = {}

    def upsert(self, body: Mapping[str, Any]) -> None:
        """Export the values of a resource's newest body."""
        metadata, status = body["metadata"], body.get("status") or {}
        kind = body["kind"]
        conditions = _conditions(kind, status.get("conditions") or ())
        conditions = self._shared_conditions.setdefault(conditions, conditions)
        if kind == _CONNECTOR:
            sign_in, discovery = status.get("signIn") or {}, status.get("discovery") or {}
            values = _ResourceValues(
                conditions,
                _unix_time(sign_in.get("tokenExpiresAt")),
                tuple(_counts(discovery)),
                posture_problem=_posture_problem(status.get("conditions") or ()),
            )
        else:
            spec = body["spec"]
            pipelines = _pipelines(spec, status.get("pipelines") or {})
            values = _ResourceValues(conditions, connector=spec["connectorRef"]["name"], pipelines=pipelines)
        key = (kind, metadata["namespace"], metadata["name"])
        if self._values.get(key) != values:
            self._values[key] = values
            self._version += 1

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """Remove a resource."""
        if self._values.pop((kind, namespace, name), None) is not None:
            self._version += 1
        if kind == _CONNECTOR:
            self._succeeded_at.pop((namespace, name), None)
            self._findings.pop((namespace, name), None)

    def set_findings(self, namespace: str, name: str, findings: Sequence[FindingValues]) -> None:
        """Export the recommendations of a connector's organizations, instead of those before."""
        if (_CONNECTOR, namespace, name) not in self._values:
            return
        values = tuple(_findings_of(organization) for organization in findings)
        if self._findings.get((namespace, name), ()) != values:
            self._findings[namespace, name] = values
            self._version += 1

    def succeeded(self, namespace: str, name: str, at: float) -> None:
        """Record that a reconcile of a connector succeeded at a Unix time."""
        if (_CONNECTOR, namespace, name) in self._values:
            self._succeeded_at[namespace, name] = at

    def successes(self) -> list[tuple[tuple[str, ...], float]]:
        """Return namespace and name of each connector, and when it was last reconciled without an error."""
        return list(self._succeeded_at.items())

    async def render(self) -> bytes:
        """Return all series in Prometheus' text format, compressed by zlib: it may be tens of megabytes.

        They are rendered in a thread, since it may take seconds.
        """
        version = self._version
        if self._rendered is None or self._rendered[0] != version:
            self._rendered = version, await asyncio.to_thread(self._render)
        return self._rendered[1]

    def _render(self) -> bytes:
        registry = CollectorRegistry()
        registry.register(self)
        compressor = zlib.compressobj(1)
        parts = [compressor.compress(generate_latest(registry))]
        # One object for each of 100,000 samples would take more memory than the rest of the operator.
        for lines in (self._finding_lines(), self._pipeline_lines()):
            parts += [compressor.compress(text.encode()) for text in lines]
        return b"".join((*parts, compressor.flush()))

    def _finding_lines(self) -> Iterator[str]:
        """Yield the metrics of recommendations in Prometheus' text format, one connector at a time."""
        for gauge, samples in ((_RECOMMENDATIONS, _recommendations), (_AFFECTED, _affected), (_COVERAGE, _coverage)):
            yield f"# HELP {gauge.full_name} {gauge.text}\n# TYPE {gauge.full_name} gauge\n"
            for key, findings in list(self._findings.items()):
                yield "".join(
                    f"{gauge.full_name}{{{_labels(gauge, (*key, *labels))}}} {float(number)}\n"
                    for labels, number in samples(findings)
                )

    def _pipeline_lines(self) -> Iterator[str]:
        """Yield the metrics of pipeline checks in Prometheus' text format, one organization at a time."""
        for gauge, samples in ((_PIPELINES, _states), (_WITHOUT_RESULTS, _without_results)):
            yield f"# HELP {gauge.full_name} {gauge.text}\n# TYPE {gauge.full_name} gauge\n"
            for (_, namespace, _), values in list(self._values.items()):
                if values.pipelines is None:
                    continue
                key = (namespace, values.connector, values.pipelines.organization)
                yield "".join(
                    f"{gauge.full_name}{{{_labels(gauge, (*key, *labels))}}} {float(number)}\n"
                    for labels, number in samples(values.pipelines)
                )

    def describe(self) -> Iterable[Metric]:
        """Return the families without samples, so that registering does not collect."""
        return _families().values()

    def collect(self) -> Iterable[Metric]:
        """Return all series of all resources."""
        families = _families()
        condition_add = families["resource_condition"].add_metric
        for (kind, namespace, name), values in list(self._values.items()):
            for condition, status in values.conditions:
                for value in ("True", "False"):
                    condition_add(
                        (kind, namespace, name, condition, value, values.connector), 1.0 if status == value else 0.0
                    )
            if kind == _CONNECTOR:
                _add_connector(families, (namespace, name), values)
        return families.values()


def _add_connector(families: Mapping[str, GaugeMetricFamily], key: tuple[str, str], values: _ResourceValues) -> None:
    # Unknown is neither 1 nor 0: a sum or an alert must not take it for a connector that works.
    requirement = _REAUTH_VALUES.get(dict(values.conditions).get("ReauthRequired", ""))
    if requirement is not None:
        families["reauth_required"].add_metric(key, requirement)
    if values.token_expires is not None:
        families["token_expiry_timestamp_seconds"].add_metric(key, values.token_expires)
    if values.posture_problem:
        families["posture_unavailable"].add_metric((*key, values.posture_problem), 1.0)
    for metric, state, count in values.counts:
        families[metric].add_metric((*key, state), count)


def _findings_of(values: FindingValues) -> _Findings:
    numbers = tuple(values.unhealthy.get(pair, -1) for pair in _PAIRS)
    coverage = tuple(values.coverage.get(category, "") for category in Category)
    return _Findings(values.organization, numbers, values.affected_repositories, coverage)


def _recommendations(findings: Iterable[_Findings]) -> Iterator[tuple[tuple[str, ...], int]]:
    for organization in findings:
        for pair, number in zip(_PAIRS, organization.numbers, strict=True):
            if number >= 0:
                yield (organization.name, *pair), number


def _affected(findings: Iterable[_Findings]) -> Iterator[tuple[tuple[str, ...], int]]:
    for organization in findings:
        yield (organization.name,), organization.affected_repositories


def _coverage(findings: Iterable[_Findings]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the number of organizations by category and coverage."""
    values = (zip(Category, organization.coverage, strict=True) for organization in findings)
    return iter(Counter(pair for pairs in values for pair in pairs if pair[1]).items())


def _pipelines(spec: Mapping[str, Any], status: Mapping[str, Any]) -> _Pipelines | None:
    repositories = status.get("repositories")
    if not repositories:
        return None
    numbers = tuple(int(repositories.get(state, 0)) for state in PipelineState)
    return _Pipelines(spec["organization"], numbers, int(status.get("ranWithoutResults", -1)))


def _states(pipelines: _Pipelines) -> Iterator[tuple[tuple[str, ...], int]]:
    for state, number in zip(PipelineState, pipelines.numbers, strict=True):
        yield (state,), number


def _without_results(pipelines: _Pipelines) -> Iterator[tuple[tuple[str, ...], int]]:
    if pipelines.without_results >= 0:
        yield (), pipelines.without_results


def _labels(gauge: MetricDefinition, values: Iterable[str]) -> str:
    escaped = (value.translate(_ESCAPES) for value in values)
    return ",".join(f'{name}="{value}"' for name, value in zip(gauge.labels, escaped, strict=True))


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        gauge.name: GaugeMetricFamily(gauge.full_name, gauge.text, labels=gauge.labels)
        for gauge in RESOURCE_GAUGES
        if gauge not in _WRITTEN_AS_LINES
    }


def _conditions(kind: str, conditions: Iterable[Mapping[str, Any]]) -> Conditions:
    pairs = ((str(condition["type"]), str(condition["status"])) for condition in conditions)
    return tuple(sorted(pair for pair in pairs if kind == _CONNECTOR or pair[0] in _ORGANIZATION_CONDITIONS))


def _posture_problem(conditions: Iterable[Mapping[str, Any]]) -> str:
    for condition in conditions:
        if condition["type"] == "PostureAvailable" and condition["status"] != "True":
            return sys.intern(str(condition["reason"]))
    return ""


def _counts(discovery: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    for metric in ("organizations", "projects", "repositories"):
        for state, count in (discovery.get(metric) or {}).items():
            if isinstance(count, int):
                yield metric, state, float(count)


def _unix_time(timestamp: object) -> float | None:
    try:
        return datetime.fromisoformat(str(timestamp)).timestamp() if timestamp else None
    except ValueError:
        return None
