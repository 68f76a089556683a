"""Reads and writes connectors' token Secrets, always with a resourceVersion precondition.

Only a Secret of the operator's own type that is owned by that very connector is ever read or written here. A connector
that names another connector's token Secret, or any other Secret, gets an error and nothing of its content.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import SecretStr

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.names import (
    API_VERSION,
    CONNECTOR,
    FIELD_MANAGER,
    LABEL_CONNECTOR,
    TOKEN_SECRET_TYPE,
)
from defender_devops.api.schema.model import OwnerReference
from defender_devops.errors import KubernetesConflict, KubernetesNotFound
from defender_devops.signin.oauth.errors import OAuthAppMisconfigured
from defender_devops.signin.ports import SecretStore, StoredSecret
from defender_devops.signin.tokens.record import TokenRecord

__all__ = ["TokenStore"]

_WRITE_ATTEMPTS: Final = 8
"""Conflicting writes before `change` gives up; two replicas and a person cause fewer."""

_REMEMBERED_WRITES: Final = 4096
"""Own writes that are remembered: two for each refresh, and a watch lags behind by seconds at most."""

Change = Callable[[TokenRecord], TokenRecord | None]
"""Returns the record to be written, or None to leave it as it is. It may be called again with a newer record."""


@dataclass(frozen=True)
class TokenStore:
    """Token Secrets of all connectors; also the `authorization_code.pasted_codes.CodeStore`.

    Attributes:
        secrets: the cluster's Secrets.
        own_writes: namespace, name and resourceVersion of our latest writes, to recognize them when the watch reports
            them.
    """

    secrets: SecretStore
    own_writes: deque[tuple[str, str, str]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_WRITES))

    async def read(self, connector: AzureDevOpsConnector) -> TokenRecord:
        """Return the connector's record; an empty one if there is no Secret yet.

        Raises:
            OAuthAppMisconfigured: the Secret of that name is not this connector's token Secret.
            KubernetesError: it cannot be read.
        """
        secret = await self._read_secret(connector)
        return TokenRecord.decode(secret.data) if secret else TokenRecord()

    async def change(self, connector: AzureDevOpsConnector, change: Change) -> TokenRecord:
        """Read, change and write the record as one step; after a conflicting write it starts over.

        Returns:
            The record as it is stored now.

        Raises:
            OAuthAppMisconfigured: as `read`.
            KubernetesError: it cannot be read or written; KubernetesConflict after too many conflicting writes.
        """
        for attempt in range(_WRITE_ATTEMPTS):
            secret = await self._read_secret(connector)
            stored_record = TokenRecord.decode(secret.data) if secret else TokenRecord()
            new_record = change(stored_record)
            if new_record is None or new_record == stored_record:
                return stored_record
            try:
                if secret:
                    secret = await self.secrets.replace(replace(secret, data=new_record.encode()))
                else:
                    secret = await self.secrets.create(replace(_new_secret(connector), data=new_record.encode()))
            except (KubernetesConflict, KubernetesNotFound):
                if attempt == _WRITE_ATTEMPTS - 1:
                    raise
            else:
                self.own_writes.append((secret.namespace, secret.name, secret.resource_version))
                return new_record
        raise AssertionError("the last attempt returns or raises")

    async def read_code(self, connector: AzureDevOpsConnector) -> SecretStr | None:
        """Return Defender's one-time code that was pasted for a connector; raises as `read`."""
        return (await self.read(connector)).defender_code

    async def change_code(
        self, connector: AzureDevOpsConnector, change: Callable[[SecretStr | None], SecretStr | None]
    ) -> None:
        """Replace that code by what `change` returns for it; raises as `change`."""
        await self.change(connector, lambda record: replace(record, defender_code=change(record.defender_code)))

    def is_own_write(self, namespace: str, name: str, resource_version: str) -> bool:
        """Whether this resourceVersion of a Secret was written by us."""
        return (namespace, name, resource_version) in self.own_writes

    def last_written(self, connector: AzureDevOpsConnector) -> str | None:
        """Return the resourceVersion of our latest write of a connector's Secret, as far as it is remembered."""
        key = (connector.metadata.namespace, connector.token_secret_name)
        return next((version for *secret, version in reversed(self.own_writes) if tuple(secret) == key), None)

    async def _read_secret(self, connector: AzureDevOpsConnector) -> StoredSecret | None:
        name = connector.token_secret_name
        secret = await self.secrets.read(connector.metadata.namespace, name)
        if secret is None:
            return None
        owner_uids = {owner.uid for owner in secret.owners}
        if secret.type != TOKEN_SECRET_TYPE or connector.metadata.uid not in owner_uids:
            raise OAuthAppMisconfigured(
                f"The Secret {name} exists and is not this connector's token Secret, so it is neither read nor "
                "changed. Choose another spec.signIn.tokenSecretName, or delete that Secret."
            )
        return secret


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
