"""The site of all versions: which ones it has, and what a reader finds at its addresses."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.release.version import ReleaseError
from deploy.site.building import build_site
from deploy.site.versions import Pages, list_of_versions, released_versions
from tests.support.chart.helm import ROOT

TAGS = ["v0.1.0", "v0.9.1", "v0.10.0", "v0.10.2", "v0.10.1", "v1.0.0-rc.1", "v0.2", "nightly", "0.3.0"]
CONFIG = """\
site_name: pages
docs_dir: docs
theme: {name: material, font: false, custom_dir: deploy/site/theme}
extra: {version: {provider: mike}}
plugins: [search]
validation: {links: {anchors: warn}}
"""


def test_the_newest_patch_of_each_minor_version_is_listed_newest_first() -> None:
    assert [(pages.folder, pages.tag) for pages in released_versions(TAGS)] == [
        ("0.10", "v0.10.2"),
        ("0.9", "v0.9.1"),
        ("0.1", "v0.1.0"),
    ]


def test_the_selector_calls_the_newest_release_latest() -> None:
    versions = [Pages("dev", "development", None), *released_versions(["v0.2.1", "v0.1.0"])]
    assert list_of_versions(versions) == [
        {"version": "dev", "title": "development", "aliases": []},
        {"version": "0.2", "title": "0.2.1", "aliases": ["latest"]},
        {"version": "0.1", "title": "0.1.0", "aliases": []},
    ]


def test_without_a_release_what_is_checked_out_is_the_latest() -> None:
    assert list_of_versions([Pages("dev", "development", None)])[0]["aliases"] == ["latest"]


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=test", "-c", "user.email=test@contoso.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A small repository with a release, and a page that was changed since then."""
    clone = tmp_path / "clone"
    (clone / "docs").mkdir(parents=True)
    (clone / "mkdocs.yml").write_text(CONFIG)
    shutil.copytree(ROOT / "deploy/site/theme", clone / "deploy/site/theme")
    git(clone, "init", "--quiet")
    write(clone, "released [nowhere](index.md#nowhere)")
    git(clone, "tag", "v0.1.0")
    write(clone, "unreleased")
    return clone


def write(clone: Path, text: str) -> None:
    (clone / "docs/index.md").write_text(f"# Start\n\n{text}\n")
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "--message", text)


def test_a_release_keeps_its_pages_and_the_start_page_leads_to_the_newest(clone: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    versions = build_site(clone, site, url="https://contoso.github.io/project")
    assert [pages.folder for pages in versions] == ["dev", "0.1"]
    texts = {name: (site / name / "index.html").read_text() for name in ("dev", "0.1", "latest")}
    assert "unreleased" in texts["dev"]
    assert "unreleased" not in texts["0.1"]
    assert texts["latest"] == texts["0.1"]
    assert 'href="https://contoso.github.io/project/0.1/"' in texts["0.1"]
    assert 'content="0; url=latest/"' in (site / "index.html").read_text()
    assert json.loads((site / "versions.json").read_text()) == list_of_versions(versions)
    assert "unreleased" in (site / "dev/search/search_index.json").read_text()
    assert not list(clone.glob(".mkdocs-*")), "nothing is left in the clone"


def test_a_broken_link_is_an_error_only_where_it_can_be_corrected(clone: Path, tmp_path: Path) -> None:
    write(clone, "broken [link](index.md#nowhere)")
    with pytest.raises(ReleaseError, match=r"(?s)the pages dev cannot be built.*nowhere"):
        build_site(clone, tmp_path / "site")
