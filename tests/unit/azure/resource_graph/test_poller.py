from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from defender_devops.api.azure_types import ConnectorRef, Counts
from defender_devops.azure.resource_graph.poller import Changes, ResourceGraphPoller
from defender_devops.azure.resource_graph.queries import CONNECTORS, ROLE_ASSIGNMENTS
from defender_devops.clock import Clock
from defender_devops.errors import AzureUnavailable
from tests.unit.azure.fakes import FakeAzure, answer
from tests.unit.azure.resource_graph.running import run_poller_during

SUB1, SUB2 = "22222222-2222-2222-2222-222222222222", "33333333-3333-3333-3333-333333333333"
A, B, C = (ConnectorRef(SUB1, "rg", name) for name in "abc")
OTHER = ConnectorRef(SUB2, "rg", "other")


@dataclass
class FakeGraph:
    """Rows by table, answered in pages; and what was asked."""

    connectors: dict[str, dict[str, Any]] = field(default_factory=dict)
    assignments: list[dict[str, Any]] = field(default_factory=list)
    holders: dict[str, str] = field(default_factory=dict)
    failure: httpx.Response | None = None
    reader_failure: httpx.Response | None = None
    rows_in_a_page_at_most: int = 10_000
    queries: list[tuple[str, list[str] | None]] = field(default_factory=list)

    def put(
        self, ref: ConnectorRef, *organizations: tuple[str, str, int, int], tags: dict[str, str] | None = None
    ) -> None:
        configuration = {"provisioningState": "Succeeded", "autoDiscovery": "Disabled"}
        children = [{"organization": "", "name": "default", "properties": configuration, "counts": {}}]
        for name, state, projects, repositories in organizations:
            counts = {"projects": projects, "repositories": repositories}
            properties = {"onboardingState": state}
            children.append({"organization": name.lower(), "name": name, "properties": properties, "counts": counts})
        self.connectors[ref.key] = {"id": ref.key, "location": "westeurope", "tags": tags or {}, "children": children}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.queries.append((body["query"], body.get("subscriptions")))
        if self.failure is not None:
            return self.failure
        if body["query"] == ROLE_ASSIGNMENTS:
            return self.reader_failure or self._page(self.assignments, body["options"])
        if body["query"] == CONNECTORS:
            within = tuple(f"/subscriptions/{subscription}/" for subscription in body["subscriptions"])
            return self._page(
                [row for key, row in sorted(self.connectors.items()) if key.startswith(within)], body["options"]
            )
        matches = {name: key for name, key in self.holders.items() if f"'{name}'" in body["query"]}
        rows = [
            {"id": f"{key}/devops/default/azuredevopsorgs/{name}", "organization": name}
            for name, key in matches.items()
        ]
        return self._page(rows, body["options"])

    def _page(self, rows: list[dict[str, Any]], options: dict[str, Any]) -> httpx.Response:
        start, top = int(options.get("$skipToken", 0)), options["$top"]
        if top > self.rows_in_a_page_at_most:
            details = [{"code": "ResponsePayloadTooLarge", "message": "Too large."}]
            return answer(400, {"error": {"code": "BadRequest", "message": "Support", "details": details}})
        content: dict[str, Any] = {
            "data": rows[start : start + top],
            "totalRecords": len(rows),
            "resultTruncated": "false",
        }
        if start + top < len(rows):
            content["$skipToken"] = str(start + top)
        return answer(200, content)


@dataclass
class PolledGraph:
    graph: FakeGraph
    azure: FakeAzure
    poller: ResourceGraphPoller
    changes: list[Changes]

    async def poll(self) -> Changes:
        return (await self.poller.poll()).changes


@pytest.fixture
def world() -> PolledGraph:
    return make_world()


def make_world(clock: Clock | None = None) -> PolledGraph:
    graph = FakeGraph()
    azure = FakeAzure([graph])
    changes: list[Changes] = []
    poller = ResourceGraphPoller(
        azure.arm, interval=300, on_changes=changes.append, indexing_lag=60, clock=clock or azure.time.clock
    )
    return PolledGraph(graph, azure, poller, changes)


def differing(*refs: ConnectorRef) -> Changes:
    return Changes(differing=frozenset(ref.key for ref in refs))


