"""`python -m acceptance` as a process, as docs/acceptance.md runs it, against the simulated cloud over TLS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sandbox.cloud.control.client import ControlClient
from sandbox.stack import Cloud
from tests.conftest import StartCloud
from tests.support.leak_search import find_leaks

ROOT = Path(__file__).parents[2]
WORLDS = ROOT / "sandbox/cloud/worlds"
HOUR = 3600
SECRET = "sandbox-secret"
PROBES = ("connector", "organizations", "authorization", "azure-devops", "pipelines")


@pytest.fixture(scope="module")
def cloud(start_cloud: StartCloud, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    """The tenant of the acceptance kit, some hours old."""
    variables = tmp_path_factory.mktemp("variables") / "acceptance.env"
    cloud = start_cloud("--world", WORLDS / "acceptance.yaml", "--speed", "0", "--env", variables)
    assert dict(line.split("=", 1) for line in variables.read_text().splitlines()) == cloud.environment()
    with ControlClient(cloud.control) as control:
        control.move(10 * HOUR)
    return cloud


def run_kit(cloud: Cloud, output: Path, *arguments: str, secret: str = SECRET) -> subprocess.CompletedProcess[str]:
    """Run the command with the probes that need no other time than now."""
    names = [part for probe in PROBES for part in ("--only", probe)]
    command = [sys.executable, "-m", "acceptance", WORLDS / "acceptance-tenant.yaml", "--output", output, *names]
    environment = {**os.environ, **cloud.environment(), "ACCEPTANCE_CLIENT_SECRET": secret}
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_run_reads_agrees_and_leaves_no_secret_anywhere(cloud: Cloud, tmp_path: Path) -> None:
    with ControlClient(cloud.control) as control:
        since = control.last()
    run = run_kit(cloud, tmp_path / "result", "--yes")
    assert (run.returncode, run.stderr) == (0, "")
    document = json.loads((tmp_path / "result/result.json").read_text())
    assert document["verdicts"]["differs"] == 0
    assert document["verdicts"]["agrees"] > 50
    with ControlClient(cloud.control) as control:
        assert control.journal(since=since, effective="true") == []
        secrets = {"tokens": control.secrets(), "secret": [SECRET], "organization": ["Contoso-Retail"]}
    texts = [path.read_text() for path in (tmp_path / "result").rglob("*") if path.is_file()]
    assert len(texts) > 50
    assert find_leaks("\n".join(texts), secrets) == []
    table = run.stdout.partition("Changes nothing.")[2]
    assert find_leaks(table, secrets) == []


def test_a_variant_ends_with_another_status_and_with_its_flag(cloud: Cloud, tmp_path: Path) -> None:
    with ControlClient(cloud.control) as control:
        control.variants(capabilities="several")
        try:
            run = run_kit(cloud, tmp_path / "result", "--yes")
        finally:
            control.variants(capabilities="one")
    assert run.returncode == 1
    assert "--variant capabilities=several" in run.stdout
    page = (tmp_path / "result/result.md").read_text()
    assert "python -m sandbox.cloud --variant capabilities=several" in page


def test_without_consent_nothing_is_sent(cloud: Cloud, tmp_path: Path) -> None:
    with ControlClient(cloud.control) as control:
        since = control.last()
        run = run_kit(cloud, tmp_path / "result")
        assert (run.returncode, control.last()) == (3, since)


def tags(control: ControlClient) -> dict[str, str]:
    """Return the tags of the expendable connector."""
    (connector,) = [item for item in control.world()["connectors"] if item["id"].endswith("/trial")]
    tags: dict[str, str] = connector["tags"]
    return tags


def test_an_interrupted_run_restores_what_it_has_changed(start_cloud: StartCloud, tmp_path: Path) -> None:
    cloud = start_cloud("--world", WORLDS / "acceptance.yaml", "--speed", "0")
    command = [sys.executable, "-m", "acceptance", WORLDS / "acceptance-tenant.yaml", "--output", tmp_path / "result"]
    process = subprocess.Popen(
        [*command, "--yes", "--write", "--only", "changes"],
        cwd=ROOT,
        env={**os.environ, **cloud.environment(), "ACCEPTANCE_CLIENT_SECRET": SECRET, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process as run, ControlClient(cloud.control) as control:
        # The clock stands still, so that the first operation on the configuration does not end until it runs.
        assert control.journal(operation="AzureDevOpsOrgs_Update", wait=30)
        assert set(tags(control)) == {"acceptance-kit"}
        run.send_signal(signal.SIGINT)
        control.speed(100_000)
        output, errors = run.communicate(timeout=60)
        assert (run.returncode, errors) == (130, "Interrupted: nothing is saved, and nothing is left changed.\n")
        assert output.splitlines()[-2:] == [
            "1 of 1: changes",
            "Interrupted: the expendable connector is being restored. Interrupt again to leave it as it is.",
        ]
        assert tags(control) == {"owner": "trial"}
    assert not (tmp_path / "result").exists()


def test_without_a_sign_in_the_run_ends_with_the_command_that_signs_in(cloud: Cloud, tmp_path: Path) -> None:
    file = tmp_path / "tenant.yaml"
    document = yaml.safe_load((WORLDS / "acceptance-tenant.yaml").read_text())
    file.write_text(yaml.safe_dump({name: value for name, value in document.items() if name != "identity"}))
    identity_variables = {"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"}
    environment = {
        name: value for name, value in (os.environ | cloud.environment()).items() if name not in identity_variables
    }
    # Neither az, nor what it stores, nor the identity of a virtual machine.
    environment |= {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    environment |= {"AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:9"}
    run = subprocess.run(
        [sys.executable, "-m", "acceptance", file, "--yes", "--output", tmp_path / "result"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert f"run `az login --tenant {document['tenant']}`" in line
    assert not (tmp_path / "result").exists()


def test_a_wrong_secret_is_explained_without_it_and_ends_the_run(cloud: Cloud, tmp_path: Path) -> None:
    run = run_kit(cloud, tmp_path / "result", "--yes", secret="quokka-is-no-secret")
    assert run.returncode == 2
    assert "AADSTS7000215" in run.stderr
    assert "quokka" not in run.stdout + run.stderr
    assert not (tmp_path / "result").exists()
    assert "Traceback" not in run.stderr
