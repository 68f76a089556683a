"""The documentation is complete, up to date, and has no broken link."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.__main__ import BENCHMARKS
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.telemetry.metric_definitions import METRICS

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
NOT_IN_SITE = (".github", "benchmarks", "deploy", "examples", "sandbox", "tests")


def test_reference_pages_are_up_to_date() -> None:
    check = [sys.executable, DOCS / "generate.py", "--check"]
    run = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_every_condition_and_every_reason_is_documented() -> None:
    page = (DOCS / "reference/conditions.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(ConditionType)
    sections = re.findall(r"^### (\w+)\n\n\*\*Cause\.\*\* .+\n\n\*\*Cure\.\*\* .+$", page, re.MULTILINE)
    assert sections == list(Reason)


def test_every_metric_has_a_row_with_its_type_and_its_labels() -> None:
    page = (DOCS / "reference/metrics.md").read_text()
    rows = re.findall(r"^\| `defender_devops_(\w+)` \| (\w+) \| ([^|]*) \| .+ \|$", page, re.MULTILINE)
    assert rows == [
        (metric.name, metric.type, ", ".join(f"`{label}`" for label in metric.labels)) for metric in METRICS
    ]


def test_sizing_documents_the_goals_of_the_benchmarks() -> None:
    page = (DOCS / "sizing.md").read_text()
    documented = {float(goal) for goal in re.findall(r"^\| [^|]+ \| ([\d.]+)(?: [^|]*)? \|$", page, re.MULTILINE)}
    goals = {name: goal for benchmark in BENCHMARKS.values() for name, goal in benchmark.goals.items()}
    measured_in_seconds = goals.pop("drift put back after, s")
    assert documented == set(goals.values())
    assert measured_in_seconds > 0
    assert {benchmark.connectors for benchmark in BENCHMARKS.values() if benchmark.goals} == {1000, 5000}


def fields(schema: dict[str, object]) -> set[str]:
    """Names of all fields of a schema, without their paths."""
    names: set[str] = set()
    for key, value in schema.items():
        if isinstance(value, dict):
            names |= (value.keys() if key == "properties" else set()) | fields(value)
    return names


def test_every_field_has_a_row() -> None:
    for path in (ROOT / "deploy/crds").glob("*.yaml"):
        crd = yaml.safe_load(path.read_text())
        page = (DOCS / f"reference/{crd['spec']['names']['singular']}.md").read_text()
        rows = {row.split(".")[-1] for row in re.findall(r"^\| `([\w.\[\]]+)` \|", page, re.MULTILINE)}
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        assert fields(schema["spec"]) | fields(schema["status"]) <= rows


def test_the_index_lists_every_page() -> None:
    index = (DOCS / "index.md").read_text()
    links = set(re.findall(r"\]\(([\w./-]+\.md)\)", index.partition("### All pages")[2]))
    decisions = {path for path in DOCS.glob("decisions/*.md") if path.name != "index.md"}
    pages = {str(path.relative_to(DOCS)) for path in set(DOCS.rglob("*.md")) - decisions}
    assert links == pages - {"index.md"}


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """The links of a page that lead to no file of the repository, or to no heading of it."""
    broken = []
    for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", page.read_text()):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


OUTSIDE = sorted({*ROOT.glob("*.md"), *(page for name in NOT_IN_SITE for page in (ROOT / name).rglob("*.md"))})


@pytest.mark.parametrize("page", OUTSIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_page_outside_the_site_leads_somewhere(page: Path) -> None:
    """Those of the site are checked by its build."""
    assert broken_links(page) == []


def test_a_link_to_no_file_and_one_to_no_heading_are_broken(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# The page's title\n\n[a](#the-pages-title) [b](other.md) [c](page.md#nothing) [d](https://x.test)\n"
    )
    assert broken_links(page) == ["other.md", "page.md#nothing"]


def test_every_picture_is_shown_somewhere() -> None:
    pages = "".join(page.read_text() for page in (ROOT / "README.md", *DOCS.rglob("*.md")))
    assert [image.name for image in (DOCS / "images").iterdir() if f"images/{image.name}" not in pages] == []


def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    run = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "index.html").exists()
