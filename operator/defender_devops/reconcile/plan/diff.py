"""The difference between Azure and the spec, as the writes that remove it; and which of those writes are due."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from defender_devops.api.azure_properties import AGENTLESS, ANNOTATIONS, AUTO_DISCOVERY
from defender_devops.api.azure_types import Configuration, ProvisioningState
from defender_devops.api.names import hierarchy_identifier
from defender_devops.reconcile.actions.action import Action, AzureAction
from defender_devops.reconcile.actions.azure import (
    AssignReader,
    Authorize,
    CreateConnector,
    RemoveReader,
    SetAnnotations,
    SetTags,
    UpdateConfiguration,
)
from defender_devops.reconcile.actions.kubernetes import RecordCodeHash, RecordManagedTags
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.pending_requests import annotations_request_key, is_completed_by_its_answer
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot
from defender_devops.reconcile.plan.security_readers import reader_changes

__all__ = [
    "differences",
    "drop_fulfilled_requests",
    "due_changes",
    "is_accepted_by_azure",
    "kept_organizations",
    "next_request_at",
    "operation_failed",
]

_MINIMUM_RESEND_INTERVAL = timedelta(minutes=1)
_DOUBLINGS_MAX = 10
"""Of the interval; more of them exceed every check interval."""

_READ_LAG = timedelta(seconds=10)
"""Time for which Azure may return the state from before a write that it has completed."""

_FAILED_STATES = frozenset({ProvisioningState.FAILED, ProvisioningState.CANCELED, ProvisioningState.DELETION_FAILURE})


def differences(assessment: Assessment) -> tuple[Action, ...]:
    """Return the steps that would make Azure match the spec; none if Azure is unknown or not this resource's."""
    azure = assessment.azure
    if not assessment.is_usable:
        return ()
    if azure.connector is None:
        return tuple(_creation(assessment))
    existing, tags = azure.connector.tags, assessment.desired.tags
    changed = sorted(key for key in tags.keys() | existing.keys() if tags.get(key) != existing.get(key))
    return (
        *([SetTags(tags, tuple(changed))] if changed else []),
        *_configuration_changes(assessment),
        *reader_changes(assessment.connector, azure.readers),
    )


def due_changes(assessment: Assessment, now: datetime) -> tuple[Action, ...]:
    """Return the differences to remove now.

    A request that was sent a short time ago is not repeated. Without a working authorization Defender rejects every
    change. Annotations wait while the configuration changes, because Azure runs one operation at a time.
    """
    steps = [step for step in differences(assessment) if not _was_requested_recently(assessment, step, now)]
    if assessment.authorization.is_broken:
        steps = [step for step in steps if not isinstance(step, UpdateConfiguration | SetAnnotations)]
    if any(isinstance(step, Authorize | UpdateConfiguration) for step in steps):
        steps = [step for step in steps if not isinstance(step, SetAnnotations)]
    return (*_unrecorded_tags(assessment, steps), *steps)


def is_accepted_by_azure(assessment: Assessment, step: Action) -> bool:
    """Whether Azure accepted a list of organizations and has only not onboarded all of them.

    The configuration then matches the spec, and the condition of each organization shows its own state. A list whose
    operation has ended and that leaves an organization onboarded which it lacks was not carried out.
    """
    azure = assessment.azure
    if azure.configuration is None or not isinstance(step, UpdateConfiguration):
        return False
    was_requested = _was_sent(assessment, step)
    discovery_matches = AUTO_DISCOVERY.satisfies(azure.configuration.auto_discovery, step.auto_discovery)
    changes_only_organizations = step.requests.keys() == {"organizations"}
    return was_requested and changes_only_organizations and discovery_matches and not _surplus(assessment, step)


def kept_organizations(assessment: Assessment) -> tuple[str, ...]:
    """Return the organizations that are still onboarded although Azure carried out a list without them."""
    if not assessment.azure.is_settled:
        return ()
    steps = (step for step in differences(assessment) if isinstance(step, UpdateConfiguration))
    return tuple(name for step in steps if _was_sent(assessment, step) for name in _surplus(assessment, step))


def _was_sent(assessment: Assessment, step: UpdateConfiguration) -> bool:
    """Whether Azure accepted exactly this change before."""
    pending = assessment.azure.pending_requests
    return all(key in pending and pending[key].value == value for key, value in step.requests.items())


def _surplus(assessment: Assessment, step: UpdateConfiguration) -> tuple[str, ...]:
    """Return the onboarded organizations that the list of a step lacks."""
    if step.organizations is None:
        return ()
    listed = {name.lower() for name in step.organizations}
    return tuple(name for key, name in assessment.onboarded.items() if key not in listed)


def operation_failed(configuration: Configuration) -> bool:
    """Whether the last operation on the configuration failed."""
    return configuration.provisioning_state in _FAILED_STATES


