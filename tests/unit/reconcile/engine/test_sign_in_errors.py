"""An unexpected exception of one connector's sign-in, from its check to the condition, with the real sessions."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from pydantic import SecretStr

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.reconcile.cache.resource_cache import Key
from defender_devops.reconcile.observe.sign_in import SignInObserver
from defender_devops.settings import Settings
from defender_devops.signin.sessions.sign_ins import SignIns
from defender_devops.signin.tokens.record import TokenRecord
from tests.unit.reconcile.engine.world import KEY, OTHER, AzureModel, World

pytestmark = pytest.mark.looptime

SECRET = "s3cret-of-the-exception"
SPEC = """
authorization: {method: Adopt}
signIn:
  method: ServicePrincipal
  client: {id: 11111111-1111-1111-1111-111111111111, type: Secret, secretRef: {name: app, key: secret}}
"""


class UnexpectedError(Exception):
    """Nothing in the operator expects it."""


class Refresher:
    """Issues a token for every connector, except for the one that is broken."""

    def __init__(self, world: World, broken: str | None) -> None:
        self.world = world
        self.broken = broken
        self.store = SimpleNamespace(is_own_write=lambda *_: False)

    async def refresh(self, connector: AzureDevOpsConnector, *_: object) -> TokenRecord:
        if connector.metadata.name == self.broken:
            raise UnexpectedError(SECRET)
        now = self.world.now()
        return TokenRecord(
            access_token=SecretStr("token"), access_issued_at=now, access_expires_at=now + timedelta(hours=1)
        )

    def forget(self, _uid: str) -> None:
        pass


class Reader:
    """An `AzureDevOpsReader` without results."""

    async def check(self, *_: object) -> tuple[()]:
        return ()

    async def expected_counts(self, *_: object) -> None:
        return None

    def invalidate(self, _uid: str) -> None:
        pass


def with_sign_ins(world: World, refresher: Refresher, settings: Settings) -> SignIns:
    """Give a world real sign-ins."""
    sign_ins = SignIns(
        refresher=cast("Any", refresher),
        clock=world.now,
        check_interval=timedelta(seconds=settings.check_interval),
        page_url=lambda _uid: None,
        on_change=lambda *key: world.queue.enqueue(Key(*key)),
        on_failure=world.internal_errors.append,
    )
    observer = SignInObserver(sign_ins, cast("Any", Reader()), world.internal_errors.append)
    world.reconciler = replace(world.reconciler, gatherer=replace(world.reconciler.gatherer, sign_ins=observer))
    return sign_ins


@pytest.mark.parametrize("moment", ["from the start", "once it works"])
async def test_an_exception_of_one_sign_in_concerns_only_its_connector_and_ends_by_itself(moment: str) -> None:
    settings = Settings()
    world = World(AzureModel(), settings, SPEC)
    world.add_connector(OTHER)
    refresher = Refresher(world, KEY.name if moment == "from the start" else None)
    sign_ins = with_sign_ins(world, refresher, settings)
    checks = asyncio.create_task(sign_ins.run())
    with structlog.testing.capture_logs() as lines:
        async with world.running():
            if moment == "once it works":
                await asyncio.sleep(60.0)
                assert world.condition("Ready")[0] == "True"
                refresher.broken = KEY.name
                await asyncio.sleep(settings.check_interval)
            await asyncio.sleep(60.0)
            assert world.condition("Ready") == ("False", "InternalError")
            assert world.condition("Ready", OTHER)[0] == "True"
            assert world.condition("SignedIn", OTHER)[0] == "True"
            assert "sign-in" in world.internal_errors
            assert SECRET not in str(world.status())
            errors = [line for line in lines if line["log_level"] == "error"]
            assert any(isinstance(line["exc_info"], UnexpectedError) for line in errors), "with its traceback"
            refresher.broken = None
            await asyncio.sleep(2 * settings.check_interval)
            assert world.condition("Ready")[0] == "True"
            assert world.condition("SignedIn")[0] == "True"
            assert not checks.done()
    checks.cancel()
    await asyncio.wait({checks})
