"""Schedules the pipeline checks of all organizations in the background, and keeps their results for snapshots.

A reconcile only takes the latest result. What a check has read is in memory while it is under way, and else in its
Secret: an idle operator holds nothing but counts and a few examples of each organization.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

import structlog

from defender_devops.api.azure_types import AgentlessConfiguration
from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.pipelines.results import RepositoryResults
from defender_devops.api.reasons import Reason
from defender_devops.api.spec.pipelines import PipelineChecks
from defender_devops.azuredevops.azure_devops_reader import AzureDevOpsReader
from defender_devops.azuredevops.client import AzureDevOpsClient
from defender_devops.azuredevops.pipelines.pace import Paces
from defender_devops.backoff import Backoff
from defender_devops.errors import KubernetesError, LeadershipLost, OperatorError
from defender_devops.reconcile.facts.failure import Failure, failure_of_error
from defender_devops.reconcile.facts.pipeline_results import (
    PipelinesObservation,
    annotations_evidence,
    count_states,
    examples,
    ran_without_results,
)
from defender_devops.reconcile.facts.pipelines import assess_repositories
from defender_devops.reconcile.observe.pipelines.evidence_store import EvidenceStore, EvidenceTooLarge
from defender_devops.reconcile.observe.pipelines.sweep import PipelineScopeMissing, Sweep, SweepOptions
from defender_devops.reconcile.observe.pipelines.sweep_state import SweepState
from defender_devops.supervision import OnFailure, contain_exceptions

__all__ = ["PipelineObserver", "ReadRepositoryResults"]

Value = TypeVar("Value")

_CONCURRENT_CHECKS: Final = 32
"""Organizations that are checked at the same time. Each waits for its account's turn nearly all of its time."""

_BACKOFF: Final = Backoff(initial=60.0, maximum=3600.0)
"""Seconds until a check that could not go on is continued, unless the service demands more."""

_LOG: Final = structlog.get_logger(__name__)

ReadRepositoryResults = Callable[[str, str], RepositoryResults]
"""Returns of which repositories Defender for Cloud has recommendations, without a request, by uid of the connector and
organization in lower case."""


@dataclass(slots=True)
class _Entry:
    """The checks of one organization.

    Attributes:
        connector: latest body of the resource.
        organization: its name.
        agentless: configuration of agentless code scanning; None if it was not read.
        has_annotations: whether pull request annotations are managed.
        repository_results: of which repositories Defender for Cloud has recommendations.
        observation: the result.
        state: what was read, while a check is under way.
        sweep: the check under way.
        next_at: when something has to be done, in seconds of the monotonic clock.
        failures: failures in a row.
        is_changed: whether the result has to be computed again from what was read.
        is_forced: whether the next check begins at once, because somebody may have corrected why the last one failed.
        task: does what is due.
    """

    connector: AzureDevOpsConnector
    organization: str
    agentless: AgentlessConfiguration | None
    has_annotations: bool
    repository_results: RepositoryResults
    observation: PipelinesObservation = field(default_factory=PipelinesObservation)
    state: SweepState | None = None
    sweep: Sweep | None = None
    next_at: float = 0.0
    failures: int = 0
    is_changed: bool = True
    is_forced: bool = False
    task: asyncio.Task[None] | None = None

    def update(self, new: _Entry) -> bool:
        """Take what a later reconcile has read, and return whether the result or the next check depends on a change."""
        has_changed = (
            self.connector.spec.pipeline_checks != new.connector.spec.pipeline_checks
            or self.agentless != new.agentless
            or self.has_annotations != new.has_annotations
            or self.repository_results != new.repository_results
        )
        self.connector, self.agentless = new.connector, new.agentless
        self.has_annotations, self.repository_results = new.has_annotations, new.repository_results
        return has_changed


