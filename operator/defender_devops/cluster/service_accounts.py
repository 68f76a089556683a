"""Tokens of service accounts, issued by the API server (TokenRequest)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import SecretStr

from defender_devops.cluster.client import KubernetesClient, api_path

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
        expires_at = datetime.fromisoformat(response["status"]["expirationTimestamp"])
        # Both times are the server's where it sends them, so that a wrong local clock does not matter.
        created = response["metadata"].get("creationTimestamp")
        lifetime = expires_at - (datetime.fromisoformat(created) if created else datetime.now(UTC))
        renew_at = requested_at + lifetime.total_seconds() * _REFRESH_THRESHOLD
        return _Token(SecretStr(response["status"]["token"]), renew_at)
