"""The bundle for OperatorHub passes the validators of operator-sdk, and they refuse what its own rules refuse."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.release.catalogues import olm
from deploy.release.catalogues.olm_rules import violations
from deploy.release.version import Version
from sandbox.cluster.build import ensure_built, find_go
from sandbox.cluster.programs import OLM_BUNDLE, BinaryError
from tests.support.chart.helm import ROOT

pytestmark = pytest.mark.long

VERSION = Version.parse("0.2.0")
CSV = "manifests/defender-devops-operator.clusterserviceversion.yaml"


@pytest.fixture(scope="module")
def validator() -> Path:
    try:
        find_go(OLM_BUNDLE.module)
    except BinaryError as error:
        pytest.skip(f"the validators need Go: {error}")
    return ensure_built(OLM_BUNDLE)


@pytest.fixture
def files() -> dict[str, str]:
    return olm.bundle(ROOT, VERSION, "registry.test/defender-devops-operator:0.2.0", 1_700_000_000)


def validate(validator: Path, folder: Path, files: dict[str, str]) -> dict[str, list[str]]:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    run = subprocess.run([validator, folder], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    result: dict[str, list[str]] = json.loads(run.stdout)
    return result


def test_the_bundle_has_no_error_and_no_warning(validator: Path, tmp_path: Path, files: dict[str, str]) -> None:
    assert validate(validator, tmp_path, files) == {"errors": [], "warnings": []}


def replace(old: str, new: str) -> Callable[[dict[str, str]], None]:
    def apply(files: dict[str, str]) -> None:
        assert old in files[CSV]
        files[CSV] = files[CSV].replace(old, new)

    return apply


@pytest.mark.parametrize(
    "break_bundle",
    [
        lambda files: files.pop("manifests/devopsorganizations.yaml"),
        replace("capabilities: Deep Insights", "capabilities: Magic"),
        replace("categories: Security", "categories: Fun"),
        replace("mediatype: image/svg+xml", "mediatype: text/plain"),
    ],
    ids=["no CRD", "capabilities", "categories", "icon"],
)
def test_a_broken_bundle_is_refused_by_both(
    validator: Path, tmp_path: Path, files: dict[str, str], break_bundle: Callable[[dict[str, str]], Any]
) -> None:
    break_bundle(files)
    assert violations(files, VERSION) != []
    assert validate(validator, tmp_path, files)["errors"] != []
