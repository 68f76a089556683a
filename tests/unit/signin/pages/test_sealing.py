"""The operator's key: signatures in addresses, sealed cookies, and replicas that agree on one key."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretBytes

from defender_devops.errors import KubernetesRefused
from defender_devops.signin.pages.addresses import PageAddresses
from defender_devops.signin.pages.sealing import KEY_SECRET_NAME, KEY_SECRET_TYPE, Sealer, load_sealer
from tests.support.fakes.secret_store import MemorySecrets
from tests.support.fakes.sign_in import FakeClock

HOUR = timedelta(hours=1)
json_texts = st.dictionaries(st.text(max_size=10), st.text(max_size=50), max_size=5)


def sealer(time: FakeClock | None = None, key: bytes = b"k" * 32) -> Sealer:
    return Sealer(SecretBytes(key), time or FakeClock())


@given(json_texts)
def test_a_sealed_payload_can_be_opened_for_its_purpose_only(payload: dict[str, str]) -> None:
    sealed = sealer().seal("cookie", payload, HOUR)
    assert sealer().open("cookie", sealed) == payload
    assert sealer().open("another", sealed) is None
    assert sealer(key=b"o" * 32).open("cookie", sealed) is None


@given(share=st.floats(0, 1, exclude_max=True), letters=st.permutations("ABCxyz019-_"))
def test_a_sealed_value_that_was_altered_anywhere_does_not_open(share: float, letters: list[str]) -> None:
    # The nonce makes each sealed value different, so what hypothesis draws must not depend on it.
    sealed = sealer().seal("cookie", {"uid": "1"}, HOUR)
    position = int(share * len(sealed))
    replacement = next(letter for letter in letters if letter != sealed[position])
    altered = sealed[:position] + replacement + sealed[position + 1 :]
    opened = sealer().open("cookie", altered)
    # The last letter of base64 carries bits that decode to nothing: the same bytes are the same value.
    assert opened is None or (position == len(sealed) - 1 and opened == {"uid": "1"})


@given(st.text(max_size=200))
def test_arbitrary_text_does_not_open(text: str) -> None:
    assert sealer().open("cookie", text) is None


def test_a_sealed_payload_expires() -> None:
    time = FakeClock()
    sealed = sealer(time).seal("cookie", {"a": "b"}, timedelta(minutes=10))
    time.forward(minutes=9, seconds=59)
    assert sealer(time).open("cookie", sealed) == {"a": "b"}
    time.forward(seconds=1)
    assert sealer(time).open("cookie", sealed) is None


def test_a_sealed_payload_is_not_readable() -> None:
    assert "verifier-value" not in sealer().seal("cookie", {"verifier": "verifier-value"}, HOUR)
    assert "kkkk" not in repr(sealer())


def test_a_page_address_is_stable_and_not_derivable_from_the_uid() -> None:
    addresses = PageAddresses(sealer(), "https://example.com/defender")
    address = addresses.page("uid-1")
    assert address == PageAddresses(sealer(), "https://example.com/defender").page("uid-1")
    base, uid, signature = address.rsplit("/", 2)
    assert (base, uid) == ("https://example.com/defender/connectors", "uid-1")
    assert addresses.is_page(uid, signature)
    assert not addresses.is_page("uid-2", signature)
    assert not addresses.is_page(uid, signature[:-1] + "é")
    assert not addresses.is_page(uid, "")


async def test_replicas_that_start_together_end_with_the_same_key() -> None:
    secrets = MemorySecrets()
    sealers = await asyncio.gather(*(load_sealer(secrets, "operator", FakeClock()) for _ in range(5)))
    assert len({sealer.sign("page", "uid") for sealer in sealers}) == 1
    assert secrets.stored["operator", KEY_SECRET_NAME].type == KEY_SECRET_TYPE


async def test_a_replica_that_loses_the_race_uses_the_key_of_the_winner() -> None:
    secrets, winner = MemorySecrets(), MemorySecrets()
    winner_sealer = await load_sealer(winner, "operator", FakeClock())
    secrets.before_write = lambda _: secrets.put(winner.stored["operator", KEY_SECRET_NAME]) and None
    loser_sealer = await load_sealer(secrets, "operator", FakeClock())
    assert loser_sealer.sign("page", "uid") == winner_sealer.sign("page", "uid")


@pytest.mark.parametrize(
    ("type_", "data"), [("Opaque", {"key": "k" * 32}), (KEY_SECRET_TYPE, {"key": "short"}), (KEY_SECRET_TYPE, {})]
)
async def test_a_secret_without_a_key_of_the_operator_is_rejected_with_what_to_do(
    type_: str, data: dict[str, str]
) -> None:
    secrets = MemorySecrets()
    secrets.add("operator", KEY_SECRET_NAME, type_, **data)
    with pytest.raises(KubernetesRefused, match="Delete it"):
        await load_sealer(secrets, "operator", FakeClock())
