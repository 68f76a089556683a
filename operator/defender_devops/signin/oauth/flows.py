"""The grants of the token endpoint, each as one request. `tokens.refresh` and the pages decide what follows."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from pydantic import SecretStr

from defender_devops.signin.oauth.authority import APP_SCOPE, SCOPE, Authority, DeviceCode, TokenResponse
from defender_devops.signin.oauth.client_authentication import Client

__all__ = [
    "AuthorizationRequest",
    "authorization_url",
    "poll_device_code",
    "redeem_code",
    "redeem_refresh_token",
    "request_app_token",
]

RESPONSE_MODE: Final = "form_post"
"""The code comes back in a form instead of the address, so that no proxy log or browser history records it."""


@dataclass(frozen=True)
class AuthorizationRequest:
    """The secrets of one sign-in in a browser, kept in that browser's sealed cookie.

    Attributes:
        state: binds the authorization response to this browser and connector.
        nonce: binds the id_token to this request.
        verifier: PKCE (RFC 7636): without it, an intercepted code cannot be redeemed.
    """

    state: SecretStr
    nonce: SecretStr
    verifier: SecretStr

    @classmethod
    def create(cls) -> AuthorizationRequest:
        """Return new random values."""
        return cls(*(SecretStr(secrets.token_urlsafe(size)) for size in (32, 32, 64)))

    @property
    def challenge(self) -> str:
        """PKCE code challenge (S256) of the verifier."""
        digest = hashlib.sha256(self.verifier.get_secret_value().encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def authorization_url(
    authority: Authority, client_id: str, redirect_uri: str, request: AuthorizationRequest, account: str | None
) -> str:
    """Return the address to redirect the browser to.

    The account is only a hint for Entra ID; the account that comes back in the id_token is verified.
    """
    query = {
        "client_id": client_id,
        "response_type": "code",
        "redirect_uri": redirect_uri,
        "response_mode": RESPONSE_MODE,
        "scope": SCOPE,
        "state": request.state.get_secret_value(),
        "nonce": request.nonce.get_secret_value(),
        "code_challenge": request.challenge,
        "code_challenge_method": "S256",
        "prompt": "select_account",
    }
    return f"{authority.authorize_endpoint}?{urlencode(query | ({'login_hint': account} if account else {}))}"


async def redeem_code(
    authority: Authority, client: Client, code: SecretStr, redirect_uri: str, verifier: SecretStr
) -> TokenResponse:
    """Redeem an authorization code.

    Raises:
        CodeRejected: the code was used, has expired, or belongs to another sign-in.
        SignInError: any other error.
    """
    form = client.fields(authority.token_endpoint) | {
        "grant_type": "authorization_code",
        "code": code.get_secret_value(),
        "redirect_uri": redirect_uri,
        "code_verifier": verifier.get_secret_value(),
        "scope": SCOPE,
    }
    return await authority.token(form, redeeming_code=True)


async def poll_device_code(authority: Authority, client: Client, code: DeviceCode) -> TokenResponse:
    """Ask Entra ID once whether the person has finished.

    Raises:
        DevicePending: not yet.
        CodeRejected: declined, expired or unknown.
        SignInError: any other error.
    """
    form = client.fields(authority.token_endpoint) | {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": code.device_code.get_secret_value(),
    }
    return await authority.token(form)


async def request_app_token(authority: Authority, client: Client) -> TokenResponse:
    """Request a token for the app itself (client credentials).

    Raises:
        SignInError: Entra ID rejects the app.
    """
    return await authority.token(
        client.fields(authority.token_endpoint) | {"grant_type": "client_credentials", "scope": APP_SCOPE}
    )


async def redeem_refresh_token(
    authority: Authority, client: Client, token: SecretStr, claims: str | None = None
) -> TokenResponse:
    """Redeem a refresh token for an access token and a new refresh token.

    Args:
        authority: the tenant.
        client: the app that the token was issued to.
        token: the refresh token.
        claims: a claims challenge of Azure DevOps (continuous access evaluation) to answer.

    Raises:
        SignInError: Entra ID rejects the request.
    """
    form = client.fields(authority.token_endpoint) | {
        "grant_type": "refresh_token",
        "refresh_token": token.get_secret_value(),
        "scope": SCOPE,
    }
    return await authority.token(form | ({"claims": claims} if claims else {}))
