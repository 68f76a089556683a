"""Argo CD's scripts, run by a real Lua 5.1 (the dialect of Argo CD's own)."""

from __future__ import annotations

from typing import Any

from lupa.lua51 import LuaRuntime, lua_type

from tests.support.chart.helm import ROOT

__all__ = ["ARGOCD", "KINDS", "NOW", "health", "run"]

ARGOCD = ROOT / "deploy/gitops/argocd"
KINDS = sorted((ARGOCD / "resource_customizations/defender-devops.io").iterdir())
NOW = "0001-01-01T00:00:00Z"
"""The time that os.date returns to the scripts."""

_REMOVE_LIBRARIES = "io = nil; debug = nil; package = nil; dofile = nil; loadfile = nil; loadstring = nil"
"""Argo CD opens base, table, string, math and a small os; a script that needs more would fail only there."""


def health(obj: dict[str, Any]) -> dict[str, Any]:
    """Return the status and message that Argo CD shows for an object of this project."""
    (kind,) = (kind for kind in KINDS if kind.name == obj["kind"])
    return run((kind / "health.lua").read_text(), obj)


def run(script: str, obj: dict[str, Any], *, has_clock: bool = False) -> dict[str, Any]:
    """Return the script's result for an object, as Python values; os.date returns NOW unless it has the real clock."""
    lua = LuaRuntime(register_eval=False, unpack_returned_tuples=True)
    date = "os.date" if has_clock else f"function() return '{NOW}' end"
    lua.execute(f"os = {{ date = {date} }}; require = function(name) return _G[name] end")
    lua.execute(_REMOVE_LIBRARIES)
    lua.globals()["obj"] = _to_lua(lua, obj)
    result = _to_python(lua.execute(script))
    assert isinstance(result, dict)
    return result


def _to_lua(lua: LuaRuntime, value: object) -> object:
    if isinstance(value, dict):
        return lua.table_from({key: _to_lua(lua, inner) for key, inner in value.items()})
    if isinstance(value, list):
        return lua.table_from([_to_lua(lua, inner) for inner in value])
    return value


def _to_python(value: object) -> object:
    if lua_type(value) != "table":
        return value
    if len(value):
        return [_to_python(value[position + 1]) for position in range(len(value))]
    return {key: _to_python(inner) for key, inner in value.items()}
