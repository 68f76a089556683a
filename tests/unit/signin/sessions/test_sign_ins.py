"""The facade: what a reconcile learns, when, and at what cost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.errors import KubernetesUnavailable
from defender_devops.signin.oauth.errors import (
    OAuthAppMisconfigured,
    SignInError,
    SignInRequired,
    TokenServiceUnavailable,
    WrongAccount,
)
from defender_devops.signin.sessions.state import SignInState
from defender_devops.signin.tokens.record import TokenRecord
from tests.support.fakes.entra import ACCOUNT, CLIENT_ID, OBJECT_ID, TENANT, FakeEntra, TokenError
from tests.support.fakes.sign_in import (
    BASE,
    NAMESPACE,
    REFRESH_TOKEN,
    SERVICE_PRINCIPAL,
    TOKENS,
    UID,
    FakeClock,
    SignInSetup,
    assemble_sign_in,
    connector,
)

STORED = TokenRecord(
    refresh_token=SecretStr("refresh-0"), account=ACCOUNT, tenant_id=TENANT, object_id=OBJECT_ID, client_id=CLIENT_ID
)
REVOKED = TokenError(400, "invalid_grant", 50173)
OUTAGE = TokenError(503, "temporarily_unavailable", 90033)


@pytest.fixture
async def signed_in(world: SignInSetup) -> SignInSetup:
    await world.sign_ins.renewal.store.change(connector(), lambda _: STORED)
    assert (await world.sign_ins.state(connector())).signed_in
    world.requeued.clear()
    return world


async def test_before_anybody_signed_in_the_state_says_who_shall_and_where(world: SignInSetup) -> None:
    state = await world.sign_ins.state(connector())
    assert (state.signed_in, state.reason, state.is_lost) == (False, "SignInRequired", False)
    assert ACCOUNT in state.message
    assert state.url
    assert state.url.startswith(f"{BASE}/connectors/{UID}/")


async def test_a_stored_sign_in_is_proved_and_shown(signed_in: SignInSetup) -> None:
    state = signed_in.sign_ins.known_state(connector())
    assert state == SignInState(
        signed_in=True,
        reason="SignedIn",
        cause=f"Signed in as {ACCOUNT}.",
        account=ACCOUNT,
        tenant_id=TENANT,
        refresh_token_expires_at=datetime(2026, 5, 30, tzinfo=UTC),
        url=state.url,
        worked_before=True,
        last_worked_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    )


async def test_without_a_sign_in_there_is_nothing_to_look_at(world: SignInSetup) -> None:
    state = await world.sign_ins.state(connector({"method": "None"}))
    assert (state.signed_in, state.is_lost, world.entra.forms) == (None, False, [])
    with pytest.raises(SignInRequired):
        await world.sign_ins.access_token(connector({"method": "None"}))


LOSSES: list[tuple[str, TokenError, bool | None, str]] = [
    ("90 days idle", TokenError(number=700082), False, "SignInRequired"),
    ("password change", TokenError(number=50133), False, "SignInRequired"),
    ("revoked sessions", REVOKED, False, "SignInRequired"),
    ("sign-in frequency", TokenError(error="interaction_required", number=70043), False, "SignInRequired"),
    ("account removed", TokenError(number=50034), False, "AccountBlocked"),
    ("account disabled", TokenError(number=50057), False, "AccountBlocked"),
    ("Conditional Access", TokenError(error="access_denied", number=53003), False, "AccountBlocked"),
    ("consent withdrawn", TokenError(number=65001), False, "ConsentRequired"),
    ("app secret expired", TokenError(401, "invalid_client", 7000222), False, "OAuthAppMisconfigured"),
    ("app removed", TokenError(error="unauthorized_client", number=700016), False, "OAuthAppMisconfigured"),
    ("outage of Entra ID", OUTAGE, None, "TokenServiceUnavailable"),
    ("throttled", TokenError(429, "invalid_grant", 50196), None, "TokenServiceUnavailable"),
]


@pytest.mark.parametrize(("refusal", "known", "reason"), [row[1:] for row in LOSSES], ids=[row[0] for row in LOSSES])
async def test_every_loss_is_seen_within_one_check_interval_and_goes_back_by_itself(
    signed_in: SignInSetup, refusal: TokenError, known: bool | None, reason: str
) -> None:
    signed_in.entra.always = refusal
    signed_in.time.forward(minutes=10)
    state = await signed_in.sign_ins.state(connector())
    assert (state.signed_in, state.reason, state.is_lost) == (known, reason, known is False)
    assert state.account == ACCOUNT
    assert signed_in.requeued == [(NAMESPACE, "contoso")]
    signed_in.entra.always = None
    signed_in.time.forward(minutes=10)
    assert (await signed_in.sign_ins.state(connector())).signed_in
    assert signed_in.requeued == [(NAMESPACE, "contoso")] * 2


async def test_an_outage_of_an_hour_loses_nothing_and_asks_nobody_to_sign_in(signed_in: SignInSetup) -> None:
    signed_in.entra.always = OUTAGE
    for _ in range(60):
        signed_in.time.forward(minutes=1)
        assert not (await signed_in.sign_ins.state(connector())).is_lost
    assert signed_in.stored("refresh-token") == "refresh-1"
    signed_in.entra.always = None
    signed_in.time.forward(minutes=10)
    assert (await signed_in.sign_ins.state(connector())).signed_in
    assert len(signed_in.requeued) == 2, "once for the outage and once for its end"


async def test_during_an_outage_the_access_token_serves_until_its_end(signed_in: SignInSetup) -> None:
    signed_in.entra.always = OUTAGE
    signed_in.time.forward(minutes=10)
    await signed_in.sign_ins.state(connector())
    signed_in.time.forward(minutes=49)
    assert (await signed_in.sign_ins.access_token(connector())) == SecretStr("access-1")
    signed_in.time.forward(minutes=2)
    with pytest.raises(TokenServiceUnavailable):
        await signed_in.sign_ins.access_token(connector())


async def test_a_loss_is_told_with_account_time_and_page(signed_in: SignInSetup) -> None:
    signed_in.entra.always = REVOKED
    signed_in.time.forward(minutes=10)
    state = await signed_in.sign_ins.state(connector())
    assert state.message == (
        "The sessions of the account were revoked. Sign in again on the connector's page. (AADSTS50173) This is about "
        f"{ACCOUNT}. It worked last at 2026-03-01 12:00 UTC. Page: {state.url}"
    )


async def test_what_a_person_must_do_stands_although_entra_falls_silent(signed_in: SignInSetup) -> None:
    signed_in.entra.always = REVOKED
    signed_in.time.forward(minutes=10)
    await signed_in.sign_ins.state(connector())
    signed_in.entra.always = OUTAGE
    signed_in.time.forward(minutes=10)
    state = await signed_in.sign_ins.state(connector())
    assert (state.is_lost, state.reason) == (True, "SignInRequired")


async def test_within_a_check_interval_many_reconciles_cost_nothing(signed_in: SignInSetup) -> None:
    before = len(signed_in.entra.forms), len(signed_in.secrets.writes)
    for _ in range(50):
        await signed_in.sign_ins.state(connector())
        await signed_in.sign_ins.access_token(connector())
    assert (len(signed_in.entra.forms), len(signed_in.secrets.writes)) == before
    assert not signed_in.requeued


async def test_a_lost_sign_in_is_not_hammered_by_two_hundred_checks(signed_in: SignInSetup) -> None:
    signed_in.entra.always = REVOKED
    signed_in.time.forward(minutes=10)
    await signed_in.sign_ins.state(connector())
    before = len(signed_in.entra.forms)
    for _ in range(200):
        with pytest.raises(SignInRequired, match="revoked"):
            await signed_in.sign_ins.access_token(connector())
    assert len(signed_in.entra.forms) == before


async def test_many_at_once_renew_once(signed_in: SignInSetup) -> None:
    signed_in.time.forward(minutes=59)
    before = len(signed_in.entra.forms)
    await asyncio.gather(*(signed_in.sign_ins.state(connector()) for _ in range(20)))
    tokens = await asyncio.gather(*(signed_in.sign_ins.access_token(connector()) for _ in range(20)))
    assert (len(signed_in.entra.forms) - before, set(tokens)) == (1, {SecretStr("access-2")})


async def test_a_token_that_azure_devops_refuses_is_replaced_once_and_a_new_one_is_not_doubted_for_ever(
    signed_in: SignInSetup,
) -> None:
    signed_in.time.forward(minutes=5)
    first = await signed_in.sign_ins.access_token(connector())
    second = await signed_in.sign_ins.access_token(connector(), rejected=first)
    assert second == SecretStr("access-2")
    for _ in range(5):
        with pytest.raises(SignInRequired, match="refuses even a new token"):
            await signed_in.sign_ins.access_token(connector(), rejected=second)
    assert signed_in.entra.uses["refresh-1"] == 1
    assert signed_in.entra.uses["refresh-2"] == 0


async def test_a_claims_challenge_is_passed_on_to_entra(signed_in: SignInSetup) -> None:
    signed_in.time.forward(minutes=5)
    first = await signed_in.sign_ins.access_token(connector())
    await signed_in.sign_ins.access_token(connector(), rejected=first, claims='{"access_token":{}}')
    assert signed_in.entra.forms[-1]["claims"] == '{"access_token":{}}'


async def test_who_asks_for_a_look_now_gets_another_proof(signed_in: SignInSetup) -> None:
    before = len(signed_in.entra.forms)
    signed_in.entra.always = REVOKED
    assert (await signed_in.sign_ins.state(connector())).signed_in, "the last proof is young"
    signed_in.sign_ins.look_anew(connector())
    assert (await signed_in.sign_ins.state(connector())).is_lost
    assert len(signed_in.entra.forms) == before + 1


async def test_nothing_that_the_status_shows_moves_with_every_renewal(signed_in: SignInSetup) -> None:
    before = signed_in.sign_ins.known_state(connector())
    for _ in range(12):
        signed_in.time.forward(minutes=10)
        state = await signed_in.sign_ins.state(connector())
        assert not state.differs_from(before)
    assert not signed_in.requeued
    assert state.last_worked_at == signed_in.time()


async def test_another_account_in_the_manifest_needs_another_sign_in_at_once(signed_in: SignInSetup) -> None:
    state = await signed_in.sign_ins.state(connector({"account": "other@contoso.com"}))
    assert (state.signed_in, state.reason) == (False, "WrongAccount")
    assert ACCOUNT in state.message
    assert "other@contoso.com" in state.message


async def test_a_new_client_secret_takes_effect_at_once(signed_in: SignInSetup) -> None:
    signed_in.entra.always = TokenError(401, "invalid_client", 7000222)
    signed_in.time.forward(minutes=10)
    assert (await signed_in.sign_ins.state(connector())).reason == "OAuthAppMisconfigured"
    signed_in.entra.always = None
    version = signed_in.secrets.add(NAMESPACE, "signin-app", client_secret="new").resource_version
    requeued = signed_in.sign_ins.secret_changed(NAMESPACE, "signin-app", version)
    assert [each.metadata.name for each in requeued] == ["contoso"]
    assert (await signed_in.sign_ins.state(connector())).signed_in


async def test_a_secret_that_changes_while_the_old_one_is_tried_is_tried_next_and_not_an_interval_later(
    signed_in: SignInSetup,
) -> None:
    async def change(_: dict[str, str]) -> None:
        signed_in.entra.on_token = None
        signed_in.sign_ins.secret_changed(NAMESPACE, "signin-app", "1000")

    signed_in.entra.on_token = change
    signed_in.entra.token_errors = [TokenError(401, "invalid_client", 7000222)]
    signed_in.time.forward(minutes=10)
    assert (await signed_in.sign_ins.state(connector())).reason == "OAuthAppMisconfigured"
    assert (await signed_in.sign_ins.state(connector())).signed_in


async def test_a_look_that_fails_in_a_way_nobody_thought_of_is_logged_and_not_repeated_without_end(
    signed_in: SignInSetup, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[int] = []

    async def renew(*_: object) -> TokenRecord:
        calls.append(1)
        raise RuntimeError("a mistake of ours")

    object.__setattr__(signed_in.sign_ins.renewal, "renew", renew)
    signed_in.time.forward(minutes=10)
    async with in_background(signed_in):
        await eventually(lambda: bool(calls))
        await asyncio.sleep(0.1)
    assert len(calls) == 1
    assert "a mistake of ours" in capsys.readouterr().out


async def test_a_missing_client_secret_is_named(world: SignInSetup) -> None:
    del world.secrets.stored[NAMESPACE, "signin-app"]
    state = await world.sign_ins.state(connector())
    assert (state.signed_in, state.reason) == (False, "CredentialsMissing")
    assert "Create the Secret signin-app with the key client-secret" in state.message


async def test_our_own_write_of_the_token_secret_makes_no_work(signed_in: SignInSetup) -> None:
    before = len(signed_in.entra.forms)
    for write in list(signed_in.secrets.writes):
        assert signed_in.sign_ins.secret_changed(write.namespace, write.name, write.resource_version) == () or (
            write.name != TOKENS
        )
    own = signed_in.secrets.stored[NAMESPACE, TOKENS]
    assert signed_in.sign_ins.secret_changed(NAMESPACE, TOKENS, own.resource_version) == ()
    assert len(signed_in.entra.forms) == before


async def test_a_secret_of_somebody_else_makes_no_work(signed_in: SignInSetup) -> None:
    assert signed_in.sign_ins.secret_changed(NAMESPACE, "unrelated", "7") == ()
    assert signed_in.sign_ins.secret_changed("elsewhere", TOKENS, "7") == ()


async def test_a_token_secret_that_a_person_deletes_is_noticed_at_once(signed_in: SignInSetup) -> None:
    del signed_in.secrets.stored[NAMESPACE, TOKENS]
    assert signed_in.sign_ins.secret_changed(NAMESPACE, TOKENS, "1000")
    state = await signed_in.sign_ins.state(connector())
    assert (state.is_lost, state.reason) == (True, "SignInRequired")


async def test_tokens_that_another_replica_just_got_are_a_proof_and_are_not_used_up(
    signed_in: SignInSetup, entra: FakeEntra, time: FakeClock
) -> None:
    async with assemble_sign_in(entra, time, signed_in.secrets) as other:
        assert (await other.sign_ins.state(connector())).signed_in
        assert len(entra.forms) == 1, "the second replica, or a restart, proves nothing twice"
        time.forward(minutes=10)
        await other.sign_ins.state(connector())
        version = signed_in.secrets.stored[NAMESPACE, TOKENS].resource_version
        signed_in.sign_ins.secret_changed(NAMESPACE, TOKENS, version)
        await signed_in.sign_ins.state(connector())
        assert (await signed_in.sign_ins.access_token(connector())) == SecretStr("access-2")
        assert len(entra.forms) == 2
        other.sign_ins.secret_changed(NAMESPACE, TOKENS, signed_in.secrets.stored[NAMESPACE, TOKENS].resource_version)
        await other.sign_ins.state(connector())
        assert len(entra.forms) == 2, "they do not set each other off"


async def test_two_replicas_with_a_lost_sign_in_do_not_set_each_other_off(
    signed_in: SignInSetup, entra: FakeEntra, time: FakeClock
) -> None:
    async with assemble_sign_in(entra, time, signed_in.secrets) as other:
        await other.sign_ins.state(connector())
        entra.always = REVOKED
        time.forward(minutes=10)
        for _ in range(10):
            for world in (signed_in, other):
                await world.sign_ins.state(connector())
                version = world.secrets.stored[NAMESPACE, TOKENS].resource_version
                for each in (signed_in, other):
                    each.sign_ins.secret_changed(NAMESPACE, TOKENS, version)
    assert len(entra.forms) == 3, "one success and each replica's own discovery of the loss"


async def test_a_restart_does_not_hide_a_loss_behind_an_old_token(
    signed_in: SignInSetup, entra: FakeEntra, time: FakeClock
) -> None:
    entra.always = REVOKED
    signed_in.sign_ins.secret_changed(NAMESPACE, "signin-app", "1000")
    assert (await signed_in.sign_ins.state(connector())).is_lost
    async with assemble_sign_in(entra, time, signed_in.secrets) as restarted:
        assert (await restarted.sign_ins.state(connector())).is_lost


async def test_an_app_that_worked_before_a_restart_is_known_from_the_status_to_be_lost(world: SignInSetup) -> None:
    body = connector(SERVICE_PRINCIPAL).dump()
    body["status"] = {"signIn": {"tenantId": TENANT}}
    lost = AzureDevOpsConnector.model_validate(body)
    world.entra.always = TokenError(401, "invalid_client", 7000222)
    assert (await world.sign_ins.state(lost)).is_lost


async def test_a_service_principal_and_a_handed_in_token_work_through_the_same_facade(world: SignInSetup) -> None:
    state = await world.sign_ins.state(connector(SERVICE_PRINCIPAL))
    assert (state.signed_in, state.account, state.message) == (True, None, f"Signed in as the app {CLIENT_ID}.")
    world.secrets.add(NAMESPACE, "handed-in", token="refresh-0")
    state = await world.sign_ins.state(connector(REFRESH_TOKEN))
    assert (state.signed_in, state.account) == (True, ACCOUNT)


async def test_without_the_api_server_nothing_is_known_and_nothing_lost(signed_in: SignInSetup) -> None:
    signed_in.secrets.read_failure = KubernetesUnavailable("The API server does not answer.", status=503)
    signed_in.time.forward(minutes=10)
    state = await signed_in.sign_ins.state(connector())
    assert (state.signed_in, state.reason) == (None, "KubernetesUnavailable")


async def test_another_persons_sign_in_is_told_while_nobody_is_signed_in(world: SignInSetup) -> None:
    await world.sign_ins.state(connector())
    world.sign_ins.refuse(connector(), WrongAccount("eve@contoso.com signed in"))
    world.time.forward(minutes=10)
    state = await world.sign_ins.state(connector())
    assert (state.signed_in, state.reason, state.message) == (False, "WrongAccount", "eve@contoso.com signed in")


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (WrongAccount("eve@contoso.com signed in"), "WrongAccount"),
        (OAuthAppMisconfigured("Bad secret."), "SignInRequired"),
    ],
    ids=["another person", "a broken app"],
)
async def test_a_loss_is_still_a_loss_after_a_vain_attempt_to_mend_it(
    signed_in: SignInSetup, refused: SignInError, reason: str
) -> None:
    signed_in.entra.always = REVOKED
    signed_in.time.forward(minutes=10)
    assert (await signed_in.sign_ins.state(connector())).is_lost
    signed_in.sign_ins.refuse(connector(), refused)
    signed_in.time.forward(minutes=10)
    state = await signed_in.sign_ins.state(connector())
    assert (state.is_lost, state.reason) == (True, reason)


async def test_another_persons_sign_in_changes_nothing_while_the_right_one_is_signed_in(signed_in: SignInSetup) -> None:
    signed_in.sign_ins.refuse(connector(), WrongAccount("eve@contoso.com signed in"))
    assert (await signed_in.sign_ins.state(connector())).signed_in


@contextlib.asynccontextmanager
async def in_background(world: SignInSetup) -> AsyncIterator[None]:
    task = asyncio.create_task(world.sign_ins.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for is a plain list of calls
            await asyncio.sleep(0.01)


async def test_the_background_sees_a_loss_without_any_reconcile(signed_in: SignInSetup) -> None:
    signed_in.entra.always = REVOKED
    signed_in.time.forward(minutes=10)
    async with in_background(signed_in):
        await eventually(lambda: signed_in.requeued == [(NAMESPACE, "contoso")])
    assert signed_in.sign_ins.known_state(connector()).is_lost


async def test_the_background_forgets_a_connector_that_is_gone(signed_in: SignInSetup) -> None:
    signed_in.sign_ins.forget(UID)
    assert signed_in.sign_ins.connector(UID) is None
    signed_in.time.forward(days=1)
    before = len(signed_in.entra.forms)
    async with in_background(signed_in):
        await asyncio.sleep(0.05)
    assert len(signed_in.entra.forms) == before


async def test_a_hundred_connectors_are_renewed_side_by_side_and_each_by_itself(
    entra: FakeEntra, time: FakeClock
) -> None:
    async with assemble_sign_in(entra, time) as world:
        many = [
            connector(SERVICE_PRINCIPAL, uid=f"{number:08}-0000-4000-8000-000000000000", name=f"c{number}")
            for number in range(100)
        ]
        for each in many:
            world.sign_ins.known_state(each)
        async with in_background(world):
            await eventually(lambda: len(world.requeued) == 100)
    assert len(entra.forms) == 100


async def test_looks_are_spread_over_the_last_fifth_of_the_interval(signed_in: SignInSetup) -> None:
    dues = []
    for share in (0.0, 0.5, 1.0):
        signed_in.sign_ins.random_share = lambda share=share: share
        signed_in.time.forward(minutes=10)
        await signed_in.sign_ins.state(connector())
        entry = signed_in.sign_ins._entries[UID]
        assert entry.due
        dues.append(entry.due - signed_in.time())
    assert dues == [timedelta(seconds=600), timedelta(seconds=540), timedelta(seconds=480)]


async def test_the_first_account_is_not_needed_to_know_that_a_failure_is_no_loss(world: SignInSetup) -> None:
    world.entra.always = REVOKED
    await world.sign_ins.renewal.store.change(connector(), lambda _: replace(STORED, object_id=None, account=None))
    state = await world.sign_ins.state(connector())
    assert (state.signed_in, state.is_lost) == (False, False)


def test_a_state_shows_no_secret() -> None:
    assert "canary" not in repr(SignInState()), "it holds none at all"
    assert not any(isinstance(value, SecretStr) for value in vars(SignInState()).values())
    assert issubclass(SignInRequired, SignInError)
