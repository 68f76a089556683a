"""Credentials of Entra ID, through azure-identity.

The library is imported only when the first token is needed: an operator without connectors does not pay for its memory.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp
from pydantic import SecretBytes, SecretStr

from defender_devops.azure.arm.token_source import Token
from defender_devops.azure.identity.credential_errors import IdentityContext, credentials_error, invalid_token_response
from defender_devops.azure.identity.transport import identity_transport
from defender_devops.credentials.certificates import ClientCertificate, InvalidCertificate, load_client_certificate
from defender_devops.entra.authority import authority_host
from defender_devops.errors import WILL_RETRY, CredentialsMissing, CredentialsRejected, CredentialsUnavailable

if TYPE_CHECKING:
    from azure.core.credentials import AccessTokenInfo, TokenRequestOptions

__all__ = [
    "ARM_SCOPE",
    "AUDIENCE",
    "TIMEOUTS",
    "EntraCredential",
    "certificate_credential",
    "client_secret_credential",
    "federated_credential",
    "federated_file_credential",
    "managed_identity_credential",
]

ARM_SCOPE: Final = "https://management.azure.com/.default"
"""Scope of tokens for Azure Resource Manager."""

AUDIENCE: Final = "api://AzureADTokenExchange"
"""Audience of the tokens that Entra ID exchanges."""

_TIMEOUT: Final = 45.0

_MAX_ATTEMPTS: Final = 3
_RETRY_DELAY: Final = 0.8

# By default azure-identity retries ten times for minutes; the work queue schedules the next attempt instead.
_PIPELINE: Final[dict[str, Any]] = {"retry_total": 2}
TIMEOUTS: Final[dict[str, Any]] = {"connection_timeout": 5, "read_timeout": 15}

# It would also sleep for Entra ID's Retry-After while the connector has no condition yet: responses are retried here.
_NO_RESPONSE_RETRIES: Final[dict[str, Any]] = {"retry_status": 0}


def _pipeline_options() -> dict[str, Any]:
    return {"transport": identity_transport(**TIMEOUTS), **_PIPELINE}


def _entra_options() -> dict[str, Any]:
    return {"authority": authority_host(), **_pipeline_options(), **_NO_RESPONSE_RETRIES}


class _Credential(Protocol):
    """What is used of azure-identity's asynchronous credentials."""

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo: ...

    async def close(self) -> None: ...


