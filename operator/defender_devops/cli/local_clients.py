"""Clients for Azure and Azure DevOps with the sign-in of this machine (`az login`, for example)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pydantic import SecretStr, ValidationError

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.arm.session import ArmSession
from defender_devops.azure.identity.local_developer import local_arm_client, local_azure_devops_token
from defender_devops.cli.exit_codes import CommandFailed
from defender_devops.settings import Settings
from defender_devops.signin.oauth.authority import AZURE_DEVOPS_RESOURCE

__all__ = ["LocalClients", "LocalTokens", "open_local_clients", "read_local_settings"]


def read_local_settings() -> Settings:
    """Read the endpoints of Azure and Azure DevOps from the operator's environment variables.

    Raises:
        CommandFailed: a variable has an invalid value.
    """
    try:
        return Settings()
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in detail["loc"]).upper()
        raise CommandFailed(f"The environment variable DEFENDER_DEVOPS_{name} is invalid: {detail['msg']}.") from None


@dataclass(slots=True)
class LocalClients:
    """Clients of Azure Resource Manager, one for each tenant."""

    session: ArmSession
    _clients: dict[str | None, ArmClient] = field(default_factory=dict)

    def arm(self, tenant_id: str | None) -> ArmClient:
        """Return the client for a tenant; None is the tenant of the sign-in."""
        if tenant_id not in self._clients:
            self._clients[tenant_id] = local_arm_client(self.session, tenant_id)
        return self._clients[tenant_id]


@asynccontextmanager
async def open_local_clients() -> AsyncIterator[LocalClients]:
    """Open clients and close all connections in the end."""
    clients = LocalClients(ArmSession.open(str(read_local_settings().arm_endpoint)))
    try:
        yield clients
    finally:
        for client in clients._clients.values():  # noqa: SLF001 - of this module
            await client.close()
        await clients.session.close()


@dataclass(slots=True)
class LocalTokens:
    """One token for Azure DevOps for each tenant; implements `azuredevops.azure_devops_reader.AccessTokens`."""

    _tokens: dict[str, SecretStr] = field(default_factory=dict)

    async def access_token(
        self,
        connector: AzureDevOpsConnector,
        *,
        rejected: SecretStr | None = None,
        claims: str | None = None,  # noqa: ARG002 - a claims challenge needs an interactive sign-in
    ) -> SecretStr:
        """Return a token for Azure DevOps.

        Raises:
            CredentialsError: there is none.
        """
        tenant_id = connector.spec.azure.tenant_id
        token = self._tokens.get(tenant_id)
        if token is None or token == rejected:
            token = self._tokens[tenant_id] = await local_azure_devops_token(AZURE_DEVOPS_RESOURCE, tenant_id)
        return token
