"""The address of Entra ID: AZURE_AUTHORITY_HOST, read the same way for the sign-in and for azure-identity.

By itself azure-identity reads the variable as it is: with the line feed or byte order mark of a file that it came from,
and an address that it rejects only when the first token is requested.
"""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import urlsplit

from defender_devops.credentials.text import credential_text

__all__ = ["DEFAULT_AUTHORITY_HOST", "VARIABLE", "authority_host", "parse_authority_host"]

VARIABLE: Final = "AZURE_AUTHORITY_HOST"
DEFAULT_AUTHORITY_HOST: Final = "https://login.microsoftonline.com"

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def authority_host() -> str:
    """Return the address of the environment, without a slash at its end.

    Raises:
        ValueError: the variable is not the address of an authority.
    """
    return parse_authority_host(os.environ.get(VARIABLE, ""))


def parse_authority_host(value: str) -> str:
    """Return an address without a slash at its end; a bare host name becomes an https address, nothing the default.

    Raises:
        ValueError: it is not the address of an authority, or not https. The message does not repeat it.
    """
    text = credential_text(value).get_secret_value()
    if not text:
        return DEFAULT_AUTHORITY_HOST
    address = text if "://" in text else f"https://{text}"
    parts = urlsplit(address)
    # Reading the port checks it.
    has_more = parts.username is not None or parts.query or parts.fragment or parts.port == 0
    if has_more or not parts.hostname or parts.path.strip("/"):
        raise ValueError(f"must be the address of Entra ID without a path, such as {DEFAULT_AUTHORITY_HOST}")
    if parts.scheme.lower() != "https" and parts.hostname not in _LOOPBACK:
        raise ValueError("must be https: credentials that are sent over plain http can be read on their way")
    return address.rstrip("/")