class EntraCredential:
    """Tokens of one credential of azure-identity.

    Args:
        build: creates the credential. It is called again for a token that must not come from a cache, because
            azure-identity has no other way to bypass its cache.
        context: the identity, for the message of an error.
        prepare: awaited before each request, for values that azure-identity reads synchronously.
        scope: scope of the token.
    """

    def __init__(
        self,
        build: Callable[[], _Credential],
        context: IdentityContext,
        prepare: Callable[[], Awaitable[None]] | None = None,
        scope: str = ARM_SCOPE,
    ) -> None:
        self._build = build
        self._scope = scope
        self._context = context
        self._prepare = prepare
        self._credential: _Credential | None = None

    async def token(self, *, claims: str | None, force_refresh: bool) -> Token:
        """Return a token.

        Raises:
            CredentialsError: there is none.
            KubernetesError: the token of a service account could not be requested.
        """
        if force_refresh:
            await self.close()
        options: TokenRequestOptions = {"enable_cae": True}
        if claims is not None:
            options["claims"] = claims
        name = self._context.name
        try:
            if self._prepare is not None:
                await self._prepare()
            async with asyncio.timeout(_TIMEOUT):
                info = await self._request(options)
        except TimeoutError as error:
            raise CredentialsUnavailable(f"No token for {name}: Entra ID does not respond. {WILL_RETRY}") from error
        except (OSError, aiohttp.ClientError) as error:
            if not isinstance(error, OSError) or error.filename is None:  # of a connection
                raise CredentialsUnavailable(
                    f"No token for {name}: Entra ID cannot be reached ({type(error).__name__}). {WILL_RETRY}"
                ) from error
            # The file of a projected token.
            raise CredentialsMissing(
                f"No token for {name}: {error.strerror or 'a file cannot be read'}. Check that the operator's pod has "
                "the volume with its token or certificate."
            ) from error
        return Token(SecretStr(info.token), float(info.expires_on), info.refresh_on and float(info.refresh_on))

    def _open(self) -> _Credential:
        """Return the credential of azure-identity, which is created where there is none."""
        if self._credential is None:
            try:
                self._credential = self._build()
            except ValueError as error:  # of the constructors, which check their arguments
                raise CredentialsRejected(
                    f"The stored value of {self._context.name} cannot be used by azure-identity."
                ) from error
        return self._credential

    async def _request(self, options: TokenRequestOptions) -> AccessTokenInfo:
        """Request a token, again after a gateway error of Entra ID that names no time to wait."""
        from azure.core.exceptions import AzureError as SdkError  # noqa: PLC0415 - see the module's docstring
        from azure.core.exceptions import HttpResponseError  # noqa: PLC0415 - as above
        from azure.identity import CredentialUnavailableError  # noqa: PLC0415 - as above

        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                info = await self._open().get_token_info(self._scope, options=options)
                if _is_usable(info):
                    return info
                await self.close()  # its cache would return the same again
                if attempt == _MAX_ATTEMPTS:
                    raise invalid_token_response(self._context)
            except SdkError as error:
                failure = credentials_error(error, self._context)
                # Without a response azure-identity has retried already.
                has_response = isinstance(error, HttpResponseError) and not isinstance(
                    error, CredentialUnavailableError
                )
                is_retryable = has_response and isinstance(failure, CredentialsUnavailable) and not failure.retry_after
                if attempt == _MAX_ATTEMPTS or not is_retryable:
                    raise failure from error
            except (TypeError, AttributeError, LookupError, ValueError) as error:
                # azure-identity itself fails on a body that is not a JSON object, or has values of another kind;
                # anything else is a programming error.
                if not _is_raised_by_library(error):
                    raise
                if attempt == _MAX_ATTEMPTS:
                    raise invalid_token_response(self._context) from error
            await asyncio.sleep(_RETRY_DELAY * attempt)
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        """Close its connections."""
        credential, self._credential = self._credential, None
        if credential is not None:
            await credential.close()


def _is_raised_by_library(error: Exception) -> bool:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    module = traceback.tb_frame.f_globals.get("__name__", "") if traceback else ""
    return module.startswith(("azure.", "msal.", "json."))


def _is_usable(info: AccessTokenInfo) -> bool:
    """Whether a response has a token that can be sent in a header."""
    is_text = isinstance(info.token, str) and re.fullmatch(r"[\x21-\x7e]+", info.token) is not None
    times = (info.expires_on, info.refresh_on or info.expires_on)
    return is_text and all(isinstance(time, int | float) for time in times)


def client_secret_credential(
    tenant_id: str, client_id: str, secret: SecretStr, *, scope: str = ARM_SCOPE
) -> EntraCredential:
    """Return the credential of an application with a client secret."""

    def build() -> _Credential:
        from azure.identity.aio import ClientSecretCredential  # noqa: PLC0415 - see the module's docstring

        return ClientSecretCredential(tenant_id, client_id, secret.get_secret_value(), **_entra_options())

    context = IdentityContext(f"the client secret of client {client_id}", client_id, tenant_id)
    return EntraCredential(build, context, scope=scope)


