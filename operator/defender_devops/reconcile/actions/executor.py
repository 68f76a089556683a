"""Carries a plan out, step by step; the first failure ends it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from pydantic import SecretStr

from defender_devops.api.azure_types import AutoDiscovery, ConnectorRef
from defender_devops.api.organization import DevOpsOrganization
from defender_devops.azure.arm.long_running_operations import Operation
from defender_devops.azure.resources.security_connectors import SecurityConnectors
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
)
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.cache.write_through import WriteThrough
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot, Failure, failure_of
from defender_devops.reconcile.observe.azure_access import AzureAccess

__all__ = ["ExecutionContext", "ExecutionResult", "Executor"]

_log: Final = structlog.get_logger(__name__)

_COURTESY_PATIENCE: Final = 10.0
"""Seconds that a step may take on which nothing depends."""

PersistCodeHash = Callable[[ConnectorSnapshot], Awaitable[None]]
"""Writes the status of a snapshot in which the code counts as spent, before it is sent."""


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """Whose connector is worked on, and with what.

    Attributes:
        key: of the resource.
        azure: None where there is no ARM identity; the plan then holds no step for Azure.
        code: Defender's one-time code.
        record: writes down that the code is spent.
    """

    key: Key
    azure: AzureAccess | None
    code: SecretStr | None
    persist_code_hash: PersistCodeHash


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """What came of a plan.

    Attributes:
        snapshot: with every step that succeeded folded in.
        steps: those steps.
        failure: of the step that ended it early.
        poll_after: seconds after which Azure wants to be asked about an operation that was started.
    """

    snapshot: ConnectorSnapshot
    steps: tuple[Action, ...] = ()
    failure: Failure | None = None
    poll_after: float | None = None


class Executor:
    """Knows how to carry out each kind of step."""

    def __init__(
        self,
        resources: ResourceCache,
        written: WriteThrough,
        connectors: Connectors,
        organizations: Organizations,
        clock: Callable[[], datetime],
    ) -> None:
        self._resources = resources
        self._written = written
        self._connectors = connectors
        self._organizations = organizations
        self._clock = clock
        self._being_spent: set[str] = set()

    async def execute(
        self, steps: Sequence[Action], snapshot: ConnectorSnapshot, context: ExecutionContext
    ) -> ExecutionResult:
        """Carry out the steps in their order and fold each into the snapshot."""
        done: list[Action] = []
        polls: list[float] = []
        for step in steps:
            try:
                async with asyncio.timeout(_COURTESY_PATIENCE if step.is_best_effort else None):
                    operation = await self._execute(step, snapshot, context)
            except TimeoutError:
                _log.info("step left out", step=step.describe(), message="Azure did not answer in time.")
                continue
            except OperatorError as error:
                if step.is_best_effort:
                    _log.info("step left out", step=step.describe(), message=error.message)
                    continue
                return ExecutionResult(snapshot, tuple(done), failure_of(error), max(polls, default=None))
            snapshot = step.effect(snapshot, self._clock())
            done.append(step)
            if operation is not None:
                polls.append(operation.poll_after)
        return ExecutionResult(snapshot, tuple(done), None, max(polls, default=None))

    async def _execute(self, step: Action, snapshot: ConnectorSnapshot, context: ExecutionContext) -> Operation | None:
        if isinstance(step, AzureAction):
            return await self._in_azure(step, snapshot, context)
        await self._in_kubernetes(step, snapshot, context)
        return None

    async def _in_azure(
        self, step: AzureAction, snapshot: ConnectorSnapshot, context: ExecutionContext
    ) -> Operation | None:
        azure, ref = context.azure, snapshot.connector.connector_ref
        if azure is None:
            raise CredentialsMissing("There is no identity for Azure Resource Manager.")
        azure.record_write(ref)
        try:
            return await self._write(step, ref, context, azure)
        finally:
            # Also where the write fails: it may have had its effect all the same.
            azure.record_write(ref)

    async def _write(
        self, step: AzureAction, ref: ConnectorRef, context: ExecutionContext, azure: AzureAccess
    ) -> Operation | None:
        match step:
            case Authorize():
                return await self._authorize(step, ref, context, azure.connectors)
            case UpdateConfiguration():
                return await azure.connectors.update_configuration(
                    ref,
                    auto_discovery=step.auto_discovery,
                    inventory=step.organizations,
                    agentless=step.agentless,
                )
            case SetAnnotations():
                return await azure.connectors.set_annotations(ref, step.organization, step.annotations)
            case CreateConnector():
                await azure.connectors.create(
                    ref, location=step.location, tags=step.tags, hierarchy_identifier=step.hierarchy_identifier
                )
            case SetTags():
                await azure.connectors.set_tags(ref, step.tags)
            case AssignReader():
                await azure.role_assignments.create(ref, step.name, step.principal_id, step.principal_type)
            case RemoveReader():
                await azure.role_assignments.delete(ref, step.name)
            case DeleteConnector():
                await azure.connectors.delete(ref)
            case _:
                raise TypeError(f"no way to carry out {type(step).__name__}")
        return None

    async def _authorize(
        self, step: Authorize, ref: ConnectorRef, context: ExecutionContext, connectors: SecurityConnectors
    ) -> Operation | None:
        """Send the code: its hash is written down by now, so whatever is cut here, it is never sent twice."""
        return await connectors.create_configuration(
            ref,
            code=context.code,
            auto_discovery=step.auto_discovery or AutoDiscovery.DISABLED,
            inventory=step.organizations,
            agentless=step.agentless,
        )

    async def _spend(self, step: RecordCodeHash, snapshot: ConnectorSnapshot, context: ExecutionContext) -> None:
        if context.code is None or sha256_hex(context.code) != step.sha256:
            raise CredentialsMissing("The one-time code changed while it was about to be sent; the new one is next.")
        reference = snapshot.connector.spec.authorization.code_secret_ref
        code_used_by = self._resources.code_used_by(context.key, reference.name, step.sha256) if reference else None
        if code_used_by is not None or step.sha256 in self._being_spent:
            raise KubernetesConflict("Another connector has just handed the same one-time code over; planned again.")
        self._being_spent.add(step.sha256)
        try:
            await context.persist_code_hash(step.effect(snapshot, self._clock()))
        finally:
            self._being_spent.remove(step.sha256)

    async def _in_kubernetes(self, step: Action, snapshot: ConnectorSnapshot, context: ExecutionContext) -> None:
        key, connector = context.key, snapshot.connector
        match step:
            case RecordCodeHash():
                await self._spend(step, snapshot, context)
            case RecordManagedTags():
                await self._remember(step, snapshot, key)
            case AddFinalizer():
                self._written.connector(await self._connectors.add_finalizer(self._live(key)))
            case RemoveFinalizer():
                with contextlib.suppress(KubernetesNotFound):
                    await self._connectors.remove_finalizer(self._live(key))
            case CreateOrganization():
                made = await self._organizations.create(key.namespace, step.name, connector, step.organization)
                self._written.organization(made)
            case DeleteOrganization():
                metadata = step.resource.metadata
                with self._hearing_who_is_gone(step.resource):
                    await self._organizations.delete(
                        key.namespace, metadata.name, metadata.uid, metadata.resource_version
                    )
            case ReleaseOrganization():
                with self._hearing_who_is_gone(step.resource):
                    self._written.organization(await self._organizations.release(step.resource))
            case _:
                raise TypeError(f"no way to carry out {type(step).__name__}")

    @contextlib.contextmanager
    def _hearing_who_is_gone(self, resource: DevOpsOrganization) -> Iterator[None]:
        try:
            yield
        except KubernetesNotFound:
            self._written.organization_deleted(Key.from_metadata(resource.metadata))

    async def _remember(self, step: RecordManagedTags, snapshot: ConnectorSnapshot, key: Key) -> None:
        azure = step.effect(snapshot, self._clock()).connector.status.azure
        patch = {"azure": {"managedTagKeys": list(azure.managed_tag_keys if azure else ())}}
        self._written.connector(await self._connectors.patch_status(key.namespace, key.name, patch))

    def _live(self, key: Key) -> dict[str, Any]:
        body = self._resources.connector(key)
        if body is None:
            raise KubernetesNotFound(f"AzureDevOpsConnector {key.namespace}/{key.name} is gone.")
        return body
