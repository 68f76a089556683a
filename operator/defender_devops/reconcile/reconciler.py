"""observe → plan → act → report, for one connector and the organizations behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import structlog

from defender_devops.api.azure_types import AutoDiscovery, Configuration, ProvisioningState
from defender_devops.api.connector import AzureDevOpsConnector, InvalidManifest, parse_connector
from defender_devops.api.names import FINALIZER
from defender_devops.api.organization import DevOpsOrganization
from defender_devops.cluster.connectors import Connectors
from defender_devops.cluster.events import Events
from defender_devops.cluster.organizations import Organizations
from defender_devops.errors import KubernetesConflict, KubernetesNotFound, OperatorError
from defender_devops.reconcile.actions.executor import ExecutionContext, ExecutionResult, Executor
from defender_devops.reconcile.cache.connector_cache import ConnectorCache, ConnectorCaches
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.cache.unchanged import ReconcileInputs
from defender_devops.reconcile.cache.write_through import WriteThrough
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot, Failure
from defender_devops.reconcile.observe.gatherer import Gatherer, Observation, ParsedOrganizations
from defender_devops.reconcile.plan.diff import drop_fulfilled_requests
from defender_devops.reconcile.plan.plan import Plan, plan
from defender_devops.reconcile.report.invalid_manifest import (
    conditions_of,
    invalid_connector_status,
    invalid_organization_status,
    needs_no_azure_cleanup,
)
from defender_devops.reconcile.report.merge_patch import merge_patch
from defender_devops.reconcile.report.organizations import report_missing_connector, report_unobserved_organizations
from defender_devops.reconcile.report.report import Report, report
from defender_devops.reconcile.report.status_events import status_events
from defender_devops.telemetry.context import bind_resource
from defender_devops.workqueue.result import Result

__all__ = ["Reconciler"]

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Brings one connector a step nearer to its spec. One call at a time for each key: the queue sees to that."""

    resources: ResourceCache
    written: WriteThrough
    connector_caches: ConnectorCaches
    gatherer: Gatherer
    executor: Executor
    connectors: Connectors
    organizations: Organizations
    events: Events
    clock: Callable[[], datetime]

    async def reconcile(self, key: Key) -> Result:
        """Look at a connector, act, and write its status; says when to look again. Raises nothing that has a name."""
        bind_resource("AzureDevOpsConnector", *key)
        body = self.resources.connector(key)
        try:
            before = self.connector_caches.uid(key)
            if before is not None and (body is None or body["metadata"]["uid"] != before):
                self.connector_caches.forget(key)
                await self.gatherer.forget(key, before)
            organizations = self.gatherer.organizations(key)
            await self._refuse_organizations(organizations)
            if body is not None:
                return await self._reconcile(key, body, organizations)
            await self._report_orphans(organizations)
            return Result()
        except KubernetesNotFound:
            return Result()  # it went while we looked at it; its last event cleans up
        except OperatorError as error:
            _log.warning("reconcile failed", reason=error.reason, message=error.message)
            return Result(requeue_after=error.retry_after, failed=True)

    async def _reconcile(self, key: Key, body: Mapping[str, Any], organizations: ParsedOrganizations) -> Result:
        cache = self.connector_caches.of(key, body["metadata"]["uid"])
        try:
            connector = parse_connector(body)
        except InvalidManifest as error:
            await self._refuse(key, body, error, organizations)
            return Result()
        observation = await self._gather(key, connector, organizations.valid, cache)
        if cache.last_inputs is not None and cache.last_inputs.is_unchanged(observation.snapshot, self.clock()):
            return self._rest(cache, cache.last_inputs, observation.snapshot)
        cache.last_inputs = None
        decided = plan(observation.snapshot, self.clock())
        if decided.writes_to_azure and not _is_fresh(observation.snapshot):
            valid = self.gatherer.organizations(key).valid
            observation = await self._gather(key, connector, valid, cache, fresh=True)
            decided = plan(observation.snapshot, self.clock())
        done = await self._act(key, decided, observation)
        self._remember(cache, connector, observation, done)
        written = await self._report(key, done)
        if not decided.actions:
            cache.last_inputs = ReconcileInputs.of(done.snapshot, written.reevaluate_at)
        return self._outcome(done, written, cache.poll_after)

    async def _gather(
        self,
        key: Key,
        connector: AzureDevOpsConnector,
        organizations: tuple[DevOpsOrganization, ...],
        cache: ConnectorCache,
        *,
        fresh: bool = False,
    ) -> Observation:
        """One snapshot, without the pending requests that Azure has fulfilled by now."""
        observation = await self.gatherer.gather(key, connector, organizations, cache, fresh=fresh)
        return replace(observation, snapshot=drop_fulfilled_requests(observation.snapshot))

    def _rest(self, cache: ConnectorCache, last_inputs: ReconcileInputs, snapshot: ConnectorSnapshot) -> Result:
        """Nothing has changed since a look that had nothing to do; new is only the moment at which Azure was asked."""
        if isinstance(snapshot.cloud, AzureState):
            # An equal copy does not take the place of what is kept: it would be garbage that has grown old.
            cache.cloud = replace(last_inputs.cloud, probed_at=snapshot.cloud.probed_at)
        cache.failures = 0
        return Result(requeue_after=self.gatherer.requeue_after(snapshot, None, last_inputs.valid_until))

    async def _refuse(
        self, key: Key, body: Mapping[str, Any], error: InvalidManifest, organizations: ParsedOrganizations
    ) -> None:
        """Say what cannot be read; let it go all the same where nothing in Azure depends on it."""
        status = invalid_connector_status(body, error, self.clock())
        conditions = conditions_of({"status": status})
        for resource, told in report_unobserved_organizations(organizations.valid, conditions, self.clock()):
            await self._write_organization(Key.from_metadata(resource.metadata), told.dump())
        await self._write_connector(key, status)
        metadata = body["metadata"]
        if metadata.get("deletionTimestamp") and FINALIZER in metadata["finalizers"] and needs_no_azure_cleanup(body):
            await self.connectors.remove_finalizer(self.resources.connector(key) or body)

    async def _refuse_organizations(self, organizations: ParsedOrganizations) -> None:
        for body, error in organizations.invalid:
            status = invalid_organization_status(body, error, self.clock())
            await self._write_organization(Key.from_body(body), status)

    async def _act(self, key: Key, decided: Plan, observation: Observation) -> ExecutionResult:
        context = ExecutionContext(
            key, observation.azure, observation.code, lambda snapshot: self._persist_code_hash(key, snapshot)
        )
        done = await self.executor.execute(decided.actions, observation.snapshot, context)
        if done.steps:
            _log.info("acted", steps=[step.describe() for step in done.steps])
        if done.failure is not None:
            _log.warning("step failed", reason=done.failure.reason, message=done.failure.message)
        return done

    async def _persist_code_hash(self, key: Key, snapshot: ConnectorSnapshot) -> None:
        """Write down that the code is spent: only over the version that the plan rested on."""
        live = self.resources.connector(key)
        if live is None or live["metadata"]["generation"] != snapshot.connector.metadata.generation:
            raise KubernetesConflict("The spec was changed before the one-time code was sent; it is planned again.")
        written = report(_on_its_way(_as_told(snapshot, live)), None, self.clock())
        await self._write_connector(key, written.status.dump(), version=live["metadata"]["resourceVersion"])

    def _remember(
        self, cache: ConnectorCache, connector: AzureDevOpsConnector, observation: Observation, done: ExecutionResult
    ) -> None:
        cloud = done.snapshot.cloud
        cache.generation = connector.metadata.generation
        cache.code = observation.snapshot.code.sha256
        if isinstance(cloud, AzureState):
            # After a write nothing but the write itself is known for sure; the next look reads what it changed.
            cache.cloud = replace(cloud, fresh=False)
        cache.failures = cache.failures + 1 if _failure(done) else 0
        busy = isinstance(cloud, AzureState) and cloud.is_busy
        cache.poll_after = done.poll_after or (cache.poll_after if busy else None)

    async def _report(self, key: Key, done: ExecutionResult) -> Report:
        """Write what is known; the connector last, so that whoever waits for it finds its organizations told of."""
        told = _as_told(done.snapshot, self.resources.connector(key))
        written = report(told, done.failure, self.clock())
        for resource, status in written.organizations:
            await self._write_organization(Key.from_metadata(resource.metadata), status.dump())
        if FINALIZER in done.snapshot.connector.metadata.finalizers or not _is_going(done.snapshot):
            await self._write_connector(key, written.status.dump())
        return written

    def _outcome(self, done: ExecutionResult, written: Report, poll_after: float | None) -> Result:
        failure = _failure(done)
        if failure is not None:
            return Result(requeue_after=failure.retry_after, failed=True)
        if _is_going(done.snapshot) or done.snapshot.connector.spec.suspend:
            return Result()
        return Result(requeue_after=self.gatherer.requeue_after(done.snapshot, poll_after, written.reevaluate_at))

    async def _report_orphans(self, organizations: ParsedOrganizations) -> None:
        for resource in organizations.valid:
            await self._write_organization(
                Key.from_metadata(resource.metadata), report_missing_connector(resource, self.clock()).dump()
            )

    async def _write_connector(self, key: Key, status: Mapping[str, Any], *, version: str | None = None) -> None:
        live = self.resources.connector(key)
        if live is None:
            return
        patch = merge_patch(live.get("status") or {}, status)
        if not patch:
            return
        body = await self.connectors.patch_status(key.namespace, key.name, patch, resource_version=version)
        self.written.connector(body)
        for each in status_events(conditions_of(live), conditions_of(body)):
            self.events.emit(body, each.type, each.reason, each.message)

    async def _write_organization(self, key: Key, status: Mapping[str, Any]) -> None:
        live = self.resources.organization(key)
        if live is None:
            return
        patch = merge_patch(live.get("status") or {}, status)
        if not patch:
            return
        try:
            self.written.organization(await self.organizations.patch_status(*key, patch))
        except KubernetesNotFound:
            self.written.organization_deleted(key)


