"""The operator's own identity in Azure, as its environment provides it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretBytes, SecretStr

from defender_devops.azure.identity.credentials import (
    EntraCredential,
    certificate_credential,
    client_secret_credential,
    federated_file_credential,
    managed_identity_credential,
)
from defender_devops.credentials.text import InvalidCredential, client_secret_text, credential_text
from defender_devops.errors import CredentialsMissing

__all__ = ["OperatorIdentity", "ResolvedIdentity"]


@dataclass(frozen=True, slots=True)
class ResolvedIdentity:
    """An identity before its credential is created.

    Attributes:
        key: unique, with a digest of its secret: a new secret is a new identity at once.
        client_id: application id, or None for a system-assigned identity.
        name: the identity in words, for messages.
        build: creates its credential.
    """

    key: tuple[str, ...]
    client_id: str | None
    name: str
    build: Callable[[], EntraCredential]


@dataclass(frozen=True, slots=True)
class OperatorIdentity:
    """The operator's own identity, as its environment provides it.

    The variables are azure-identity's (https://learn.microsoft.com/python/api/overview/azure/identity-readme), read in
    the order workload identity, client secret, certificate, managed identity. The tenant is always the connector's.

    Attributes:
        environment: environment variables.
    """

    environment: Mapping[str, str]

    @property
    def client_id(self) -> str | None:
        """Application id; None for the node's system-assigned identity.

        Raises:
            CredentialsMissing: the variable contains a character that no id has.
        """
        client_id = self._variable("AZURE_CLIENT_ID")
        return client_id.get_secret_value() if client_id else None

    def assertion(self) -> SecretStr:
        """Return the token of the operator's own service account for Entra ID.

        Raises:
            CredentialsMissing: the pod has none.
        """
        path = self._variable("AZURE_FEDERATED_TOKEN_FILE")
        try:
            return credential_text(Path(path.get_secret_value() if path else "").read_bytes())
        except InvalidCredential as error:
            raise CredentialsMissing(f"The file that AZURE_FEDERATED_TOKEN_FILE names is no token: {error}.") from None
        except OSError as error:
            raise CredentialsMissing(
                "The operator's pod has no token for Entra ID: enable workload identity in the chart "
                "(AZURE_FEDERATED_TOKEN_FILE must name the projected token)."
            ) from error

    def resolve(self, tenant_id: str) -> ResolvedIdentity:
        """Return the identity for a tenant."""
        key, client = ("own", tenant_id), self.client_id
        return ResolvedIdentity(key, client, "the operator's own identity", lambda: self._credential(tenant_id, client))

    def _credential(self, tenant_id: str, client: str | None) -> EntraCredential:
        if client is None:
            return managed_identity_credential(tenant_id, None)
        if token_file := self._variable("AZURE_FEDERATED_TOKEN_FILE"):
            return federated_file_credential(tenant_id, client, token_file.get_secret_value())
        if secret := self._variable("AZURE_CLIENT_SECRET"):
            return client_secret_credential(tenant_id, client, _as_client_secret(secret))
        if path := self._variable("AZURE_CLIENT_CERTIFICATE_PATH"):
            file = Path(path.get_secret_value())
            return certificate_credential(
                tenant_id,
                client,
                lambda: SecretBytes(file.read_bytes()),
                self._variable("AZURE_CLIENT_CERTIFICATE_PASSWORD"),
            )
        return managed_identity_credential(tenant_id, client)

    def _variable(self, name: str) -> SecretStr | None:
        try:
            value = credential_text(self.environment.get(name, ""))
        except InvalidCredential as error:
            raise CredentialsMissing(f"The operator's variable {name} cannot be used: {error}.") from None
        return value if value.get_secret_value() else None


def _as_client_secret(value: SecretStr) -> SecretStr:
    try:
        return client_secret_text(value)
    except InvalidCredential as error:
        raise CredentialsMissing(f"The operator's variable AZURE_CLIENT_SECRET cannot be used: {error}.") from None
