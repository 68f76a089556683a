"""Generates the chart's README, and its copies of the CRDs.

Usage: python deploy/helm/generate.py [--check]

The README is generated from README.md.gotmpl, Chart.yaml and the comments in values.yaml. It follows the conventions of
helm-docs (github.com/norwoodj/helm-docs, 1.14): that tool writes exactly the same text; this script needs no Go. It
supports the templates that README.md.gotmpl uses.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

_CHART = Path(__file__).parent / "defender-devops-operator"
_CRDS = Path(__file__).parents[1] / "crds"
_TYPES = {"str": "string", "bool": "bool", "int": "int", "float": "float", "list": "list", "dict": "object"}


def main() -> int:
    """Write the files, or with --check return the number of outdated ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is outdated")
    check = parser.parse_args().check
    # Copies, not a symbolic link: git archives of GitOps tools drop links, and the chart would install no CRDs.
    files = {_CHART / "files/crds" / path.name: path.read_text() for path in sorted(_CRDS.glob("*.yaml"))}
    files[_CHART / "README.md"] = _readme()
    surplus = [path for path in (_CHART / "files/crds").iterdir() if path not in files]
    outdated = [
        path for path, text in files.items() if path.is_symlink() or not path.exists() or path.read_text() != text
    ]
    for path in (*surplus, *outdated):
        if check:
            print(f"{path.relative_to(_CHART.parents[2])} is outdated: run `make generate`", file=sys.stderr)
        elif path in files:
            path.unlink(missing_ok=True)
            path.write_text(files[path])
        else:
            path.unlink()
    return len(surplus) + len(outdated) if check else 0


def _readme() -> str:
    chart = yaml.safe_load((_CHART / "Chart.yaml").read_text())
    templates = {
        "chart.header": f"# {chart['name']}\n",
        "chart.description": chart["description"],
        "chart.kubeVersion": chart["kubeVersion"],
        "chart.versionBadge": _badge("Version", chart["version"]),
        "chart.typeBadge": _badge("Type", chart["type"]),
        "chart.appVersionBadge": _badge("AppVersion", chart["appVersion"]),
        "chart.valuesSection": _values_section(),
    }
    template = (_CHART / "README.md.gotmpl").read_text()
    text = re.sub(r'{{ template "([\w.]+)" \. }}', lambda match: templates[match[1]], template)
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines()) + "\n"


def _badge(label: str, value: str) -> str:
    shield = f"{quote(label)}-{quote(value.replace('-', '--'))}-informational?style=flat-square"
    return f"![{label}: {value}](https://img.shields.io/badge/{shield}) "


def _values_section() -> str:
    text = (_CHART / "values.yaml").read_text()
    comments = _comments(text)
    rows = sorted(_rows(yaml.safe_load(text), comments, (), documented=False))
    lines = ["## Values", "", "| Key | Type | Default | Description |", "|-----|------|---------|-------------|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows]) + "\n"


def _rows(
    values: dict[str, Any], comments: dict[tuple[str, ...], str], path: tuple[str, ...], *, documented: bool
) -> Iterator[tuple[str, str, str, str]]:
    """Yield a row for each key with a comment and, below keys without one, for each leaf."""
    for key, value in values.items():
        key_path = (*path, key)
        comment = comments.get(key_path)
        branch = isinstance(value, dict) and value
        if comment is not None or not (branch or documented):
            default = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
            yield ".".join(key_path), _TYPES[type(value).__name__], f"`{default}`", comment or ""
        if branch:
            yield from _rows(value, comments, key_path, documented=documented or comment is not None)


def _comments(text: str) -> dict[tuple[str, ...], str]:
    """Return the `# --` comments by the path of the key below each."""
    comments: dict[tuple[str, ...], str] = {}
    path: list[tuple[int, str]] = []
    comment: list[str] | None = None
    for line in text.splitlines():
        if begin := re.match(r"\s*# -- (.*)", line):
            comment = [begin[1]]
        elif more := re.match(r"\s*# (.*)", line):
            if comment is not None:
                comment.append(more[1])
        elif key := re.match(r"(\s*)([\w-]+):", line):
            path = [(indent, name) for indent, name in path if indent < len(key[1])]
            path.append((len(key[1]), key[2]))
            if comment is not None:
                comments[tuple(name for _, name in path)] = " ".join(comment)
            comment = None
        else:
            comment = None
    return comments


if __name__ == "__main__":
    sys.exit(main())
