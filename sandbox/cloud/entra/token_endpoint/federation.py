"""Workload identity federation: issuers whose tokens Entra accepts in place of a secret."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import jwt

from sandbox.cloud.entra.errors import EntraError
from sandbox.cloud.world.directory import Application, FederatedCredential
from sandbox.cloud.world.load import ANY_ISSUER

__all__ = ["Federation", "KeySource"]

_ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384"]
_LEEWAY_SECONDS = 300
_FETCH_SECONDS = 10.0


@dataclass(slots=True)
class KeySource:
    """Source of an issuer's public keys.

    Attributes:
        keys: the key set, configured or fetched.
        url: URL of the key set; fetched again if a token has a key id that is not in it.
        bearer_token: credential for the URL; kube-apiserver does not answer anonymous requests.
        bearer_token_file: the same in a file, read at each fetch because such tokens are renewed.
        ca_file: certificate authority of the URL.
    """

    issuer: str
    keys: dict[str, Any] | None = None
    url: str | None = None
    bearer_token: str | None = field(default=None, repr=False)
    bearer_token_file: Path | None = None
    ca_file: Path | None = None

    async def key(self, key_id: str | None) -> jwt.PyJWK | None:
        """Return the key with an id; None if the issuer has no such key.

        Raises:
            EntraError: the keys cannot be fetched.
        """
        key = _find(self.keys, key_id)
        if key is None and self.url is not None:
            self.keys = await self._fetch(self.url)
            key = _find(self.keys, key_id)
        return key

    async def _fetch(self, url: str) -> dict[str, Any]:
        token = self.bearer_token_file.read_text().strip() if self.bearer_token_file else self.bearer_token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        context = ssl.create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
        timeout = aiohttp.ClientTimeout(total=_FETCH_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.get(url, headers=headers, ssl=context) as answer,
            ):
                answer.raise_for_status()
                document: dict[str, Any] = json.loads(await answer.read())
                return document
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            message = f"Fetching the signing keys of issuer '{self.issuer}' failed: {type(error).__name__} {error}."
            raise EntraError("invalid_request", 50166, message) from error


def _find(document: dict[str, Any] | None, key_id: str | None) -> jwt.PyJWK | None:
    for key in (document or {}).get("keys", []):
        if key_id is None or key.get("kid") == key_id:
            return jwt.PyJWK(key, algorithm=key.get("alg") or ("RS256" if key.get("kty") == "RSA" else "ES256"))
    return None


class Federation:
    """The registered issuers, and the check of an assertion against an application's federated credentials."""

    def __init__(self) -> None:
        self._sources: dict[str, KeySource] = {}

    def register(self, source: KeySource) -> None:
        """Register an issuer; replaces an earlier registration."""
        self._sources[source.issuer] = source

    def issuers(self) -> list[str]:
        """Return the registered issuers."""
        return list(self._sources)

    async def check(self, application: Application, assertion: str) -> None:
        """Accept an external token as proof of the application's identity.

        External issuers use real time, so expiry is checked against real time, not the simulated clock.

        Raises:
            EntraError: no matching federated credential, or the token is invalid.
        """
        header, claims = _peek(assertion)
        issuer = str(claims.get("iss", ""))
        credential = self._match(application, issuer, claims)
        source = self._sources.get(issuer)
        key = None if source is None else await source.key(header.get("kid"))
        if key is None:
            raise _refused(700027, "Client assertion failed signature validation: the signing key was not found.")
        try:
            jwt.decode(
                assertion,
                key,
                algorithms=_ALGORITHMS,
                audience=credential.audience,
                issuer=issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "sub", "aud"]},
            )
        except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as error:
            message = "Client assertion is not within its valid time range. Review the assertion's expiry."
            raise _refused(700024, message) from error
        except jwt.PyJWTError as error:
            raise _refused(700027, f"Client assertion failed signature validation: {error}.") from error

    def _match(self, application: Application, issuer: str, claims: dict[str, Any]) -> FederatedCredential:
        template = (
            "No matching federated identity record found for presented assertion {} '{}'. Please check your federated "
        )
        template += "identity credential Subject, Audience and Issuer against the presented assertion."
        # Narrowed by issuer, audience and subject in turn, because each has an error of its own.
        candidates = application.federated_credentials
        if not candidates:
            raise _refused(
                70025, f"The client '{application.client_id}' has no configured federated identity credentials."
            )
        candidates = [
            candidate
            for candidate in candidates
            if candidate.issuer == issuer or (candidate.issuer == ANY_ISSUER and issuer in self._sources)
        ]
        if not candidates:
            raise _refused(700211, template.format("issuer", issuer))
        audiences = claims.get("aud", [])
        audiences = audiences if isinstance(audiences, list) else [audiences]
        candidates = [candidate for candidate in candidates if candidate.audience in audiences]
        if not candidates:
            raise _refused(700212, template.format("audience", ", ".join(map(str, audiences))))
        subject = str(claims.get("sub", ""))
        matching = next((candidate for candidate in candidates if candidate.subject == subject), None)
        if matching is None:
            raise _refused(700213, template.format("subject", subject))
        return matching


def _refused(code: int, message: str) -> EntraError:
    return EntraError("invalid_client", code, message, status=401)


def _peek(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a token without verification.

    Raises:
        EntraError: not a JWT.
    """
    try:
        unverified = jwt.decode_complete(assertion, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise EntraError("invalid_request", 50027, f"JWT token is invalid or malformed: {error}.") from error
    return unverified["header"], unverified["payload"]
