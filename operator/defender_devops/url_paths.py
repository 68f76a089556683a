"""Paths of URLs, made of names that are not trusted to be safe in them."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

__all__ = ["url_path"]

_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~/-]*")
"""A path whose segments are the same when they are percent-encoded (RFC 3986, section 2.3)."""


def url_path(*segments: str) -> str:
    """Return an absolute path; each segment is percent-encoded, so that a name cannot contain a path of its own."""
    path = "/".join(segments)
    # True of nearly every path, and in a sixth of the time of the encoding.
    if path.count("/") == len(segments) - 1 and _UNRESERVED.fullmatch(path):
        return "/" + path
    return "/" + "/".join(quote(segment, safe="") for segment in segments)
