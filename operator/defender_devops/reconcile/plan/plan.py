"""What to do about a connector: `plan(snapshot, now)`, a pure function."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from defender_devops.api.names import FINALIZER
from defender_devops.reconcile.actions.action import Action, AzureAction
from defender_devops.reconcile.actions.kubernetes import AddFinalizer
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot
from defender_devops.reconcile.plan.deletion import plan_deletion
from defender_devops.reconcile.plan.diff import due
from defender_devops.reconcile.plan.organizations import plan_organizations, releases

__all__ = ["Plan", "plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they are carried out; the first that fails ends it."""

    actions: tuple[Action, ...] = ()

    @property
    def writes_to_azure(self) -> bool:
        """Whether it must rest on what was read afresh."""
        return any(isinstance(action, AzureAction) for action in self.actions)


def plan(snapshot: ConnectorSnapshot, now: datetime) -> Plan:
    """Decide what to do. Planning again on what `effect` makes of the snapshot gives nothing to do."""
    connector = snapshot.connector
    if connector.metadata.is_deleting:
        return Plan((*releases(snapshot), *plan_deletion(snapshot)))
    finalizer = () if FINALIZER in connector.metadata.finalizers else (AddFinalizer(),)
    if connector.spec.suspend:
        return Plan(finalizer)
    azure = () if desired_state.is_observe_only(snapshot) else due(snapshot, now)
    return Plan((*finalizer, *azure, *plan_organizations(snapshot)))
