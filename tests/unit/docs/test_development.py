"""The pages for developers name files that exist and what these contain, and the indexes list every page."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from defender_devops.cluster.lease import LeaseTimes

ROOT = Path(__file__).parents[3]
DECISIONS = ROOT / "docs/decisions"
PAGES = (
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs/development").glob("*.md")),
    *sorted(DECISIONS.glob("*.md")),
)
TOP_LEVEL = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} | {".github", ".ci"}
SOURCES = {".py", ".yaml", ".tpl", ".md", ".html"}
HEADINGS = ["Context", "Decision", "Alternatives", "Consequences"]

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
every_decision = pytest.mark.parametrize(
    "page", [page for page in sorted(DECISIONS.glob("*.md")) if page.name != "index.md"], ids=lambda path: path.stem
)


def paths(text: str) -> set[str]:
    """Code spans that are paths below the repository's root."""
    spans = re.findall(r"`([\w./-]+)`", text)
    return {span for span in spans if ("/" in span or "." in span) and span.split("/")[0] in TOP_LEVEL}


@every_page
def test_every_path_on_the_page_exists(page: Path) -> None:
    assert [path for path in sorted(paths(page.read_text())) if not (ROOT / path).exists()] == []


@every_page
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@every_page
def test_every_make_target_on_the_page_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", page.read_text())) <= targets


def test_the_page_where_to_change_what_names_enough_files() -> None:
    text = (ROOT / "docs/development/where-to-change.md").read_text()
    sections = text.split("\n## ")[1:]
    assert len(sections) >= 12
    for section in sections:
        assert len(paths(section)) >= 3, section.splitlines()[0]


def steps(page: Path) -> list[str]:
    """The numbered steps, table rows and paragraphs of a page, without its headings and blocks of code."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return re.split(r"\n(?=\d+\. |- | *\||\n)", lines)


@cache
def identifiers(path: Path) -> frozenset[str]:
    """The identifiers in a file, or in all files of a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.suffix in SOURCES]
    return frozenset(name for file in files for name in re.findall(r"[A-Za-z_]\w*", file.read_text()))


def test_the_page_where_to_change_what_names_what_its_files_contain() -> None:
    for step in steps(ROOT / "docs/development/where-to-change.md"):
        names = set(re.findall(r"`([A-Za-z_]\w*)`", step))
        files = paths(step)
        if names and files:
            defined = frozenset[str]().union(*(identifiers(ROOT / path) for path in files))
            assert sorted(names - defined) == [], step


def test_the_architecture_lists_every_module_and_package_of_the_operator() -> None:
    text = (ROOT / "docs/development/architecture.md").read_text()
    for path in (ROOT / "operator/defender_devops").iterdir():
        if not path.name.startswith("__") and (path.is_dir() or path.suffix == ".py"):
            name = f"{path.name}/" if path.is_dir() else path.name
            assert f"`{name}`" in text, name


def test_the_page_about_debugging_has_the_times_of_the_lease() -> None:
    text = (ROOT / "docs/development/debugging.md").read_text()
    times = LeaseTimes()
    assert (times.deadline, times.duration) == (7, 10)
    assert "seven seconds after the last renewal" in text
    assert "about ten seconds later" in text


def test_the_index_of_decisions_lists_every_page_with_its_date_status_and_title() -> None:
    index = (DECISIONS / "index.md").read_text()
    rows = re.findall(r"^\| (\d{4}-\d\d-\d\d) \| \[(.+)\]\((.+)\) \| (.+) \|$", index, re.MULTILINE)
    pages = {page.name for page in DECISIONS.glob("*.md")} - {"index.md"}
    assert {name for _, _, name, _ in rows} == pages
    for date, title, name, status in rows:
        text = (DECISIONS / name).read_text()
        assert text.startswith(f"# {title}\n\n- Date: {date}\n- Status: {status}\n"), name


@every_decision
def test_a_decision_has_its_context_alternatives_and_consequences(page: Path) -> None:
    assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) == HEADINGS


def test_the_site_lists_every_page_for_developers() -> None:
    navigation = yaml.safe_dump(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    for page in (ROOT / "docs/development").glob("*.md"):
        assert f"development/{page.name}" in navigation


def test_every_owner_rule_matches_something() -> None:
    rules = [line.split()[0] for line in (ROOT / ".github/CODEOWNERS").read_text().splitlines() if line[:1] in "/*"]
    assert [rule for rule in rules if rule != "*" and not (ROOT / rule.strip("/")).exists()] == []
