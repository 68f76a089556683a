"""How the app proves to Entra ID that it is the app: a secret, a certificate, or a federated token.

Each way gives the form fields that every call of the token endpoint carries (RFC 6749 section 2.3, RFC 7523).
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from pydantic import SecretBytes, SecretStr

from defender_devops.signin.oauth.errors import OAuthAppMisconfigured

__all__ = ["CertificateClient", "Client", "FederatedClient", "PublicClient", "SecretClient"]

_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS: Final = 600


class Client(Protocol):
    """An app registration and its proof."""

    @property
    def client_id(self) -> str:
        """Application id."""
        ...

    def fields(self, audience: str) -> dict[str, str]:
        """Form fields for one call.

        Args:
            audience: the token endpoint that is called.
        """
        ...


@dataclass(frozen=True)
class PublicClient:
    """An app without a proof, as the device code flow allows it."""

    client_id: str

    def fields(self, audience: str) -> dict[str, str]:  # noqa: ARG002 - the protocol's
        """The id alone."""
        return {"client_id": self.client_id}


@dataclass(frozen=True)
class SecretClient:
    """An app with a client secret."""

    client_id: str
    secret: SecretStr

    def fields(self, audience: str) -> dict[str, str]:  # noqa: ARG002 - the protocol's
        """The id and the secret."""
        return {"client_id": self.client_id, "client_secret": self.secret.get_secret_value()}


@dataclass(frozen=True)
class FederatedClient:
    """An app that trusts a token of somebody else, such as this cluster's for our service account."""

    client_id: str
    assertion: SecretStr

    def fields(self, audience: str) -> dict[str, str]:  # noqa: ARG002 - the protocol's
        """The id and the token as it is."""
        return _asserted(self.client_id, self.assertion.get_secret_value())


@dataclass(frozen=True)
class CertificateClient:
    """An app with a certificate.

    Args:
        client_id: application id.
        pem: private key and certificate, in PEM, in any order.
        clock: seconds since the epoch.

    Raises:
        OAuthAppMisconfigured: `of` finds no usable key and certificate in it.
    """

    client_id: str
    key: RSAPrivateKey
    thumbprint: str
    clock: Callable[[], float] = time.time

    @classmethod
    def of(cls, client_id: str, pem: SecretBytes, clock: Callable[[], float] = time.time) -> CertificateClient:
        """Read the PEM."""
        data = pem.get_secret_value()
        try:
            key = serialization.load_pem_private_key(data, password=None)
            certificate = x509.load_pem_x509_certificate(data)
        except (ValueError, TypeError):
            # Without its cause: the parser's words can repeat what it was given.
            raise OAuthAppMisconfigured(
                "The Secret of the client certificate must hold an unencrypted private key and its certificate in PEM."
            ) from None
        if not isinstance(key, RSAPrivateKey):
            raise OAuthAppMisconfigured("Entra ID takes RSA certificates only: make the client certificate with RSA.")
        return cls(client_id, key, _encoded(certificate.fingerprint(hashes.SHA256())), clock)

    def fields(self, audience: str) -> dict[str, str]:
        """The id and a signed assertion, in the form that Entra ID asks for.

        learn.microsoft.com/entra/identity-platform/certificate-credentials: PS256 with x5t#S256.
        """
        now = int(self.clock())
        claims = {
            "aud": audience,
            "iss": self.client_id,
            "sub": self.client_id,
            "jti": str(uuid.uuid4()),
            "iat": now,
            "nbf": now,
            "exp": now + _ASSERTION_SECONDS,
        }
        return _asserted(
            self.client_id, jwt.encode(claims, self.key, algorithm="PS256", headers={"x5t#S256": self.thumbprint})
        )


def _asserted(client_id: str, assertion: str) -> dict[str, str]:
    return {"client_id": client_id, "client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion}


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
