from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.client_certificates import InvalidCertificate, parse_client_certificate
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


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda part: PRIVATE[:200] + part + PUBLIC))
def test_any_bytes_are_a_certificate_or_an_invalid_one(data: bytes) -> None:
    with pytest.raises(InvalidCertificate):
        parse_client_certificate(data)
