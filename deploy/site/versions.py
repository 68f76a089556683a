"""The versions of the site: the newest patch of each minor version, by the tags, and what is checked out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.release.programs import run
from deploy.release.version import ReleaseError, Version

__all__ = ["DEVELOPMENT", "Pages", "latest", "list_of_versions", "pages_of_tags", "released_versions"]

DEVELOPMENT = "dev"
"""Folder of the pages that no release has yet."""


@dataclass(frozen=True)
class Pages:
    """The pages of one version.

    Attributes:
        folder: its folder in the site, such as 0.2: links to it stay right when a patch is released.
        title: what the selector shows, such as 0.2.3.
        tag: the tag in git; None for what is checked out.
    """

    folder: str
    title: str
    tag: str | None


def released_versions(tags: Iterable[str]) -> list[Pages]:
    """Return the released versions of these tags, the newest first. Candidates and other tags are left out."""
    newest: dict[tuple[int, int], tuple[int, str]] = {}
    for tag in tags:
        try:
            version = Version.parse(tag.removeprefix("v"))
        except ReleaseError:
            continue
        if tag.startswith("v") and version.candidate is None:
            major, minor, patch = map(int, version.release.split("."))
            newest[major, minor] = max(newest.get((major, minor), (-1, "")), (patch, tag))
    return [
        Pages(f"{major}.{minor}", tag.removeprefix("v"), tag)
        for (major, minor), (_, tag) in sorted(newest.items(), reverse=True)
    ]


def pages_of_tags(root: Path) -> list[Pages]:
    """Return the released versions of a clone that have pages, the newest first.

    Raises:
        ReleaseError: the folder is not a clone.
    """
    tags = run("git", "tag", "--list", "v*", cwd=root).split()
    return [pages for pages in released_versions(tags) if _has_pages(root, pages)]


def _has_pages(root: Path, pages: Pages) -> bool:
    return bool(run("git", "ls-tree", "--name-only", str(pages.tag), "mkdocs.yml", cwd=root).strip())


def latest(versions: Sequence[Pages]) -> Pages:
    """Return the newest release of versions that are sorted; what is checked out as long as there is no release."""
    return next((pages for pages in versions if pages.tag), versions[0])


def list_of_versions(versions: Sequence[Pages]) -> list[dict[str, object]]:
    """Return the list that the theme's selector reads (versions.json, in the format of mike)."""
    newest = latest(versions)
    return [
        {"version": pages.folder, "title": pages.title, "aliases": ["latest"] if pages == newest else []}
        for pages in versions
    ]
