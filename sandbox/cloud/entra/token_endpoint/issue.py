"""Tokens for a signed-in person: access token, refresh token, id_token."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from typing import Any

from sandbox.cloud.entra.scopes import Scopes
from sandbox.cloud.entra.sessions import RefreshToken, SignIn
from sandbox.cloud.entra.state import EntraState
from sandbox.cloud.entra.tokens import AccessToken
from sandbox.cloud.world.directory import Account, Application, Principal
from sandbox.cloud.world.world import World

__all__ = ["issue_tokens"]

_ID_TOKEN_SECONDS = 3600


def issue_tokens(
    state: EntraState,
    world: World,
    *,
    authority: str,
    account: Account,
    application: Application,
    sign_in: SignIn,
    scopes: Scopes,
    scope: str,
    nonce: str | None,
    confidential: bool,
    client_info: bool,
) -> dict[str, Any]:
    """Return the body of a successful response of the token endpoint.

    Args:
        state: stores the issued tokens.
        world: has the clock and the lifetime of access tokens.
        authority: base URL, for the issuer of the id_token.
        account: the signed-in account.
        application: the client.
        sign_in: time and method of the sign-in.
        scopes: requested scopes.
        scope: the same as text, stored with the refresh token.
        nonce: of the authorize request.
        confidential: whether the client was authenticated.
        client_info: whether the client requested `client_info`, as MSAL does.
    """
    wall, lifetime = world.clock.wall(), world.settings.access_token_lifetime
    name = account.user_principal_name
    principal = Principal(account.id, account.tenant_id, name, application.client_id, is_user=True)
    access = AccessToken(principal, scopes.resource, wall, wall + lifetime, frozenset(scopes.permissions))
    body: dict[str, Any] = {
        "token_type": "Bearer",
        "scope": scopes.granted,
        "expires_in": lifetime,
        "ext_expires_in": lifetime,
        "access_token": state.access_tokens.issue(access),
    }
    if scopes.offline:
        token = RefreshToken(sign_in, application.client_id, account.tenant_id, scope, wall, confidential)
        body["refresh_token"] = state.sessions.issue_refresh_token(token)
    if scopes.openid:
        claims = _id_claims(authority, account, application, nonce)
        if account.guest:
            home = world.directory.tenant(account.user_principal_name.rpartition("@")[2])
            claims["idp"] = "live.com" if home is None else f"https://sts.windows.net/{home.id}/"
        body["id_token"] = state.signing_key.sign(claims)
    if client_info:
        client = json.dumps({"uid": account.id, "utid": account.tenant_id}).encode()
        body["client_info"] = base64.urlsafe_b64encode(client).rstrip(b"=").decode()
    return body


def _id_claims(authority: str, account: Account, application: Application, nonce: str | None) -> dict[str, Any]:
    """Claims of an id_token. Its times are real time: clients compare them with their own clock."""
    issued = int(time.time())
    pairwise = hashlib.sha256(f"{account.id}/{application.client_id}".encode()).digest()
    claims = {
        "aud": application.client_id,
        "iss": f"{authority}/{account.tenant_id}/v2.0",
        "iat": issued,
        "nbf": issued,
        "exp": issued + _ID_TOKEN_SECONDS,
        "aio": secrets.token_urlsafe(48),
        "name": account.display_name,
        "oid": account.id,
        "preferred_username": account.user_principal_name,
        "email": account.user_principal_name,
        "rh": f"1.A{secrets.token_urlsafe(24)}.",
        "sub": base64.urlsafe_b64encode(pairwise).rstrip(b"=").decode(),
        "tid": account.tenant_id,
        "uti": secrets.token_urlsafe(16),
        "ver": "2.0",
    }
    return claims if nonce is None else {**claims, "nonce": nonce}