def vanished(*refs: ConnectorRef) -> Changes:
    return Changes(vanished=frozenset(ref.key for ref in refs))


async def test_one_query_reads_all_connectors_of_an_identity(world: PolledGraph) -> None:
    for number in range(900):
        ref = ConnectorRef(SUB1, "rg", f"c{number}")
        world.graph.put(ref, ("contoso", "Onboarded", 10, 80))
        world.poller.track(ref)
    world.poller.track(OTHER)
    look = await world.poller.poll()
    assert (look.pages, look.connectors, len(look.changes.differing)) == (1, 900, 900)
    assert world.graph.queries == [(CONNECTORS, [SUB1, SUB2])]


async def test_more_than_a_page_of_connectors_is_read_to_the_end(world: PolledGraph) -> None:
    refs = [ConnectorRef(SUB1, "rg", f"c{number}") for number in range(2500)]
    for ref in refs:
        world.graph.put(ref)
    world.poller.track(refs[0])
    look = await world.poller.poll()
    assert (look.pages, look.connectors) == (3, 2500)


async def test_after_a_page_that_is_too_large_smaller_pages_are_requested(world: PolledGraph) -> None:
    world.graph.rows_in_a_page_at_most = 300
    for number in range(400):
        world.graph.put(ConnectorRef(SUB1, "rg", f"c{number}"))
    world.poller.track(A)
    assert (await world.poller.poll()).connectors == 400
    query_count = len(world.graph.queries)
    assert (await world.poller.poll()).connectors == 400
    assert len(world.graph.queries) - query_count == 2


async def test_a_page_that_is_always_too_large_fails_the_poll(world: PolledGraph) -> None:
    world.graph.rows_in_a_page_at_most = 1
    world.poller.track(A)
    look = await world.poller.poll()
    assert look.error is not None
    assert len(world.graph.queries) < 10


async def test_the_current_view_is_from_the_last_poll(world: PolledGraph) -> None:
    world.graph.put(A, ("contoso", "Onboarded", 10, 80), ("new", "Onboarded", 0, 0))
    world.poller.track(A)
    assert world.poller.current_view(A) is None, "before the first poll nothing is known"
    await world.poll()
    view = world.poller.current_view(A)
    assert view is not None
    assert view.inventory.by_organization == {"contoso": Counts(10, 80)}
    assert [organization.name for organization in view.organizations] == ["contoso", "new"]
    assert world.poller.current_view(ConnectorRef(SUB1.upper(), "RG", "A")) is view, "whatever the case of its id"


async def test_a_poll_without_changes_reports_nothing(world: PolledGraph) -> None:
    world.graph.put(A, ("contoso", "Onboarded", 10, 80))
    world.poller.track(A)
    assert await world.poll() == differing(A)
    for _ in range(3):
        assert await world.poll() == Changes()
    assert len(world.changes) == 1


async def test_only_changed_connectors_are_reported(world: PolledGraph) -> None:
    for ref in (A, B, C):
        world.graph.put(ref, ("contoso", "Onboarded", 10, 80))
        world.poller.track(ref)
    await world.poll()
    world.graph.put(B, ("contoso", "Onboarded", 11, 80))
    assert await world.poll() == differing(B)
    world.graph.put(C, ("contoso", "Onboarded", 10, 80), tags={"changed": "by somebody"})
    assert await world.poll() == differing(C)


async def test_an_acknowledged_view_is_not_reported_again(world: PolledGraph) -> None:
    world.graph.put(A)
    world.graph.put(B)
    world.poller.track(A)
    await world.poll()
    world.poller.track(B)
    assert world.poller.current_view(B) is not None, "the last poll read its row too"
    world.poller.acknowledge(B)
    assert await world.poll() == Changes()


async def test_reading_a_view_acknowledges_nothing(world: PolledGraph) -> None:
    world.graph.put(A)
    world.graph.put(B)
    world.poller.track(A)
    await world.poll()
    world.poller.track(B)
    assert world.poller.current_view(B) is not None
    assert await world.poll() == differing(B)


async def test_untracked_connectors_are_not_reported(world: PolledGraph) -> None:
    world.graph.put(A)
    world.graph.put(B)
    world.poller.track(A)
    assert await world.poll() == differing(A)
    world.poller.untrack(A)
    world.graph.put(A, tags={"x": "y"})
    world.poller.track(B)
    assert await world.poll() == differing(B)


