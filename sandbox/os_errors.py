"""Errors of the operating system, for people."""

from __future__ import annotations

__all__ = ["describe_os_error"]


def describe_os_error(error: OSError) -> str:
    """Return the reason of a failed file operation with its path, as one line: `Read-only file system: /x/env`."""
    path = error.filename2 or error.filename
    return f"{error.strerror or error}{f': {path}' if path else ''}"
