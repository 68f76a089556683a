"""Tokens of service accounts, by the API server's TokenRequest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import SecretStr

from defender_devops.cluster.client import KubernetesClient, path

__all__ = ["ServiceAccounts"]

_LIFETIME: Final = timedelta(hours=1)
_USED_UP: Final = 0.8


class ServiceAccounts:
    """Asks for tokens and keeps each until 80 % of its life is gone. Methods raise KubernetesError."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client
        self._tokens: dict[tuple[str, str, str], tuple[SecretStr, datetime]] = {}

    async def token(self, namespace: str, name: str, audience: str) -> SecretStr:
        """A token of a service account for an audience."""
        key, now = (namespace, name, audience), datetime.now(UTC)
        known = self._tokens.get(key)
        if known is not None and now < known[1]:
            return known[0]
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": int(_LIFETIME.total_seconds())},
        }
        made = await self._client.create(path("v1", "serviceaccounts", namespace, name, "token"), body)
        token = SecretStr(made["status"]["token"])
        ends = datetime.fromisoformat(made["status"]["expirationTimestamp"])
        self._tokens[key] = (token, now + (ends - now) * _USED_UP)
        return token
