"""The web portal for the steps that only a person can do."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlencode

import pytest

from sandbox.cloud.portal.service import Portal
from sandbox.cloud.transport.message import Reply, Request
from tests.sandbox.cloud.direct import (
    ACCOUNT,
    CONFIGURATION,
    CONNECTOR,
    CONNECTOR_BODY,
    GROUP,
    ORGANIZATIONS,
    OTHER_TENANT,
    SUBSCRIPTION,
    Direct,
)


async def visit(direct: Direct, method: str, path: str, **fields: str) -> Reply:
    query, body = (fields, b"") if method == "GET" else ({}, urlencode(fields).encode())
    return await Portal(direct.simulation).handle(
        Request("portal", "https://portal.test", method, path, query, {}, body)
    )


async def portal_text(direct: Direct) -> str:
    page = await visit(direct, "GET", "/portal")
    assert page.status == 200
    return page.body.decode()


async def test_the_page_shows_accounts_organizations_and_connectors(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["tailspin"])
    page = await portal_text(direct)
    for text in (ACCOUNT, "wingtip-toys", "securityConnectors/contoso", "tailspin (0 projects)", "Succeeded"):
        assert text in page
    assert (await visit(direct, "GET", "/")).headers["Location"] == "/portal"
    assert (await visit(direct, "GET", "/elsewhere")).status == 404
    assert (await visit(direct, "POST", "/portal/unheard")).status == 404


async def test_the_dialog_gives_a_code_that_works_and_shows_it_once(direct: Direct) -> None:
    dialog = await visit(direct, "GET", "/portal/authorize", account=ACCOUNT)
    assert ACCOUNT.encode() in dialog.body
    answer = await visit(direct, "POST", "/portal/code", account=ACCOUNT)
    match = re.search(r'<code id="code">([^<]+)</code>', answer.body.decode())
    assert match is not None
    await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    body = {"properties": {"authorization": {"code": match.group(1)}, "autoDiscovery": "Enabled"}}
    await direct.arm("PUT", CONFIGURATION, body)
    direct.move(60)
    assert (await direct.configuration())["provisioningState"] == "Succeeded"
    assert match.group(1) not in await portal_text(direct)


async def test_the_dialog_authorizes_a_connector_directly(direct: Direct) -> None:
    await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    response = await visit(direct, "POST", "/portal/authorize", account=ACCOUNT, connector=CONNECTOR)
    assert response.status == 303
    assert len(await direct.names(ORGANIZATIONS)) == 6
    missing = await visit(direct, "POST", "/portal/authorize", account=ACCOUNT, connector="/nothing")
    assert "problem=" in missing.headers["Location"]


async def test_an_account_is_removed_from_its_organizations_and_restored(direct: Direct) -> None:
    await visit(direct, "POST", "/portal/access", account=ACCOUNT, access="false")
    assert not any(ACCOUNT in organization.members for organization in direct.world.organizations.values())
    refused = await visit(direct, "POST", "/portal/code", account=ACCOUNT)
    assert "problem=" in refused.headers["Location"]
    await visit(direct, "POST", "/portal/access", account=ACCOUNT, access="true")
    assert (await visit(direct, "POST", "/portal/code", account=ACCOUNT)).status == 200


async def test_an_account_is_blocked_and_a_policy_turned_off(direct: Direct) -> None:
    await visit(direct, "POST", "/portal/block", account=ACCOUNT)
    assert direct.world.directory.account(ACCOUNT).blocked  # type: ignore[union-attr]
    await visit(direct, "POST", "/portal/block", account=ACCOUNT)
    assert not direct.world.directory.account(ACCOUNT).blocked  # type: ignore[union-attr]
    await visit(direct, "POST", "/portal/policy", organization="contoso")
    assert not direct.world.organizations["contoso"].third_party_oauth


async def test_an_organization_is_added_but_not_twice(direct: Direct) -> None:
    fields = {"name": "newcomer", "tenant": "contoso.com", "account": ACCOUNT, "project": "first", "repositories": "3"}
    await visit(direct, "POST", "/portal/organization", **fields)
    assert len(direct.world.organizations["newcomer"].projects["first"].repositories) == 3
    again = await visit(direct, "POST", "/portal/organization", **fields)
    assert "already" in again.headers["Location"]
    bad = await visit(direct, "POST", "/portal/organization", **{**fields, "name": "other", "repositories": "-1"})
    assert "problem=" in bad.headers["Location"]


async def test_input_is_escaped_on_the_page(direct: Direct) -> None:
    name = "<script>alert(1)</script>"
    await visit(direct, "POST", "/portal/organization", name=name, tenant="contoso.com", account=ACCOUNT)
    assert name not in await portal_text(direct)
    page = await visit(direct, "GET", "/portal", problem=name)
    assert name.encode() not in page.body


ENVIRONMENT = {
    "name": "contoso",
    "subscription": SUBSCRIPTION,
    "resourceGroup": GROUP,
    "location": "northeurope",
    "account": ACCOUNT,
    "organizations": "northwind, wingtip-toys",
}


async def test_an_environment_is_added_and_authorized(direct: Direct) -> None:
    added = await visit(direct, "POST", "/portal/environment", **ENVIRONMENT)
    assert added.headers["Location"] == "/portal"
    assert sorted(await direct.names(ORGANIZATIONS)) == ["northwind", "wingtip-toys"]
    assert (await direct.arm("GET", CONNECTOR)).json["location"] == "northeurope"
    configuration = await direct.configuration()
    assert (configuration["provisioningState"], configuration["autoDiscovery"]) == ("Succeeded", "Disabled")


async def test_without_names_all_organizations_are_added_future_ones_too(direct: Direct) -> None:
    await visit(direct, "POST", "/portal/environment", **{**ENVIRONMENT, "organizations": ""})
    assert len(await direct.names(ORGANIZATIONS)) == 6
    assert (await direct.configuration())["autoDiscovery"] == "Enabled"


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "an unknown subscription": ({"subscription": OTHER_TENANT}, "there is no subscription"),
    "an unknown group": ({"resourceGroup": "rg-nowhere"}, "there is no resource group"),
    "an unknown account": ({"account": "nobody@contoso.com"}, "there is no account"),
    "no name": ({"name": ""}, "name"),
}


@pytest.mark.parametrize(("changes", "problem"), WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_environment_is_not_added(direct: Direct, changes: dict[str, str], problem: str) -> None:
    answer = await visit(direct, "POST", "/portal/environment", **{**ENVIRONMENT, **changes})
    assert problem in unquote(answer.headers["Location"])
    assert direct.world.connectors == {}


async def test_an_environment_is_neither_added_twice_nor_by_a_blocked_account(direct: Direct) -> None:
    await visit(direct, "POST", "/portal/environment", **ENVIRONMENT)
    twice = await visit(direct, "POST", "/portal/environment", **ENVIRONMENT)
    assert "already" in unquote(twice.headers["Location"])
    await direct.control("PATCH", f"/accounts/{ACCOUNT}", blocked=True)
    blocked = await visit(direct, "POST", "/portal/environment", **{**ENVIRONMENT, "name": "second"})
    assert "blocked" in unquote(blocked.headers["Location"])
    assert len(direct.world.connectors) == 1
    refused = await direct.try_control(
        "POST", "/connectors", name="third", subscription=SUBSCRIPTION, resourceGroup=GROUP, account=ACCOUNT
    )
    assert refused.status == 400


FINDING = {
    "organization": "northwind",
    "project": "traders",
    "repository": "orders",
    "title": "Unsafe <template>",
    "severity": "Critical",
    "category": "CodeVulnerabilities",
}


async def test_a_recommendation_is_added_resolved_and_reopened(direct: Direct) -> None:
    await visit(direct, "POST", "/portal/environment", **ENVIRONMENT)
    direct.move(24 * 3600)
    added = await visit(direct, "POST", "/portal/assessment", **FINDING)
    assert added.headers["Location"] == "/portal"
    page = await portal_text(direct)
    assert "Unsafe &lt;template&gt;" in page
    assert "northwind/traders/orders" in page
    (row,) = [row for row in await direct.control("GET", "/assessments") if row["title"] == FINDING["title"]]
    for resolved, status in (("true", "Healthy"), ("false", "Unhealthy")):
        await visit(direct, "POST", "/portal/resolve", key=row["key"], resolved=resolved)
        (row,) = [row for row in await direct.control("GET", "/assessments") if row["title"] == FINDING["title"]]
        assert row["status"] == status


async def test_a_recommendation_needs_a_title_and_a_repository_that_exists(direct: Direct) -> None:
    untitled = await visit(direct, "POST", "/portal/assessment", **{**FINDING, "title": ""})
    assert "title" in unquote(untitled.headers["Location"])
    nowhere = await visit(direct, "POST", "/portal/assessment", **{**FINDING, "repository": "nowhere"})
    assert "there is no repository" in unquote(nowhere.headers["Location"])
    unknown = await visit(direct, "POST", "/portal/resolve", key="nothing", resolved="true")
    assert "there is no assessment" in unquote(unknown.headers["Location"])
