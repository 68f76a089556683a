"""Gathers everything that one reconcile needs into one snapshot; all of its reads happen here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from pydantic import SecretStr

from defender_devops.api.azure_types import AgentlessConfiguration, Connector, DiscoveredCounts
from defender_devops.api.connector import AzureDevOpsConnector, SignInMethod
from defender_devops.api.organization import DevOpsOrganization, InvalidManifest, parse_organization
from defender_devops.azure.identity.clients import ArmClients
from defender_devops.azure.resource_graph.pollers import ResourceGraphPollers
from defender_devops.azure.resource_graph.rows import ConnectorView
from defender_devops.azure.resources.role_assignments import RoleAssignments
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.errors import KubernetesRefused, OperatorError
from defender_devops.reconcile.cache.connector_cache import ConnectorCache
from defender_devops.reconcile.cache.drift_notifications import DriftNotifications
from defender_devops.reconcile.cache.posture_observations import PostureObservations
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.coverage import depends_on_cspm_plan
from defender_devops.reconcile.facts.deletion_mode import DeletionMode, deletion_mode
from defender_devops.reconcile.facts.failure import Failure, failure_of_error
from defender_devops.reconcile.facts.isolation import OrganizationFailure, isolate
from defender_devops.reconcile.facts.organization_selection import azure_organizations
from defender_devops.reconcile.facts.ownership import is_owned, ownership_conflict
from defender_devops.reconcile.facts.pipeline_results import PipelinesObservation, with_extension_prerequisite
from defender_devops.reconcile.facts.posture import CspmPlan
from defender_devops.reconcile.facts.snapshot import AuthorizationCode, AzureState, ConnectorSnapshot, Owner, Timings
from defender_devops.reconcile.observe.azure_access import AzureAccess
from defender_devops.reconcile.observe.azure_state import AzureStateReader, ReadOptions
from defender_devops.reconcile.observe.conflicting_connectors import find_conflicting_connectors, find_recorded_owner
from defender_devops.reconcile.observe.counts import discovered_counts
from defender_devops.reconcile.observe.cspm_plans import CspmPlans
from defender_devops.reconcile.observe.one_time_code import OneTimeCodes
from defender_devops.reconcile.observe.pipelines.observer import PipelineObserver
from defender_devops.reconcile.observe.recall import is_settled, recall_state
from defender_devops.reconcile.observe.sign_in import SignInFindings, SignInObserver
from defender_devops.supervision import OnFailure, contain_exceptions
from defender_devops.workqueue.result import Result

__all__ = ["Gatherer", "Observation", "ParsedOrganizations"]

_FIRST_POLL_TIMEOUT: Final = timedelta(seconds=60)
"""How long a reconcile waits for the first poll of Resource Graph before it reads Azure Resource Manager instead."""

_ORPHAN_TIMEOUT: Final = 10.0
"""Seconds for the reads before a deletion that leaves the connector in Azure: they only serve to remove our tags."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A snapshot, and what the actions of its plan need.

    Attributes:
        snapshot: everything that was read.
        azure: clients of the connector's identity, or None if there are none.
        code: Defender's one-time code, if it may still be sent.
        failed: organizations that are missing from the snapshot, since they cause an unexpected exception.
    """

    snapshot: ConnectorSnapshot
    azure: AzureAccess | None
    code: SecretStr | None
    failed: tuple[OrganizationFailure, ...] = ()


class ParsedOrganizations(NamedTuple):
    """The DevOpsOrganizations that refer to a connector.

    Attributes:
        valid: the resources.
        invalid: bodies that do not conform to the schema, each with the error.
        failed: bodies whose parsing raised an unexpected exception.
    """

    valid: tuple[DevOpsOrganization, ...]
    invalid: tuple[tuple[dict[str, Any], InvalidManifest], ...]
    failed: tuple[tuple[dict[str, Any], Exception], ...] = ()


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Reads for one connector at a time; the attributes are what it reads from."""

    resources: ResourceCache
    clients: ArmClients
    pollers: ResourceGraphPollers
    drift_notifications: DriftNotifications
    posture: PostureObservations
    cspm_plans: CspmPlans
    codes: OneTimeCodes
    sign_ins: SignInObserver
    pipelines: PipelineObserver
    cluster_id: str
    namespaces: frozenset[str] | None
    timings: Timings
    refresh_interval: timedelta
    clock: Callable[[], datetime]
    on_failure: OnFailure = lambda _component: None

    async def await_first_poll(self, connector: AzureDevOpsConnector, cache: ConnectorCache) -> Result | None:
        """Return when to reconcile a settled connector after the operator's start; None if it is to be done now.

        The first poll of Resource Graph shows what has changed, and enqueues the connector.
        """
        now, since = self.clock(), cache.awaits_poll_since
        cache.awaits_poll_since = None
        if cache.azure_state is not None or cache.is_stale or not is_settled(connector):
            return None
        if since is not None and now - since >= _FIRST_POLL_TIMEOUT:
            return None
        metadata, ref = connector.metadata, connector.connector_ref
        try:
            arm = await self.clients.client(metadata.uid, metadata.namespace, connector.spec.azure)
        except OperatorError:
            return None  # the reconcile reports it
        poller = self.pollers.track(
            metadata.uid,
            arm,
            ref,
            readers=_needs_readers(connector),
            checks_interval=connector.spec.pipeline_checks_interval,
            is_awaited=True,
        )
        if poller.has_polled(ref):
            return None
        self.drift_notifications.register(Key.from_metadata(metadata), ref, poller)
        cache.awaits_poll_since = since or now
        reason = "the first poll of Resource Graph is awaited"
        return Result(_FIRST_POLL_TIMEOUT.total_seconds(), is_deferred=True, reason=reason)

    async def gather(
        self,
        key: Key,
        connector: AzureDevOpsConnector,
        organizations: tuple[DevOpsOrganization, ...],
        cache: ConnectorCache,
        *,
        fresh: bool = False,
    ) -> Observation:
        """Read everything that a plan and a report depend on.

        Args:
            key: of the resource.
            connector: the resource.
            organizations: the DevOpsOrganizations that refer to it.
            cache: what is kept of it; updated, and `is_stale` is reset once everything was read again.
            fresh: read all of Azure, so that a write may rest on it.

        Raises:
            KubernetesError: the API server did not answer. A failed read of Azure, and a Secret that may not be read,
                are part of the snapshot instead.
        """
        code_state, code = await self._read_code(connector)
        base = replace(self._cluster_snapshot(key, connector, organizations), code=code_state, failures=cache.failures)
        if connector.spec.suspend or connector.metadata.is_deleting:
            self.pipelines.forget(connector.metadata.uid)
        if connector.spec.suspend and not connector.metadata.is_deleting:
            return Observation(base, None, code)
        isolated = isolate(replace(base, cloud=cache.azure_state or base.cloud), self._probe_interval)
        base, failed = replace(base, organizations=isolated.snapshot.organizations), isolated.failed
        if cache.azure_state is None:
            cache.code = base.code.sha256  # the first read checks the authorization anyway
        options = _read_options(base, cache, isolated.result, fresh=fresh)
        cache.is_stale = False
        state, azure = await self._read_azure(base, cache, options)
        if not state.is_known:
            # The evidence of a change counts until everything was read. It may have been renewed during the read.
            cache.is_stale = cache.is_stale or options.fresh
        snapshot = replace(base, cloud=state)
        if azure is None or not state.is_known or connector.metadata.is_deleting:
            return Observation(snapshot, azure, code, failed)
        return Observation(await self._with_findings(snapshot, state, azure, cache), azure, code, failed)

    def _cluster_snapshot(
        self, key: Key, connector: AzureDevOpsConnector, organizations: tuple[DevOpsOrganization, ...]
    ) -> ConnectorSnapshot:
        """Return a snapshot with what the cluster holds, and nothing of Azure."""
        return ConnectorSnapshot(
            connector=connector,
            owner=Owner(self.cluster_id, connector.metadata.uid),
            cloud=AzureState(),
            organizations=organizations,
            taken_names=self.resources.organization_names(key.namespace),
            existing_owner_uids=self.resources.connector_uids(),
            deleting_owner_uids=self.resources.deleting_connector_uids(),
            removed_owner_uids=self.resources.removed_uids(),
            namespaces=self.namespaces,
            recorded_owner=find_recorded_owner(key, self.resources.with_equal_connector_id(key)),
            timings=self.timings,
        )

    async def _read_code(self, connector: AzureDevOpsConnector) -> tuple[AuthorizationCode, SecretStr | None]:
        """Return the state of the one-time code and the code; a refusal to read it is a reason why there is none.

        Raises:
            KubernetesError: the API server did not answer.
        """
        try:
            return await self.codes.read(connector)
        except KubernetesRefused as error:
            problem = (
                f"The Secret with the one-time code cannot be read: {error.message.rstrip('.')}. Check the permissions "
                "of the operator's service account for Secrets in this namespace."
            )
            return AuthorizationCode(problem=problem), None

    async def release_connector(self, key: Key, uid: str) -> None:
        """Drop everything that is kept of a deleted resource; what cannot be dropped keeps nothing else from it."""
        drops: tuple[Callable[[], object], ...] = (
            lambda: self.drift_notifications.forget(key),
            lambda: self.posture.forget(key),
            lambda: self.pollers.untrack(uid),
            lambda: self.sign_ins.forget(uid),
            lambda: self.pipelines.forget(uid),
            lambda: self.codes.forget(uid),
        )
        for drop in drops:
            with contain_exceptions("release", self.on_failure, deleted=key):
                drop()
        with contain_exceptions("release", self.on_failure, deleted=key):
            await self.clients.release(uid)

    def requeue(self, snapshot: ConnectorSnapshot, poll_after: float | None, deadline: datetime | None) -> Result:
        """Return when the connector has to be reconciled again without an event, and why.

        Args:
            snapshot: the snapshot after the reconcile.
            poll_after: seconds that Azure asked to wait before the operation under way is read again.
            deadline: when time alone changes a condition.
        """
        state = snapshot.cloud
        if poll_after is not None or state.is_busy:
            # Nothing else can happen before the operation ends, and Azure must not be polled more often.
            delay = poll_after if poll_after is not None else self.timings.poll_interval.total_seconds()
            return Result(delay, reason="an operation is under way in Azure")
        now, interval = self.clock(), self._probe_interval(snapshot)
        probe_at = (state.probed_at or now) + interval
        if probe_at <= now:
            # The probe was due in this reconcile and could not be made, for example without a configuration.
            probe_at = now + interval
        if deadline is not None and deadline < probe_at:
            return Result(max(0.0, (deadline - now).total_seconds()), reason="a condition depends on time")
        return Result((probe_at - now).total_seconds(), reason="the authorization is to be checked")

    def _probe_interval(self, snapshot: ConnectorSnapshot) -> timedelta:
        """Return the time between two calls of listAvailableAzureDevOpsOrgs.

        Shorter while a change that Resource Graph does not show is of interest: an organization that the operator
        onboards in place of Defender's auto-discovery, or a wanted one that is missing or onboarded elsewhere.
        """
        probe, refresh = self.timings.probe_interval, self.refresh_interval
        assessment = Assessment(snapshot)
        is_waiting = assessment.operator_onboards_new_organizations or assessment.has_unavailable_organizations
        return min(probe, refresh) if is_waiting else probe

    def organizations(self, key: Key) -> ParsedOrganizations:
        """Parse the DevOpsOrganizations that refer to a connector."""
        valid: list[DevOpsOrganization] = []
        invalid: list[tuple[dict[str, Any], InvalidManifest]] = []
        failed: list[tuple[dict[str, Any], Exception]] = []
        for body in self.resources.organizations(key):
            try:
                valid.append(parse_organization(body))
            except InvalidManifest as error:
                invalid.append((body, error))
            except Exception as error:  # noqa: BLE001 - one organization must not hold up the others
                failed.append((body, error))
        return ParsedOrganizations(tuple(valid), tuple(invalid), tuple(failed))

    async def _read_azure(
        self, base: ConnectorSnapshot, cache: ConnectorCache, options: ReadOptions
    ) -> tuple[AzureState, AzureAccess | None]:
        """Return what Azure holds, or why that could not be read."""
        connector, ref = base.connector, base.connector.connector_ref
        metadata = connector.metadata
        mode = deletion_mode(base) if metadata.is_deleting else None
        if mode is DeletionMode.RETAIN:
            return AzureState(), None
        try:
            async with asyncio.timeout(_ORPHAN_TIMEOUT if mode is DeletionMode.ORPHAN else None):
                arm = await self.clients.client(
                    metadata.uid, metadata.namespace, connector.spec.azure, is_deleting=metadata.is_deleting
                )
                poller = self.pollers.track(
                    metadata.uid,
                    arm,
                    ref,
                    readers=options.readers,
                    checks_interval=connector.spec.pipeline_checks_interval,
                )
                azure = AzureAccess(SecurityConnectors(arm), RoleAssignments(arm), poller, self.pollers.record_write)
                reader = AzureStateReader(azure.connectors, azure.role_assignments)
                if metadata.is_deleting:
                    return await reader.read_for_deletion(ref, options), azure
                self.drift_notifications.register(Key.from_metadata(metadata), ref, poller)
                self.posture.register(Key.from_metadata(metadata), ref, self.pollers.posture(metadata.uid))
                now = self.clock()
                view = poller.current_view(ref)
                poller.acknowledge(ref)
                previous = cache.azure_state
                if previous is None and view is not None and not (options.fresh or options.probe):
                    previous = recall_state(
                        base, view, needs_readers=options.readers, now=now, probe_interval=options.probe_interval
                    )
                if _is_invisible(cache.azure_state, view) and (
                    cache.read_at is None or cache.read_at <= now - options.probe_interval
                ):
                    options = replace(options, fresh=True)
                state = await reader.read(ref, previous, options, now)
                if state.fresh:
                    cache.read_at = now
                return state, azure
        except OperatorError as error:
            return AzureState(read_failure=failure_of_error(error)), None
        except TimeoutError:
            failure = Failure("AzureUnavailable", "Azure did not answer in time.")
            return AzureState(read_failure=failure), None

    async def _with_findings(
        self, snapshot: ConnectorSnapshot, state: AzureState, azure: AzureAccess, cache: ConnectorCache
    ) -> ConnectorSnapshot:
        """Return the snapshot with what other sources show: Resource Graph, Azure DevOps, other connectors."""
        connector = snapshot.connector
        view = azure.poller.current_view(connector.connector_ref)
        findings = SignInFindings()
        if connector.spec.sign_in_method is not SignInMethod.NONE:
            names = {key: organization.name for key, organization in azure_organizations(state).items()}
            findings = await self.sign_ins.observe(
                connector, names, snapshot.organizations, refresh=connector.is_reconcile_requested
            )
        pipelines = self._pipelines(snapshot, state)
        return replace(
            snapshot,
            pipelines=pipelines,
            inventory=await discovered_counts(
                snapshot,
                state,
                view.inventory if view is not None else DiscoveredCounts(),
                cache.counts,
                connectors=azure.connectors,
                now=self.clock(),
            ),
            sign_in=findings.sign_in,
            prerequisites=with_extension_prerequisite(findings.prerequisites, pipelines),
            expected=findings.expected,
            conflicting_connectors=await find_conflicting_connectors(snapshot, state, self.resources, azure.poller),
            posture=self.posture.observation(Key.from_metadata(connector.metadata)),
            cspm_plan=await self._cspm_plan(snapshot, azure),
        )

    async def _cspm_plan(self, snapshot: ConnectorSnapshot, azure: AzureAccess) -> CspmPlan | None:
        """Return the plan Defender CSPM of the subscription; None where nothing depends on it."""
        if not depends_on_cspm_plan(Assessment(snapshot)):
            return None
        connector = snapshot.connector
        return await self.cspm_plans.plan(
            azure.poller.arm, connector.spec.azure.subscription_id, refresh=connector.is_reconcile_requested
        )

    def _pipelines(self, snapshot: ConnectorSnapshot, state: AzureState) -> Mapping[str, PipelinesObservation]:
        """Return what the checks in the background show of the onboarded organizations; nothing is read here."""
        connector = snapshot.connector
        if not state.is_settled:  # the organizations were not read, which does not mean that there are none
            return {}
        if connector.is_reconcile_requested:
            self.pipelines.retry(connector.metadata.uid)
        has_annotations = connector.spec.pull_request_annotations is not None
        with_override = {
            resource.spec.organization.lower()
            for resource in snapshot.organizations
            if resource.spec.pull_request_annotations is not None
        }
        agentless = None
        if state.configuration is not None:
            # A configuration without agentless scanning is one for which it was never enabled.
            agentless = state.configuration.agentless or AgentlessConfiguration(enabled=False)
        return self.pipelines.observe(
            connector, state.onboarded, agentless, state.onboarded.keys() if has_annotations else with_override
        )


