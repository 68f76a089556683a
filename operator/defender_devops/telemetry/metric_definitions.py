"""Name, labels and meaning of each metric. The metrics and their page of the documentation are generated from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["COUNTERS", "HISTOGRAMS", "METRICS", "RESOURCE_GAUGES", "SAMPLED_GAUGES", "MetricDefinition"]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric.

    Attributes:
        name: without the prefix, as it is queried.
        type: Prometheus type.
        text: description.
        labels: names of its labels.
    """

    name: str
    type: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name with the prefix."""
        return f"defender_devops_{self.name}"


def _counter(name: str, text: str, *labels: str) -> MetricDefinition:
    return MetricDefinition(name, "counter", text, labels)


def _gauge(name: str, text: str, *labels: str) -> MetricDefinition:
    return MetricDefinition(name, "gauge", text, labels)


def _histogram(name: str, text: str, *labels: str) -> MetricDefinition:
    return MetricDefinition(name, "histogram", text, labels)


COUNTERS: Final = (
    _counter("reconcile_total", "Reconciles that ended, by result: success, error, cancelled.", "kind", "result"),
    _counter(
        "reconcile_exceptions_total",
        "Reconciles that ended with an unexpected exception, which is a fault of the operator.",
        "kind",
    ),
    _counter(
        "azure_requests_total",
        "Requests to Azure, by operation and HTTP status; `error` means that there was no answer.",
        "operation",
        "code",
    ),
    _counter(
        "azure_devops_requests_total",
        "Requests to Azure DevOps, by area of its API and HTTP status; `error` means that there was no answer.",
        "area",
        "code",
    ),
    _counter(
        "kubernetes_requests_total",
        "Requests to the Kubernetes API except the watches of the two kinds, by verb, resource and HTTP status;"
        " `error` means that there was no answer.",
        "verb",
        "resource",
        "code",
    ),
    _counter("events_lost_total", "Kubernetes events that could not be written."),
    _counter(
        "frequent_requeues_total",
        "Reconciles of a connector beyond six within a minute that no event had asked for.",
    ),
    _counter(
        "signin_rejected_requests_total",
        "Rejected requests to the sign-in pages, by reason: malformed, too_large, not_found, foreign_origin,"
        " rate_limited.",
        "reason",
    ),
    _counter(
        "internal_errors_total",
        "Unexpected exceptions outside of reconciles, by the part of the operator that they were confined to.",
        "component",
    ),
)

HISTOGRAMS: Final = (
    _histogram("reconcile_duration_seconds", "Duration of reconciles.", "kind"),
    _histogram("queue_wait_seconds", "How long reconciles waited for a slot."),
    _histogram("azure_request_duration_seconds", "Duration of requests to Azure.", "operation"),
    _histogram("azure_devops_request_duration_seconds", "Duration of requests to Azure DevOps.", "area"),
    _histogram(
        "kubernetes_request_duration_seconds",
        "Duration of requests to the Kubernetes API; of a watch, how long it was open.",
        "verb",
        "resource",
    ),
)

SAMPLED_GAUGES: Final = (
    _gauge("build_info", "1, with the operator's version.", "version"),
    _gauge("leader", "1 if this replica leads."),
    _gauge("queue", "Connectors in the work queue: waiting, running, scheduled.", "state"),
    _gauge(
        "azure_budget_requests",
        "Requests that may be sent to Azure at once, by principal, subscription and kind of operation.",
        "principal",
        "subscription",
        "kind",
    ),
    _gauge(
        "watch_failing",
        "1 while a watch fails, for example for lack of a permission: changes of Secrets are then noticed late.",
        "watch",
    ),
    _gauge(
        "connectors_managed_elsewhere",
        "Watched connectors that another installation of the operator manages, so that this one writes nothing to"
        " them, by the name of that installation.",
        "operator",
    ),
    _gauge("watch_silence_seconds", "Seconds since the last event of a watch.", "watch"),
    _gauge(
        "last_success_timestamp_seconds",
        "When a connector was last reconciled without an error, as Unix time.",
        "namespace",
        "name",
    ),
    _gauge(
        "posture_answer_age_seconds",
        "Seconds since the last complete answer about the recommendations of a connector's organizations; absent before"
        " the first one and with settings.postureInterval 0.",
        "namespace",
        "connector",
    ),
)

_BY_STATE: Final = ("namespace", "name", "state")

RESOURCE_GAUGES: Final = (
    _gauge(
        "resource_condition",
        "Condition of a resource: 1 for its current status, 0 for the other; both are 0 while it is Unknown."
        " Of DevOpsOrganizations only Ready and Stalled; their label connector is the name of their connector.",
        "kind",
        "namespace",
        "name",
        "type",
        "status",
        "connector",
    ),
    _gauge(
        "reauth_required",
        "1 if a connector that worked needs a person to authorize or sign in again, 0 if it does not; absent while that"
        " is not known (condition ReauthRequired Unknown, or not there yet).",
        "namespace",
        "name",
    ),
    _gauge(
        "token_expiry_timestamp_seconds",
        "When the sign-in of a connector expires unless it is renewed, as Unix time.",
        "namespace",
        "name",
    ),
    _gauge("organizations", "Organizations of a connector, by state: available, onboarded, conflicting.", *_BY_STATE),
    _gauge("projects", "Projects of a connector, by state: discovered by Defender, expected.", *_BY_STATE),
    _gauge("repositories", "Repositories of a connector, by state: discovered by Defender, expected.", *_BY_STATE),
    _gauge(
        "recommendations",
        "Open recommendations of Defender for an organization, by severity (critical, high, medium, low, other) and"
        " category (secrets, code, dependencies, infrastructureAsCode, api, configuration, other). A category that"
        " nothing is known to scan has no series instead of 0.",
        "namespace",
        "connector",
        "organization",
        "severity",
        "category",
    ),
    _gauge(
        "affected_repositories",
        "Repositories of an organization with at least one open recommendation; absent without any result.",
        "namespace",
        "connector",
        "organization",
    ),
    _gauge(
        "posture_unavailable",
        "1 while the condition PostureAvailable of a connector is not True, with its reason: NoResultsYet, QueryDenied,"
        " Incomplete, Disabled, ResultsMissing, StaleResults.",
        "namespace",
        "connector",
        "reason",
    ),
    _gauge(
        "posture_coverage",
        "Organizations with results, by category and by whether something looks for findings of that category:"
        " Scanned, Partial, Unknown; NotScanned is reserved.",
        "namespace",
        "connector",
        "category",
        "coverage",
    ),
    _gauge(
        "pipeline_repositories",
        "Repositories of an organization, by whether they are scanned: ran, configured, coveredOtherwise, undecided,"
        " missing, notApplicable; absent without spec.pipelineChecks, and before the first check.",
        "namespace",
        "connector",
        "organization",
        "state",
    ),
    _gauge(
        "pipeline_repositories_without_results",
        "Repositories of an organization whose scans ran more than 48 hours ago and of which Defender for Cloud shows"
        " nothing; absent while that is not known.",
        "namespace",
        "connector",
        "organization",
    ),
)

METRICS: Final = tuple(
    sorted((*COUNTERS, *HISTOGRAMS, *SAMPLED_GAUGES, *RESOURCE_GAUGES), key=lambda definition: definition.name)
)
"""All metrics, by name."""
