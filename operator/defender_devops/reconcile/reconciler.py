"""Reconciles one connector and its organizations: observe, plan, act, report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import structlog

from defender_devops.api.azure_types import AutoDiscovery, Configuration, ProvisioningState
from defender_devops.api.conditions import conditions_of_body
from defender_devops.api.connector import AzureDevOpsConnector, InvalidManifest, parse_connector
from defender_devops.api.names import FINALIZER
from defender_devops.api.reasons import Reason
from defender_devops.cluster.connectors import Connectors
from defender_devops.errors import KubernetesConflict, KubernetesNotFound, KubernetesUnavailable, OperatorError
from defender_devops.reconcile.actions.executor import ExecutionContext, ExecutionResult, Executor
from defender_devops.reconcile.actions.kubernetes import AddFinalizer
from defender_devops.reconcile.cache.connector_cache import ConnectorCache, ConnectorCaches
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.cache.unchanged import ReconcileInputs
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.deletion_mode import needs_no_azure_cleanup
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.facts.isolation import OrganizationFailure, isolate
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot
from defender_devops.reconcile.observe.gatherer import Gatherer, Observation, ParsedOrganizations
from defender_devops.reconcile.observe.operator_claims import RECHECK_SECONDS, OperatorClaims
from defender_devops.reconcile.observe.recall import is_settled
from defender_devops.reconcile.plan.diff import drop_fulfilled_requests, next_request_at
from defender_devops.reconcile.plan.plan import Plan, plan
from defender_devops.reconcile.report.deletion import remaining_owner_tags
from defender_devops.reconcile.report.invalid_manifest import (
    failed_status,
    internal_error_status,
    invalid_connector_status,
    invalid_organization_status,
)
from defender_devops.reconcile.report.organization_resources import (
    report_missing_connector,
    report_unobserved_organizations,
)
from defender_devops.reconcile.report.posture import OrganizationFindings
from defender_devops.reconcile.report.report import Report, is_confirmed, report
from defender_devops.reconcile.status_writer import StatusWriter
from defender_devops.supervision import OnFailure, contain_exceptions
from defender_devops.telemetry.context import bind_resource
from defender_devops.workqueue.result import Result

__all__ = ["Reconciler"]

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Brings one connector closer to its spec. The queue never runs two reconciles of one connector at once."""

    resources: ResourceCache
    connector_caches: ConnectorCaches
    gatherer: Gatherer
    claims: OperatorClaims
    executor: Executor
    connectors: Connectors
    status_writer: StatusWriter
    clock: Callable[[], datetime]
    on_failure: OnFailure = lambda _component: None
    on_findings: Callable[[Key, tuple[OrganizationFindings, ...]], None] = lambda _key, _findings: None

    async def reconcile(self, key: Key) -> Result:
        """Reconcile a connector and return when to do so again.

        Every OperatorError becomes a failed result. Any other exception is raised again for the queue, which logs and
        counts it, after it was reported as InternalError in the status.
        """
        bind_resource("AzureDevOpsConnector", *key)
        body = self.resources.connector(key)
        try:
            if await self._is_managed_elsewhere(key, body):
                return Result(RECHECK_SECONDS, reason="another installation of the operator manages the connector")
            organizations = self.gatherer.organizations(key)
            for invalid_body, error in organizations.invalid:
                status = invalid_organization_status(invalid_body, error, self.clock())
                await self.status_writer.write_organization(Key.from_body(invalid_body), status)
            for failed_body, exception in organizations.failed:
                await self._report_failed_organization(Key.from_body(failed_body), exception)
            if body is not None:
                result = await self._reconcile_connector(key, body, organizations)
                return replace(result, failed=True) if organizations.failed else result
            for organization in organizations.valid:
                missing = report_missing_connector(organization, self.clock())
                await self.status_writer.write_organization(Key.from_metadata(organization.metadata), missing.dump())
            return Result()
        except KubernetesNotFound:
            return Result()  # the connector was deleted meanwhile; the event of its deletion cleans up
        except OperatorError as error:
            _log.warning("reconcile failed", reason=error.reason, message=error.message)
            if error.terminal:
                await self._write_failure(key, lambda body: failed_status(body, error, self.clock()))
            return Result(error.retry_after, failed=True, is_terminal=error.terminal, reason=error.reason)
        except Exception as error:
            await self._report_internal_error(key, error)
            raise

    async def _is_managed_elsewhere(self, key: Key, body: Mapping[str, Any] | None) -> bool:
        """Whether another installation has claimed the connector; one without a claim is claimed.

        What is kept of a connector is dropped if it was deleted, replaced by another of its name, or claimed elsewhere.
        """
        is_own = body is not None and await self.claims.manages(key, body)
        cache = self.connector_caches.get(key)
        if cache is not None and (body is None or not is_own or body["metadata"]["uid"] != cache.uid):
            self.connector_caches.remove(key)
            await self.gatherer.release_connector(key, cache.uid)
        if body is None:
            self.claims.forget(key)
        return body is not None and not is_own

    async def _reconcile_connector(
        self, key: Key, body: Mapping[str, Any], organizations: ParsedOrganizations
    ) -> Result:
        try:
            connector = parse_connector(body)
        except InvalidManifest as error:
            await self._report_invalid(key, body, error, organizations)
            return Result()

        cache = self.connector_caches.get_or_create(key, connector.metadata.uid, connector.connector_ref)
        wait = await self.gatherer.await_first_poll(connector, cache)
        if wait is not None:
            return wait
        observation = await self._observe(key, connector, organizations, cache)
        if cache.last_inputs is not None and cache.last_inputs.is_unchanged(observation.snapshot, self.clock()):
            return self._skip(cache, cache.last_inputs, observation.snapshot)
        cache.last_inputs = None

        observation, connector_plan = self._plan(observation)
        if self._needs_fresh_read(observation, connector_plan):
            # With the newest organizations, since reading takes time.
            observation = await self._observe(key, connector, self.gatherer.organizations(key), cache, fresh=True)
            observation, connector_plan = self._plan(observation)
        if connector_plan.writes_to_azure and not await self._confirm_cached_version(key, connector, cache):
            return Result(0.0, reason="the cache had an older version of the resource")
        if connector_plan.actions:
            _log.debug("planned", actions=[action.describe() for action in connector_plan.actions])

        context = ExecutionContext(
            key, observation.azure, observation.code, lambda snapshot: self._persist_code_hash(key, snapshot)
        )
        execution = await self.executor.execute(connector_plan.actions, observation.snapshot, context)
        self._update_cache(cache, observation, execution)

        if connector.metadata.is_deleting:
            remaining_tags = remaining_owner_tags(Assessment(observation.snapshot), execution.actions)
            if remaining_tags is not None:
                _log.warning("owner tags remain in Azure", message=remaining_tags)
                self.status_writer.events.emit(body, "Warning", Reason.DELETING, remaining_tags)
        status_report = await self._report(key, execution, observation.failed)
        if not connector_plan.actions and not status_report.errors:
            cache.last_inputs = ReconcileInputs.of(execution.snapshot, status_report.reevaluate_at)
        return self._result(execution, status_report, cache.poll_after)

    async def _observe(
        self,
        key: Key,
        connector: AzureDevOpsConnector,
        organizations: ParsedOrganizations,
        cache: ConnectorCache,
        *,
        fresh: bool = False,
    ) -> Observation:
        """Return one snapshot, without the pending requests that Azure has fulfilled by now."""
        try:
            observation = await self.gatherer.gather(key, connector, organizations.valid, cache, fresh=fresh)
        except KubernetesUnavailable as error:
            if connector.status.observed_generation < 0:
                # Who waits for a new connector learns what it waits for. One with a status keeps it for an outage.
                failure = error
                await self._write_failure(key, lambda body: failed_status(body, failure, self.clock()))
            raise
        state = observation.snapshot.cloud
        if state.read_failure is not None:
            _log.debug("observed", reason=state.read_failure.reason, message=state.read_failure.message)
        else:
            _log.debug("observed", fresh=state.fresh, probed_at=state.probed_at, in_progress=state.is_busy)
        isolated = isolate(observation.snapshot, lambda part: drop_fulfilled_requests(part, self.clock()))
        return replace(observation, snapshot=isolated.result, failed=(*observation.failed, *isolated.failed))

    def _plan(self, observation: Observation) -> tuple[Observation, Plan]:
        """Return the plan, and the observation without organizations with which there is none.

        While the decision of one organization is unknown nothing is changed for the connector: it may exclude what the
        connector would onboard.
        """
        isolated = isolate(observation.snapshot, lambda snapshot: plan(Assessment(snapshot), self.clock()))
        failed, connector_plan = (*observation.failed, *isolated.failed), isolated.result
        if failed and not isolated.snapshot.connector.metadata.is_deleting:
            actions = (action for action in connector_plan.actions if isinstance(action, AddFinalizer))
            connector_plan = Plan(tuple(actions))
        return replace(observation, snapshot=isolated.snapshot, failed=failed), connector_plan

    def _needs_fresh_read(self, observation: Observation, connector_plan: Plan) -> bool:
        """Whether Azure has to be read again before anything is done or reported.

        No write to Azure rests on cached state, and no report on recalled state that the statuses do not agree with.
        """
        snapshot = observation.snapshot
        if connector_plan.writes_to_azure:
            return not snapshot.cloud.fresh
        if not snapshot.cloud.is_recalled:
            return False
        if connector_plan.actions or observation.failed or not is_settled(snapshot.connector):
            return True
        isolated = isolate(snapshot, lambda part: report(Assessment(part), None, self.clock()))
        return bool(isolated.failed) or not is_confirmed(Assessment(snapshot), isolated.result)

    async def _confirm_cached_version(self, key: Key, connector: AzureDevOpsConnector, cache: ConnectorCache) -> bool:
        """Return whether the cache holds the newest version of a connector; else that one is stored.

        An API server that lags behind answers the list of a start with what was there before. Writes that follow from
        it would undo newer ones, and no status would record them. One request before the first write to Azure shows it;
        the finalizer, which is added first, cannot be added to an older version.
        """
        if cache.is_confirmed or FINALIZER not in connector.metadata.finalizers:
            return True
        live = await self.connectors.get(*key)
        cache.is_confirmed = True
        if int(live["metadata"]["resourceVersion"]) <= (self.resources.connector_version(key) or 0):
            return True
        _log.info("the resource has changed since it was listed")
        self.resources.upsert_connector(live)
        return False

    def _skip(self, cache: ConnectorCache, last_inputs: ReconcileInputs, snapshot: ConnectorSnapshot) -> Result:
        """End a reconcile whose inputs equal those of the last one, which had nothing to do."""
        _log.debug("unchanged, nothing to plan")
        if snapshot.cloud.is_known:
            # The old state is kept, with the time of the new probe: an equal copy would only be garbage later.
            cache.azure_state = replace(last_inputs.cloud, probed_at=snapshot.cloud.probed_at)
        cache.failures = 0
        return self.gatherer.requeue(snapshot, None, last_inputs.valid_until)

    async def _report_invalid(
        self, key: Key, body: Mapping[str, Any], error: InvalidManifest, organizations: ParsedOrganizations
    ) -> None:
        """Report a spec that cannot be parsed; a deleted resource is released if nothing in Azure depends on it."""
        status = invalid_connector_status(body, error, self.clock())
        conditions = conditions_of_body({"status": status})
        reports = report_unobserved_organizations(organizations.valid, conditions, self.clock())
        for organization, organization_status in reports:
            organization_key = Key.from_metadata(organization.metadata)
            await self.status_writer.write_organization(organization_key, organization_status.dump())
        await self.status_writer.write_connector(key, status)
        metadata = body["metadata"]
        if metadata.get("deletionTimestamp") and FINALIZER in metadata["finalizers"] and needs_no_azure_cleanup(body):
            await self.connectors.remove_finalizer(self.resources.connector(key) or body)

    async def _persist_code_hash(self, key: Key, snapshot: ConnectorSnapshot) -> None:
        """Write to the status that the one-time code is used, only over the version that the plan rests on."""
        live = self.resources.connector(key)
        if live is None or live["metadata"]["generation"] != snapshot.connector.metadata.generation:
            raise KubernetesConflict("The spec was changed before the one-time code was sent; it is planned again.")
        if snapshot.cloud.is_known:
            # Report the exchange as begun, so that nobody is asked for another code while it is under way.
            configuration = snapshot.cloud.configuration or Configuration(
                ProvisioningState.PENDING, AutoDiscovery.DISABLED
            )
            pending = replace(configuration, provisioning_state=ProvisioningState.PENDING, status_message="")
            snapshot = replace(snapshot, cloud=replace(snapshot.cloud, configuration=pending))
        status_report = report(Assessment(_with_live_conditions(snapshot, live)), None, self.clock())
        version, authorization = live["metadata"]["resourceVersion"], snapshot.connector.status.authorization
        await self.status_writer.write_connector(key, status_report.status.dump(), version=version)
        if authorization is not None and authorization.code_hash is not None:
            self.gatherer.codes.record_sent(snapshot.connector.metadata.uid, authorization.code_hash)

    def _update_cache(self, cache: ConnectorCache, observation: Observation, execution: ExecutionResult) -> None:
        state = execution.snapshot.cloud
        cache.code = observation.snapshot.code.sha256
        # The API server adds the finalizer to the newest version only.
        cache.is_confirmed |= any(isinstance(action, AddFinalizer) for action in execution.actions)
        is_busy = False
        if state.is_known:
            # After a write only the write itself is certain; the next reconcile reads what else it has changed.
            cache.azure_state = replace(state, fresh=False)
            is_busy = state.is_busy
        cache.failures = cache.failures + 1 if _failure_of(execution) else 0
        cache.poll_after = execution.poll_after or (cache.poll_after if is_busy else None)

    async def _report(self, key: Key, execution: ExecutionResult, failed: tuple[OrganizationFailure, ...]) -> Report:
        """Write all statuses, the connector's last: whoever waits for it then finds its organizations up to date."""
        live = self.resources.connector(key)
        isolated = isolate(
            _with_live_conditions(execution.snapshot, live),
            lambda snapshot: report(Assessment(snapshot), execution.failure, self.clock()),
        )
        status_report = isolated.result
        errors = [*failed, *isolated.failed, *status_report.errors]
        for organization, status in status_report.organizations:
            organization_key = Key.from_metadata(organization.metadata)
            version = self.resources.organization_version(organization_key)
            is_unchanged = organization.metadata.resource_version == str(version)
            if is_unchanged and status == organization.status:
                continue  # nearly always: a reconcile concerns one organization, if any
            try:
                await self.status_writer.write_organization(organization_key, status.dump())
            except OperatorError:
                raise
            except Exception as error:  # noqa: BLE001 - one organization must not hold up the others
                errors.append((organization, error))
        for organization, exception in errors:
            await self._report_failed_organization(Key.from_metadata(organization.metadata), exception)
        if status_report.findings is not None:
            self.on_findings(key, status_report.findings)
        metadata = execution.snapshot.connector.metadata
        if FINALIZER in metadata.finalizers or not metadata.is_deleting:
            await self.status_writer.write_connector(key, status_report.status.dump())
        _log.debug(
            "reported", organizations=len(status_report.organizations), reevaluate_at=status_report.reevaluate_at
        )
        return replace(status_report, errors=tuple(errors))

    async def _report_failed_organization(self, key: Key, error: Exception) -> None:
        """Report InternalError in the status of one organization, whose processing raised an unexpected exception."""
        _log.error("unexpected error", component="organization", organization=key.name, exc_info=error)
        self.on_failure("organization")
        with contain_exceptions("organization", self.on_failure), contextlib.suppress(OperatorError):
            body = self.resources.organization(key)
            if body is not None:
                await self.status_writer.write_organization(key, internal_error_status(body, error, self.clock()))

    async def _report_internal_error(self, key: Key, error: Exception) -> None:
        """Report InternalError in the status of the connector, and drop what its reconcile may have left half done."""
        cache = self.connector_caches.get(key)
        if cache is not None:
            cache.last_inputs, cache.is_stale = None, True
        await self._write_failure(key, lambda body: internal_error_status(body, error, self.clock()))

    async def _write_failure(self, key: Key, status_of: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
        """Write a status that says why a reconcile ended early, if the connector exists and its status can be written.

        Args:
            key: the connector.
            status_of: returns the status by its body.
        """
        with contain_exceptions("status", self.on_failure), contextlib.suppress(OperatorError):
            body = self.resources.connector(key)
            if body is not None:
                await self.status_writer.write_connector(key, status_of(body))

    def _result(self, execution: ExecutionResult, status_report: Report, poll_after: float | None) -> Result:
        failure = _failure_of(execution)
        if status_report.errors:
            return Result(failed=True, reason=Reason.INTERNAL_ERROR)
        if failure is not None:
            return Result(failure.retry_after, failed=True, is_terminal=failure.terminal, reason=failure.reason)
        connector = execution.snapshot.connector
        is_deleted = connector.metadata.is_deleting and FINALIZER not in connector.metadata.finalizers
        if is_deleted or connector.spec.suspend:
            return Result()
        times = [status_report.reevaluate_at]
        if execution.snapshot.cloud.pending_requests:
            times.append(next_request_at(Assessment(execution.snapshot), self.clock()))
        deadline = min((time for time in times if time is not None), default=None)
        return self.gatherer.requeue(execution.snapshot, poll_after, deadline)


def _failure_of(execution: ExecutionResult) -> Failure | None:
    """Return the failure of an action or of the reads before."""
    if execution.failure is not None:
        return execution.failure
    return execution.snapshot.cloud.read_failure


def _with_live_conditions(snapshot: ConnectorSnapshot, live: Mapping[str, Any] | None) -> ConnectorSnapshot:
    """Return the snapshot with the conditions that the resource has now, so that transition times continue."""
    connector = snapshot.connector
    if live is None or live["metadata"]["resourceVersion"] == connector.metadata.resource_version:
        return snapshot
    status = connector.status.model_copy(update={"conditions": conditions_of_body(live)})
    return replace(snapshot, connector=connector.model_copy(update={"status": status}))
