"""Whoever is signed in on this machine, for the command line: azure-identity's DefaultAzureCredential.

It takes what it finds first: variables of a service principal, a workload's or a machine's identity, the sign-ins of
Azure CLI, Azure PowerShell and Azure Developer CLI. AZURE_TOKEN_CREDENTIALS narrows that
(https://learn.microsoft.com/python/api/azure-identity/azure.identity.defaultazurecredential).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.arm.session import ArmSession
from defender_devops.azure.arm.token_source import TokenSource
from defender_devops.azure.identity.credentials import EntraCredential
from defender_devops.azure.identity.entra_errors import Whose
from defender_devops.errors import CredentialsMissing, CredentialsRejected

if TYPE_CHECKING:
    from azure.core.credentials import AccessTokenInfo, TokenRequestOptions

__all__ = ["arm_client", "azure_devops_token"]

_WHO: Final = "your own sign-in"
_NUMBER: Final = re.compile(r"AADSTS\d+")


def arm_client(session: ArmSession, tenant_id: str | None) -> ArmClient:
    """Azure Resource Manager as whoever is signed in.

    Args:
        session: connections.
        tenant_id: whose token is wanted; None takes the one that is signed in to.
    """
    tokens = TokenSource(_credential(tenant_id), session.clock)
    return ArmClient(session, tokens, principal=f"{tenant_id}/laptop", who=_WHO)


async def azure_devops_token(resource: str, tenant_id: str) -> SecretStr:
    """A token for Azure DevOps as whoever is signed in.

    Args:
        resource: application id of Azure DevOps.
        tenant_id: of the organizations.

    Raises:
        CredentialsError: there is none; the message says what to do.
    """
    credential = _credential(tenant_id, f"{resource}/.default")
    try:
        return (await credential.token(claims=None, renew=False)).value
    finally:
        await credential.close()


def _credential(tenant_id: str | None, scope: str | None = None) -> EntraCredential:
    whose = Whose(_WHO, None, tenant_id or "(of the sign-in)")

    def build() -> _SignedIn:
        return _SignedIn(tenant_id)

    return EntraCredential(build, whose) if scope is None else EntraCredential(build, whose, scope=scope)


@dataclass
class _SignedIn:
    """DefaultAzureCredential, asked for a tenant, with words of ours where nobody is signed in."""

    tenant_id: str | None

    def __post_init__(self) -> None:
        from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - see credentials.py

        self._credential = DefaultAzureCredential()

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """A token.

        Raises:
            CredentialsError: nobody is signed in, or not to that tenant.
            azure.core.exceptions.AzureError: anything else; `EntraCredential` finds the words.
        """
        from azure.core.exceptions import ClientAuthenticationError  # noqa: PLC0415 - see credentials.py

        wanted: TokenRequestOptions = {**(options or {})}
        if self.tenant_id is not None:
            wanted["tenant_id"] = self.tenant_id
        try:
            return await self._credential.get_token_info(*scopes, options=wanted)
        except ClientAuthenticationError as error:
            if _NUMBER.search(str(error.message)):
                raise
            raise self._nobody(str(error.message)) from error

    def _nobody(self, message: str) -> CredentialsMissing | CredentialsRejected:
        tenant = f" --tenant {self.tenant_id}" if self.tenant_id else ""
        if "not configured to acquire tokens for tenant" in message:
            return CredentialsRejected(
                f"You are signed in to another tenant than {self.tenant_id}: run `az login{tenant}`, or set "
                "AZURE_TENANT_ID to that tenant."
            )
        return CredentialsMissing(
            f"Nobody is signed in to Azure on this machine: run `az login{tenant}`, or set AZURE_TENANT_ID, "
            "AZURE_CLIENT_ID and AZURE_CLIENT_SECRET."
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._credential.close()
