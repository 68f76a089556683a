"""What a text certainly is, by its form: a key, a token of a known service, a file.

A value that a person stored in the wrong place must not be sent to a service that it is not for. Only forms that no
other credential has are in the table: text that is not recognized can still be anything.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

__all__ = ["AUTHENTICATION_SCHEME", "CredentialKind", "credential_kind", "unwrapped"]


class CredentialKind(StrEnum):
    """What a text is, in words for messages."""

    ENTRA_TOKEN = "a code or a refresh token of Entra ID"  # noqa: S105 - a description
    CLIENT_SECRET = "a client secret of Entra ID"  # noqa: S105 - as above
    ACCESS_TOKEN = "a personal access token of Azure DevOps"  # noqa: S105 - as above
    GIT_TOKEN = "an access token of a Git service"  # noqa: S105 - as above
    KEY = "a key or a certificate"
    SSH_KEY = "a key of SSH"
    BOOTSTRAP_TOKEN = "a bootstrap token of a cluster"  # noqa: S105 - as above
    AWS_KEY = "an access key of AWS"
    OTHER_TOKEN = "an access token of another service"  # noqa: S105 - as above
    AZURE_KEY = "a key of Azure"
    CONNECTION_STRING = "a connection string"
    FILE = "a configuration file with credentials"
    JSON = "a JSON document"
    WEB_TOKEN = "a token (JSON Web Token)"  # noqa: S105 - as above
    ADDRESS = "an address"
    HEADER = "a header for authentication"


_FORMS: Final = (
    # Codes and refresh tokens of Entra ID begin with "0.A", "1.A" (work accounts) or "M." (personal accounts). That is
    # an observation too; codes of Azure DevOps are JWTs, which begin with "eyJ".
    (re.compile(r"[\w~.-]{3}\dQ~[\w~.-]{30,40}\Z"), CredentialKind.CLIENT_SECRET),
    (re.compile(r"\d\.A|M\."), CredentialKind.ENTRA_TOKEN),
    # In basic authentication with any user name, mostly an empty one.
    (re.compile(r"([^:\s]{0,64}:)?[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}\Z"), CredentialKind.ACCESS_TOKEN),
    (re.compile(r"([^:\s]{0,64}:)?[a-z0-9]{52}\Z"), CredentialKind.ACCESS_TOKEN),
    (re.compile(r"gh[pousr]_|github_pat_|glpat-"), CredentialKind.GIT_TOKEN),
    (re.compile(r"-----BEGIN|MII[A-Za-z0-9+/]"), CredentialKind.KEY),
    (re.compile(r"ssh-(rsa|ed25519|dss)|ecdsa-sha2-"), CredentialKind.SSH_KEY),
    (re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}\Z"), CredentialKind.BOOTSTRAP_TOKEN),
    (re.compile(r"(AKIA|ASIA)[A-Z0-9]{16}\Z"), CredentialKind.AWS_KEY),
    (re.compile(r"xox[a-z]-|npm_[A-Za-z0-9]{36}\Z|hvs\.|ya29\."), CredentialKind.OTHER_TOKEN),
    (re.compile(r"[A-Za-z0-9+/]{86}==\Z"), CredentialKind.AZURE_KEY),
    (
        re.compile(
            r"(DefaultEndpointsProtocol|AccountName|Endpoint|Server|Data ?Source|HostName)=[^;]*;", re.IGNORECASE
        ),
        CredentialKind.CONNECTION_STRING,
    ),
    (
        re.compile(r"apiVersion:|kind:|\{[^}]{0,99}\"(apiVersion|auths|private_key|clientSecret)\""),
        CredentialKind.FILE,
    ),
)
"""What a text is, by its beginning."""

AUTHENTICATION_SCHEME: Final = re.compile(
    r"\A(Authorization:\s*)?(Bearer|token|Basic)[ =:]*(?=[A-Za-z0-9])", re.IGNORECASE
)
"""A scheme before a token, also where the white space between both was removed."""

_WEB_TOKEN: Final = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.")
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_WRAPPINGS_MAX: Final = 6


def credential_kind(text: str) -> CredentialKind | None:
    """Return what a text certainly is, or None if it is not recognized. What wraps it counts too (see `unwrapped`)."""
    for content in unwrapped(text):
        for form, kind in _FORMS:
            if form.match(content):
                return kind
        if _WEB_TOKEN.match(content):
            return CredentialKind.WEB_TOKEN
        if _ADDRESS.match(content):
            return CredentialKind.ADDRESS
        if _is_json_document(content):
            return CredentialKind.JSON
    return None


def _is_json_document(text: str) -> bool:
    if not text.startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def unwrapped(text: str) -> Iterator[str]:
    """Yield a text, and what is in it without percent-encoding, authentication scheme and base64, up to some depth.

    A Secret's value that was encoded twice (`base64` before `stringData`) is the same token as the plain one.
    """
    for _ in range(_WRAPPINGS_MAX):
        yield text
        plain = unquote(text)
        scheme = AUTHENTICATION_SCHEME.match(plain)
        if scheme is not None and (plain[scheme.end() :].startswith("eyJ") or _decode_base64(plain[scheme.end() :])):
            plain = plain[scheme.end() :]
        if plain == text:
            decoded = _decode_base64(text)
            if decoded is None:
                return
            plain = decoded
        text = plain


def _decode_base64(text: str) -> str | None:
    """Return the text in base64, or None if it is none; a token itself is none because of its full stops."""
    if not _BASE64.fullmatch(text):
        return None
    try:
        decoded = base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_").decode()
    except ValueError:
        return None
    return decoded.strip() if decoded.replace("\n", "").replace("\r", "").isprintable() else None
