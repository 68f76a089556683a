"""The fields of connectors and organizations that are displayed, read from their bodies. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from defender_devops.api.conditions import Condition, find_condition, is_true
from defender_devops.api.connector import ConnectorStatus, DiscoveryStatus
from defender_devops.api.organization import OrganizationStatus, Prerequisite
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.api.schema.model import ApiModel

__all__ = [
    "WAITING_REASONS",
    "ConnectorView",
    "OrganizationView",
    "Phase",
    "connector_views",
    "orphaned_organizations",
]

Body = Mapping[str, Any]
Status = TypeVar("Status", bound=ApiModel)

WAITING_REASONS: Final = frozenset({Reason.DISCOVERING, Reason.NO_RESULTS_YET})
"""Reasons of conditions that become True without anybody's action."""

_NO_ATTENTION_REASONS: Final = WAITING_REASONS | {Reason.DISABLED}

_SUMMARIES: Final = frozenset({ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED})


class Phase(StrEnum):
    """Summary of a resource's state."""

    READY = "Ready"
    WORKING = "In progress"
    STALLED = "Action required"
    SUSPENDED = "Suspended"
    DELETING = "Deleting"
    PENDING = "Not reconciled yet"


@dataclass(frozen=True, slots=True)
class OrganizationView:
    """One DevOpsOrganization."""

    namespace: str
    name: str
    organization: str
    phase: Phase
    status: OrganizationStatus

    @property
    def ready(self) -> Condition | None:
        """Condition Ready."""
        return find_condition(self.status.conditions, ConditionType.READY)

    @property
    def unmet(self) -> tuple[Prerequisite, ...]:
        """Failed prerequisites."""
        return tuple(check for check in self.status.prerequisites if check.status == "False")

    @property
    def needs_no_attention(self) -> bool:
        """Whether it is ready and meets all prerequisites."""
        return self.phase is Phase.READY and not self.unmet


@dataclass(frozen=True, slots=True)
class ConnectorView:
    """One AzureDevOpsConnector with its organizations.

    Attributes:
        namespace: namespace of the resource.
        name: name of the resource.
        mode: `spec.organizations.mode`.
        location: Azure region.
        phase: summary of its state.
        since: when it entered the phase; None if unknown.
        status: the operator's status.
        organizations: sorted by name.
    """

    namespace: str
    name: str
    mode: str
    location: str
    phase: Phase
    since: datetime | None
    status: ConnectorStatus
    organizations: tuple[OrganizationView, ...] = ()

    @property
    def key(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"

    @property
    def is_ready(self) -> bool:
        """Whether it is ready according to its latest spec."""
        return is_true(self.status.conditions, ConditionType.READY) and self.phase is not Phase.PENDING

    @property
    def ready(self) -> Condition | None:
        """Condition Ready."""
        return self.condition(ConditionType.READY)

    @property
    def needs_reauthorization(self) -> Condition | None:
        """Condition ReauthRequired if it is True."""
        condition = self.condition(ConditionType.REAUTH_REQUIRED)
        return condition if condition is not None and condition.is_true else None

    @property
    def discovery(self) -> DiscoveryStatus:
        """Progress of discovery; empty before its start."""
        return self.status.discovery or DiscoveryStatus()

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of a type."""
        return find_condition(self.status.conditions, kind)

    @property
    def observations(self) -> tuple[Condition, ...]:
        """Conditions whose status True is good, without those that only summarize others."""
        omitted = {*_SUMMARIES, ConditionType.REAUTH_REQUIRED}
        return tuple(condition for condition in self.status.conditions if condition.type not in omitted)

    @property
    def problems(self) -> tuple[Condition, ...]:
        """Conditions whose message needs attention, the most urgent one first, each message once."""
        urgent = self.needs_reauthorization
        conditions = [urgent] if urgent else []
        conditions += [
            condition
            for condition in self.observations
            if not condition.is_true and condition.reason not in _NO_ATTENTION_REASONS
        ]
        ready = self.ready
        if ready is not None and (not ready.is_true or ready.reason == Reason.SUSPENDED):
            conditions.append(ready)
        by_message: dict[str, Condition] = {}
        for condition in conditions:
            if condition.message:
                by_message.setdefault(condition.message, condition)
        return tuple(by_message.values())


def connector_views(connectors: Iterable[Body], organizations: Iterable[Body]) -> list[ConnectorView]:
    """Return connectors sorted by namespace and name, each with the organizations that refer to it."""
    children: defaultdict[tuple[str, str], list[OrganizationView]] = defaultdict(list)
    for body in organizations:
        children[_connector_key(body)].append(_organization(body))
    views = []
    for body in connectors:
        metadata, spec = body["metadata"], body.get("spec") or {}
        status = _parse_status(ConnectorStatus, body)
        below = children.get((metadata["namespace"], metadata["name"]), [])
        views.append(
            ConnectorView(
                namespace=metadata["namespace"],
                name=metadata["name"],
                mode=str((spec.get("organizations") or {}).get("mode") or ""),
                location=str((spec.get("azure") or {}).get("location") or ""),
                phase=(phase := _phase(body, status)),
                since=_since(body, status, phase),
                status=status,
                organizations=tuple(sorted(below, key=lambda view: view.organization.lower())),
            )
        )
    return sorted(views, key=lambda view: (view.namespace, view.name))


def orphaned_organizations(connectors: Iterable[Body], organizations: Iterable[Body]) -> list[OrganizationView]:
    """Return organizations that refer to a connector that does not exist."""
    present = {(body["metadata"]["namespace"], body["metadata"]["name"]) for body in connectors}
    return [_organization(body) for body in organizations if _connector_key(body) not in present]


def _connector_key(organization: Body) -> tuple[str, str]:
    return organization["metadata"]["namespace"], organization["spec"]["connectorRef"]["name"]


def _organization(body: Body) -> OrganizationView:
    metadata = body["metadata"]
    status = _parse_status(OrganizationStatus, body)
    return OrganizationView(
        metadata["namespace"], metadata["name"], body["spec"]["organization"], _phase(body, status), status
    )


def _parse_status(model: type[Status], body: Body) -> Status:
    try:
        return model.model_validate(body.get("status") or {})
    except ValidationError:  # written by a newer version of the operator
        return model()


def _phase(body: Body, status: ConnectorStatus | OrganizationStatus) -> Phase:
    metadata, conditions = body["metadata"], status.conditions
    if metadata.get("deletionTimestamp"):
        return Phase.DELETING
    if (body.get("spec") or {}).get("suspend"):
        return Phase.SUSPENDED
    if status.observed_generation != metadata.get("generation"):
        return Phase.PENDING
    if is_true(conditions, ConditionType.READY):
        return Phase.READY
    return Phase.STALLED if is_true(conditions, ConditionType.STALLED) else Phase.WORKING


def _since(body: Body, status: ConnectorStatus, phase: Phase) -> datetime | None:
    """Return when a connector entered its phase. Nothing records when it was suspended or its spec was changed."""
    if phase is Phase.DELETING:
        try:
            return datetime.fromisoformat(str(body["metadata"]["deletionTimestamp"]))
        except ValueError:
            return None
    ready = find_condition(status.conditions, ConditionType.READY)
    if ready is None or phase in {Phase.SUSPENDED, Phase.PENDING}:
        return None
    return ready.last_transition_time
