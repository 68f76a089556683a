"""What to do about a connector: `plan(snapshot, now)`, a pure function."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from defender_devops.api.cloud import AgentlessConfiguration, Configuration
from defender_devops.api.connector import ManagementPolicy
from defender_devops.api.names import FINALIZER
from defender_devops.reconcile import desired
from defender_devops.reconcile.actions import (
    Action,
    AddFinalizer,
    Authorize,
    AzureAction,
    CreateConnector,
    SetAnnotations,
    SetTags,
    UpdateConfiguration,
    key_of,
)
from defender_devops.reconcile.authorization import is_under_way, token_exchange_failed, unspent_code
from defender_devops.reconcile.deletion import plan_deletion
from defender_devops.reconcile.organizations import plan_organizations
from defender_devops.reconcile.ownership import refusal
from defender_devops.reconcile.readers import reader_differences
from defender_devops.reconcile.snapshot import CloudState, ConnectorSnapshot

__all__ = ["Plan", "differences", "plan"]


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
        return Plan(plan_deletion(snapshot))
    finalizer = () if FINALIZER in connector.metadata.finalizers else (AddFinalizer(),)
    if connector.spec.suspend:
        return Plan(finalizer)
    observe = connector.spec.management_policy is ManagementPolicy.OBSERVE
    azure = () if observe else differences(snapshot, now)
    return Plan((*finalizer, *azure, *plan_organizations(snapshot)))


def differences(snapshot: ConnectorSnapshot, now: datetime) -> tuple[AzureAction, ...]:
    """The writes that would bring Azure in line with the spec; nothing where that is not known or not ours to do."""
    cloud = snapshot.cloud
    if not isinstance(cloud, CloudState) or refusal(snapshot) is not None:
        return ()
    if cloud.connector is None:
        return _creation(snapshot)
    return (
        *_tags(snapshot, dict(cloud.connector.tags)),
        *_configuration(snapshot, cloud, now),
        *_annotations(snapshot, cloud, now),
        *reader_differences(snapshot, cloud.readers),
    )


def _creation(snapshot: ConnectorSnapshot) -> tuple[AzureAction, ...]:
    """A connector is made only where a code allows to authorize it; an authorization cannot be brought back."""
    digest = unspent_code(snapshot)
    if digest is None:
        return ()
    connector = snapshot.connector
    create = CreateConnector(
        id=connector.connector_ref.id,
        location=connector.spec.azure.location,
        tags=desired.tags(snapshot, {}),
        hierarchy_identifier=desired.hierarchy_identifier(connector.metadata.uid),
    )
    return (create, _authorize(snapshot, digest), *reader_differences(snapshot, ()))


def _tags(snapshot: ConnectorSnapshot, existing: dict[str, str]) -> Iterator[SetTags]:
    wanted = desired.tags(snapshot, existing)
    if wanted != existing:
        changed = sorted(key for key in wanted.keys() | existing.keys() if wanted.get(key) != existing.get(key))
        yield SetTags(wanted, tuple(changed))


def _authorize(snapshot: ConnectorSnapshot, digest: str) -> Authorize:
    wanted = desired.organizations(snapshot)
    return Authorize(
        auto_discovery=wanted.auto_discovery,
        inventory=wanted.inventory,
        agentless=desired.agentless(snapshot),
        sha256=digest,
    )


def _configuration(snapshot: ConnectorSnapshot, cloud: CloudState, now: datetime) -> Iterator[AzureAction]:
    configuration = cloud.configuration
    if configuration is not None and is_under_way(configuration):
        return
    digest = unspent_code(snapshot)
    if digest is not None:
        yield _authorize(snapshot, digest)
    elif configuration is not None and not token_exchange_failed(configuration):
        yield from _update(snapshot, cloud, configuration, now)


def _update(
    snapshot: ConnectorSnapshot, cloud: CloudState, configuration: Configuration, now: datetime
) -> Iterator[UpdateConfiguration]:
    wanted, agentless = desired.organizations(snapshot), desired.agentless(snapshot)
    update = UpdateConfiguration(
        auto_discovery=wanted.auto_discovery if configuration.auto_discovery != wanted.auto_discovery else None,
        inventory=_inventory(snapshot, cloud, wanted.inventory, now),
        agentless=agentless if agentless is not None and _scans_otherwise(configuration.agentless, agentless) else None,
    )
    if update != UpdateConfiguration():
        yield update


def _scans_otherwise(present: AgentlessConfiguration | None, wanted: AgentlessConfiguration) -> bool:
    """Whether scanning differs; what is set aside while it is off does not count."""
    if present is None or not present.enabled:
        return wanted.enabled
    return _in_any_order(present) != _in_any_order(wanted)


def _in_any_order(agentless: AgentlessConfiguration) -> object:
    inventory = frozenset((each.kind, each.value.lower()) for each in agentless.inventory)
    scanners = frozenset(each.lower() for each in agentless.scanners)
    return agentless.enabled, agentless.auto_discovery, scanners, agentless.inventory_list_type, inventory


def _inventory(
    snapshot: ConnectorSnapshot, cloud: CloudState, wanted: tuple[str, ...] | None, now: datetime
) -> tuple[str, ...] | None:
    if wanted is None or _was_sent(snapshot, cloud, "inventory", wanted, now):
        return None
    onboarded = {each.name.lower() for each in cloud.organizations if desired.is_onboarded(each)}
    return wanted if {name.lower() for name in wanted} != onboarded else None


def _annotations(snapshot: ConnectorSnapshot, cloud: CloudState, now: datetime) -> Iterator[SetAnnotations]:
    if cloud.configuration is None or is_under_way(cloud.configuration):
        return
    for each in cloud.organizations:
        wanted = desired.pull_request_annotations(snapshot, each.name)
        if wanted is None or wanted == each.annotations or not desired.is_onboarded(each):
            continue
        if not _was_sent(snapshot, cloud, f"annotations/{each.name.lower()}", wanted, now):
            yield SetAnnotations(each.name, wanted)


def _was_sent(snapshot: ConnectorSnapshot, cloud: CloudState, subject: str, wish: object, now: datetime) -> bool:
    """Whether the same wish went out so lately that Azure may still be at it."""
    key, at = cloud.sent.get(subject, ("", datetime.min.replace(tzinfo=now.tzinfo)))
    return key == key_of(wish) and now - at < max(snapshot.timings.check_interval, timedelta(minutes=1))
