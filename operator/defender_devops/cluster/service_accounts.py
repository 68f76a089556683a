"""Tokens of service accounts, issued by the API server (TokenRequest)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import SecretStr

from defender_devops.cluster.client import KubernetesClient, api_path
from defender_devops.errors import KubernetesUnavailable

__all__ = ["ServiceAccounts"]

_LIFETIME: Final = 3600
"""Requested lifetime in seconds; the server may choose another one (at least 10 minutes)."""

_REFRESH_THRESHOLD: Final = 0.8
"""Fraction of its lifetime after which a token is replaced, as the kubelet does with projected tokens."""


@dataclass(frozen=True, slots=True)
class _Token:
    value: SecretStr
    renew_at: float


class ServiceAccounts:
    """Requests tokens and caches each until 80 % of its lifetime has passed. Methods raise KubernetesError."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client
        self._tokens: dict[tuple[str, str, str], _Token] = {}
        self._locks: defaultdict[tuple[str, str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def token(self, namespace: str, name: str, audience: str) -> SecretStr:
        """Return a token of a service account for an audience. Concurrent callers share one request."""
        key = (namespace, name, audience)
        async with self._locks[key]:
            cached = self._tokens.get(key)
            if cached is None or asyncio.get_running_loop().time() >= cached.renew_at:
                cached = self._tokens[key] = await self._request(namespace, name, audience)
            return cached.value

    async def _request(self, namespace: str, name: str, audience: str) -> _Token:
        requested_at = asyncio.get_running_loop().time()
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": _LIFETIME},
        }
        response = await self._client.create(api_path("v1", "serviceaccounts", namespace, name, "token"), body)
        try:
            value, expires_at = response["status"]["token"], _time(response["status"]["expirationTimestamp"])
            # Both times are the server's where it sends them, so that a wrong local clock does not matter.
            created = (response.get("metadata") or {}).get("creationTimestamp")
            lifetime = expires_at - (_time(created) if created else datetime.now(UTC))
            token = SecretStr(_text(value))
        except (KeyError, TypeError, AttributeError, ValueError):
            # From None: the message of the exception could contain the token.
            raise KubernetesUnavailable(
                "The response of the Kubernetes API server to a TokenRequest has no token."
            ) from None
        renew_at = requested_at + lifetime.total_seconds() * _REFRESH_THRESHOLD
        return _Token(token, renew_at)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("there is no token")
    return value


def _time(value: str) -> datetime:
    return datetime.fromisoformat(value)
