"""The chart's README documents every value, and is up to date with the comments of values.yaml."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import yaml

from tests.support.chart.helm import CHART, ROOT


def test_readme_of_the_chart_is_current() -> None:
    check = [sys.executable, ROOT / "deploy/helm/generate.py", "--check"]
    run = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def leaves(values: dict[str, object], path: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"


def test_every_value_has_a_row_with_a_description() -> None:
    rows = dict(re.findall(r"^\| (\S+) \| \w+ \| `.*` \| (.*) \|$", (CHART / "README.md").read_text(), re.MULTILINE))
    for leaf in leaves(yaml.safe_load((CHART / "values.yaml").read_text())):
        descriptions = [rows[key] for key in rows if leaf == key or leaf.startswith(f"{key}.")]
        assert descriptions, leaf
        assert all(descriptions), leaf
