"""The four ways to a token, each as one exchange with Entra ID. What is done with the tokens is decided elsewhere."""

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
    "authorization_address",
    "poll_device_code",
    "redeem_code",
    "refresh",
    "request_app_token",
]

RESPONSE_MODE: Final = "form_post"
"""The code comes back in a form, not in the address, so that no proxy or browser history keeps it."""


@dataclass(frozen=True)
class AuthorizationRequest:
    """What one sign-in in a browser hangs on; it lives in that browser's sealed cookie.

    Attributes:
        state: ties the answer to this browser and connector.
        nonce: ties the id_token to it.
        verifier: PKCE (RFC 7636): whoever catches the code cannot redeem it without.
    """

    state: SecretStr
    nonce: SecretStr
    verifier: SecretStr

    @classmethod
    def make(cls) -> AuthorizationRequest:
        """Fresh random values."""
        return cls(*(SecretStr(secrets.token_urlsafe(size)) for size in (32, 32, 64)))

    @property
    def challenge(self) -> str:
        """PKCE's S256 of the verifier."""
        digest = hashlib.sha256(self.verifier.get_secret_value().encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def authorization_address(
    authority: Authority, client_id: str, redirect_uri: str, request: AuthorizationRequest, account: str | None
) -> str:
    """Where to send the browser. The account is a hint to Entra ID only; what comes back is checked."""
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
    """Exchange an authorization code.

    Raises:
        CodeSpent: the code is used, too old, or of another sign-in.
        SignInError: any other refusal.
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
    """Ask once whether the person has finished.

    Raises:
        DevicePending: not yet.
        CodeSpent: declined, expired or unknown.
        SignInError: any other refusal.
    """
    form = client.fields(authority.token_endpoint) | {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": code.device_code.get_secret_value(),
    }
    return await authority.token(form)


async def request_app_token(authority: Authority, client: Client) -> TokenResponse:
    """A token for the app itself (client credentials).

    Raises:
        SignInError: Entra ID refuses the app.
    """
    return await authority.token(
        client.fields(authority.token_endpoint) | {"grant_type": "client_credentials", "scope": APP_SCOPE}
    )


async def refresh(authority: Authority, client: Client, token: SecretStr, claims: str | None = None) -> TokenResponse:
    """Exchange a refresh token for an access token and its own successor.

    Args:
        authority: the tenant.
        client: the app that the token was issued to.
        token: the refresh token.
        claims: what Azure DevOps asked for in a claims challenge (continuous access evaluation).

    Raises:
        SignInError: Entra ID refuses.
    """
    form = client.fields(authority.token_endpoint) | {
        "grant_type": "refresh_token",
        "refresh_token": token.get_secret_value(),
        "scope": SCOPE,
    }
    return await authority.token(form | ({"claims": claims} if claims else {}))
