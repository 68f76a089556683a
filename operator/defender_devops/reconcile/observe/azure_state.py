"""Reads what Azure holds for a connector, with as few requests as the question allows.

What was seen before is taken over where nothing hints at a change: the cloud watcher says when something did. A plan
that wants to write is made again on a state that was read afresh as a whole, so no write rests on a memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from defender_devops.api.azure_types import AzureOrganization, Connector, ConnectorRef, RoleAssignment
from defender_devops.azure.resources.role_assignments import RoleAssignments
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.errors import Forbidden, OperatorError
from defender_devops.reconcile.facts.authorization import is_in_progress, token_exchange_failed
from defender_devops.reconcile.facts.desired_state import is_onboarded
from defender_devops.reconcile.facts.snapshot import AzureState, failure_of

__all__ = ["AzureStateReader", "ReadOptions"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a reconcile wants to know.

    Attributes:
        fresh: read everything, whatever is remembered.
        probe: ask listAvailableAzureDevOpsOrgs even if the last answer is young.
        readers: read the role assignments at the connector's scope.
        strays: whether there may be some of ours that no status remembers: who may not read them has made none.
        probe_interval: for so long the last answer to that question counts as young.
        refuses: whether a connector is none of this resource's business, and what is below it even less.
    """

    fresh: bool = False
    probe: bool = False
    readers: bool = False
    strays: Callable[[Connector], bool] = lambda _: False
    probe_interval: timedelta = timedelta(minutes=10)
    refuses: Callable[[Connector], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class AzureStateReader:
    """Reads one connector through one ARM identity."""

    connectors: SecurityConnectors
    role_assignments: RoleAssignments

    async def observe(
        self, ref: ConnectorRef, before: AzureState | None, question: ReadOptions, now: datetime
    ) -> AzureState:
        """What Azure holds.

        Args:
            ref: the connector's address.
            before: what was seen last, with our own writes folded in; None where nothing may be taken over.
            question: what is wanted.
            now: the moment.

        Raises:
            OperatorError: a read failed, other than the probe, whose failure is a finding.
        """
        known = before if before is not None and not question.fresh and before.connector is not None else None
        state = await self._observe(ref, known, before, question, now)
        if known is not None and state.probed_at == now and _is_outdated(state):
            state = await self._observe(ref, None, state, replace(question, probe=False), now)
        return state

    async def _observe(
        self,
        ref: ConnectorRef,
        known: AzureState | None,
        before: AzureState | None,
        question: ReadOptions,
        now: datetime,
    ) -> AzureState:
        """One look, in which what is known is not read again."""
        sent = before.pending_requests if before is not None else {}
        connector = known.connector if known else await self.connectors.get(ref)
        if connector is None:
            return AzureState(pending_requests=sent, fresh=True)
        if question.refuses(connector):
            return AzureState(connector, pending_requests=sent, fresh=known is None)
        settled = known is not None and known.configuration is not None and not known.is_busy
        state = (
            known
            if known is not None and settled
            else await self._below(ref, AzureState(connector, pending_requests=sent))
        )
        state = replace(state, readers=await self._readers(ref, connector, known, question), fresh=known is None)
        return await self._probe(ref, _with_last_probe(state, before), question, now)

    async def read_for_deletion(self, ref: ConnectorRef, question: ReadOptions) -> AzureState:
        """Only what deleting needs to know: the connector, whose it is, and the role assignments.

        Raises:
            OperatorError: a read failed.
        """
        connector = await self.connectors.get(ref)
        if connector is None:
            return AzureState(fresh=True)
        return AzureState(connector, readers=await self._readers(ref, connector, None, question), fresh=True)

    async def _below(self, ref: ConnectorRef, state: AzureState) -> AzureState:
        configuration = await self.connectors.get_configuration(ref)
        organizations: tuple[AzureOrganization, ...] = ()
        if configuration is not None and not is_in_progress(configuration):
            organizations = await self.connectors.organizations(ref)
        return replace(state, configuration=configuration, organizations=organizations)

    async def _readers(
        self, ref: ConnectorRef, connector: Connector, known: AzureState | None, question: ReadOptions
    ) -> tuple[RoleAssignment, ...] | None:
        if known is not None and known.readers is not None:
            return known.readers
        if not (question.readers or question.strays(connector)):
            return None
        try:
            return await self.role_assignments.list_at(ref)
        except Forbidden:
            if question.readers:
                raise
            return None

    async def _probe(self, ref: ConnectorRef, state: AzureState, question: ReadOptions, now: datetime) -> AzureState:
        """Ask for the available organizations: the only question that shows whether the authorization works."""
        if state.configuration is None or is_in_progress(state.configuration):
            return state
        young = state.probed_at is not None and now - state.probed_at < question.probe_interval
        # A failed exchange is no last word: access may be back, and an older answer says nothing about that.
        if young and not question.probe and not token_exchange_failed(state.configuration):
            return state
        try:
            available = await self.connectors.available_organizations(ref)
        except OperatorError as error:
            return replace(state, probe_failure=failure_of(error), probed_at=now)
        return replace(state, available=available, probe_failure=None, probed_at=now)


def _is_outdated(state: AzureState) -> bool:
    """Whether Defender's answer has it that this connector holds others than those that were seen below it."""
    if not state.available or not state.is_settled:
        return False
    seen = {each.name.lower() for each in state.available}
    told = {each.name.lower() for each in state.available if is_onboarded(each)}
    return told != seen & {each.name.lower() for each in state.organizations if is_onboarded(each)}


def _with_last_probe(state: AzureState, before: AzureState | None) -> AzureState:
    """A fresh reading keeps the last probe: it is about the authorization, not about what was read."""
    if before is None or state.probed_at is not None or before.probed_at is None:
        return state
    return replace(state, available=before.available, probe_failure=before.probe_failure, probed_at=before.probed_at)
