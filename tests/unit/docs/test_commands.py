"""The commands of the pages: docs/install-aks.md is run as a reader would, those of every page can be pasted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from defender_devops.api.connector import parse_connector
from sandbox.cluster import binary
from tests.support.chart.helm import ROOT
from tests.support.chart.install_page import APP_ID, CLIENT_ID, PAGE, az_calls, write_azure_programs
from tests.support.pages import Shell, shell_blocks, write_program


class Reader:
    """A run of the whole page with Helm's own rendering, and with stand-ins for Azure, the registry and the cluster."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        write_azure_programs(self.bin)
        # `helm upgrade NAME CHART --install --create-namespace …` renders the same as `helm template NAME CHART …`.
        render = f"""set -- $(printf '%s\\n' "$@" | grep -v -x -e --install -e --create-namespace)
shift; n=$(ls {folder} | grep -c rendered || true)
exec {binary("helm")} template "$@" > {folder}/rendered.$n.yaml"""
        write_program(self.bin, "helm", render)
        write_program(self.bin, "kubectl", f'case $* in apply*) cat > {folder}/applied.yaml;; *) echo "$@";; esac')
        (folder / "deploy").symlink_to(ROOT / "deploy")
        shell = Shell(folder, folder, {})
        self.output = [shell.run(block) for block in shell_blocks(PAGE)]
        self.connector: dict[str, Any] = yaml.safe_load((folder / "applied.yaml").read_text())
        self.releases = [list(yaml.safe_load_all(path.read_text())) for path in sorted(folder.glob("rendered.*.yaml"))]

    def grants(self, release: int) -> list[dict[str, str]]:
        """The identity grants that the operator of a release reads."""
        deployment = next(m for m in self.releases[release] if m and m["kind"] == "Deployment")
        env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        value = next(entry["value"] for entry in env if entry["name"] == "DEFENDER_DEVOPS_IDENTITY_GRANTS")
        grants: list[dict[str, str]] = json.loads(value)
        return grants


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(tmp_path_factory.mktemp("reader"))


SHORT = [ROOT / "README.md", ROOT / "deploy/helm/defender-devops-operator/README.md"]


@pytest.mark.parametrize("page", SHORT, ids=["repository", "chart"])
def test_the_short_versions_render(tmp_path: Path, page: Path) -> None:
    """The commands of the READMEs, with the variables that a reader has set."""
    programs = tmp_path / "bin"
    programs.mkdir()
    write_azure_programs(programs)
    write_program(programs, "kubectl", ":")
    write_program(
        programs,
        "helm",
        f"""shift; for a; do shift; [ "$a" = --create-namespace ] || set -- "$@" "$a"; done
exec {binary("helm")} template "$@" >> {tmp_path}/rendered.yaml""",
    )
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    shell = Shell(tmp_path, tmp_path, {"CLIENT_ID": CLIENT_ID, "TENANT": CLIENT_ID, "REGISTRY": "registry.contoso.com"})
    for block in shell_blocks(page):
        if "helm" in block.commands:
            shell.run(block)
    text = (tmp_path / "rendered.yaml").read_text()
    assert re.search(r"image: \"registry\.contoso\.com/\S*defender-devops-operator:", text)


PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md"), SHORT[1]]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_a_page_can_be_pasted(page: Path) -> None:
    for block in shell_blocks(page):
        run = subprocess.run(["bash", "-n", "-c", block.commands], capture_output=True, text=True, check=False)
        assert run.returncode == 0, f"{block.heading}: {run.stderr}"
        assert re.findall(r"<[a-z][^<>\n]*>|…", block.commands) == [], block.heading


def test_the_checksums_of_a_downloaded_release_are_checked_where_the_page_stores_it(tmp_path: Path) -> None:
    """SHA256SUMS has names without a folder, so sha256sum must run in the folder of the download."""
    programs = tmp_path / "bin"
    programs.mkdir()
    download = "mkdir release; echo content > release/chart.tgz; cd release; sha256sum chart.tgz > SHA256SUMS"
    write_program(programs, "gh", f'[ "$1" != release ] || {{ {download}; }}')
    shell = Shell(tmp_path, tmp_path, {"OWNER": "contoso", "VERSION": "0.1.0"})
    (files,) = (block for block in shell_blocks(ROOT / "docs/verify.md") if block.heading == "Files")
    assert shell.run(files) == "chart.tgz: OK\n"


def test_the_connector_is_valid(reader: Reader) -> None:
    metadata = {**reader.connector["metadata"], "uid": "1", "generation": 1}
    assert parse_connector({**reader.connector, "metadata": metadata}).spec.authorization.method == "Adopt"


