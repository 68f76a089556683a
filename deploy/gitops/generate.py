"""Generates argocd/argocd-cm.yaml from the Lua scripts, for an Argo CD that does not include them itself.

python deploy/gitops/generate.py [--check]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

_ARGOCD = Path(__file__).parent / "argocd"
_TARGET = _ARGOCD / "argocd-cm.yaml"
_HEADER = """\
# Generated from resource_customizations by `make generate`: edit those files instead.
# kubectl patch configmap argocd-cm --namespace argocd --type merge --patch-file argocd-cm.yaml
"""


class _Literal(str):
    """A text that YAML writes as a literal block."""

    __slots__ = ()


yaml.SafeDumper.add_representer(
    _Literal, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
)


def main() -> int:
    """Write the ConfigMap, or with --check return 1 if it is outdated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the file is outdated")
    text = _HEADER + _dump({"data": dict(_entries())})
    if not parser.parse_args().check:
        _TARGET.write_text(text)
    elif not _TARGET.exists() or _TARGET.read_text() != text:
        print(f"{_TARGET.name} is outdated: run `make generate`", file=sys.stderr)
        return 1
    return 0


def _entries() -> list[tuple[str, _Literal]]:
    entries = []
    for kind in sorted((_ARGOCD / "resource_customizations").glob("*/*")):
        name = f"{kind.parent.name}_{kind.name}"
        entries.append((f"resource.customizations.health.{name}", _Literal((kind / "health.lua").read_text())))
        if (kind / "actions").exists():
            entries.append((f"resource.customizations.actions.{name}", _Literal(_dump(_actions(kind / "actions")))))
    return entries


def _actions(folder: Path) -> dict[str, object]:
    discovery = (folder / "discovery.lua").read_text()
    scripts = sorted(folder.glob("*/action.lua"))
    definitions = [{"name": path.parent.name, "action.lua": _Literal(path.read_text())} for path in scripts]
    return {"discovery.lua": _Literal(discovery), "definitions": definitions}


def _dump(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000)


if __name__ == "__main__":
    sys.exit(main())
