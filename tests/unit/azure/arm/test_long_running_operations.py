from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from defender_devops.azure.arm.long_running_operations import Operation, OperationState, operation_status
from defender_devops.errors import AzureError, AzureUnavailable, InvalidRequest, TokenExchangeFailed
from tests.unit.azure.fakes import ENDPOINT, SUBSCRIPTION, answer, arm_error, azure_with

URL = f"{ENDPOINT}/subscriptions/s/operationResults/1?api-version=2025-03-01&t=638&c=MII-_x%2Bd&s=a%20b"
OPERATION = Operation(SecretStr(URL), 20, "create DevOps configuration", SUBSCRIPTION)


@pytest.mark.parametrize(
    ("content", "state", "error"),
    [
        ({"status": "Accepted"}, OperationState.RUNNING, None),
        ({"status": "InProgress"}, OperationState.RUNNING, None),
        ({"status": "Dreaming"}, OperationState.RUNNING, None),
        ({}, OperationState.RUNNING, None),
        ({"status": "Succeeded"}, OperationState.SUCCEEDED, None),
        ({"status": "succeeded"}, OperationState.SUCCEEDED, None),
        (
            {
                "status": "Failed",
                "error": {"code": "TokenExchangeFailed", "message": "AzureDevOps token exchange failed"},
            },
            OperationState.FAILED,
            TokenExchangeFailed,
        ),
        ({"status": "Failed", "error": {"code": "X", "message": "y"}}, OperationState.FAILED, InvalidRequest),
        ({"status": "Failed"}, OperationState.FAILED, InvalidRequest),
        ({"status": "Canceled"}, OperationState.CANCELED, InvalidRequest),
        ({"status": "Cancelled", "error": None}, OperationState.CANCELED, InvalidRequest),
    ],
)
async def test_a_look_tells_where_an_operation_stands(
    content: dict[str, Any], state: OperationState, error: type[AzureError] | None
) -> None:
    azure = azure_with(answer(200, content, {"retry-after": "7"}))
    status = await operation_status(azure.arm, OPERATION)
    assert status.state is state
    assert type(status.error) is (error or type(None))
    if state is OperationState.RUNNING:
        assert status.poll_after == 7


@pytest.mark.parametrize(("header", "seconds"), [({}, 20), ({"retry-after": "0"}, 1), ({"retry-after": "x"}, 20)])
async def test_the_next_look_is_never_at_once(header: dict[str, str], seconds: float) -> None:
    azure = azure_with(answer(200, {"status": "Accepted"}, header))
    assert (await operation_status(azure.arm, OPERATION)).poll_after == seconds


async def test_the_signed_address_is_asked_as_it_was_given() -> None:
    azure = azure_with(answer(200, {"status": "Accepted"}))
    await operation_status(azure.arm, OPERATION)
    assert str(azure.requests[0].url) == URL
    assert azure.requests[0].headers["authorization"] == "Bearer token-1"


async def test_an_operation_that_azure_has_forgotten_is_no_error() -> None:
    azure = azure_with(arm_error(404, "ResourceNotFound"))
    assert (await operation_status(azure.arm, OPERATION)).state is OperationState.FORGOTTEN


async def test_a_look_that_fails_says_nothing_about_the_operation() -> None:
    with pytest.raises(AzureUnavailable):
        await operation_status(azure_with(answer(503)).arm, OPERATION)


async def test_the_token_ends_in_the_middle_of_polling() -> None:
    azure = azure_with(arm_error(401, "ExpiredAuthenticationToken"), answer(200, {"status": "Succeeded"}))
    assert (await operation_status(azure.arm, OPERATION)).state is OperationState.SUCCEEDED


@pytest.mark.parametrize("url", ["https://evil.example/x?s=signature", "not an address", ""])
async def test_an_address_elsewhere_gets_no_token(url: str) -> None:
    azure = azure_with(answer(200, {"status": "Succeeded"}))
    with pytest.raises(AzureUnavailable) as refused:
        await operation_status(azure.arm, Operation(SecretStr(url), 20, "x", "s"))
    assert azure.requests == []
    assert "signature" not in refused.value.message


async def test_no_error_of_a_look_shows_the_signature(caplog: pytest.LogCaptureFixture) -> None:
    operation = Operation(SecretStr(f"{ENDPOINT}/x?s=the-signature"), 20, "x", "s")
    with caplog.at_level("DEBUG"), pytest.raises(AzureUnavailable) as failed:
        await operation_status(azure_with(httpx.ConnectError("refused")).arm, operation)
    assert "the-signature" not in f"{failed.value} {failed.value.__cause__!r} {caplog.text}"