def _read_options(
    base: ConnectorSnapshot, cache: ConnectorCache, probe_interval: timedelta, *, fresh: bool
) -> ReadOptions:
    """Return which parts of Azure have to be read again."""
    connector = base.connector
    is_requested = cache.is_stale or connector.is_reconcile_requested
    return ReadOptions(
        fresh=fresh or is_requested,
        # A new code may have changed the authorization, which only a probe shows.
        probe=is_requested or cache.code != base.code.sha256,
        readers=_needs_readers(connector),
        may_have_orphaned_role_assignments=lambda actual: _may_have_orphaned_role_assignments(base, actual),
        probe_interval=probe_interval,
        has_ownership_conflict=lambda actual: ownership_conflict(base, actual) is not None,
    )


def _needs_readers(connector: AzureDevOpsConnector) -> bool:
    """Whether the role assignments at the connector's scope are needed."""
    status = connector.status.azure
    return bool(connector.spec.security_readers or (status and status.security_readers))


def _is_invisible(state: AzureState | None, view: ConnectorView | None) -> bool:
    """Whether Resource Graph has no row for a part of the state, so that it would not show a change of that part."""
    if state is None or state.connector is None:
        return False
    if view is None or (state.configuration is not None and view.configuration is None):
        return True
    visible = {organization.name.lower() for organization in view.organizations}
    return any(
        organization.is_onboarded and organization.name.lower() not in visible for organization in state.organizations
    )


def _may_have_orphaned_role_assignments(base: ConnectorSnapshot, actual: Connector) -> bool:
    """Whether the operator may have stopped between creating a role assignment and writing it to the status.

    That is only possible for a spec whose status was not written since, and at a connector of ours, or at one that a
    resource which was deleted without the operator, and restored as this one, has left to it.
    """
    metadata, status = base.connector.metadata, base.connector.status
    if status.observed_generation == metadata.generation:
        return False
    return is_owned(base, actual) or not metadata.is_deleting
