"""An organization that is missing in an older answer of listAvailableAzureDevOpsOrgs may only be younger than it."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from defender_devops.api.azure_types import (
    AutoDiscovery,
    AzureOrganization,
    Configuration,
    Connector,
    OnboardingState,
    ProvisioningState,
)
from defender_devops.azure.resources.role_assignments import RoleAssignments
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.reconcile.facts.organization_selection import unreachable_organizations
from defender_devops.reconcile.facts.snapshot import AzureState
from defender_devops.reconcile.observe.azure_state import AzureStateReader, ReadOptions
from tests.unit.azure.fakes import REF, FakeAzure, answer, arm_error
from tests.unit.reconcile.builder import NOW

CONFIGURATION = {"name": "default", "properties": {"provisioningState": "Succeeded", "autoDiscovery": "Enabled"}}


def organizations(*names: str) -> httpx.Response:
    items = [
        {"name": name, "properties": {"onboardingState": "Onboarded", "provisioningState": "Succeeded"}}
        for name in names
    ]
    return answer(200, {"value": items})


def azure(onboarded: httpx.Response, available: httpx.Response) -> FakeAzure:
    def respond(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("listAvailableAzureDevOpsOrgs"):
            return available
        if path.endswith("azureDevOpsOrgs"):
            return onboarded
        if path.endswith("devops/default"):
            return answer(200, CONFIGURATION)
        properties = {"environmentName": "AzureDevOps", "hierarchyIdentifier": "x", "offerings": []}
        return answer(200, {"id": REF.id, "name": "contoso", "location": "westeurope", "properties": properties})

    return FakeAzure([respond])


def previous(*names: str) -> AzureState:
    """A state of a minute ago, whose probe is recent."""
    listed = tuple(AzureOrganization(name, OnboardingState.ONBOARDED) for name in names)
    return AzureState(
        Connector(REF.id, "westeurope"),
        Configuration(ProvisioningState.SUCCEEDED, AutoDiscovery.ENABLED),
        listed,
        available=listed,
        probed_at=NOW - timedelta(minutes=1),
    )


async def read(cloud: FakeAzure, state: AzureState, *, fresh: bool) -> tuple[AzureState, int]:
    """The state, and the number of probes that it took."""
    reader = AzureStateReader(SecurityConnectors(cloud.arm), RoleAssignments(cloud.arm))
    result = await reader.read(REF, state, ReadOptions(fresh=fresh), NOW)
    return result, sum(request.url.path.endswith("listAvailableAzureDevOpsOrgs") for request in cloud.requests)


@pytest.mark.parametrize(
    ("onboarded", "available", "unreachable", "probes"),
    [
        (["contoso"], ["contoso"], set(), 0),
        (["contoso", "tailspin"], ["contoso", "tailspin"], set(), 1),
        (["contoso", "tailspin"], ["contoso"], {"tailspin"}, 1),
    ],
    ids=["nothing new", "a new organization", "an organization out of reach"],
)
async def test_an_organization_that_the_last_answer_lacks_is_probed_again_after_a_fresh_read(
    onboarded: list[str], available: list[str], unreachable: set[str], probes: int
) -> None:
    cloud = azure(organizations(*onboarded), organizations(*available))
    state, count = await read(cloud, previous("contoso"), fresh=True)
    assert (set(unreachable_organizations(state)), count) == (unreachable, probes)


async def test_an_organization_out_of_reach_costs_no_probe_while_the_state_is_cached() -> None:
    cached = previous("contoso", "tailspin")
    state, count = await read(azure(organizations(), organizations()), cached, fresh=False)
    assert (state.organizations, count) == (cached.organizations, 0)


async def test_failed_probes_in_a_row_are_counted() -> None:
    cloud = azure(organizations("contoso"), arm_error(400, "Weird", "No."))
    state = previous("contoso")
    reader = AzureStateReader(SecurityConnectors(cloud.arm), RoleAssignments(cloud.arm))
    for number in (1, 2, 3):
        state = await reader.read(REF, state, ReadOptions(probe=True), NOW)
        assert state.probe_failures == number
        state = await reader.read(REF, state, ReadOptions(fresh=True), NOW)
    state = await AzureStateReader(
        SecurityConnectors((good := azure(organizations("contoso"), organizations("contoso"))).arm),
        RoleAssignments(good.arm),
    ).read(REF, state, ReadOptions(probe=True), NOW)
    assert state.probe_failures == 0