@dataclass(slots=True)
class PipelineObserver:
    """The pipeline checks of all connectors.

    Attributes:
        reader: sends requests with a connector's sign-in.
        store: keeps what was read.
        paces: the share of each account's rate limit.
        on_change: called with namespace and name of a connector whose result has changed.
        clock: returns the current time.
        monotonic: seconds that never jump.
        preview: whether previews may be requested.
        repository_results: of which repositories Defender for Cloud has recommendations; unknown by default.
        on_failure: counts an unexpected exception, which concerns one organization only.
    """

    reader: AzureDevOpsReader
    store: EvidenceStore
    paces: Paces
    on_change: Callable[[str, str], None]
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    preview: bool = False
    repository_results: ReadRepositoryResults = lambda _uid, _organization: RepositoryResults()
    on_failure: OnFailure = lambda _: None
    _entries: dict[tuple[str, str], _Entry] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def observe(
        self,
        connector: AzureDevOpsConnector,
        organizations: Mapping[str, str],
        agentless: AgentlessConfiguration | None,
        with_annotations: AbstractSet[str] = frozenset(),
    ) -> Mapping[str, PipelinesObservation]:
        """Return the latest results by organization in lower case; empty if pipelines are not checked.

        Args:
            connector: the connector.
            organizations: names of the organizations to check, by name in lower case.
            agentless: configuration of agentless code scanning; None if it was not read.
            with_annotations: organizations, in lower case, whose pull request annotations are managed.
        """
        uid = connector.metadata.uid
        names = organizations if connector.spec.has_pipeline_checks else {}
        for key in [key for key in self._entries if key[0] == uid and key[1] not in names]:
            self._remove(key)
        for organization, name in names.items():
            entry = self._entries.get((uid, organization))
            new = _Entry(
                connector, name, agentless, organization in with_annotations, self.repository_results(uid, organization)
            )
            if entry is None:
                self._entries[uid, organization] = new
                self._changed.set()
            elif entry.update(new):
                entry.is_changed, entry.next_at = True, 0.0
                self._changed.set()
        return {organization: self._entries[uid, organization].observation for organization in names}

    def retry(self, uid: str) -> None:
        """Continue at once what could not go on, because somebody has signed in."""
        for (entry_uid, _), entry in self._entries.items():
            if entry_uid == uid and entry.observation.failure is not None:
                entry.is_forced, entry.next_at = True, 0.0
        self._changed.set()

    def forget(self, uid: str) -> None:
        """Drop everything of a deleted connector."""
        for key in [key for key in self._entries if key[0] == uid]:
            self._remove(key)

    async def run(self) -> None:
        """Check every organization when it is due, until cancelled."""
        slots = asyncio.Semaphore(_CONCURRENT_CHECKS)
        try:
            while True:
                self._changed.clear()
                now = self.monotonic()
                for key, entry in [item for item in self._entries.items() if item[1].next_at <= now]:
                    if entry.task is None:
                        await slots.acquire()
                        self._start(key, entry).add_done_callback(lambda _: slots.release())
                await self._wait_until_due()
        finally:
            tasks = [entry.task for entry in self._entries.values() if entry.task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait_until_due(self) -> None:
        due = [entry.next_at for entry in self._entries.values() if entry.task is None]
        seconds = max(0.05, min(due) - self.monotonic()) if due else None
        # Not wait_for: before Python 3.12 it can swallow a cancellation that meets the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def _start(self, key: tuple[str, str], entry: _Entry) -> asyncio.Task[None]:
        def end(_: asyncio.Task[None]) -> None:
            entry.task = None
            self._changed.set()

        entry.task = asyncio.create_task(self._check(entry), name=f"pipeline checks of {key[1]}")
        entry.task.add_done_callback(end)
        return entry.task

    def _remove(self, key: tuple[str, str]) -> None:
        entry = self._entries.pop(key)
        if entry.task is not None:
            entry.task.cancel()

    async def _check(self, entry: _Entry) -> None:
        """Do what is due for one organization, and schedule what comes next."""
        failure: Failure | None = Failure(
            Reason.INTERNAL_ERROR,
            "An unexpected error occurred in the pipeline checks. Its cause is in the operator's log; it is retried.",
        )
        delay = None
        is_changed, entry.is_changed = entry.is_changed, False
        is_forced, entry.is_forced = entry.is_forced, False
        with contain_exceptions("pipeline checks", self.on_failure, organization=entry.organization):
            try:
                delay = await self._advance(entry, is_changed=is_changed, is_forced=is_forced)
                failure = self._scope_failure(entry)
            except LeadershipLost:
                raise
            except OperatorError as error:
                failure = failure_of_error(error)
        if delay is None:
            entry.failures += 1
            demanded = (failure.retry_after if failure is not None else None) or 0.0
            delay = max(demanded, _BACKOFF.delay(entry.failures, random.random()))  # noqa: S311 - spreads load
            _LOG.info(
                "pipeline check is interrupted",
                organization=entry.organization,
                reason=str(failure.reason) if failure is not None else None,
                message=failure.message if failure is not None else None,
                retry_after=round(delay),
            )
        else:
            entry.failures, entry.sweep = 0, None
            if entry.observation.is_stored:
                entry.state = None
        # What changed meanwhile is done at once.
        entry.next_at = 0.0 if entry.is_changed or entry.is_forced else self.monotonic() + delay
        if failure is not None:
            # How long the service demands to wait changes all the time, and no condition depends on it.
            failure = replace(failure, retry_after=None)
        self._publish(entry, replace(entry.observation, failure=failure))

    async def _advance(self, entry: _Entry, *, is_changed: bool, is_forced: bool) -> float:
        """Continue the check, or begin one if it is due, and return the seconds until the next one.

        Raises:
            OperatorError: it cannot go on now.
        """
        interval = _checks_of(entry).interval
        if entry.state is None:
            entry.state = await self._load(entry) or SweepState()
        state = entry.state
        is_agentless_changed, state.agentless = state.agentless != entry.agentless, entry.agentless
        if state.finished_at is not None and state.started_at is not None:
            if is_changed and (self._summarize(entry, state) or is_agentless_changed):
                await self._save(entry, state)
            remaining = state.started_at + interval - self.clock()
            if remaining > timedelta() and not is_forced:
                return remaining.total_seconds()
        if entry.sweep is None:
            options = SweepOptions(preview=self.preview, policies=entry.has_annotations)
            entry.sweep = Sweep(
                entry.organization,
                state,
                options,
                send=_Sender(self.reader, self.paces, entry),
                save=lambda state: self._save(entry, state),
                now=self.clock,
            )
        await entry.sweep.run()
        state.agentless = entry.agentless
        self._summarize(entry, state)
        await self._save(entry, state)
        _LOG.info("pipelines checked", organization=entry.organization, requests=state.requests)
        started_at = state.started_at or self.clock()
        return max(1.0, (started_at + interval - self.clock()).total_seconds())

    def _summarize(self, entry: _Entry, state: SweepState) -> bool:
        """Compute the result from what was read, and return whether its numbers or examples have changed."""
        now, evidence = self.clock(), state.evidence()
        uid, organization = entry.connector.metadata.uid, entry.organization
        assessments = assess_repositories(evidence, entry.agentless, organization, now)
        entry.repository_results = self.repository_results(uid, organization.lower())
        without_results = state.without_results
        if entry.repository_results.is_read:  # until then, what was read before the start counts
            without_results = ran_without_results(evidence, assessments, entry.repository_results)
        limit = _checks_of(entry).sample_limit
        result = PipelinesObservation(
            counts=count_states(assessments),
            examples=examples(assessments, limit),
            extension=evidence.extension,
            annotations=annotations_evidence(evidence, now) if entry.has_annotations else None,
            without_results=replace(without_results, names=without_results.names[:limit]),
        )
        digest = hashlib.sha256(repr(result).encode()).hexdigest()
        has_changed = digest != state.result_digest or without_results != state.without_results
        state.without_results = without_results
        if has_changed:
            state.result_digest, state.changed_at = digest, now
        previous = entry.observation
        self._publish(
            entry,
            replace(
                result,
                changed_at=state.changed_at,
                failure=previous.failure,
                is_stored=previous.is_stored,
                storage_failure=previous.storage_failure,
            ),
        )
        return has_changed

    def _publish(self, entry: _Entry, observation: PipelinesObservation) -> None:
        if observation != entry.observation:
            entry.observation = observation
            self.on_change(entry.connector.metadata.namespace, entry.connector.metadata.name)

    def _scope_failure(self, entry: _Entry) -> Failure | None:
        scope = entry.state.missing_scope if entry.state is not None else None
        return failure_of_error(PipelineScopeMissing(scope)) if scope is not None else None

    async def _load(self, entry: _Entry) -> SweepState | None:
        """Return what was read before a restart; None if there is nothing, or the Secret cannot be read now."""
        try:
            state = await self.store.load(entry.connector, entry.organization)
        except LeadershipLost:
            raise
        except KubernetesError as error:
            _LOG.warning("pipeline evidence cannot be read", organization=entry.organization, message=error.message)
            return None
        if state is not None:
            self._publish(entry, replace(entry.observation, is_stored=True))
        return state

    async def _save(self, entry: _Entry, state: SweepState) -> None:
        """Store what was read. If that fails, it stays in memory, and only a restart would repeat the requests."""
        try:
            await self.store.save(entry.connector, entry.organization, state)
            failure = None
        except LeadershipLost:
            raise
        except (KubernetesError, EvidenceTooLarge) as error:
            failure = replace(failure_of_error(error), retry_after=None)
            _LOG.warning("pipeline evidence cannot be stored", organization=entry.organization, message=error.message)
        self._publish(entry, replace(entry.observation, is_stored=failure is None, storage_failure=failure))


@dataclass(frozen=True, slots=True)
class _Sender:
    """Sends the requests of one organization when it is their account's turn."""

    reader: AzureDevOpsReader
    paces: Paces
    entry: _Entry

    async def __call__(self, request: Callable[[AzureDevOpsClient], Awaitable[Value]]) -> Value:
        """Return what `request` returns; raises OperatorError."""

        async def paced(client: AzureDevOpsClient) -> Value:
            await self.paces.pace(client.rate_limiter).wait_for_turn(client.rate_limiter)
            return await request(client)

        return await self.reader.with_sign_in(self.entry.connector, paced)


def _checks_of(entry: _Entry) -> PipelineChecks:
    return entry.connector.spec.pipeline_checks or PipelineChecks()
