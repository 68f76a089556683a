"""Codes that people pasted on a connector's page, kept until the operator has sent them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.authorization_code.used_codes import used_code_hashes
from defender_devops.hashes import sha256_hex

__all__ = ["CodeStore", "PastedCodes"]


class CodeStore(Protocol):
    """Where a connector's pasted code is stored: in its token Secret (`signin.tokens.token_store`)."""

    async def read_code(self, connector: AzureDevOpsConnector) -> SecretStr | None:
        """Return the stored code.

        Raises:
            OperatorError: the Secret cannot be read.
        """
        ...

    async def change_code(
        self, connector: AzureDevOpsConnector, change: Callable[[SecretStr | None], SecretStr | None]
    ) -> None:
        """Replace the stored code by what `change` makes of it; it may be called again after a conflicting write.

        Raises:
            OperatorError: the Secret cannot be read or written.
        """
        ...

    def last_written(self, connector: AzureDevOpsConnector) -> str | None:
        """Return the resourceVersion of our latest write of the connector's Secret, as far as it is remembered."""
        ...


@dataclass(frozen=True)
class PastedCodes:
    """At most one code for each connector: a new one replaces one that was not sent yet."""

    store: CodeStore

    async def put(self, connector: AzureDevOpsConnector, code: SecretStr) -> None:
        """Store a code.

        Raises:
            OperatorError: it cannot be stored.
        """
        await self.store.change_code(connector, lambda _: code)

    async def get(self, connector: AzureDevOpsConnector) -> SecretStr | None:
        """Return the code that waits to be sent. One that was used already is removed: nobody can redeem it again.

        Raises:
            OperatorError: the Secret cannot be read or written.
        """
        code = await self.store.read_code(connector)
        if code is None or sha256_hex(code) not in used_code_hashes(connector.status.authorization):
            return code
        await self.discard(connector, sha256_hex(code))
        return None

    async def discard(self, connector: AzureDevOpsConnector, sha256: str) -> None:
        """Remove the code with this hash, unless another one has replaced it.

        Raises:
            OperatorError: the Secret cannot be written.
        """
        await self.store.change_code(
            connector, lambda stored: None if stored is not None and sha256_hex(stored) == sha256 else stored
        )
