"""Client authentication at Entra ID: a client secret, a certificate, or a federated token.

Each kind returns the form fields that every request to the token endpoint carries (RFC 6749 section 2.3, RFC 7523).
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from pydantic import SecretBytes, SecretStr

from defender_devops.client_certificates import InvalidCertificate, parse_client_certificate
from defender_devops.signin.oauth.errors import OAuthAppMisconfigured

__all__ = ["CertificateClient", "Client", "FederatedClient", "PublicClient", "SecretClient"]

_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFETIME_SECONDS: Final = 600


class Client(Protocol):
    """An app registration with its credential."""

    @property
    def client_id(self) -> str:
        """Application (client) id."""
        ...

    def fields(self, audience: str) -> dict[str, str]:
        """Return the form fields that identify and authenticate the app.

        Args:
            audience: the token endpoint that the request is sent to.
        """
        ...


@dataclass(frozen=True)
class PublicClient:
    """A public client: an app without a credential, as the device code flow allows it."""

    client_id: str

    def fields(self, audience: str) -> dict[str, str]:  # noqa: ARG002 - required by the protocol
        """Return the id alone."""
        return {"client_id": self.client_id}


@dataclass(frozen=True)
class SecretClient:
    """An app with a client secret."""

    client_id: str
    secret: SecretStr

    def fields(self, audience: str) -> dict[str, str]:  # noqa: ARG002 - required by the protocol
        """Return the id and the secret."""
        return {"client_id": self.client_id, "client_secret": self.secret.get_secret_value()}


@dataclass(frozen=True)
class FederatedClient:
    """An app that trusts a token of another issuer, such as this cluster's for the operator's service account."""

    client_id: str
    assertion: SecretStr

    def fields(self, audience: str) -> dict[str, str]:  # noqa: ARG002 - required by the protocol
        """Return the id and the token, unchanged, as assertion."""
        return _assertion_fields(self.client_id, self.assertion.get_secret_value())


@dataclass(frozen=True)
class CertificateClient:
    """An app with a certificate.

    Attributes:
        client_id: application id.
        key: private key of the certificate.
        thumbprint: base64url of the certificate's SHA-256 fingerprint.
        clock: returns the seconds since the epoch.
    """

    client_id: str
    key: RSAPrivateKey
    thumbprint: str
    clock: Callable[[], float] = time.time

    @classmethod
    def from_pem(cls, client_id: str, pem: SecretBytes, clock: Callable[[], float] = time.time) -> CertificateClient:
        """Return the client for a private key and its certificate, in PEM (in any order).

        Raises:
            OAuthAppMisconfigured: they cannot be used.
        """
        try:
            parsed = parse_client_certificate(pem.get_secret_value(), allow_pkcs12=False)
        except InvalidCertificate as error:
            raise OAuthAppMisconfigured(f"The client certificate in the Secret cannot be used: {error}.") from None
        return cls(client_id, parsed.key, _base64url(parsed.certificate.fingerprint(hashes.SHA256())), clock)

    def fields(self, audience: str) -> dict[str, str]:
        """Return the id and a signed assertion, in the form that Entra ID requires (PS256 with x5t#S256).

        Source: learn.microsoft.com/entra/identity-platform/certificate-credentials.
        """
        now = int(self.clock())
        claims = {
            "aud": audience,
            "iss": self.client_id,
            "sub": self.client_id,
            "jti": str(uuid.uuid4()),
            "iat": now,
            "nbf": now,
            "exp": now + _ASSERTION_LIFETIME_SECONDS,
        }
        return _assertion_fields(
            self.client_id, jwt.encode(claims, self.key, algorithm="PS256", headers={"x5t#S256": self.thumbprint})
        )


def _assertion_fields(client_id: str, assertion: str) -> dict[str, str]:
    return {"client_id": client_id, "client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion}


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
