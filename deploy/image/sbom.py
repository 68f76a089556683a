"""Writes the image's bill of materials: what uv.lock put into it, and the packages of its base.

Usage: uv export --frozen --no-default-groups --extra traces --format cyclonedx1.5 | python sbom.py > sbom.cdx.json

Runs with the image's own Python. Of what the lock knows for all platforms only that is kept which is installed here,
and what is installed here without the lock's knowledge is an error. Nothing random and no time is in it, so that two
builds write the same file.
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
    """Read uv's export from standard input and write the bill; 1 where the image holds what the lock does not."""
    bill = json.load(sys.stdin)
    itself = bill["metadata"]["component"]
    installed = {_normalized(each.name) for each in importlib.metadata.distributions()} - {itself["name"]}
    locked = {each["name"]: each for each in bill["components"]}
    if unknown := sorted(installed - locked.keys()):
        print(f"installed, but not by uv.lock: {', '.join(unknown)}", file=sys.stderr)
        return 1
    libraries = [locked[name] for name in sorted(installed)]
    base = [_python(), *_debian_packages()]
    kept = {each["bom-ref"] for each in (itself, *libraries)}
    bill["metadata"].pop("timestamp", None)
    bill["metadata"]["component"] = {**itself, "type": "application"}
    bill["components"] = [*libraries, *base]
    bill["dependencies"] = [_within(each, kept) for each in bill["dependencies"] if each["ref"] in kept]
    bill["serialNumber"] = f"urn:uuid:{_serial(bill)}"
    json.dump(bill, sys.stdout, indent=1, sort_keys=True)
    print()
    return 0


def _normalized(name: str) -> str:
    """As indexes write it (https://packaging.python.org/specifications/name-normalization)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _within(dependency: Component, kept: set[str]) -> Component:
    """One entry of the graph, with its edges to what is installed."""
    edges = [ref for ref in dependency.get("dependsOn", []) if ref in kept]
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
    """What dpkg has installed; nothing where the base is no Debian."""
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
    """Names this content and no other."""
    content = {key: value for key, value in bill.items() if key != "serialNumber"}
    return uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))


if __name__ == "__main__":
    sys.exit(main())
