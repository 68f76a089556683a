"""Checks of the artifacts: each is used as its users do, and compared with what its manifest says of it."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.release.archives import read_tar_gz, sha256
from deploy.release.artifacts import NAME
from deploy.release.catalogues import krew, olm_rules
from deploy.release.programs import helm, run, uv
from deploy.release.provenance import CHECKSUMS, read_checksums
from deploy.release.registry import serve
from deploy.release.version import ReleaseError, Version

__all__ = ["CHECKS", "Artifacts", "check"]


@dataclass(frozen=True)
class Artifacts:
    """The folder of the artifacts of a version."""

    folder: Path
    version: Version

    def path(self, name: str) -> Path:
        """Return an artifact.

        Raises:
            ReleaseError: it is missing.
        """
        path = self.folder / name.format(version=self.version, python=self.version.python)
        if not path.is_file():
            raise ReleaseError(f"{path} is missing: `python -m deploy.release build` writes it")
        return path


def check(artifacts: Artifacts) -> list[str]:
    """Return what was checked, one sentence for each check.

    Raises:
        ReleaseError: an artifact is not as it should be.
    """
    return [function(artifacts) for function in CHECKS]


def _check_checksums(artifacts: Artifacts) -> str:
    digests = read_checksums(artifacts.folder)
    names = {path.name for path in artifacts.folder.iterdir() if path.is_file() and path.name != CHECKSUMS}
    if names != digests.keys():
        raise ReleaseError(f"{CHECKSUMS} does not list what is there: {sorted(names ^ digests.keys())}")
    wrong = [name for name, digest in digests.items() if sha256(artifacts.folder / name) != digest]
    if wrong:
        raise ReleaseError(f"the content of {', '.join(wrong)} is not that of {CHECKSUMS}: build again")
    return f"checksums: {len(digests)} files have the digests of {CHECKSUMS}"


def _check_wheel(artifacts: Artifacts) -> str:
    wheel = artifacts.path("defender_devops_operator-{python}-py3-none-any.whl")
    artifacts.path("defender_devops_operator-{python}.tar.gz")
    bill = json.loads(artifacts.path(f"{NAME}-{{version}}.cdx.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        environment, constraints = Path(folder) / "environment", Path(folder) / "constraints.txt"
        constraints.write_text(_constraints(bill))
        uv("venv", "--quiet", environment, cwd=Path(folder))
        install = ("pip", "install", "--quiet", "--python", environment / "bin/python", "--constraint", constraints)
        uv(*install, f"{wheel}[cli,traces]", cwd=Path(folder))
        answers = [
            run(environment / "bin" / program, "--version", cwd=environment)
            for program in ("defender-devops", "kubectl-defender_devops", "defender-devops-operator")
        ]
        packages = _package_names(environment)
    wrong = [text for text in answers if text.split()[-1] != artifacts.version.python]
    if wrong:
        raise ReleaseError(
            f"a program of the wheel prints the version as {wrong[0].strip()!r}, not {artifacts.version.python}"
        )
    missing_packages = packages - {component["name"] for component in bill["components"]} - {NAME}
    if missing_packages:
        names = ", ".join(sorted(missing_packages))
        raise ReleaseError(f"the bill of materials lacks {names}, which the wheel installs: run `uv lock`")
    return f"wheel: installed in an empty environment, three programs answer; {len(packages)} packages, all in the bill"


def _constraints(bill: dict[str, Any]) -> str:
    """Return the versions of a bill as pip's constraints, without packages of which it has several."""
    names = Counter(component["name"] for component in bill["components"])
    return "".join(
        f"{component['name']}=={component['version']}\n"
        for component in bill["components"]
        if names[component["name"]] == 1
    )


def _package_names(environment: Path) -> set[str]:
    output = uv("pip", "list", "--quiet", "--python", environment / "bin/python", "--format", "json", cwd=environment)
    return {package["name"].replace("_", "-").replace(".", "-").lower() for package in json.loads(output)}


