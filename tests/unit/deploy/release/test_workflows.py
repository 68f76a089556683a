"""The workflows of GitHub: nothing that they use can be replaced, and no job may do more than it needs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.release.version import ReleaseError
from deploy.release.workflows import lint_workflows
from tests.support.chart.helm import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TEXTS = {path.name: path.read_text() for path in WORKFLOWS}
PINNED = re.compile(r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40})  # (v\d+\.\d+\.\d+)\n")

every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def read(path: Path) -> dict[str, Any]:
    workflow: dict[str, Any] = yaml.safe_load(path.read_text())
    return workflow


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job.get("steps", [])


@every_workflow
def test_every_action_is_pinned_by_digest_with_its_version(path: Path) -> None:
    used = re.findall(r"uses: (.*)\n", TEXTS[path.name])
    others = [action for action in used if not action.startswith("./") and not PINNED.fullmatch(f"uses: {action}\n")]
    assert others == []


def test_an_action_has_one_version_everywhere() -> None:
    pins = {match for text in TEXTS.values() for match in PINNED.findall(text)}
    repositories = {("/".join(action.split("/")[:2]), digest, version) for action, digest, version in pins}
    assert len(repositories) == len({repository for repository, _, _ in repositories})


@every_workflow
def test_a_workflow_has_no_permission_and_each_job_names_its_own(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {}
    assert all(isinstance(job["permissions"], dict) for job in workflow["jobs"].values())
    assert "concurrency" in workflow


def test_only_what_publishes_may_write() -> None:
    writing = {
        (path.stem, name, scope)
        for path in WORKFLOWS
        for name, job in read(path)["jobs"].items()
        for scope, level in job["permissions"].items()
        if level == "write" and scope in {"contents", "packages", "pages"}
    }
    assert writing == {
        ("docs", "publish", "pages"),
        ("release", "image", "packages"),
        ("release", "chart", "packages"),
        ("release", "publish", "contents"),
    }


@every_workflow
def test_no_token_stays_in_a_checkout(path: Path) -> None:
    checkouts = [step for step in steps(read(path)) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@every_workflow
def test_every_job_ends(path: Path) -> None:
    jobs = read(path)["jobs"].values()
    assert all("timeout-minutes" in job for job in jobs if "uses" not in job)


@every_workflow
def test_no_workflow_runs_code_of_a_pull_request_with_permissions(path: Path) -> None:
    triggers = read(path)[True]  # YAML 1.1 reads the key `on` as a boolean
    assert {"pull_request_target", "workflow_run"}.isdisjoint(triggers)


@every_workflow
def test_no_value_of_an_event_is_part_of_a_script(path: Path) -> None:
    assert [step["run"] for step in steps(read(path)) if "${{" in step.get("run", "")] == []


@every_workflow
def test_every_target_of_make_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = " ".join(step.get("run", "") for step in steps(read(path)))
    assert set(re.findall(r"\bmake ([a-z-]+)", commands)) <= targets


def test_the_release_calls_commands_that_exist() -> None:
    commands = re.findall(r"-m deploy\.release ([a-z-]+)", TEXTS["release.yml"])
    assert commands == ["verify-tag", "build", "check", "push-image"]
    for command in commands:
        arguments = [sys.executable, "-m", "deploy.release", command, "--help"]
        assert subprocess.run(arguments, cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_a_release_publishes_only_after_everything_is_built_and_tested() -> None:
    jobs = read(ROOT / ".github/workflows/release.yml")["jobs"]

    def before(name: str) -> set[str]:
        needs = jobs[name].get("needs", [])
        direct = {needs} if isinstance(needs, str) else set(needs)
        return direct.union(*map(before, direct))

    assert before("publish") == {"test", "build", "image", "chart", "pypi"}
    for name in ("image", "chart", "pypi"):
        assert {"test", "build"} <= before(name)


def test_the_linters_of_workflows_find_nothing() -> None:
    lint_workflows(ROOT)


@pytest.mark.parametrize(
    ("change", "linter"),
    [
        (("timeout-minutes: 10", "timeout-minutes: soon"), "actionlint"),
        (("permissions: {}", "permissions: write-all"), "zizmor"),
    ],
    ids=["actionlint", "zizmor"],
)
def test_the_linters_of_workflows_find_a_mistake(tmp_path: Path, change: tuple[str, str], linter: str) -> None:
    shutil.copytree(ROOT / ".github", tmp_path / ".github")
    (tmp_path / ".git").mkdir()
    workflow = tmp_path / ".github/workflows/ci.yml"
    workflow.write_text(workflow.read_text().replace(*change))
    with pytest.raises(ReleaseError, match=f"^{linter} found problems"):
        lint_workflows(tmp_path)
