"""Credentials from outside - environment, files, Secrets - made the text that their issuer created.

`echo` adds a line feed, editors on Windows add a byte order mark and carriage returns, and copying from a web page adds
invisible characters. Entra ID rejects all of these as a wrong secret, which sends people to the wrong place.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from pydantic import SecretBytes, SecretStr

__all__ = ["InvalidCredential", "credential_text"]

_BYTE_ORDER_MARK: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"


class InvalidCredential(ValueError):
    """A credential contains a character that none has; the message names the character, never the value."""


def credential_text(value: SecretBytes | SecretStr | bytes | str) -> SecretStr:
    """Return a credential without byte order mark and without white space around it.

    Args:
        value: the credential as it was found; empty afterwards where there is none.

    Raises:
        InvalidCredential: it is not UTF-8, or what remains is not printable.
    """
    content = value.get_secret_value() if isinstance(value, SecretBytes | SecretStr) else value
    if isinstance(content, bytes):
        try:
            content = content.decode("utf-8")
        except UnicodeDecodeError:
            # From None: the exception holds the value.
            raise InvalidCredential("it is not text in UTF-8: store it again as plain text") from None
    text = content.lstrip(_BYTE_ORDER_MARK).strip().strip(_BYTE_ORDER_MARK).strip()
    for position, character in enumerate(text, start=1):
        if not character.isprintable():
            name = unicodedata.name(character, "a control character")
            raise InvalidCredential(
                f"character {position} of {len(text)} is U+{ord(character):04X} ({name.lower()}), which no credential "
                "contains: copy the value again, as plain text"
            )
    return SecretStr(text)
