"""From a manifest to the proof of its app: reads the Secrets that spec.signIn names, in the connector's namespace."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretBytes, SecretStr

from defender_devops.api.connector import AzureDevOpsConnector, ClientType, SignIn
from defender_devops.api.fields import SecretKeyRef
from defender_devops.errors import CredentialsMissing
from defender_devops.signin.oauth.client_authentication import (
    CertificateClient,
    Client,
    FederatedClient,
    PublicClient,
    SecretClient,
)
from defender_devops.signin.oauth.errors import OAuthAppMisconfigured
from defender_devops.signin.ports import Clock, FederatedAssertions, SecretStore

__all__ = ["Credentials", "secret_names"]


@dataclass(frozen=True)
class Credentials:
    """Reads what a connector names, fresh each time: a new client secret takes effect with the next request.

    Args:
        secrets: the cluster's Secrets.
        assertions: tokens of the operator's own service account, or None where it has none.
        clock: dates client assertions.
    """

    secrets: SecretStore
    assertions: FederatedAssertions | None
    clock: Clock

    async def client(self, connector: AzureDevOpsConnector, sign_in: SignIn) -> Client:
        """The app of a connector's sign-in.

        Raises:
            CredentialsMissing: a Secret, key or grant is not there.
            OAuthAppMisconfigured: the certificate cannot be used.
            KubernetesError: a Secret cannot be read.
        """
        app = sign_in.client
        if app is None:
            raise OAuthAppMisconfigured("Name the app registration in spec.signIn.client.")
        if app.type == ClientType.FEDERATED:
            return FederatedClient(app.id, await self._assertion(connector, app.id))
        if app.secret_ref is None:
            return PublicClient(app.id)
        value = await self.value(connector.metadata.namespace, app.secret_ref)
        if app.type == ClientType.CERTIFICATE:
            return CertificateClient.of(app.id, value, lambda: self.clock().timestamp())
        return SecretClient(app.id, _text(value))

    async def handed_in_token(self, connector: AzureDevOpsConnector, reference: SecretKeyRef) -> SecretStr:
        """The refresh token that a person put into a Secret.

        Raises:
            CredentialsMissing: it is not there.
            KubernetesError: the Secret cannot be read.
        """
        return _text(await self.value(connector.metadata.namespace, reference))

    async def value(self, namespace: str, reference: SecretKeyRef) -> SecretBytes:
        """The value of a Secret's key.

        Raises:
            CredentialsMissing: Secret or key is not there, or it is empty.
            KubernetesError: the Secret cannot be read.
        """
        secret = await self.secrets.read(namespace, reference.name)
        if secret is None:
            raise CredentialsMissing(f"Create the Secret {reference.name} with the key {reference.key}.")
        value = secret.data.get(reference.key)
        if value is None or not value.get_secret_value().strip():
            raise CredentialsMissing(f"Give the Secret {reference.name} a value for the key {reference.key}.")
        return value

    async def _assertion(self, connector: AzureDevOpsConnector, client_id: str) -> SecretStr:
        if self.assertions is None:
            raise CredentialsMissing(
                "The operator has no federated token of its own; run it with workload identity, or use a client "
                "secret or certificate."
            )
        azure = connector.spec.azure
        return await self.assertions.assertion(
            connector.metadata.namespace, azure.tenant_id, azure.subscription_id, client_id
        )


def secret_names(connector: AzureDevOpsConnector) -> frozenset[str]:
    """Names of the Secrets that a connector's sign-in reads, the token Secret apart."""
    sign_in = connector.spec.sign_in
    references = (
        sign_in and sign_in.client and sign_in.client.secret_ref,
        sign_in and sign_in.refresh_token_secret_ref,
    )
    return frozenset(reference.name for reference in references if reference)


def _text(value: SecretBytes) -> SecretStr:
    try:
        return SecretStr(value.get_secret_value().decode().strip())
    except UnicodeDecodeError:
        raise CredentialsMissing("A Secret that spec.signIn names holds bytes where text is needed.") from None
