"""Which id_tokens are accepted."""

from __future__ import annotations

from collections.abc import Callable

import jwt
import pytest
from pydantic import SecretStr

from defender_devops.signin.oauth.errors import SignInRequired, TokenServiceUnavailable, WrongTenant
from defender_devops.signin.oauth.id_tokens import Identity
from tests.support.fakes.entra import ACCOUNT, CLIENT_ID, OBJECT_ID, TENANT, FakeEntra, signing_key
from tests.support.fakes.sign_in import SignInSetup, connector

OTHER = "22222222-0000-0000-0000-000000000000"


async def verify(world: SignInSetup, token: str | None, nonce: str | None = "nonce-1") -> Identity:
    refresher = world.sign_ins.refresher
    secret = SecretStr(token) if token is not None else None
    return await refresher.verifier.verify(secret, refresher.authority(connector()), CLIENT_ID, nonce)


async def test_a_genuine_token_identifies_the_account(world: SignInSetup) -> None:
    assert await verify(world, world.entra.id_token("nonce-1")) == Identity(ACCOUNT, TENANT, OBJECT_ID)


async def test_a_flow_without_a_browser_has_no_nonce_to_compare(world: SignInSetup) -> None:
    assert (await verify(world, world.entra.id_token(), nonce=None)).account == ACCOUNT


def unsigned(entra: FakeEntra) -> str:
    claims = jwt.decode(entra.id_token("nonce-1"), options={"verify_signature": False})
    return jwt.encode(claims, None, algorithm="none", headers={"kid": "key-1"})


def signed_by_another(entra: FakeEntra) -> str:
    claims = jwt.decode(entra.id_token("nonce-1"), options={"verify_signature": False})
    return jwt.encode(claims, signing_key("stranger"), algorithm="RS256", headers={"kid": "key-1"})


def signed_with_the_public_key_as_shared_secret(entra: FakeEntra) -> str:
    claims = jwt.decode(entra.id_token("nonce-1"), options={"verify_signature": False})
    return jwt.encode(claims, "the public key, used as a shared secret", algorithm="HS256", headers={"kid": "key-1"})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "is not valid"),
        (lambda _: "", "is not valid"),
        (lambda _: "a.b.c", "is not valid"),
        (unsigned, "is not valid"),
        (signed_by_another, "is not valid"),
        (signed_with_the_public_key_as_shared_secret, "is not valid"),
        (lambda entra: entra.id_token("another nonce"), "another sign-in"),
        (lambda entra: entra.id_token(None), "another sign-in"),
        (lambda entra: entra.id_token("nonce-1", aud="another-app"), "is not valid"),
        (lambda entra: entra.id_token("nonce-1", iss="https://evil.example/v2.0"), "another service"),
        (lambda entra: entra.id_token("nonce-1", iss=f"https://evil.example/{TENANT}/v2.0"), "another service"),
        (lambda entra: entra.id_token("nonce-1", exp=1), "expired"),
        (lambda entra: entra.id_token("nonce-1", exp="soon"), "times cannot be read"),
        (lambda entra: entra.id_token("nonce-1", iat=4_000_000_000), "in the future"),
        (lambda entra: entra.id_token("nonce-1", preferred_username=""), "does not name the account"),
        (lambda entra: entra.id_token("nonce-1", oid=""), "does not name the account"),
    ],
)
async def test_an_untrustworthy_token_is_rejected(
    world: SignInSetup, make: Callable[[FakeEntra], str | None], message: str
) -> None:
    with pytest.raises(SignInRequired, match=message):
        await verify(world, make(world.entra))


async def test_an_account_of_another_tenant_is_rejected_and_both_are_named(world: SignInSetup) -> None:
    token = world.entra.id_token("nonce-1", tid=OTHER, iss=f"{world.entra.url}/{OTHER}/v2.0")
    with pytest.raises(WrongTenant, match=f"{ACCOUNT} belongs to tenant {OTHER}, the connector to {TENANT}"):
        await verify(world, token)


async def test_a_token_with_a_forged_tenant_id_is_rejected(world: SignInSetup) -> None:
    with pytest.raises(WrongTenant):
        await verify(world, world.entra.id_token("nonce-1", tid=OTHER))


async def test_new_keys_are_fetched_after_a_rollover_but_not_for_every_invented_id(world: SignInSetup) -> None:
    await verify(world, world.entra.id_token("nonce-1"))
    authority = world.sign_ins.refresher.authority(connector())
    get = world.sign_ins.refresher.verifier.keys.get
    world.entra.key_id = "key-2"
    assert await get(authority, "key-2") is None, "not fetched again within 30 seconds"
    world.time.forward(seconds=31)
    assert await get(authority, "key-2") is not None


async def test_without_signing_keys_the_service_is_unavailable(world: SignInSetup) -> None:
    world.entra.keys_fail = True
    with pytest.raises(TokenServiceUnavailable):
        await verify(world, world.entra.id_token("nonce-1"))
