"""What is kept between reads so that an old list of organizations is not taken for a working authorization."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from defender_devops.api.azure_types import AutoDiscovery
from defender_devops.azure.resources.role_assignments import RoleAssignments
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.reconcile.actions.azure import Authorize, UpdateConfiguration
from defender_devops.reconcile.facts.snapshot import AzureState
from defender_devops.reconcile.observe.azure_state import AzureStateReader, ReadOptions
from tests.unit.azure.fakes import REF, FakeAzure, answer, arm_error
from tests.unit.reconcile.builder import NOW
from tests.unit.reconcile.observe.test_unreachable import organizations, previous

LISTED = organizations("contoso")


async def read(state: AzureState, available: httpx.Response, provisioning: str = "Failed") -> AzureState:
    """Read everything again, the check of the authorization included."""

    def respond(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("listAvailableAzureDevOpsOrgs"):
            return available
        if path.endswith("azureDevOpsOrgs"):
            return LISTED
        if path.endswith("devops/default"):
            properties = {"provisioningState": provisioning, "autoDiscovery": "Enabled"}
            return answer(200, {"name": "default", "properties": properties})
        properties = {"environmentName": "AzureDevOps", "hierarchyIdentifier": "x", "offerings": []}
        return answer(200, {"id": REF.id, "name": "contoso", "location": "westeurope", "properties": properties})

    arm = FakeAzure([respond]).arm
    reader = AzureStateReader(SecurityConnectors(arm), RoleAssignments(arm))
    return await reader.read(REF, state, ReadOptions(fresh=True, probe=True), NOW)


@pytest.mark.parametrize(
    ("available", "is_loss"),
    [
        (arm_error(400, "TokenExchangeFailed", "No."), True),
        (arm_error(403, "Forbidden", "No."), True),
        (arm_error(400, "Weird", "No."), True),
        (organizations(), True),
        (arm_error(403, "AuthorizationFailed", "No right."), False),
        (answer(500), False),
        (arm_error(429, "TooManyRequests", "Wait."), False),
        (LISTED, False),
    ],
    ids=[
        "exchange failed",
        "denied",
        "unexplained",
        "nothing listed",
        "no right",
        "unavailable",
        "throttled",
        "listed",
    ],
)
async def test_a_check_that_has_reported_a_loss_is_remembered(available: httpx.Response, *, is_loss: bool) -> None:
    state = await read(previous("contoso"), available)
    assert state.probe_reported_loss == is_loss
    later = await read(state, LISTED)
    assert later.probe_reported_loss == is_loss
    assert (later.available is not None, later.probe_failure) == (True, None)


@pytest.mark.parametrize(("provisioning", "is_kept"), [("Pending", True), ("Failed", True), ("Succeeded", False)])
async def test_an_own_change_is_remembered_until_it_has_succeeded(provisioning: str, *, is_kept: bool) -> None:
    state = UpdateConfiguration(AutoDiscovery.ENABLED).change(previous("contoso"))
    assert state.relied_on_authorization
    state = await read(state, LISTED, provisioning)
    assert state.relied_on_authorization == is_kept


async def test_a_failed_discovery_is_no_answer_to_a_change_that_has_succeeded() -> None:
    state = UpdateConfiguration(AutoDiscovery.ENABLED).change(previous("contoso"))
    state = await read(state, LISTED, "Succeeded")
    assert not (await read(state, LISTED, "Failed")).relied_on_authorization


def test_a_new_code_does_not_rely_on_the_authorization_that_exists() -> None:
    state = replace(previous("contoso"), relied_on_authorization=True)
    assert not Authorize(sha256="0" * 64).change(state).relied_on_authorization