def _failure(done: ExecutionResult) -> Failure | None:
    if done.failure is not None:
        return done.failure
    return done.snapshot.cloud if isinstance(done.snapshot.cloud, Failure) else None


def _as_told(snapshot: ConnectorSnapshot, live: Mapping[str, Any] | None) -> ConnectorSnapshot:
    """The snapshot with the conditions that stand in the resource by now: since when they hold goes on from there."""
    if live is None:
        return snapshot
    connector = snapshot.connector
    status = connector.status.model_copy(update={"conditions": conditions_of(live)})
    return replace(snapshot, connector=connector.model_copy(update={"status": status}))


def _on_its_way(snapshot: ConnectorSnapshot) -> ConnectorSnapshot:
    """The snapshot with the code being redeemed: while it is on its way, nobody shall be asked for another one."""
    cloud = snapshot.cloud
    if not isinstance(cloud, AzureState):
        return snapshot
    before = cloud.configuration or Configuration(ProvisioningState.PENDING, AutoDiscovery.DISABLED)
    exchanging = replace(before, provisioning_state=ProvisioningState.PENDING, status_message="")
    return replace(snapshot, cloud=replace(cloud, configuration=exchanging))


def _is_fresh(snapshot: ConnectorSnapshot) -> bool:
    return isinstance(snapshot.cloud, AzureState) and snapshot.cloud.fresh


def _is_going(snapshot: ConnectorSnapshot) -> bool:
    return snapshot.connector.metadata.is_deleting
