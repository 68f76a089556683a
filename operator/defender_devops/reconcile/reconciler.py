"""observe → plan → act → report, for one connector and the organizations behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import structlog

from defender_devops.api.cloud import AutoDiscovery, Configuration, ProvisioningState
from defender_devops.api.connector import AzureDevOpsConnector, InvalidManifest, parse_connector
from defender_devops.api.names import FINALIZER
from defender_devops.api.organization import DevOpsOrganization
from defender_devops.cluster.connectors import Connectors
from defender_devops.cluster.events import Events
from defender_devops.cluster.organizations import Organizations
from defender_devops.errors import KubernetesConflict, KubernetesNotFound, OperatorError
from defender_devops.reconcile.actions.executor import Done, Executor, Workbench
from defender_devops.reconcile.cache.connector_cache import Memories, Memory
from defender_devops.reconcile.cache.resource_cache import Key, Resources
from defender_devops.reconcile.cache.unchanged import Rest
from defender_devops.reconcile.cache.write_through import OwnWrites
from defender_devops.reconcile.facts.snapshot import CloudState, ConnectorSnapshot, Failure
from defender_devops.reconcile.observe.gatherer import Gathered, Gatherer, ReadOrganizations
from defender_devops.reconcile.plan.diff import forget_fulfilled
from defender_devops.reconcile.plan.plan import Plan, plan
from defender_devops.reconcile.report.invalid_manifest import (
    conditions_of,
    leaves_azure_alone,
    refused_organization_status,
    refused_status,
)
from defender_devops.reconcile.report.merge_patch import merge_patch
from defender_devops.reconcile.report.organizations import orphaned, report_unread_organizations
from defender_devops.reconcile.report.report import Report, report
from defender_devops.reconcile.report.status_events import announcements
from defender_devops.telemetry.context import bind_resource
from defender_devops.workqueue.result import Outcome

__all__ = ["Reconciler"]

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Brings one connector a step nearer to its spec. One call at a time for each key: the queue sees to that."""

    resources: Resources
    written: OwnWrites
    memories: Memories
    gatherer: Gatherer
    executor: Executor
    connectors: Connectors
    organizations: Organizations
    events: Events
    clock: Callable[[], datetime]

    async def reconcile(self, key: Key) -> Outcome:
        """Look at a connector, act, and write its status; says when to look again. Raises nothing that has a name."""
        bind_resource("AzureDevOpsConnector", *key)
        body = self.resources.connector(key)
        try:
            before = self.memories.uid(key)
            if before is not None and (body is None or body["metadata"]["uid"] != before):
                self.memories.forget(key)
                await self.gatherer.forget(key, before)
            organizations = self.gatherer.organizations(key)
            await self._refuse_organizations(organizations)
            if body is not None:
                return await self._reconcile(key, body, organizations)
            await self._report_orphans(organizations)
            return Outcome()
        except KubernetesNotFound:
            return Outcome()  # it went while we looked at it; its last event cleans up
        except OperatorError as error:
            _log.warning("reconcile failed", reason=error.reason, message=error.message)
            return Outcome(next_look=error.retry_after, failed=True)

    async def _reconcile(self, key: Key, body: Mapping[str, Any], organizations: ReadOrganizations) -> Outcome:
        memory = self.memories.of(key, body["metadata"]["uid"])
        try:
            connector = parse_connector(body)
        except InvalidManifest as error:
            await self._refuse(key, body, error, organizations)
            return Outcome()
        gathered = await self._gather(key, connector, organizations.understood, memory)
        if memory.rest is not None and memory.rest.holds(gathered.snapshot, self.clock()):
            return self._rest(memory, memory.rest, gathered.snapshot)
        memory.rest = None
        decided = plan(gathered.snapshot, self.clock())
        if decided.writes_to_azure and not _is_fresh(gathered.snapshot):
            understood = self.gatherer.organizations(key).understood
            gathered = await self._gather(key, connector, understood, memory, fresh=True)
            decided = plan(gathered.snapshot, self.clock())
        done = await self._act(key, decided, gathered)
        self._remember(memory, connector, gathered, done)
        written = await self._report(key, done)
        if not decided.actions:
            memory.rest = Rest.of(done.snapshot, written.next_look)
        return self._outcome(done, written, memory.poll_after)

    async def _gather(
        self,
        key: Key,
        connector: AzureDevOpsConnector,
        organizations: tuple[DevOpsOrganization, ...],
        memory: Memory,
        *,
        fresh: bool = False,
    ) -> Gathered:
        """One snapshot, without the pending requests that Azure has fulfilled by now."""
        gathered = await self.gatherer.gather(key, connector, organizations, memory, fresh=fresh)
        return replace(gathered, snapshot=forget_fulfilled(gathered.snapshot))

    def _rest(self, memory: Memory, rest: Rest, snapshot: ConnectorSnapshot) -> Outcome:
        """Nothing has changed since a look that had nothing to do; new is only the moment at which Azure was asked."""
        if isinstance(snapshot.cloud, CloudState):
            # An equal copy does not take the place of what is kept: it would be garbage that has grown old.
            memory.cloud = replace(rest.cloud, probed_at=snapshot.cloud.probed_at)
        memory.failures = 0
        return Outcome(next_look=self.gatherer.next_look(snapshot, None, rest.until))

    async def _refuse(
        self, key: Key, body: Mapping[str, Any], error: InvalidManifest, organizations: ReadOrganizations
    ) -> None:
        """Say what cannot be read; let it go all the same where nothing in Azure depends on it."""
        status = refused_status(body, error, self.clock())
        conditions = conditions_of({"status": status})
        for resource, told in report_unread_organizations(organizations.understood, conditions, self.clock()):
            await self._write_organization(Key.named(resource.metadata), told.dump())
        await self._write_connector(key, status)
        metadata = body["metadata"]
        if metadata.get("deletionTimestamp") and FINALIZER in metadata["finalizers"] and leaves_azure_alone(body):
            await self.connectors.remove_finalizer(self.resources.connector(key) or body)

    async def _refuse_organizations(self, organizations: ReadOrganizations) -> None:
        for body, error in organizations.misread:
            status = refused_organization_status(body, error, self.clock())
            await self._write_organization(Key.of(body), status)

    async def _act(self, key: Key, decided: Plan, gathered: Gathered) -> Done:
        bench = Workbench(key, gathered.azure, gathered.code, lambda snapshot: self._record(key, snapshot))
        done = await self.executor.carry_out(decided.actions, gathered.snapshot, bench)
        if done.steps:
            _log.info("acted", steps=[step.describe() for step in done.steps])
        if done.failure is not None:
            _log.warning("step failed", reason=done.failure.reason, message=done.failure.message)
        return done

    async def _record(self, key: Key, snapshot: ConnectorSnapshot) -> None:
        """Write down that the code is spent: only over the version that the plan rested on."""
        live = self.resources.connector(key)
        if live is None or live["metadata"]["generation"] != snapshot.connector.metadata.generation:
            raise KubernetesConflict("The spec was changed before the one-time code was sent; it is planned again.")
        written = report(_on_its_way(_as_told(snapshot, live)), None, self.clock())
        await self._write_connector(key, written.status.dump(), version=live["metadata"]["resourceVersion"])

    def _remember(self, memory: Memory, connector: AzureDevOpsConnector, gathered: Gathered, done: Done) -> None:
        cloud = done.snapshot.cloud
        memory.generation = connector.metadata.generation
        memory.code = gathered.snapshot.code.sha256
        if isinstance(cloud, CloudState):
            # After a write nothing but the write itself is known for sure; the next look reads what it changed.
            memory.cloud = replace(cloud, fresh=False)
        memory.failures = memory.failures + 1 if _failure(done) else 0
        busy = isinstance(cloud, CloudState) and cloud.is_busy
        memory.poll_after = done.poll_after or (memory.poll_after if busy else None)

    async def _report(self, key: Key, done: Done) -> Report:
        """Write what is known; the connector last, so that whoever waits for it finds its organizations told of."""
        told = _as_told(done.snapshot, self.resources.connector(key))
        written = report(told, done.failure, self.clock())
        for resource, status in written.organizations:
            await self._write_organization(Key.named(resource.metadata), status.dump())
        if FINALIZER in done.snapshot.connector.metadata.finalizers or not _is_going(done.snapshot):
            await self._write_connector(key, written.status.dump())
        return written

    def _outcome(self, done: Done, written: Report, poll_after: float | None) -> Outcome:
        failure = _failure(done)
        if failure is not None:
            return Outcome(next_look=failure.retry_after, failed=True)
        if _is_going(done.snapshot) or done.snapshot.connector.spec.suspend:
            return Outcome()
        return Outcome(next_look=self.gatherer.next_look(done.snapshot, poll_after, written.next_look))

    async def _report_orphans(self, organizations: ReadOrganizations) -> None:
        for resource in organizations.understood:
            await self._write_organization(Key.named(resource.metadata), orphaned(resource, self.clock()).dump())

    async def _write_connector(self, key: Key, status: Mapping[str, Any], *, version: str | None = None) -> None:
        live = self.resources.connector(key)
        if live is None:
            return
        patch = merge_patch(live.get("status") or {}, status)
        if not patch:
            return
        body = await self.connectors.patch_status(key.namespace, key.name, patch, resource_version=version)
        self.written.connector(body)
        for each in announcements(conditions_of(live), conditions_of(body)):
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
            self.written.organization_gone(key)


def _failure(done: Done) -> Failure | None:
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
    if not isinstance(cloud, CloudState):
        return snapshot
    before = cloud.configuration or Configuration(ProvisioningState.PENDING, AutoDiscovery.DISABLED)
    exchanging = replace(before, provisioning_state=ProvisioningState.PENDING, status_message="")
    return replace(snapshot, cloud=replace(cloud, configuration=exchanging))


def _is_fresh(snapshot: ConnectorSnapshot) -> bool:
    return isinstance(snapshot.cloud, CloudState) and snapshot.cloud.fresh


def _is_going(snapshot: ConnectorSnapshot) -> bool:
    return snapshot.connector.metadata.is_deleting
