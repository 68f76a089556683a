"""Which id_tokens are believed."""

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
    renewal = world.sign_ins.renewal
    given = SecretStr(token) if token is not None else None
    return await renewal.verifier.verify(given, renewal.authority(connector()), CLIENT_ID, nonce)


async def test_a_genuine_token_says_who_signed_in(world: SignInSetup) -> None:
    assert await verify(world, world.entra.id_token("nonce-1")) == Identity(ACCOUNT, TENANT, OBJECT_ID)


async def test_a_flow_without_a_browser_has_no_nonce_to_compare(world: SignInSetup) -> None:
    assert (await verify(world, world.entra.id_token(), nonce=None)).account == ACCOUNT


def unsigned(entra: FakeEntra) -> str:
    claims = jwt.decode(entra.id_token("nonce-1"), options={"verify_signature": False})
    return jwt.encode(claims, None, algorithm="none", headers={"kid": "key-1"})


def signed_by_another(entra: FakeEntra) -> str:
    claims = jwt.decode(entra.id_token("nonce-1"), options={"verify_signature": False})
    return jwt.encode(claims, signing_key("stranger"), algorithm="RS256", headers={"kid": "key-1"})


def signed_with_the_public_key_as_a_password(entra: FakeEntra) -> str:
    claims = jwt.decode(entra.id_token("nonce-1"), options={"verify_signature": False})
    return jwt.encode(claims, "the public key, taken for a shared one", algorithm="HS256", headers={"kid": "key-1"})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: None, "does not verify"),
        (lambda _: "", "does not verify"),
        (lambda _: "a.b.c", "does not verify"),
        (unsigned, "does not verify"),
        (signed_by_another, "does not verify"),
        (signed_with_the_public_key_as_a_password, "does not verify"),
        (lambda entra: entra.id_token("another nonce"), "another sign-in"),
        (lambda entra: entra.id_token(None), "another sign-in"),
        (lambda entra: entra.id_token("nonce-1", aud="another-app"), "does not verify"),
        (lambda entra: entra.id_token("nonce-1", iss="https://evil.example/v2.0"), "another service"),
        (lambda entra: entra.id_token("nonce-1", iss=f"https://evil.example/{TENANT}/v2.0"), "another service"),
        (lambda entra: entra.id_token("nonce-1", exp=1), "expired"),
        (lambda entra: entra.id_token("nonce-1", exp="soon"), "times cannot be read"),
        (lambda entra: entra.id_token("nonce-1", iat=4_000_000_000), "from the future"),
        (lambda entra: entra.id_token("nonce-1", preferred_username=""), "does not say who"),
        (lambda entra: entra.id_token("nonce-1", oid=""), "does not say who"),
    ],
)
async def test_what_is_not_to_be_trusted_is_refused(
    world: SignInSetup, make: Callable[[FakeEntra], str | None], words: str
) -> None:
    with pytest.raises(SignInRequired, match=words):
        await verify(world, make(world.entra))


async def test_an_account_of_another_tenant_is_refused_with_both_named(world: SignInSetup) -> None:
    token = world.entra.id_token("nonce-1", tid=OTHER, iss=f"{world.entra.url}/{OTHER}/v2.0")
    with pytest.raises(WrongTenant, match=f"{ACCOUNT} belongs to tenant {OTHER}, the connector to {TENANT}"):
        await verify(world, token)


async def test_a_tenant_that_lies_about_its_id_is_refused(world: SignInSetup) -> None:
    with pytest.raises(WrongTenant):
        await verify(world, world.entra.id_token("nonce-1", tid=OTHER))


async def test_new_keys_are_fetched_when_entra_rolls_them_but_not_for_every_made_up_id(world: SignInSetup) -> None:

    await verify(world, world.entra.id_token("nonce-1"))
    authority = world.sign_ins.renewal.authority(connector())
    get = world.sign_ins.renewal.verifier.keys.get
    world.entra.key_id = "key-2"
    assert await get(authority, "key-2") is None, "asked again so soon"
    world.time.forward(seconds=31)
    assert await get(authority, "key-2") is not None


async def test_without_keys_nothing_is_believed_and_nothing_is_lost(world: SignInSetup) -> None:
    world.entra.keys_fail = True
    with pytest.raises(TokenServiceUnavailable):
        await verify(world, world.entra.id_token("nonce-1"))
