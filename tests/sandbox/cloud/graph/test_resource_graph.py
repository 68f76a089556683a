"""Resource Graph over HTTP: tables, permissions, lag, quota, pages, limits."""

from __future__ import annotations

from typing import Any

import pytest

from defender_devops.azure.resource_graph import queries
from tests.sandbox.cloud.direct import (
    ACCOUNT,
    CONFIGURATION,
    CONNECTOR,
    GROUP,
    ORGANIZATIONS,
    SUBSCRIPTION,
    Answer,
    Direct,
    larger_world,
)

URL = "/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01"
DEVOPS = "microsoft.security/securityconnectors/devops"


async def ask(direct: Direct, query: str, *, token: str | None = None, **body: object) -> Answer:
    direct.move(0, wall=5)  # a new window of the quota
    return await direct.arm("POST", URL, {"query": query, "subscriptions": [SUBSCRIPTION], **body}, token=token)


async def rows(direct: Direct, query: str, token: str | None = None) -> list[dict[str, Any]]:
    answer = await ask(direct, query, token=token, options={"$top": 1000})
    assert answer.status == 200, answer.text
    return list(answer.json["data"])


async def test_children_have_rows_with_the_properties_of_resource_manager(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["northwind"])
    direct.move(8 * 3600)
    result_rows = await rows(direct, f"securityresources | where type startswith '{DEVOPS}' | order by id asc")
    kinds = {row["type"]: row for row in result_rows}
    assert list(kinds) == [
        DEVOPS,
        f"{DEVOPS}/azuredevopsorgs",
        f"{DEVOPS}/azuredevopsorgs/projects",
        f"{DEVOPS}/azuredevopsorgs/projects/repos",
    ]
    organization = (await direct.arm("GET", f"{ORGANIZATIONS}/northwind")).json
    assert kinds[f"{DEVOPS}/azuredevopsorgs"]["properties"] == organization["properties"]
    assert kinds[f"{DEVOPS}/azuredevopsorgs"]["id"].lower() == organization["id"].lower()
    configuration = await direct.configuration()
    assert kinds[DEVOPS]["properties"].items() <= configuration.items()
    assert {row["resourceGroup"] for row in result_rows} == {GROUP}
    assert [row["name"] for row in result_rows if row["type"].endswith("/repos")] == ["archive", "orders", "shipping"]


async def test_connectors_groups_and_assignments_have_tables_of_their_own(direct: Direct) -> None:
    await direct.connect()
    (connector,) = await rows(direct, "resources | where type =~ 'microsoft.security/securityConnectors'")
    assert connector["properties"]["environmentName"] == "AzureDevOps"
    assert connector["tags"] == {"owner": "platform"}
    containers = await rows(direct, "resourcecontainers | project type, name")
    assert {row["name"] for row in containers} == {"Contoso Security", GROUP}
    assignment = {"role": "Security Reader", "principal": "security-team", "scope": CONNECTOR}
    await direct.control("POST", "/role-assignments", **assignment)
    query = "authorizationresources | where properties.scope endswith 'contoso' | project p = properties.principalId"
    assert await rows(direct, query) == [{"p": "88888888-8888-8888-8888-888888888888"}]


async def test_the_operators_queries_are_supported(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["contoso", "tailspin"])
    direct.move(8 * 3600)
    (row,) = await rows(direct, queries.CONNECTORS)
    counts = {child["organization"]: child["counts"] for child in row["children"]}
    assert counts == {
        "": {"projects": 0, "repositories": 0},
        "contoso": {"projects": 4, "repositories": 33},
        "tailspin": {"projects": 1, "repositories": 2},
    }
    assert await rows(direct, queries.ROLE_ASSIGNMENTS) == []
    holders = await rows(direct, queries.onboarding_query(["Contoso", "northwind", "it's \\ odd"]))
    assert [owning_connector_key["organization"] for owning_connector_key in holders] == ["contoso"]


async def test_rows_are_delayed_by_the_lag(direct: Direct) -> None:
    await direct.control("PATCH", "/settings", resourceGraphLag=60)
    await direct.connect()
    states = "securityresources | where type endswith '/devops' | project s = tostring(properties.provisioningState)"
    direct.move(1)
    assert await rows(direct, states) == [{"s": "Pending"}], "the operation ended less than a minute ago"
    direct.move(60)
    assert await rows(direct, states) == [{"s": "Succeeded"}]
    await direct.arm("DELETE", CONNECTOR)
    assert len(await rows(direct, "resources | project id")) == 1
    direct.move(60)
    assert await rows(direct, "resources | project id") == []