def drop_fulfilled_requests(snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:
    """Drop the pending requests that Azure has carried out, so that later drift is corrected without delay.

    A write that was complete with its answer stays for some seconds, in which a read may return the state before it.
    """
    azure = snapshot.cloud
    if not azure.is_settled or not azure.pending_requests:
        return snapshot
    steps = differences(Assessment(snapshot))
    pending_keys = {key for step in steps if isinstance(step, AzureAction) for key in step.requests}
    pending_keys |= {
        annotations_request_key(organization.name)
        for organization in azure.organizations
        if organization.is_in_progress
    }
    pending_keys |= {
        key
        for key, request in azure.pending_requests.items()
        if is_completed_by_its_answer(key) and now < request.requested_at + _READ_LAG
    }
    pending = {key: request for key, request in azure.pending_requests.items() if key in pending_keys}
    return replace(snapshot, cloud=replace(azure, pending_requests=pending))


def next_request_at(assessment: Assessment, now: datetime) -> datetime | None:
    """Return when a change that was requested, and is still missing in Azure, is requested again; None if none is."""
    times = (_due_at(assessment, step) for step in differences(assessment))
    return min((time for time in times if time is not None and time > now), default=None)


def _was_requested_recently(assessment: Assessment, step: Action, now: datetime) -> bool:
    """Whether everything that a step requests was requested so recently that Azure may still be carrying it out."""
    due_at = _due_at(assessment, step)
    return due_at is not None and now < due_at


def _due_at(assessment: Assessment, step: Action) -> datetime | None:
    """Return when a step whose requests were all sent before may send them again; None for any other step."""
    if not isinstance(step, AzureAction):
        return None
    pending = [(assessment.azure.pending_requests.get(key), value) for key, value in step.requests.items()]
    requests = [request for request, value in pending if request is not None and request.value == value]
    if not requests or len(requests) < len(pending):
        return None
    interval = _repetition_interval(assessment, step, max(request.attempts for request in requests))
    return None if interval is None else min(request.requested_at for request in requests) + interval


def _repetition_interval(assessment: Assessment, step: AzureAction, attempts: int) -> timedelta | None:
    """Return the time between two equal requests; None for a step that is repeated at once.

    What an operation of Azure's failed to do is requested again after a minute, and then ever more rarely.
    """
    if isinstance(step, SetTags | AssignReader | RemoveReader):
        return _READ_LAG
    if not isinstance(step, UpdateConfiguration | SetAnnotations):
        return None
    longest = max(assessment.snapshot.timings.resend_interval, _MINIMUM_RESEND_INTERVAL)
    configuration = assessment.azure.configuration
    if isinstance(step, UpdateConfiguration) and configuration is not None and operation_failed(configuration):
        return min(_MINIMUM_RESEND_INTERVAL * (1 << min(attempts - 1, _DOUBLINGS_MAX)), longest)
    return longest


def _unrecorded_tags(assessment: Assessment, steps: Sequence[Action]) -> Iterator[RecordManagedTags]:
    """Record the tags that the steps set for the first time; a tag that is in Azure already is not the operator's."""
    if not any(isinstance(step, CreateConnector | SetTags) for step in steps):
        return
    connector, status = assessment.azure.connector, assessment.connector.status.azure
    present = {key.lower() for key in connector.tags} if connector is not None else set()
    recorded = {key.lower() for key in status.managed_tag_keys} if status is not None else set()
    keys = sorted(key for key in assessment.connector.spec.azure.tags if key.lower() not in present | recorded)
    if keys:
        yield RecordManagedTags(tuple(keys))


def _creation(assessment: Assessment) -> Iterator[Action]:
    """Create a connector only with a code to authorize it, because without one it could do nothing."""
    if assessment.unused_code_hash is None:
        return
    connector = assessment.connector
    yield CreateConnector(
        id=connector.connector_ref.id,
        location=connector.spec.azure.location,
        tags=assessment.desired.tags,
        hierarchy_identifier=hierarchy_identifier(connector.metadata.uid),
    )
    yield from _authorization(assessment, assessment.unused_code_hash)
    yield from reader_changes(connector, ())


def _authorization(assessment: Assessment, digest: str) -> Iterator[Action]:
    """Send the code with a PUT. It replaces everything, so scanning that the spec does not manage is sent unchanged."""
    choice, configuration = assessment.desired.onboarding, assessment.azure.configuration
    unmanaged_agentless = configuration.agentless if configuration is not None else None
    yield RecordCodeHash(digest, assessment.snapshot.code.account)
    yield Authorize(
        auto_discovery=choice.auto_discovery,
        organizations=choice.organizations,
        agentless=assessment.desired.agentless or unmanaged_agentless,
        sha256=digest,
    )


def _configuration_changes(assessment: Assessment) -> Iterator[Action]:
    """Return the changes of the configuration and of the organizations below it."""
    configuration = assessment.azure.configuration
    if configuration is not None and configuration.is_in_progress:
        return
    if assessment.unused_code_hash is not None:
        yield from _authorization(assessment, assessment.unused_code_hash)
        return
    if configuration is None:
        return
    # One PATCH for everything that differs; everything is sent again if the last operation failed.
    choice, agentless = assessment.desired.onboarding, assessment.desired.agentless
    failed = operation_failed(configuration)
    listed = choice.organizations
    list_differs = listed is not None and {name.lower() for name in listed} != assessment.onboarded.keys()
    discovery_differs = not AUTO_DISCOVERY.satisfies(configuration.auto_discovery, choice.auto_discovery)
    # Auto-discovery and the list are sent together: each alone means something else to Defender.
    sends_choice = failed or discovery_differs or list_differs
    sends_agentless = agentless is not None and (failed or not AGENTLESS.satisfies(configuration.agentless, agentless))
    if sends_choice or sends_agentless:
        yield UpdateConfiguration(
            auto_discovery=choice.auto_discovery if sends_choice else None,
            organizations=choice.organizations if sends_choice else None,
            agentless=agentless if sends_agentless else None,
        )
    for organization in assessment.azure.organizations:
        annotations = assessment.desired.annotations.get(organization.name.lower())
        if annotations is None or organization.is_in_progress:
            continue
        if not ANNOTATIONS.satisfies(organization.annotations, annotations):
            yield SetAnnotations(organization.name, annotations)
