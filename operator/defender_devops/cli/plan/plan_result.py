"""What came of planning for one connector (pure), and how it reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

from defender_devops.api.names import TAG_OWNER
from defender_devops.cli.plan.changes import Change, changes, sign
from defender_devops.cli.plan.inputs import Subject
from defender_devops.cli.plan.observation import Observation
from defender_devops.reconcile.actions.action import Action, AzureAction
from defender_devops.reconcile.actions.azure import Authorize, CreateConnector, UpdateConfiguration
from defender_devops.reconcile.actions.kubernetes import CreateOrganization, DeleteOrganization, ReleaseOrganization
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.authorization import is_broken
from defender_devops.reconcile.facts.deletion_mode import DeletionMode, deletion_mode
from defender_devops.reconcile.facts.ownership import ownership_conflict
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot
from defender_devops.reconcile.plan.diff import differences
from defender_devops.reconcile.plan.plan import plan
from defender_devops.reconcile.report.authorization_conditions import authorized
from defender_devops.reconcile.report.azure_conditions import provisioned

__all__ = ["Planned", "Step", "planned"]

_RESOURCES: Final = (CreateOrganization, DeleteOrganization, ReleaseOrganization)

_FATES: Final = {
    DeletionMode.RETAIN: "Azure is not asked and left alone (spec.suspend, or managementPolicy Observe).",
    DeletionMode.ORPHAN: "The connector stays in Azure and goes on working (deletionPolicy Detach).",
    DeletionMode.DELETE: "Defender's authorization goes with the connector, and no machine can bring it back.",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One write to Azure."""

    sign: str
    sentence: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, to be shown.

    Attributes:
        key: namespace and name of the connector.
        steps: what would be written to Azure.
        resources: what would become of DevOpsOrganizations, in sentences.
        refused: why nothing would be done, or None.
        notes: what else there is to know.
    """

    key: str
    steps: tuple[Step, ...] = ()
    resources: tuple[str, ...] = ()
    refused: str | None = None
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        return {"connector": self.key, **{name: value for name, value in asdict(self).items() if name != "key"}}

    def summary(self) -> str:
        """How much it is, in a sentence."""
        if self.refused is not None:
            return "Refused: nothing would be changed."
        if not self.steps:
            return "Nothing would change in Azure."
        number = len(self.steps)
        return f"{number} change{'s' if number > 1 else ''} in Azure."


def planned(subject: Subject, seen: Observation, now: datetime) -> Planned:
    """Plan as the operator does, and put it into words."""
    snapshot = seen.snapshot
    cloud = snapshot.cloud if isinstance(snapshot.cloud, AzureState) else AzureState()
    actions = _actions(snapshot, now)
    steps = tuple(
        Step(sign(each), each.describe(), tuple(_shown(changes(each, cloud), subject)))
        for each in actions
        if isinstance(each, AzureAction)
    )
    refused = ownership_conflict(snapshot) if not subject.connector.metadata.is_deleting else None
    return Planned(
        key=subject.key,
        steps=steps,
        resources=tuple(each.describe() for each in actions if isinstance(each, _RESOURCES)),
        refused=refused.message if refused is not None else None,
        notes=(*seen.notes, *_notes(snapshot, actions)),
    )


def _actions(snapshot: ConnectorSnapshot, now: datetime) -> tuple[Action, ...]:
    """The operator's own plan; where it would only look on, what it would do otherwise."""
    connector = snapshot.connector
    if connector.metadata.is_deleting:
        return plan(snapshot, now).actions
    if desired_state.is_observe_only(snapshot):
        return differences(snapshot)
    if connector.spec.suspend:
        spec = connector.spec.model_copy(update={"suspend": False})
        snapshot = replace(snapshot, connector=connector.model_copy(update={"spec": spec}))
    return plan(snapshot, now).actions


def _shown(found: tuple[Change, ...], subject: Subject) -> Iterator[Change]:
    """A resource that is not there yet has no uid, so its mark is not known."""
    for change in found:
        made_up = change.field == f"tags.{TAG_OWNER}" and subject.live is None
        yield replace(change, after="(the new resource)") if made_up else change


def _notes(snapshot: ConnectorSnapshot, actions: tuple[Action, ...]) -> Iterator[str]:
    connector = snapshot.connector
    if connector.metadata.is_deleting:
        yield _FATES[deletion_mode(snapshot)]
        return
    if connector.spec.suspend:
        yield "spec.suspend is true: nothing of it is done until the connector is resumed."
    elif desired_state.is_observe_only(snapshot):
        yield "managementPolicy is Observe: a difference is reported, and nothing is changed."
    yield from _obstacles(snapshot, actions)
    grows = any(isinstance(each, CreateConnector | Authorize) for each in actions)
    if grows or any(isinstance(each, UpdateConfiguration) and each.auto_discovery for each in actions):
        yield "More may follow once Azure is done and Defender has told what it finds."


def _obstacles(snapshot: ConnectorSnapshot, actions: tuple[Action, ...]) -> Iterator[str]:
    """What keeps the operator from doing more, in the words of its conditions."""
    if ownership_conflict(snapshot) is not None:
        return
    verdicts = []
    if is_broken(snapshot):
        verdicts.append(authorized(snapshot))
    elif not any(isinstance(each, AzureAction) for each in actions):
        verdicts.append(provisioned(snapshot, None))
    yield from (verdict.message for verdict in verdicts if verdict is not None and not verdict.is_true)
