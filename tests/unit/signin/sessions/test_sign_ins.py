"""The facade: the state of a sign-in, when it is checked, and what that costs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import structlog
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
    await world.sign_ins.refresher.store.change(connector(), lambda _: STORED)
    assert (await world.sign_ins.state(connector())).signed_in
    world.requeued.clear()
    return world


async def test_before_the_first_sign_in_the_state_names_the_account_and_the_page(world: SignInSetup) -> None:
    state = await world.sign_ins.state(connector())
    assert (state.signed_in, state.reason, state.is_lost) == (False, "SignInRequired", False)
    assert ACCOUNT in state.message
    assert state.url
    assert state.url.startswith(f"{BASE}/connectors/{UID}/")


async def test_a_stored_sign_in_is_proved_and_reported(signed_in: SignInSetup) -> None:
    state = signed_in.sign_ins.last_state(connector())
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


async def test_without_a_sign_in_nothing_is_checked(world: SignInSetup) -> None:
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


@pytest.mark.parametrize(("refusal", "expected", "reason"), [row[1:] for row in LOSSES], ids=[row[0] for row in LOSSES])
async def test_every_loss_is_reported_within_one_check_interval_and_so_is_its_end(
    signed_in: SignInSetup, refusal: TokenError, expected: bool | None, reason: str
) -> None:
    signed_in.entra.always = refusal
    signed_in.time.forward(minutes=10)
    state = await signed_in.sign_ins.state(connector())
    assert (state.signed_in, state.reason, state.is_lost) == (expected, reason, expected is False)
    assert state.account == ACCOUNT
    assert signed_in.requeued == [(NAMESPACE, "contoso")]
    signed_in.entra.always = None
    signed_in.time.forward(minutes=10)
    assert (await signed_in.sign_ins.state(connector())).signed_in
    assert signed_in.requeued == [(NAMESPACE, "contoso")] * 2


async def test_an_outage_of_an_hour_loses_nothing_and_requires_no_sign_in(signed_in: SignInSetup) -> None:
    signed_in.entra.always = OUTAGE
    for _ in range(60):
        signed_in.time.forward(minutes=1)
        assert not (await signed_in.sign_ins.state(connector())).is_lost
    assert signed_in.stored("refresh-token") == "refresh-1"
    signed_in.entra.always = None
    signed_in.time.forward(minutes=10)
    assert (await signed_in.sign_ins.state(connector())).signed_in
    assert len(signed_in.requeued) == 2, "once for the outage and once for its end"


async def test_during_an_outage_the_access_token_is_used_until_it_expires(signed_in: SignInSetup) -> None:
    signed_in.entra.always = OUTAGE
    signed_in.time.forward(minutes=10)
    await signed_in.sign_ins.state(connector())
    signed_in.time.forward(minutes=49)
    assert (await signed_in.sign_ins.access_token(connector())) == SecretStr("access-1")
    signed_in.time.forward(minutes=2)
    with pytest.raises(TokenServiceUnavailable):
        await signed_in.sign_ins.access_token(connector())


async def test_the_message_of_a_loss_names_account_and_time_but_not_the_page(signed_in: SignInSetup) -> None:
    signed_in.entra.always = REVOKED
    signed_in.time.forward(minutes=10)
    state = await signed_in.sign_ins.state(connector())
    assert state.message == (
        "The sessions of the account were revoked. Sign in again on the connector's page. (AADSTS50173) The account is "
        f"{ACCOUNT}. It worked last at 2026-03-01 12:00 UTC. The address of the page is in status.signIn.url."
    )
    assert state.url


async def test_what_a_person_must_do_is_still_reported_during_an_outage(signed_in: SignInSetup) -> None:
    signed_in.entra.always = REVOKED
    signed_in.time.forward(minutes=10)
    await signed_in.sign_ins.state(connector())
    signed_in.entra.always = OUTAGE
    signed_in.time.forward(minutes=10)
    state = await signed_in.sign_ins.state(connector())
    assert (state.is_lost, state.reason) == (True, "SignInRequired")


async def test_within_a_check_interval_many_reconciles_cost_nothing(signed_in: SignInSetup) -> None:
    counts = len(signed_in.entra.forms), len(signed_in.secrets.writes)
    for _ in range(50):
        await signed_in.sign_ins.state(connector())
        await signed_in.sign_ins.access_token(connector())
    assert (len(signed_in.entra.forms), len(signed_in.secrets.writes)) == counts
    assert not signed_in.requeued


async def test_two_hundred_checks_of_a_lost_sign_in_cause_no_request(signed_in: SignInSetup) -> None:
    signed_in.entra.always = REVOKED
    signed_in.time.forward(minutes=10)
    await signed_in.sign_ins.state(connector())
    requests = len(signed_in.entra.forms)
    for _ in range(200):
        with pytest.raises(SignInRequired, match="revoked"):
            await signed_in.sign_ins.access_token(connector())
    assert len(signed_in.entra.forms) == requests


async def test_concurrent_calls_refresh_once(signed_in: SignInSetup) -> None:
    signed_in.time.forward(minutes=59)
    requests = len(signed_in.entra.forms)
    await asyncio.gather(*(signed_in.sign_ins.state(connector()) for _ in range(20)))
    tokens = await asyncio.gather(*(signed_in.sign_ins.access_token(connector()) for _ in range(20)))
    assert (len(signed_in.entra.forms) - requests, set(tokens)) == (1, {SecretStr("access-2")})


async def test_a_token_that_azure_devops_rejects_is_replaced_once_and_a_new_one_is_not_replaced_again(
    signed_in: SignInSetup,
) -> None:
    signed_in.time.forward(minutes=5)
    first = await signed_in.sign_ins.access_token(connector())
    second = await signed_in.sign_ins.access_token(connector(), rejected=first)
    assert second == SecretStr("access-2")
    for _ in range(5):
        with pytest.raises(SignInRequired, match="rejects even a new token"):
            await signed_in.sign_ins.access_token(connector(), rejected=second)
    assert signed_in.entra.uses["refresh-1"] == 1
    assert signed_in.entra.uses["refresh-2"] == 0


async def test_a_claims_challenge_is_passed_on_to_entra(signed_in: SignInSetup) -> None:
    signed_in.time.forward(minutes=5)
    first = await signed_in.sign_ins.access_token(connector())
    await signed_in.sign_ins.access_token(connector(), rejected=first, claims='{"access_token":{}}')
    assert signed_in.entra.forms[-1]["claims"] == '{"access_token":{}}'


async def test_a_requested_check_proves_the_sign_in_again(signed_in: SignInSetup) -> None:
    requests = len(signed_in.entra.forms)
    signed_in.entra.always = REVOKED
    assert (await signed_in.sign_ins.state(connector())).signed_in, "the last proof is recent"
    signed_in.sign_ins.request_check(connector())
    assert (await signed_in.sign_ins.state(connector())).is_lost
    assert len(signed_in.entra.forms) == requests + 1


async def test_nothing_in_the_status_changes_with_every_refresh(signed_in: SignInSetup) -> None:
    first_state = signed_in.sign_ins.last_state(connector())
    for _ in range(12):
        signed_in.time.forward(minutes=10)
        state = await signed_in.sign_ins.state(connector())
        assert not state.differs_from(first_state)
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
    connectors = signed_in.sign_ins.secret_changed(NAMESPACE, "signin-app", version)
    assert [connector.metadata.name for connector in connectors] == ["contoso"]
    assert (await signed_in.sign_ins.state(connector())).signed_in


async def test_a_secret_that_changes_during_a_check_is_checked_next_and_not_an_interval_later(
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


async def test_an_unforeseen_error_of_a_check_is_logged_and_retried_after_an_interval(
    signed_in: SignInSetup, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[int] = []

    async def refresh(*_: object) -> TokenRecord:
        calls.append(1)
        raise RuntimeError("a mistake of ours")

    object.__setattr__(signed_in.sign_ins.refresher, "refresh", refresh)
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


async def test_an_own_write_of_the_token_secret_causes_no_check(signed_in: SignInSetup) -> None:
    requests = len(signed_in.entra.forms)
    for write in list(signed_in.secrets.writes):
        assert signed_in.sign_ins.secret_changed(write.namespace, write.name, write.resource_version) == () or (
            write.name != TOKENS
        )
    stored = signed_in.secrets.stored[NAMESPACE, TOKENS]
    assert signed_in.sign_ins.secret_changed(NAMESPACE, TOKENS, stored.resource_version) == ()
    assert len(signed_in.entra.forms) == requests


async def test_an_unrelated_secret_causes_no_check(signed_in: SignInSetup) -> None:
    assert signed_in.sign_ins.secret_changed(NAMESPACE, "unrelated", "7") == ()
    assert signed_in.sign_ins.secret_changed("elsewhere", TOKENS, "7") == ()


async def test_a_token_secret_that_a_person_deletes_is_noticed_at_once(signed_in: SignInSetup) -> None:
    del signed_in.secrets.stored[NAMESPACE, TOKENS]
    assert signed_in.sign_ins.secret_changed(NAMESPACE, TOKENS, "1000")
    state = await signed_in.sign_ins.state(connector())
    assert (state.is_lost, state.reason) == (True, "SignInRequired")


async def test_new_tokens_of_another_replica_are_a_proof_and_are_not_refreshed(
    signed_in: SignInSetup, entra: FakeEntra, time: FakeClock
) -> None:
    async with assemble_sign_in(entra, time, signed_in.secrets) as other:
        assert (await other.sign_ins.state(connector())).signed_in
        assert len(entra.forms) == 1, "a second replica, or a restart, does not prove the sign-in again"
        time.forward(minutes=10)
        await other.sign_ins.state(connector())
        version = signed_in.secrets.stored[NAMESPACE, TOKENS].resource_version
        signed_in.sign_ins.secret_changed(NAMESPACE, TOKENS, version)
        await signed_in.sign_ins.state(connector())
        assert (await signed_in.sign_ins.access_token(connector())) == SecretStr("access-2")
        assert len(entra.forms) == 2
        other.sign_ins.secret_changed(NAMESPACE, TOKENS, signed_in.secrets.stored[NAMESPACE, TOKENS].resource_version)
        await other.sign_ins.state(connector())
        assert len(entra.forms) == 2, "the replicas do not trigger each other"


async def test_two_replicas_with_a_lost_sign_in_do_not_trigger_each_other(
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
                for replica in (signed_in, other):
                    replica.sign_ins.secret_changed(NAMESPACE, TOKENS, version)
    assert len(entra.forms) == 3, "one success and each replica's own discovery of the loss"


async def test_a_restart_does_not_hide_a_loss_behind_a_stored_token(
    signed_in: SignInSetup, entra: FakeEntra, time: FakeClock
) -> None:
    entra.always = REVOKED
    signed_in.sign_ins.secret_changed(NAMESPACE, "signin-app", "1000")
    assert (await signed_in.sign_ins.state(connector())).is_lost
    async with assemble_sign_in(entra, time, signed_in.secrets) as restarted:
        assert (await restarted.sign_ins.state(connector())).is_lost


async def test_after_a_restart_the_status_shows_that_a_lost_app_worked_before(world: SignInSetup) -> None:
    body = connector(SERVICE_PRINCIPAL).dump()
    body["status"] = {"signIn": {"tenantId": TENANT}}
    lost = AzureDevOpsConnector.model_validate(body)
    world.entra.always = TokenError(401, "invalid_client", 7000222)
    assert (await world.sign_ins.state(lost)).is_lost


async def test_a_service_principal_and_a_user_supplied_token_work_through_the_same_facade(world: SignInSetup) -> None:
    state = await world.sign_ins.state(connector(SERVICE_PRINCIPAL))
    assert (state.signed_in, state.account, state.message) == (True, None, f"Signed in as the app {CLIENT_ID}.")
    world.secrets.add(NAMESPACE, "handed-in", token="refresh-0")
    state = await world.sign_ins.state(connector(REFRESH_TOKEN))
    assert (state.signed_in, state.account) == (True, ACCOUNT)


async def test_without_the_api_server_the_state_is_unknown_and_not_lost(signed_in: SignInSetup) -> None:
    signed_in.secrets.read_failure = KubernetesUnavailable("The API server does not answer.", status=503)
    signed_in.time.forward(minutes=10)
    state = await signed_in.sign_ins.state(connector())
    assert (state.signed_in, state.reason) == (None, "KubernetesUnavailable")


async def test_another_persons_sign_in_is_reported_while_nobody_is_signed_in(world: SignInSetup) -> None:
    await world.sign_ins.state(connector())
    world.sign_ins.record_rejection(connector(), WrongAccount("eve@contoso.com signed in"))
    world.time.forward(minutes=10)
    state = await world.sign_ins.state(connector())
    assert (state.signed_in, state.reason, state.message) == (False, "WrongAccount", "eve@contoso.com signed in")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (WrongAccount("eve@contoso.com signed in"), "WrongAccount"),
        (OAuthAppMisconfigured("Bad secret."), "SignInRequired"),
    ],
    ids=["another person", "a misconfigured app"],
)
async def test_a_loss_is_still_reported_after_a_failed_sign_in(
    signed_in: SignInSetup, error: SignInError, reason: str
) -> None:
    signed_in.entra.always = REVOKED
    signed_in.time.forward(minutes=10)
    assert (await signed_in.sign_ins.state(connector())).is_lost
    signed_in.sign_ins.record_rejection(connector(), error)
    signed_in.time.forward(minutes=10)
    state = await signed_in.sign_ins.state(connector())
    assert (state.is_lost, state.reason) == (True, reason)


async def test_another_persons_sign_in_changes_nothing_while_the_right_one_is_signed_in(signed_in: SignInSetup) -> None:
    signed_in.sign_ins.record_rejection(connector(), WrongAccount("eve@contoso.com signed in"))
    assert (await signed_in.sign_ins.state(connector())).signed_in


@contextlib.asynccontextmanager
async def in_background(world: SignInSetup) -> AsyncIterator[None]:
    task = asyncio.create_task(world.sign_ins.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def eventually(predicate: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not predicate():  # noqa: ASYNC110 - the calls are recorded in a plain list
            await asyncio.sleep(0.01)


async def test_a_loss_is_noticed_in_the_background_without_a_reconcile(signed_in: SignInSetup) -> None:
    signed_in.entra.always = REVOKED
    signed_in.time.forward(minutes=10)
    async with in_background(signed_in):
        await eventually(lambda: signed_in.requeued == [(NAMESPACE, "contoso")])
    assert signed_in.sign_ins.last_state(connector()).is_lost


async def test_a_deleted_connector_is_not_checked_in_the_background(signed_in: SignInSetup) -> None:
    signed_in.sign_ins.forget(UID)
    assert signed_in.sign_ins.connector(UID) is None
    signed_in.time.forward(days=1)
    requests = len(signed_in.entra.forms)
    async with in_background(signed_in):
        await asyncio.sleep(0.05)
    assert len(signed_in.entra.forms) == requests


async def test_a_hundred_connectors_are_refreshed_concurrently_and_independently(
    entra: FakeEntra, time: FakeClock
) -> None:
    async with assemble_sign_in(entra, time) as world:
        connectors = [
            connector(SERVICE_PRINCIPAL, uid=f"{number:08}-0000-4000-8000-000000000000", name=f"c{number}")
            for number in range(100)
        ]
        for app in connectors:
            world.sign_ins.last_state(app)
        async with in_background(world):
            await eventually(lambda: len(world.requeued) == 100)
    assert len(entra.forms) == 100


async def test_checks_are_spread_over_the_last_fifth_of_the_interval(signed_in: SignInSetup) -> None:
    delays = []
    for share in (0.0, 0.5, 1.0):
        signed_in.sign_ins.random_share = lambda share=share: share
        signed_in.time.forward(minutes=10)
        await signed_in.sign_ins.state(connector())
        session = signed_in.sign_ins._sessions[UID]
        assert session.next_check
        delays.append(session.next_check - signed_in.time())
    assert delays == [timedelta(seconds=600), timedelta(seconds=540), timedelta(seconds=480)]


async def test_a_failure_before_any_sign_in_is_not_a_loss(world: SignInSetup) -> None:
    world.entra.always = REVOKED
    await world.sign_ins.refresher.store.change(connector(), lambda _: replace(STORED, object_id=None, account=None))
    state = await world.sign_ins.state(connector())
    assert (state.signed_in, state.is_lost) == (False, False)


def test_a_state_holds_no_secret() -> None:
    assert "canary" not in repr(SignInState()), "its repr has none"
    assert not any(isinstance(value, SecretStr) for value in vars(SignInState()).values())
    assert issubclass(SignInRequired, SignInError)


async def test_an_unexpected_exception_of_one_check_leaves_the_checks_of_other_connectors_alone(
    world: SignInSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_ins, failures = world.sign_ins, list[str]()
    sign_ins.on_failure = failures.append
    broken = connector()
    other_metadata = broken.metadata.model_copy(update={"name": "northwind", "uid": UID.replace("1", "2")})
    other = broken.model_copy(update={"metadata": other_metadata})
    refresh = type(sign_ins.refresher).refresh

    async def fail_for_one(refresher: object, of: AzureDevOpsConnector, *arguments: object) -> object:
        if of.metadata.uid == broken.metadata.uid:
            raise ZeroDivisionError
        return await refresh(refresher, of, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(type(sign_ins.refresher), "refresh", fail_for_one)
    await sign_ins.refresher.store.change(other, lambda _: STORED)
    with structlog.testing.capture_logs() as lines:
        with pytest.raises(ZeroDivisionError):  # the reconcile reports it as InternalError
            await sign_ins.state(broken)
        assert (await sign_ins.state(other)).signed_in
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert isinstance(line["exc_info"], ZeroDivisionError)
    assert failures == ["sign-in"]
    assert world.requeued.count((NAMESPACE, "contoso")) == 1

    async with in_background(world):
        await asyncio.sleep(0.1)
        with pytest.raises(ZeroDivisionError):  # not due yet: reported without another check
            await sign_ins.state(broken)
        assert failures == ["sign-in"]
    monkeypatch.undo()
    await sign_ins.refresher.store.change(broken, lambda _: STORED)
    world.time.forward(minutes=10)
    assert (await sign_ins.state(broken)).signed_in
    assert world.requeued.count((NAMESPACE, "contoso")) == 2
