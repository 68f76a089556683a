"""Credentials of a connector's app registration, read from the Secrets that spec.signIn names in its namespace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import SecretBytes, SecretStr

from defender_devops.api.connector import AzureDevOpsConnector, ClientType, SignIn
from defender_devops.api.schema.fields import SecretKeyRef
from defender_devops.credentials.text import (
    InvalidCredential,
    check_credential_secret_type,
    client_secret_text,
    refresh_token_text,
)
from defender_devops.errors import CredentialsMissing
from defender_devops.signin.oauth.client_authentication import (
    CertificateClient,
    Client,
    FederatedClient,
    PublicClient,
    SecretClient,
)
from defender_devops.signin.oauth.errors import OAuthAppMisconfigured
from defender_devops.signin.ports import Clock, FederatedTokens, SecretStore

__all__ = ["Credentials", "sign_in_secret_names"]


@dataclass(frozen=True)
class Credentials:
    """Reads credentials, without caching: a new client secret takes effect with the next request.

    Attributes:
        secrets: the cluster's Secrets.
        federated_tokens: tokens of the operator's own service account, or None if it has none.
        clock: dates client assertions.
    """

    secrets: SecretStore
    federated_tokens: FederatedTokens | None
    clock: Clock

    async def client(self, connector: AzureDevOpsConnector, sign_in: SignIn) -> Client:
        """Return the app registration of a connector's sign-in, ready to authenticate itself.

        Raises:
            CredentialsMissing: a Secret, key or grant is missing.
            OAuthAppMisconfigured: the certificate cannot be used.
            KubernetesError: a Secret cannot be read.
        """
        app = sign_in.client
        if app is None:
            raise OAuthAppMisconfigured("Name the app registration in spec.signIn.client.")
        if app.type == ClientType.FEDERATED:
            if self.federated_tokens is None:
                raise CredentialsMissing(
                    "The operator has no federated token of its own; run it with workload identity, or use a client "
                    "secret or certificate."
                )
            token = await self.federated_tokens.token(connector.metadata.namespace, connector.spec.azure, app.id)
            return FederatedClient(app.id, token)
        if app.secret_ref is None:
            return PublicClient(app.id)
        is_certificate = app.type == ClientType.CERTIFICATE
        value = await self._read(connector.metadata.namespace, app.secret_ref, is_sent=not is_certificate)
        if is_certificate:
            return await CertificateClient.from_pem(app.id, value, lambda: self.clock().timestamp())
        return SecretClient(app.id, _decode(client_secret_text, value, app.secret_ref))

    async def user_supplied_token(self, connector: AzureDevOpsConnector, reference: SecretKeyRef) -> SecretStr:
        """Return the refresh token that a user supplied in a Secret (method RefreshToken).

        Raises:
            CredentialsMissing: there is none.
            KubernetesError: the Secret cannot be read.
        """
        value = await self._read(connector.metadata.namespace, reference, is_sent=True)
        return _decode(refresh_token_text, value, reference)

    async def _read(self, namespace: str, reference: SecretKeyRef, *, is_sent: bool) -> SecretBytes:
        secret = await self.secrets.read(namespace, reference.name)
        if secret is None:
            raise CredentialsMissing(f"Create the Secret {reference.name} with the key {reference.key}.")
        if is_sent:
            try:
                check_credential_secret_type(secret.type)
            except InvalidCredential as error:
                raise _unusable(reference, error) from None
        value = secret.data.get(reference.key)
        if value is None or not value.get_secret_value().strip():
            raise CredentialsMissing(f"Give the Secret {reference.name} a value for the key {reference.key}.")
        return value


def sign_in_secret_names(connector: AzureDevOpsConnector) -> frozenset[str]:
    """Return the names of the Secrets that a connector's sign-in reads, apart from its token Secret."""
    sign_in = connector.spec.sign_in
    references = (
        sign_in and sign_in.client and sign_in.client.secret_ref,
        sign_in and sign_in.refresh_token_secret_ref,
    )
    return frozenset(reference.name for reference in references if reference)


def _decode(decode: Callable[[SecretBytes], SecretStr], value: SecretBytes, reference: SecretKeyRef) -> SecretStr:
    try:
        return decode(value)
    except InvalidCredential as error:
        raise _unusable(reference, error) from None


def _unusable(reference: SecretKeyRef, error: InvalidCredential) -> CredentialsMissing:
    return CredentialsMissing(f"The value of Secret {reference.name}, key {reference.key}, cannot be used: {error}.")
