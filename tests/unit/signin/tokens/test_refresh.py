"""A refresh token is used once, its successor is never lost, and another person's is never taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from defender_devops.errors import CredentialsMissing, KubernetesUnavailable
from defender_devops.signin.oauth.errors import (
    AccountBlocked,
    OAuthAppMisconfigured,
    SignInError,
    SignInRequired,
    TokenServiceUnavailable,
    WrongAccount,
    WrongTenant,
)
from defender_devops.signin.tokens.record import Claim, TokenRecord
from defender_devops.signin.tokens.refresh import CLAIM_LIFETIME
from tests.support.fakes.entra import ACCOUNT, CLIENT_ID, OBJECT_ID, TENANT, FakeEntra, TokenError
from tests.support.fakes.sign_in import (
    REFRESH_TOKEN,
    SERVICE_PRINCIPAL,
    FakeClock,
    SignInSetup,
    assemble_sign_in,
    connector,
)

SIGNED_IN = TokenRecord(
    refresh_token=SecretStr("refresh-0"), account=ACCOUNT, tenant_id=TENANT, object_id=OBJECT_ID, client_id=CLIENT_ID
)


async def given(world: SignInSetup, record: TokenRecord = SIGNED_IN) -> None:
    await world.sign_ins.renewal.store.change(connector(), lambda _: record)


async def renew(world: SignInSetup, **sign_in: object) -> TokenRecord:
    contoso = connector(dict(sign_in))
    assert contoso.spec.sign_in
    return await world.sign_ins.renewal.renew(contoso, contoso.spec.sign_in)


async def test_a_claim_is_written_before_the_token_is_used_and_its_successor_before_anybody_gets_the_access_token(
    world: SignInSetup,
) -> None:
    await given(world)
    at_entra: list[str | None] = []

    async def look(_: dict[str, str]) -> None:
        at_entra.append(world.stored("claim"))

    world.entra.on_token = look
    record = await renew(world)
    assert at_entra != []
    assert at_entra[0] is not None
    assert record.access_token == SecretStr("access-1")
    assert (world.stored("refresh-token"), world.stored("claim")) == ("refresh-1", None)
    assert world.entra.forms[-1]["client_secret"] == "app-secret-value"


async def test_who_signed_in_is_written_down_from_the_id_token(world: SignInSetup) -> None:
    await given(world, TokenRecord(refresh_token=SecretStr("refresh-0")))
    await renew(world)
    assert (world.stored("account"), world.stored("tenant-id"), world.stored("object-id")) == (
        ACCOUNT,
        TENANT,
        OBJECT_ID,
    )


@pytest.fixture
async def pair(world: SignInSetup, entra: FakeEntra, time: FakeClock) -> AsyncIterator[tuple[SignInSetup, SignInSetup]]:
    """Two replicas over the same Secrets: a lease was lost."""
    async with assemble_sign_in(entra, time, world.secrets) as other:
        yield world, other


async def test_two_replicas_at_once_use_each_refresh_token_once(pair: tuple[SignInSetup, SignInSetup]) -> None:
    one, two = pair
    one.time.longest_step = 0.001
    await given(one)

    async def slowly(_: dict[str, str]) -> None:
        await asyncio.sleep(0.05)

    one.entra.on_token = slowly
    for _ in range(5):
        one.time.forward(minutes=10)
        records = await asyncio.gather(*(renew(world) for world in (one, two, one, two)))
        assert {record.refresh_token for record in records} == {SecretStr(str(one.stored("refresh-token")))}
    assert max(one.entra.uses.values()) == 1
    assert set(one.entra.uses) == {f"refresh-{number}" for number in range(5)}


async def test_a_replica_that_died_with_a_claim_is_waited_for_and_then_taken_for_dead(world: SignInSetup) -> None:
    now = world.time()
    await given(world, replace(SIGNED_IN, claim=Claim("dead", now + CLAIM_LIFETIME)))
    await renew(world)
    assert world.time() >= now + CLAIM_LIFETIME
    assert world.stored("refresh-token") == "refresh-1"


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (TokenError(503, "temporarily_unavailable", 90033), TokenServiceUnavailable),
        (TokenError(429, "invalid_grant", 50196), TokenServiceUnavailable),
        (TokenError(502, body="<html>Bad gateway</html>"), TokenServiceUnavailable),
        (TokenError(200, body="<html>Hotel wifi: please sign in</html>"), TokenServiceUnavailable),
        (TokenError(400, "invalid_grant", 50173), SignInRequired),
        (TokenError(400, "invalid_grant", 50057), AccountBlocked),
        (TokenError(401, "invalid_client", 7000222), OAuthAppMisconfigured),
    ],
)
async def test_no_refusal_ever_removes_the_stored_refresh_token(
    world: SignInSetup, refusal: TokenError, kind: type[SignInError]
) -> None:
    await given(world)
    world.entra.token_errors = [refusal]
    with pytest.raises(kind):
        await renew(world)
    assert (world.stored("refresh-token"), world.stored("claim")) == ("refresh-0", None)
    await renew(world)
    assert world.stored("refresh-token") == "refresh-1"


async def test_a_refused_person_leaves_no_access_token_that_could_pass_for_a_proof(world: SignInSetup) -> None:
    await given(world)
    await renew(world)
    world.entra.token_errors = [TokenError(number=50173)]
    with pytest.raises(SignInRequired):
        await renew(world)
    assert (world.stored("access-token"), world.stored("refresh-token")) == (None, "refresh-1")


async def test_a_successor_that_cannot_be_stored_is_kept_and_stored_before_anything_else(world: SignInSetup) -> None:
    await given(world)
    failure = KubernetesUnavailable("down", status=503)
    world.secrets.failures = [None, failure]
    with pytest.raises(KubernetesUnavailable):
        await renew(world)
    assert world.stored("refresh-token") == "refresh-0", "the old one stands meanwhile"
    await renew(world)
    assert world.stored("refresh-token") == "refresh-2"
    assert dict(world.entra.uses) == {"refresh-0": 1, "refresh-1": 1}


async def test_a_person_who_signs_in_anew_meanwhile_wins_over_the_renewal(world: SignInSetup) -> None:
    await given(world)

    async def sign_in_anew(_: dict[str, str]) -> None:
        await given(world, replace(SIGNED_IN, refresh_token=SecretStr("of the new sign-in")))

    world.entra.on_token = sign_in_anew
    await renew(world)
    assert world.stored("refresh-token") == "of the new sign-in"


@pytest.mark.parametrize(
    ("record", "kind", "words"),
    [
        (TokenRecord(), SignInRequired, f"Nobody has signed in yet.*sign in as {ACCOUNT}"),
        (replace(SIGNED_IN, account="other@contoso.com"), WrongAccount, f"other@contoso.com signed in.*{ACCOUNT}"),
        (replace(SIGNED_IN, tenant_id="elsewhere"), WrongTenant, f"elsewhere.*{TENANT}"),
        (replace(SIGNED_IN, client_id="another-app"), SignInRequired, "another app"),
    ],
)
async def test_what_is_stored_for_another_account_tenant_or_app_is_not_used(
    world: SignInSetup, record: TokenRecord, kind: type[SignInError], words: str
) -> None:
    await given(world, record)
    with pytest.raises(kind, match=words):
        await renew(world)
    assert not world.entra.forms


async def test_a_name_that_was_given_to_another_person_is_noticed(world: SignInSetup) -> None:
    await given(world)
    world.entra.object_id = "another-person"
    with pytest.raises(WrongAccount, match="another one has taken its name"):
        await renew(world)
    assert world.stored("refresh-token") == "refresh-0"


async def test_a_successor_is_not_lost_for_want_of_the_public_key(world: SignInSetup) -> None:
    await given(world)
    world.entra.keys_fail = True
    await renew(world)
    assert world.stored("refresh-token") == "refresh-1"


async def test_without_an_earlier_identity_nothing_unverified_is_taken(world: SignInSetup) -> None:
    await given(world, TokenRecord(refresh_token=SecretStr("refresh-0")))
    world.entra.keys_fail = True
    with pytest.raises(TokenServiceUnavailable):
        await renew(world)
    assert world.stored("account") is None


async def test_a_service_principal_needs_no_secret_of_ours(world: SignInSetup) -> None:
    record = await renew(world, **SERVICE_PRINCIPAL)
    assert record.access_token == SecretStr("access-1")
    assert world.entra.forms[-1]["scope"] == "499b84ac-1321-427f-aa17-267ca6975798/.default"
    assert {name for _, name in world.secrets.stored} == {"signin-app", "defender-devops-signin-key"}


async def test_a_handed_in_refresh_token_is_taken_over_once_and_renewed_in_our_secret(world: SignInSetup) -> None:
    world.secrets.add("security", "handed-in", token="refresh-0\n")
    await renew(world, **REFRESH_TOKEN)
    await renew(world, **REFRESH_TOKEN)
    assert world.stored("refresh-token") == "refresh-2"
    assert dict(world.entra.uses) == {"refresh-0": 1, "refresh-1": 1}
    world.entra.refresh_tokens.add("handed in anew")
    world.secrets.add("security", "handed-in", token="handed in anew")
    await renew(world, **REFRESH_TOKEN)
    assert world.entra.uses["handed in anew"] == 1


@pytest.mark.parametrize("handed_in", [None, {}, {"token": "  "}, {"other": "x"}])
async def test_a_handed_in_token_that_is_missing_is_named(world: SignInSetup, handed_in: dict[str, str] | None) -> None:
    if handed_in is not None:
        world.secrets.add("security", "handed-in", **handed_in)
    with pytest.raises(CredentialsMissing, match="handed-in"):
        await renew(world, **REFRESH_TOKEN)


async def test_a_new_client_secret_is_used_with_the_next_renewal(world: SignInSetup) -> None:
    await given(world)
    world.secrets.add("security", "signin-app", client_secret="the new one")
    await renew(world)
    assert world.entra.forms[-1]["client_secret"] == "the new one"


class Granted:
    def __init__(self, grant: Callable[..., Awaitable[SecretStr]]) -> None:
        self.assertion = grant


async def test_a_federated_client_asks_for_the_pods_token_with_all_that_a_grant_depends_on(
    entra: FakeEntra, time: FakeClock
) -> None:
    asked: list[tuple[str, ...]] = []

    async def grant(*for_whom: str) -> SecretStr:
        asked.append(for_whom)
        return SecretStr("pod-token")

    async with assemble_sign_in(entra, time, assertions=Granted(grant)) as world:
        await renew(world, **SERVICE_PRINCIPAL, client={"id": CLIENT_ID, "type": "Federated"})
    assert asked == [("security", TENANT, "22222222-2222-2222-2222-222222222222", CLIENT_ID)]
    assert entra.forms[-1]["client_assertion"] == "pod-token"


async def test_a_federated_client_that_is_not_granted_never_reaches_entra(entra: FakeEntra, time: FakeClock) -> None:
    async def refuse(*_: str) -> SecretStr:
        raise CredentialsMissing("Namespace security is not granted the client.")

    async with assemble_sign_in(entra, time, assertions=Granted(refuse)) as world:
        with pytest.raises(CredentialsMissing, match="not granted"):
            await renew(world, **SERVICE_PRINCIPAL, client={"id": CLIENT_ID, "type": "Federated"})
    assert not entra.forms


async def test_the_claim_outlives_the_longest_that_its_holder_can_take() -> None:
    assert timedelta(seconds=60) < CLAIM_LIFETIME


async def test_no_secret_stands_in_any_failure(world: SignInSetup) -> None:
    await given(world)
    world.entra.always = TokenError(400, "invalid_grant", 50173)
    with pytest.raises(SignInRequired) as caught:
        await renew(world)
    shown, error = "", caught.value
    while error:
        shown += f"{error!r} {error} {vars(error)}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)  # type: ignore[assignment]
    for secret in ("refresh-0", "app-secret-value"):
        assert secret not in shown
