"""Entra ID's v2.0 endpoints of one tenant, and the only place that calls them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from defender_devops.http_client import NETWORK_ERRORS
from defender_devops.signin.oauth.errors import SignInError, TokenServiceUnavailable, classify

__all__ = ["SCOPE", "Authority", "DeviceCode", "TokenResponse", "numbers_in"]

AZURE_DEVOPS_RESOURCE: Final = "499b84ac-1321-427f-aa17-267ca6975798"
"""Application id of Azure DevOps in every tenant."""

SCOPE: Final = f"{AZURE_DEVOPS_RESOURCE}/.default offline_access openid profile"
"""What a person is asked to consent to: the app's own Azure DevOps permissions, and a refresh token."""

APP_SCOPE: Final = f"{AZURE_DEVOPS_RESOURCE}/.default"
"""What a service principal asks for: client credentials know no refresh token and no person."""

REQUEST_TIMEOUT: Final = 30.0
"""Seconds for one call, from connecting to the last byte. The claim on a refresh token lives longer than that."""

_Model = TypeVar("_Model", bound=BaseModel)
_AADSTS: Final = re.compile(r"AADSTS(\d{5,8})")
_ANSWER_LIMIT: Final = 1 << 20  # bytes; Entra's answers are a few kilobytes


class TokenResponse(BaseModel):
    """What the token endpoint grants (RFC 6749, section 5.1, and OpenID Connect)."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    access_token: SecretStr
    expires_in: float
    refresh_token: SecretStr | None = None
    id_token: SecretStr | None = None


class DeviceCode(BaseModel):
    """What the device endpoint grants (RFC 8628, section 3.2).

    The user code is for the person's eyes; the device code is a secret of ours.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    device_code: SecretStr
    user_code: str
    verification_uri: str
    expires_in: float
    interval: float = 5.0


def numbers_in(description: str) -> tuple[int, ...]:
    """AADSTS numbers in an error description, in their order."""
    return tuple(int(number) for number in _AADSTS.findall(description))


@dataclass(frozen=True)
class Authority:
    """Entra ID as seen by one tenant.

    Args:
        http: shared client; it must not follow redirects nor keep cookies.
        host: `https://login.microsoftonline.com`, or what AZURE_AUTHORITY_HOST says, without a slash at the end.
        tenant_id: GUID of the tenant.
    """

    http: httpx.AsyncClient
    host: str
    tenant_id: str

    @property
    def authorize_endpoint(self) -> str:
        """Where a browser is sent to sign in."""
        return f"{self.host}/{self.tenant_id}/oauth2/v2.0/authorize"

    @property
    def token_endpoint(self) -> str:
        """Where grants become tokens; also the audience of client assertions."""
        return f"{self.host}/{self.tenant_id}/oauth2/v2.0/token"

    @property
    def issuer(self) -> str:
        """What `iss` of the tenant's id_tokens must be."""
        return f"{self.host}/{self.tenant_id}/v2.0"

    async def token(self, form: Mapping[str, str], *, redeeming_code: bool = False) -> TokenResponse:
        """Ask the token endpoint.

        Raises:
            SignInError: the class that `signin.errors` gives to the refusal.
        """
        body = await self._post(self.token_endpoint, form, redeeming_code=redeeming_code)
        return _parse(TokenResponse, body)

    async def device_code(self, client_id: str) -> DeviceCode:
        """Start a device code flow.

        Raises:
            SignInError: as `token`.
        """
        url = f"{self.host}/{self.tenant_id}/oauth2/v2.0/devicecode"
        return _parse(DeviceCode, await self._post(url, {"client_id": client_id, "scope": SCOPE}))

    async def signing_keys(self) -> dict[str, Any]:
        """The tenant's JSON Web Key Set.

        Raises:
            TokenServiceUnavailable: it is not to be had.
        """
        response = await self._send(self.http.build_request("GET", f"{self.host}/{self.tenant_id}/discovery/v2.0/keys"))
        if response.status_code != httpx.codes.OK:
            raise _refusal(response, redeeming_code=False)
        return _object(response)

    async def _post(self, url: str, form: Mapping[str, str], *, redeeming_code: bool = False) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        response = await self._send(self.http.build_request("POST", url, data=dict(form), headers=headers))
        if response.status_code != httpx.codes.OK:
            raise _refusal(response, redeeming_code=redeeming_code)
        return _object(response)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        # Neither error keeps its cause: an exception of the HTTP client holds the request, and that holds secrets.
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                return await self.http.send(request, follow_redirects=False)
        except TimeoutError:
            raise _unreachable(f"gave no answer within {REQUEST_TIMEOUT:.0f} s") from None
        except NETWORK_ERRORS as error:
            raise _unreachable(f"cannot be reached ({type(error).__name__})") from None


def _unreachable(what: str) -> TokenServiceUnavailable:
    return TokenServiceUnavailable(f"Entra ID {what}. Nothing is lost; it is tried again.")


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json() if len(response.content) <= _ANSWER_LIMIT else None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise classify(response.status_code, None)
    return body


def _refusal(response: httpx.Response, *, redeeming_code: bool) -> SignInError:
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        body = None
    body = body if isinstance(body, dict) else {}
    error, codes = body.get("error"), body.get("error_codes")
    numbers = tuple(code for code in codes if isinstance(code, int)) if isinstance(codes, list) else ()
    return classify(
        response.status_code,
        error if isinstance(error, str) else None,
        numbers or numbers_in(str(body.get("error_description", ""))),
        redeeming_code=redeeming_code,
        retry_after=_seconds(response.headers.get("Retry-After")),
    )


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.isascii() and header.isdecimal() else None


def _parse(model: type[_Model], body: dict[str, Any]) -> _Model:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        fields = ", ".join(str(problem["loc"][0]) for problem in error.errors(include_input=False) if problem["loc"])
        raise TokenServiceUnavailable(
            f"The answer of Entra ID lacks what a token answer must have ({fields}). It is tried again."
        ) from None
