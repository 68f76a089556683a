"""When a look finds everything as the last one left it, there is nothing to plan and nothing to write.

That is how nearly every look of an operator at rest ends. A plan and a report are pure functions of a snapshot and the
moment: where the last complete look at an equal snapshot had nothing to do, and time alone has not changed a verdict
since, neither is made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from defender_devops.api.azure_types import Counts, DiscoveredCounts
from defender_devops.api.organization import Prerequisite
from defender_devops.reconcile.facts.snapshot import AuthorizationCode, AzureState, ConnectorSnapshot, SignIn

__all__ = ["ReconcileInputs"]


@dataclass(frozen=True, slots=True)
class ReconcileInputs:
    """What a look that had nothing to do rested on.

    Attributes:
        versions: of the resources, the connector's first.
        until: the moment at which time alone changes a verdict, or None.
    """

    versions: tuple[str, ...]
    cloud: AzureState
    code: AuthorizationCode
    sign_in: SignIn | None
    prerequisites: Mapping[str, tuple[Prerequisite, ...]]
    expected: Mapping[str, Counts]
    inventory: DiscoveredCounts
    conflicting_connectors: Mapping[str, str]
    valid_until: datetime | None = None

    @classmethod
    def of(cls, snapshot: ConnectorSnapshot, valid_until: datetime | None) -> ReconcileInputs | None:
        """What a look rested on whose plan was empty and whose report is written; None where it is not over yet.

        A failure, an operation under way and a wish that may be repeated later all wait for something. What has no
        configuration never rests: who is refused, suspended, deleted or not authorized yet is looked at in full.
        """
        cloud = snapshot.cloud
        if not isinstance(cloud, AzureState) or not cloud.is_settled or cloud.pending_requests:
            return None
        return cls(
            versions=_versions(snapshot),
            # When Azure was asked, and how much of it, says nothing of what it holds.
            cloud=replace(cloud, probed_at=None, fresh=False),
            code=snapshot.code,
            sign_in=snapshot.sign_in,
            prerequisites=snapshot.prerequisites,
            expected=snapshot.expected,
            inventory=snapshot.inventory,
            conflicting_connectors=snapshot.conflicting_connectors,
            valid_until=valid_until,
        )

    def is_unchanged(self, snapshot: ConnectorSnapshot, now: datetime) -> bool:
        """Whether a look found what this one rested on, at a moment that changes nothing."""
        if self.valid_until is not None and now >= self.valid_until:
            return False
        # The versions first: most of those who are woken are woken by a change of a resource.
        return self.versions == _versions(snapshot) and self == ReconcileInputs.of(snapshot, self.valid_until)


def _versions(snapshot: ConnectorSnapshot) -> tuple[str, ...]:
    organizations = (each.metadata.resource_version for each in snapshot.organizations)
    return (snapshot.connector.metadata.resource_version, *organizations)
