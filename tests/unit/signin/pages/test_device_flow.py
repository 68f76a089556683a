"""Signing in with a device code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from defender_devops.errors import OperatorError
from defender_devops.signin.oauth.errors import OAuthAppMisconfigured
from defender_devops.signin.pages.device_flow import DevicePrompt, DeviceSignIns
from tests.support.fakes.entra import ACCOUNT, TokenError
from tests.support.fakes.sign_in import DEVICE_CODE, UID, SignInSetup, connector

PENDING = TokenError(400, "authorization_pending", 70016)


@pytest.fixture
async def device(world: SignInSetup) -> AsyncIterator[DeviceSignIns]:
    device = DeviceSignIns(world.sign_ins, world.sign_ins.refresher, world.time.sleep)
    yield device
    await device.close()


async def finish(prompt: DevicePrompt) -> DevicePrompt:
    async with asyncio.timeout(20):
        await prompt.finished.wait()
    return prompt


async def test_a_finished_sign_in_is_accepted(world: SignInSetup, device: DeviceSignIns) -> None:
    world.entra.token_errors = [PENDING, PENDING]
    prompt = await device.start(connector(DEVICE_CODE))
    assert (prompt.user_code, prompt.is_pending) == ("ABCD-EFGH", True)
    assert (await finish(prompt)).failure is None
    assert world.sign_ins.last_state(connector(DEVICE_CODE)).signed_in
    assert world.stored("account") == ACCOUNT
    assert "client_secret" not in world.entra.forms[-1]


async def test_the_poll_interval_of_entra_is_used_and_slow_down_lengthens_it_for_good(
    world: SignInSetup, device: DeviceSignIns
) -> None:
    world.entra.token_errors = [PENDING, TokenError(400, "slow_down", 70016), PENDING]
    await finish(await device.start(connector(DEVICE_CODE)))
    assert world.time.sleeps == [5.0, 5.0, 10.0, 10.0]


async def test_an_outage_does_not_end_it(world: SignInSetup, device: DeviceSignIns) -> None:
    world.entra.token_errors = [TokenError(503, body="<html>"), PENDING]
    assert (await finish(await device.start(connector(DEVICE_CODE)))).failure is None


@pytest.mark.parametrize(
    ("refusal", "reason", "message"),
    [
        (TokenError(400, "authorization_declined", 70018), "SignInRequired", "declined"),
        (TokenError(400, "expired_token", 70020), "SignInRequired", "expired"),
        (TokenError(400, "bad_verification_code", 70019), "SignInRequired", "does not know"),
        (TokenError(400, "access_denied", 53003), "AccountBlocked", "Conditional Access"),
        (TokenError(401, "invalid_client", 7000218), "OAuthAppMisconfigured", "app"),
    ],
)
async def test_an_error_ends_it_with_its_reason(
    world: SignInSetup, device: DeviceSignIns, refusal: TokenError, reason: str, message: str
) -> None:
    world.entra.token_errors = [PENDING, refusal]
    failure = (await finish(await device.start(connector(DEVICE_CODE)))).failure
    assert isinstance(failure, OperatorError)
    assert failure.reason == reason
    assert message in failure.message


async def test_an_unused_code_expires(world: SignInSetup, device: DeviceSignIns) -> None:
    world.entra.token_errors = [PENDING] * 1000
    failure = (await finish(await device.start(connector(DEVICE_CODE)))).failure
    assert failure
    assert "expired before anybody" in failure.message
    assert sum(world.time.sleeps) == 900


async def test_another_account_is_rejected_and_nothing_stored(world: SignInSetup, device: DeviceSignIns) -> None:
    world.entra.account = "eve@contoso.com"
    failure = (await finish(await device.start(connector(DEVICE_CODE)))).failure
    assert failure
    assert failure.reason == "WrongAccount"
    assert "eve@contoso.com" in failure.message
    assert ("security", "contoso-azure-devops-token") not in world.secrets.stored


async def test_a_second_request_gets_the_code_in_progress(world: SignInSetup, device: DeviceSignIns) -> None:
    world.entra.token_errors = [PENDING] * 20
    first, second = await asyncio.gather(*(device.start(connector(DEVICE_CODE)) for _ in range(2)))
    assert first is second
    await finish(first)
    world.entra.token_errors = []
    assert (await device.start(connector(DEVICE_CODE))) is not first


async def test_another_method_gets_no_code(device: DeviceSignIns) -> None:
    with pytest.raises(OAuthAppMisconfigured, match="does not sign in with a device code"):
        await device.start(connector())
    assert device.prompt(UID) is None


async def test_the_device_code_itself_is_not_in_the_prompt(world: SignInSetup, device: DeviceSignIns) -> None:
    prompt = await device.start(connector(DEVICE_CODE))
    assert "device-secret" not in repr(prompt)
    await finish(prompt)
