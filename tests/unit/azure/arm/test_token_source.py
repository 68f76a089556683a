from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from defender_devops.azure.arm.token_source import Token, TokenSource
from defender_devops.errors import CredentialsRejected, CredentialsUnavailable, KubernetesUnavailable
from tests.unit.azure.fakes import NOW, FakeCredential, FakeTime


def source(*script: Exception, lifetime: float = 3600.0) -> tuple[TokenSource, FakeCredential, FakeTime]:
    time = FakeTime()
    credential = FakeCredential(*script, lifetime=lifetime, now=lambda: NOW + time.seconds)  # type: ignore[arg-type]
    return TokenSource(credential, time.clock), credential, time


async def value(tokens: TokenSource) -> str:
    return (await tokens.current()).get_secret_value()


async def test_a_token_is_cached_until_five_minutes_before_its_expiry() -> None:
    tokens, _, time = source()
    assert await value(tokens) == "token-1"
    time.seconds = 3600 - 301
    assert await value(tokens) == "token-1"
    time.seconds = 3600 - 300
    assert await value(tokens) == "token-2"


async def test_concurrent_callers_share_one_request() -> None:
    tokens, credential, _ = source()
    assert await asyncio.gather(*(value(tokens) for _ in range(50))) == ["token-1"] * 50
    assert len(credential.asked) == 1


async def test_a_cancelled_caller_leaves_the_request_to_the_next() -> None:
    tokens, credential, _ = source()
    first, second = (asyncio.create_task(value(tokens)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "token-2"
    assert len(credential.asked) == 2


@pytest.mark.parametrize("failure", [CredentialsUnavailable("down"), KubernetesUnavailable("down")])
async def test_a_valid_token_outlives_a_failed_refresh(failure: Exception) -> None:
    tokens, credential, time = source()
    assert await value(tokens) == "token-1"
    credential.script = [failure]  # type: ignore[list-item]
    time.seconds = 3400
    assert await value(tokens) == "token-1"
    assert await value(tokens) == "token-1"
    assert len(credential.asked) == 2, "not asked again at once"
    time.seconds += 30
    assert await value(tokens) == "token-3"


async def test_an_expired_token_does_not_outlive_a_failed_refresh() -> None:
    tokens, credential, time = source()
    await value(tokens)
    credential.script = [CredentialsUnavailable("down")]
    time.seconds = 3601
    with pytest.raises(CredentialsUnavailable):
        await value(tokens)


async def test_a_failure_is_cached_for_some_seconds() -> None:
    tokens, credential, time = source(CredentialsRejected("wrong secret"))
    for _ in range(10):
        with pytest.raises(CredentialsRejected, match="wrong secret") as failed:
            await value(tokens)
        assert failed.value.retry_after is None
    assert len(credential.asked) == 1
    time.seconds += 5
    assert await value(tokens) == "token-2"


async def test_a_failure_with_retry_after_is_cached_until_then() -> None:
    tokens, credential, time = source(CredentialsUnavailable("throttled", retry_after=30))
    for remaining in (30, 20, 10):
        with pytest.raises(CredentialsUnavailable, match="throttled") as failed:
            await value(tokens)
        assert failed.value.retry_after == remaining
        time.seconds += 10
    assert len(credential.asked) == 1
    assert await value(tokens) == "token-2"


async def test_a_rejected_token_is_replaced_once_for_all_callers() -> None:
    tokens, credential, _ = source()
    old = await tokens.current()
    replaced = await asyncio.gather(*(tokens.replace(old, "claims") for _ in range(10)))
    assert {token.get_secret_value() for token in replaced} == {"token-2"}
    assert credential.asked == [(None, False), ("claims", True)]
    assert await value(tokens) == "token-2"


async def test_a_token_is_refreshed_at_the_time_that_the_issuer_recommends() -> None:
    time = FakeTime()

    class WithWish(FakeCredential):
        async def token(self, *, claims: str | None, force_refresh: bool) -> Token:
            token = await super().token(claims=claims, force_refresh=force_refresh)
            return Token(token.value, token.expires_at, refresh_at=NOW + time.seconds + 100)

    tokens = TokenSource(WithWish(lifetime=86400, now=lambda: NOW + time.seconds), time.clock)
    assert await value(tokens) == "token-1"
    time.seconds = 99
    assert await value(tokens) == "token-1"
    time.seconds = 101
    assert await value(tokens) == "token-2"


async def test_a_token_does_not_appear_in_its_representation() -> None:
    tokens, _, _ = source()
    assert "token-1" not in repr(await tokens.current())
    assert isinstance(await tokens.current(), SecretStr)
