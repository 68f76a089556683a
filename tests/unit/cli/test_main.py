from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from defender_devops.cli import commands, main
from defender_devops.cli.exit_codes import ExitCode
from defender_devops.errors import Forbidden
from tests.support.command_line import RunCommand
from tests.support.fakes.kubernetes_api import write_kubeconfig

WRONG = [
    (("stats",), "No such command 'stats'. Did you mean 'status'?"),
    (("status", "--foo"), "No such option: --foo"),
    (("status", "-o", "xml"), "'xml' is not one of 'table', 'json', 'yaml'"),
    (("status", "a", "b"), "unexpected extra argument"),
    (("status", "-w", "-o", "json"), "leave --output out"),
    (("plan",), "Name either manifests with -f FILE, or a connector."),
    (("plan", "-f", "x.yaml", "contoso"), "Name either manifests with -f FILE, or a connector."),
    (("check",), "Name either manifests with -f FILE, or a connector."),
    (("plan", "contoso", "--offline"), "leave --offline out"),
    (("plan", "-f", "nowhere.yaml"), "nowhere.yaml cannot be read: No such file or directory."),
    (("import",), "Missing option '--subscription'"),
    (("import", "-s", "production"), "takes the subscription's id"),
    (("import", "-s", "x", "-o", "table"), "take -o yaml or -o json"),
    (("authorize",), "Missing argument 'NAME'"),
    (("reconcile",), "Missing argument 'NAME...'"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_wrong_usage_is_one_line_that_says_what_to_do(run: RunCommand, arguments: tuple[str, ...], words: str) -> None:
    ran = run(*arguments)
    assert (ran.exit_code, ran.out) == (ExitCode.USAGE, "")
    assert words in ran.err
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1


IN_CLUSTER = [("status",), ("authorize", "x"), ("reconcile", "x"), ("suspend", "x"), ("resume", "x"), ("support",)]


@pytest.mark.parametrize("arguments", [*IN_CLUSTER, ("plan", "x"), ("check", "x")])
def test_without_a_cluster_every_command_says_so_in_one_line(run: RunCommand, arguments: tuple[str, ...]) -> None:
    ran = run(*arguments)
    assert (ran.exit_code, ran.out) == (ExitCode.NO_CLUSTER, "")
    assert ran.err.startswith("error: There is no usable configuration of a Kubernetes cluster")
    assert ran.err.count("\n") == 1


def test_a_cluster_that_does_not_answer_is_named_as_such(run: RunCommand, tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:1", token="t")
    ran = run("status", "--kubeconfig", kubeconfig)
    assert ran.exit_code == ExitCode.NO_CLUSTER
    assert "does not answer" in ran.err
    assert ran.err.count("\n") == 1


def test_a_context_that_is_not_there_is_named(run: RunCommand, tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:1", token="t")
    ran = run("status", "--kubeconfig", kubeconfig, "--context", "production")
    assert ran.exit_code == ExitCode.NO_CLUSTER
    assert "production" in ran.err


def _fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(command: Coroutine[Any, Any, int]) -> int:
        command.close()
        raise error

    monkeypatch.setattr(commands, "_run", fail)


def test_errors_of_two_tasks_at_once_are_told_as_the_first(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_with(monkeypatch, ExceptionGroup("tasks", [Forbidden("Azure forbids it."), Forbidden("That too.")]))
    ran = run("status")
    assert (ran.exit_code, ran.err) == (ExitCode.AZURE, "error: Azure forbids it.\n")


def test_an_error_that_nobody_thought_of_is_one_line_too(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_with(monkeypatch, ZeroDivisionError("division\nby zero"))
    ran = run("status")
    assert ran.exit_code == ExitCode.BUG
    assert ran.err == (
        "error: This should not have happened (ZeroDivisionError: division by zero). Run it again with --debug and "
        "report what it prints.\n"
    )


def test_debug_shows_where_an_error_comes_from(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_with(monkeypatch, ZeroDivisionError("division by zero"))
    assert "Traceback (most recent call last)" in run("--debug", "status").err


def test_debug_is_an_option_of_the_program_and_not_of_a_command(run: RunCommand) -> None:
    ran = run("status", "--debug")
    assert (ran.exit_code, ran.err) == (
        ExitCode.USAGE,
        "error: No such option: --debug. See defender-devops status --help.\n",
    )


def test_an_interrupt_ends_quietly(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_with(monkeypatch, KeyboardInterrupt())
    ran = run("status")
    assert (ran.exit_code, ran.out, ran.err) == (ExitCode.INTERRUPTED, "", "")


def test_without_the_extra_it_says_what_to_install(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(main.importlib.util, "find_spec", lambda name: None if name == "typer" else real(name))
    ran = run("status")
    assert ran.exit_code == ExitCode.USAGE
    assert ran.err == "error: The command line needs typer: pip install 'defender-devops-operator[cli]'.\n"


def test_a_wrong_address_of_azure_names_its_variable(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFENDER_DEVOPS_ARM_ENDPOINT", "management")
    ran = run("import", "-s", "22222222-2222-2222-2222-222222222222")
    assert ran.exit_code == ExitCode.USAGE
    assert "DEFENDER_DEVOPS_ARM_ENDPOINT cannot be used" in ran.err


def test_the_version_is_the_package_s(run: RunCommand) -> None:
    version = importlib.metadata.version("defender-devops-operator")
    assert run("--version").out == f"defender-devops {version}\n"


def test_help_lists_every_command(run: RunCommand) -> None:
    shown = run("--help").out
    names = ["status", "plan", "check", "authorize", "import", "reconcile", "suspend", "resume", "support"]
    assert all(f"\n  {name} " in shown for name in names)


def test_both_names_of_the_program_and_its_completion_are_installed() -> None:
    scripts = {each.name: each.value for each in importlib.metadata.entry_points(group="console_scripts")}
    assert scripts["defender-devops"] == scripts["kubectl-defender_devops"] == "defender_devops.cli.main:main"
    assert scripts["kubectl_complete-defender_devops"] == "defender_devops.cli.main:complete_for_kubectl"