def _check_bills(artifacts: Artifacts) -> str:
    bill = json.loads(artifacts.path(f"{NAME}-{{version}}.cdx.json").read_text())
    document = json.loads(artifacts.path(f"{NAME}-{{version}}.spdx.json").read_text())
    names = {(package["name"], package["versionInfo"]) for package in document["packages"]}
    components = {(component["name"], component.get("version", "unknown")) for component in bill["components"]}
    subject = (bill["metadata"]["component"]["name"], bill["metadata"]["component"].get("version"))
    if subject != (NAME, artifacts.version.python):
        raise ReleaseError(f"the bill of materials is that of {subject}, not of {NAME} {artifacts.version.python}")
    if names - {subject} != components:
        raise ReleaseError(f"CycloneDX and SPDX differ: {sorted(names ^ components)}")
    return f"bills of materials: CycloneDX and SPDX with the same {len(components)} packages"


def _check_plugin(artifacts: Artifacts) -> str:
    """Install the plugin as krew does: compare the digest, unpack the archive, and link its program."""
    manifest = yaml.safe_load(artifacts.path(f"{krew.PLUGIN}.yaml").read_text())
    (platform,) = manifest["spec"]["platforms"]
    archive = artifacts.path("kubectl-defender_devops-{version}.tar.gz")
    if platform["sha256"] != sha256(archive) or platform["uri"].rpartition("/")[2] != archive.name:
        raise ReleaseError(f"{krew.PLUGIN}.yaml has another digest or name than {archive.name}: build again")
    members = read_tar_gz(archive.read_bytes())
    with tempfile.TemporaryDirectory() as name:
        store, link = Path(name) / "store", Path(name) / "bin" / platform["bin"]
        store.mkdir()
        link.parent.mkdir()
        for path, member in members.items():
            (store / path).write_bytes(member.content)
            (store / path).chmod(0o755 if member.is_executable else 0o644)
        link.symlink_to(store / platform["bin"])
        first, second = (run(link, "--version", env={"XDG_CACHE_HOME": name}) for _ in range(2))
    if {first.split()[-1], second.split()[-1]} != {artifacts.version.python}:
        raise ReleaseError(f"the plugin prints {first!r}, then {second!r}, not the version {artifacts.version.python}")
    return f"krew: {krew.PLUGIN}.yaml has the archive's digest; unpacked and linked as krew does, it answers twice"


def _check_chart(artifacts: Artifacts) -> str:
    package = artifacts.path(f"{NAME}-{{version}}.tgz")
    with serve() as registry, tempfile.TemporaryDirectory() as folder:
        home = {f"HELM_{kind}_HOME": f"{folder}/{kind}" for kind in ("CACHE", "CONFIG", "DATA")}
        repository = f"oci://{registry.address}/charts"
        helm("push", package, repository, "--plain-http", env=home)
        pull = ("pull", f"{repository}/{NAME}", "--version", str(artifacts.version), "--plain-http")
        helm(*pull, "--destination", folder, env=home)
        copy = Path(folder) / package.name
        if sha256(copy) != sha256(package):
            raise ReleaseError(f"the registry returned another chart than {package.name}")
        manifests = list(yaml.safe_load_all(helm("template", NAME, copy, env=home)))
    images = [_image(manifest) for manifest in manifests if manifest and manifest["kind"] == "Deployment"]
    if [image.rpartition(":")[2] for image in images] != [str(artifacts.version)]:
        raise ReleaseError(f"the chart deploys {images}, not version {artifacts.version}")
    return f"chart: pushed to a registry and pulled by helm, same digest; it deploys {images[0]}"


def _image(deployment: dict[str, Any]) -> str:
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


def _check_bundle(artifacts: Artifacts) -> str:
    archive = artifacts.path(f"{NAME}-{{version}}-bundle.tar.gz")
    files = {path: member.content.decode() for path, member in read_tar_gz(archive.read_bytes()).items()}
    violations = olm_rules.violations(files, artifacts.version)
    if violations:
        raise ReleaseError("the bundle for OperatorHub is invalid: " + "; ".join(violations))
    return f"bundle for OperatorHub: {len(files)} files keep the rules of operator-framework/api"


def _check_notes(artifacts: Artifacts) -> str:
    notes = artifacts.path("release-notes.md").read_text()
    if "### " not in notes:
        raise ReleaseError("release-notes.md has no heading: CHANGELOG.md has an empty section for the version")
    return f"notes: {len(notes.splitlines())} lines of CHANGELOG.md"


CHECKS: tuple[Callable[[Artifacts], str], ...] = (
    _check_checksums,
    _check_wheel,
    _check_bills,
    _check_plugin,
    _check_chart,
    _check_bundle,
    _check_notes,
)
