"""CHANGELOG.md: closing a version, its release notes, and its entries for catalogues."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from deploy.release.version import ReleaseError, Version

__all__ = ["Entry", "close_version", "entries", "section"]

_UNRELEASED = "Unreleased"
_KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""The headings of Keep a Changelog, which are also the kinds of Artifact Hub."""


@dataclass(frozen=True)
class Entry:
    """One line of the changelog.

    Attributes:
        kind: added, changed, deprecated, removed, fixed or security.
        text: plain text, in one line.
    """

    kind: str
    text: str


def close_version(changelog: str, version: Version, date: dt.date) -> str:
    """Return the changelog with what was unreleased under the version, and an empty section for what comes next.

    Raises:
        ReleaseError: nothing is unreleased, or the version has a section.
    """
    if not entries(section(changelog, _UNRELEASED)):
        raise ReleaseError("CHANGELOG.md has no entry under Unreleased: there is nothing to release")
    if re.search(rf"^## {re.escape(str(version))}\b(?!-)", changelog, re.MULTILINE):
        raise ReleaseError(f"CHANGELOG.md has a section {version} already: choose another version")
    heading = f"## {_UNRELEASED}\n"
    return changelog.replace(heading, f"{heading}\n## {version} - {date.isoformat()}\n", 1)


def section(changelog: str, version: Version | str) -> str:
    """Return the text below the heading of a version, or of Unreleased.

    Raises:
        ReleaseError: there is no such section.
    """
    match = re.search(
        rf"^## {re.escape(str(version))}(?: - \d{{4}}-\d\d-\d\d)?\n(.*?)(?=^## |\Z)",
        changelog,
        re.MULTILINE | re.DOTALL,
    )
    if match is None:
        raise ReleaseError(f"CHANGELOG.md has no section {version}: `python -m deploy.release bump {version}` adds it")
    return match[1].strip() + "\n"


def entries(text: str) -> list[Entry]:
    """Return the entries of a section.

    Raises:
        ReleaseError: a heading is not one of Keep a Changelog.
    """
    result: list[Entry] = []
    for heading, body in re.findall(r"^### ([^\n]+)\n(.*?)(?=^### |\Z)", text, re.MULTILINE | re.DOTALL):
        if heading not in _KINDS:
            raise ReleaseError(f"CHANGELOG.md has the heading {heading!r}; use one of {', '.join(_KINDS)}")
        lines = re.findall(r"^- (.*?)(?=^- |\Z)", body, re.MULTILINE | re.DOTALL)
        result += [Entry(heading.lower(), _plain(line)) for line in lines]
    return result


def _plain(markdown: str) -> str:
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", " ".join(markdown.split()))
    return text.replace("`", "")
