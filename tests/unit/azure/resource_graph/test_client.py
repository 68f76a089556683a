from __future__ import annotations

from typing import Any

import httpx
import pytest

from defender_devops.azure.arm.rate_limiter import OperationKind
from defender_devops.azure.resource_graph.client import PageTooLarge, ResourceGraph, ResultTruncated
from defender_devops.azure.resource_graph.queries import onboarding_query
from defender_devops.errors import AzureUnavailable, InvalidRequest, Throttled
from tests.unit.azure.fakes import FakeAzure, answer, arm_error, azure_with


def rows(
    *names: str, token: str | None = None, truncated: object = "false", total: int | None = None
) -> httpx.Response:
    content: dict[str, Any] = {
        "totalRecords": len(names) if total is None else total,
        "count": len(names),
        "data": [{"id": name} for name in names],
        "facets": [],
        "resultTruncated": truncated,
    }
    if token:
        content["$skipToken"] = token
    return answer(200, content)


async def test_a_query_is_read_page_by_page() -> None:
    azure = azure_with(rows("a", "b", token="t1", total=3), rows("c", total=3))
    pages = [page async for page in ResourceGraph(azure.arm).pages("resources", ["s1", "s2"], page_size=2)]
    assert pages == [[{"id": "a"}, {"id": "b"}], [{"id": "c"}]]
    assert azure.paths() == ["POST /providers/Microsoft.ResourceGraph/resources"] * 2
    assert azure.body(0) == {
        "subscriptions": ["s1", "s2"],
        "query": "resources",
        "options": {"resultFormat": "objectArray", "$top": 2},
    }
    assert azure.body(1)["options"]["$skipToken"] == "t1"


async def test_without_subscriptions_a_query_covers_all_that_the_identity_may_read() -> None:
    azure = azure_with(rows("a"))
    assert await ResourceGraph(azure.arm).rows("resources") == [{"id": "a"}]
    assert "subscriptions" not in azure.body()


async def test_queries_have_a_rate_limit_of_their_own() -> None:
    azure = azure_with(rows("a"))
    await ResourceGraph(azure.arm).rows("resources", ["s"])
    (state,) = azure.rate_limiter.states()
    assert (state.key.kind, state.key.subscription, state.available) == (OperationKind.RESOURCE_GRAPH, "", 14)


@pytest.mark.parametrize("truncated", ["true", True])
async def test_a_truncated_response_is_an_error(truncated: object) -> None:
    with pytest.raises(AzureUnavailable, match="truncated"):
        await ResourceGraph(azure_with(rows("a", truncated=truncated)).arm).rows("resources")


async def test_a_response_without_some_of_its_rows_is_an_error() -> None:
    azure = azure_with(rows("a", "b", token="t1", total=4), rows("c", total=4))
    with pytest.raises(ResultTruncated, match="3 of 4 rows"):
        await ResourceGraph(azure.arm).rows("resources")


async def test_a_response_with_endless_pages_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("defender_devops.azure.resource_graph.client._PAGES_MAX", 3)
    azure = azure_with(rows("a", token="again"))
    with pytest.raises(AzureUnavailable, match="more than 3 pages"):
        await ResourceGraph(azure.arm).rows("resources")
    assert len(azure.requests) == 3


async def test_a_page_that_is_too_large_has_its_own_error() -> None:
    body = {
        "code": "BadRequest",
        "message": "Please provide below info when asking for support",
        "details": [{"code": "ResponsePayloadTooLarge", "message": "Response payload size is 17000000"}],
    }
    with pytest.raises(PageTooLarge):
        await ResourceGraph(azure_with(answer(400, {"error": body})).arm).rows("resources")


async def test_an_invalid_query_is_an_error_at_once() -> None:
    azure = azure_with(arm_error(400, "BadRequest", "Query is invalid."))
    with pytest.raises(InvalidRequest):
        await ResourceGraph(azure.arm).rows("resources")
    assert len(azure.requests) == 1


async def test_a_query_is_retried_after_a_transient_failure() -> None:
    azure = azure_with(answer(503), rows("a"))
    assert await ResourceGraph(azure.arm).rows("resources") == [{"id": "a"}]


async def test_an_exhausted_quota_has_its_reset_time() -> None:
    azure = FakeAzure([answer(429, {}, {"x-ms-user-quota-remaining": "0", "x-ms-user-quota-resets-after": "00:01:00"})])
    with pytest.raises(Throttled) as refused:
        await ResourceGraph(azure.arm).rows("resources")
    assert refused.value.retry_after == pytest.approx(60)


@pytest.mark.parametrize(
    "response",
    [
        answer(204),
        answer(200),
        answer(200, {}),
        answer(200, {"data": None}),
        answer(200, {"data": {"columns": []}}),
        answer(200, {"data": [None]}),
        answer(200, {"data": ["junk", {"id": "a"}]}),
        answer(200, {"data": [{"id": "a"}, {}]}),
    ],
)
async def test_a_response_that_is_not_a_list_of_rows_is_an_outage(response: httpx.Response) -> None:
    with pytest.raises(AzureUnavailable, match="not a list of rows"):
        await ResourceGraph(azure_with(response).arm).rows("resources")


@pytest.mark.parametrize(
    ("names", "literals"),
    [
        (["Contoso", "fabrikam", "CONTOSO"], "('contoso', 'fabrikam')"),
        (["x') | union secrets | where ('1' == '1"], r"('x\') | union secrets | where (\'1\' == \'1')"),
        (["a\\'"], r"('a\\\'')"),
    ],
)
def test_a_name_cannot_change_the_query(names: list[str], literals: str) -> None:
    assert f"organization in {literals}" in onboarding_query(names)
