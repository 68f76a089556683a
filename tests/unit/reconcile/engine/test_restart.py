"""What a start costs while connectors are at rest, and what it must not miss."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from defender_devops.reconcile.cache.resource_cache import Key
from defender_devops.settings import Settings
from tests.unit.azure.fakes import answer
from tests.unit.reconcile.engine.world import KEY, AzureModel, World

pytestmark = pytest.mark.looptime

SPEC = "{authorization: {method: Adopt}, organizations: {mode: Selected, names: [contoso]}}"
SETTLE, REFRESH, CHECK = 30.0, 300.0, 600.0


def arm_requests(world: World) -> list[str]:
    """Return the requests to Resource Manager, as method and path below the connector."""
    return [
        f"{request.method} {request.url.path.partition('/securityConnectors/contoso')[2]}"
        for request in world.azure.requests
        if "ResourceGraph" not in request.url.path
    ]


def graph_requests(world: World) -> int:
    return len(world.azure.requests) - len(arm_requests(world))


async def at_rest(world: World) -> None:
    """Wait until the connector is Ready, and forget what that has cost."""
    await asyncio.sleep(2 * CHECK)
    assert world.condition("Ready") == ("True", "Ready")
    forget(world)


def forget(world: World) -> None:
    world.azure.requests.clear()
    world.kubernetes.writes = 0


def make_world() -> World:
    model = AzureModel()
    model.configuration["autoDiscovery"] = "Disabled"
    return World(
        model,
        Settings(refresh_interval=REFRESH, check_interval=CHECK, posture_interval=0),
        SPEC,
        has_resource_graph=True,
    )


async def test_a_start_reads_nothing_of_a_connector_at_rest_and_writes_nothing() -> None:
    world = make_world()
    async with world.running():
        await at_rest(world)
        async with world.restarted():
            await asyncio.sleep(SETTLE)
            assert arm_requests(world) == []
            assert graph_requests(world) == 1
            assert world.kubernetes.writes == 0
            assert world.condition("Ready") == ("True", "Ready")
            assert world.internal_errors == []


async def test_the_authorization_is_checked_within_the_interval_and_then_at_intervals() -> None:
    world = make_world()
    async with world.running():
        await at_rest(world)
        async with world.restarted():
            await asyncio.sleep(CHECK + 1)
            assert arm_requests(world) == ["POST /devops/default/listAvailableAzureDevOpsOrgs"]
            await asyncio.sleep(CHECK)
            assert len(arm_requests(world)) == 2
            assert world.kubernetes.writes == 0


async def test_an_authorization_that_was_lost_meanwhile_is_found_within_the_interval() -> None:
    world = make_world()
    async with world.running():
        await at_rest(world)
        error = {"code": "TokenExchangeFailed", "message": "The OAuth token is revoked."}
        world.model.override = lambda method, _path: answer(400, {"error": error}) if method == "POST" else None
        async with world.restarted():
            await asyncio.sleep(CHECK + 1)
            assert world.condition("Authorized")[0] == "False"


async def test_a_spec_that_was_edited_meanwhile_is_read_from_resource_manager() -> None:
    world = make_world()
    async with world.running():
        await at_rest(world)
        async with world.restarted():
            world.edit({"deletionPolicy": "Detach"})
            await asyncio.sleep(SETTLE)
            assert "GET " in arm_requests(world)
            assert world.status()["observedGeneration"] == 2


@pytest.mark.parametrize(
    "rows",
    [
        answer(200, {"data": [], "totalRecords": 0}),
        answer(403, {"error": {"code": "AuthorizationFailed", "message": "no"}}),
    ],
    ids=["no row", "refused"],
)
async def test_without_a_row_everything_is_read(rows: Any) -> None:  # noqa: ANN401 - an answer of httpx
    world = make_world()
    async with world.running():
        await at_rest(world)
        world.model.rows = rows
        async with world.restarted():
            await asyncio.sleep(SETTLE)
            assert arm_requests(world) == [
                "GET ",
                "GET /devops/default",
                "GET /devops/default/azureDevOpsOrgs",
                "POST /devops/default/listAvailableAzureDevOpsOrgs",
            ]
            assert world.kubernetes.writes == 0
            assert world.condition("Ready") == ("True", "Ready")


async def test_a_row_that_differs_from_the_status_is_not_believed() -> None:
    """Resource Graph lags: the operator onboarded the organization, and was restarted before that was indexed."""
    world = make_world()
    async with world.running():
        await at_rest(world)
        world.model.organization["onboardingState"] = "NotOnboarded"
        world.model.rows = world.model.index()
        world.model.organization["onboardingState"] = "Onboarded"
        async with world.restarted():
            await asyncio.sleep(SETTLE)
            assert "GET /devops/default/azureDevOpsOrgs" in arm_requests(world)
            assert not [request for request in arm_requests(world) if request.startswith(("PATCH", "PUT"))]
            assert world.kubernetes.writes == 0
            assert world.condition("Ready") == ("True", "Ready")


async def test_drift_is_planned_on_a_read() -> None:
    world = make_world()
    async with world.running():
        await at_rest(world)
        world.model.organization["onboardingState"] = "NotOnboarded"
        async with world.restarted():
            await asyncio.sleep(SETTLE)
            requests = arm_requests(world)
            assert requests.index("GET /devops/default/azureDevOpsOrgs") < requests.index("PATCH /devops/default")


async def test_drift_that_resource_graph_shows_later_is_found_within_one_refresh() -> None:
    world = make_world()
    async with world.running():
        await at_rest(world)
        world.model.rows = world.model.index()
        world.model.organization["onboardingState"] = "NotOnboarded"
        async with world.restarted():
            await asyncio.sleep(SETTLE)
            assert not [request for request in arm_requests(world) if request.startswith("PATCH")]
            world.model.rows = None
            await asyncio.sleep(REFRESH)
            assert "PATCH /devops/default" in arm_requests(world)


async def test_a_poll_that_does_not_end_is_not_waited_for() -> None:
    world = make_world()
    async with world.running():
        await at_rest(world)
        endless = asyncio.Event()
        world.azure.answers = [lambda request: _held(world, request, endless)]
        async with world.restarted():
            await asyncio.sleep(50)
            assert arm_requests(world) == []
            await asyncio.sleep(SETTLE)
            assert "GET " in arm_requests(world)
            assert world.condition("Ready", KEY) == ("True", "Ready")


async def _held(world: World, request: Any, event: asyncio.Event) -> Any:  # noqa: ANN401 - of httpx
    if "ResourceGraph" in request.url.path:
        await event.wait()
    return world.model.answer(request)


async def test_a_start_that_lists_an_older_spec_writes_nothing_to_azure() -> None:
    world = make_world()
    async with world.running():
        await at_rest(world)
        newest = world.resources.connector_version(KEY)
        world.remember_older({"azure": {"tags": {"team": "green"}}})
        async with world.restarted():
            await asyncio.sleep(CHECK)
            assert [request for request in arm_requests(world) if request.startswith(("PATCH", "PUT"))] == []
            assert world.resources.connector_version(KEY) == newest
            assert world.condition("Ready") == ("True", "Ready")


async def test_the_first_write_after_a_start_is_made_once_the_spec_is_confirmed() -> None:
    world = make_world()
    async with world.running():
        await at_rest(world)
        async with world.restarted():
            world.edit({"azure": {"tags": {"team": "green"}}})
            await asyncio.sleep(SETTLE)
            assert "PATCH " in arm_requests(world)


async def test_a_new_connector_is_not_confirmed_since_its_finalizer_was_added_to_the_newest_version() -> None:
    world = make_world()
    async with world.running():
        await at_rest(world)
        assert world.kubernetes.reads == []
        async with world.restarted():
            world.edit({"azure": {"tags": {"team": "green"}}})
            await asyncio.sleep(SETTLE)
            assert world.kubernetes.reads == [KEY.name]


async def test_a_status_of_an_organization_that_changes_during_a_reconcile_is_written_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = make_world()
    async with world.running():
        await at_rest(world)
        (name,) = world.resources.organization_names(KEY.namespace)
        organization = Key(KEY.namespace, name)
        status = world.status(organization)
        execute = world.reconciler.executor.execute
        changes: list[dict[str, Any]] = []

        async def change(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - those of the executor
            if not changes:
                live = world.resources.organization(organization) or {}
                changes.append(world.kubernetes.apply(live, {"status": {"onboardingState": "Failed"}}))
            return await execute(*arguments, **options)

        monkeypatch.setattr(world.reconciler.executor, "execute", change)
        world.edit({"deletionPolicy": "Detach"})
        await asyncio.sleep(SETTLE)
        assert len(changes) == 1
        assert world.status(organization) == status
