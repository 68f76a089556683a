"""The plan for one connector as it is shown. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

from defender_devops.api.names import TAG_OWNER
from defender_devops.cli.inputs.connector_inputs import ConnectorInput
from defender_devops.cli.inputs.observation import Observation
from defender_devops.cli.plan.changes import Change, action_sign, plan_changes
from defender_devops.reconcile.actions.action import Action, AzureAction
from defender_devops.reconcile.actions.azure import Authorize, CreateConnector, UpdateConfiguration
from defender_devops.reconcile.actions.kubernetes import (
    CreateOrganization,
    DeleteOrganization,
    ReleaseOrganization,
    RestoreOrganization,
)
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.deletion_mode import DeletionMode
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot
from defender_devops.reconcile.plan.diff import differences
from defender_devops.reconcile.plan.plan import plan
from defender_devops.reconcile.report.authorization_conditions import authorized_condition
from defender_devops.reconcile.report.azure_conditions import provisioned_condition

__all__ = ["PlanResult", "Step", "build_plan_result"]

_RESOURCE_ACTIONS: Final = (CreateOrganization, DeleteOrganization, ReleaseOrganization, RestoreOrganization)

_DELETION_NOTES: Final = {
    DeletionMode.RETAIN: "Nothing is read or changed in Azure (spec.suspend, or managementPolicy Observe).",
    DeletionMode.ORPHAN: "The connector stays in Azure and keeps working (deletionPolicy Detach).",
    DeletionMode.DELETE: (
        "Defender's authorization is deleted with the connector. Afterwards a person must authorize Defender again."
    ),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One write to Azure."""

    sign: str
    sentence: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanResult:
    """A plan. The attributes are fields of the JSON output.

    Attributes:
        key: namespace and name of the connector.
        steps: writes to Azure.
        resources: changes to DevOpsOrganizations, as sentences.
        refused: why nothing would be changed, or None.
        notes: remarks.
    """

    key: str
    steps: tuple[Step, ...] = ()
    resources: tuple[str, ...] = ()
    refused: str | None = None
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the plan for JSON and YAML."""
        return {"connector": self.key, **{name: value for name, value in asdict(self).items() if name != "key"}}

    def summary(self) -> str:
        """Return the number of changes as a sentence."""
        if self.refused is not None:
            return "Refused: nothing would be changed."
        if not self.steps:
            return "Nothing would change in Azure."
        number = len(self.steps)
        return f"{number} change{'s' if number > 1 else ''} in Azure."


def build_plan_result(item: ConnectorInput, observation: Observation, now: datetime) -> PlanResult:
    """Plan as the operator does, and describe the plan."""
    snapshot, connector = observation.snapshot, item.connector
    assessment = Assessment(snapshot)
    actions = _actions(snapshot, now)
    steps = []
    for action in actions:
        if isinstance(action, AzureAction):
            action_changes = plan_changes(action, assessment.azure)
            if item.live is None:
                # A resource that does not exist yet has a temporary uid, so the value of its owner tag is not known.
                action_changes = tuple(
                    replace(change, after="(the new resource)") if change.field == f"tags.{TAG_OWNER}" else change
                    for change in action_changes
                )
            steps.append(Step(action_sign(action), action.describe(), action_changes))
    conflict = assessment.ownership_conflict if not connector.metadata.is_deleting else None
    return PlanResult(
        key=item.key,
        steps=tuple(steps),
        resources=tuple(action.describe() for action in actions if isinstance(action, _RESOURCE_ACTIONS)),
        refused=conflict.message if conflict is not None else None,
        notes=(*observation.notes, *_notes(assessment, actions)),
    )


def _actions(snapshot: ConnectorSnapshot, now: datetime) -> tuple[Action, ...]:
    """Return the operator's plan; for an observed or suspended connector what it would do otherwise."""
    connector = snapshot.connector
    if connector.metadata.is_deleting:
        return plan(Assessment(snapshot), now).actions
    if snapshot.is_observe_only:
        return differences(Assessment(snapshot))
    if connector.spec.suspend:
        spec = connector.spec.model_copy(update={"suspend": False})
        snapshot = replace(snapshot, connector=connector.model_copy(update={"spec": spec}))
    return plan(Assessment(snapshot), now).actions


def _notes(assessment: Assessment, actions: tuple[Action, ...]) -> Iterator[str]:
    connector = assessment.connector
    if connector.metadata.is_deleting:
        yield _DELETION_NOTES[assessment.deletion_mode]
        return
    if connector.spec.suspend:
        yield "spec.suspend is true: the operator makes these changes only after the connector is resumed."
    elif assessment.snapshot.is_observe_only:
        yield "managementPolicy is Observe: the operator reports differences and changes nothing."
    if assessment.ownership_conflict is None:
        # What keeps the operator from doing more, in the words of its conditions.
        result = None
        if assessment.authorization.is_broken:
            result = authorized_condition(assessment)
        elif not any(isinstance(action, AzureAction) for action in actions):
            result = provisioned_condition(assessment, None)
        if result is not None and not result.is_true:
            yield result.message
    if any(
        isinstance(action, CreateConnector | Authorize)
        or (isinstance(action, UpdateConfiguration) and action.auto_discovery)
        for action in actions
    ):
        yield (
            "More changes may follow once Azure has completed these changes and Defender has discovered the "
            "organizations."
        )
