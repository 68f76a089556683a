"""Credentials of Entra ID, by way of azure-identity.

It is imported only once a token is needed: an operator without connectors need not pay for its memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from pydantic import SecretBytes, SecretStr

from defender_devops.azure.arm.token_source import Token
from defender_devops.azure.identity.entra_errors import Whose, credentials_error
from defender_devops.errors import CredentialsMissing, CredentialsRejected, CredentialsUnavailable

if TYPE_CHECKING:
    from azure.core.credentials import AccessTokenInfo, TokenRequestOptions

__all__ = [
    "AUDIENCE",
    "EntraCredential",
    "certificate",
    "client_secret",
    "federated",
    "federated_file",
    "managed_identity",
]

_SCOPE: Final = "https://management.azure.com/.default"
_DEADLINE: Final = 45.0

AUDIENCE: Final = "api://AzureADTokenExchange"
"""Audience of the tokens that Entra ID exchanges."""

# azure-identity would try ten times for minutes; the scheduler knows better when to come back.
_TRANSPORT: Final[dict[str, Any]] = {"retry_total": 2, "connection_timeout": 5, "read_timeout": 15}


class _Credential(Protocol):
    """What is used of azure-identity's asynchronous credentials."""

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo: ...

    async def close(self) -> None: ...


class EntraCredential:
    """Tokens for Azure Resource Manager from one credential of azure-identity.

    Args:
        build: makes the credential; called again for a token that must not come out of a cache, since azure-identity
            has no other way to say so.
        whose: the identity, for the words of an error.
        prepare: awaited before each request, for what azure-identity can only take synchronously.
        scope: what the token is for; Azure Resource Manager where nothing else is said.
    """

    def __init__(
        self,
        build: Callable[[], _Credential],
        whose: Whose,
        prepare: Callable[[], Awaitable[None]] | None = None,
        scope: str = _SCOPE,
    ) -> None:
        self._build = build
        self._scope = scope
        self._whose = whose
        self._prepare = prepare
        self._credential: _Credential | None = None

    async def token(self, *, claims: str | None, renew: bool) -> Token:
        """A token for Azure Resource Manager.

        Raises:
            CredentialsError: there is none.
            KubernetesError: the token of a service account could not be had.
        """
        if self._prepare is not None:
            await self._prepare()
        if renew:
            await self.close()
        options: TokenRequestOptions = {"enable_cae": True}
        if claims is not None:
            options["claims"] = claims
        info = await self._request(options)
        return Token(SecretStr(info.token), float(info.expires_on), info.refresh_on and float(info.refresh_on))

    async def _request(self, options: TokenRequestOptions) -> AccessTokenInfo:
        from azure.core.exceptions import AzureError as SdkError  # noqa: PLC0415 - see the module's docstring

        what = self._whose.what
        try:
            if self._credential is None:
                self._credential = self._build()
            async with asyncio.timeout(_DEADLINE):
                return await self._credential.get_token_info(self._scope, options=options)
        except SdkError as error:
            raise credentials_error(error, self._whose) from error
        except TimeoutError as error:
            raise CredentialsUnavailable(
                f"No token for {what}: Entra ID does not answer. It is tried again."
            ) from error
        except OSError as error:  # the file of a projected token
            raise CredentialsMissing(
                f"No token for {what}: {error.strerror or 'a file cannot be read'}. Check that the operator's pod has "
                "the volume with its token or certificate."
            ) from error
        except ValueError as error:  # of the constructors: what they were given is not what they need
            raise CredentialsRejected(
                f"What is stored as {what} cannot be used. A certificate must be RSA, with its private key, without a "
                "password, in PEM or PKCS#12."
            ) from error

    async def close(self) -> None:
        """Close its connections."""
        credential, self._credential = self._credential, None
        if credential is not None:
            await credential.close()


def client_secret(tenant_id: str, client_id: str, secret: SecretStr) -> EntraCredential:
    """An application with a client secret."""

    def build() -> _Credential:
        from azure.identity.aio import ClientSecretCredential  # noqa: PLC0415 - see the module's docstring

        return ClientSecretCredential(tenant_id, client_id, secret.get_secret_value(), **_TRANSPORT)

    return EntraCredential(build, Whose(f"the client secret of client {client_id}", client_id, tenant_id))


def certificate(
    tenant_id: str, client_id: str, data: Callable[[], SecretBytes], password: SecretStr | None = None
) -> EntraCredential:
    """An application with a certificate, in PEM or PKCS#12; `data` is asked for it anew with each new credential."""

    def build() -> _Credential:
        from azure.identity.aio import CertificateCredential  # noqa: PLC0415 - see the module's docstring

        return CertificateCredential(
            tenant_id,
            client_id,
            certificate_data=data().get_secret_value(),
            password=password.get_secret_value() if password else None,
            **_TRANSPORT,
        )

    return EntraCredential(build, Whose(f"the certificate of client {client_id}", client_id, tenant_id))


def federated(
    tenant_id: str, client_id: str, subject: str, assertion: Callable[[], Awaitable[SecretStr]]
) -> EntraCredential:
    """An application or managed identity that trusts a service account, whose token is asked for each time."""
    held: list[SecretStr] = []

    async def prepare() -> None:
        held[:] = [await assertion()]

    def latest() -> str:
        return held[0].get_secret_value()

    def build() -> _Credential:
        from azure.identity.aio import ClientAssertionCredential  # noqa: PLC0415 - see the module's docstring

        return ClientAssertionCredential(tenant_id, client_id, latest, **_TRANSPORT)

    return EntraCredential(build, Whose(f"client {client_id} by {subject}", client_id, tenant_id, subject), prepare)


def federated_file(tenant_id: str, client_id: str, path: str) -> EntraCredential:
    """An application or managed identity that trusts the pod's own service account, whose token lies in a file."""

    def build() -> _Credential:
        from azure.identity.aio import WorkloadIdentityCredential  # noqa: PLC0415 - see the module's docstring

        return WorkloadIdentityCredential(tenant_id=tenant_id, client_id=client_id, token_file_path=path, **_TRANSPORT)

    whose = Whose(f"client {client_id} by the operator's service account", client_id, tenant_id)
    return EntraCredential(build, whose)


def managed_identity(tenant_id: str, client_id: str | None) -> EntraCredential:
    """A managed identity of the node."""

    def build() -> _Credential:
        from azure.identity.aio import ManagedIdentityCredential  # noqa: PLC0415 - see the module's docstring

        # Without the private word, the variables of workload identity would turn this into a federated credential of
        # the operator's own service account: another identity than the one that was named and granted.
        return ManagedIdentityCredential(client_id=client_id, _exclude_workload_identity_credential=True, **_TRANSPORT)

    what = f"the managed identity {client_id}" if client_id else "the node's system-assigned managed identity"
    return EntraCredential(build, Whose(what, client_id, tenant_id))
