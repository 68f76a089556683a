"""Credentials from outside - environment, files, Secrets - made the text that their issuer created.

`echo` adds a line feed, editors on Windows add a byte order mark and carriage returns, and copying from a web page adds
invisible characters. Entra ID rejects all of these as a wrong secret, which sends people to the wrong place.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from pydantic import SecretBytes, SecretStr

from defender_devops.credentials.kinds import CredentialKind, credential_kind

__all__ = [
    "InvalidCredential",
    "check_credential_secret_type",
    "client_secret_text",
    "credential_text",
    "refresh_token_text",
]

_TYPES_OF_OTHER_SERVICES: Final = ("kubernetes.io/", "bootstrap.kubernetes.io/", "helm.sh/")
_BASIC_AUTH: Final = "kubernetes.io/basic-auth"
"""A user name and a password, so it can hold the id and the secret of an application."""

_CLIENT_SECRET_MAX: Final = 256
"""Characters. Entra ID creates secrets of 16 to 64 characters (Microsoft Graph, passwordCredential.secretText)."""

_AMBIGUOUS_MAX: Final = 64
"""Up to this length, an old client secret can by chance begin as a refresh token of Entra ID does."""

_REFRESH_TOKEN_MAX: Final = 16 * 1024
"""Characters; the refresh tokens of Entra ID have up to a few thousand."""

_EXAMINED_MAX: Final = 64 * 1024
"""Characters; a Secret holds up to a MiB, and to examine all of it would take the operator's time."""

_STORE_SECRET: Final = "store the value of a client secret of the application"  # noqa: S105 - an instruction
_STORE_TOKEN: Final = "store a refresh token of Entra ID"  # noqa: S105 - an instruction
_BYTE_ORDER_MARK: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"


class InvalidCredential(ValueError):
    """A credential contains a character that none has; the message names the character, never the value."""


def check_credential_secret_type(secret_type: str) -> None:
    """Check that a Secret of this type can hold a credential for Entra ID, before it is sent there.

    Whoever may write a connector may not be allowed to read the Secrets that it names, and names the application and
    the tenant too: tokens of service accounts, keys and registry passwords must not leave the cluster because of that.

    Raises:
        InvalidCredential: it holds what its type says.
    """
    if secret_type.startswith(_TYPES_OF_OTHER_SERVICES) and secret_type != _BASIC_AUTH:
        raise InvalidCredential(
            f"the Secret has the type {secret_type}, which does not hold a credential for Entra ID, so its content was "
            "not sent: use a Secret of type Opaque"
        )


def client_secret_text(value: SecretBytes | SecretStr) -> SecretStr:
    """Return the client secret of an Entra application, which is about to be sent to Entra ID.

    Raises:
        InvalidCredential: it is certainly something else, which must not leave the cluster.
    """
    content = _content(value)
    kind = _examined_kind(content)
    is_ambiguous = kind is CredentialKind.ENTRA_TOKEN and len(content) <= _AMBIGUOUS_MAX
    if kind not in {None, CredentialKind.CLIENT_SECRET} and not is_ambiguous:
        raise InvalidCredential(f"it is {kind}, so it was not sent: {_STORE_SECRET}")
    if len(content) > _CLIENT_SECRET_MAX:
        raise InvalidCredential(
            f"it is longer than any client secret ({_CLIENT_SECRET_MAX} characters), so it was not sent: "
            f"{_STORE_SECRET}"
        )
    return credential_text(content)


def refresh_token_text(value: SecretBytes | SecretStr) -> SecretStr:
    """Return a refresh token that a person has stored, which is about to be sent to Entra ID.

    Raises:
        InvalidCredential: it is certainly something else, which must not leave the cluster.
    """
    content = _content(value)
    kind = _examined_kind(content)
    if kind not in {None, CredentialKind.ENTRA_TOKEN}:
        raise InvalidCredential(f"it is {kind}, so it was not sent: {_STORE_TOKEN}")
    if len(content) > _REFRESH_TOKEN_MAX:
        raise InvalidCredential(
            f"it is longer than any refresh token ({_REFRESH_TOKEN_MAX} characters), so it was not sent: {_STORE_TOKEN}"
        )
    return credential_text(content)


def credential_text(value: SecretBytes | SecretStr | bytes | str) -> SecretStr:
    """Return a credential without byte order mark and without white space around it.

    Args:
        value: the credential as it was found; empty afterwards where there is none.

    Raises:
        InvalidCredential: it is not UTF-8, or what remains is not printable.
    """
    text = _content(value)
    if not text.isprintable():
        position, character = next(item for item in enumerate(text, start=1) if not item[1].isprintable())
        name = unicodedata.name(character, "a control character")
        raise InvalidCredential(
            f"character {position} of {len(text)} is U+{ord(character):04X} ({name.lower()}), which no credential "
            "contains: copy the value again, as plain text"
        )
    return SecretStr(text)


def _examined_kind(content: str) -> CredentialKind | None:
    """Return what a text certainly is. One that is too long for any credential is rejected for its length anyway."""
    return credential_kind(content) if len(content) <= _EXAMINED_MAX else None


def _content(value: SecretBytes | SecretStr | bytes | str) -> str:
    """Return a credential as text, without byte order mark and without white space around it.

    Raises:
        InvalidCredential: it is not UTF-8.
    """
    content = value.get_secret_value() if isinstance(value, SecretBytes | SecretStr) else value
    if isinstance(content, bytes):
        try:
            content = content.decode("utf-8")
        except UnicodeDecodeError:
            # From None: the exception holds the value.
            raise InvalidCredential("it is not text in UTF-8: store it again as plain text") from None
    return content.lstrip(_BYTE_ORDER_MARK).strip().strip(_BYTE_ORDER_MARK).strip()
