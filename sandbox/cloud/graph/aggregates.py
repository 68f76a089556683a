"""Aggregate functions of `summarize`, compiled to Python code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.cloud.graph.errors import semantic
from sandbox.cloud.graph.expressions import Columns, Expression, Tokens, parse_expression, text

__all__ = ["Aggregate", "parse_aggregate"]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A compiled aggregate.

    Attributes:
        start: code of the initial value of a group.
        step: lines that update `{slot}` with a row.
        finish: code of the result, computed from `{slot}`.
        type: of the result.
        name: default column name.
    """

    start: str
    step: tuple[str, ...]
    type: str
    name: str
    finish: str = "{slot}"


def _count(argument: Expression | None) -> Aggregate:
    del argument
    return Aggregate("0", ("{slot} += 1",), "long", "count_")


def _countif(argument: Expression | None) -> Aggregate:
    condition = _needed("countif", argument).source
    return Aggregate("0", (f"if {_brace(condition)}: {{slot}} += 1",), "long", "countif_")


def _sum(argument: Expression | None) -> Aggregate:
    operand = _needed("sum", argument)
    kind = "real" if operand.type == "real" else "long"
    return Aggregate("0", (f"{{slot}} += {_brace(operand.source)} or 0",), kind, f"sum_{operand.name}")


def _extreme(name: str, symbol: str) -> Callable[[Expression | None], Aggregate]:
    def build(argument: Expression | None) -> Aggregate:
        operand = _needed(name, argument)
        lines = (
            f"value = {_brace(operand.source)}",
            f"if value is not None and ({{slot}} is None or value {symbol} {{slot}}): {{slot}} = value",
        )
        return Aggregate("None", lines, operand.type, f"{name}_{operand.name}")

    return build


def _take_any(argument: Expression | None) -> Aggregate:
    """An arbitrary value, preferably neither null nor empty."""
    operand = _needed("take_any", argument)
    empty = "''" if operand.type == "string" else "None"
    line = f"if {{slot}} is None or {{slot}} == '': {{slot}} = {_brace(operand.source)}"
    return Aggregate(empty, (line,), operand.type, operand.name or "any_")


def _make_list(argument: Expression | None) -> Aggregate:
    operand = _needed("make_list", argument)
    lines = (f"value = {_brace(operand.source)}", "if value is not None: {slot}.append(value)")
    return Aggregate("[]", lines, "dynamic", f"list_{operand.name}")


def _make_set(argument: Expression | None) -> Aggregate:
    operand = _needed("make_set", argument)
    lines = (f"value = {_brace(operand.source)}", "if value is not None: {slot}.setdefault(text_of(value), value)")
    return Aggregate("{{}}", lines, "dynamic", f"set_{operand.name}", "list({slot}.values())")


def _dcount(argument: Expression | None) -> Aggregate:
    operand = _needed("dcount", argument)
    return Aggregate(
        "set()", (f"{{slot}}.add({_brace(text(operand))})",), "long", f"dcount_{operand.name}", "len({slot})"
    )


def _brace(source: str) -> str:
    """Escape code for use in a format template."""
    return source.replace("{", "{{").replace("}", "}}")


_AGGREGATES: dict[str, Callable[[Expression | None], Aggregate]] = {
    "count": _count,
    "countif": _countif,
    "sum": _sum,
    "min": _extreme("min", "<"),
    "max": _extreme("max", ">"),
    "take_any": _take_any,
    "any": _take_any,
    "make_list": _make_list,
    "make_set": _make_set,
    "dcount": _dcount,
}


def _needed(name: str, argument: Expression | None) -> Expression:
    if argument is None:
        raise semantic(f"{name}(): function expects 1 argument(s).")
    return argument


def parse_aggregate(tokens: Tokens, columns: Columns) -> Aggregate:
    """Parse and compile an aggregate.

    Raises:
        QueryError: invalid aggregate.
    """
    name = tokens.name()
    build = _AGGREGATES.get(name)
    if build is None:
        raise semantic(f"Unknown aggregate function: '{name}'.")
    tokens.expect("(")
    if tokens.accept(")"):
        return build(None)
    argument = parse_expression(tokens, columns)
    tokens.expect(")")
    return build(argument)