async def test_a_vanished_row_is_reported_once_and_leaves_no_view(world: PolledGraph) -> None:
    world.graph.put(A)
    world.poller.track(A)
    await world.poll()
    del world.graph.connectors[A.key]
    assert await world.poll() == vanished(A)
    assert world.poller.current_view(A) is None
    assert await world.poll() == Changes()
    world.graph.put(A)
    assert await world.poll() == differing(A)


async def test_a_connector_that_never_had_a_row_is_not_reported_as_vanished(world: PolledGraph) -> None:
    world.poller.track(A)
    assert await world.poll() == Changes()
    assert world.poller.current_view(A) is None


async def test_a_connector_whose_organization_lost_its_row_is_reported_as_vanished(world: PolledGraph) -> None:
    world.graph.put(A, ("contoso", "Onboarded", 1, 1), ("fabrikam", "Onboarded", 1, 1))
    world.poller.track(A)
    await world.poll()
    world.graph.put(A, ("contoso", "Onboarded", 1, 1))
    assert await world.poll() == vanished(A)


async def test_rows_that_may_be_older_than_the_last_write_are_ignored(world: PolledGraph) -> None:
    world.graph.put(A)
    world.poller.track(A)
    await world.poll()
    world.azure.time.seconds = 100
    world.poller.record_write(A)
    assert world.poller.current_view(A) is None
    world.azure.time.seconds = 159
    world.graph.put(A, tags={"stale": "row"})
    assert await world.poll() == Changes()
    assert world.poller.current_view(A) is None
    world.azure.time.seconds = 160
    assert await world.poll() == differing(A)
    assert world.poller.current_view(A) is not None


async def test_a_write_during_a_poll_makes_its_rows_outdated(world: PolledGraph) -> None:
    world.graph.put(A)
    world.poller.track(A)
    rows = world.graph

    def writing(request: httpx.Request) -> httpx.Response:
        world.poller.record_write(A)
        return rows(request)

    world.azure.answers = [writing]
    assert await world.poll() == Changes()
    assert world.poller.current_view(A) is None


async def test_a_write_without_a_visible_change_is_not_reported(world: PolledGraph) -> None:
    world.graph.put(A)
    world.poller.track(A)
    await world.poll()
    world.poller.record_write(A)
    world.azure.time.seconds = 61
    assert await world.poll() == Changes()
    assert world.poller.current_view(A) is not None


async def test_after_a_failed_poll_the_previous_views_remain_for_a_while(world: PolledGraph) -> None:
    world.graph.put(A)
    world.poller.track(A)
    await world.poll()
    world.graph.failure = answer(503, headers={"retry-after": "60"})
    look = await world.poller.poll()
    assert isinstance(look.error, AzureUnavailable)
    assert world.poller.last_result is look
    assert world.poller.current_view(A) is not None
    world.azure.time.seconds = 751
    assert world.poller.current_view(A) is None, "too old to be a hint"


async def test_a_poll_that_fails_half_way_applies_nothing(world: PolledGraph) -> None:
    for number in range(1500):
        world.graph.put(ConnectorRef(SUB1, "rg", f"c{number}"))
    ref = ConnectorRef(SUB1, "rg", "c1")
    world.poller.track(ref)
    await world.poll()
    rows = world.graph

    def half(request: httpx.Request) -> httpx.Response:
        return answer(503) if b"$skipToken" in request.content else rows(request)

    world.graph.put(ref, tags={"x": "y"})
    world.azure.answers = [half]
    assert (await world.poller.poll()).error is not None
    assert len(world.changes) == 1
    view = world.poller.current_view(ref)
    assert view is not None
    assert view.connector.tags == {}


async def test_role_assignments_are_queried_only_for_connectors_that_need_them(world: PolledGraph) -> None:
    world.graph.put(A)
    world.graph.put(B)
    world.graph.assignments = [
        {"id": "2", "name": "n2", "scope": A.key, "principalId": "p", "roleDefinitionId": "r"},
        {"id": "1", "name": "n1", "scope": A.key, "principalId": "p", "roleDefinitionId": "r"},
    ]
    world.poller.track(A)
    world.poller.track(B)
    await world.poll()
    assert len(world.graph.queries) == 1
    world.poller.track(A, readers=True)
    assert await world.poll() == differing(A)
    view, other = world.poller.current_view(A), world.poller.current_view(B)
    assert view is not None
    assert view.readers is not None
    assert [reader.name for reader in view.readers] == ["n1", "n2"]
    assert other is not None
    assert other.readers is None
    world.graph.assignments.pop()
    assert await world.poll() == differing(A)


