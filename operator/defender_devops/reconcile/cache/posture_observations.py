"""Keeps what the polls for recommendations show of each connector, and enqueues those for which it has changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from weakref import WeakKeyDictionary

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.azure.resource_graph.posture_poller import PosturePoller
from defender_devops.reconcile.cache.resource_cache import Key
from defender_devops.reconcile.facts.failure import failure_of_error
from defender_devops.reconcile.facts.posture import PostureObservation, add_change, is_stale
from defender_devops.supervision import OnFailure, contain_exceptions

__all__ = ["PostureObservations"]

_NONE: frozenset[str] = frozenset()


class _Organization(NamedTuple):
    """An organization of a connector, by the connector's id in lower case."""

    connector: str
    name: str


@dataclass(slots=True)
class _Activity:
    """When recommendations changed, as one identity sees it.

    Attributes:
        times: the last times of changes of each organization.
        stale: stale organizations by connector.
        active: organizations by connector whose recommendations change as before.
    """

    times: dict[_Organization, tuple[datetime, ...]] = field(default_factory=dict)
    stale: dict[str, frozenset[str]] = field(default_factory=dict)
    active: dict[str, frozenset[str]] = field(default_factory=dict)


class PostureObservations:
    """Maps connectors in Azure to the resources that manage them.

    Args:
        enqueue_connector: called with a resource that has to be reconciled.
        clock: returns the current time.
        on_failure: counts unexpected exceptions, which affect one poll alone.
    """

    def __init__(
        self,
        enqueue_connector: Callable[[Key], None],
        clock: Callable[[], datetime],
        on_failure: OnFailure = lambda _component: None,
    ) -> None:
        self._enqueue_connector = enqueue_connector
        self._clock = clock
        self._on_failure = on_failure
        self._subscriptions: dict[Key, tuple[ConnectorRef, PosturePoller | None]] = {}
        self._activities: WeakKeyDictionary[PosturePoller, _Activity] = WeakKeyDictionary()

    def register(self, key: Key, ref: ConnectorRef, poller: PosturePoller | None) -> None:
        """Observe a resource's connector with this poller from now on; None where recommendations are not queried."""
        self._subscriptions[key] = (ref, poller)

    def forget(self, key: Key) -> None:
        """Drop a deleted resource."""
        self._subscriptions.pop(key, None)

    def observation(self, key: Key) -> PostureObservation:
        """Return what is known of a resource's connector, without a request."""
        ref, poller = self._subscriptions.get(key, (None, None))
        if ref is None or poller is None:
            return PostureObservation(enabled=False)
        view = poller.view(ref)
        activity = self._activities.get(poller, _Activity())
        return PostureObservation(
            organizations=view.organizations,
            answered_at=view.answered_at,
            failure=failure_of_error(view.error) if view.error is not None else None,
            stale_organizations=activity.stale.get(ref.key, _NONE),
            active_organizations=activity.active.get(ref.key, _NONE),
        )

    def answer_times(self) -> Iterator[tuple[Key, datetime]]:
        """Yield the resources with an answer, and when the last complete one arrived, for metrics."""
        for key, (ref, poller) in self._subscriptions.items():
            answered_at = poller.view(ref).answered_at if poller is not None else None
            if answered_at is not None:
                yield key, answered_at

    def on_poll(self, poller: PosturePoller, changed: frozenset[str]) -> None:
        """Enqueue the resources of changed connectors, and those in which an organization became stale or active."""
        connectors = set(changed)
        with contain_exceptions("posture", self._on_failure):
            connectors |= self._update_activity(poller)
        for key, (ref, observer) in self._subscriptions.items():
            if observer is poller and ref.key in connectors:
                self._enqueue_connector(key)

    def _update_activity(self, poller: PosturePoller) -> set[str]:
        """Learn from a poll, and return the connectors for which that changes something."""
        previous = self._activities.get(poller, _Activity())
        times: dict[_Organization, tuple[datetime, ...]] = {}
        for connector, name, counts in poller.counts():
            if counts.latest_change is not None:
                organization = _Organization(connector, name)
                times[organization] = add_change(previous.times.get(organization, ()), counts.latest_change)
        newest = sorted((last_times[-1] for last_times in times.values()), reverse=True)[:2]
        sets: dict[bool, defaultdict[str, set[str]]] = {True: defaultdict(set), False: defaultdict(set)}
        for organization, last_times in times.items():
            other_changes = newest[1:] if last_times[-1] == newest[0] else newest[:1]
            staleness = is_stale(last_times, other_changes[0] if other_changes else None, self._clock())
            if staleness is not None:
                sets[staleness][organization.connector].add(organization.name)
        activity = _Activity(
            times,
            stale={connector: frozenset(names) for connector, names in sets[True].items()},
            active={connector: frozenset(names) for connector, names in sets[False].items()},
        )
        self._activities[poller] = activity
        return {
            connector
            for connector in {*previous.stale, *previous.active, *activity.stale, *activity.active}
            if previous.stale.get(connector) != activity.stale.get(connector)
            or previous.active.get(connector) != activity.active.get(connector)
        }
