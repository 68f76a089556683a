"""Finds secrets where they must not be: whole or in part, plain, quoted, URL-encoded, in base64 or in hex."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

__all__ = ["encodings", "find_leaks"]

_PIECE = 24
"""Characters of a long secret that are searched for: whoever cuts a secret short still shows a piece of it."""

_RUN = re.compile(r"[\w+/=%.~-]{12,}")
_PREFIX = 8
"""A token's first characters are the same for all of its kind."""

_AROUND = 60
_UNNAMED = {
    "a token in the form of a JWT": re.compile(r"\beyJ[\w-]{12,}\.[\w-]{12,}"),
    "a private key": re.compile(r"PRIVATE KEY-----\s*[\w+/]{20,}"),
    "a signed address": re.compile(r"[?&](?:s|c|h|sig)=[\w%+/-]{20,}"),
}
"""What nobody planted, and gives itself away by its shape."""


def find_leaks(text: str, secrets: Mapping[str, Iterable[str]]) -> list[str]:
    """Secrets that stand in a text, each with where.

    Args:
        text: where to search.
        secrets: values by what they are.
    """
    runs = "\n".join(sorted(set(_RUN.findall(text))))
    leaks = [
        f"{what}: {_where(text, needle)}"
        for what, values in secrets.items()
        for value in values
        for piece in _pieces(value)
        for needle in encodings(piece)
        if needle in (runs if _RUN.fullmatch(needle) else text)
    ]
    return leaks + [
        f"{what}: {_where(text, match[0])}" for what, shape in _UNNAMED.items() for match in shape.finditer(text)
    ]


def encodings(secret: str) -> set[str]:
    """All that a text may make of a secret."""
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
    """Of a long one two pieces from its inside, of a short one the whole."""
    if len(secret) < _PREFIX + 2 * _PIECE:
        yield secret
        return
    yield secret[_PREFIX : _PREFIX + _PIECE]
    middle = len(secret) // 2
    yield secret[middle : middle + _PIECE]


def _base64(raw: bytes, offset: int) -> Iterator[str]:
    """The characters that depend on `raw` alone, where it begins at any byte of a longer value."""
    begin, end = -(-offset * 8 // 6), (offset + len(raw)) * 8 // 6
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(bytes(offset) + raw).decode()[begin:end]


def _where(text: str, needle: str) -> str:
    at = text.find(needle)
    return text[max(0, at - _AROUND) : at + len(needle) + _AROUND].replace("\n", "⏎")
