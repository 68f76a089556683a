"""Client certificates of applications: parsed and checked before a library gets them, with a message for every defect.

The parsers of cryptography raise different exceptions for different defects (TypeError for a key with a password), and
their messages can repeat the key. Here all of them are `InvalidCertificate`, whose message says how to fix it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

__all__ = ["ClientCertificate", "InvalidCertificate", "parse_client_certificate"]

_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_PRIVATE_KEY: Final = re.compile(rb"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----")
_KEY_MAX_BITS: Final = 4096
"""The largest RSA key that Entra ID supports. The time to check a key grows with about the fourth power of its size:
half a second for 4096 bits, more than half a minute for 8676, during which the operator does nothing else."""

_ENCRYPTED: Final = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED")


class InvalidCertificate(ValueError):
    """The value is not a client certificate that Entra ID accepts; the message says why, without its content."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """An RSA key and its certificate."""

    key: RSAPrivateKey
    certificate: Certificate


def parse_client_certificate(
    data: bytes, password: bytes | None = None, *, allow_pkcs12: bool = True
) -> ClientCertificate:
    """Parse a private key and its certificate, in PEM (in any order) or PKCS#12.

    Args:
        data: the file's content.
        password: password of the private key, or None.
        allow_pkcs12: whether PKCS#12 is accepted. Not for a value of a connector's Secret: the file itself says how
            often its key derivation is repeated, so one with two thousand million iterations would stop the operator
            for everybody.

    Raises:
        InvalidCertificate: it cannot be used.
    """
    # Here, because the library takes memory that an operator without certificates can save.
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415 - as above

    if not data.strip():
        raise InvalidCertificate("it is empty: store the private key and its certificate in PEM")
    is_pem = b"-----BEGIN" in data
    if not is_pem and not allow_pkcs12:
        raise InvalidCertificate(
            "it is not PEM: store the private key and its certificate in PEM "
            "(openssl pkcs12 -in certificate.pfx -nodes -out certificate.pem)"
        )
    try:
        key, certificate = _parse_pem(data, password) if is_pem else _parse_pkcs12(data, password)
    except InvalidCertificate:
        raise
    # From None: the message of the parser can repeat its input.
    except (ValueError, TypeError, OverflowError, UnsupportedAlgorithm):
        raise InvalidCertificate(
            "the private key or the certificate is damaged: store both as they were created, in PEM"
        ) from None
    if not isinstance(key, RSAPrivateKey):
        raise InvalidCertificate("its key is not RSA, which is all that Entra ID accepts: create it with an RSA key")
    if certificate.public_key() != key.public_key():
        raise InvalidCertificate(
            "the private key belongs to another certificate: store the key of the certificate, and in a chain the "
            "certificate of the key first"
        )
    return ClientCertificate(key, certificate)


def _parse_pem(data: bytes, password: bytes | None) -> tuple[object, Certificate]:
    from cryptography import x509  # noqa: PLC0415 - see parse_client_certificate
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - as above

    if not _PRIVATE_KEY.search(data):
        raise InvalidCertificate("it has no private key: store the private key beside the certificate, in PEM")
    if _CERTIFICATE not in data:
        raise InvalidCertificate("it has no certificate: store the certificate beside the private key, in PEM")
    is_encrypted = _ENCRYPTED.search(data) is not None
    if is_encrypted and password is None:
        raise InvalidCertificate(
            "its private key has a password: store the key without one "
            "(openssl pkey -in key.pem -out key-without-password.pem)"
        )
    try:
        # First without the slow checks, to learn the size.
        _check_size(load_pem_private_key(data, password if is_encrypted else None, unsafe_skip_rsa_key_validation=True))
        key = load_pem_private_key(data, password if is_encrypted else None)
    except InvalidCertificate:
        raise
    except ValueError:
        if is_encrypted:
            raise InvalidCertificate("the password of its private key is wrong") from None
        raise
    return key, x509.load_pem_x509_certificate(data)


def _check_size(key: object) -> None:
    """Check that the numbers of an RSA key are small enough for the other checks to be quick."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415 - see above

    if not isinstance(key, RSAPrivateKey):
        return
    numbers = key.private_numbers()
    sizes = (key.key_size, *(number.bit_length() for number in (numbers.p, numbers.q, numbers.d)))
    if max(sizes) > _KEY_MAX_BITS:
        raise InvalidCertificate(
            f"its key is longer than {_KEY_MAX_BITS} bits, which Entra ID does not support: create it with a key of "
            f"2048 to {_KEY_MAX_BITS} bits"
        )


def _parse_pkcs12(data: bytes, password: bytes | None) -> tuple[object, Certificate]:
    from cryptography import x509  # noqa: PLC0415 - see parse_client_certificate
    from cryptography.hazmat.primitives.serialization.pkcs12 import (  # noqa: PLC0415 - as above
        load_key_and_certificates,
    )

    try:
        key, certificate, _ = load_key_and_certificates(data, password)
    except ValueError:
        try:
            x509.load_der_x509_certificate(data)
        except ValueError:
            raise InvalidCertificate(
                "it is neither PEM nor PKCS#12 without a password: store the private key and its certificate in PEM"
            ) from None
        raise InvalidCertificate(
            "it is a certificate in DER, without a private key: store the private key and its certificate in PEM "
            "(openssl x509 -inform der -in certificate.der)"
        ) from None
    if key is None:
        raise InvalidCertificate("its PKCS#12 file has no private key: export it with the private key")
    if certificate is None:
        raise InvalidCertificate(
            "its PKCS#12 file has no certificate of the private key: export it with the certificate"
        )
    return key, certificate
