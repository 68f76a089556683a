"""Executes the actions of a plan in their order; a failure ends it, but for steps that do not depend on what failed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from pydantic import SecretStr

from defender_devops.api.azure_types import AutoDiscovery
from defender_devops.api.organization import DevOpsOrganization
from defender_devops.azure.arm.long_running_operations import Operation
from defender_devops.cluster.connectors import Connectors
from defender_devops.cluster.organizations import Organizations
from defender_devops.errors import CredentialsMissing, KubernetesConflict, KubernetesNotFound, OperatorError
from defender_devops.hashes import sha256_hex
from defender_devops.reconcile.actions.action import Action, AzureAction
from defender_devops.reconcile.actions.azure import (
    AssignReader,
    Authorize,
    CreateConnector,
    DeleteConnector,
    RemoveReader,
    SetAnnotations,
    SetTags,
    UpdateConfiguration,
)
from defender_devops.reconcile.actions.kubernetes import (
    AddFinalizer,
    CreateOrganization,
    DeleteOrganization,
    RecordCodeHash,
    RecordManagedTags,
    ReleaseOrganization,
    RemoveFinalizer,
    RestoreOrganization,
)
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.cache.write_through import WriteThrough
from defender_devops.reconcile.facts.failure import Failure, failure_of_error
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot
from defender_devops.reconcile.observe.azure_access import AzureAccess

__all__ = ["ExecutionContext", "ExecutionResult", "Executor"]

_log: Final = structlog.get_logger(__name__)

_BEST_EFFORT_TIMEOUT: Final = 10.0
"""Seconds that an action may take on which nothing depends."""

PersistCodeHash = Callable[[ConnectorSnapshot], Awaitable[None]]
"""Writes the status of a snapshot in which the code counts as used, before the code is sent."""


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """What the actions of one connector need.

    Attributes:
        key: of the resource.
        azure: None if there is no ARM identity; the plan then has no actions for Azure.
        code: Defender's one-time code.
        persist_code_hash: writes to the status that the code is used.
    """

    key: Key
    azure: AzureAccess | None
    code: SecretStr | None
    persist_code_hash: PersistCodeHash


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """The result of a plan.

    Attributes:
        snapshot: with the effect of every action that succeeded.
        actions: the actions that succeeded.
        failure: of the first action that failed.
        poll_after: seconds that Azure asked to wait before the operation that was started is read.
    """

    snapshot: ConnectorSnapshot
    actions: tuple[Action, ...] = ()
    failure: Failure | None = None
    poll_after: float | None = None


class Executor:
    """Executes each kind of action."""

    def __init__(
        self,
        resources: ResourceCache,
        write_through: WriteThrough,
        connectors: Connectors,
        organizations: Organizations,
        clock: Callable[[], datetime],
    ) -> None:
        self._resources = resources
        self._write_through = write_through
        self._connectors = connectors
        self._organizations = organizations
        self._clock = clock
        self._codes_in_flight: set[str] = set()

    async def execute(
        self, actions: Sequence[Action], snapshot: ConnectorSnapshot, context: ExecutionContext
    ) -> ExecutionResult:
        """Execute the actions in their order and apply the effect of each to the snapshot.

        A write that Azure rejects for good, such as a reader of the wrong type, must not keep the organizations of the
        connector from having their resources.
        """
        applied: list[Action] = []
        failure: Failure | None = None
        poll_after: float | None = None
        for action in actions:
            if failure is not None and not action.is_independent:
                continue
            _log.debug("action started", action=action.describe())
            try:
                async with asyncio.timeout(_BEST_EFFORT_TIMEOUT if action.is_best_effort else None):
                    if isinstance(action, AzureAction):
                        operation = await self._execute_in_azure(action, snapshot, context)
                    else:
                        operation = None
                        await self._execute_in_kubernetes(action, snapshot, context)
            except (OperatorError, TimeoutError) as error:
                message = error.message if isinstance(error, OperatorError) else "Azure did not answer in time."
                if isinstance(error, OperatorError) and not action.is_best_effort:
                    latest = failure_of_error(error)
                    _log.warning("action failed", action=action.describe(), reason=latest.reason, message=message)
                    failure = failure or latest
                    if isinstance(action, AzureAction):
                        continue
                    break
                _log.warning("best-effort action skipped", action=action.describe(), message=message)
                continue
            snapshot = action.effect(snapshot, self._clock())
            applied.append(action)
            if operation is not None:
                poll_after = max(poll_after or 0.0, operation.poll_after)
        if applied:
            _log.info("applied changes", actions=[action.describe() for action in applied])
        return ExecutionResult(snapshot, tuple(applied), failure, poll_after)

    async def _execute_in_azure(
        self, action: AzureAction, snapshot: ConnectorSnapshot, context: ExecutionContext
    ) -> Operation | None:
        azure, ref = context.azure, snapshot.connector.connector_ref
        if azure is None:
            raise CredentialsMissing("There is no identity for Azure Resource Manager.")
        azure.record_write(ref)
        try:
            match action:
                case Authorize():
                    # Its hash is in the status by now: whatever is interrupted here, the code is never sent twice.
                    return await azure.connectors.create_configuration(
                        ref,
                        code=context.code,
                        auto_discovery=action.auto_discovery or AutoDiscovery.DISABLED,
                        inventory=action.organizations,
                        agentless=action.agentless,
                    )
                case UpdateConfiguration():
                    return await azure.connectors.update_configuration(
                        ref,
                        auto_discovery=action.auto_discovery,
                        inventory=action.organizations,
                        agentless=action.agentless,
                    )
                case SetAnnotations():
                    return await azure.connectors.set_annotations(ref, action.organization, action.annotations)
                case CreateConnector():
                    self._require_current_spec(context.key, snapshot)
                    await azure.connectors.create(
                        ref,
                        location=action.location,
                        tags=action.tags,
                        hierarchy_identifier=action.hierarchy_identifier,
                    )
                case SetTags():
                    await azure.connectors.set_tags(ref, action.tags)
                case AssignReader():
                    await azure.role_assignments.create(ref, action.name, action.principal_id, action.principal_type)
                case RemoveReader():
                    await azure.role_assignments.delete(ref, action.name)
                case DeleteConnector():
                    await azure.connectors.delete(ref)
                case _:
                    raise TypeError(f"no way to execute {type(action).__name__}")
            return None
        finally:
            # Also if the write failed: it may have had its effect all the same.
            azure.record_write(ref)

    def _require_current_spec(self, key: Key, snapshot: ConnectorSnapshot) -> None:
        """Raise KubernetesConflict if spec.azure may have been corrected since it was planned to create a connector."""
        live = self._resources.connector(key)
        if live is not None and live["metadata"]["generation"] != snapshot.connector.metadata.generation:
            raise KubernetesConflict("The spec was changed before the connector was created; it is planned again.")

    async def _execute_in_kubernetes(
        self, action: Action, snapshot: ConnectorSnapshot, context: ExecutionContext
    ) -> None:
        key, connector = context.key, snapshot.connector
        match action:
            case RecordCodeHash():
                await self._record_code_hash(action, snapshot, context)
            case RecordManagedTags():
                azure = action.effect(snapshot, self._clock()).connector.status.azure
                patch = {"azure": {"managedTagKeys": list(azure.managed_tag_keys if azure else ())}}
                self._write_through.connector(await self._connectors.patch_status(key.namespace, key.name, patch))
            case AddFinalizer():
                self._write_through.connector(await self._connectors.add_finalizer(self._live_body(key)))
            case RemoveFinalizer():
                with contextlib.suppress(KubernetesNotFound):
                    await self._connectors.remove_finalizer(self._live_body(key))
            case CreateOrganization():
                body = await self._organizations.create(key.namespace, action.name, connector, action.organization)
                self._write_through.organization(body)
            case DeleteOrganization():
                metadata = action.resource.metadata
                with self._noting_deletion(action.resource):
                    await self._organizations.delete(
                        key.namespace, metadata.name, metadata.uid, metadata.resource_version
                    )
            case ReleaseOrganization():
                with self._noting_deletion(action.resource):
                    self._write_through.organization(await self._organizations.release(action.resource))
            case RestoreOrganization():
                with self._noting_deletion(action.resource):
                    self._write_through.organization(await self._organizations.restore(action.resource, connector))
            case _:
                raise TypeError(f"no way to execute {type(action).__name__}")

    async def _record_code_hash(
        self, action: RecordCodeHash, snapshot: ConnectorSnapshot, context: ExecutionContext
    ) -> None:
        """Write the hash of the one-time code to the status, unless the code changed or another connector uses it."""
        if context.code is None or sha256_hex(context.code) != action.sha256:
            raise CredentialsMissing("The one-time code changed while it was about to be sent; the new one is next.")
        reference = snapshot.connector.spec.authorization.code_secret_ref
        other = self._resources.code_used_by(context.key, reference.name, action.sha256) if reference else None
        # Two connectors may refer to one Secret: the set covers the time until the status of the first is written.
        if other is not None or action.sha256 in self._codes_in_flight:
            raise KubernetesConflict("Another connector has just sent the same one-time code; it is planned again.")
        self._codes_in_flight.add(action.sha256)
        try:
            await context.persist_code_hash(action.effect(snapshot, self._clock()))
        finally:
            self._codes_in_flight.remove(action.sha256)

    @contextlib.contextmanager
    def _noting_deletion(self, resource: DevOpsOrganization) -> Iterator[None]:
        """Remove an organization from the cache if the API server does not find it."""
        try:
            yield
        except KubernetesNotFound:
            self._write_through.organization_deleted(Key.from_metadata(resource.metadata))

    def _live_body(self, key: Key) -> dict[str, Any]:
        body = self._resources.connector(key)
        if body is None:
            raise KubernetesNotFound(f"AzureDevOpsConnector {key.namespace}/{key.name} is deleted.")
        return body