async def test_role_assignments_that_cannot_be_read_do_not_fail_the_poll(world: PolledGraph) -> None:
    world.graph.put(A)
    world.graph.assignments = [{"id": "1", "name": "n1", "scope": A.key}]
    world.poller.track(A, readers=True)
    await world.poll()
    world.graph.reader_failure = answer(400, {"error": {"code": "BadRequest", "message": "No such table."}})
    world.graph.put(A, tags={"x": "y"})
    assert await world.poll() == differing(A)
    view = world.poller.current_view(A)
    assert view is not None
    assert [reader.name for reader in view.readers or ()] == ["n1"], "the previous ones remain"


async def test_the_connector_of_an_organization_comes_from_the_last_poll(world: PolledGraph) -> None:
    world.graph.put(A, ("Contoso", "Onboarded", 1, 1), ("fabrikam", "OnboardedByOtherConnector", 0, 0))
    world.poller.track(A)
    await world.poll()
    assert await world.poller.onboarding_connectors(["CONTOSO"]) == {"contoso": A.key}
    assert len(world.graph.queries) == 1


async def test_other_connectors_are_queried_once_between_two_polls(world: PolledGraph) -> None:
    world.graph.holders = {"fabrikam": OTHER.key}
    world.poller.track(A)
    await world.poll()
    for _ in range(3):
        assert await world.poller.onboarding_connectors(["fabrikam", "nobodys"]) == {"fabrikam": OTHER.key}
    assert [subscriptions for _, subscriptions in world.graph.queries] == [[SUB1], None]
    await world.poll()
    world.graph.holders = {}
    assert await world.poller.onboarding_connectors(["fabrikam"]) == {}


async def test_a_poll_that_ends_during_the_query_for_other_connectors_does_not_disturb_it(world: PolledGraph) -> None:
    world.graph.holders = {"fabrikam": OTHER.key}
    world.graph.put(A, ("Contoso", "Onboarded", 1, 1))
    world.poller.track(A)
    await world.poll()
    world.graph.put(A)  # the next poll has no answer for contoso

    async def answer_after_a_poll(request: httpx.Request) -> httpx.Response:
        world.azure.answers = [world.graph]
        await world.poll()
        return world.graph(request)

    world.azure.answers = [answer_after_a_poll]
    connectors = await world.poller.onboarding_connectors(["contoso", "fabrikam"])
    assert connectors == {"contoso": A.key, "fabrikam": OTHER.key}


# --- the loop, on the event loop's own time


@pytest.mark.looptime
async def test_nothing_is_queried_while_nothing_is_tracked() -> None:
    world = make_world(Clock())

    async def wait() -> None:
        await asyncio.sleep(10_000)
        assert world.graph.queries == []

    await run_poller_during(world.poller, wait)


@pytest.mark.looptime
async def test_the_first_poll_is_soon_and_covers_connectors_added_together() -> None:
    world = make_world(Clock())

    async def come_one_by_one() -> None:
        for ref in (A, B, C, OTHER):
            world.poller.track(ref)
            await asyncio.sleep(0.2)
        await asyncio.sleep(10)
        assert world.graph.queries == [(CONNECTORS, [SUB1, SUB2])]

    await run_poller_during(world.poller, come_one_by_one)


@pytest.mark.looptime
async def test_a_change_is_found_within_one_interval() -> None:
    world = make_world(Clock())
    world.graph.put(A)

    async def change() -> None:
        world.poller.track(A)
        await asyncio.sleep(5)
        for number in range(5):
            world.graph.put(A, tags={"number": str(number)})
            world.changes.clear()
            await asyncio.sleep(300)
            assert world.changes == [differing(A)]

    await run_poller_during(world.poller, change)


@pytest.mark.looptime
async def test_an_hour_costs_one_query_for_each_interval() -> None:
    world = make_world(Clock())
    world.graph.put(A)

    async def idle() -> None:
        world.poller.track(A)
        await asyncio.sleep(3600)
        assert 12 <= len(world.graph.queries) <= 14

    await run_poller_during(world.poller, idle)