def test_the_first_install_grants_the_identity_to_the_connectors_namespace(reader: Reader) -> None:
    azure = reader.connector["spec"]["azure"]
    grant = {
        "namespace": reader.connector["metadata"]["namespace"],
        "tenantId": azure["tenantId"],
        "subscriptionId": azure["subscriptionId"],
    }
    assert reader.grants(0) == [grant]
    assert reader.grants(1) == [grant, {**grant, "clientId": APP_ID}]


def test_the_service_account_is_that_of_the_federated_credentials(reader: Reader) -> None:
    subjects = {
        part.partition("=")[2] or part
        for call in az_calls(reader.bin)
        if "federated-credential" in call
        for part in (call[call.index("--subject") + 1] if "--subject" in call else json.loads(call[-1])["subject"],)
    }
    accounts = [m["metadata"] for m in reader.releases[0] if m and m["kind"] == "ServiceAccount"]
    assert subjects == {f"system:serviceaccount:{a['namespace']}:{a['name']}" for a in accounts}


def test_the_role_is_assigned_on_the_connectors_resource_group(reader: Reader) -> None:
    (assignment,) = (call for call in az_calls(reader.bin) if call[:3] == ["role", "assignment", "create"])
    azure = reader.connector["spec"]["azure"]
    scope = f"/subscriptions/{azure['subscriptionId']}/resourceGroups/{azure['resourceGroup']}"
    assert assignment[assignment.index("--scope") + 1] == scope


def test_the_redirect_uri_is_that_of_the_published_page(reader: Reader) -> None:
    (create,) = (call for call in az_calls(reader.bin) if call[:3] == ["ad", "app", "create"])
    deployment = next(m for m in reader.releases[1] if m and m["kind"] == "Deployment")
    env = {
        entry["name"]: entry.get("value") for entry in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert create[create.index("--web-redirect-uris") + 1] == f"{env['DEFENDER_DEVOPS_SIGNIN_URL']}/callback"


_PARSE = """
import json, sys
from azure.cli.core import get_default_cli
cli = get_default_cli()
for arguments in json.load(sys.stdin):
    invocation = cli.invocation_cls(
        cli_ctx=cli, parser_cls=cli.parser_cls, commands_loader_cls=cli.commands_loader_cls, help_cls=cli.help_cls
    )
    cli.invocation = invocation
    invocation.data["command_string"] = " ".join(arguments)
    loader = invocation.commands_loader
    loader.load_command_table(arguments)
    names = arguments[: next(i for i, argument in enumerate(arguments) if argument.startswith("-"))]
    loader.command_name = " ".join(names)
    loader.load_arguments(loader.command_name)
    invocation.parser.load_command_table(loader)
    invocation.parser.parse_args(arguments)
    print(*names)
"""
"""Parses commands as the Azure CLI does, without running them; exits with 2 and its message for a wrong one."""


@cache
def azure_cli(folder: Path) -> Path:
    """A Python with the Azure CLI from PyPI."""
    uv = Path(sys.executable).parent / "uv"
    python = folder / "venv/bin/python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
    install = subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", python, "azure-cli==2.*"],
        capture_output=True,
        text=True,
        check=False,
    )
    if install.returncode:
        pytest.skip(f"the Azure CLI cannot be installed here: {install.stderr.strip()[-200:]}")
    return python


VARIABLES = {
    "SUBSCRIPTION": "22222222-2222-2222-2222-222222222222",
    "TENANT": "11111111-1111-1111-1111-111111111111",
    "GROUP": "rg-devops-security",
    "TEAM": "security",
    "ISSUER": "https://oidc.contoso.com",
}
"""What a reader has set on the page before, where one page continues another."""


def calls_of_other_pages(folder: Path) -> list[list[str]]:
    """The `az` commands of all pages but the installation on AKS."""
    programs = folder / "bin"
    programs.mkdir()
    write_azure_programs(programs)
    write_program(programs, "kubectl", ":")
    for page in PAGES:
        shell = Shell(folder, folder, VARIABLES)
        for block in shell_blocks(page):
            sets_variables = all(line.startswith("export ") for line in block.commands.splitlines())
            if page != PAGE and (sets_variables or re.search(r"\baz ", block.commands)):
                shell.run(block)
    return az_calls(programs)


@pytest.mark.long
def test_the_azure_cli_accepts_every_command(reader: Reader, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "azure-cli"
    python = azure_cli(folder)
    calls = az_calls(reader.bin) + calls_of_other_pages(tmp_path_factory.mktemp("other-pages"))
    environment = {"AZURE_CONFIG_DIR": str(folder / "config"), "PATH": "/usr/bin:/bin", "HOME": str(folder)}

    def parse(commands: list[list[str]]) -> subprocess.CompletedProcess[str]:
        command = [python, "-c", _PARSE]
        return subprocess.run(
            command, input=json.dumps(commands), env=environment, capture_output=True, text=True, check=False
        )

    result = parse(calls)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == len(calls)
    assert parse([["identity", "create", "--nmae", "x"]]).returncode == 2
