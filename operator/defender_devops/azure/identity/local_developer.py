"""The local credentials of the command line: azure-identity's DefaultAzureCredential.

It uses the first that works: the variables of a service principal, a workload's or a machine's identity, the sign-ins
of Azure CLI, Azure PowerShell and Azure Developer CLI. AZURE_TOKEN_CREDENTIALS narrows the list
(https://learn.microsoft.com/python/api/azure-identity/azure.identity.defaultazurecredential).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import SecretStr

from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.arm.session import ArmSession
from defender_devops.azure.arm.token_source import TokenSource
from defender_devops.azure.identity.credential_errors import IdentityContext
from defender_devops.azure.identity.credentials import ARM_SCOPE, TIMEOUTS, EntraCredential
from defender_devops.azure.identity.transport import identity_transport
from defender_devops.credentials.text import InvalidCredential, credential_text
from defender_devops.entra.authority import VARIABLE, authority_host
from defender_devops.errors import CredentialsMissing, CredentialsRejected

if TYPE_CHECKING:
    from azure.core.credentials import AccessTokenInfo, TokenRequestOptions

__all__ = ["local_arm_client", "local_azure_devops_token", "local_credential"]

_IDENTITY_NAME: Final = "your own sign-in"
_VARIABLES: Final = {
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_FEDERATED_TOKEN_FILE",
}
_AADSTS: Final = re.compile(r"AADSTS\d+")


def local_arm_client(session: ArmSession, tenant_id: str | None) -> ArmClient:
    """Return a client of Azure Resource Manager with the local credentials.

    Args:
        session: connections.
        tenant_id: tenant of the token; None for the tenant of the sign-in.
    """
    tokens = TokenSource(local_credential(tenant_id), session.clock)
    return ArmClient(session, tokens, principal=f"{tenant_id}/local", identity_name=_IDENTITY_NAME)


async def local_azure_devops_token(resource: str, tenant_id: str) -> SecretStr:
    """Return a token for Azure DevOps from the local credentials.

    Args:
        resource: application id of Azure DevOps.
        tenant_id: tenant of the organizations.

    Raises:
        CredentialsError: there is none; the message says what to do.
    """
    credential = local_credential(tenant_id, f"{resource}/.default")
    try:
        return (await credential.token(claims=None, force_refresh=False)).value
    finally:
        await credential.close()


def local_credential(tenant_id: str | None, scope: str = ARM_SCOPE) -> EntraCredential:
    """Return the local credentials for a tenant (None: that of the sign-in) and a scope."""
    context = IdentityContext(_IDENTITY_NAME, None, tenant_id or "(of the sign-in)")
    return EntraCredential(lambda: _LocalCredential(tenant_id), context, scope=scope)


@dataclass
class _LocalCredential:
    """DefaultAzureCredential for one tenant, with a message that says how to sign in."""

    tenant_id: str | None

    def __post_init__(self) -> None:
        from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - see credentials.py

        for name in _VARIABLES & os.environ.keys():  # azure-identity reads them itself
            try:
                os.environ[name] = credential_text(os.environ[name]).get_secret_value()
            except InvalidCredential as error:
                raise CredentialsMissing(f"The variable {name} cannot be used: {error}.") from None
        if VARIABLE in os.environ:
            try:
                os.environ[VARIABLE] = authority_host()
            except ValueError as error:
                raise CredentialsMissing(f"The variable {VARIABLE} cannot be used: {error}.") from None
        self._failures: list[Exception] = []
        self._credential = DefaultAzureCredential(retry_total=2, transport=identity_transport(**TIMEOUTS))
        # The chain reports a failure as text only, and with the same error class for "not signed in" and "no network".
        chain = tuple(_RecordingCredential(item, self._failures) for item in self._credential.credentials)
        self._credential.credentials = cast("Any", chain)

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return a token.

        Raises:
            CredentialsError: there is no sign-in, or none for that tenant.
            azure.core.exceptions.AzureError: any other failure, which `EntraCredential` converts.
        """
        from azure.core.exceptions import AzureError, ClientAuthenticationError  # noqa: PLC0415 - see credentials.py

        tenant_options: TokenRequestOptions = {**(options or {})}
        if self.tenant_id is not None:
            tenant_options["tenant_id"] = self.tenant_id
        try:
            return await self._credential.get_token_info(*scopes, options=tenant_options)
        except ClientAuthenticationError as error:
            message = str(error.message)
            if _AADSTS.search(message):
                raise
            failure = self._failures.pop() if self._failures else None
            if isinstance(failure, AzureError) and not isinstance(failure, ClientAuthenticationError):
                raise failure from None  # Entra ID cannot be reached, for example
            tenant_option = f" --tenant {self.tenant_id}" if self.tenant_id else ""
            if "not configured to acquire tokens for tenant" in message:
                raise CredentialsRejected(
                    f"You are signed in to another tenant than {self.tenant_id}: run `az login{tenant_option}`, or set "
                    "AZURE_TENANT_ID to that tenant."
                ) from error
            if failure is not None:
                cause = " ".join(str(getattr(failure, "message", failure)).split())
                raise CredentialsRejected(
                    f"Your sign-in to Azure returned no token ({cause}). Sign in again with `az login{tenant_option}`, "
                    "or check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET."
                ) from error
            raise CredentialsMissing(
                f"Nobody is signed in to Azure on this machine: run `az login{tenant_option}`, or set AZURE_TENANT_ID, "
                "AZURE_CLIENT_ID and AZURE_CLIENT_SECRET."
            ) from error

    async def close(self) -> None:
        """Close its connections."""
        await self._credential.close()


@dataclass
class _RecordingCredential:
    """A credential of the chain that records why it could not authenticate; not that it is not configured."""

    credential: Any
    failures: list[Exception]

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        from azure.identity import CredentialUnavailableError  # noqa: PLC0415 - see credentials.py

        try:
            info: AccessTokenInfo = await self.credential.get_token_info(*scopes, options=options)
        except CredentialUnavailableError:
            raise
        except Exception as error:
            self.failures[:] = [error]
            raise
        return info

    async def close(self) -> None:
        await self.credential.close()
