"""Gathers all that one reconcile needs into one snapshot: every read of it happens here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from pydantic import SecretStr

from defender_devops.api.azure_types import Connector, DiscoveredCounts
from defender_devops.api.connector import AzureDevOpsConnector, SignInMethod
from defender_devops.api.organization import DevOpsOrganization, InvalidManifest, parse_organization
from defender_devops.azure.identity.clients import ArmClients
from defender_devops.azure.resource_graph.pollers import ResourceGraphPollers
from defender_devops.azure.resource_graph.view import ConnectorView
from defender_devops.azure.resources.role_assignments import RoleAssignments
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.errors import OperatorError
from defender_devops.reconcile.cache.connector_cache import ConnectorCache
from defender_devops.reconcile.cache.drift_notifications import DriftNotifications
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.deletion_mode import DeletionMode, deletion_mode
from defender_devops.reconcile.facts.ownership import is_owned, ownership_conflict
from defender_devops.reconcile.facts.snapshot import (
    AuthorizationCode,
    AzureState,
    ConnectorSnapshot,
    Failure,
    Owner,
    Timings,
    failure_of,
)
from defender_devops.reconcile.observe.azure_access import AzureAccess
from defender_devops.reconcile.observe.azure_state import AzureStateReader, ReadOptions
from defender_devops.reconcile.observe.conflicting_connectors import find_conflicting_connectors
from defender_devops.reconcile.observe.counts import inventory
from defender_devops.reconcile.observe.one_time_code import OneTimeCodes
from defender_devops.reconcile.observe.sign_in import SignInFindings, SignInObserver

__all__ = ["Gatherer", "Observation", "ParsedOrganizations"]

_DETACH_PATIENCE: Final = 10.0
"""Seconds that letting go of a connector may take to remove our tags; then it goes without."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A snapshot, and what to act with."""

    snapshot: ConnectorSnapshot
    azure: AzureAccess | None
    code: SecretStr | None


