"""A small Entra ID for unit tests: rotates refresh tokens, signs id_tokens, and fails on request."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

TENANT = "11111111-1111-1111-1111-111111111111"
CLIENT_ID = "55555555-5555-5555-5555-555555555555"
ACCOUNT = "mdc-devops-connector@contoso.com"
OBJECT_ID = "99999999-9999-9999-9999-999999999999"


@cache
def signing_key(name: str = "key-1") -> rsa.RSAPrivateKey:
    """Return the RSA key of that name; cached, as generating one takes 0.1 s."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class TokenError:
    """An error response of the token endpoint."""

    status: int = 400
    error: str | None = "invalid_grant"
    number: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None

    def response(self) -> web.Response:
        if self.body is not None:
            return web.Response(status=self.status, text=self.body, content_type="text/html", headers=self.headers)
        body = {"error": self.error, "error_description": f"AADSTS{self.number}: no.", "error_codes": [self.number]}
        return web.json_response(body, status=self.status, headers=self.headers)


@dataclass
class FakeEntra:
    """The state of the service.

    Attributes:
        token_errors: responses to the next token requests, one each; None lets one succeed.
        uses: number of requests with each refresh token.
        forms: the form of every token request.
        refresh_tokens: those that the service accepts.
    """

    clock: Callable[[], datetime]
    account: str = ACCOUNT
    tenant: str = TENANT
    object_id: str = OBJECT_ID
    expires_in: int = 3600
    with_id_token: bool = True
    token_errors: list[TokenError | None] = field(default_factory=list)
    always: TokenError | None = None
    uses: Counter[str] = field(default_factory=Counter)
    forms: list[dict[str, str]] = field(default_factory=list)
    refresh_tokens: set[str] = field(default_factory=lambda: {"refresh-0"})
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    key_id: str = "key-1"
    device_interval: int = 5
    url: str = ""
    keys_fail: bool = False
    issued: int = 0
    on_token: Callable[[dict[str, str]], Any] | None = None

    @property
    def issuer(self) -> str:
        return f"{self.url}/{self.tenant}/v2.0"

    def id_token(self, nonce: str | None = None, **changes: object) -> str:
        now = int(self.clock().timestamp())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "tid": self.tenant,
            "oid": self.object_id,
            "preferred_username": self.account,
            "nonce": nonce,
            **changes,
        }
        headers = {"kid": self.key_id}
        claims = {key: value for key, value in claims.items() if value is not None}
        return jwt.encode(claims, signing_key(self.key_id), algorithm="RS256", headers=headers)

    def issue_code(self, verifier_challenge: str, nonce: str, redirect_uri: str) -> str:
        code = f"1.Acode-{len(self.codes)}"
        self.codes[code] = {"challenge": verifier_challenge, "nonce": nonce, "redirect_uri": redirect_uri}
        return code

    async def token(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.forms.append(form)
        if form.get("grant_type") == "refresh_token":
            self.uses[form["refresh_token"]] += 1
        if self.on_token:
            await self.on_token(form)
        refusal = self.token_errors.pop(0) if self.token_errors else self.always
        if refusal:
            return refusal.response()
        return self._grant(form)

    def _grant(self, form: dict[str, str]) -> web.Response:
        match form["grant_type"]:
            case "client_credentials":
                return web.json_response({"access_token": f"access-{self._next()}", "expires_in": self.expires_in})
            case "refresh_token":
                if form["refresh_token"] not in self.refresh_tokens:
                    return TokenError(number=70000).response()
                return self._tokens()
            case "authorization_code":
                return self._redeem(form)
            case _:
                return self._tokens()

    def _redeem(self, form: dict[str, str]) -> web.Response:
        code = self.codes.pop(form["code"], None)
        if code is None:
            return TokenError(number=54005).response()
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != code["challenge"]:
            return TokenError(number=501481).response()
        if form["redirect_uri"] != code["redirect_uri"]:
            return TokenError(number=50011, error="invalid_request").response()
        return self._tokens(code["nonce"])

    def _tokens(self, nonce: str | None = None) -> web.Response:
        number = self._next()
        self.refresh_tokens.add(f"refresh-{number}")
        body = {"access_token": f"access-{number}", "expires_in": self.expires_in, "refresh_token": f"refresh-{number}"}
        return web.json_response(body | ({"id_token": self.id_token(nonce)} if self.with_id_token else {}))

    def _next(self) -> int:
        self.issued += 1
        return self.issued

    async def device_code(self, request: web.Request) -> web.Response:
        if self.always:
            return self.always.response()
        return web.json_response(
            {
                "device_code": "device-secret",
                "user_code": "ABCD-EFGH",
                "expires_in": 900,
                "verification_uri": "https://microsoft.com/devicelogin",
                "interval": self.device_interval,
            }
        )

    async def keys(self, request: web.Request) -> web.Response:
        if self.keys_fail:
            return web.Response(status=503)
        public = json.loads(RSAAlgorithm.to_jwk(signing_key(self.key_id).public_key()))
        return web.json_response({"keys": [{**public, "kid": self.key_id}]})


@asynccontextmanager
async def serve_entra(entra: FakeEntra) -> AsyncIterator[FakeEntra]:
    """Serve it on a free port of the loopback interface."""
    app = web.Application()
    app.router.add_post("/{tenant}/oauth2/v2.0/token", entra.token)
    app.router.add_post("/{tenant}/oauth2/v2.0/devicecode", entra.device_code)
    app.router.add_get("/{tenant}/discovery/v2.0/keys", entra.keys)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    entra.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield entra
    finally:
        await runner.cleanup()
