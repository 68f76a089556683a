"""In what Azure differs from the spec, as the writes that would mend it; and which of them are due (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from defender_devops.api.azure_types import (
    AgentlessConfiguration,
    AutoDiscovery,
    AzureOrganization,
    Configuration,
    ProvisioningState,
)
from defender_devops.reconcile.actions.action import Action, AzureAction
from defender_devops.reconcile.actions.azure import (
    Authorize,
    CreateConnector,
    SetAnnotations,
    SetTags,
    UpdateConfiguration,
)
from defender_devops.reconcile.actions.kubernetes import RecordCodeHash, RecordManagedTags
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.authorization import is_broken, unused_code_hash
from defender_devops.reconcile.facts.ownership import ownership_conflict
from defender_devops.reconcile.facts.snapshot import (
    AzureState,
    ConnectorSnapshot,
    annotations_request_key,
    is_in_progress,
)
from defender_devops.reconcile.plan.security_readers import reader_changes

__all__ = ["differences", "drop_fulfilled_requests", "due", "is_accepted_by_azure", "operation_failed"]

_REPEAT_AFTER_MINIMUM = timedelta(minutes=1)
_FAILED_STATES = frozenset({ProvisioningState.FAILED, ProvisioningState.CANCELED, ProvisioningState.DELETION_FAILURE})


def differences(snapshot: ConnectorSnapshot) -> tuple[Action, ...]:
    """The steps that would bring Azure in line with the spec; none where that is not known or not ours to do."""
    cloud = snapshot.cloud
    if not isinstance(cloud, AzureState) or ownership_conflict(snapshot) is not None:
        return ()
    if cloud.connector is None:
        return tuple(_creation(snapshot))
    return (
        *_tags(snapshot, dict(cloud.connector.tags)),
        *_below(snapshot, cloud),
        *reader_changes(snapshot, cloud.readers),
    )


def due(snapshot: ConnectorSnapshot, now: datetime) -> tuple[Action, ...]:
    """Those of the differences to mend now.

    What was asked for a moment ago is not asked for again yet. Without an authorization that works Defender would
    refuse any change. Organizations wait while their configuration changes: Azure takes one operation at a time.
    """
    steps = [step for step in differences(snapshot) if not _was_sent(snapshot, step, now)]
    if is_broken(snapshot):
        steps = [step for step in steps if not isinstance(step, UpdateConfiguration | SetAnnotations)]
    if any(isinstance(step, Authorize | UpdateConfiguration) for step in steps):
        steps = [step for step in steps if not isinstance(step, SetAnnotations)]
    return (*_memory(snapshot, steps), *steps)


def _memory(snapshot: ConnectorSnapshot, steps: Sequence[Action]) -> Iterator[RecordManagedTags]:
    """What has to be written down before the steps. A tag that is there already is not left behind by us."""
    if not any(isinstance(step, CreateConnector | SetTags) for step in steps):
        return
    cloud, azure = snapshot.cloud, snapshot.connector.status.azure
    present = cloud.connector.tags if isinstance(cloud, AzureState) and cloud.connector is not None else {}
    known = _lower((*present, *(azure.managed_tag_keys if azure else ())))
    new = tuple(sorted(key for key in snapshot.connector.spec.azure.tags if key.lower() not in known))
    if new:
        yield RecordManagedTags(new)


def is_accepted_by_azure(snapshot: ConnectorSnapshot, step: Action) -> bool:
    """Whether Azure has taken a list of organizations on and only has not onboarded all of them.

    The configuration then agrees with the spec, and each organization tells for itself how it stands.
    """
    cloud = snapshot.cloud
    if not isinstance(cloud, AzureState) or cloud.configuration is None or not isinstance(step, UpdateConfiguration):
        return False
    asked = all(cloud.pending_requests.get(subject, ("",))[0] == key for subject, key in step.requests.items())
    return asked and step.agentless is None and not _discovers_otherwise(cloud.configuration, step.auto_discovery)


def operation_failed(configuration: Configuration) -> bool:
    """Whether the last operation on the configuration ended badly."""
    return configuration.provisioning_state in _FAILED_STATES


def drop_fulfilled_requests(snapshot: ConnectorSnapshot) -> ConnectorSnapshot:
    """Drop what Azure was asked for and has done: should somebody undo it, it is asked for again at once."""
    cloud = snapshot.cloud
    if not isinstance(cloud, AzureState) or not cloud.is_settled or not cloud.pending_requests:
        return snapshot
    steps = differences(snapshot)
    unfulfilled = {subject for step in steps if isinstance(step, AzureAction) for subject in step.requests}
    busy = {annotations_request_key(each.name) for each in cloud.organizations if is_in_progress(each)}
    sent = {subject: wish for subject, wish in cloud.pending_requests.items() if subject in unfulfilled | busy}
    return replace(snapshot, cloud=replace(cloud, pending_requests=sent))


def _was_sent(snapshot: ConnectorSnapshot, step: Action, now: datetime) -> bool:
    """Whether all that a step asks for was asked for so lately that Azure may still be at it."""
    cloud = snapshot.cloud
    if not isinstance(cloud, AzureState) or not isinstance(step, UpdateConfiguration | SetAnnotations):
        return False
    since = now - max(snapshot.timings.check_interval, _REPEAT_AFTER_MINIMUM)
    return all(_is_asked_for(cloud, subject, key, since) for subject, key in step.requests.items())


def _is_asked_for(cloud: AzureState, subject: str, key: str, since: datetime | None = None) -> bool:
    known = cloud.pending_requests.get(subject)
    return known is not None and known[0] == key and (since is None or known[1] > since)


def _creation(snapshot: ConnectorSnapshot) -> Iterator[Action]:
    """A connector is made only where a code allows to authorize it; an authorization cannot be brought back."""
    digest = unused_code_hash(snapshot)
    if digest is None:
        return
    connector = snapshot.connector
    yield CreateConnector(
        id=connector.connector_ref.id,
        location=connector.spec.azure.location,
        tags=desired_state.desired_tags(snapshot, {}),
        hierarchy_identifier=desired_state.hierarchy_identifier(connector.metadata.uid),
    )
    yield from _authorization(snapshot, digest)
    yield from reader_changes(snapshot, ())


def _tags(snapshot: ConnectorSnapshot, existing: dict[str, str]) -> Iterator[SetTags]:
    wanted = desired_state.desired_tags(snapshot, existing)
    if wanted != existing:
        changed = sorted(key for key in wanted.keys() | existing.keys() if wanted.get(key) != existing.get(key))
        yield SetTags(wanted, tuple(changed))


def _authorization(snapshot: ConnectorSnapshot, digest: str) -> Iterator[Action]:
    """The code goes with a PUT, which replaces all: scanning that nobody manages goes along as it is."""
    wanted, cloud = desired_state.desired_onboarding(snapshot, anew=True), snapshot.cloud
    present = cloud.configuration if isinstance(cloud, AzureState) else None
    yield RecordCodeHash(digest)
    yield Authorize(
        auto_discovery=wanted.auto_discovery,
        organizations=wanted.organizations,
        agentless=desired_state.desired_agentless(snapshot) or (present.agentless if present is not None else None),
        sha256=digest,
    )


def _below(snapshot: ConnectorSnapshot, cloud: AzureState) -> Iterator[Action]:
    """What differs in the configuration and below it."""
    configuration = cloud.configuration
    if configuration is not None and is_in_progress(configuration):
        return
    digest = unused_code_hash(snapshot)
    if digest is not None:
        yield from _authorization(snapshot, digest)
    elif configuration is not None:
        yield from _update(snapshot, cloud, configuration)
        yield from _annotations(snapshot, cloud)


def _update(snapshot: ConnectorSnapshot, cloud: AzureState, configuration: Configuration) -> Iterator[Action]:
    """One PATCH for all that differs; all of it again where the last operation failed.

    Auto-discovery and the list are one choice: either of them alone means something else to Defender.
    """
    wanted, agentless = desired_state.desired_onboarding(snapshot), desired_state.desired_agentless(snapshot)
    again = operation_failed(configuration)
    chooses = again or _discovers_otherwise(configuration, wanted.auto_discovery) or _holds_others(cloud, wanted)
    scans = agentless is not None and (again or _scans_otherwise(configuration.agentless, agentless))
    if chooses or scans:
        yield UpdateConfiguration(
            auto_discovery=wanted.auto_discovery if chooses else None,
            organizations=wanted.organizations if chooses else None,
            agentless=agentless if scans else None,
        )


def _discovers_otherwise(present: Configuration, wanted: AutoDiscovery | None) -> bool:
    """Whether auto-discovery differs; NotApplicable is as good as off."""
    return (present.auto_discovery == AutoDiscovery.ENABLED) != (wanted is AutoDiscovery.ENABLED)


def _holds_others(cloud: AzureState, wanted: desired_state.OnboardingChoice) -> bool:
    if wanted.organizations is None:
        return False
    onboarded = {each.name.lower() for each in cloud.organizations if desired_state.is_onboarded(each)}
    return {name.lower() for name in wanted.organizations} != onboarded


def _scans_otherwise(present: AgentlessConfiguration | None, wanted: AgentlessConfiguration) -> bool:
    """Whether scanning differs.

    What is set aside while it is off does not count, nor do the scanners that Defender chose where none are asked for.
    """
    if present is None or not present.enabled:
        return wanted.enabled
    scanners = wanted.scanners and _lower(present.scanners) != _lower(wanted.scanners)
    return bool(scanners) or _scope(present) != _scope(wanted)


def _lower(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _scope(agentless: AgentlessConfiguration) -> object:
    """What is scanned, in any order; NotApplicable is as good as off."""
    finds_new = agentless.auto_discovery is AutoDiscovery.ENABLED
    inventory = frozenset((each.kind, each.value.lower()) for each in agentless.inventory)
    return agentless.enabled, finds_new, agentless.inventory_list_type, inventory


def _annotations(snapshot: ConnectorSnapshot, cloud: AzureState) -> Iterator[Action]:
    effective_overrides = desired_state.effective_overrides(snapshot.organizations)
    for each in filter(_takes_annotations, cloud.organizations):
        wanted = desired_state.desired_annotations(snapshot, effective_overrides.get(each.name.lower()))
        if wanted is not None and wanted != each.annotations:
            yield SetAnnotations(each.name, wanted)


def _takes_annotations(organization: AzureOrganization) -> bool:
    return desired_state.is_onboarded(organization) and not is_in_progress(organization)
