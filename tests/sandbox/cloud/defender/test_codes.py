"""Defender's one-time codes: issued by the dialog only, valid for minutes and once, tied to the account's access."""

from __future__ import annotations

import hashlib
import re

import pytest

from sandbox.cloud.defender.authorizations import code_lifetime
from tests.sandbox.cloud.direct import ACCOUNT, CONFIGURATION, CONNECTOR, CONNECTOR_BODY, CONNECTORS, Direct


async def put(direct: Direct, code: str, path: str = CONFIGURATION) -> str:
    """PUT a configuration with a code; return the result of its operation."""
    body = {"properties": {"authorization": {"code": code}, "autoDiscovery": "Disabled"}}
    accepted = await direct.arm("PUT", path, body)
    direct.move(60)
    ended = (await direct.arm("GET", accepted.headers["Azure-AsyncOperation"])).json
    return str(ended["status"] if "error" not in ended else ended["error"]["code"])


@pytest.fixture
async def connector(direct: Direct) -> Direct:
    await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    return direct


async def test_a_code_is_a_token_of_three_parts_and_works(connector: Direct) -> None:
    code = await connector.code()
    assert len(code.split(".")) == 3
    assert await put(connector, code) == "Succeeded"


async def test_a_code_works_once(connector: Direct) -> None:
    code = await connector.code()
    await put(connector, code)
    await connector.arm("PUT", f"{CONNECTORS}/second", CONNECTOR_BODY)
    assert await put(connector, code, f"{CONNECTORS}/second/devops/default") == "TokenExchangeFailed"
    (issued_code,) = (await connector.control("GET", "/defender-codes")).values()
    assert issued_code == {"redeemed": 2}


async def test_a_code_whose_exchange_failed_is_used_up_too(connector: Direct) -> None:
    code = await connector.code()
    await connector.control("PATCH", f"/accounts/{ACCOUNT}", blocked=True)
    assert await put(connector, code) == "TokenExchangeFailed"
    await connector.control("PATCH", f"/accounts/{ACCOUNT}", blocked=False)
    assert await put(connector, code) == "TokenExchangeFailed"


async def test_a_code_expires_after_minutes_of_wall_time(connector: Direct) -> None:
    early, late = await connector.code(), await connector.code()
    connector.move(8 * 3600)
    connector.move(0, wall=code_lifetime(connector.world) - 1)
    assert await put(connector, early) == "Succeeded"
    connector.move(0, wall=2)
    assert await put(connector, late) == "TokenExchangeFailed"


@pytest.mark.parametrize("code", ["0.AXkAentra-code", "1.AXkAentra-code", "M.C507_BL2", "garbage", "a.b.c"])
async def test_a_code_of_any_other_app_is_refused(connector: Direct, code: str) -> None:
    assert await put(connector, code) == "TokenExchangeFailed"
    configuration = await connector.configuration()
    assert configuration["provisioningState"] == "Failed"
    assert re.fullmatch(
        r"AzureDevOps token exchange failed: InvalidOAuthCode, POST https://app\.vssps\.visualstudio\.com/oauth2/token "
        r"x-vss-e2eid: [0-9a-f-]{36} => unauthorized_client: Failed to deserialize the JsonWebToken object\.",
        configuration["provisioningStatusMessage"],
    )
    accepted = await connector.arm("PUT", CONFIGURATION, {"properties": {"authorization": {"code": code}}})
    connector.move(60)
    operation = (await connector.arm("GET", accepted.headers["Azure-AsyncOperation"])).json
    assert operation["error"] == {
        "code": "TokenExchangeFailed",
        "message": "AzureDevOps OAuth token exchange failed",
    }


async def test_only_an_account_with_access_gets_a_code(connector: Direct) -> None:
    await connector.control("POST", f"/accounts/{ACCOUNT}/access", access=False)
    refused = await connector.try_control("POST", "/defender-codes", account=ACCOUNT)
    assert refused.status == 400
    assert "cannot authorize" in refused.json["error"]
    unknown = await connector.try_control("POST", "/defender-codes", account="nobody@contoso.com")
    assert unknown.status == 404


