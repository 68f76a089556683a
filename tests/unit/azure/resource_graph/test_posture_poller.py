"""The periodic query for recommendations: only a complete answer replaces numbers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import structlog

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.api.posture import PostureCounts
from defender_devops.azure.resource_graph.posture_poller import PosturePoller, PostureView
from defender_devops.azure.resource_graph.queries import POSTURE
from defender_devops.clock import Clock
from defender_devops.errors import AzureUnavailable, Forbidden
from tests.unit.azure.fakes import NOW, FakeAzure, answer, arm_error
from tests.unit.azure.resource_graph.running import run_poller_during

SUB1, SUB2, SUB3 = (f"{number}{number}{number}{number}2222-2222-2222-2222-222222222222" for number in "234")
A, B = ConnectorRef(SUB1, "rg", "a"), ConnectorRef(SUB1, "RG", "B")
OTHER, THIRD = ConnectorRef(SUB2, "rg", "other"), ConnectorRef(SUB3, "rg", "third")
HALF_AN_HOUR = 1800
FIVE_MINUTES = 300
POLLS_BEFORE_REPORT = 3
REFUSAL = arm_error(403, "AuthorizationFailed", "The client does not have authorization.")


@dataclass
class FakeGraph:
    """One row for each organization, answered in pages.

    Attributes:
        healthy: number of healthy recommendations by organization id.
        truncates: subscriptions whose rows do not fit into an answer with those of others.
        override: answers instead, if it returns something.
        queries: subscriptions of each first page.
    """

    healthy: dict[str, int] = field(default_factory=dict)
    times: dict[str, str] = field(default_factory=dict)
    truncates: set[str] = field(default_factory=set)
    override: Callable[[dict[str, Any]], httpx.Response | None] = lambda _body: None
    rows_in_a_page_at_most: int = 1000
    queries: list[list[str]] = field(default_factory=list)
    requests: int = 0

    def put(self, ref: ConnectorRef, organization: str, healthy: int, changed_at: str = "2026-10-01T00:00:00Z") -> None:
        key = f"{ref.key}/devops/default/azuredevopsorgs/{organization}"
        self.healthy[key], self.times[key] = healthy, changed_at

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        assert body["query"] == POSTURE
        self.requests += 1
        options, subscriptions = body["options"], body["subscriptions"]
        if "$skipToken" not in options:
            self.queries.append(subscriptions)
        if (special := self.override(body)) is not None:
            return special
        if options["$top"] > self.rows_in_a_page_at_most:
            details = [{"code": "ResponsePayloadTooLarge", "message": "Too large."}]
            return answer(400, {"error": {"code": "BadRequest", "message": "Support", "details": details}})
        within = tuple(f"/subscriptions/{subscription}/" for subscription in subscriptions)
        rows = [self._row(key) for key in sorted(self.healthy) if key.startswith(within)]
        start, top = int(options.get("$skipToken", 0)), options["$top"]
        is_truncated = len(subscriptions) > 1 and bool(self.truncates & set(subscriptions))
        content: dict[str, Any] = {
            "data": rows[start : start + top],
            "totalRecords": len(rows),
            "resultTruncated": "true" if is_truncated else "false",
        }
        if start + top < len(rows):
            content["$skipToken"] = str(start + top)
        return answer(200, content)

    def _row(self, key: str) -> dict[str, Any]:
        number = self.healthy[key]
        bag = {"status": "Healthy", "severity": "High", "category": "", "number": number}
        return {"id": key, "recommendations": number, "counts": [bag], "changedAt": self.times[key]}


@dataclass
class World:
    graph: FakeGraph
    azure: FakeAzure
    poller: PosturePoller
    polls: list[frozenset[str]]

    async def changed(self, polls: int = 1) -> frozenset[str]:
        """Poll some times, and return the connectors that any of the polls reports."""
        return frozenset().union(*[(await self.poller.poll()).changed for _ in range(polls)])

    def numbers(self, ref: ConnectorRef) -> dict[str, int]:
        return {name: counts.healthy for name, counts in self.poller.view(ref).organizations.items()}


def make_world(clock: Clock | None = None, *tracked: ConnectorRef) -> World:
    graph = FakeGraph()
    azure = FakeAzure([graph])
    polls: list[frozenset[str]] = []
    poller = PosturePoller(
        azure.arm,
        interval=HALF_AN_HOUR,
        on_poll=lambda _poller, changed: polls.append(changed),
        clock=clock or azure.time.clock,
    )
    for ref in tracked:
        poller.track(ref)
    return World(graph, azure, poller, polls)


@pytest.fixture
def world() -> World:
    """Two connectors in one subscription and one in another, each with an organization."""
    world = make_world(None, A, B, OTHER)
    for ref in (A, B, OTHER):
        world.graph.put(ref, "contoso", 5)
    return world


async def test_one_query_reads_the_recommendations_of_all_connectors(world: World) -> None:
    assert world.poller.view(A).answered_at is None
    assert await world.changed() == {A.key, B.key, OTHER.key}
    assert world.graph.queries == [[SUB1, SUB2]]
    view = world.poller.view(ConnectorRef(SUB1.upper(), "RG", "A"))
    assert view.organizations == {"contoso": PostureCounts(healthy=5)}
    assert view.answered_at == datetime.fromtimestamp(NOW, UTC)
    assert view.error is None


async def test_a_thousand_connectors_with_five_organizations_cost_five_requests() -> None:
    world = make_world(None, A)
    for connector in range(1000):
        for organization in range(5):
            world.graph.put(ConnectorRef(SUB1, "rg", f"c{connector}"), f"org-{organization}", 20)
    assert (await world.poller.poll()).pages == 5
    assert world.graph.requests == 5


async def test_only_changed_connectors_are_reported(world: World) -> None:
    await world.changed()
    assert await world.changed() == frozenset()
    world.graph.put(B, "contoso", 6)
    assert await world.changed() == {B.key}
    world.graph.put(A, "fabrikam", 1)
    assert await world.changed() == {A.key}
    assert world.polls == [{A.key, B.key, OTHER.key}, frozenset(), {B.key}, {A.key}]


async def test_a_later_time_of_equal_numbers_is_no_change_but_is_kept(world: World) -> None:
    await world.changed()
    world.graph.put(A, "contoso", 5, "2026-10-09T00:00:00Z")
    assert await world.changed() == frozenset()
    assert world.poller.view(A).organizations["contoso"].latest_change == datetime(2026, 10, 9, tzinfo=UTC)


async def test_an_equal_answer_keeps_the_objects_of_the_previous_one(world: World) -> None:
    await world.changed()
    organizations = world.poller.view(A).organizations
    await world.changed()
    assert world.poller.view(A).organizations is organizations


async def test_an_organization_without_a_row_is_absent_and_not_zero(world: World) -> None:
    world.poller.track(THIRD)
    await world.changed()
    assert world.poller.view(THIRD).organizations == {}
    assert world.poller.view(THIRD).answered_at is not None
    world.graph.healthy.pop(f"{A.key}/devops/default/azuredevopsorgs/contoso")
    assert await world.changed(POLLS_BEFORE_REPORT) == {A.key}
    assert world.numbers(A) == {}


@pytest.mark.parametrize("empty_answers", range(1, POLLS_BEFORE_REPORT))
async def test_a_row_that_few_answers_lack_changes_nothing(world: World, empty_answers: int) -> None:
    await world.changed()
    rows = dict(world.graph.healthy)
    for _ in range(2):  # an answer with the rows begins the count anew
        world.graph.healthy.clear()
        assert await world.changed(empty_answers) == frozenset()
        assert world.numbers(A) == {"contoso": 5}
        world.graph.healthy.update(rows)
        assert await world.changed() == frozenset()


@pytest.mark.parametrize("failures", range(1, POLLS_BEFORE_REPORT))
async def test_few_failed_polls_change_nothing(world: World, failures: int) -> None:
    await world.changed()
    for _ in range(2):  # a complete answer begins the count anew
        world.graph.override = lambda _body: REFUSAL
        assert await world.changed(failures) == frozenset()
        assert world.poller.view(A).error is None
        assert world.numbers(A) == {"contoso": 5}
        world.graph.override = lambda _body: None
        assert await world.changed() == frozenset()


async def test_failures_and_answers_without_rows_are_not_added(world: World) -> None:
    await world.changed()
    for _ in range(POLLS_BEFORE_REPORT - 1):
        world.graph.override = lambda _body: answer(200, {"data": [], "totalRecords": 0, "resultTruncated": "false"})
        assert await world.changed() == frozenset()
        world.graph.override = lambda _body: answer(503)
        assert await world.changed() == frozenset()
    assert world.numbers(A) == {"contoso": 5}
    assert world.poller.view(A).error is None


async def test_a_refusal_keeps_the_numbers_and_says_why(world: World) -> None:
    await world.changed()
    world.graph.put(A, "contoso", 1)
    world.graph.override = lambda _body: REFUSAL
    assert await world.changed(POLLS_BEFORE_REPORT) == {A.key, B.key, OTHER.key}
    assert world.numbers(A) == {"contoso": 5}
    assert isinstance(world.poller.view(A).error, Forbidden)
    assert await world.changed() == frozenset(), "nothing is new"
    world.graph.override = lambda _body: None
    assert await world.changed() == {A.key, B.key, OTHER.key}
    assert world.numbers(A) == {"contoso": 1}
    assert world.poller.view(A).error is None


async def test_a_failure_before_the_first_answer_leaves_everything_unknown(world: World) -> None:
    world.graph.override = lambda _body: REFUSAL
    await world.changed()
    assert world.poller.view(A) == PostureView(), "one failed query says nothing yet"
    await world.changed(POLLS_BEFORE_REPORT - 1)
    view = world.poller.view(A)
    assert (view.organizations, view.answered_at) == ({}, None)
    assert view.error is not None


async def test_a_page_that_fails_in_the_middle_applies_nothing() -> None:
    world = make_world(None, A)
    for number in range(1500):
        world.graph.put(A, f"org-{number:04}", 5)
    await world.changed()
    world.graph.put(A, "org-0001", 1)
    world.graph.override = lambda body: answer(503) if "$skipToken" in body["options"] else None
    await world.changed(POLLS_BEFORE_REPORT)
    numbers = world.numbers(A)
    assert (len(numbers), numbers["org-0001"]) == (1500, 5)
    assert isinstance(world.poller.view(A).error, AzureUnavailable)


async def test_after_a_page_that_is_too_large_smaller_pages_are_requested() -> None:
    world = make_world(None, A)
    world.graph.rows_in_a_page_at_most = 300
    for number in range(400):
        world.graph.put(A, f"org-{number:04}", 5)
    assert await world.changed() == {A.key}
    assert len(world.numbers(A)) == 400


async def test_a_truncated_answer_is_read_for_fewer_subscriptions(world: World) -> None:
    world.poller.track(THIRD)
    world.graph.put(THIRD, "contoso", 5)
    world.graph.truncates = {SUB2}
    await world.changed()
    assert world.graph.queries == [[SUB1, SUB2, SUB3], [SUB1], [SUB2, SUB3], [SUB2], [SUB3]]
    assert [world.numbers(ref) for ref in (A, OTHER, THIRD)] == [{"contoso": 5}] * 3


async def test_a_subscription_whose_answer_is_always_truncated_concerns_no_other(world: World) -> None:
    await world.changed()
    truncated = answer(200, {"data": [], "totalRecords": 0, "resultTruncated": "true"})
    world.graph.override = lambda body: truncated if SUB2 in body["subscriptions"] else None
    world.graph.put(A, "contoso", 6)
    world.graph.put(OTHER, "contoso", 6)
    assert await world.changed(POLLS_BEFORE_REPORT) == {A.key, OTHER.key}
    assert world.numbers(A) == {"contoso": 6}
    assert world.poller.view(A).error is None
    assert world.numbers(OTHER) == {"contoso": 5}
    assert isinstance(world.poller.view(OTHER).error, AzureUnavailable)


async def test_an_outage_between_two_subscriptions_concerns_only_those_without_an_answer(world: World) -> None:
    world.graph.truncates = {SUB2}
    world.graph.override = lambda body: REFUSAL if body["subscriptions"] == [SUB2] else None
    await world.changed(POLLS_BEFORE_REPORT)
    assert world.poller.view(A).error is None
    assert world.poller.view(OTHER).error is not None


async def test_an_untracked_connector_is_not_reported(world: World) -> None:
    await world.changed()
    world.poller.untrack(B)
    world.graph.put(B, "contoso", 6)
    assert await world.changed() == frozenset()
    world.poller.untrack(OTHER)
    assert world.poller.view(OTHER).answered_at is None
    await world.changed()
    assert world.graph.queries[-1] == [SUB1]


async def test_a_subscription_that_is_untracked_during_a_poll_leaves_nothing(world: World) -> None:
    rows = world.graph

    def untracking(request: httpx.Request) -> httpx.Response:
        world.poller.untrack(OTHER)
        return rows(request)

    world.azure.answers = [untracking]
    await world.changed()
    assert {connector for connector, _, _ in world.poller.counts()} == {A.key, B.key}


async def test_unknown_words_are_logged_once(world: World) -> None:
    key = f"{A.key}/devops/default/azuredevopsorgs/contoso"
    bag = {"status": "Unhealthy", "severity": "Severe", "category": "", "number": 2}
    row = {"id": key, "recommendations": 2, "counts": [bag]}
    world.graph.override = lambda _body: answer(200, {"data": [row], "totalRecords": 1})
    with structlog.testing.capture_logs() as logs:
        await world.changed()
        await world.changed()
    (entry,) = [log for log in logs if log["log_level"] == "warning"]
    assert entry["words"] == ["severity 'severe'"]


async def test_a_failure_is_logged_when_it_begins_and_when_it_ends(world: World) -> None:
    with structlog.testing.capture_logs() as logs:
        world.graph.override = lambda _body: REFUSAL
        await world.changed()
        await world.changed()
        world.graph.override = lambda _body: None
        await world.changed()
        await world.changed()
    assert [log["event"] for log in logs] == [
        "query for recommendations failed",
        "query for recommendations succeeded again",
    ]


# --- the loop, on the event loop's own time


@pytest.mark.looptime
async def test_the_first_poll_is_soon_and_the_next_ones_are_at_intervals() -> None:
    world = make_world(Clock())

    async def wait() -> None:
        world.poller.track(A)
        world.poller.track(OTHER)
        await asyncio.sleep(10)
        assert world.graph.queries == [[SUB1, SUB2]]
        await asyncio.sleep(0.85 * HALF_AN_HOUR)
        assert len(world.graph.queries) == 1
        await asyncio.sleep(9.2 * HALF_AN_HOUR)
        assert 11 <= len(world.graph.queries) <= 12

    await run_poller_during(world.poller, wait)


@pytest.mark.looptime
async def test_a_connector_in_a_covered_subscription_waits_for_the_regular_poll() -> None:
    world = make_world(Clock(), A)
    world.graph.put(B, "contoso", 5)

    async def wait() -> None:
        await asyncio.sleep(10)
        world.poller.track(B)
        await asyncio.sleep(100)
        assert len(world.graph.queries) == 1
        assert world.numbers(B) == {"contoso": 5}, "the last answer holds its row too"

    await run_poller_during(world.poller, wait)


async def polls_within(world: World, seconds: float) -> int:
    """Return the number of polls that begin within some seconds; each sends up to as many requests as retries."""
    before = len(world.polls)
    await asyncio.sleep(seconds)
    return len(world.polls) - before


@pytest.mark.looptime
async def test_two_failed_polls_are_repeated_soon_and_later_ones_at_the_regular_time() -> None:
    world = make_world(Clock(), A)
    world.graph.override = lambda _body: answer(503)

    async def fail() -> None:
        assert await polls_within(world, 60) == 1
        assert await polls_within(world, 2 * FIVE_MINUTES + 60) == 2
        assert world.poller.view(A).error is not None
        assert await polls_within(world, 0.8 * HALF_AN_HOUR) == 0
        assert await polls_within(world, 5 * HALF_AN_HOUR) in {5, 6}

    await run_poller_during(world.poller, fail)


@pytest.mark.looptime
async def test_an_outage_that_ends_begins_the_repetitions_anew() -> None:
    world = make_world(Clock(), A)
    world.graph.override = lambda _body: answer(503)

    async def recover() -> None:
        await asyncio.sleep(2 * HALF_AN_HOUR)
        world.graph.override = lambda _body: None
        await asyncio.sleep(1.1 * HALF_AN_HOUR)
        assert world.poller.view(A).error is None
        world.graph.override = lambda _body: answer(503)
        while await polls_within(world, 10) == 0:
            pass
        assert await polls_within(world, 2 * FIVE_MINUTES + 60) == 2

    await run_poller_during(world.poller, recover)


@pytest.mark.looptime
async def test_a_failed_poll_is_not_repeated_before_the_time_that_azure_demands() -> None:
    world = make_world(Clock(), A)
    world.graph.override = lambda _body: answer(503, headers={"retry-after": str(2 * HALF_AN_HOUR)})

    async def fail() -> None:
        assert await polls_within(world, 60) == 1
        assert await polls_within(world, 1.9 * HALF_AN_HOUR) == 0
        assert await polls_within(world, 0.2 * HALF_AN_HOUR) == 1

    await run_poller_during(world.poller, fail)
