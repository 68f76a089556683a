"""Client authentication at Entra ID: a client secret, a certificate, or a federated token.

Each kind returns the form fields that every request to the token endpoint carries (RFC 6749 section 2.3, RFC 7523).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from pydantic import SecretBytes, SecretStr

from defender_devops.credentials.certificates import ClientCertificate, InvalidCertificate, load_client_certificate
from defender_devops.signin.oauth.errors import OAuthAppMisconfigured

__all__ = ["CertificateClient", "Client", "FederatedClient", "PublicClient", "SecretClient"]

_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


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
        certificate: with its private key.
        clock: returns the seconds since the epoch.
    """

    client_id: str
    certificate: ClientCertificate
    clock: Callable[[], float] = time.time

    @classmethod
    async def from_pem(
        cls, client_id: str, pem: SecretBytes, clock: Callable[[], float] = time.time
    ) -> CertificateClient:
        """Return the client for a private key and its certificate, in PEM (in any order).

        Raises:
            OAuthAppMisconfigured: they cannot be used.
        """
        try:
            certificate = await load_client_certificate(pem.get_secret_value(), allow_pkcs12=False)
        except InvalidCertificate as error:
            raise OAuthAppMisconfigured(f"The client certificate in the Secret cannot be used: {error}.") from None
        return cls(client_id, certificate, clock)

    def fields(self, audience: str) -> dict[str, str]:
        """Return the id and a signed assertion."""
        assertion = self.certificate.assertion(self.client_id, audience, int(self.clock()))
        return _assertion_fields(self.client_id, assertion)


def _assertion_fields(client_id: str, assertion: str) -> dict[str, str]:
    return {"client_id": client_id, "client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion}
