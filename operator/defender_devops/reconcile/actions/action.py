"""What a plan is made of: small steps, each a value that can say what it does and what will be so afterwards.

`effect` folds a step that was carried out into the snapshot, so that the report tells of the world as it is now and
planning again finds nothing left to do. `execute` knows how to carry each one out; nothing here does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = ["Action", "AzureAction", "with_status"]


@dataclass(frozen=True)
class Action:
    """One step. `describe` is its sentence for a person, `effect` what it makes of the snapshot."""

    is_best_effort: ClassVar[bool] = False
    """Nothing depends on it: should it fail, the next step follows all the same."""

    def describe(self) -> str:
        """Say in one sentence what the step does."""
        raise NotImplementedError

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:
        """The snapshot as it is once the step was carried out at `now`."""
        raise NotImplementedError


class AzureAction(Action):
    """A step that writes to Azure: planned only on what was read afresh, never with managementPolicy Observe."""

    @property
    def requests(self) -> Mapping[str, str]:
        """What Azure is asked for and may take its time over, by subject: see `AzureState.pending_requests`."""
        return {}

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:
        """Fold the step into what Azure holds."""
        cloud = snapshot.cloud
        if not isinstance(cloud, AzureState):
            return snapshot
        sent = {**cloud.pending_requests, **{subject: (key, now) for subject, key in self.requests.items()}}
        return replace(snapshot, cloud=replace(self.change(cloud), pending_requests=sent))

    def change(self, cloud: AzureState) -> AzureState:
        """What Azure holds once the step was carried out."""
        raise NotImplementedError


def with_status(connector: AzureDevOpsConnector, **update: object) -> AzureDevOpsConnector:
    """The connector with parts of its status replaced."""
    return connector.model_copy(update={"status": connector.status.model_copy(update=update)})