async def test_the_journal_identifies_a_code_by_its_hash_only(connector: Direct) -> None:
    code = await connector.code()
    await put(connector, code)
    digest = hashlib.sha256(code.encode()).hexdigest()
    entries = (await connector.control("GET", "/journal"))["entries"]
    assert [entry["operation"] for entry in entries if digest in entry.get("codes", [])] == [
        "DevOpsConfigurations_CreateOrUpdate"
    ]
    assert code not in str(entries)


async def test_a_change_without_a_code_uses_the_existing_authorization(connector: Direct) -> None:
    await put(connector, await connector.code())
    await connector.arm("PATCH", CONFIGURATION, {"properties": {"topLevelInventoryList": ["tailspin"]}})
    connector.move(60)
    assert (await connector.configuration())["provisioningState"] == "Succeeded"
    assert await connector.names(f"{CONFIGURATION}/azureDevOpsOrgs") == ["tailspin"]


@pytest.mark.parametrize(
    ("loss", "expected_message"),
    [
        ({"blocked": True}, "unauthorized_client"),
        ({"deleted": True}, "no longer exists"),
        ({"revokeDefender": True}, "revoked"),
    ],
)
async def test_a_lost_authorization_shows_wherever_defender_needs_it(
    connector: Direct, loss: dict[str, bool], expected_message: str
) -> None:
    await put(connector, await connector.code())
    await connector.control("PATCH", f"/accounts/{ACCOUNT}", **loss)
    listing = await connector.arm("POST", f"{CONFIGURATION}/listAvailableAzureDevOpsOrgs")
    assert (listing.status, listing.code) == (400, "TokenExchangeFailed")
    assert (await connector.configuration())["provisioningState"] == "Succeeded", "nobody has looked yet"
    connector.move(8 * 3600)
    configuration = await connector.configuration()
    assert configuration["provisioningState"] == "Failed"
    assert "token exchange failed" in configuration["provisioningStatusMessage"]
    assert expected_message in configuration["provisioningStatusMessage"]


async def test_an_account_without_organizations_gets_an_empty_list_until_they_are_restored(
    connector: Direct,
) -> None:
    await put(connector, await connector.code())
    available_organizations = f"{CONFIGURATION}/listAvailableAzureDevOpsOrgs"
    assert len((await connector.arm("POST", available_organizations)).json["value"]) == 6
    await connector.control("POST", f"/accounts/{ACCOUNT}/access", access=False)
    assert (await connector.arm("POST", available_organizations)).json["value"] == []
    await connector.control("POST", f"/accounts/{ACCOUNT}/access", access=True)
    assert len((await connector.arm("POST", available_organizations)).json["value"]) == 6


async def test_a_new_authorization_replaces_the_account_of_the_connector(connector: Direct) -> None:
    await put(connector, await connector.code())
    await put(connector, await connector.code("alex@contoso.com"))
    (connector_summary,) = (await connector.control("GET", "/world"))["connectors"]
    assert connector_summary["configuration"]["authorizedBy"] == "alex@contoso.com"


async def test_a_code_is_invalid_when_its_account_leaves_all_organizations(connector: Direct) -> None:
    code = await connector.code()
    await connector.control("POST", f"/accounts/{ACCOUNT}/access", access=False)
    assert await put(connector, code) == "TokenExchangeFailed"


async def test_a_change_right_after_a_creation_already_has_the_authorization(connector: Direct) -> None:
    body = {"properties": {"authorization": {"code": await connector.code()}, "autoDiscovery": "Enabled"}}
    await connector.arm("PUT", CONFIGURATION, body)
    await connector.arm("PATCH", CONFIGURATION, {"properties": {"topLevelInventoryList": ["tailspin"]}})
    connector.move(60)
    assert (await connector.configuration())["provisioningState"] == "Succeeded"


async def test_an_operation_whose_connector_is_deleted_meanwhile_onboards_nothing(connector: Direct) -> None:
    body = {"properties": {"authorization": {"code": await connector.code()}, "autoDiscovery": "Enabled"}}
    accepted = await connector.arm("PUT", CONFIGURATION, body)
    await connector.arm("DELETE", CONNECTOR)
    await connector.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    connector.move(60)
    ended = (await connector.arm("GET", accepted.headers["Azure-AsyncOperation"])).json
    assert ended["error"]["code"] == "ResourceNotFound"
    assert connector.world.claims == {}
