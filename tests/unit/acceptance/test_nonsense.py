"""A server that answers nonsense: the kit says that it could not tell, does not crash, and writes nothing."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acceptance.checks import Verdict
from acceptance.command import all_probes
from acceptance.session.guard import is_reading
from defender_devops.clock import Clock
from tests.support.tenant_in_memory import FILE, Result, TenantInMemory, run_kit

Answers = Callable[[httpx.Request], httpx.Response]


class AnyTokens:
    """Tokens that nobody checks."""

    async def token(self, audience: str) -> str:
        return f"token for {audience}"

    async def close(self) -> None:
        """Nothing is open."""


def reply(status: int, content: bytes | str = b"", **headers: str) -> Answers:
    return lambda _: httpx.Response(status, content=content, headers=headers)


def refuse(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


NONSENSE: dict[str, Answers] = {
    "HTML": reply(200, "<html><body>Sign in</body></html>", **{"content-type": "text/html"}),
    "truncated JSON": reply(200, '{"value": [{"id": "/subscri'),
    "empty body": reply(200),
    "no content": reply(204),
    "500": reply(500, "boom"),
    "500 with JSON": reply(500, '{"message": "boom"}'),
    "redirect": reply(302, location="https://elsewhere.example/"),
    "redirect to itself": reply(307, location="/"),
    "429 for ever": reply(429, "", **{"retry-after": "1"}),
    "array": reply(200, "[]"),
    "array of numbers": reply(200, "[1, 2, 3]"),
    "number": reply(200, "7"),
    "null": reply(200, "null"),
    "null members": reply(200, '{"value": null, "data": null, "properties": null, "error": null}'),
    "wrong types": reply(200, '{"value": {"a": 1}, "data": "x", "properties": [1], "records": 3, "id": 5, "name": {}}'),
    "deep": reply(200, "[" * 100_000),
    "binary": reply(200, bytes(range(256))),
    "refused connection": refuse,
    "list without end": lambda request: httpx.Response(
        200, json={"value": [{}], "nextLink": str(request.url)}, request=request
    ),
    "link to another host": reply(200, '{"value": [], "nextLink": "https://elsewhere.example/"}'),
}


async def run_against(answers: Answers, *, write: bool = False) -> tuple[Result, list[httpx.Request]]:
    requests: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return answers(request)

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    now = [1_800_000_000.0]
    clock = Clock(lambda: now[0], lambda: now[0], sleep)
    tenant = TenantInMemory()
    file = tenant.file(
        lost={"connector": "left", "since": "2026-11-01T00:00:00Z"},
        **({"expendableConnector": "trial", "deleteExpendableConnector": True} if write else {}),
    )
    expendable = (FILE["subscription"], FILE["resourceGroup"], "trial") if write else None
    transport = httpx.MockTransport(handle)
    result = await run_kit(file, transport, AnyTokens(), clock, expendable=expendable, probes=all_probes(write=write))
    return result, requests


@pytest.mark.parametrize("name", NONSENSE)
async def test_nonsense_says_nothing(name: str) -> None:
    result, requests = await run_against(NONSENSE[name])
    conclusive = {
        row.key: f"{row.observed} {row.evidence}" for row in result.rows if row.verdict is not Verdict.UNKNOWN
    }
    assert conclusive == {}
    assert requests
    assert [request.method for request in requests if not is_reading(request.method, request.url.path)] == []
    json.dumps(result.report.document())
    assert result.report.markdown().count("could not tell") >= len(result.rows)


@pytest.mark.parametrize("name", ["HTML", "500", "empty body", "wrong types"])
async def test_the_expendable_connector_is_not_changed_before_it_was_read(name: str) -> None:
    _, requests = await run_against(NONSENSE[name], write=True)
    assert [request.method for request in requests if not is_reading(request.method, request.url.path)] == []


@pytest.mark.parametrize(
    ("status", "probe", "cure"),
    [
        (403, "connector", "Assign Reader"),
        (404, "connector", "Correct subscription, resourceGroup and connector"),
        (401, "azure-devops", "Add the identity to the organization"),
        (302, "pipelines", "Add the identity to the organization"),
        (404, "azure-devops", "Correct organization"),
    ],
)
async def test_a_refusal_that_hides_everything_says_what_to_do(status: int, probe: str, cure: str) -> None:
    result, _ = await run_against(reply(status, '{"error": {"code": "Refused"}}'))
    rows = [row for row in result.rows if row.probe == probe]
    assert rows
    for row in rows:
        assert f"HTTP {status} Refused. {cure}" in row.evidence


FIELDS = (
    "value",
    "data",
    "properties",
    "error",
    "code",
    "id",
    "name",
    "type",
    "status",
    "metadata",
    "children",
    "nextLink",
    "tags",
    "provisioningState",
    "onboardingState",
    "actionableRemediation",
    "offerings",
    "capabilities",
    "extensions",
    "records",
    "process",
    "latestCompletedBuild",
    "reposEnablementStatus",
)
TEXTS = st.sampled_from(["", "Succeeded", "Failed", "é ", "/a/b", "1"])
SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | TEXTS
STATUSES = st.lists(st.sampled_from([200, 202, 400, 404, 409]), min_size=1)
JSON = st.recursive(
    SCALARS,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), children, max_size=6),
    max_leaves=20,
)


@given(bodies=st.lists(JSON, min_size=1, max_size=5), statuses=STATUSES)
@settings(max_examples=25)
def test_no_json_of_a_wrong_shape_breaks_the_kit(bodies: list[Any], statuses: list[int]) -> None:
    numbers = itertools.count()

    def answer(_: httpx.Request) -> httpx.Response:
        number = next(numbers)
        return httpx.Response(statuses[number % len(statuses)], json=bodies[number % len(bodies)])

    result, _ = asyncio.run(run_against(answer, write=True))
    assert len(result.rows) == sum(len(probe.checks) for probe in all_probes(write=True))
    json.dumps(result.report.document())
