from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from defender_devops.api.crds import crd_difference, crd_files, custom_resource_definitions, generate_crds

DEPLOYED = Path(__file__).parents[3] / "deploy" / "crds"


def test_the_deployed_files_are_generated_from_the_models() -> None:
    assert crd_difference(DEPLOYED) == "", "run `make crds`"
    assert {path.name for path in DEPLOYED.iterdir()} == set(crd_files())


def test_the_files_hold_the_definitions() -> None:
    assert [yaml.safe_load(text) for text in crd_files().values()] == list(custom_resource_definitions())


def test_the_files_are_small_enough_for_every_way_of_applying_them() -> None:
    assert all(len(text.encode()) < 64 * 1024 for text in crd_files().values())


def test_written_files_pass_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "crds"
    assert generate_crds([str(folder)]) == 0
    assert generate_crds(["--check", str(folder)]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("missing", [True, False])
def test_a_file_that_differs_fails_the_check_with_a_diff(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: bool
) -> None:
    generate_crds([str(tmp_path)])
    file = tmp_path / "devopsorganizations.yaml"
    if missing:
        file.unlink()
    else:
        file.write_text(file.read_text().replace("adoorg", "other"))
    assert generate_crds(["--check", str(tmp_path)]) == 1
    assert "+    - adoorg" in capsys.readouterr().out
    assert file.exists() is not missing
