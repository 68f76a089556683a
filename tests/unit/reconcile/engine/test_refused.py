"""What the API server refuses ends in a condition of the connector that it belongs to."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog

from defender_devops.errors import KubernetesConflict, KubernetesError, KubernetesRefused, KubernetesUnavailable
from defender_devops.reconcile.facts.snapshot import AuthorizationCode
from defender_devops.settings import Settings
from tests.unit.azure.fakes import answer
from tests.unit.reconcile.engine.world import KEY, OTHER, AzureModel, World

pytestmark = pytest.mark.looptime

CODE = "authorization: {method: Code, codeSecretRef: {name: code, key: code}}"


def with_code_read(world: World, error: KubernetesError | None) -> None:
    """Let the read of KEY's one-time code fail."""

    async def read(connector: Any) -> tuple[AuthorizationCode, None]:  # noqa: ANN401 - a connector
        if error is not None and connector.metadata.name == KEY.name:
            raise error
        return AuthorizationCode(problem="There is no Secret code."), None

    codes = cast("Any", SimpleNamespace(read=read, forget=lambda _uid: None))
    world.reconciler = replace(world.reconciler, gatherer=replace(world.reconciler.gatherer, codes=codes))


def without_configuration() -> AzureModel:
    missing = {"error": {"code": "ResourceNotFound", "message": "It does not exist."}}
    return AzureModel(lambda _method, path: answer(404, missing) if path.startswith("/devops") else None)


@pytest.mark.parametrize("status", [403, 422])
async def test_a_refused_read_of_the_code_is_why_there_is_no_code(status: int) -> None:
    world = World(without_configuration(), Settings(), CODE)
    world.add_connector(OTHER)
    with_code_read(world, KubernetesRefused('secrets "code" is forbidden: cannot get', status=status))
    async with world.running():
        await asyncio.sleep(60.0)
    assert world.status()["observedGeneration"] == 1
    assert world.condition("Authorized") == ("False", "AwaitingAuthorization")
    message = next(item for item in world.status()["conditions"] if item["type"] == "Authorized")["message"]
    assert 'secrets "code" is forbidden' in message
    assert "permissions of the operator's service account" in message


@pytest.mark.parametrize("status", [403, 422])
async def test_a_refused_read_of_a_code_that_is_not_needed_changes_nothing(status: int) -> None:
    world = World(AzureModel(), Settings(), CODE)
    with_code_read(world, KubernetesRefused("forbidden", status=status))
    async with world.running():
        await asyncio.sleep(60.0)
    assert world.condition("Ready")[0] == "True"


async def test_an_api_server_that_does_not_answer_is_no_missing_code() -> None:
    world = World(without_configuration(), Settings(), CODE)
    with_code_read(world, KubernetesUnavailable("down"))
    with structlog.testing.capture_logs():
        async with world.running():
            await asyncio.sleep(60.0)
            assert world.condition("Authorized")[0] == "missing"
            assert world.condition("Ready") == ("False", "KubernetesUnavailable")
            assert world.condition("Stalled")[0] == "missing"
            with_code_read(world, None)
            await asyncio.sleep(600.0)
            assert world.condition("Authorized") == ("False", "AwaitingAuthorization")


@pytest.mark.parametrize(
    "error", [KubernetesUnavailable("down"), KubernetesConflict("changed")], ids=["down", "changed"]
)
async def test_an_outage_of_the_api_server_leaves_a_status_that_exists_alone(error: KubernetesError) -> None:
    world = World(AzureModel(), Settings(), CODE)
    with structlog.testing.capture_logs():
        async with world.running():
            await asyncio.sleep(60.0)
            assert world.condition("Ready")[0] == "True"
            with_code_read(world, error)
            world.edit({"azure": {"tags": {"team": "green"}}})
            await asyncio.sleep(60.0)
            assert world.condition("Ready")[0] == "True"


async def test_a_refused_write_of_an_organization_is_reported_by_its_connector() -> None:
    """Whatever ends a reconcile early: the status says so, and the retry is slow."""
    world = World(AzureModel(), Settings(), "authorization: {method: Adopt}")
    world.add_connector(OTHER)
    original = world.reconciler.status_writer.organizations.patch_status

    async def patch_status(namespace: str, name: str, patch: Any, **options: Any) -> Any:  # noqa: ANN401 - as the original
        if name == "contoso-contoso":
            raise KubernetesRefused('devopsorganizations "contoso-contoso" is forbidden', status=403)
        return await original(namespace, name, patch, **options)

    class Organizations:
        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the original
            return patch_status if name == "patch_status" else getattr(world.kubernetes, name)

    writer = replace(world.reconciler.status_writer, organizations=cast("Any", Organizations()))
    world.reconciler = replace(world.reconciler, status_writer=writer)
    with structlog.testing.capture_logs():
        async with world.running():
            await asyncio.sleep(60.0)
            assert world.condition("Ready") == ("False", "KubernetesRefused")
            assert world.condition("Stalled")[0] == "True"
            assert world.status()["observedGeneration"] == 1
            assert world.condition("Ready", OTHER)[0] == "True"
            reconciles = len(world.reconciles)
            await asyncio.sleep(3600.0)
            assert len(world.reconciles) - reconciles <= 20
