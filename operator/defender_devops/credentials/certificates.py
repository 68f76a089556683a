"""Client certificates of applications: parsed and checked with a message for every defect, and signing of assertions.

The parsers of cryptography raise different exceptions for different defects (TypeError for a key with a password), and
their messages can repeat the key. Here all of them are `InvalidCertificate`, whose message says how to fix it.

A tenant's key must not take the operator's time. OpenSSL's own check of a key tests whether its factors are primes:
half a second for 4096 bits, during which Python's other threads stand still too. Here the relations between the numbers
of the key are checked, and that a signature of the key is valid for the certificate, which is what it is needed for.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

__all__ = ["ClientCertificate", "InvalidCertificate", "load_client_certificate", "parse_client_certificate"]

_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_PRIVATE_KEY: Final = re.compile(rb"-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY)-----")
_KEY_MAX_BITS: Final = 4096
"""The largest RSA key that Entra ID supports; the time of a signature grows with the third power of the size."""

_PKCS1: Final = b"RSA PRIVATE KEY"
_PKCS8: Final = b"PRIVATE KEY"
_RSA_IN_PKCS8: Final = re.compile(
    rb"\x30(?:[\x00-\x7f]|\x81.|\x82..|\x83...|\x84....)\x02\x01."
    rb"\x30(?:[\x00-\x7f]|\x81.)\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01[\x01\x0a]",
    re.DOTALL,
)
"""The beginning of an RSA key in PKCS#8 in DER: version, then rsaEncryption or RSASSA-PSS (RFC 5208, RFC 8017)."""

_ASSERTION_LIFETIME_SECONDS: Final = 600

_NOT_RSA: Final = "its key is not RSA, which is all that Entra ID accepts: create it with an RSA key"
_DAMAGED: Final = "the private key or the certificate is damaged: store both as they were created, in PEM"
_ENCRYPTED: Final = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED")


