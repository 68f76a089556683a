"""A refresh token is used once, its successor is never lost, and another person's is never accepted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from defender_devops.api.connector import Azure
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
from defender_devops.signin.tokens.record import RefreshClaim, TokenRecord
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


async def store(world: SignInSetup, record: TokenRecord = SIGNED_IN) -> None:
    await world.sign_ins.refresher.store.change(connector(), lambda _: record)


async def refresh(world: SignInSetup, **sign_in: object) -> TokenRecord:
    contoso = connector(dict(sign_in))
    assert contoso.spec.sign_in
    return await world.sign_ins.refresher.refresh(contoso, contoso.spec.sign_in)


async def test_the_claim_is_stored_before_the_token_is_used_and_its_successor_before_the_access_token_is_returned(
    world: SignInSetup,
) -> None:
    await store(world)
    at_entra: list[str | None] = []

    async def read_claim(_: dict[str, str]) -> None:
        at_entra.append(world.stored("claim"))

    world.entra.on_token = read_claim
    record = await refresh(world)
    assert at_entra != []
    assert at_entra[0] is not None
    assert record.access_token == SecretStr("access-1")
    assert (world.stored("refresh-token"), world.stored("claim")) == ("refresh-1", None)
    assert world.entra.forms[-1]["client_secret"] == "app-secret-value"


async def test_the_account_is_stored_from_the_id_token(world: SignInSetup) -> None:
    await store(world, TokenRecord(refresh_token=SecretStr("refresh-0")))
    await refresh(world)
    assert (world.stored("account"), world.stored("tenant-id"), world.stored("object-id")) == (
        ACCOUNT,
        TENANT,
        OBJECT_ID,
    )


@pytest.fixture
async def pair(world: SignInSetup, entra: FakeEntra, time: FakeClock) -> AsyncIterator[tuple[SignInSetup, SignInSetup]]:
    """Two replicas with the same Secrets, as after a lost lease."""
    async with assemble_sign_in(entra, time, world.secrets) as other:
        yield world, other


async def test_two_concurrent_replicas_use_each_refresh_token_once(pair: tuple[SignInSetup, SignInSetup]) -> None:
    one, two = pair
    one.time.longest_step = 0.001
    await store(one)

    async def slowly(_: dict[str, str]) -> None:
        await asyncio.sleep(0.05)

    one.entra.on_token = slowly
    for _ in range(5):
        one.time.forward(minutes=10)
        records = await asyncio.gather(*(refresh(world) for world in (one, two, one, two)))
        assert {record.refresh_token for record in records} == {SecretStr(str(one.stored("refresh-token")))}
    assert max(one.entra.uses.values()) == 1
    assert set(one.entra.uses) == {f"refresh-{number}" for number in range(5)}


async def test_the_claim_of_a_dead_replica_expires(world: SignInSetup) -> None:
    now = world.time()
    await store(world, replace(SIGNED_IN, refresh_claim=RefreshClaim("dead", now + CLAIM_LIFETIME)))
    await refresh(world)
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
async def test_no_error_of_entra_removes_the_stored_refresh_token(
    world: SignInSetup, refusal: TokenError, kind: type[SignInError]
) -> None:
    await store(world)
    world.entra.token_errors = [refusal]
    with pytest.raises(kind):
        await refresh(world)
    assert (world.stored("refresh-token"), world.stored("claim")) == ("refresh-0", None)
    await refresh(world)
    assert world.stored("refresh-token") == "refresh-1"


async def test_after_a_refusal_no_access_token_remains_that_would_count_as_a_proof(world: SignInSetup) -> None:
    await store(world)
    await refresh(world)
    world.entra.token_errors = [TokenError(number=50173)]
    with pytest.raises(SignInRequired):
        await refresh(world)
    assert (world.stored("access-token"), world.stored("refresh-token")) == (None, "refresh-1")


async def test_a_successor_that_cannot_be_stored_is_stored_before_anything_else(world: SignInSetup) -> None:
    await store(world)
    failure = KubernetesUnavailable("down", status=503)
    world.secrets.failures = [None, failure]
    with pytest.raises(KubernetesUnavailable):
        await refresh(world)
    assert world.stored("refresh-token") == "refresh-0", "the previous one stays until then"
    await refresh(world)
    assert world.stored("refresh-token") == "refresh-2"
    assert dict(world.entra.uses) == {"refresh-0": 1, "refresh-1": 1}


async def test_a_new_sign_in_during_a_refresh_wins(world: SignInSetup) -> None:
    await store(world)

    async def sign_in_again(_: dict[str, str]) -> None:
        await store(world, replace(SIGNED_IN, refresh_token=SecretStr("of the new sign-in")))

    world.entra.on_token = sign_in_again
    await refresh(world)
    assert world.stored("refresh-token") == "of the new sign-in"


@pytest.mark.parametrize(
    ("record", "kind", "message"),
    [
        (TokenRecord(), SignInRequired, f"Nobody has signed in yet.*sign in as {ACCOUNT}"),
        (replace(SIGNED_IN, account="other@contoso.com"), WrongAccount, f"other@contoso.com signed in.*{ACCOUNT}"),
        (replace(SIGNED_IN, tenant_id="elsewhere"), WrongTenant, f"elsewhere.*{TENANT}"),
        (replace(SIGNED_IN, client_id="another-app"), SignInRequired, "another app registration"),
    ],
)
async def test_a_stored_sign_in_of_another_account_tenant_or_app_is_not_used(
    world: SignInSetup, record: TokenRecord, kind: type[SignInError], message: str
) -> None:
    await store(world, record)
    with pytest.raises(kind, match=message):
        await refresh(world)
    assert not world.entra.forms


async def test_an_account_name_that_another_person_has_now_is_noticed(world: SignInSetup) -> None:
    await store(world)
    world.entra.object_id = "another-person"
    with pytest.raises(WrongAccount, match="another one has taken its name"):
        await refresh(world)
    assert world.stored("refresh-token") == "refresh-0"


async def test_a_successor_is_not_lost_when_the_signing_keys_are_unavailable(world: SignInSetup) -> None:
    await store(world)
    world.entra.keys_fail = True
    await refresh(world)
    assert world.stored("refresh-token") == "refresh-1"


async def test_without_a_stored_identity_an_unverified_one_is_not_stored(world: SignInSetup) -> None:
    await store(world, TokenRecord(refresh_token=SecretStr("refresh-0")))
    world.entra.keys_fail = True
    with pytest.raises(TokenServiceUnavailable):
        await refresh(world)
    assert world.stored("account") is None


async def test_a_service_principal_needs_no_token_secret(world: SignInSetup) -> None:
    record = await refresh(world, **SERVICE_PRINCIPAL)
    assert record.access_token == SecretStr("access-1")
    assert world.entra.forms[-1]["scope"] == "499b84ac-1321-427f-aa17-267ca6975798/.default"
    assert {name for _, name in world.secrets.stored} == {"signin-app", "defender-devops-signin-key"}


async def test_a_user_supplied_refresh_token_is_imported_once(
    world: SignInSetup,
) -> None:
    world.secrets.add("security", "handed-in", token="refresh-0\n")
    await refresh(world, **REFRESH_TOKEN)
    await refresh(world, **REFRESH_TOKEN)
    assert world.stored("refresh-token") == "refresh-2"
    assert dict(world.entra.uses) == {"refresh-0": 1, "refresh-1": 1}
    world.entra.refresh_tokens.add("supplied again")
    world.secrets.add("security", "handed-in", token="supplied again")
    await refresh(world, **REFRESH_TOKEN)
    assert world.entra.uses["supplied again"] == 1


@pytest.mark.parametrize("data", [None, {}, {"token": "  "}, {"other": "x"}])
async def test_a_missing_user_supplied_token_is_named(world: SignInSetup, data: dict[str, str] | None) -> None:
    if data is not None:
        world.secrets.add("security", "handed-in", **data)
    with pytest.raises(CredentialsMissing, match="handed-in"):
        await refresh(world, **REFRESH_TOKEN)


async def test_a_new_client_secret_is_used_with_the_next_refresh(world: SignInSetup) -> None:
    await store(world)
    world.secrets.add("security", "signin-app", client_secret="the new one")
    await refresh(world)
    assert world.entra.forms[-1]["client_secret"] == "the new one"


async def test_a_secret_of_another_type_is_not_sent_as_a_client_secret(world: SignInSetup) -> None:
    await store(world)
    forms = len(world.entra.forms)
    world.secrets.add("security", "signin-app", "kubernetes.io/service-account-token", client_secret="canary")
    with pytest.raises(CredentialsMissing, match=r"type kubernetes\.io/service-account-token"):
        await refresh(world)
    assert len(world.entra.forms) == forms


async def test_what_is_certainly_no_client_secret_is_not_sent(world: SignInSetup) -> None:
    await store(world)
    forms = len(world.entra.forms)
    world.secrets.add("security", "signin-app", client_secret='{"canary": 1}')
    with pytest.raises(CredentialsMissing, match=r"signin-app.*a JSON document, so it was not sent") as caught:
        await refresh(world)
    assert "canary" not in str(caught.value)
    assert len(world.entra.forms) == forms


async def test_what_is_certainly_no_refresh_token_is_not_sent(world: SignInSetup) -> None:
    forms = len(world.entra.forms)
    world.secrets.add("security", "handed-in", token="ghp_canary")
    with pytest.raises(CredentialsMissing, match=r"handed-in.*Git service, so it was not sent") as caught:
        await refresh(world, **REFRESH_TOKEN)
    assert "canary" not in str(caught.value)
    assert len(world.entra.forms) == forms


class TokensByGrant:
    def __init__(self, token: Callable[..., Awaitable[SecretStr]]) -> None:
        self.token = token


async def test_a_federated_client_requests_the_pods_token_with_everything_that_a_grant_depends_on(
    entra: FakeEntra, time: FakeClock
) -> None:
    requests: list[tuple[str, ...]] = []

    async def grant(namespace: str, azure: Azure, client_id: str) -> SecretStr:
        requests.append((namespace, azure.tenant_id, azure.subscription_id, azure.resource_group, client_id))
        return SecretStr("pod-token")

    async with assemble_sign_in(entra, time, assertions=TokensByGrant(grant)) as world:
        await refresh(world, **SERVICE_PRINCIPAL, client={"id": CLIENT_ID, "type": "Federated"})
    assert requests == [("security", TENANT, "22222222-2222-2222-2222-222222222222", "rg-devops-security", CLIENT_ID)]
    assert entra.forms[-1]["client_assertion"] == "pod-token"


async def test_a_federated_client_that_is_not_granted_never_reaches_entra(entra: FakeEntra, time: FakeClock) -> None:
    async def refuse(*_: str) -> SecretStr:
        raise CredentialsMissing("Namespace security is not granted the client.")

    async with assemble_sign_in(entra, time, assertions=TokensByGrant(refuse)) as world:
        with pytest.raises(CredentialsMissing, match="not granted"):
            await refresh(world, **SERVICE_PRINCIPAL, client={"id": CLIENT_ID, "type": "Federated"})
    assert not entra.forms


async def test_the_claim_outlives_the_longest_refresh() -> None:
    assert timedelta(seconds=60) < CLAIM_LIFETIME


async def test_no_error_contains_a_secret(world: SignInSetup) -> None:
    await store(world)
    world.entra.always = TokenError(400, "invalid_grant", 50173)
    with pytest.raises(SignInRequired) as caught:
        await refresh(world)
    text, error = "", caught.value
    while error:
        text += f"{error!r} {error} {vars(error)}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)  # type: ignore[assignment]
    for secret in ("refresh-0", "app-secret-value"):
        assert secret not in text
