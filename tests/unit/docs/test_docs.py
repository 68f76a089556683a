"""The documentation is complete, current, and holds no broken link."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

from benchmarks.__main__ import BENCHMARKS
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.telemetry.metric_definitions import METRICS

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"


def test_reference_pages_are_what_crds_and_constants_say_now() -> None:
    check = [sys.executable, DOCS / "generate.py", "--check"]
    run = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_every_condition_and_every_reason_has_its_place() -> None:
    page = (DOCS / "reference/conditions.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(ConditionType)
    sections = re.findall(r"^### (\w+)\n\n\*\*Cause\.\*\* .+\n\n\*\*Cure\.\*\* .+$", page, re.MULTILINE)
    assert sections == list(Reason)


def test_every_metric_has_a_row_with_its_type_and_its_labels() -> None:
    page = (DOCS / "reference/metrics.md").read_text()
    rows = re.findall(r"^\| `defender_devops_(\w+)` \| (\w+) \| ([^|]*) \| .+ \|$", page, re.MULTILINE)
    assert rows == [(each.name, each.type, ", ".join(f"`{label}`" for label in each.labels)) for each in METRICS]


def test_sizing_promises_what_the_benchmarks_measure() -> None:
    page = (DOCS / "sizing.md").read_text()
    promised = {float(most) for most in re.findall(r"^\| [^|]+ \| ([\d.]+)(?: [^|]*)? \|$", page, re.MULTILINE)}
    goals = {name: most for each in BENCHMARKS.values() for name, most in each.goals.items()}
    measured_in_seconds = goals.pop("drift put back after, s")
    assert promised == set(goals.values())
    assert measured_in_seconds > 0
    assert {each.connectors for each in BENCHMARKS.values() if each.goals} == {1000}


def fields(schema: dict[str, object]) -> set[str]:
    """Names of all fields of a schema, without their paths."""
    found: set[str] = set()
    for key, value in schema.items():
        if isinstance(value, dict):
            found |= (value.keys() if key == "properties" else set()) | fields(value)
    return found


def test_every_field_has_a_row() -> None:
    for path in (ROOT / "deploy/crds").glob("*.yaml"):
        crd = yaml.safe_load(path.read_text())
        page = (DOCS / f"reference/{crd['spec']['names']['singular']}.md").read_text()
        rows = {row.split(".")[-1] for row in re.findall(r"^\| `([\w.\[\]]+)` \|", page, re.MULTILINE)}
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        assert fields(schema["spec"]) | fields(schema["status"]) <= rows


def test_every_picture_is_shown_somewhere() -> None:
    pages = "".join(page.read_text() for page in (ROOT / "README.md", *DOCS.rglob("*.md")))
    assert [each.name for each in (DOCS / "images").iterdir() if f"images/{each.name}" not in pages] == []


def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    run = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "index.html").exists()
