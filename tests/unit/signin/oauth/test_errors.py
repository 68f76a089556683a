"""The classes of Entra ID's errors: every row of the table, by `error`, number and HTTP status."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.signin.oauth.errors import (
    AccountBlocked,
    CodeRejected,
    ConsentRequired,
    DevicePending,
    OAuthAppMisconfigured,
    SignInError,
    SignInRequired,
    TokenServiceUnavailable,
    classify_oauth_error,
)

SIGN_IN = (50173, 70008, 700082, 70043, 70000, 50089, 50132, 50133, 50055, 50144, 50072, 50074, 50076, 50078, 50079)
MORE_SIGN_IN = (50158, 53000, 53001, 700084)
CONSENT = (65001, 65004, 90094, 90095, 650052)
CODE = (54005, 70008, 501481, 700005)
BLOCKED = (50057, 50053, 50105, 50034, 50020, 51004, 53003, 530032, 53011, 500212)
APP = (7000215, 7000222, 700016, 50011, 500011, 90002)
TRANSIENT = (50033, 50087, 90006, 90024, 90033, 90055)

Row = tuple[int, str | None, int | None, type[SignInError]]

TABLE: list[Row] = [
    *((400, error, number, SignInRequired) for error in ("invalid_grant",) for number in SIGN_IN + MORE_SIGN_IN),
    *(
        (400, error, number, SignInRequired)
        for error in ("interaction_required", "login_required")
        for number in SIGN_IN
    ),
    *((400, error, number, ConsentRequired) for error in ("consent_required", "invalid_grant") for number in CONSENT),
    *(
        (400, error, number, AccountBlocked)
        for error in ("invalid_grant", "access_denied", "unauthorized_client")
        for number in BLOCKED
    ),
    *(
        (status, error, number, OAuthAppMisconfigured)
        for status in (400, 401)
        for error in (
            "invalid_client",
            "unauthorized_client",
            "invalid_scope",
            "invalid_resource",
            "invalid_request",
            "unsupported_grant_type",
        )
        for number in APP
    ),
    *(
        (status, error, number, TokenServiceUnavailable)
        for status in (400, 500, 503)
        for error in ("temporarily_unavailable", "server_error")
        for number in TRANSIENT
    ),
    *((status, "invalid_grant", 70000, TokenServiceUnavailable) for status in (408, 429, 500, 502, 503, 504)),
    (400, "invalid_grant", 50196, TokenServiceUnavailable),
    (400, "invalid_grant", 90033, TokenServiceUnavailable),
    # Undocumented errors
    (400, "invalid_grant", 123456, SignInRequired),
    (400, "invalid_grant", None, SignInRequired),
    (400, "something_new", None, OAuthAppMisconfigured),
    (418, "something_new", 99999, OAuthAppMisconfigured),
    (500, "something_new", None, TokenServiceUnavailable),
    (429, "something_new", None, TokenServiceUnavailable),
    # Not Entra ID's response: a proxy's page must never end a sign-in
    (403, None, None, TokenServiceUnavailable),
    (200, None, None, TokenServiceUnavailable),
    # A number only refines within what its error can mean
    (400, "invalid_client", 50057, OAuthAppMisconfigured),
    (400, "consent_required", 53003, ConsentRequired),
]


def numbers(number: int | None) -> tuple[int, ...]:
    return () if number is None else (number,)


@pytest.mark.parametrize(("status", "error", "number", "kind"), TABLE)
def test_every_error_has_its_class(status: int, error: str | None, number: int | None, kind: type[SignInError]) -> None:
    assert type(classify_oauth_error(status, error, numbers(number))) is kind


@pytest.mark.parametrize("number", [*CODE, 70000, None, 123456])
def test_invalid_grant_for_an_authorization_code_means_that_the_code_is_rejected(number: int | None) -> None:
    assert type(classify_oauth_error(400, "invalid_grant", numbers(number), redeeming_code=True)) is CodeRejected


@pytest.mark.parametrize(
    ("number", "kind"), [(50057, AccountBlocked), (65001, ConsentRequired), (90033, TokenServiceUnavailable)]
)
def test_a_blocked_account_is_distinguished_from_a_rejected_code(number: int, kind: type[SignInError]) -> None:
    assert type(classify_oauth_error(400, "invalid_grant", (number,), redeeming_code=True)) is kind


@pytest.mark.parametrize("error", ["authorization_declined", "expired_token", "bad_verification_code"])
def test_an_ended_device_code_is_rejected(error: str) -> None:
    assert type(classify_oauth_error(400, error)) is CodeRejected


def test_a_pending_device_code_waits_and_slow_down_adds_five_seconds() -> None:
    assert classify_oauth_error(400, "authorization_pending").retry_after is None
    slow_down = classify_oauth_error(400, "slow_down")
    assert isinstance(slow_down, DevicePending)
    assert slow_down.retry_after == 5.0


def test_a_detected_loop_causes_a_long_delay() -> None:
    assert classify_oauth_error(400, "invalid_grant", (50196,), retry_after=1.0).retry_after == 300.0


@pytest.mark.parametrize(
    ("kind", "reason", "requires_user"),
    [
        (SignInRequired, "SignInRequired", True),
        (ConsentRequired, "ConsentRequired", True),
        (AccountBlocked, "AccountBlocked", True),
        (OAuthAppMisconfigured, "OAuthAppMisconfigured", False),
        (TokenServiceUnavailable, "TokenServiceUnavailable", False),
    ],
)
def test_each_class_has_its_reason_and_says_whether_a_person_must_act(
    kind: type[SignInError], reason: str, requires_user: bool
) -> None:
    assert (kind.reason, kind.requires_user) == (reason, requires_user)


def test_the_message_names_the_cause_and_what_to_do() -> None:
    message = classify_oauth_error(401, "invalid_client", (7000222,)).message
    assert message == (
        "The client secret or certificate has expired. Correct the app registration or spec.signIn.client. "
        "(AADSTS7000222)"
    )


@given(
    st.integers(200, 599), st.none() | st.text(max_size=40), st.lists(st.integers(0, 10**8), max_size=3), st.booleans()
)
def test_every_response_has_a_class_and_only_entra_itself_can_end_a_sign_in(
    status: int, error: str | None, codes: list[int], redeeming: bool
) -> None:
    result = classify_oauth_error(status, error, codes, redeeming_code=redeeming)
    if status >= 500 or status in {408, 429} or error is None:
        assert isinstance(result, TokenServiceUnavailable | DevicePending)
    assert result.message


@given(st.text(min_size=8, max_size=40))
def test_an_unknown_error_is_not_repeated_in_the_message(error: str) -> None:
    message = classify_oauth_error(400, f"secret-{error}").message
    assert f"secret-{error}" not in message
