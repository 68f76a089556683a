"""The cloud watcher: one look at Resource Graph answers for all connectors of an identity.

It costs one query for each thousand connectors, however many of them there are, and names only those whose row says
something new. What it shows are hints (`view.CloudView`): Resource Graph follows Azure with a delay, so a row that may
be older than our own last write is not looked at, and a row that is missing is a question, not an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import structlog

from defender_devops.api.azure_types import ConnectorRef, OnboardingState, RoleAssignment
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.resource_graph.client import PAGE_SIZE_MAX, SUBSCRIPTIONS_MAX, PageTooLarge, ResourceGraph
from defender_devops.azure.resource_graph.queries import CONNECTORS, ROLE_ASSIGNMENTS, holders_of
from defender_devops.azure.resource_graph.view import CloudView, parse_reader, parse_view
from defender_devops.clock import Clock
from defender_devops.errors import OperatorError

__all__ = ["SETTLE", "Changes", "CloudWatcher", "Look"]

_log: Final = structlog.get_logger(__name__)

SETTLE: Final = 60.0
"""Seconds for which Resource Graph may still show what was before a write."""

_GATHER: Final = 1.0
"""Seconds from the first new connector to the look: at a start they come by the hundred."""

_APART: Final = 15.0
"""Seconds between two looks that new connectors ask for: what is new was just read or written, so no look is urgent."""

_STALE_AFTER: Final = 2.5
"""Intervals after which the last good look is no hint any more."""

_PAGE_SIZE_MIN: Final = 25


@dataclass(frozen=True, slots=True)
class Changes:
    """What a look found to be new, as keys of connectors.

    Attributes:
        differing: their row is another than the one that was shown last: hold it against what is known.
        vanished: something of theirs had a row and has none now: ask Azure Resource Manager.
    """

    differing: frozenset[str] = frozenset()
    vanished: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.differing or self.vanished)


@dataclass(frozen=True, slots=True)
class Look:
    """How a look went.

    Attributes:
        started: when, by the monotonic clock.
        seconds: how long it took.
        pages: how many pages were read.
        connectors: how many connectors have a row.
        changes: what it found.
        error: why it failed; nothing was taken in then.
    """

    started: float
    seconds: float
    pages: int = 0
    connectors: int = 0
    changes: Changes = Changes()
    error: OperatorError | None = None


@dataclass(slots=True)
class _Found:
    """What a look has read."""

    views: dict[str, CloudView]
    readers: dict[str, tuple[RoleAssignment, ...]] | None = None
    pages: int = 0


class CloudWatcher:
    """Watches the connectors of one identity.

    Args:
        arm: the identity's client.
        interval: seconds between two looks.
        changed: told what a look found to be new; must not block.
        settle: seconds for which a row may be older than a write.
        clock: time.
    """

    def __init__(
        self,
        arm: ArmClient,
        *,
        interval: float,
        changed: Callable[[Changes], None],
        settle: float = SETTLE,
        clock: Clock | None = None,
    ) -> None:
        self.arm = arm
        self.last_look: Look | None = None
        self._interval = interval
        self._changed = changed
        self._settle = settle
        self._clock = clock or Clock()
        self._page_size = PAGE_SIZE_MAX
        self._watched: dict[str, _Wish] = {}
        self._views: dict[str, CloudView] = {}
        self._readers: Mapping[str, tuple[RoleAssignment, ...]] | None = None
        self._shown: dict[str, CloudView] = {}
        self._written: dict[str, float] = {}
        self._holders: dict[str, str | None] = {}
        self._looked_in: frozenset[str] = frozenset()
        self._looked_for_readers = False
        self._last_good: float | None = None
        self._asked = asyncio.Event()

    def watch(self, ref: ConnectorRef, *, readers: bool = False) -> None:
        """Look after a connector from now on.

        Args:
            ref: the connector.
            readers: also at the role assignments at its scope.
        """
        wish = _Wish(ref.subscription_id.lower(), readers)
        self._watched[ref.key] = wish
        if wish.subscription not in self._looked_in or (readers and not self._looked_for_readers):
            self._asked.set()

    def forget(self, ref: ConnectorRef) -> None:
        """Look after a connector no longer."""
        for kept in (self._watched, self._views, self._shown, self._written):
            kept.pop(ref.key, None)

    @property
    def watches_nothing(self) -> bool:
        """Whether there is nothing to look at."""
        return not self._watched

    def latest(self, ref: ConnectorRef) -> CloudView | None:
        """What the last look shows of a connector.

        None where it has no row, where the row may be older than our last write, and where no look has succeeded for
        some time: then only Azure Resource Manager can tell.
        """
        if self._last_good is None or ref.key in self._written:
            return None
        if self._clock.monotonic() - self._last_good > _STALE_AFTER * self._interval:
            return None
        view = self._view(ref.key)
        if view is not None and ref.key in self._watched:
            self._shown[ref.key] = view
        return view

    def _view(self, key: str) -> CloudView | None:
        view, wish = self._views.get(key), self._watched.get(key)
        if view is None or self._readers is None or wish is None or not wish.readers:
            return view
        return replace(view, readers=self._readers.get(key, ()))

    def note_write(self, ref: ConnectorRef) -> None:
        """Something of a connector was written: what Resource Graph shows of it counts again after a while.

        Also of one that nobody watches yet: whoever takes it over begins with it at once.
        """
        self._written[ref.key] = self._clock.monotonic()
        self._views.pop(ref.key, None)

    async def holders(self, organizations: Iterable[str]) -> Mapping[str, str]:
        """The connectors that onboarded these organizations, as far as this identity can see.

        Answered from the last look where it knows; else by one query for all of them, at most once between two looks.

        Args:
            organizations: names, in any case.

        Returns:
            Ids of connectors in lower case, by organization in lower case.

        Raises:
            AzureError: Resource Graph did not answer.
            CredentialsError: there is no token.
        """
        names = {name.lower() for name in organizations}
        known = {name: self._holders[name] for name in names & self._holders.keys()}
        if unknown := names - known.keys():
            rows = await ResourceGraph(self.arm).rows(holders_of(unknown))
            found = {str(row.get("organization") or ""): str(row.get("id") or "") for row in rows}
            asked = {name: _connector_of(found.get(name, "")) for name in unknown}
            self._holders |= asked
            known |= asked
        return {name: holder for name, holder in known.items() if holder}

    async def run(self) -> None:
        """Look again and again, until cancelled. A look that fails says so; the next one comes at its time."""
        due: float | None = None
        while True:
            if await self._is_asked(due):
                await self._clock.sleep(self._until_asked_look())
            self._asked.clear()
            due = await self._look_and_plan() if self._watched else None

    async def _is_asked(self, due: float | None) -> bool:
        """Wait until the next look is due, or until somebody needs one before."""
        wait = None if due is None else max(0.0, due - self._clock.monotonic())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._asked.wait()
        return self._asked.is_set()

    def _until_asked_look(self) -> float:
        if self.last_look is None:
            return _GATHER
        apart = min(self._interval, _APART)
        return max(_GATHER, self.last_look.started + apart - self._clock.monotonic())

    async def _look_and_plan(self) -> float:
        look = await self.look()
        asked_to_wait = (look.error.retry_after if look.error else None) or 0.0
        # Never more than the interval: what somebody changed is found within one.
        return look.started + max(self._interval * random.uniform(0.9, 1.0), asked_to_wait)  # noqa: S311 - spreads load

    async def look(self) -> Look:
        """Look once, at all connectors, and tell what is new."""
        started = self._clock.monotonic()
        self._looked_in = frozenset(wish.subscription for wish in self._watched.values())
        self._looked_for_readers = any(wish.readers for wish in self._watched.values())
        try:
            found = await self._read(sorted(self._looked_in))
        except OperatorError as error:
            return self._looked(Look(started, self._clock.monotonic() - started, error=error))
        changes = self._take_in(found, started)
        look = Look(started, self._clock.monotonic() - started, found.pages, len(found.views), changes)
        self._looked(look)
        if changes:
            self._changed(changes)
        return look

    def _looked(self, look: Look) -> Look:
        before = self.last_look.error if self.last_look else None
        if look.error is not None and (before is None or before.message != look.error.message):
            _log.warning("cannot look at the cloud", identity=self.arm.who, message=look.error.message)
        if look.error is None and before is not None:
            _log.info("looking at the cloud again", identity=self.arm.who)
        self.last_look = look
        return look

    async def _read(self, subscriptions: list[str]) -> _Found:
        found = _Found({})
        for some in _portions(subscriptions):
            await self._read_connectors(some, found)
        if self._looked_for_readers:
            found.readers = await self._read_readers(subscriptions)
        return found

    async def _read_connectors(self, subscriptions: list[str], found: _Found) -> None:
        while True:
            views: dict[str, CloudView] = {}
            try:
                pages = ResourceGraph(self.arm).pages(CONNECTORS, subscriptions, page_size=self._page_size)
                async for page in pages:
                    found.pages += 1
                    views |= {str(row.get("id") or "").lower(): parse_view(row) for row in page}
            except PageTooLarge:
                if self._page_size <= _PAGE_SIZE_MIN:
                    raise
                self._page_size = max(_PAGE_SIZE_MIN, self._page_size // 2)
                continue
            found.views |= views
            return

    async def _read_readers(self, subscriptions: list[str]) -> dict[str, tuple[RoleAssignment, ...]] | None:
        """Role assignments by connector; None where Resource Graph does not tell: the rest of the look still counts."""
        found: dict[str, list[RoleAssignment]] = {}
        try:
            for some in _portions(subscriptions):
                for row in await ResourceGraph(self.arm).rows(ROLE_ASSIGNMENTS, some):
                    key, assignment = parse_reader(row)
                    found.setdefault(key, []).append(assignment)
        except OperatorError as error:
            _log.warning("cannot look at role assignments", identity=self.arm.who, message=error.message)
            return None
        return {key: tuple(sorted(each, key=lambda assignment: assignment.name)) for key, each in found.items()}

    def _take_in(self, found: _Found, started: float) -> Changes:
        self._last_good = started
        if found.readers is not None or not self._looked_for_readers:
            self._readers = found.readers
        self._written = {key: at for key, at in self._written.items() if started < at + self._settle}
        # An equal view keeps its old object, so that a look that finds nothing new leaves nothing behind.
        self._views = {
            key: self._views[key] if self._views.get(key) == view else view
            for key, view in found.views.items()
            if key not in self._written
        }
        self._holders = {
            organization.name.lower(): key
            for key, view in self._views.items()
            for organization in view.organizations
            if organization.onboarding_state == OnboardingState.ONBOARDED
        }
        return self._compare()

    def _compare(self) -> Changes:
        differing: set[str] = set()
        vanished: set[str] = set()
        for key in self._watched.keys() - self._written.keys():
            before, now = self._shown.get(key), self._view(key)
            if now is None:
                if self._shown.pop(key, None) is not None:
                    vanished.add(key)
            elif now != before:
                (vanished if before is not None and before.lost(now) else differing).add(key)
                self._shown[key] = now
        return Changes(frozenset(differing), frozenset(vanished))


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is to be looked at for one connector."""

    subscription: str
    readers: bool


def _connector_of(organization_id: str) -> str | None:
    """The connector's part of the id of an organization below it."""
    return organization_id.lower().partition("/devops/default")[0] or None


def _portions(subscriptions: list[str]) -> Iterable[list[str]]:
    """As many subscriptions at a time as one query may name."""
    return (
        subscriptions[start : start + SUBSCRIPTIONS_MAX] for start in range(0, len(subscriptions), SUBSCRIPTIONS_MAX)
    )
