"""The chart's CRDs are those of deploy/crds, which are generated from the models; helm upgrades and keeps them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.chart.helm import CHART, ROOT, HelmRefused, Manifest, helm, render

SOURCE = sorted((ROOT / "deploy/crds").glob("*.yaml"))


def crds(*arguments: str) -> list[Manifest]:
    return [manifest for manifest in render(*arguments) if manifest["kind"] == "CustomResourceDefinition"]


def test_rendered_crds_are_the_source_with_labels_and_the_keep_policy() -> None:
    assert len(SOURCE) == 2
    for rendered, path in zip(crds(), SOURCE, strict=True):
        source = yaml.safe_load(path.read_text())
        assert rendered["spec"] == source["spec"]
        assert rendered["metadata"]["name"] == source["metadata"]["name"]
        assert rendered["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        assert rendered["metadata"]["labels"]["app.kubernetes.io/name"] == "defender-devops-operator"


def test_source_leaves_labels_and_annotations_to_the_chart() -> None:
    for path in SOURCE:
        assert yaml.safe_load(path.read_text())["metadata"].keys() == {"name"}


@pytest.mark.parametrize(("setting", "count"), [("crds.enabled=false", 0), ("crds.keep=false", 2)])
def test_values_omit_the_crds_or_their_keep_policy(setting: str, count: int) -> None:
    rendered = crds("--set", setting)
    assert len(rendered) == count
    assert not any("annotations" in crd["metadata"] for crd in rendered)


@pytest.fixture(scope="module")
def archived_chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart as GitOps tools receive it: the tracked files of the working tree, without symbolic links."""
    folder = tmp_path_factory.mktemp("archive")
    tracked = ["git", "ls-files", "--cached", "--others", "--exclude-standard", CHART.relative_to(ROOT)]
    listing = subprocess.run(tracked, cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git repository")
    for name in listing.stdout.splitlines():
        if (ROOT / name).is_file() and not any(part.is_symlink() for part in (ROOT / name, *(ROOT / name).parents)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder / CHART.relative_to(ROOT)


def test_a_git_archive_without_links_renders_the_same(archived_chart: Path) -> None:
    arguments = ["--values", ROOT / "tests/data/chart/values/defaults.yaml"]
    assert helm("template", "x", archived_chart, *arguments) == helm("template", "x", CHART, *arguments)


def test_a_chart_without_its_crds_is_rejected_and_not_installed_without_them(archived_chart: Path) -> None:
    incomplete = archived_chart.parent / "incomplete"
    shutil.copytree(archived_chart, incomplete)
    shutil.rmtree(incomplete / "files/crds")
    with pytest.raises(HelmRefused, match="this copy of the chart has no CRDs in files/crds"):
        helm("template", "x", incomplete)
    assert "kind: Deployment" in helm("template", "x", incomplete, "--set", "crds.enabled=false")


def test_the_repository_has_no_symbolic_link_that_an_archive_would_drop() -> None:
    listing = subprocess.run(["git", "ls-files", "--stage"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git repository")
    assert [line for line in listing.stdout.splitlines() if line.startswith("120000")] == []
