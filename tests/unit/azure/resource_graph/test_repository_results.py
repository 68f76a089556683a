"""The query for the repositories of which Defender has recommendations: only a complete answer is one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.api.pipelines.results import RepositoryNames, RepositoryResults
from defender_devops.azure.resource_graph.pollers import ResourceGraphPollers
from defender_devops.azure.resource_graph.posture_poller import PosturePoller, PosturePollResult
from defender_devops.azure.resource_graph.queries import POSTURE, REPOSITORIES_WITH_RESULTS
from defender_devops.azure.resource_graph.repository_results import merge_repository_rows, parse_repository_row
from tests.unit.azure.fakes import NOW, FakeAzure, answer, arm_error

SUB1, SUB2 = (f"{number}{number}{number}{number}2222-2222-2222-2222-222222222222" for number in "23")
A, B, OTHER = ConnectorRef(SUB1, "rg", "a"), ConnectorRef(SUB1, "rg", "b"), ConnectorRef(SUB2, "rg", "other")
DAY = 86400.0
EVALUATED = "2026-10-01T00:00:00Z"
REFUSAL = arm_error(403, "AuthorizationFailed", "The client does not have authorization.")


def organization_id(ref: ConnectorRef, organization: str = "contoso") -> str:
    return f"{ref.key}/devops/default/azuredevopsorgs/{organization}"


def row(names: object = ("web/shop",), **columns: object) -> dict[str, Any]:
    number = sum(bool(name) for name in names) if isinstance(names, tuple) else 1
    listed = list(names) if isinstance(names, tuple) else names
    fields = {"id": organization_id(A), "repositories": number, "names": listed, "evaluatedAt": EVALUATED}
    return {**fields, **columns}


@pytest.mark.parametrize(
    ("columns", "is_complete", "present"),
    [
        ({}, True, {"web/shop": True, "Web/Shop": True, "web/api": False}),
        ({"names": ["web/shop", ""], "repositories": 1}, True, {"web/shop": True, "": False}),
        ({"names": ["my%20shop/b%c3%bccher"]}, True, {"My Shop/Bücher": True}),
        ({"names": ["web/shop", "web/api"], "repositories": 2}, True, {"web/api": True}),
        ({"names": [], "repositories": 0}, True, {"web/shop": False}),
        ({"names": ["web/shop"], "repositories": 2}, False, {}),
        ({"names": None}, False, {}),
        ({"names": "web/shop"}, False, {}),
        ({"names": [None, 7, {}]}, False, {}),
        ({"repositories": "1"}, False, {}),
        ({"repositories": None}, False, {}),
    ],
    ids=str,
)
def test_a_row_is_complete_if_it_names_as_many_repositories_as_it_counts(
    columns: Mapping[str, object], is_complete: bool, present: Mapping[str, bool]
) -> None:
    parsed = parse_repository_row(row(**columns))
    assert (parsed.connector, parsed.organization, parsed.is_complete) == (A.key, "contoso", is_complete)
    assert {name: name in parsed.names for name in present} == present
    assert parsed.evaluated_since == datetime(2026, 10, 1, tzinfo=UTC)


@pytest.mark.parametrize("identifier", [None, "", "x", A.key, organization_id(A, "")])
def test_a_row_with_an_id_of_another_form_belongs_to_nothing(identifier: object) -> None:
    assert parse_repository_row(row(id=identifier)).connector == ""
    assert merge_repository_rows([parse_repository_row(row(id=identifier)), None]) == {}


def test_rows_that_spell_an_organization_differently_are_one() -> None:
    one = row(("web/shop",), id=organization_id(A, "my%2Dorg"), evaluatedAt="2026-10-02T00:00:00Z")
    other = row(("web/api",), id=organization_id(A, "My-Org").upper())
    merged = merge_repository_rows(map(parse_repository_row, (one, other)))[A.key]["my-org"]
    assert (len(merged.names), merged.is_complete) == (2, True)
    assert merged.evaluated_since == datetime(2026, 10, 1, tzinfo=UTC)
    cut_off = row(("web/web",), id=organization_id(A, "my-org"), repositories=5, evaluatedAt=None)
    assert not merge_repository_rows(map(parse_repository_row, (one, cut_off, other)))[A.key]["my-org"].is_complete


@given(st.lists(st.text(max_size=5)), st.lists(st.text(max_size=5)), st.text(max_size=5))
def test_names_are_a_set(one: list[str], other: list[str], name: str) -> None:
    names = RepositoryNames(one)
    assert all(value in names for value in one)
    assert (name in names) == (name.lower() in {value.lower() for value in one})
    union = names | RepositoryNames(other)
    assert union == RepositoryNames([*other, *one])
    assert len(union) == len({value.lower() for value in (*one, *other)})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=4), values, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["id", "repositories", "names", "evaluatedAt"]), JSON))
def test_any_row_is_parsed(columns: dict[str, Any]) -> None:
    parsed = parse_repository_row(row(**columns))
    assert isinstance(parsed.names, RepositoryNames)


@dataclass
class FakeGraph:
    """One organization `contoso` in each connector, with numbers and names of repositories.

    Attributes:
        names: of the repositories with recommendations, by connector.
        totals: recommendations, by connector.
        override: answers instead, if it returns something.
        queries: subscriptions of each query for repositories.
    """

    names: dict[str, list[str]] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    override: Callable[[dict[str, Any]], httpx.Response | None] = lambda _body: None
    queries: list[list[str]] = field(default_factory=list)
    requests: int = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.requests += 1
        is_posture = body["query"] == POSTURE
        assert is_posture or body["query"] == REPOSITORIES_WITH_RESULTS
        if not is_posture and "$skipToken" not in body["options"]:
            self.queries.append(body["subscriptions"])
        if (special := self.override(body)) is not None:
            return special
        within = tuple(f"/subscriptions/{subscription}/" for subscription in body["subscriptions"])
        rows = [
            self._posture_row(key) if is_posture else self._row(key)
            for key in sorted(self.names)
            if key.startswith(within)
        ]
        start, top = int(body["options"].get("$skipToken", 0)), body["options"]["$top"]
        content: dict[str, Any] = {
            "data": rows[start : start + top],
            "totalRecords": len(rows),
            "resultTruncated": "false",
        }
        if start + top < len(rows):
            content["$skipToken"] = str(start + top)
        return answer(200, content)

    def _posture_row(self, key: str) -> dict[str, Any]:
        number = self.totals.get(key, 1)
        bag = {"status": "Healthy", "severity": "High", "category": "", "number": number}
        return {"id": f"{key}/devops/default/azuredevopsorgs/contoso", "recommendations": number, "counts": [bag]}

    def _row(self, key: str) -> dict[str, Any]:
        names = self.names[key]
        return row(names=names, repositories=len(names), id=f"{key}/devops/default/azuredevopsorgs/contoso")


@dataclass
class World:
    graph: FakeGraph
    azure: FakeAzure
    poller: PosturePoller

    async def poll(self) -> PosturePollResult:
        self.azure.time.seconds += 1800
        return await self.poller.poll()

    def results(self, ref: ConnectorRef = A) -> RepositoryResults:
        return self.poller.repository_results(ref, "contoso")

    def shows(self, name: str, ref: ConnectorRef = A) -> bool:
        names = self.results(ref).names
        assert names is not None
        return name in names


@pytest.fixture
def world() -> World:
    """Two connectors in a subscription and one in another; pipelines are checked of the first and the last."""
    graph = FakeGraph({ref.key: ["web/shop", "web/api"] for ref in (A, B, OTHER)})
    azure = FakeAzure([graph])
    poller = PosturePoller(azure.arm, interval=1800, on_poll=lambda _poller, _changed: None, clock=azure.time.clock)
    poller.track(A, checks_interval=DAY)
    poller.track(B)
    poller.track(OTHER, checks_interval=DAY)
    return World(graph, azure, poller)


async def test_nothing_is_queried_where_no_pipelines_are_checked(world: World) -> None:
    world.poller.track(A)
    world.poller.track(OTHER)
    await world.poll()
    assert (world.graph.requests, world.graph.queries) == (1, [])
    assert world.results() == RepositoryResults()
    assert not world.results().is_read


async def test_one_query_reads_the_repositories_of_the_connectors_whose_pipelines_are_checked(world: World) -> None:
    assert not world.results().is_read
    assert (await world.poll()).changed == {A.key, B.key, OTHER.key}
    assert world.graph.queries == [[SUB1, SUB2]]
    assert world.shows("Web/Shop")
    assert not world.shows("web/other")
    assert world.results().answered_at == datetime.fromtimestamp(NOW + 1800, UTC)
    assert world.results().evaluated_since == datetime(2026, 10, 1, tzinfo=UTC)
    assert world.results(B) == RepositoryResults(), "nothing is kept of a connector without checks"


async def test_while_recommendations_do_not_change_the_answer_is_confirmed_without_a_request(world: World) -> None:
    await world.poll()
    requests = world.graph.requests
    assert (await world.poll()).changed == frozenset()
    assert (world.graph.requests, len(world.graph.queries)) == (requests + 1, 1)
    assert world.results().answered_at == datetime.fromtimestamp(NOW + 3600, UTC)


async def test_changed_recommendations_are_followed_by_a_query_for_their_subscription(world: World) -> None:
    await world.poll()
    world.graph.names[A.key].append("web/new")
    world.graph.totals[A.key] = 2
    assert (await world.poll()).changed == {A.key}
    assert world.graph.queries == [[SUB1, SUB2], [SUB1]]
    assert world.shows("web/new")
    world.graph.totals[B.key] = 2  # its pipelines are not checked
    await world.poll()
    assert len(world.graph.queries) == 2


async def test_an_answer_is_renewed_after_the_interval_of_the_checks(world: World) -> None:
    await world.poll()
    world.graph.names[A.key] = ["web/shop"]  # without a change of the numbers
    world.azure.time.seconds += 0.8 * DAY
    await world.poll()
    assert world.shows("web/api")
    world.azure.time.seconds += 0.1 * DAY
    assert (await world.poll()).changed == {A.key}
    assert not world.shows("web/api")


async def test_checks_that_begin_later_are_covered_by_the_next_poll(world: World) -> None:
    await world.poll()
    world.poller.track(B, checks_interval=DAY)
    assert not world.results(B).is_read
    assert (await world.poll()).changed == {B.key}
    assert world.shows("web/shop", B)


async def test_nothing_remains_of_a_connector_whose_checks_end(world: World) -> None:
    await world.poll()
    world.poller.track(A)
    assert world.results() == RepositoryResults()
    world.poller.untrack(OTHER)
    requests = world.graph.requests
    await world.poll()
    assert world.graph.requests == requests + 1


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        (lambda body: REFUSAL if body["query"] != POSTURE else None, "Azure denied"),
        (lambda _body: REFUSAL, "Azure denied"),
        (
            lambda body: (
                answer(200, {"data": [], "totalRecords": 0, "resultTruncated": "true"})
                if body["query"] != POSTURE
                else None
            ),
            "truncated",
        ),
        (lambda body: answer(503) if body["query"] != POSTURE else None, ""),
        (lambda body: answer(200, {"data": "x"}) if body["query"] != POSTURE else None, "not a list of rows"),
    ],
    ids=["refused", "recommendations refused", "truncated", "unavailable", "no rows"],
)
async def test_a_failure_is_a_reason_and_never_a_list(
    world: World, override: Callable[[dict[str, Any]], httpx.Response | None], problem: str
) -> None:
    await world.poll()
    world.graph.override = override
    world.graph.totals[A.key] = world.graph.totals[OTHER.key] = 2
    for _ in range(2):  # too few to be reported
        assert (await world.poll()).error is not None
        assert world.shows("web/shop")
    result = await world.poll()
    assert result.error is not None
    assert {A.key, OTHER.key} <= result.changed
    assert world.results().names is None
    assert problem in world.results().problem
    assert world.results().problem.endswith(".")
    assert (await world.poll()).changed == frozenset(), "nothing is new"
    assert world.poller.view(A).organizations, "the numbers do not depend on it"
    world.graph.override = lambda _body: None
    assert {A.key, OTHER.key} <= (await world.poll()).changed
    assert world.shows("web/shop")


async def test_a_failure_before_the_first_answer_is_not_read_and_then_a_reason(world: World) -> None:
    world.graph.override = lambda _body: REFUSAL
    for _ in range(2):
        await world.poll()
        assert not world.results().is_read
    assert {A.key, OTHER.key} <= (await world.poll()).changed
    assert world.results().problem


async def test_an_organization_that_vanishes_is_silent_after_three_answers(world: World) -> None:
    await world.poll()
    del world.graph.names[A.key]
    world.graph.totals[OTHER.key] = 2
    world.azure.time.seconds += DAY
    for _ in range(2):
        assert A.key not in (await world.poll()).changed
        assert world.shows("web/shop")
    assert A.key in (await world.poll()).changed
    assert world.results().names is None
    queries = len(world.graph.queries)
    await world.poll()
    assert len(world.graph.queries) == queries, "silence is not queried again in each round"


async def test_a_failure_for_one_subscription_concerns_no_other(world: World) -> None:
    truncated = answer(200, {"data": [], "totalRecords": 0, "resultTruncated": "true"})
    world.graph.override = lambda body: (
        truncated if body["query"] != POSTURE and SUB2 in body["subscriptions"] else None
    )
    await world.poll()
    assert world.graph.queries == [[SUB1, SUB2], [SUB1], [SUB2]]
    assert world.shows("web/shop")
    for _ in range(2):
        await world.poll()
    assert world.results(OTHER).problem
    assert world.shows("web/shop")


@pytest.mark.parametrize(
    ("names", "columns", "problem"),
    [
        ([], {}, "shows nothing of any repository"),
        ([""], {"repositories": 0}, "shows nothing of any repository"),
        (["web/shop"], {"repositories": 9}, "cut off"),
    ],
)
async def test_silence_and_a_cut_list_are_unknown(
    world: World, monkeypatch: pytest.MonkeyPatch, names: list[str], columns: dict[str, Any], problem: str
) -> None:
    monkeypatch.setattr(
        FakeGraph,
        "_row",
        lambda _self, key: row(
            names=names,
            **{"repositories": len(names), "id": f"{key}/devops/default/azuredevopsorgs/contoso", **columns},
        ),
    )
    await world.poll()
    assert (world.results().names, problem in world.results().problem) == (None, True)


async def test_an_organization_without_a_row_is_silent(world: World) -> None:
    await world.poll()
    silent = world.poller.repository_results(A, "fabrikam")
    assert (silent.names, "shows nothing of any repository" in silent.problem) == (None, True)


async def test_a_round_for_a_thousand_connectors_with_checks_costs_ten_requests() -> None:
    graph = FakeGraph()
    azure = FakeAzure([graph])
    poller = PosturePoller(azure.arm, interval=1800, on_poll=lambda _poller, _changed: None, clock=azure.time.clock)
    graph.names = {f"{ConnectorRef(SUB1, 'rg', f'c{number}').key}": [] for number in range(1000)}
    rows = [
        row(names=[f"web/{number}" for number in range(20)], repositories=20, id=organization_id(ref, f"org-{number}"))
        for ref in (ConnectorRef(SUB1, "rg", f"c{connector}") for connector in range(1000))
        for number in range(5)
    ]
    graph.override = lambda body: _page(body, rows)
    for connector in range(1000):
        poller.track(ConnectorRef(SUB1, "rg", f"c{connector}"), checks_interval=DAY)
    assert (await poller.poll()).pages == 10
    assert graph.requests == 10
    results = poller.repository_results(ConnectorRef(SUB1, "rg", "c999"), "org-4")
    assert results.names is not None
    assert len(results.names) == 20
    assert (await poller.poll()).pages == 5, "nothing has changed"


def _page(body: dict[str, Any], rows: list[dict[str, Any]]) -> httpx.Response:
    start, top = int(body["options"].get("$skipToken", 0)), body["options"]["$top"]
    content: dict[str, Any] = {"data": rows[start : start + top], "totalRecords": len(rows)}
    if start + top < len(rows):
        content["$skipToken"] = str(start + top)
    return answer(200, content)


async def test_without_the_query_for_recommendations_the_reason_is_the_setting(world: World) -> None:
    pollers = ResourceGraphPollers(interval=60, on_changes=lambda _changes: None, posture_interval=0)
    assert pollers.repository_results("uid", "contoso") == RepositoryResults()
    pollers.track("uid", world.azure.arm, A, checks_interval=DAY)
    assert "postureInterval" in pollers.repository_results("uid", "contoso").problem


async def test_results_are_those_of_the_connector_of_a_resource(world: World) -> None:
    pollers = ResourceGraphPollers(
        interval=60, on_changes=lambda _changes: None, posture_interval=1800, clock=world.azure.time.clock
    )
    pollers.track("uid", world.azure.arm, A, checks_interval=DAY)
    poller = pollers.posture("uid")
    assert poller is not None
    await poller.poll()
    assert pollers.repository_results("uid", "contoso").names is not None
