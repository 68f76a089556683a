"""What a release attests about itself: checksums, and a statement of provenance (in-toto, SLSA 1.0)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.release.archives import sha256
from deploy.release.programs import run
from deploy.release.version import ReleaseError

__all__ = ["CHECKSUMS", "read_checksums", "statement", "write_checksums"]

CHECKSUMS = "SHA256SUMS"
_BUILD_TYPE = "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1"


def write_checksums(folder: Path) -> None:
    """Write the digests of all other files of a folder, in the form that `sha256sum --check` reads."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != CHECKSUMS)
    (folder / CHECKSUMS).write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in names))


def read_checksums(folder: Path) -> dict[str, str]:
    """Return the recorded digests by name.

    Raises:
        ReleaseError: the file is missing or a line has another form.
    """
    path = folder / CHECKSUMS
    if not path.is_file():
        raise ReleaseError(f"{path} is missing: `python -m deploy.release build --output {folder}` writes it")
    digests: dict[str, str] = {}
    for line in path.read_text().splitlines():
        match = re.fullmatch(r"([0-9a-f]{64})  (\S+)", line)
        if match is None:
            raise ReleaseError(f"{path} has a line that sha256sum does not write: {line!r}")
        digests[match[2]] = match[1]
    return digests


def statement(root: Path, digests: Mapping[str, str], parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return what the release workflow's attestation says of these files, with this machine as the builder.

    It is for the rehearsal: nobody can rely on a statement that its builder has not signed.

    Args:
        root: of the repository, at the commit that was built.
        digests: SHA-256 of each file by name.
        parameters: what the build was called with.
    """
    commit = run("git", "rev-parse", "HEAD", cwd=root).strip()
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(digests.items())],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE,
                "externalParameters": {"workflow": {"path": ".github/workflows/release.yml"}, **parameters},
                "resolvedDependencies": [
                    {"name": "source", "digest": {"gitCommit": commit}},
                    {"name": "uv.lock", "digest": {"sha256": sha256(root / "uv.lock")}},
                ],
            },
            "runDetails": {"builder": {"id": "urn:defender-devops-operator:rehearsal"}},
        },
    }
