from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import yaml

from defender_devops.cli import commands, main
from defender_devops.cli.exit_codes import ExitCode
from defender_devops.errors import Forbidden
from tests.support.command_line import RunCommand
from tests.support.fakes.kubernetes_api import write_kubeconfig
from tests.support.manifests import connector

USAGE_ERRORS = [
    (("stats",), "No such command 'stats'. Did you mean 'status'?"),
    (("status", "--foo"), "No such option: --foo"),
    (("status", "-o", "xml"), "'xml' is not one of 'table', 'json', 'yaml'"),
    (("status", "a", "b"), "unexpected extra argument"),
    (("status", "-w", "-o", "json"), "remove --output"),
    (("status", "contoso", "-A"), "contoso is one connector, and --all-namespaces (-A) stands for all connectors"),
    (("findings", "security/contoso", "-A"), "remove one of them. A connector of another namespace is NAMESPACE/NAME."),
    (("pipelines", "security/contoso", "--all-namespaces"), "security/contoso is one connector"),
    (("findings", "--severity", "severe"), "'severe' is not one of 'critical', 'high', 'medium', 'low', 'other'"),
    (("findings", "--category", "iac"), "'iac' is not one of 'secrets', 'code'"),
    (("findings", "-o", "xml"), "'xml' is not one of 'table', 'json', 'yaml', 'csv'"),
    (("pipelines", "--state", "lost"), "'lost' is not one of 'ran', 'configured', 'coveredotherwise'"),
    (("pipelines", "-o", "xml"), "'xml' is not one of 'table', 'json', 'yaml', 'csv'"),
    (("plan",), "Specify either manifests with -f FILE, or the name of a connector."),
    (("plan", "-f", "x.yaml", "contoso"), "Specify either manifests with -f FILE, or the name of a connector."),
    (("check",), "Specify either manifests with -f FILE, or the name of a connector."),
    (("plan", "contoso", "--offline"), "remove --offline"),
    (("plan", "-f", "nowhere.yaml"), "nowhere.yaml cannot be read: No such file or directory."),
    (("import",), "Missing option '--subscription'"),
    (("import", "-s", "production"), "needs the id of a subscription"),
    (("import", "-s", "x", "-o", "table"), "use -o yaml or -o json"),
    (("authorize",), "Missing argument 'NAME'"),
    (("reconcile",), "Missing argument 'NAME...'"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE_ERRORS)
def test_a_usage_error_is_one_line_with_advice(run: RunCommand, arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.out) == (ExitCode.USAGE, "")
    assert message in result.err
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1


IN_CLUSTER = [
    ("status",),
    ("findings",),
    ("pipelines",),
    ("authorize", "x"),
    ("reconcile", "x"),
    ("suspend", "x"),
    ("resume", "x"),
    ("support",),
]


@pytest.mark.parametrize("arguments", [*IN_CLUSTER, ("plan", "x"), ("check", "x")])
def test_without_a_cluster_every_command_reports_it_in_one_line(run: RunCommand, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.out) == (ExitCode.NO_CLUSTER, "")
    assert result.err.startswith("error: There is no usable configuration of a Kubernetes cluster")
    assert result.err.count("\n") == 1


def test_a_cluster_that_does_not_answer_is_reported(run: RunCommand, tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:1", token="t")
    result = run("status", "--kubeconfig", kubeconfig)
    assert result.exit_code == ExitCode.NO_CLUSTER
    assert "does not answer" in result.err
    assert result.err.count("\n") == 1


def test_an_unknown_context_is_named(run: RunCommand, tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:1", token="t")
    result = run("status", "--kubeconfig", kubeconfig, "--context", "production")
    assert result.exit_code == ExitCode.NO_CLUSTER
    assert "production" in result.err


def _fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(command: Coroutine[Any, Any, int]) -> int:
        command.close()
        raise error

    monkeypatch.setattr(commands, "_run", fail)


def test_of_two_concurrent_errors_the_first_is_reported(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_with(monkeypatch, ExceptionGroup("tasks", [Forbidden("Azure forbids it."), Forbidden("That too.")]))
    result = run("status")
    assert (result.exit_code, result.err) == (ExitCode.AZURE, "error: Azure forbids it.\n")


def test_an_unexpected_error_is_one_line(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_with(monkeypatch, ZeroDivisionError("division\nby zero"))
    result = run("status")
    assert result.exit_code == ExitCode.BUG
    assert result.err == (
        "error: Unexpected error (ZeroDivisionError: division by zero). This is a bug: run the command again with "
        "--debug and report the output.\n"
    )


def test_debug_shows_the_traceback(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_with(monkeypatch, ZeroDivisionError("division by zero"))
    assert "Traceback (most recent call last)" in run("--debug", "status").err


def test_debug_is_an_option_of_the_program_and_not_of_a_command(run: RunCommand) -> None:
    result = run("status", "--debug")
    assert (result.exit_code, result.err) == (
        ExitCode.USAGE,
        "error: No such option: --debug. See defender-devops status --help.\n",
    )


def test_an_interrupt_ends_quietly(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_with(monkeypatch, KeyboardInterrupt())
    result = run("status")
    assert (result.exit_code, result.out, result.err) == (ExitCode.INTERRUPTED, "", "")


def test_a_missing_extra_is_reported_with_what_to_install(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(main.importlib.util, "find_spec", lambda name: None if name == "typer" else real(name))
    result = run("status")
    assert result.exit_code == ExitCode.USAGE
    assert result.err == "error: The command line needs typer: pip install 'defender-devops-operator[cli]'.\n"


def test_an_invalid_endpoint_names_its_variable(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFENDER_DEVOPS_ARM_ENDPOINT", "management")
    result = run("import", "-s", "22222222-2222-2222-2222-222222222222")
    assert result.exit_code == ExitCode.USAGE
    assert "DEFENDER_DEVOPS_ARM_ENDPOINT is invalid" in result.err


VALUES = ["2024-02-30", "2024-01-01", "12:30", "=", "1e3"]


@pytest.mark.parametrize("value", VALUES)
def test_any_scalar_in_a_manifest_is_checked_as_kubectl_reads_it(
    run: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """A tag must be a string: the API server accepts those that kubectl reads as one, and rejects a number."""
    file = tmp_path / "connector.yaml"
    file.write_text(yaml.safe_dump(connector("azure: {tags: {team: TAG}}")).replace("TAG", value))
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    result = run("plan", "--offline", "-f", file)
    if value == "1e3":
        assert result.exit_code == ExitCode.USAGE
        assert "spec.azure.tags" in result.err
    else:
        assert (result.exit_code, "Nobody is signed in" in result.err) == (ExitCode.AZURE, True)


def test_an_unreachable_entra_id_is_not_called_a_missing_sign_in(
    run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {
        "AZURE_TENANT_ID": "11111111-1111-1111-1111-111111111111",
        "AZURE_CLIENT_ID": "55555555-5555-5555-5555-555555555555",
        "AZURE_CLIENT_SECRET": "secret",
        "AZURE_AUTHORITY_HOST": "https://127.0.0.1:1",
        "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = run("import", "-s", "22222222-2222-2222-2222-222222222222")
    assert result.exit_code == ExitCode.AZURE
    assert "Entra ID cannot be reached" in result.err
    assert "signed in" not in result.err


def test_the_version_is_the_package_s(run: RunCommand) -> None:
    version = importlib.metadata.version("defender-devops-operator")
    assert run("--version").out == f"defender-devops {version}\n"


def test_help_lists_every_command(run: RunCommand) -> None:
    output = run("--help").out
    names = ["status", "findings", "pipelines", "plan", "check", "authorize", "import", "reconcile", "suspend"]
    names += ["resume", "support"]
    assert all(f"\n  {name} " in output for name in names)


def test_both_names_of_the_program_and_its_completion_are_installed() -> None:
    scripts = {script.name: script.value for script in importlib.metadata.entry_points(group="console_scripts")}
    assert scripts["defender-devops"] == scripts["kubectl-defender_devops"] == "defender_devops.cli.main:main"
    assert scripts["kubectl_complete-defender_devops"] == "defender_devops.cli.main:complete_for_kubectl"
