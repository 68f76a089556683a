"""Linting the workflows of GitHub: actionlint for what GitHub would reject, zizmor for what an attacker could use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from deploy.release.version import ReleaseError
from sandbox.cluster.build import ensure_built
from sandbox.cluster.programs import ACTIONLINT, BinaryError

__all__ = ["lint_workflows"]


def lint_workflows(root: Path) -> None:
    """Lint .github; the linters print what they find.

    Raises:
        ReleaseError: a linter has findings, or cannot be built.
    """
    try:
        actionlint = ensure_built(ACTIONLINT)
    except BinaryError as error:
        raise ReleaseError(str(error)) from error
    zizmor = Path(sys.executable).with_name("zizmor")
    commands = (
        # Without the programs that it would use only where they happen to be installed.
        (actionlint, "-shellcheck=", "-pyflakes="),
        (zizmor, "--offline", "--quiet", "--persona", "pedantic", ".github"),
    )
    failed = [command[0].name for command in commands if subprocess.run(command, cwd=root, check=False).returncode]
    if failed:
        raise ReleaseError(f"{' and '.join(failed)} found problems in .github; the lines above have the cures")
