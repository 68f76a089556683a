"""What is shown of connectors and organizations, read from their bodies (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import ValidationError

from defender_devops.api.conditions import Condition, find_condition, is_true
from defender_devops.api.connector import ConnectorStatus, DiscoveryStatus
from defender_devops.api.names import LABEL_GENERATED
from defender_devops.api.organization import OrganizationStatus, Prerequisite
from defender_devops.api.reasons import ConditionType, Reason

__all__ = ["ConnectorView", "OrganizationView", "Phase", "moment_of", "views", "without_connector"]

Body = Mapping[str, Any]

_SUMS: Final = frozenset({ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED})


class Phase(StrEnum):
    """How a resource stands, in a word or two."""

    READY = "Ready"
    WORKING = "In progress"
    STALLED = "Needs a person"
    SUSPENDED = "Suspended"
    DELETING = "Being deleted"
    UNSEEN = "Not seen yet"


@dataclass(frozen=True, slots=True)
class OrganizationView:
    """One DevOpsOrganization."""

    namespace: str
    name: str
    organization: str
    generated: bool
    phase: Phase
    status: OrganizationStatus

    @property
    def ready(self) -> Condition | None:
        """The condition that sums up."""
        return find_condition(self.status.conditions, ConditionType.READY)

    @property
    def unmet(self) -> tuple[Prerequisite, ...]:
        """Checks that were not passed."""
        return tuple(each for each in self.status.prerequisites if each.status == "False")

    @property
    def is_well(self) -> bool:
        """Whether nothing of it is worth a look."""
        return self.phase is Phase.READY and not self.unmet


@dataclass(frozen=True, slots=True)
class ConnectorView:
    """One AzureDevOpsConnector with its organizations.

    Attributes:
        namespace: of the resource.
        name: of the resource.
        mode: `spec.organizations.mode`.
        location: Azure region.
        phase: how it stands.
        status: what the operator reports.
        organizations: by name.
    """

    namespace: str
    name: str
    mode: str
    location: str
    phase: Phase
    status: ConnectorStatus
    organizations: tuple[OrganizationView, ...] = ()

    @property
    def key(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"

    @property
    def is_ready(self) -> bool:
        """Whether it is ready, by the newest spec."""
        return is_true(self.status.conditions, ConditionType.READY) and self.phase is not Phase.UNSEEN

    @property
    def ready(self) -> Condition | None:
        """The condition that sums up."""
        return self.condition(ConditionType.READY)

    @property
    def needs_reauthorization(self) -> Condition | None:
        """The condition ReauthRequired, where a person must act."""
        found = self.condition(ConditionType.REAUTH_REQUIRED)
        return found if found is not None and found.is_true else None

    @property
    def discovery(self) -> DiscoveryStatus:
        """How far discovery has come; empty where nothing is known."""
        return self.status.discovery or DiscoveryStatus()

    def condition(self, kind: str) -> Condition | None:
        """The condition of a type, if there is one."""
        return find_condition(self.status.conditions, kind)

    @property
    def observations(self) -> tuple[Condition, ...]:
        """All conditions of which True is good, but those that only sum up."""
        left_out = {*_SUMS, ConditionType.REAUTH_REQUIRED}
        return tuple(each for each in self.status.conditions if each.type not in left_out)

    @property
    def problems(self) -> tuple[Condition, ...]:
        """What needs words, the most urgent first; each message once."""
        urgent = self.needs_reauthorization
        found = [urgent] if urgent else []
        found += [each for each in self.observations if not each.is_true and each.reason != Reason.DISCOVERING]
        ready = self.ready
        if ready is not None and (not ready.is_true or ready.reason == Reason.SUSPENDED):
            found.append(ready)
        by_message = {each.message: each for each in reversed(found)}
        return tuple(each for each in found if by_message.get(each.message) is each and each.message)


def views(connectors: Iterable[Body], organizations: Iterable[Body]) -> list[ConnectorView]:
    """Connectors by namespace and name, each with the organizations that refer to it."""
    children: defaultdict[tuple[str, str], list[OrganizationView]] = defaultdict(list)
    for body in organizations:
        key = (body["metadata"]["namespace"], body["spec"]["connectorRef"]["name"])
        children[key].append(_organization(body))
    found = [_connector(body, children) for body in connectors]
    return sorted(found, key=lambda view: (view.namespace, view.name))


def without_connector(connectors: Iterable[Body], organizations: Iterable[Body]) -> list[OrganizationView]:
    """Organizations that refer to a connector that is not there."""
    present = {(body["metadata"]["namespace"], body["metadata"]["name"]) for body in connectors}
    return [
        _organization(body)
        for body in organizations
        if (body["metadata"]["namespace"], body["spec"]["connectorRef"]["name"]) not in present
    ]


def _connector(body: Body, children: Mapping[tuple[str, str], list[OrganizationView]]) -> ConnectorView:
    metadata, spec = body["metadata"], body.get("spec") or {}
    status = _connector_status(body)
    below = children.get((metadata["namespace"], metadata["name"]), [])
    return ConnectorView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        mode=str((spec.get("organizations") or {}).get("mode") or ""),
        location=str((spec.get("azure") or {}).get("location") or ""),
        phase=_phase(body, status),
        status=status,
        organizations=tuple(sorted(below, key=lambda each: each.organization.lower())),
    )


def _organization(body: Body) -> OrganizationView:
    metadata = body["metadata"]
    try:
        status = OrganizationStatus.model_validate(body.get("status") or {})
    except ValidationError:  # written by a version that knows better
        status = OrganizationStatus()
    return OrganizationView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        organization=body["spec"]["organization"],
        generated=(metadata.get("labels") or {}).get(LABEL_GENERATED) == "true",
        phase=_phase(body, status),
        status=status,
    )


def _connector_status(body: Body) -> ConnectorStatus:
    try:
        return ConnectorStatus.model_validate(body.get("status") or {})
    except ValidationError:  # written by a version that knows better
        return ConnectorStatus()


def _phase(body: Body, status: ConnectorStatus | OrganizationStatus) -> Phase:
    metadata, conditions = body["metadata"], status.conditions
    if metadata.get("deletionTimestamp"):
        return Phase.DELETING
    if (body.get("spec") or {}).get("suspend"):
        return Phase.SUSPENDED
    if status.observed_generation != metadata.get("generation"):
        return Phase.UNSEEN
    if is_true(conditions, ConditionType.READY):
        return Phase.READY
    return Phase.STALLED if is_true(conditions, ConditionType.STALLED) else Phase.WORKING


def moment_of(condition: Condition | None) -> datetime | None:
    """Since when a condition has had its status."""
    return condition.last_transition_time if condition is not None else None