async def test_a_lag_delays_discovery_results_too(direct: Direct) -> None:
    await direct.control("PATCH", "/settings", resourceGraphLag=600)
    await direct.connect(topLevelInventoryList=["tailspin"])
    projects = "securityresources | where type endswith '/projects' | count"
    direct.move(15 * 60)
    assert await direct.names(f"{ORGANIZATIONS}/tailspin/projects") == ["spaces"]
    assert await rows(direct, projects) == [{"Count": 0}]
    direct.move(600)
    assert await rows(direct, projects) == [{"Count": 1}]


async def test_a_world_may_have_no_rows_for_children(direct: Direct) -> None:
    await direct.connect()
    await direct.control("PATCH", "/settings", resourceGraphChildren=False)
    assert await rows(direct, "securityresources | project id") == []
    assert len(await rows(direct, "resources | project id")) == 1


async def test_a_principal_gets_only_rows_that_it_may_read(direct: Direct) -> None:
    await direct.connect()
    stranger = direct.token(ACCOUNT)
    assert await rows(direct, "resources | project id", stranger) == []
    assignment = {"role": "Security Reader", "principal": ACCOUNT, "scope": CONNECTOR}
    await direct.control("POST", "/role-assignments", **assignment)
    assert len(await rows(direct, "resources | project id", stranger)) == 1
    foreign = await ask(direct, "resources", token=direct.token("megan@litware.com"))
    assert foreign.json["error"]["details"][0]["code"] == "NoValidSubscriptionsInQueryRequest"
    everywhere = await ask(direct, "resources | count", subscriptions=None)
    assert everywhere.json["data"] == [{"Count": 1}]


async def test_fifteen_queries_in_five_seconds_and_no_more(direct: Direct) -> None:
    answers = [await direct.arm("POST", URL, {"query": "resources | count"}) for _ in range(17)]
    assert [answer.status for answer in answers] == [200] * 15 + [429] * 2
    assert [answer.headers["x-ms-user-quota-remaining"] for answer in answers[13:16]] == ["1", "0", "0"]
    assert answers[0].headers["x-ms-user-quota-resets-after"] == "00:00:05"
    refused = answers[-1]
    assert refused.code == "RateLimiting"
    assert int(refused.headers["Retry-After"]) <= 5
    direct.move(0, wall=5)
    assert (await direct.arm("POST", URL, {"query": "resources | count"})).status == 200


@pytest.mark.parametrize(
    "options",
    [{"$top": 0}, {"$top": 1001}, {"$top": "x"}, {"$skipToken": "nonsense"}, {"resultFormat": "csv"}],
)
async def test_wrong_options_are_refused(direct: Direct, options: dict[str, object]) -> None:
    answer = await ask(direct, "resources", options=options)
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert answer.json["error"]["message"].startswith("Please provide below info when asking for support: timestamp = ")


async def test_a_skip_token_is_valid_for_its_principal_only(direct: Direct) -> None:
    await direct.connect()
    direct.move(8 * 3600)
    first = await ask(direct, "securityresources | project id | order by id asc", options={"$top": 5})
    token = first.json["$skipToken"]
    assignment = {"role": "Reader", "principal": ACCOUNT, "scope": CONNECTOR}
    await direct.control("POST", "/role-assignments", **assignment)
    stolen = await ask(direct, "x", token=direct.token(ACCOUNT), options={"$skipToken": token})
    assert stolen.status == 400
    second = await ask(direct, "securityresources | project id | order by id asc", options={"$skipToken": token})
    assert second.json["data"][0]["id"] > first.json["data"][-1]["id"]


async def test_an_answer_may_be_too_large() -> None:
    spec = larger_world(connectors=1, organizations=1, repositories=5000)
    direct = Direct(spec)
    direct.move(8 * 3600)
    await direct.control("PATCH", "/settings", throttling=False)
    eight = ", ".join(f"'{name}', properties" for name in "abcdefgh")
    query = f"securityresources | summarize l = make_list(bag_pack({eight})) by k = 1"
    answer = await ask(direct, query)
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert answer.json["error"]["details"][0]["code"] == "ResponsePayloadTooLarge"
    assert (await rows(direct, "securityresources | where type endswith '/repos' | count")) == [{"Count": 5000}]
    assert len((await direct.arm("GET", CONFIGURATION.replace("contoso", "connector-0001"))).json) > 0
