"""An invalid setting is named, and its value is not repeated."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

from defender_devops.__main__ import UNUSED_LIBRARIES
from defender_devops.main import main


@pytest.fixture(autouse=True)
def arguments(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command line; without arguments unless a test adds some."""
    command_line = ["defender-devops-operator"]
    monkeypatch.setattr(sys, "argv", command_line)
    return command_line


@pytest.mark.parametrize(
    ("setting", "value", "mentioned"),
    [
        ("IDENTITY_GRANTS", '[{"namespace": "canary"', "identity_grants"),
        ("IDENTITY_GRANTS", '[{"namespace": "canary", "secret": "canary"}]', "IDENTITY_GRANTS"),
        ("SIGNIN_URL", "http://user:canary@example.com/", "SIGNIN_URL"),
        ("CHECK_INTERVAL", "canary", "CHECK_INTERVAL"),
        ("AZURE_AUTHORITY_HOST", "http://canary.example.com", "Setting AZURE_AUTHORITY_HOST"),
    ],
    ids=["no JSON", "JSON of another kind", "an address that is not safe", "no number", "a variable of azure-identity"],
)
def test_an_invalid_setting_ends_the_operator_before_it_starts(
    setting: str, value: str, mentioned: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(setting if setting.startswith("AZURE_") else f"DEFENDER_DEVOPS_{setting}", value)
    with pytest.raises(SystemExit) as exit_info:
        main()
    assert exit_info.value.code == 2
    output = capsys.readouterr().err
    assert mentioned in output
    assert "canary" not in output


def test_help_and_version_do_not_start_the_operator(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    version = importlib.metadata.version("defender-devops-operator")
    for option, output in (("--help", "DEFENDER_DEVOPS_"), ("--version", f"defender-devops-operator {version}\n")):
        arguments[1:] = [option]
        with pytest.raises(SystemExit) as exit_info:
            main()
        assert exit_info.value.code == 0
        assert output in capsys.readouterr().out


def test_an_unknown_argument_is_an_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    arguments.append("--namespace=x")
    with pytest.raises(SystemExit) as exit_info:
        main()
    assert exit_info.value.code == 2
    assert "unrecognized arguments: --namespace=x" in capsys.readouterr().err


def test_the_operator_imports_no_library_that_its_image_does_not_have() -> None:
    script = (
        "import sys, contextlib\n"
        "from defender_devops import __main__\n"
        "sys.argv = ['defender-devops-operator', '--version']\n"
        "with contextlib.suppress(SystemExit):\n"
        "    __main__.main()\n"
        "print(*(name for name, module in sys.modules.items() if module))"
    )
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    packages = {name.partition(".")[0] for name in output.split()}
    assert {"kopf", "structlog"} <= packages
    assert packages.isdisjoint(UNUSED_LIBRARIES)
