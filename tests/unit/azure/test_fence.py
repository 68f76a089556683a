from __future__ import annotations

from dataclasses import replace

import pytest

from defender_devops.azure.arm.client import ArmRequest
from defender_devops.azure.arm.rate_limiter import OperationKind
from defender_devops.errors import LeadershipLost
from tests.unit.azure.fakes import SUBSCRIPTION, answer, azure_with


def _call(method: str, kind: OperationKind | None = None) -> ArmRequest:
    return ArmRequest("do it", method, path="/x", api_version="1", subscription=SUBSCRIPTION, kind=kind)


def _closed() -> None:
    raise LeadershipLost("another replica leads")


@pytest.mark.parametrize(
    ("call", "reaches_azure"),
    [
        (_call("GET"), True),
        (_call("POST", OperationKind.RESOURCE_GRAPH), True),
        (_call("POST", OperationKind.READS), True),
        (_call("PUT"), False),
        (_call("PATCH"), False),
        (_call("POST"), False),
        (_call("DELETE"), False),
    ],
    ids=lambda value: f"{value.method} {value.operation_kind}" if isinstance(value, ArmRequest) else "",
)
async def test_a_replica_that_does_not_lead_may_read_but_not_write(call: ArmRequest, reaches_azure: bool) -> None:
    azure = azure_with(answer(200, {}))
    azure.arm._session = replace(azure.session, fence=_closed)
    if reaches_azure:
        await azure.arm.send(call)
    else:
        with pytest.raises(LeadershipLost):
            await azure.arm.send(call)
    assert bool(azure.requests) == reaches_azure
