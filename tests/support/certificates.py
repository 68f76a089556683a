"""Private keys with self-signed certificates, as applications use them to sign in, and defective ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import NameOID

__all__ = ["DEFECTIVE", "self_signed"]


def self_signed(name: str, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None) -> tuple[bytes, bytes]:
    """A private key and its certificate, each as PEM; an RSA key unless one is given."""
    key = key or rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, certificate.public_bytes(Encoding.PEM)


def _defective() -> dict[str, tuple[bytes, str]]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private, public = self_signed("operator", key)
    certificate = x509.load_pem_x509_certificate(public)
    password = BestAvailableEncryption(b"pw")
    _, other_public = self_signed("other")
    elliptic_private, elliptic_public = self_signed("elliptic", ec.generate_private_key(ec.SECP256R1()))
    edwards = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        "empty": (b"", "is empty"),
        "blank": (b" \n\t\n", "is empty"),
        "text": (b"canary-secret", "neither PEM nor PKCS"),
        "binary": (bytes(range(256)), "neither PEM nor PKCS"),
        "key with a password": (key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, password) + public, "a password"),
        "traditional key with a password": (
            public + key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, password),
            "a password",
        ),
        "key alone": (private, "no certificate"),
        "certificate alone": (public, "no private key"),
        "public key instead of the private one": (
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) + public,
            "no private key",
        ),
        "damaged key": (private.replace(private[100:140], b"A" * 40) + public, "damaged"),
        "damaged certificate": (private + public.replace(public[100:140], b"!" * 40), "damaged"),
        "truncated": ((private + public)[:-200], "damaged"),
        "key of another certificate": (private + other_public, "belongs to another certificate"),
        "chain with another certificate first": (private + other_public + public, "belongs to another certificate"),
        "elliptic curve": (elliptic_private + elliptic_public, "not RSA"),
        "Edwards curve": (edwards + public, "not RSA"),
        "certificate in DER": (certificate.public_bytes(Encoding.DER), "in DER"),
        "key in DER": (key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), "neither PEM nor PKCS"),
        "PKCS#12 with a password": (
            serialize_key_and_certificates(b"n", key, certificate, None, password),
            "neither PEM nor PKCS#12 without a password",
        ),
        "PKCS#12 without a key": (
            serialize_key_and_certificates(b"n", None, None, [certificate], NoEncryption()),
            "no private key",
        ),
    }


DEFECTIVE = _defective()
"""Values that cannot be used as a client certificate, with a phrase of the message, by what is wrong with them."""
