"""The token Secret's content."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretBytes, SecretStr

from defender_devops.hashes import sha256_hex
from defender_devops.signin.tokens.record import RefreshClaim, TokenRecord, _key

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
    user_supplied_hash=st.none() | texts,
    refresh_claim=st.none() | st.builds(RefreshClaim, texts, moments),
    used_states=st.dictionaries(texts, moments, max_size=3),
    defender_code=st.none() | secret_texts,
)


@given(records)
def test_an_encoded_record_decodes_to_an_equal_one(record: TokenRecord) -> None:
    assert TokenRecord.decode(record.encode()) == record


@given(st.dictionaries(st.sampled_from(list(TokenRecord().__dataclass_fields__)), st.binary(max_size=40)))
def test_any_data_in_the_secret_can_be_decoded(data: dict[str, bytes]) -> None:
    TokenRecord.decode({_key(name): SecretBytes(value) for name, value in data.items()})


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_time_that_nobody_could_have_written_counts_as_absent(time: str) -> None:
    names = ("refreshed_at", "access_issued_at", "access_expires_at")
    data = {_key(name): SecretBytes(time.encode()) for name in names}
    record = TokenRecord.decode({**data, **TokenRecord(SecretStr("r"), access_token=SecretStr("a")).encode()})
    assert record.refresh_token_expires_at is None
    assert record.usable_access_token(datetime.now(UTC)) is None


def test_the_keys_of_the_secret_are_those_of_older_versions() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    record = TokenRecord(
        refresh_token=SecretStr("r"),
        user_supplied_hash="hash",
        refresh_claim=RefreshClaim("replica", now),
        used_states={"state": now},
        defender_code=SecretStr("code"),
    )
    assert set(record.encode()) == {"refresh-token", "handed-in", "claim", "spent-states", "defender-code"}


@given(records)
def test_no_secret_is_in_the_repr_of_a_record(record: TokenRecord) -> None:
    blank = TokenRecord.decode({**record.encode(), **{key: SecretBytes(b"") for key in SECRET_KEYS}})
    text, text_without_secrets = repr(record), repr(blank)
    for key in SECRET_KEYS:
        value = record.encode().get(key, SecretBytes(b"")).get_secret_value().decode()
        if len(value) > 8:
            assert text.count(value) <= text_without_secrets.count(value)


SECRET_KEYS = ("refresh-token", "access-token", "defender-code")


def test_an_access_token_is_usable_for_a_share_of_its_lifetime() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    record = TokenRecord(
        access_token=SecretStr("a"), access_issued_at=start, access_expires_at=start + timedelta(minutes=100)
    )
    assert record.usable_access_token(start + timedelta(minutes=79), 0.8)
    assert record.usable_access_token(start + timedelta(minutes=80), 0.8) is None
    assert record.usable_access_token(start + timedelta(minutes=99))
    assert record.usable_access_token(start + timedelta(minutes=100)) is None


@pytest.mark.parametrize("missing", ["access_token", "access_issued_at", "access_expires_at"])
def test_an_access_token_of_unknown_lifetime_is_not_used(missing: str) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    whole = {"access_token": SecretStr("a"), "access_issued_at": start, "access_expires_at": start + timedelta(1)}
    assert TokenRecord(**(whole | {missing: None})).usable_access_token(start) is None


def test_a_refresh_token_expires_ninety_days_after_its_issue() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    assert TokenRecord(SecretStr("r"), start).refresh_token_expires_at == datetime(2026, 5, 30, tzinfo=UTC)
    assert TokenRecord(refreshed_at=start).refresh_token_expires_at is None


def test_a_hash_distinguishes_secrets_and_reveals_neither() -> None:
    assert sha256_hex(SecretStr("one")) != sha256_hex(SecretStr("two"))
    assert "one" not in sha256_hex(SecretStr("one"))
