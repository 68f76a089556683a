"""Defender's one-time code, handed over by a person: recognized before it is spent, and kept until it is taken.

Only Defender can redeem it, and it works once. A code of another kind would be wasted, and worse, would make Defender
report a failed exchange; so what can be told from its shape is told here.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from dataclasses import replace as changed
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.signin.tokens.record import TokenRecord, fingerprint
from defender_devops.signin.tokens.token_store import TokenStore

__all__ = ["DefenderCodes", "NotACode", "read_code", "sent_codes"]

LONGEST: Final = 16 * 1024
_PARTS: Final = 3
_ENTRA_CODE: Final = re.compile(r"(\d\.A|M\.)")
_PART: Final = re.compile(r"[A-Za-z0-9_-]+")


class NotACode(ValueError):
    """What was handed over is no code that Defender could redeem; the message says what it is instead."""


def read_code(pasted: SecretStr) -> SecretStr:
    """The code in what a person pasted: the code itself, or the whole address that the browser ended at.

    Raises:
        NotACode: there is none in it, or one of another service.
    """
    text = "".join(pasted.get_secret_value().split())
    if not text:
        raise NotACode("Nothing was pasted.")
    if len(text) > LONGEST:
        raise NotACode("What was pasted is far too long for a code.")
    code = _in_address(text) if "://" in text[:12] else text
    _check_shape(code)
    return SecretStr(code)


def _in_address(address: str) -> str:
    try:
        parts = urlsplit(address)
        given = dict(parse_qsl(parts.query) + parse_qsl(parts.fragment))
    except ValueError:
        raise NotACode("What was pasted looks like an address, but is none.") from None
    if "code" in given:
        return given["code"]
    if "error" in given:
        raise NotACode("The address holds a refusal instead of a code: authorize again and press Accept.")
    raise NotACode("The address holds no code: paste the one at which the browser ended after Accept.")


def _check_shape(code: str) -> None:
    """A code of Azure DevOps' own OAuth service is a signed JWT of three parts."""
    if _ENTRA_CODE.match(code):
        raise NotACode(
            "This is a code of Entra ID, not of Defender's own authorization dialog. Defender could not redeem it, so "
            "it was not sent. Get one from the dialog in the Defender portal."
        )
    parts = code.split(".")
    if len(parts) != _PARTS or not all(_PART.fullmatch(part) for part in parts):
        raise NotACode(
            "This is not a code of Defender's authorization dialog (three parts with full stops between them). It was "
            "not sent. Was it cut off when it was copied?"
        )
    if not isinstance(_json(parts[0]), dict) or not isinstance(_json(parts[1]), dict):
        raise NotACode("This looks like a code, but its content cannot be read. Was it cut off when it was copied?")


def _json(part: str) -> object:
    try:
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None


def sent_codes(connector: AzureDevOpsConnector) -> frozenset[str]:
    """Hashes of the codes that were sent; each is written down before it is."""
    status = connector.status.authorization
    return frozenset({status.code_hash or "", *status.spent_code_hashes}) if status else frozenset()


@dataclass(frozen=True)
class DefenderCodes:
    """Codes that people pasted on the page, each in its connector's token Secret until the operator has taken it."""

    store: TokenStore

    async def put(self, connector: AzureDevOpsConnector, code: SecretStr) -> None:
        """Keep a code; one that was not taken yet is replaced.

        Raises:
            OperatorError: it cannot be stored.
        """
        await self.store.change(connector, lambda record: changed(record, defender_code=code))

    async def get(self, connector: AzureDevOpsConnector) -> SecretStr | None:
        """The code that waits to be taken. One that the status calls sent is removed: it is worth nothing any more.

        Raises:
            OperatorError: the Secret cannot be read, or not be written.
        """
        code = (await self.store.read(connector)).defender_code
        if code is None or fingerprint(code) not in sent_codes(connector):
            return code
        await self.discard(connector, fingerprint(code))
        return None

    async def discard(self, connector: AzureDevOpsConnector, sha256: str) -> None:
        """Remove a code that was sent, if it still is that one.

        Raises:
            OperatorError: the Secret cannot be written.
        """

        def without(record: TokenRecord) -> TokenRecord | None:
            if record.defender_code is None or fingerprint(record.defender_code) != sha256:
                return None
            return changed(record, defender_code=None)

        await self.store.change(connector, without)
