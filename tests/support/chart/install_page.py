"""Stand-ins for the programs of the installation pages that need Azure, a registry or the internet."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.support.pages import write_program

__all__ = ["APP_ID", "CLIENT_ID", "PAGE", "az_calls", "write_azure_programs"]

PAGE = Path(__file__).parents[3] / "docs/install-aks.md"

CLIENT_ID = "66666666-6666-6666-6666-666666666666"
"""Client id of the operator's identity in the sandbox's default world, which trusts its service account."""

APP_ID = "77777777-7777-7777-7777-777777777777"
"""Client id of the app of the sign-in in the sandbox's default world."""

_OUTPUTS = {
    "aks show": "https://oidc.contoso.com",
    "identity show": CLIENT_ID,
    "ad app create": APP_ID,
    "ad sp show": "ee69721e-6c3a-468f-a9ec-302d16a4c599",
}
"""What the commands print whose output the page uses."""


def write_azure_programs(folder: Path, outputs: Mapping[str, str] = MappingProxyType({})) -> None:
    """Write `az`, which records its arguments and prints ids, and `docker` and `curl`, which do nothing.

    Args:
        folder: where the programs are written.
        outputs: what other commands of `az` print, or the same ones on another page.
    """
    cases = "\n".join(
        f"  *' {command} '*) echo {shlex.quote(output)};;" for command, output in {**_OUTPUTS, **outputs}.items()
    )
    record = (
        f'for argument; do printf "%s\\0" "$argument"; done >> {folder}/az.calls; printf "\\n\\0" >> {folder}/az.calls'
    )
    write_program(folder, "az", f'{record}\ncase " $* " in\n{cases}\nesac')
    for program in ("docker", "curl"):
        write_program(folder, program, ":")


def az_calls(folder: Path) -> list[list[str]]:
    """Return the arguments of every `az` command so far."""
    calls: list[list[str]] = [[]]
    for argument in (folder / "az.calls").read_text().split("\0")[:-1]:
        if argument == "\n":
            calls.append([])
        else:
            calls[-1].append(argument)
    assert json.dumps(calls[-1]) == "[]"
    return calls[:-1]
