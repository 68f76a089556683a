"""Tokens of service accounts, by the API server's TokenRequest."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import SecretStr

from defender_devops.cluster.client import Body, KubernetesClient, path

__all__ = ["ServiceAccounts"]

_LIFETIME: Final = 3600
"""Seconds that a token is asked for; the server may give it another life (at least 10 minutes)."""

_USED_UP: Final = 0.8
"""The part of its life after which a token is replaced, as the kubelet does with a pod's own."""


@dataclass(frozen=True, slots=True)
class _Token:
    value: SecretStr
    renew_at: float


class ServiceAccounts:
    """Asks for tokens and keeps each until 80 % of its life is gone. Methods raise KubernetesError."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client
        self._tokens: dict[tuple[str, str, str], _Token] = {}
        self._locks: defaultdict[tuple[str, str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def token(self, namespace: str, name: str, audience: str) -> SecretStr:
        """A token of a service account for an audience. Whoever asks at the same time shares one request."""
        key = (namespace, name, audience)
        async with self._locks[key]:
            known = self._tokens.get(key)
            if known is None or asyncio.get_running_loop().time() >= known.renew_at:
                known = self._tokens[key] = await self._request(namespace, name, audience)
            return known.value

    async def _request(self, namespace: str, name: str, audience: str) -> _Token:
        asked_at = asyncio.get_running_loop().time()
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": _LIFETIME},
        }
        made = await self._client.create(path("v1", "serviceaccounts", namespace, name, "token"), body)
        return _Token(SecretStr(made["status"]["token"]), asked_at + _life(made) * _USED_UP)


def _life(made: Body) -> float:
    """Seconds that a token lives.

    By the server's own two times where it says both (`creationTimestamp` is when it was made), so that a clock of ours
    that is wrong does no harm.
    """
    ends = datetime.fromisoformat(made["status"]["expirationTimestamp"])
    began = made["metadata"].get("creationTimestamp")
    return (ends - (datetime.fromisoformat(began) if began else datetime.now(UTC))).total_seconds()
