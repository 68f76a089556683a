from __future__ import annotations

import pytest

from defender_devops.azure.arm.client import ArmRequest, ArmResponse
from defender_devops.azure.arm.long_running_operations import started_operation
from tests.unit.azure.fakes import ENDPOINT, SUBSCRIPTION

REQUEST = ArmRequest("create DevOps configuration", "PUT", path="/x", subscription=SUBSCRIPTION)
STATUS_URL = {"azure-asyncoperation": f"{ENDPOINT}/operationResults/1?s=signature"}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [({}, 20), ({"retry-after": "7"}, 7), ({"retry-after": "0"}, 1), ({"retry-after": "x"}, 20)],
)
def test_an_operation_is_polled_after_retry_after_but_never_at_once(header: dict[str, str], seconds: float) -> None:
    operation = started_operation(REQUEST, ArmResponse(202, STATUS_URL | header, {}))
    assert operation is not None
    assert operation.poll_after == seconds


def test_a_response_without_a_status_url_started_no_operation() -> None:
    assert started_operation(REQUEST, ArmResponse(200, {"retry-after": "7"}, {})) is None


def test_an_operation_does_not_hold_its_signed_url() -> None:
    assert "signature" not in repr(started_operation(REQUEST, ArmResponse(202, STATUS_URL, {})))
