"""The token Secret of a connector: found, created and changed, always with a resourceVersion precondition.

Only a Secret of our type whose owner is that very connector is ever read or written here. So a connector that names
another connector's token Secret, or any other Secret, gets an error and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from dataclasses import replace as changed
from typing import Final

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.model import OwnerReference
from defender_devops.api.names import (
    API_VERSION,
    CONNECTOR,
    FIELD_MANAGER,
    LABEL_CONNECTOR,
    TOKEN_SECRET_TYPE,
)
from defender_devops.errors import KubernetesConflict, KubernetesNotFound
from defender_devops.signin.oauth.errors import OAuthAppMisconfigured
from defender_devops.signin.ports import SecretStore, StoredSecret
from defender_devops.signin.tokens.record import TokenRecord

__all__ = ["TokenStore"]

_ATTEMPTS: Final = 8
"""Writes that may be overtaken before one is given up; two replicas and a person make no more."""

_REMEMBERED: Final = 4096
"""Own writes that are remembered: two for each renewal, and a watch lags behind by seconds at most."""

Change = Callable[[TokenRecord], TokenRecord | None]
"""Gives the record to be written, or None to leave it as it is. It may be called again with a newer record."""


@dataclass(frozen=True)
class TokenStore:
    """Token Secrets of all connectors.

    Attributes:
        secrets: the cluster's Secrets.
        written: resourceVersions that we wrote lately, to know our own changes when the watch reports them.
    """

    secrets: SecretStore
    written: deque[tuple[str, str, str]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    async def read(self, connector: AzureDevOpsConnector) -> TokenRecord:
        """The connector's record; an empty one where there is no Secret yet.

        Raises:
            OAuthAppMisconfigured: the Secret of that name is not this connector's token Secret.
            KubernetesError: it cannot be read.
        """
        secret = await self._find(connector)
        return TokenRecord.decode(secret.data) if secret else TokenRecord()

    async def change(self, connector: AzureDevOpsConnector, change: Change) -> TokenRecord:
        """Read, change and write the record as one step: a write of somebody else in between starts it over.

        Returns:
            The record as it now stands.

        Raises:
            OAuthAppMisconfigured: as `read`.
            KubernetesError: it cannot be read or written; KubernetesConflict after many overtaken writes.
        """
        for attempt in range(_ATTEMPTS):
            secret = await self._find(connector)
            before = TokenRecord.decode(secret.data) if secret else TokenRecord()
            after = change(before)
            if after is None or after == before:
                return before
            try:
                await self._write(connector, secret, after)
            except (KubernetesConflict, KubernetesNotFound):
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                return after
        raise AssertionError("the last attempt returns or raises")

    def is_own_write(self, namespace: str, name: str, resource_version: str) -> bool:
        """Whether it was us who made this resourceVersion of a Secret."""
        return (namespace, name, resource_version) in self.written

    def last_written(self, connector: AzureDevOpsConnector) -> str | None:
        """The resourceVersion of our latest write of a connector's Secret, as far as it is remembered."""
        wanted = (connector.metadata.namespace, connector.token_secret_name)
        return next((version for *secret, version in reversed(self.written) if tuple(secret) == wanted), None)

    async def _find(self, connector: AzureDevOpsConnector) -> StoredSecret | None:
        name = connector.token_secret_name
        secret = await self.secrets.read(connector.metadata.namespace, name)
        if secret and not _belongs_to(secret, connector):
            raise OAuthAppMisconfigured(
                f"The Secret {name} exists and is not this connector's token Secret, so it is left alone. "
                "Choose another spec.signIn.tokenSecretName, or delete that Secret."
            )
        return secret

    async def _write(self, connector: AzureDevOpsConnector, secret: StoredSecret | None, record: TokenRecord) -> None:
        if secret:
            stored = await self.secrets.replace(changed(secret, data=record.encode()))
        else:
            stored = await self.secrets.create(changed(_new_secret(connector), data=record.encode()))
        self.written.append((stored.namespace, stored.name, stored.resource_version))


def _belongs_to(secret: StoredSecret, connector: AzureDevOpsConnector) -> bool:
    uids = {owner.uid for owner in secret.owners}
    return secret.type == TOKEN_SECRET_TYPE and connector.metadata.uid in uids


def _new_secret(connector: AzureDevOpsConnector) -> StoredSecret:
    metadata = connector.metadata
    owner = OwnerReference(
        api_version=API_VERSION, kind=CONNECTOR.kind, name=metadata.name, uid=metadata.uid, controller=True
    )
    return StoredSecret(
        namespace=metadata.namespace,
        name=connector.token_secret_name,
        type=TOKEN_SECRET_TYPE,
        labels={"app.kubernetes.io/managed-by": FIELD_MANAGER, LABEL_CONNECTOR: metadata.name},
        owners=(owner,),
    )
