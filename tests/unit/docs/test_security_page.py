"""The tests that the security page names for each actor exist, so that the table cannot rot."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ACTORS = (
    "`view` in the namespace",
    "`edit` in the namespace",
    "write Secrets in the namespace",
    "patch the status",
    "change code or pipelines",
    "recommendations with chosen names",
    "`edit` in another namespace",
    "tags of the connector in Azure",
    "operator's settings",
    "DevOpsOrganizations",
    "network",
    "defaults",
)


def rows() -> list[list[str]]:
    section = PAGE.partition("## What each actor can reach")[2].partition("\n## ")[0]
    return [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")][1:]


def test_every_actor_has_what_it_reaches_what_stops_it_and_a_test() -> None:
    table = rows()
    assert len(table) == len(ACTORS)
    for actor, row in zip(ACTORS, table, strict=True):
        assert actor in row[0]
        assert all(cell.strip() for cell in row)
        assert "`tests/" in row[3]


def test_the_named_tests_exist() -> None:
    for row in rows():
        for part in re.split(r"(?=`tests/)", row[3])[1:]:
            path, *names = re.findall(r"`([^`]+)`", part)
            source = (ROOT / path).read_text(encoding="utf-8")
            for name in names:
                assert f"def {name}(" in source, f"{path} has no {name}"
