"""The steps of a plan: each is a value that describes itself and states its effect.

`effect` applies a step that was executed to the snapshot, so that the report describes the new state and planning again
yields no step. How a step is executed is up to the executor; nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.reconcile.facts.pending_requests import PendingRequest
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = ["Action", "AzureAction", "connector_with_status"]


@dataclass(frozen=True)
class Action:
    """One step of a plan."""

    is_best_effort: ClassVar[bool] = False
    """If it fails, the next step is executed nevertheless."""

    is_independent: ClassVar[bool] = False
    """It is executed although a write to Azure before it has failed."""

    def describe(self) -> str:
        """Return what the step does, as the rest of a sentence such as "The operator will …"."""
        raise NotImplementedError

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:
        """Return the snapshot after the step was executed at `now`."""
        raise NotImplementedError


class AzureAction(Action):
    """A step that writes to Azure: planned only on a fresh state, and never with managementPolicy Observe."""

    @property
    def requests(self) -> Mapping[str, str]:
        """The changes that Azure may carry out later, as a value for each key: see `AzureState.pending_requests`."""
        return {}

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:
        """Apply the step to what Azure holds, and record its requests as pending."""
        azure = snapshot.cloud
        if not azure.is_known:
            return snapshot
        pending = dict(azure.pending_requests)
        for key, value in self.requests.items():
            previous = pending.get(key)
            attempts = previous.attempts if previous is not None and previous.value == value else 0
            pending[key] = PendingRequest(value, now, attempts + 1)
        return replace(snapshot, cloud=replace(self.change(azure), pending_requests=pending))

    def change(self, azure: AzureState) -> AzureState:
        """Return what Azure holds after the step was executed."""
        raise NotImplementedError


def connector_with_status(connector: AzureDevOpsConnector, **update: object) -> AzureDevOpsConnector:
    """Return the connector with some fields of its status replaced."""
    return connector.model_copy(update={"status": connector.status.model_copy(update=update)})
