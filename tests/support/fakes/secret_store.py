"""Secrets of a cluster in memory, with the API server's rules for resourceVersion, and faults on request."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pydantic import SecretBytes

from defender_devops.errors import KubernetesConflict, KubernetesError, KubernetesNotFound
from defender_devops.signin.ports import StoredSecret


@dataclass
class MemorySecrets:
    """Fulfils `SecretStore`.

    Attributes:
        failures: raised by the next writes, one each; None lets one succeed.
        before_write: called once before the next write, to simulate a concurrent one.
        writes: every write that succeeded, in order.
    """

    stored: dict[tuple[str, str], StoredSecret] = field(default_factory=dict)
    failures: list[KubernetesError | None] = field(default_factory=list)
    read_failure: KubernetesError | None = None
    before_write: Callable[[StoredSecret], None] | None = None
    writes: list[StoredSecret] = field(default_factory=list)
    _versions: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def read(self, namespace: str, name: str) -> StoredSecret | None:
        if self.read_failure:
            raise self.read_failure
        return self.stored.get((namespace, name))

    async def create(self, secret: StoredSecret) -> StoredSecret:
        self._intervene(secret)
        if (secret.namespace, secret.name) in self.stored:
            raise KubernetesConflict("exists", status=409)
        return self.put(secret)

    async def replace(self, secret: StoredSecret) -> StoredSecret:
        self._intervene(secret)
        current = self.stored.get((secret.namespace, secret.name))
        if current is None:
            raise KubernetesNotFound("gone", status=404)
        if current.resource_version != secret.resource_version:
            raise KubernetesConflict("changed", status=409)
        return self.put(secret)

    def put(self, secret: StoredSecret) -> StoredSecret:
        """Write without a check of the version, as another client does."""
        stored = replace(secret, resource_version=str(next(self._versions)))
        self.stored[secret.namespace, secret.name] = stored
        self.writes.append(stored)
        return stored

    def add(self, namespace: str, name: str, type_: str = "Opaque", **data: str) -> StoredSecret:
        """Add a Secret that a user wrote; `_` in a key becomes `-`."""
        values = {key.replace("_", "-"): SecretBytes(value.encode()) for key, value in data.items()}
        return self.put(StoredSecret(namespace, name, type_, data=values))

    def text(self, namespace: str, name: str, key: str) -> str | None:
        """Return a stored value as text; None where there is no such key."""
        value = self.stored[namespace, name].data.get(key)
        return value.get_secret_value().decode() if value else None

    def _intervene(self, secret: StoredSecret) -> None:
        hook, self.before_write = self.before_write, None
        if hook:
            hook(secret)
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
