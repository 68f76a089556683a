"""Finds secrets where they must not be: whole or in part, plain, quoted, URL-encoded, in base64 or in hex."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

__all__ = ["encodings", "find_leaks"]

_PIECE = 24
"""Length of the pieces of a long secret to search for, as a truncated secret is a leak too."""

_RUN = re.compile(r"[\w+/=%.~-]{12,}")
_PREFIX = 8
"""A token's first characters are the same for all of its kind."""

_CONTEXT = 60
_UNNAMED = {
    "a token in the form of a JWT": re.compile(r"\beyJ[\w-]{12,}\.[\w-]{12,}"),
    "a private key": re.compile(r"PRIVATE KEY-----\s*[\w+/]{20,}"),
    "a signed address": re.compile(r"[?&](?:s|c|h|sig)=[\w%+/-]{20,}"),
}
"""Secrets that a test does not know the value of, by their form."""


def find_leaks(text: str, secrets: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the secrets in a text, each with the text around it.

    Args:
        text: the text to search.
        secrets: their values by name.
    """
    runs = "\n".join(sorted(set(_RUN.findall(text))))
    leaks = [
        f"{name}: {_context_of(text, needle)}"
        for name, values in secrets.items()
        for value in values
        for piece in _pieces(value)
        for needle in encodings(piece)
        if needle in (runs if _RUN.fullmatch(needle) else text)
    ]
    return leaks + [
        f"{name}: {_context_of(text, match[0])}" for name, shape in _UNNAMED.items() for match in shape.finditer(text)
    ]


def encodings(secret: str) -> set[str]:
    """Return all encodings in which a text may contain a secret."""
    raw = secret.encode()
    plain = {
        secret,
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
    }
    coded = {encoded for offset in range(3) for encoded in _base64(raw, offset)}
    return plain | coded | {raw.hex(), raw.hex().upper()}


def _pieces(secret: str) -> Iterator[str]:
    """Yield two inner pieces of a long secret, the whole of a short one."""
    if len(secret) < _PREFIX + 2 * _PIECE:
        yield secret
        return
    yield secret[_PREFIX : _PREFIX + _PIECE]
    middle = len(secret) // 2
    yield secret[middle : middle + _PIECE]


def _base64(raw: bytes, offset: int) -> Iterator[str]:
    """Yield the characters that depend on `raw` alone, where `offset` bytes of a longer value precede it."""
    begin, end = -(-offset * 8 // 6), (offset + len(raw)) * 8 // 6
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(bytes(offset) + raw).decode()[begin:end]


def _context_of(text: str, needle: str) -> str:
    at = text.find(needle)
    return text[max(0, at - _CONTEXT) : at + len(needle) + _CONTEXT].replace("\n", "⏎")
