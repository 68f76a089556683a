from __future__ import annotations

import asyncio
import base64
import time
from math import gcd

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.credentials.certificates import (
    InvalidCertificate,
    load_client_certificate,
    parse_client_certificate,
)
from tests.support.certificates import DEFECTIVE, self_signed

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PRIVATE, PUBLIC = self_signed("operator", KEY)
ENCRYPTED = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw"))
PKCS12 = pkcs12.serialize_key_and_certificates(b"n", KEY, x509.load_pem_x509_certificate(PUBLIC), None, NoEncryption())


@pytest.mark.parametrize(("data", "phrase"), DEFECTIVE.values(), ids=DEFECTIVE.keys())
def test_a_defective_certificate_is_rejected_with_its_defect_and_without_its_content(data: bytes, phrase: str) -> None:
    with pytest.raises(InvalidCertificate) as caught:
        parse_client_certificate(data)
    message = str(caught.value)
    assert phrase in message
    assert "BEGIN" not in message
    assert "canary" not in message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("data", "password"),
    [
        (PRIVATE + PUBLIC, None),
        (PUBLIC + PRIVATE, None),
        (b"Bag Attributes\n" + PRIVATE + b"\n\n" + PUBLIC + PUBLIC, None),
        (PRIVATE + PUBLIC, b"not needed"),
        (ENCRYPTED + PUBLIC, b"pw"),
        (PKCS12, None),
    ],
    ids=["key first", "certificate first", "chain with comments", "needless password", "password", "PKCS#12"],
)
def test_a_usable_certificate_is_parsed_with_its_key(data: bytes, password: bytes | None) -> None:
    parsed = parse_client_certificate(data, password)
    assert parsed.certificate.public_key() == parsed.key.public_key() == KEY.public_key()


def test_a_wrong_password_is_named() -> None:
    with pytest.raises(InvalidCertificate, match="password of its private key is wrong"):
        parse_client_certificate(ENCRYPTED + PUBLIC, b"wrong")


