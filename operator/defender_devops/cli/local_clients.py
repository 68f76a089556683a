"""Azure and Azure DevOps as whoever is signed in on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pydantic import SecretStr, ValidationError

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.arm.session import ArmSession
from defender_devops.azure.identity.local_developer import arm_client, azure_devops_token
from defender_devops.cli.exit_codes import CommandFailed
from defender_devops.settings import Settings
from defender_devops.signin.oauth.authority import AZURE_DEVOPS_RESOURCE

__all__ = ["Laptop", "OwnTokens", "open_laptop", "read_settings"]


def read_settings() -> Settings:
    """Addresses of Azure and Azure DevOps, from the same variables that the operator reads.

    Raises:
        CommandFailed: one of them is wrong.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in wrong["loc"]).upper()
        raise CommandFailed(
            f"The environment variable DEFENDER_DEVOPS_{name} cannot be used: {wrong['msg']}."
        ) from None


@dataclass(slots=True)
class Laptop:
    """Clients of Azure Resource Manager, one for each tenant."""

    session: ArmSession
    _clients: dict[str | None, ArmClient] = field(default_factory=dict)

    def arm(self, tenant_id: str | None) -> ArmClient:
        """The client for a tenant; None is the one that is signed in to."""
        if tenant_id not in self._clients:
            self._clients[tenant_id] = arm_client(self.session, tenant_id)
        return self._clients[tenant_id]

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()
        await self.session.close()


@asynccontextmanager
async def open_laptop() -> AsyncIterator[Laptop]:
    """Clients that are closed in the end."""
    laptop = Laptop(ArmSession.open(str(read_settings().arm_endpoint)))
    try:
        yield laptop
    finally:
        await laptop.close()


@dataclass(slots=True)
class OwnTokens:
    """Fulfils `azuredevops.checker.AccessTokens`: one token of ours for each tenant."""

    _tokens: dict[str, SecretStr] = field(default_factory=dict)

    async def access_token(
        self,
        connector: AzureDevOpsConnector,
        *,
        rejected: SecretStr | None = None,
        claims: str | None = None,  # noqa: ARG002 - only a person could answer a challenge
    ) -> SecretStr:
        """A token for Azure DevOps.

        Raises:
            CredentialsError: there is none.
        """
        tenant = connector.spec.azure.tenant_id
        known = self._tokens.get(tenant)
        if known is None or known == rejected:
            known = self._tokens[tenant] = await azure_devops_token(AZURE_DEVOPS_RESOURCE, tenant)
        return known
