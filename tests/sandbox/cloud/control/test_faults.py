"""Faults, lags and the journal, which the tests of the operator use."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.sandbox.cloud.direct import (
    APP,
    APP_ID,
    CONFIGURATION,
    CONNECTOR,
    CONNECTOR_BODY,
    CONNECTOR_VERSION,
    ORGANIZATIONS,
    SUBSCRIPTION,
    TENANT,
    Direct,
)


async def send(direct: Direct, method: str = "GET") -> int | None:
    """Status of a request for the connector; None for a closed connection."""
    headers = {"Authorization": f"Bearer {direct.token()}"}
    body = json.dumps(CONNECTOR_BODY).encode() if method == "PUT" else b""
    answer = await direct.send("arm", method, f"{CONNECTOR}?api-version={CONNECTOR_VERSION}", body, headers)
    return None if answer is None else answer.status


async def test_a_fault_answers_in_place_of_the_service_the_given_number_of_times(direct: Direct) -> None:
    await direct.control(
        "POST", "/faults", method="PUT", path="securityConnectors/[^/]+$", status=502, times=2, after=1
    )
    assert [await send(direct, "PUT") for _ in range(4)] == [201, 502, 502, 200]
    (fault,) = await direct.control("GET", "/faults")
    assert fault["hits"] == 4


@pytest.mark.parametrize(("cut", "created"), [("before", False), ("after", True)])
async def test_a_connection_is_closed_before_or_after_the_effect(direct: Direct, cut: str, created: bool) -> None:
    await direct.control("POST", "/faults", method="PUT", cut=cut)
    assert await send(direct, "PUT") is None
    assert (await send(direct) == 200) == created
    (entry,) = [item for item in (await direct.control("GET", "/journal"))["entries"] if item["method"] == "PUT"]
    assert entry["status"] == 0
    assert ("effects" in entry) == created


async def test_a_fault_can_match_a_principal_and_have_headers_and_a_body(direct: Direct) -> None:
    await direct.control(
        "POST",
        "/faults",
        principal=APP,
        status=429,
        times=None,
        headers={"Retry-After": "7"},
        body={"error": {"code": "SubscriptionRequestsThrottled", "message": "storm"}},
    )
    mine = await direct.arm("GET", CONNECTOR)
    assert (mine.status, mine.headers["Retry-After"], mine.code) == (429, "7", "SubscriptionRequestsThrottled")
    response = await direct.arm("GET", CONNECTOR, token=direct.token("alex@contoso.com"))
    assert response.status == 404
    await direct.control("DELETE", "/faults")
    assert (await direct.arm("GET", CONNECTOR)).status == 404


async def test_a_fault_can_add_headers_to_a_successful_response_and_delay_it(direct: Direct) -> None:
    await direct.control("POST", "/faults", headers={"x-extra": "1"}, delay=0.01)
    started = asyncio.get_running_loop().time()
    answer = await direct.arm("GET", CONNECTOR)
    assert answer.headers["x-extra"] == "1"
    assert asyncio.get_running_loop().time() - started >= 0.01


async def test_an_operation_can_be_made_to_never_end_or_to_fail(direct: Direct) -> None:
    await direct.connect()
    for outcome in ("never", "failed"):
        await direct.control("POST", "/faults", method="PATCH", operation={"outcome": outcome, "code": "Broken"})
        accepted = await direct.arm("PATCH", CONFIGURATION, {"properties": {"topLevelInventoryList": ["tailspin"]}})
        direct.move(3600)
        ended = (await direct.arm("GET", accepted.headers["Azure-AsyncOperation"])).json
        assert ended["status"] == ("Accepted" if outcome == "never" else "Failed")
        assert len(await direct.names(ORGANIZATIONS)) == 6, "it had no effect"
    assert ended["error"]["code"] == "Broken"
    assert (await direct.configuration())["provisioningState"] == "Failed"


async def test_an_invalid_pattern_is_rejected(direct: Direct) -> None:
    assert (await direct.try_control("POST", "/faults", path="(")).status == 400
    assert (await direct.try_control("POST", "/faults", outcome="x")).status == 400


async def test_a_read_can_lag_behind_a_write(direct: Direct) -> None:
    await direct.control("PATCH", "/settings", readAfterWriteLag=10)
    await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    assert (await direct.arm("GET", CONNECTOR)).status == 404
    direct.move(10)
    assert (await direct.arm("GET", CONNECTOR)).json["tags"] == {"owner": "platform"}
    await direct.arm("PATCH", CONNECTOR, {"tags": {"new": "1"}})
    assert (await direct.arm("GET", CONNECTOR)).json["tags"] == {"owner": "platform"}
    direct.move(10)
    assert (await direct.arm("GET", CONNECTOR)).json["tags"] == {"new": "1"}
    await direct.arm("DELETE", CONNECTOR)
    assert (await direct.arm("GET", CONNECTOR)).status == 200
    direct.move(10)
    assert (await direct.arm("GET", CONNECTOR)).status == 404


async def test_existing_connectors_stay_visible_when_a_lag_is_configured(direct: Direct) -> None:
    await direct.connect()
    await direct.control("PATCH", "/settings", readAfterWriteLag=3600)
    assert (await direct.arm("GET", CONFIGURATION)).status == 200
    await direct.control("PATCH", "/settings", readAfterWriteLag=0)
    await direct.arm("DELETE", CONNECTOR)
    assert (await direct.arm("GET", CONNECTOR)).status == 404


async def test_the_journal_counts_writes_and_says_who_did_what(direct: Direct) -> None:
    await direct.connect()
    await direct.arm("GET", CONNECTOR, headers={"x-ms-client-request-id": "mine"})
    effects = (await direct.control("GET", "/journal", effective="true", service="arm"))["entries"]
    assert [entry["effects"][0]["kind"] for entry in effects] == ["connector.create", "configuration.create"]
    assert {entry["principal"] for entry in effects} == {APP}
    everything = await direct.control("GET", "/journal", path="securityconnectors/contoso$")
    last = everything["entries"][-1]
    assert (last["operation"], last["clientRequestId"]) == ("SecurityConnectors_Get", "mine")
    later = await direct.control("GET", "/journal", since=everything["last"])
    assert later["entries"] == []
    only = await direct.control(
        "GET", "/journal", method="PUT", operation="SecurityConnectors_CreateOrUpdate", principal=APP
    )
    assert len(only["entries"]) == 1


async def test_a_waiting_journal_request_returns_with_the_next_entry(direct: Direct) -> None:
    waiting = asyncio.create_task(direct.control("GET", "/journal", method="DELETE", wait="30"))
    await asyncio.sleep(0)
    await direct.arm("GET", CONNECTOR)
    await direct.arm("DELETE", CONNECTOR)
    entries = await asyncio.wait_for(waiting, 5)
    assert [entry["method"] for entry in entries["entries"]] == ["DELETE"]
    assert (await direct.control("GET", "/journal", method="PURGE", wait="0.01"))["entries"] == []


async def test_a_reset_restores_the_world_but_not_the_numbering(direct: Direct) -> None:
    await direct.connect()
    last = (await direct.control("GET", "/journal"))["last"]
    await direct.control("POST", "/faults", status=500)
    await direct.control("POST", "/reset")
    assert (await direct.arm("GET", CONNECTOR)).status == 404
    assert (await direct.control("GET", "/faults")) == []
    assert (await direct.control("GET", "/journal"))["last"] == last + 1


async def test_the_control_interface_lists_its_endpoints_and_reports_errors(direct: Direct) -> None:
    index = await direct.control("GET", "/")
    assert "POST /defender-codes" in index
    assert all(index.values()), "every endpoint is described"
    assert (await direct.try_control("GET", "/nothing")).status == 404
    wrong = await direct.try_control("PATCH", "/settings", nonsense=1)
    assert wrong.status == 400
    assert wrong.json["error"][0]["loc"] == ["nonsense"]
    for path in ("/organizations/nobody", "/accounts/nobody"):
        assert (await direct.try_control("PATCH", path)).status == 404
    assert (await direct.try_control("PATCH", "/connectors/x/y/z")).status == 404
    assert (await direct.try_control("POST", "/organizations", name="contoso", tenant=None)).status == 400
    assert (await direct.try_control("POST", "/federation", issuer="https://x.test")).status == 400
    assert (await direct.try_control("POST", "/clock", move=-1)).status == 400


async def test_obstacles_to_bad_input_can_be_set_and_removed(direct: Direct) -> None:
    subscription = f"/subscriptions/{SUBSCRIPTION}"
    deny = [{"name": "deny-all", "displayName": "Deny all", "locations": ["eastus"]}]
    for change, code in (
        ({"providers": []}, "MissingSubscriptionRegistration"),
        ({"providers": ["Microsoft.Security"], "policies": deny}, "RequestDisallowedByPolicy"),
        ({"policies": [], "resourceGroups": []}, "ResourceGroupNotFound"),
    ):
        await direct.control("PATCH", subscription, **change)
        assert (await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)).code == code
    await direct.control("PATCH", subscription, resourceGroups=[{"name": "RG-DevOps-Security"}])
    assert (await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)).status == 201
    assert (await direct.try_control("PATCH", "/subscriptions/nothing")).status == 404


async def test_an_applications_secret_can_expire_and_be_replaced(direct: Direct) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": APP_ID,
        "client_secret": "sandbox-secret",
        "scope": "https://management.azure.com/.default",
    }
    token = f"/{TENANT}/oauth2/v2.0/token"
    await direct.control("PATCH", f"/applications/{APP}", secrets=[{"value": "sandbox-secret", "expiresIn": -1}])
    assert (await direct.entra(token, form)).json["error_codes"] == [7000222]
    await direct.control("PATCH", f"/applications/{APP_ID}", secrets=[{"value": "sandbox-secret"}], disabled=True)
    assert (await direct.entra(token, form)).json["error_codes"] == [7000112]
    await direct.control("PATCH", f"/applications/{APP_ID}", disabled=False)
    assert (await direct.entra(token, form)).status == 200
    assert (await direct.try_control("PATCH", "/applications/nothing")).status == 404
