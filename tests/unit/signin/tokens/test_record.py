"""The token Secret's content."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretBytes, SecretStr

from defender_devops.signin.tokens.record import Claim, TokenRecord, fingerprint

texts = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=40
)
secret_texts = texts.map(SecretStr)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants naive bounds
records = st.builds(
    TokenRecord,
    refresh_token=st.none() | secret_texts,
    refreshed_at=st.none() | moments,
    access_token=st.none() | secret_texts,
    access_expires_at=st.none() | moments,
    access_issued_at=st.none() | moments,
    account=st.none() | texts,
    tenant_id=st.none() | texts,
    object_id=st.none() | texts,
    client_id=st.none() | texts,
    handed_in=st.none() | texts,
    claim=st.none() | st.builds(Claim, texts, moments),
    spent_states=st.dictionaries(texts, moments, max_size=3),
    defender_code=st.none() | secret_texts,
)


@given(records)
def test_what_is_written_reads_back_equal(record: TokenRecord) -> None:
    assert TokenRecord.decode(record.encode()) == record


@given(st.dictionaries(st.sampled_from(list(TokenRecord().__dataclass_fields__)), st.binary(max_size=40)))
def test_whatever_somebody_put_into_the_secret_can_be_read(data: dict[str, bytes]) -> None:
    given_data = {key.replace("_", "-"): SecretBytes(value) for key, value in data.items()}
    TokenRecord.decode(given_data)


@given(records)
def test_no_secret_shows_in_the_text_of_a_record(record: TokenRecord) -> None:
    blank = TokenRecord.decode({**record.encode(), **{key: SecretBytes(b"") for key in SECRET_KEYS}})
    shown, without = repr(record), repr(blank)
    for key in SECRET_KEYS:
        value = record.encode().get(key, SecretBytes(b"")).get_secret_value().decode()
        if len(value) > 8:
            assert shown.count(value) <= without.count(value)


SECRET_KEYS = ("refresh-token", "access-token", "defender-code")


def test_an_access_token_is_usable_for_the_share_of_its_life() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    record = TokenRecord(
        access_token=SecretStr("a"), access_issued_at=start, access_expires_at=start + timedelta(minutes=100)
    )
    assert record.usable_access_token(start + timedelta(minutes=79), 0.8)
    assert record.usable_access_token(start + timedelta(minutes=80), 0.8) is None
    assert record.usable_access_token(start + timedelta(minutes=99))
    assert record.usable_access_token(start + timedelta(minutes=100)) is None


@pytest.mark.parametrize("missing", ["access_token", "access_issued_at", "access_expires_at"])
def test_an_access_token_of_unknown_life_is_not_used(missing: str) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    whole = {"access_token": SecretStr("a"), "access_issued_at": start, "access_expires_at": start + timedelta(1)}
    assert TokenRecord(**(whole | {missing: None})).usable_access_token(start) is None


def test_a_refresh_token_lives_ninety_days_from_its_issue() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    assert TokenRecord(SecretStr("r"), start).refresh_token_expires_at == datetime(2026, 5, 30, tzinfo=UTC)
    assert TokenRecord(refreshed_at=start).refresh_token_expires_at is None


def test_a_fingerprint_tells_secrets_apart_and_shows_neither() -> None:
    assert fingerprint(SecretStr("one")) != fingerprint(SecretStr("two"))
    assert "one" not in fingerprint(SecretStr("one"))
