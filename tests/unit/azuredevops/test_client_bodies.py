"""Bodies of requests to Azure DevOps and of its responses: bounded, compressed, empty, posted."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from aiohttp import web

from defender_devops.errors import AzureDevOpsNotFound, AzureDevOpsResponseTooLarge, AzureDevOpsUnavailable
from tests.support.fakes.azure_devops import AzureDevOpsSetup


async def test_a_text_is_read_up_to_its_limit(reach: AzureDevOpsSetup) -> None:
    reach.service.responses["/log"] = web.Response(text="ä" * 100)
    url = f"{reach.service.url}/log"
    assert await reach.client.get_text(url, max_bytes=200) == "ä" * 100
    with pytest.raises(AzureDevOpsResponseTooLarge, match="199 bytes"):
        await reach.client.get_text(url, max_bytes=199)
    assert reach.service.requests[0].headers["Accept"] == "text/plain"


async def test_the_limit_is_that_of_the_decompressed_body(reach: AzureDevOpsSetup) -> None:
    body = gzip.compress(b"x" * 1_000_000)
    reach.service.responses["/log"] = web.Response(body=body, headers={"Content-Encoding": "gzip"})
    url = f"{reach.service.url}/log"
    assert len(await reach.client.get_text(url, max_bytes=1_000_000)) == 1_000_000
    with pytest.raises(AzureDevOpsResponseTooLarge):
        await reach.client.get_text(url, max_bytes=999_999)


async def test_bytes_that_are_no_text_are_replaced(reach: AzureDevOpsSetup) -> None:
    reach.service.responses["/log"] = web.Response(body=b"a\xff")
    assert await reach.client.get_text(f"{reach.service.url}/log", max_bytes=10) == "a�"


async def test_a_response_without_content_is_none(reach: AzureDevOpsSetup) -> None:
    reach.service.responses["/timeline"] = web.Response(status=204)
    assert await reach.client.get(f"{reach.service.url}/timeline") is None


async def test_a_query_is_posted_with_the_token_and_repeated_after_a_gateway_error(reach: AzureDevOpsSetup) -> None:
    bodies: list[Any] = []

    async def search(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return web.Response(status=503) if len(bodies) == 1 else web.json_response({"count": 0})

    reach.service.responses["/search"] = search
    assert await reach.client.query(f"{reach.service.url}/search", {"searchText": "x"}) == {"count": 0}
    assert bodies == [{"searchText": "x"}] * 2
    request = reach.service.requests[-1]
    assert (request.method, request.headers["Authorization"]) == ("POST", "Bearer access-token-value")
    assert request.query["api-version"] == "7.1"


async def test_errors_of_a_text_are_those_of_json(reach: AzureDevOpsSetup) -> None:
    with pytest.raises(AzureDevOpsNotFound):
        await reach.client.get_text(f"{reach.service.url}/nothing", max_bytes=10)
    reach.service.responses["/log"] = web.Response(status=500)
    with pytest.raises(AzureDevOpsUnavailable):
        await reach.client.get_text(f"{reach.service.url}/log", max_bytes=10)
