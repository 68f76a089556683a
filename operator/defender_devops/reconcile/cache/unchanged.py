"""Whether a reconcile may end early because nothing has changed since the last one.

Nearly every reconcile of an idle operator finds everything as the last one left it. A plan and a report are pure
functions of a snapshot and the time: if the last complete reconcile of an equal snapshot had nothing to do, and time
alone has not changed a condition since, neither has to be computed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from defender_devops.api.azure_types import Counts, DiscoveredCounts
from defender_devops.api.organization import Prerequisite
from defender_devops.reconcile.facts.pipeline_results import PipelinesObservation
from defender_devops.reconcile.facts.posture import CspmPlan, PostureObservation
from defender_devops.reconcile.facts.snapshot import AuthorizationCode, AzureState, ConnectorSnapshot, SignIn

__all__ = ["ReconcileInputs"]


@dataclass(frozen=True, slots=True)
class ReconcileInputs:
    """The inputs of a reconcile that had nothing to do.

    Attributes:
        versions: resourceVersions of the connector and of its organizations.
        valid_until: when time alone changes a condition, or None if it never does.
    """

    versions: tuple[str, ...]
    cloud: AzureState
    code: AuthorizationCode
    sign_in: SignIn | None
    prerequisites: Mapping[str, tuple[Prerequisite, ...]]
    expected: Mapping[str, Counts]
    inventory: DiscoveredCounts
    pipelines: Mapping[str, PipelinesObservation]
    conflicting_connectors: Mapping[str, str]
    posture: PostureObservation | None = None
    cspm_plan: CspmPlan | None = None
    valid_until: datetime | None = None

    @classmethod
    def of(cls, snapshot: ConnectorSnapshot, valid_until: datetime | None) -> ReconcileInputs | None:
        """Return the inputs of a reconcile whose plan was empty and whose report is written; None if it has to go on.

        A failure, an operation under way and a pending request all need another complete reconcile. A connector
        without a configuration has one each time: conflicting, suspended, deleted or not authorized yet.
        """
        cloud = snapshot.cloud
        if not cloud.is_settled or cloud.pending_requests:
            return None
        return cls(
            versions=_versions(snapshot),
            # The time and the extent of a read do not change what Azure holds, nor does the time of an answer.
            cloud=replace(cloud, probed_at=None, fresh=False),
            code=snapshot.code,
            sign_in=snapshot.sign_in,
            prerequisites=snapshot.prerequisites,
            expected=snapshot.expected,
            inventory=snapshot.inventory,
            pipelines=snapshot.pipelines,
            conflicting_connectors=snapshot.conflicting_connectors,
            posture=snapshot.posture.without_time() if snapshot.posture is not None else None,
            cspm_plan=snapshot.cspm_plan,
            valid_until=valid_until,
        )

    def is_unchanged(self, snapshot: ConnectorSnapshot, now: datetime) -> bool:
        """Whether a snapshot equals these inputs, at a time that changes nothing."""
        if self.valid_until is not None and now >= self.valid_until:
            return False
        # Versions first, since they are cheap: most events are changes of a resource.
        return self.versions == _versions(snapshot) and self == ReconcileInputs.of(snapshot, self.valid_until)


def _versions(snapshot: ConnectorSnapshot) -> tuple[str, ...]:
    organizations = (organization.metadata.resource_version for organization in snapshot.organizations)
    return (snapshot.connector.metadata.resource_version, *organizations)
