"""The changelog: a closed version, notes, and entries for catalogues."""

from __future__ import annotations

import datetime as dt

import pytest

from deploy.release.changelog import Entry, close_version, entries, section
from deploy.release.version import ReleaseError, Version
from tests.support.chart.helm import ROOT

TEXT = """\
# Changelog

For users.

## Unreleased

### Added

- A `field` of [the connector](docs/x.md)
  in two lines.
- Another one.

### Security

- A secret is no longer logged.

## 0.1.0 - 2026-01-01

### Added

- The first version.
"""
DATE = dt.date(2026, 12, 24)


def test_a_version_gets_what_was_unreleased() -> None:
    closed = close_version(TEXT, Version.parse("0.2.0"), DATE)
    assert closed == TEXT.replace("## Unreleased\n", "## Unreleased\n\n## 0.2.0 - 2026-12-24\n")
    assert section(closed, "Unreleased") == "\n"
    assert section(closed, Version.parse("0.2.0")) == section(TEXT, "Unreleased")
    assert section(closed, Version.parse("0.1.0")) == "### Added\n\n- The first version.\n"


def test_nothing_is_released_twice() -> None:
    closed = close_version(TEXT, Version.parse("0.2.0"), DATE)
    with pytest.raises(ReleaseError, match="nothing to release"):
        close_version(closed, Version.parse("0.3.0"), DATE)
    with pytest.raises(ReleaseError, match=r"section 0\.1\.0 already"):
        close_version(TEXT, Version.parse("0.1.0"), DATE)


def test_a_candidate_is_another_version_than_its_release() -> None:
    candidate = TEXT.replace("## 0.1.0 ", "## 0.2.0-rc.1 ")
    assert "## 0.2.0 - " in close_version(candidate, Version.parse("0.2.0"), DATE)
    with pytest.raises(ReleaseError, match=r"no section 0\.2\.0"):
        section(candidate, Version.parse("0.2.0"))
    with pytest.raises(ReleaseError, match=r"no section 0\.1\.1"):
        section(TEXT, Version.parse("0.1.1"))


def test_entries_are_plain_lines_of_their_kind() -> None:
    assert entries(section(TEXT, "Unreleased")) == [
        Entry("added", "A field of the connector in two lines."),
        Entry("added", "Another one."),
        Entry("security", "A secret is no longer logged."),
    ]


def test_a_heading_of_another_kind_is_refused() -> None:
    with pytest.raises(ReleaseError, match="'Improved'; use one of Added"):
        entries("### Improved\n\n- Everything.\n")


def test_the_changelog_of_the_repository_can_be_released() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    closed = close_version(text, Version.parse("99.0.0"), DATE)
    lines = section(text, "Unreleased").count("\n- ") + section(text, "Unreleased").startswith("- ")
    assert len(entries(section(closed, Version.parse("99.0.0")))) == lines
