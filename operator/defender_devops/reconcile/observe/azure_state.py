"""Reads what Azure holds for a connector, with as few requests as the purpose allows.

State of an earlier read is reused unless the Resource Graph poller has seen evidence of a change. A plan
that writes is computed again from a complete fresh read, so no write ever rests on cached state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from defender_devops.api.azure_types import (
    AzureOrganization,
    Connector,
    ConnectorRef,
    ProvisioningState,
    RoleAssignment,
)
from defender_devops.azure.resources.role_assignments import RoleAssignments
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.errors import ErrorCategory, Forbidden, OperatorError
from defender_devops.reconcile.facts.authorization import token_exchange_failed
from defender_devops.reconcile.facts.failure import failure_of_error
from defender_devops.reconcile.facts.organization_selection import unreachable_organizations
from defender_devops.reconcile.facts.snapshot import AzureState

__all__ = ["AzureStateReader", "ReadOptions"]

_OTHER_FAILURES = frozenset({ErrorCategory.TRANSIENT, ErrorCategory.ACCESS})
"""Categories of a failed probe that do not concern Defender's authorization."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What to read.

    Attributes:
        fresh: read everything, whatever is cached.
        probe: call listAvailableAzureDevOpsOrgs even if its last answer is younger than `probe_interval`.
        readers: read the role assignments at the connector's scope.
        may_have_orphaned_role_assignments: whether there may be role assignments of ours that no status mentions. They
            are then read too; an identity that lacks the right to read them cannot have created any.
        probe_interval: how long an answer of listAvailableAzureDevOpsOrgs is reused.
        has_ownership_conflict: whether a connector belongs to somebody else; nothing below it is read then.
    """

    fresh: bool = False
    probe: bool = False
    readers: bool = False
    may_have_orphaned_role_assignments: Callable[[Connector], bool] = lambda _: False
    probe_interval: timedelta = timedelta(minutes=10)
    has_ownership_conflict: Callable[[Connector], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class AzureStateReader:
    """Reads one connector through one ARM identity."""

    connectors: SecurityConnectors
    role_assignments: RoleAssignments

    async def read(
        self, ref: ConnectorRef, previous: AzureState | None, options: ReadOptions, now: datetime
    ) -> AzureState:
        """Return what Azure holds.

        Args:
            ref: address of the connector.
            previous: the last state, with our own writes applied; None if nothing may be reused.
            options: what to read.
            now: the current time.

        Raises:
            OperatorError: a read failed. A failed probe is not an error but part of the state.
        """
        is_reusable = previous is not None and not options.fresh and previous.connector is not None
        state = await self._read(ref, previous if is_reusable else None, previous, options, now)
        # A denied probe is a sign of a lost authorization only if the operator's own reads still work.
        needs_reading = _is_denied(state) or _contradicts_probe(state)
        if is_reusable and state.probed_at == now and needs_reading:
            state = await self._read(ref, None, state, replace(options, probe=False), now)
        return state

    async def read_for_deletion(self, ref: ConnectorRef, options: ReadOptions) -> AzureState:
        """Return only what a deletion depends on: the connector with its tags, and the role assignments.

        Raises:
            OperatorError: a read failed.
        """
        connector = await self.connectors.get(ref)
        if connector is None:
            return AzureState(fresh=True)
        return AzureState(connector, readers=await self._readers(ref, connector, options), fresh=True)

    async def _read(
        self,
        ref: ConnectorRef,
        cached: AzureState | None,
        previous: AzureState | None,
        options: ReadOptions,
        now: datetime,
    ) -> AzureState:
        """Read once. What `cached` holds is not read again; of `previous` only pending requests and probe are used."""
        pending_requests = previous.pending_requests if previous is not None else {}
        connector = cached.connector if cached else await self.connectors.get(ref)
        if connector is None:
            return AzureState(pending_requests=pending_requests, fresh=True)
        if options.has_ownership_conflict(connector):
            return AzureState(connector, pending_requests=pending_requests, fresh=cached is None)
        was_read = cached is None or cached.configuration is None or cached.is_busy
        if cached is not None and not was_read:
            state = cached
        else:
            configuration = await self.connectors.get_configuration(ref)
            organizations: tuple[AzureOrganization, ...] = ()
            # While the configuration is being changed, Azure returns organizations that are about to change too.
            if configuration is not None and not configuration.is_in_progress:
                organizations = await self.connectors.organizations(ref)
            state = AzureState(
                connector,
                configuration=configuration,
                organizations=organizations,
                pending_requests=pending_requests,
                relied_on_authorization=previous is not None
                and previous.relied_on_authorization
                and configuration is not None
                and configuration.provisioning_state != ProvisioningState.SUCCEEDED,
            )
        readers = cached.readers if cached is not None else None
        if readers is None:
            readers = await self._readers(ref, connector, options)
        state = replace(state, readers=readers, fresh=cached is None)
        has_probe = previous is not None and previous.probed_at is not None and not previous.is_recalled
        if previous is not None and has_probe and state.probed_at is None:
            # A fresh read keeps the last probe, which is about the authorization and not about what was read.
            state = replace(
                state,
                available=previous.available,
                probe_failure=previous.probe_failure,
                probe_failures=previous.probe_failures,
                probe_reported_loss=previous.probe_reported_loss,
                probed_at=previous.probed_at,
            )
        return await self._probe(ref, state, options, now, was_read=was_read)

    async def _readers(
        self, ref: ConnectorRef, connector: Connector, options: ReadOptions
    ) -> tuple[RoleAssignment, ...] | None:
        """Return the role assignments, or None if they are not needed."""
        if not (options.readers or options.may_have_orphaned_role_assignments(connector)):
            return None
        try:
            return await self.role_assignments.list_at(ref)
        except Forbidden:
            if options.readers:
                raise
            return None

    async def _probe(
        self, ref: ConnectorRef, state: AzureState, options: ReadOptions, now: datetime, *, was_read: bool
    ) -> AzureState:
        """List the available organizations: the only request that shows whether the authorization works."""
        if state.configuration is None or state.configuration.is_in_progress:
            return state
        is_recent = state.probed_at is not None and now - state.probed_at < options.probe_interval
        # A failed token exchange is not final: access may be back, and an older answer does not show that.
        # An organization that was onboarded since the last answer is missing in it without being out of reach.
        is_outdated = was_read and bool(unreachable_organizations(state))
        if is_recent and not options.probe and not is_outdated and not token_exchange_failed(state.configuration):
            return state
        state = replace(state, is_recalled=False)
        try:
            available = await self.connectors.available_organizations(ref)
        except OperatorError as error:
            return replace(
                state,
                probe_failure=failure_of_error(error),
                probe_failures=state.probe_failures + 1,
                probe_reported_loss=state.probe_reported_loss or error.category not in _OTHER_FAILURES,
                probed_at=now,
            )
        return replace(
            state,
            available=available,
            probe_failure=None,
            probe_failures=0,
            probe_reported_loss=state.probe_reported_loss or not available,
            probed_at=now,
        )


def _is_denied(state: AzureState) -> bool:
    """Whether the probe was denied in a way that does not show whose access is missing."""
    return state.probe_failure is not None and state.probe_failure.category is ErrorCategory.DENIAL


def _contradicts_probe(state: AzureState) -> bool:
    """Whether Defender's answer says that other organizations are onboarded here than those that were read."""
    if not state.available or not state.is_settled:
        return False
    available = {organization.name.lower() for organization in state.available}
    onboarded = {organization.name.lower() for organization in state.available if organization.is_onboarded}
    cached = {organization.name.lower() for organization in state.organizations if organization.is_onboarded}
    return onboarded != available & cached
