"""Tokens for Azure Resource Manager and Azure DevOps, from azure-identity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from pydantic import SecretStr

from acceptance.tenant_file import TenantFile
from defender_devops.azure.arm.token_source import TokenSource
from defender_devops.azure.identity.credentials import ARM_SCOPE, client_secret_credential
from defender_devops.azure.identity.local_developer import local_credential
from defender_devops.signin.oauth.authority import APP_SCOPE

__all__ = ["IdentityTokens", "Tokens"]

_SCOPES: Final = {"arm": ARM_SCOPE, "azureDevOps": APP_SCOPE}


class Tokens(Protocol):
    """Source of access tokens."""

    async def token(self, audience: str) -> str:
        """Return a token.

        Args:
            audience: `arm` or `azureDevOps`.

        Raises:
            CredentialsError: there is none; the message says what to do.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


@dataclass
class IdentityTokens:
    """Tokens of the identity that a tenant file names.

    Raises:
        TenantFileError: the client secret cannot be read.
    """

    file: TenantFile
    _sources: dict[str, TokenSource] = field(default_factory=dict)

    def __post_init__(self) -> None:
        identity = self.file.identity
        secret = None if identity is None else SecretStr(identity.read_secret())
        for audience, scope in _SCOPES.items():
            if identity is None or secret is None:
                credential = local_credential(self.file.tenant, scope)
            else:
                credential = client_secret_credential(self.file.tenant, identity.client_id, secret, scope=scope)
            self._sources[audience] = TokenSource(credential)

    async def token(self, audience: str) -> str:
        """Return a token; see `Tokens`."""
        return (await self._sources[audience].current()).get_secret_value()

    async def close(self) -> None:
        """Close the connections."""
        for source in self._sources.values():
            await source.close()