@pytest.mark.looptime
async def test_a_connector_of_a_new_subscription_is_polled_soon() -> None:
    world = make_world(Clock())
    world.graph.put(OTHER)

    async def come_late() -> None:
        world.poller.track(A)
        await asyncio.sleep(100)
        world.poller.track(B)  # of the same subscription: seen already
        await asyncio.sleep(10)
        assert len(world.graph.queries) == 1
        world.poller.track(OTHER)
        await asyncio.sleep(10)
        assert world.changes == [differing(OTHER)]

    await run_poller_during(world.poller, come_late)


@pytest.mark.looptime
async def test_after_a_failure_the_next_poll_is_at_its_regular_time() -> None:
    world = make_world(Clock())
    world.graph.put(A)
    world.graph.failure = answer(403, {"error": {"code": "AuthorizationFailed", "message": "No."}})

    async def fail() -> None:
        world.poller.track(A)
        await asyncio.sleep(200)
        assert len(world.graph.queries) == 1
        assert world.changes == []
        world.graph.failure = None
        await asyncio.sleep(120)
        assert world.changes == [differing(A)]

    await run_poller_during(world.poller, fail)


@pytest.mark.looptime
async def test_connectors_added_one_after_another_share_a_poll() -> None:
    world = make_world(Clock())
    subscriptions = [f"00000000-0000-0000-0000-{number:012}" for number in range(30)]

    async def come_for_a_minute() -> None:
        for subscription in subscriptions:
            world.poller.track(ConnectorRef(subscription, "rg", "c"))
            await asyncio.sleep(2)
        await asyncio.sleep(15)
        assert len(world.graph.queries) <= 6
        assert world.graph.queries[-1] == (CONNECTORS, subscriptions)

    await run_poller_during(world.poller, come_for_a_minute)


async def test_who_waits_for_the_first_poll_is_told_of_its_end_once(world: PolledGraph) -> None:
    world.graph.put(A)
    world.poller.track(A, is_awaited=True)
    world.poller.track(B, is_awaited=True)
    world.poller.track(C)
    assert not world.poller.has_polled(A)
    changes = await world.poll()
    assert changes.differing == {A.key}
    assert changes.awaited == {A.key, B.key}, "whether there is a row or none"
    assert world.poller.has_polled(B)
    assert await world.poll() == Changes()


async def test_a_poll_that_fails_ends_the_wait_too(world: PolledGraph) -> None:
    world.poller.track(A, is_awaited=True)
    world.graph.failure = answer(503)
    assert await world.poll() == Changes(awaited=frozenset({A.key}))
    assert world.changes == [Changes(awaited=frozenset({A.key}))]
    assert world.poller.has_polled(A)
    assert world.poller.current_view(A) is None


async def test_a_connector_of_a_subscription_that_was_polled_does_not_wait(world: PolledGraph) -> None:
    world.graph.put(A)
    world.graph.put(B)
    world.poller.track(A)
    await world.poll()
    world.poller.track(B, is_awaited=True)
    world.poller.track(OTHER, is_awaited=True)
    assert world.poller.has_polled(B)
    assert not world.poller.has_polled(OTHER), "its subscription was in no poll"
    assert (await world.poll()).awaited == {OTHER.key}


async def test_role_assignments_are_waited_for(world: PolledGraph) -> None:
    world.graph.put(A)
    world.poller.track(B)
    await world.poll()
    world.poller.track(A, readers=True, is_awaited=True)
    assert not world.poller.has_polled(A)
    assert (await world.poll()).awaited == {A.key}


async def test_a_connector_that_is_deleted_while_it_waits_is_forgotten(world: PolledGraph) -> None:
    world.poller.track(A, is_awaited=True)
    world.poller.untrack(A)
    assert not world.poller.has_polled(A)
    assert await world.poll() == Changes()


async def test_a_write_after_the_start_does_not_lose_the_wait(world: PolledGraph) -> None:
    world.graph.put(A)
    world.poller.track(A, is_awaited=True)
    world.poller.record_write(A)
    assert (await world.poll()).awaited == {A.key}
    assert world.poller.current_view(A) is None