class InvalidCertificate(ValueError):
    """The value is not a client certificate that Entra ID accepts; the message says why, without its content."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """An RSA key and its certificate."""

    key: RSAPrivateKey
    certificate: Certificate

    def assertion(self, client_id: str, audience: str, now: int) -> str:
        """Return a signed assertion that authenticates an application, as Entra ID requires it (PS256, x5t#S256).

        Source: learn.microsoft.com/entra/identity-platform/certificate-credentials.

        Args:
            client_id: application id.
            audience: the token endpoint that the assertion is sent to.
            now: seconds since the epoch.
        """
        import jwt  # noqa: PLC0415 - as in parse_client_certificate
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - as above

        claims = {
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": str(uuid.uuid4()),
            "iat": now,
            "nbf": now,
            "exp": now + _ASSERTION_LIFETIME_SECONDS,
        }
        thumbprint = base64.urlsafe_b64encode(self.certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
        return jwt.encode(claims, self.key, algorithm="PS256", headers={"x5t#S256": thumbprint})


async def load_client_certificate(
    data: bytes, password: bytes | None = None, *, allow_pkcs12: bool = True
) -> ClientCertificate:
    """Parse as `parse_client_certificate` in another thread, so that the event loop goes on."""
    return await asyncio.to_thread(parse_client_certificate, data, password, allow_pkcs12=allow_pkcs12)


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
    from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415 - as above

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
        rsa_key = _as_rsa_key(key)
        _check_certificate(certificate, rsa_key)
    except InvalidCertificate:
        raise
    # From None: the message of the parser can repeat its input.
    except (ValueError, TypeError, OverflowError, UnsupportedAlgorithm, InternalError, InvalidSignature):
        raise InvalidCertificate(_DAMAGED) from None
    return ClientCertificate(rsa_key, certificate)


def _parse_pem(data: bytes, password: bytes | None) -> tuple[object, Certificate]:
    from cryptography import x509  # noqa: PLC0415 - see parse_client_certificate
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - as above

    start = _PRIVATE_KEY.search(data)
    if start is None:
        raise InvalidCertificate("it has no private key: store the private key beside the certificate, in PEM")
    if _CERTIFICATE not in data:
        raise InvalidCertificate("it has no certificate: store the certificate beside the private key, in PEM")
    end_line = b"-----END %s-----" % start[1]
    end = data.find(end_line, start.end())
    if end < 0:
        raise InvalidCertificate(_DAMAGED)
    block = data[start.start() : end + len(end_line)] + b"\n"
    is_encrypted = _ENCRYPTED.search(block) is not None
    if is_encrypted and password is None:
        raise InvalidCertificate(
            "its private key has a password: store the key without one "
            "(openssl pkey -in key.pem -out key-without-password.pem)"
        )
    if not is_encrypted:
        _check_algorithm(start[1], data[start.end() : end])
    try:
        key = load_pem_private_key(block, password if is_encrypted else None, unsafe_skip_rsa_key_validation=True)
    except ValueError:
        if is_encrypted:
            raise InvalidCertificate("the password of its private key is wrong") from None
        raise
    return key, x509.load_pem_x509_certificate(data)


def _check_algorithm(label: bytes, content: bytes) -> None:
    """Check that a key is of RSA before it is parsed: keys of other kinds are checked for as long as their size takes.

    Args:
        label: the kind of the block in PEM.
        content: its lines in base64.
    """
    if label == _PKCS1:
        return
    lines = b"".join(content.split(None, 8)[:4])
    try:
        beginning = base64.b64decode(lines[: len(lines) // 4 * 4])
    except binascii.Error:
        raise InvalidCertificate(_DAMAGED) from None
    if label != _PKCS8 or not _RSA_IN_PKCS8.match(beginning):
        raise InvalidCertificate(_NOT_RSA)


def _as_rsa_key(key: object) -> RSAPrivateKey:
    """Return a key after a check of its kind, size, and the relations between its numbers (RFC 8017, section 3.2)."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415 - see above

    if not isinstance(key, RSAPrivateKey):
        raise InvalidCertificate(_NOT_RSA)
    numbers = key.private_numbers()
    public, p, q, d = numbers.public_numbers, numbers.p, numbers.q, numbers.d
    sizes = (number.bit_length() for number in (public.n, public.e, p, q, d, numbers.dmp1, numbers.dmq1, numbers.iqmp))
    if max(sizes) > _KEY_MAX_BITS:
        raise InvalidCertificate(
            f"its key is longer than {_KEY_MAX_BITS} bits, which Entra ID does not support: create it with a key of "
            f"2048 to {_KEY_MAX_BITS} bits"
        )
    is_consistent = (
        min(p, q) > 2  # noqa: PLR2004 - the only even prime
        and p % 2 == q % 2 == public.e % 2 == 1
        and p * q == public.n
        and d * public.e % (p - 1) == d * public.e % (q - 1) == 1
        and (numbers.dmp1, numbers.dmq1) == (d % (p - 1), d % (q - 1))
        and numbers.iqmp * q % p == 1
    )
    if not is_consistent:
        raise InvalidCertificate(_DAMAGED)
    return key


def _check_certificate(certificate: Certificate, key: RSAPrivateKey) -> None:
    """Check that a certificate is that of a key, and that the key can sign an assertion.

    Raises:
        InvalidCertificate: it is of another key.
        InvalidSignature: a signature of the key is not valid.
        ValueError: the key is too short for a signature.
    """
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - see parse_client_certificate
    from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415 - as above

    if certificate.public_key() != key.public_key():
        raise InvalidCertificate(
            "the private key belongs to another certificate: store the key of the certificate, and in a chain the "
            "certificate of the key first"
        )
    algorithm = hashes.SHA256()
    scheme = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
    key.public_key().verify(key.sign(b"", scheme, algorithm), b"", scheme, algorithm)


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
