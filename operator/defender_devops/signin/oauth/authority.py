"""Entra ID's v2.0 endpoints of one tenant; the only module of the sign-in that calls them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from defender_devops.entra.error_codes import aadsts_numbers, is_oauth_error
from defender_devops.http_client import NETWORK_ERRORS, retry_after_seconds
from defender_devops.signin.oauth.errors import SignInError, TokenServiceUnavailable, classify_oauth_error

__all__ = ["SCOPE", "Authority", "DeviceCode", "TokenResponse"]

AZURE_DEVOPS_RESOURCE: Final = "499b84ac-1321-427f-aa17-267ca6975798"
"""Application id of Azure DevOps in every tenant."""

SCOPE: Final = f"{AZURE_DEVOPS_RESOURCE}/.default offline_access openid profile"
"""Scope for a person: the Azure DevOps permissions that are configured at the app, an id_token and a refresh token."""

APP_SCOPE: Final = f"{AZURE_DEVOPS_RESOURCE}/.default"
"""Scope for a service principal: with client credentials there is neither a refresh token nor a person."""

REQUEST_TIMEOUT: Final = 30.0
"""Seconds for one request, from connecting to the last byte. The claim on a refresh token must outlive it."""

_Model = TypeVar("_Model", bound=BaseModel)
_RESPONSE_MAX_BYTES: Final = 1 << 20  # Entra's responses have a few kilobytes
_SECONDS_MAX: Final = 1e8
"""Seconds, about three years: no token is valid for so long, and a time so far in the future can be computed."""


class TokenResponse(BaseModel):
    """A successful response of the token endpoint (RFC 6749, section 5.1, and OpenID Connect)."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    access_token: SecretStr = Field(min_length=1)
    expires_in: float = Field(gt=0, lt=_SECONDS_MAX)
    refresh_token: SecretStr | None = None
    id_token: SecretStr | None = None


class DeviceCode(BaseModel):
    """A successful response of the device authorization endpoint (RFC 8628, section 3.2).

    The user code is shown to the person; the device code is a secret of the operator.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    device_code: SecretStr = Field(min_length=1)
    user_code: str = Field(min_length=1)
    verification_uri: str
    expires_in: float = Field(gt=0, lt=_SECONDS_MAX)
    interval: float = Field(default=5.0, ge=0, lt=_SECONDS_MAX)


@dataclass(frozen=True)
class Authority:
    """Entra ID's endpoints for one tenant.

    Attributes:
        http: shared client; it must neither follow redirects nor keep cookies.
        host: `https://login.microsoftonline.com`, or the value of AZURE_AUTHORITY_HOST, without a slash at the end.
        tenant_id: GUID of the tenant.
    """

    http: httpx.AsyncClient
    host: str
    tenant_id: str

    @property
    def authorize_endpoint(self) -> str:
        """Address to which a browser is redirected to sign in."""
        return f"{self.host}/{self.tenant_id}/oauth2/v2.0/authorize"

    @property
    def token_endpoint(self) -> str:
        """Token endpoint; also the audience of client assertions."""
        return f"{self.host}/{self.tenant_id}/oauth2/v2.0/token"

    @property
    def issuer(self) -> str:
        """The value that `iss` of the tenant's id_tokens must have."""
        return f"{self.host}/{self.tenant_id}/v2.0"

    async def token(self, form: Mapping[str, str], *, redeeming_code: bool = False) -> TokenResponse:
        """Send a request to the token endpoint.

        Raises:
            SignInError: the class that `oauth.errors.classify` assigns to the error response.
        """
        body = await self._post(self.token_endpoint, form, redeeming_code=redeeming_code)
        return _parse(TokenResponse, body)

    async def device_code(self, client_id: str) -> DeviceCode:
        """Start a device authorization.

        Raises:
            SignInError: as `token`.
        """
        url = f"{self.host}/{self.tenant_id}/oauth2/v2.0/devicecode"
        return _parse(DeviceCode, await self._post(url, {"client_id": client_id, "scope": SCOPE}))

    async def signing_keys(self) -> dict[str, Any]:
        """Return the tenant's JSON Web Key Set.

        Raises:
            TokenServiceUnavailable: it cannot be fetched.
        """
        response = await self._send(self.http.build_request("GET", f"{self.host}/{self.tenant_id}/discovery/v2.0/keys"))
        if response.status_code != httpx.codes.OK:
            raise _error(response, redeeming_code=False)
        return _json_object(response)

    async def _post(self, url: str, form: Mapping[str, str], *, redeeming_code: bool = False) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        response = await self._send(self.http.build_request("POST", url, data=dict(form), headers=headers))
        if response.status_code != httpx.codes.OK:
            raise _error(response, redeeming_code=redeeming_code)
        return _json_object(response)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        # "from None": an exception of the HTTP client refers to the request, and the request holds secrets.
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                return await self.http.send(request, follow_redirects=False)
        except TimeoutError:
            raise _unavailable(f"did not respond within {REQUEST_TIMEOUT:.0f} s") from None
        except NETWORK_ERRORS as error:
            raise _unavailable(f"cannot be reached ({type(error).__name__})") from None


def _unavailable(problem: str) -> TokenServiceUnavailable:
    return TokenServiceUnavailable(f"Entra ID {problem}. The stored sign-in is kept and the request is retried.")


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json() if len(response.content) <= _RESPONSE_MAX_BYTES else None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise classify_oauth_error(response.status_code, None)
    return body


def _error(response: httpx.Response, *, redeeming_code: bool) -> SignInError:
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        body = None
    body = body if isinstance(body, dict) else {}
    error, codes = body.get("error"), body.get("error_codes")
    numbers = tuple(code for code in codes if isinstance(code, int)) if isinstance(codes, list) else ()
    return classify_oauth_error(
        response.status_code,
        error if is_oauth_error(error) else None,
        numbers or aadsts_numbers(str(body.get("error_description", ""))),
        redeeming_code=redeeming_code,
        retry_after=retry_after_seconds(response.headers.get("Retry-After"), time.time()),
    )


def _parse(model: type[_Model], body: dict[str, Any]) -> _Model:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        fields = ", ".join(str(problem["loc"][0]) for problem in error.errors(include_input=False) if problem["loc"])
        raise TokenServiceUnavailable(
            f"The response of Entra ID lacks required fields ({fields}). The request is retried."
        ) from None
