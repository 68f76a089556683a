"""The plan for a connector: `plan(assessment, now)`, a pure function."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from defender_devops.api.names import FINALIZER
from defender_devops.reconcile.actions.action import Action, AzureAction
from defender_devops.reconcile.actions.kubernetes import AddFinalizer
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.plan.deletion import plan_deletion
from defender_devops.reconcile.plan.diff import due_changes
from defender_devops.reconcile.plan.organizations import organization_releases, plan_organizations

__all__ = ["Plan", "plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order of their execution; the first one that fails ends it."""

    actions: tuple[Action, ...] = ()

    @property
    def writes_to_azure(self) -> bool:
        """Whether the plan needs a snapshot whose Azure state was read afresh."""
        return any(isinstance(action, AzureAction) for action in self.actions)


def plan(assessment: Assessment, now: datetime) -> Plan:
    """Return the steps to execute now. Planning again on the result of their `effect` yields no steps."""
    connector = assessment.connector
    if connector.metadata.is_deleting:
        return Plan((*organization_releases(assessment), *plan_deletion(assessment)))
    finalizer = () if FINALIZER in connector.metadata.finalizers else (AddFinalizer(),)
    if connector.spec.suspend:
        return Plan(finalizer)
    azure = () if assessment.snapshot.is_observe_only else due_changes(assessment, now)
    return Plan((*finalizer, *azure, *plan_organizations(assessment)))