def rsa_key_of_known_primes(first: int, second: int) -> bytes:
    """A valid RSA key of two Mersenne primes, so that a huge one needs no search; the exponents are of the primes."""
    p, q = 2**first - 1, 2**second - 1
    phi = (p - 1) * (q - 1)
    e = next(number for number in range(65537, 2**20, 2) if gcd(number, phi) == 1)
    d = pow(e, -1, phi)
    numbers = (0, p * q, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))
    der = _der(0x30, b"".join(_der(2, number.to_bytes(number.bit_length() // 8 + 1, "big")) for number in numbers))
    return b"-----BEGIN RSA PRIVATE KEY-----\n" + base64.encodebytes(der) + b"-----END RSA PRIVATE KEY-----\n"


def _der(tag: int, value: bytes) -> bytes:
    length = len(value)
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag]) + (bytes([length]) if length < 128 else bytes([0x80 | len(size)]) + size) + value


@pytest.mark.parametrize(("first", "second"), [(2203, 2281), (9689, 9941), (9941, 3), (21701, 23209)])
def test_a_huge_key_is_rejected_without_checking_its_primes(first: int, second: int) -> None:
    data = rsa_key_of_known_primes(first, second) + PUBLIC
    start = time.perf_counter()
    with pytest.raises(InvalidCertificate, match="longer than 4096 bits"):
        parse_client_certificate(data)
    assert time.perf_counter() - start < 1.0


NUMBERS = ["n", "e", "d", "p", "q", "dmp1", "dmq1", "iqmp"]


def rsa_key(**changes: int) -> bytes:
    """The key in PKCS#1 with other numbers, so that they no longer belong together."""
    private = KEY.private_numbers()
    numbers = {
        "n": private.public_numbers.n,
        "e": private.public_numbers.e,
        "d": private.d,
        "p": private.p,
        "q": private.q,
        "dmp1": private.dmp1,
        "dmq1": private.dmq1,
        "iqmp": private.iqmp,
    } | changes
    values = (0, *numbers.values())
    der = _der(0x30, b"".join(_der(2, number.to_bytes(number.bit_length() // 8 + 1, "big")) for number in values))
    return b"-----BEGIN RSA PRIVATE KEY-----\n" + base64.encodebytes(der) + b"-----END RSA PRIVATE KEY-----\n"


def test_the_key_of_these_numbers_is_valid_as_it_is() -> None:
    assert parse_client_certificate(rsa_key() + PUBLIC).key.private_numbers() == KEY.private_numbers()


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("change", [1, 2, -1, -2])
def test_a_key_whose_numbers_do_not_belong_together_is_damaged(name: str, change: int) -> None:
    private = KEY.private_numbers()
    value = getattr(private, name, 0) or getattr(private.public_numbers, name)
    with pytest.raises(InvalidCertificate, match=r"damaged|another certificate"):
        parse_client_certificate(rsa_key(**{name: value + change}) + PUBLIC)


@given(st.dictionaries(st.sampled_from(NUMBERS), st.integers(0, 2**4096), min_size=1))
def test_any_numbers_in_place_of_the_keys_are_rejected_quickly(changes: dict[str, int]) -> None:
    start = time.perf_counter()
    with pytest.raises(InvalidCertificate):
        parse_client_certificate(rsa_key(**changes) + PUBLIC)
    assert time.perf_counter() - start < 1.0


def test_a_key_of_composite_factors_is_rejected_quickly() -> None:
    """Its numbers belong together, but its signatures are not valid; OpenSSL would test the factors for a long time."""
    p, q = 3**1290 * 2 + 1, 5**880 * 2 + 1
    n, phi = p * q, (p - 1) * (q - 1)
    e = next(number for number in range(65537, 2**20, 2) if gcd(number, phi) == 1)
    d = pow(e, -1, phi)
    numbers = {"n": n, "e": e, "d": d, "p": p, "q": q, "dmp1": d % (p - 1), "dmq1": d % (q - 1), "iqmp": pow(q, -1, p)}
    start = time.perf_counter()
    with pytest.raises(InvalidCertificate):
        parse_client_certificate(rsa_key(**numbers) + PUBLIC)
    assert time.perf_counter() - start < 1.0


def test_a_key_of_another_kind_is_rejected_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL tests the numbers of a key of Diffie-Hellman too, for as long as their size takes."""
    monkeypatch.setattr(serialization, "load_pem_private_key", lambda *_, **_options: pytest.fail("was parsed"))
    keys = (
        dsa.generate_private_key(2048),
        ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
        x25519.X25519PrivateKey.generate(),
    )
    for key in keys:
        data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with pytest.raises(InvalidCertificate, match="not RSA"):
            parse_client_certificate(data + PUBLIC)
    for label in (b"EC ", b"DSA ", b"DH ", b"X9.42 DH ", b"OPENSSH "):
        data = PRIVATE.replace(b"RSA PRIVATE KEY", b"PRIVATE KEY").replace(b"PRIVATE KEY", label + b"PRIVATE KEY")
        with pytest.raises(InvalidCertificate, match=r"not RSA|no private key"):
            parse_client_certificate(data + PUBLIC)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL], ids=["PKCS#8", "PKCS#1"])
@pytest.mark.parametrize("bits", [2048, 3072, 4096])
async def test_the_event_loop_goes_on_while_a_certificate_is_loaded(form: PrivateFormat, bits: int) -> None:
    """Measured by the longest pause between two ticks, of the best of a few runs: other work only adds to it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    _, certificate = self_signed("operator", key)
    data = key.private_bytes(Encoding.PEM, form, NoEncryption()) + certificate

    async def longest_pause() -> float:
        pauses: list[float] = []

        async def tick() -> None:
            previous = time.perf_counter()
            while True:
                await asyncio.sleep(0.001)
                now = time.perf_counter()
                pauses.append(now - previous)
                previous = now

        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0)
        parsed = await load_client_certificate(data, allow_pkcs12=False)
        await asyncio.sleep(0.002)
        ticking.cancel()
        assert parsed.assertion("client", "https://login.example.com", 1_772_000_000)
        return max(pauses)

    assert min([await longest_pause() for _ in range(5)]) < 0.05


def test_where_pkcs12_is_not_allowed_nothing_of_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its key derivation takes as long as the file demands."""
    monkeypatch.setattr(pkcs12, "load_key_and_certificates", lambda *_: pytest.fail("was parsed"))
    with pytest.raises(InvalidCertificate, match="not PEM"):
        parse_client_certificate(PKCS12, allow_pkcs12=False)


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda part: PRIVATE[:200] + part + PUBLIC))
def test_any_bytes_are_a_certificate_or_an_invalid_one(data: bytes) -> None:
    with pytest.raises(InvalidCertificate):
        parse_client_certificate(data)
