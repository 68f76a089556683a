"""Nothing that a reader follows leads nowhere: the project's own address is unknown, and is in one place only."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.support.chart.helm import CHART, ROOT

HOME = yaml.safe_load((CHART / "Chart.yaml").read_text())["home"]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.*"), CHART / "README.md"])
LINK = re.compile(r"\]\((https?://[^)\s]+)\)|^\s*(?:url|about): *(https?://\S+)", re.MULTILINE)


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listing.splitlines() if (ROOT / name).is_file()]


def test_the_address_of_the_project_is_in_one_place() -> None:
    host = urlsplit(HOME).hostname
    assert host is not None
    assert host.endswith(".example"), "replaced for a publication: then this test has to name the real one"
    files = [path for path in tracked() if path.suffix not in {".png", ".tgz"} and host.encode() in path.read_bytes()]
    assert [path.relative_to(ROOT) for path in files] == [(CHART / "Chart.yaml").relative_to(ROOT)]


def test_every_other_address_of_the_chart_is_one_that_exists() -> None:
    text = (CHART / "Chart.yaml").read_text()
    hosts = {urlsplit(address).hostname for address in re.findall(r"https?://[^\s\"]+", text)}
    assert hosts - {urlsplit(HOME).hostname} == {"learn.microsoft.com"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_of_a_page_leads_to_an_example(page: Path) -> None:
    links = [first or second for first, second in LINK.findall(page.read_text())]
    names = {urlsplit(link).hostname or "" for link in links}
    assert not [name for name in names if name.endswith(("contoso.com", ".example", "example.com", ".test"))]
