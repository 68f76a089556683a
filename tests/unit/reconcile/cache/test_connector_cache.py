"""Caches of a resource whose reference to Azure is corrected before the connector exists."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.azure.resource_graph.poller import Changes
from defender_devops.reconcile.cache.connector_cache import ConnectorCaches
from defender_devops.reconcile.cache.drift_notifications import DriftNotifications
from defender_devops.reconcile.cache.resource_cache import Key

KEY = Key("security", "contoso")
MISTYPED = ConnectorRef("22222222-2222-2222-2222-222222222222", "rg-mistyped", "contoso")
CORRECTED = replace(MISTYPED, resource_group="rg-devops-security")


def test_a_cache_is_kept_for_the_same_reference() -> None:
    caches = ConnectorCaches()
    assert caches.get_or_create(KEY, "uid", MISTYPED) is caches.get_or_create(KEY, "uid", MISTYPED)


def test_a_corrected_reference_begins_with_an_empty_cache() -> None:
    caches = ConnectorCaches()
    caches.get_or_create(KEY, "uid", MISTYPED).failures = 3
    assert caches.get_or_create(KEY, "uid", CORRECTED).failures == 0


def test_changes_of_the_previous_connector_are_not_reported_after_a_correction() -> None:
    enqueued: list[Key] = []
    notifications = DriftNotifications(ConnectorCaches(), enqueued.append)
    poller = cast("Any", None)  # a vanished connector is reported without its view
    notifications.register(KEY, MISTYPED, poller)
    notifications.register(KEY, CORRECTED, poller)
    notifications.on_changes(Changes(vanished=frozenset({MISTYPED.key}), differing=frozenset()))
    assert enqueued == []
    notifications.on_changes(Changes(vanished=frozenset({CORRECTED.key}), differing=frozenset()))
    assert enqueued == [KEY]


def test_who_waits_for_the_first_poll_is_enqueued_and_reads_nothing_again() -> None:
    enqueued: list[Key] = []
    caches = ConnectorCaches()
    cache = caches.get_or_create(KEY, "uid", CORRECTED)
    cache.awaits_poll_since = datetime.now(UTC)
    notifications = DriftNotifications(caches, enqueued.append)
    notifications.register(KEY, CORRECTED, cast("Any", SimpleNamespace(current_view=lambda _ref: None)))
    keys = frozenset({CORRECTED.key})
    notifications.on_changes(Changes(awaited=keys))
    notifications.on_changes(Changes(differing=keys, awaited=keys))
    assert enqueued == [KEY, KEY], "once for each poll"
    assert not cache.is_stale
