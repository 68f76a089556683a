"""Writes the image's software bill of materials: the packages of uv.lock, and the packages of its base image.

Usage: uv export --frozen --no-default-groups --extra traces --format cyclonedx1.5 | python sbom.py > sbom.cdx.json

Runs with the image's own Python. The lock file covers all platforms: only packages that are installed here are
included, and an installed package that the lock file does not contain is an error. The output has no random values and
no timestamps, so that two builds write the same file.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

Component = dict[str, Any]

_PACKAGE_FIELDS = ("Package", "Version", "Architecture", "source:Package")


def main() -> int:
    """Read uv's export from standard input and write the bill of materials.

    Returns:
        1 if a package is installed that the lock file does not contain.
    """
    bill = json.load(sys.stdin)
    operator = bill["metadata"]["component"]
    installed = {_normalized(package.name) for package in importlib.metadata.distributions()} - {operator["name"]}
    locked = {component["name"]: component for component in bill["components"]}
    if unknown := sorted(installed - locked.keys()):
        print(f"installed, but not by uv.lock: {', '.join(unknown)}", file=sys.stderr)
        return 1
    libraries = [locked[name] for name in sorted(installed)]
    base = [_python(), *_debian_packages()]
    references = {component["bom-ref"] for component in (operator, *libraries)}
    bill["metadata"].pop("timestamp", None)
    bill["metadata"]["component"] = {**operator, "type": "application"}
    bill["components"] = [*libraries, *base]
    bill["dependencies"] = [
        _installed_edges(node, references) for node in bill["dependencies"] if node["ref"] in references
    ]
    bill["serialNumber"] = f"urn:uuid:{_serial(bill)}"
    json.dump(bill, sys.stdout, indent=1, sort_keys=True)
    print()
    return 0


def _normalized(name: str) -> str:
    """Return the name as package indexes write it (https://packaging.python.org/specifications/name-normalization)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed_edges(dependency: Component, references: set[str]) -> Component:
    """Return one node of the dependency graph with its edges to installed packages."""
    edges = [ref for ref in dependency.get("dependsOn", []) if ref in references]
    return {"ref": dependency["ref"], **({"dependsOn": edges} if edges else {})}


def _python() -> Component:
    version = platform.python_version()
    return {
        "type": "platform",
        "bom-ref": f"cpython@{version}",
        "name": "cpython",
        "version": version,
        "purl": f"pkg:generic/cpython@{version}",
    }


def _debian_packages() -> Iterator[Component]:
    """Yield the installed Debian packages; none if the base image is not Debian."""
    if shutil.which("dpkg-query") is None:
        return
    form = "\t".join(f"${{{field}}}" for field in _PACKAGE_FIELDS) + "\n"
    listed = subprocess.run(["dpkg-query", "--show", "--showformat", form], capture_output=True, text=True, check=True)
    for line in sorted(listed.stdout.splitlines()):
        name, version, architecture, source = line.split("\t")
        purl = f"pkg:deb/debian/{name}@{version.replace('+', '%2B').replace(':', '%3A')}?arch={architecture}"
        yield {
            "type": "library",
            "bom-ref": f"deb-{name}@{version}-{architecture}",
            "name": name,
            "version": version,
            "purl": purl,
            "properties": [{"name": "debian:source", "value": source}],
        }


def _serial(bill: Component) -> uuid.UUID:
    """Return a UUID that is derived from the content."""
    content = {key: value for key, value in bill.items() if key != "serialNumber"}
    return uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))


if __name__ == "__main__":
    sys.exit(main())
