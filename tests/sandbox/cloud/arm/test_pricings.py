"""The plan Defender CSPM of a subscription, and assessments, in Resource Manager."""

from __future__ import annotations

import pytest

from tests.sandbox.cloud.direct import ACCOUNT, CONNECTOR, SUBSCRIPTION, Direct

SCOPE = f"/subscriptions/{SUBSCRIPTION}"
PLAN = f"{SCOPE}/providers/Microsoft.Security/pricings/CloudPosture"
ASSESSMENTS = "/providers/Microsoft.Security/assessments"


async def test_the_plan_has_its_tier_and_extensions(direct: Direct) -> None:
    answer = await direct.arm("GET", PLAN, version="2024-01-01")
    assert answer.json["id"] == PLAN
    assert answer.json["properties"]["pricingTier"] == "Standard"
    extensions = {item["name"]: item["isEnabled"] for item in answer.json["properties"]["extensions"]}
    assert extensions["AgentlessVmScanning"] == "True"
    await direct.control("PATCH", f"/subscriptions/{SUBSCRIPTION}", cspmExtensions=["SensitiveDataDiscovery", "New"])
    answer = await direct.arm("GET", PLAN, version="2024-01-01")
    extensions = {item["name"]: item["isEnabled"] for item in answer.json["properties"]["extensions"]}
    assert (extensions["AgentlessVmScanning"], extensions["New"]) == ("False", "True")
    listed = await direct.arm("GET", PLAN.rpartition("/")[0], version="2024-01-01")
    assert listed.json["value"] == [answer.json]


async def test_the_plan_can_be_off(direct: Direct) -> None:
    await direct.connect()
    await direct.control("PATCH", f"/subscriptions/{SUBSCRIPTION}", defenderCspm=False)
    properties = (await direct.arm("GET", PLAN, version="2024-01-01")).json["properties"]
    assert properties["pricingTier"] == "Free"
    assert properties["resourcesCoverageStatus"] == "NotCovered"
    assert {item["isEnabled"] for item in properties["extensions"]} == {"False"}
    assert (await direct.configuration())["capabilities"] == [{"name": "DCSPM_ENABLED", "value": "false"}]


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        ("2018-06-01", {"pricingTier", "freeTrialRemainingTime"}),
        ("2023-01-01", {"pricingTier", "freeTrialRemainingTime", "extensions"}),
    ],
)
async def test_an_older_version_has_fewer_fields(direct: Direct, version: str, fields: set[str]) -> None:
    assert set((await direct.arm("GET", PLAN, version=version)).json["properties"]) == fields


async def test_it_needs_a_right_a_registration_and_the_right_name(direct: Direct) -> None:
    forbidden = await direct.arm("GET", PLAN, version="2024-01-01", token=direct.token(ACCOUNT))
    assert (forbidden.status, forbidden.code) == (403, "AuthorizationFailed")
    assert "Microsoft.Security/pricings/read" in forbidden.json["error"]["message"]
    other = await direct.arm("GET", PLAN.replace("CloudPosture", "KeyVaults"), version="2024-01-01")
    assert (other.status, other.code) == (404, "ResourceNotFound")
    below = f"{CONNECTOR}/providers/Microsoft.Security/pricings/CloudPosture"
    assert (await direct.arm("GET", below, version="2024-01-01")).status == 404
    await direct.control("PATCH", f"/subscriptions/{SUBSCRIPTION}", providers=[])
    unregistered = await direct.arm("GET", PLAN, version="2024-01-01")
    assert (unregistered.status, unregistered.code) == (404, "Subscription Not Registered")


async def test_assessments_are_listed_below_any_scope(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["northwind", "tailspin"])
    direct.move(24 * 3600)
    everything = await direct.arm("GET", f"{SCOPE}{ASSESSMENTS}", version="2021-06-01")
    items = everything.json["value"]
    assert len(items) > 10
    assert all("recommendationCategory" not in item["properties"]["metadata"] for item in items)
    assert (await direct.arm("GET", f"{CONNECTOR}{ASSESSMENTS}", version="2021-06-01")).json["value"] == items
    resource = next(item for item in items if "/repos/orders/" in item["id"])["id"].rpartition("/providers/")[0]
    own = (await direct.arm("GET", f"{resource}{ASSESSMENTS}", version="2021-06-01")).json["value"]
    assert {item["id"].rpartition("/providers/")[0] for item in own} == {resource}
    one = await direct.arm("GET", own[0]["id"], version="2021-06-01")
    assert one.json == own[0]
    missing = await direct.arm("GET", f"{resource}{ASSESSMENTS}/nothing", version="2021-06-01")
    assert (missing.status, missing.code) == (404, "ResourceNotFound")


async def test_a_list_of_assessments_has_pages_of_a_thousand(direct: Direct) -> None:
    await direct.control("PATCH", "/assessments", perRepository=300)
    await direct.connect(topLevelInventoryList=["northwind", "tailspin"])
    direct.move(24 * 3600)
    first = (await direct.arm("GET", f"{SCOPE}{ASSESSMENTS}", version="2021-06-01")).json
    second = (await direct.arm("GET", first["nextLink"], version="")).json
    assert len(first["value"]) == 1000
    assert "nextLink" not in second
    identifiers = [item["id"] for item in first["value"] + second["value"]]
    assert len(set(identifiers)) == len(identifiers) > 1500