class ParsedOrganizations(NamedTuple):
    """The resources that refer to a connector.

    Attributes:
        understood: as they were read.
        misread: bodies that are not understood, each with the cause.
    """

    valid: tuple[DevOpsOrganization, ...]
    invalid: tuple[tuple[dict[str, Any], InvalidManifest], ...]


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Reads for one connector at a time."""

    resources: ResourceCache
    clients: ArmClients
    pollers: ResourceGraphPollers
    drift_notifications: DriftNotifications
    codes: OneTimeCodes
    sign_ins: SignInObserver
    cluster_id: str
    namespaces: frozenset[str] | None
    timings: Timings
    refresh_interval: timedelta
    clock: Callable[[], datetime]

    async def gather(
        self,
        key: Key,
        connector: AzureDevOpsConnector,
        organizations: tuple[DevOpsOrganization, ...],
        cache: ConnectorCache,
        *,
        fresh: bool = False,
    ) -> Observation:
        """Everything that is known now.

        Args:
            key: of the resource.
            connector: the resource.
            organizations: those that refer to it.
            cache: what was known before; its hint is taken.
            fresh: read all of Azure, so that a write may rest on it.
        """
        known_code, code = await self.codes.read(connector)
        base = self._base(key, connector, organizations, cache, known_code)
        asked = ReadOptions(
            fresh=fresh or cache.is_stale or connector.is_reconcile_requested,
            probe=cache.is_stale or connector.is_reconcile_requested or cache.code != known_code.sha256,
            readers=_speaks_of_readers(connector),
            strays=lambda found: _may_have_strays(base, found),
            probe_interval=self._probe_interval(replace(base, cloud=cache.cloud or base.cloud)),
            refuses=lambda found: ownership_conflict(replace(base, cloud=AzureState(found))) is not None,
        )
        if connector.spec.suspend and not connector.metadata.is_deleting:
            return Observation(base, None, code)
        cache.is_stale = False
        cloud, azure = await self._cloud(base, cache, asked)
        if isinstance(cloud, Failure):
            cache.is_stale = cache.is_stale or asked.fresh  # the question still stands
        snapshot = replace(base, cloud=cloud)
        if azure is None or not isinstance(cloud, AzureState) or connector.metadata.is_deleting:
            return Observation(snapshot, azure, code)
        return Observation(await self._with_findings(snapshot, cloud, azure, cache), azure, code)

    async def forget(self, key: Key, uid: str) -> None:
        """A resource is gone: drop what was kept for it."""
        self.drift_notifications.forget(key)
        self.pollers.untrack(uid)
        self.sign_ins.forget(uid)
        self.codes.forget(uid)
        await self.clients.release(uid)

    def requeue_after(
        self, snapshot: ConnectorSnapshot, poll_after: float | None, moment: datetime | None
    ) -> float | None:
        """Seconds to the next look that nothing but time asks for.

        Args:
            snapshot: as it is after the reconcile.
            poll_after: what Azure said about the operation under way.
            moment: when a deadline or a rest ends.
        """
        now, cloud = self.clock(), snapshot.cloud
        waits = [(moment - now).total_seconds()] if moment is not None else []
        if poll_after is not None:
            waits.append(poll_after)
        elif isinstance(cloud, AzureState) and cloud.is_busy:
            waits.append(self.timings.poll_interval.total_seconds())
        probed = cloud.probed_at if isinstance(cloud, AzureState) else None
        due = (probed or now) + self._probe_interval(snapshot)
        return max(0.0, min(*waits, (due - now).total_seconds()) if waits else (due - now).total_seconds())

    def _probe_interval(self, snapshot: ConnectorSnapshot) -> timedelta:
        """Between two questions for the organizations that there are.

        Where Defender does not take in what is new, and we do in its stead, nothing else shows that it is there; nor
        that somebody is to be had who was missing or held elsewhere.
        """
        check, refresh = self.timings.check_interval, self.refresh_interval
        waits = desired_state.operator_onboards_new_organizations(
            snapshot
        ) or desired_state.has_unavailable_organizations(snapshot)
        return min(check, refresh) if waits else check

    def _base(
        self,
        key: Key,
        connector: AzureDevOpsConnector,
        organizations: tuple[DevOpsOrganization, ...],
        cache: ConnectorCache,
        code: AuthorizationCode,
    ) -> ConnectorSnapshot:
        return ConnectorSnapshot(
            connector=connector,
            owner=Owner(self.cluster_id, connector.metadata.uid),
            cloud=AzureState(),
            organizations=organizations,
            code=code,
            taken_names=self.resources.organization_names(key.namespace),
            existing_owner_uids=self.resources.connector_uids(),
            namespaces=self.namespaces,
            timings=self.timings,
            failures=cache.failures,
        )

    def organizations(self, key: Key) -> ParsedOrganizations:
        """The resources that refer to a connector."""
        valid: list[DevOpsOrganization] = []
        invalid: list[tuple[dict[str, Any], InvalidManifest]] = []
        for body in self.resources.organizations(key):
            try:
                valid.append(parse_organization(body))
            except InvalidManifest as error:
                invalid.append((body, error))
        return ParsedOrganizations(tuple(valid), tuple(invalid))

    async def _cloud(
        self, base: ConnectorSnapshot, cache: ConnectorCache, asked: ReadOptions
    ) -> tuple[AzureState | Failure, AzureAccess | None]:
        """What Azure holds, or why that is not known."""
        deleting, decided = base.connector.metadata.is_deleting, deletion_mode(base)
        if deleting and decided is DeletionMode.RETAIN:
            return AzureState(), None
        try:
            async with asyncio.timeout(_DETACH_PATIENCE if deleting and decided is DeletionMode.ORPHAN else None):
                return await self._observe(base, cache, asked)
        except OperatorError as error:
            return failure_of(error), None
        except TimeoutError:
            return Failure("AzureUnavailable", "Azure did not answer in time."), None

    async def _observe(
        self, base: ConnectorSnapshot, cache: ConnectorCache, asked: ReadOptions
    ) -> tuple[AzureState, AzureAccess]:
        connector, ref = base.connector, base.connector.connector_ref
        metadata = connector.metadata
        arm = await self.clients.client(
            metadata.uid, metadata.namespace, connector.spec.azure, is_deleting=metadata.is_deleting
        )
        poller = self.pollers.track(connector.metadata.uid, arm, ref, readers=asked.readers)
        azure = AzureAccess(SecurityConnectors(arm), RoleAssignments(arm), poller, self.pollers.record_write)
        observer = AzureStateReader(azure.connectors, azure.role_assignments)
        if connector.metadata.is_deleting:
            return await observer.read_for_deletion(ref, asked), azure
        self.drift_notifications.note(Key.from_metadata(connector.metadata), ref, azure.poller)
        now = self.clock()
        view = poller.current_view(ref)
        poller.acknowledge(ref)
        if _is_unwatched(cache.cloud, view) and not cache.was_read_since(now - asked.probe_interval):
            asked = replace(asked, fresh=True)
        cloud = await observer.observe(ref, cache.cloud, asked, now)
        if cloud.fresh:
            cache.read_at = now
        return cloud, azure

    async def _with_findings(
        self, snapshot: ConnectorSnapshot, cloud: AzureState, azure: AzureAccess, cache: ConnectorCache
    ) -> ConnectorSnapshot:
        connector = snapshot.connector
        view = azure.poller.current_view(connector.connector_ref)
        shown = view.inventory if view is not None else DiscoveredCounts()
        names = {key: each.name for key, each in desired_state.azure_organizations(cloud).items()}
        findings = SignInFindings()
        if connector.spec.sign_in_method is not SignInMethod.NONE:
            findings = await self.sign_ins.look(
                connector, names, snapshot.organizations, anew=connector.is_reconcile_requested
            )
        return replace(
            snapshot,
            inventory=await inventory(
                snapshot, cloud, shown, cache.counted, connectors=azure.connectors, now=self.clock()
            ),
            sign_in=findings.sign_in,
            prerequisites=findings.prerequisites,
            expected=findings.expected,
            conflicting_connectors=await find_conflicting_connectors(snapshot, cloud, self.resources, azure.poller),
        )


def _is_unwatched(known: AzureState | None, view: ConnectorView | None) -> bool:
    """Whether Resource Graph would not show a change of something that is known: it has no row of it."""
    if known is None or known.connector is None:
        return False
    if view is None or (known.configuration is not None and view.configuration is None):
        return True
    shown = {each.name.lower() for each in view.organizations}
    return any(desired_state.is_onboarded(each) and each.name.lower() not in shown for each in known.organizations)


def _may_have_strays(base: ConnectorSnapshot, found: Connector) -> bool:
    """Whether the operator may have ended between making an assignment and writing down that it did.

    That was at a connector of ours, for a spec that no status was written about since.
    """
    resource = base.connector
    unread = resource.status.observed_generation != resource.metadata.generation
    return unread and is_owned(base, found)


def _speaks_of_readers(connector: AzureDevOpsConnector) -> bool:
    azure = connector.status.azure
    return bool(connector.spec.security_readers or (azure and azure.security_readers))