def certificate_credential(
    tenant_id: str,
    client_id: str,
    data: Callable[[], SecretBytes],
    password: SecretStr | None = None,
    *,
    source: str = "AZURE_CLIENT_CERTIFICATE_PATH",
    allow_pkcs12: bool = True,
) -> EntraCredential:
    """Return the credential of an application with a certificate.

    Args:
        tenant_id: tenant of the token.
        client_id: application id.
        data: returns the certificate with its key, in PEM or PKCS#12; called for each token of Entra ID.
        password: password of the key, or None.
        source: where the certificate is stored, for messages.
        allow_pkcs12: whether it may be PKCS#12; see `parse_client_certificate`.
    """
    current: list[ClientCertificate] = []

    async def prepare() -> None:
        secret = password.get_secret_value().encode() if password else None
        try:
            certificate = await load_client_certificate(data().get_secret_value(), secret, allow_pkcs12=allow_pkcs12)
        except InvalidCertificate as error:
            raise CredentialsMissing(
                f"The certificate of client {client_id} in {source} cannot be used: {error}."
            ) from None
        current[:] = [certificate]

    def assertion() -> str:
        return current[0].assertion(client_id, _token_endpoint(tenant_id), int(time.time()))

    def build() -> _Credential:
        # Not CertificateCredential: it parses the key itself, in the event loop and with OpenSSL's slow check.
        from azure.identity.aio import ClientAssertionCredential  # noqa: PLC0415 - see the module's docstring

        return ClientAssertionCredential(tenant_id, client_id, assertion, **_entra_options())

    context = IdentityContext(f"the certificate of client {client_id}", client_id, tenant_id)
    return EntraCredential(build, context, prepare)


def _token_endpoint(tenant_id: str) -> str:
    """Return the address to which azure-identity sends requests for tokens."""
    return f"{authority_host()}/{tenant_id}/oauth2/v2.0/token"


def federated_credential(
    tenant_id: str, client_id: str, subject: str, assertion: Callable[[], Awaitable[SecretStr]]
) -> EntraCredential:
    """Return the credential of an application or managed identity that trusts a service account.

    Args:
        tenant_id: tenant of the token.
        client_id: application id.
        subject: subject of the service account's tokens.
        assertion: requests a token of the service account; awaited for each token of Entra ID.
    """
    current: list[SecretStr] = []

    async def prepare() -> None:
        current[:] = [await assertion()]

    def current_assertion() -> str:
        return current[0].get_secret_value()

    def build() -> _Credential:
        from azure.identity.aio import ClientAssertionCredential  # noqa: PLC0415 - see the module's docstring

        return ClientAssertionCredential(tenant_id, client_id, current_assertion, **_entra_options())

    context = IdentityContext(f"client {client_id} by {subject}", client_id, tenant_id, subject)
    return EntraCredential(build, context, prepare)


def federated_file_credential(tenant_id: str, client_id: str, path: str) -> EntraCredential:
    """Return the credential of an application or managed identity that trusts the pod's own service account.

    Args:
        tenant_id: tenant of the token.
        client_id: application id.
        path: file with the service account's token.
    """

    def build() -> _Credential:
        from azure.identity.aio import WorkloadIdentityCredential  # noqa: PLC0415 - see the module's docstring

        return WorkloadIdentityCredential(
            tenant_id=tenant_id,
            client_id=client_id,
            token_file_path=path,
            **_entra_options(),
        )

    context = IdentityContext(f"client {client_id} by the operator's service account", client_id, tenant_id)
    return EntraCredential(build, context)


def managed_identity_credential(tenant_id: str, client_id: str | None) -> EntraCredential:
    """Return the credential of a managed identity of the node."""

    def build() -> _Credential:
        from azure.identity.aio import ManagedIdentityCredential  # noqa: PLC0415 - see the module's docstring

        # Without the private argument, the variables of workload identity would make this a federated credential of
        # the operator's own service account: another identity than the one that was named and granted.
        return ManagedIdentityCredential(
            client_id=client_id, _exclude_workload_identity_credential=True, **_pipeline_options()
        )

    name = f"the managed identity {client_id}" if client_id else "the node's system-assigned managed identity"
    return EntraCredential(build, IdentityContext(name, client_id, tenant_id))
