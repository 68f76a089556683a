"""Client authentication of the app registration."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from pydantic import SecretBytes, SecretStr

from defender_devops.signin.oauth.client_authentication import (
    CertificateClient,
    FederatedClient,
    PublicClient,
    SecretClient,
)
from defender_devops.signin.oauth.errors import OAuthAppMisconfigured
from tests.support.certificates import DEFECTIVE
from tests.support.fakes.entra import signing_key

AUDIENCE = "https://login.microsoftonline.com/tenant/oauth2/v2.0/token"


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> tuple[bytes, x509.Certificate]:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signin")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(365))
    certificate = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM), certificate


async def test_a_certificate_signs_an_assertion_that_entra_can_verify() -> None:
    data, certificate = pem(signing_key("certificate"))
    client = await CertificateClient.from_pem("app-1", SecretBytes(data), lambda: 1_772_000_000.0)
    fields = client.fields(AUDIENCE)
    assertion = fields["client_assertion"]
    claims = jwt.decode(
        assertion, certificate.public_key(), algorithms=["PS256"], audience=AUDIENCE, options={"verify_exp": False}
    )
    assert (claims["iss"], claims["sub"]) == ("app-1", "app-1")
    assert claims["exp"] - claims["iat"] == 600
    thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
    assert jwt.get_unverified_header(assertion)["x5t#S256"] == thumbprint
    assert fields["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def test_two_assertions_are_never_the_same() -> None:
    client = await CertificateClient.from_pem("app-1", SecretBytes(pem(signing_key("certificate"))[0]))
    assert client.fields(AUDIENCE)["client_assertion"] != client.fields(AUDIENCE)["client_assertion"]


@pytest.mark.parametrize(("data", "phrase"), DEFECTIVE.values(), ids=DEFECTIVE.keys())
async def test_an_unusable_certificate_is_rejected_without_repeating_it(data: bytes, phrase: str) -> None:
    with pytest.raises(OAuthAppMisconfigured) as caught:
        await CertificateClient.from_pem("app-1", SecretBytes(data))
    is_pem = b"-----BEGIN" in data or not data.strip()
    assert (phrase if is_pem else "not PEM") in caught.value.message
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_other_credentials_are_form_fields() -> None:
    assert PublicClient("a").fields(AUDIENCE) == {"client_id": "a"}
    assert SecretClient("a", SecretStr("s")).fields(AUDIENCE) == {"client_id": "a", "client_secret": "s"}
    assert FederatedClient("a", SecretStr("t")).fields(AUDIENCE)["client_assertion"] == "t"


@pytest.mark.parametrize(
    "client", [SecretClient("a", SecretStr("canary-1")), FederatedClient("a", SecretStr("canary-1"))]
)
def test_no_credential_is_in_the_repr(client: object) -> None:
    assert "canary-1" not in f"{client!r} {client}"
