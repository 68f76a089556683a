"""Which resource owns a connector in Azure by its status, whatever the tags in Azure say."""

from __future__ import annotations

from typing import Any

import pytest

from defender_devops.handlers.events import EventReceiver
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.facts.snapshot import RecordedOwner
from defender_devops.reconcile.observe.conflicting_connectors import find_recorded_owner
from tests.support.manifests import connector as manifest

WAITING = Key("security", "waiting")


def body(name: str, *, namespace: str = "security", created: bool | None = None, deleting: bool = False) -> Any:  # noqa: ANN401 - JSON
    """A resource for the Azure connector `shared`."""
    resource = manifest(namespace=namespace, uid=f"uid-{namespace}-{name}", generation=1, resourceVersion="5")
    resource["metadata"]["name"] = name
    resource["spec"]["azure"]["connectorName"] = "shared"
    if created is not None:
        resource["status"] = {"azure": {"created": created}}
    if deleting:
        resource["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    return resource


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], None),
        ([body("a")], None),
        ([body("a", created=True)], RecordedOwner("security/a")),
        ([body("a", created=False)], RecordedOwner("security/a")),
        ([body("a", created=True, deleting=True)], RecordedOwner("security/a", is_deleting=True)),
        ([body("a", created=True, deleting=True), body("b", created=False)], RecordedOwner("security/b")),
        ([body("a"), body("b", created=True)], RecordedOwner("security/b")),
        ([body("a", namespace="team", created=True)], RecordedOwner("another connector of this cluster")),
    ],
)
def test_the_owner_by_status_is_found_and_named_only_to_its_own_namespace(
    others: list[Any], expected: RecordedOwner | None
) -> None:
    resources = ResourceCache()
    for other in (*others, body("waiting")):
        resources.upsert_connector(other)
    assert find_recorded_owner(WAITING, resources.with_equal_connector_id(WAITING)) == expected


def test_only_resources_for_the_same_connector_in_azure_count_in_any_spelling() -> None:
    resources = ResourceCache()
    elsewhere, shouted = body("elsewhere", created=True), body("shouted", created=True)
    elsewhere["spec"]["azure"]["connectorName"] = "other"
    shouted["spec"]["azure"]["connectorName"] = "SHARED"
    for resource in (elsewhere, shouted, body("waiting", created=True)):
        resources.upsert_connector(resource)
    assert [Key.from_body(other).name for other in resources.with_equal_connector_id(WAITING)] == ["shouted"]


def test_the_deletion_of_the_owner_wakes_whoever_waits_for_its_connector() -> None:
    resources, woken = ResourceCache(), []
    receiver = EventReceiver(resources, woken.append)
    owner = body("owner", namespace="team", created=True)
    for resource in (owner, body("waiting")):
        receiver.connector("ADDED", resource)
    woken.clear()
    receiver.connector("DELETED", owner)
    assert sorted(woken) == [WAITING, Key("team", "owner")]
    assert find_recorded_owner(WAITING, resources.with_equal_connector_id(WAITING)) is None
