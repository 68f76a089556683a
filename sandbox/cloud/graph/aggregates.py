"""Aggregate functions of `summarize`, compiled to Python code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sandbox.cloud.graph.errors import semantic
from sandbox.cloud.graph.expressions import Columns, Expression, Tokens, parse_arguments, text

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


_Arguments = Sequence[Expression]


@dataclass(frozen=True, slots=True)
class _Function:
    """An aggregate function.

    Attributes:
        build: compiles a call.
        least, most: number of arguments.
    """

    build: Callable[[_Arguments], Aggregate]
    least: int = 1
    most: int = 1


def _count(arguments: _Arguments) -> Aggregate:
    del arguments
    return Aggregate("0", ("{slot} += 1",), "long", "count_")


def _countif(arguments: _Arguments) -> Aggregate:
    return Aggregate("0", (f"if {_brace(arguments[0].source)}: {{slot}} += 1",), "long", "countif_")


def _sum(arguments: _Arguments) -> Aggregate:
    operand = arguments[0]
    kind = "real" if operand.type == "real" else "long"
    return Aggregate("0", (f"{{slot}} += {_brace(operand.source)} or 0",), kind, f"sum_{operand.name}")


def _extreme(name: str, symbol: str) -> Callable[[_Arguments], Aggregate]:
    def build(arguments: _Arguments) -> Aggregate:
        operand = arguments[0]
        # Values of a dynamic column may be of different types, which do not compare.
        is_better = f"ordered(value, {symbol!r}, {{slot}})" if operand.type == "dynamic" else f"value {symbol} {{slot}}"
        lines = (
            f"value = {_brace(operand.source)}",
            f"if value is not None and ({{slot}} is None or {is_better}): {{slot}} = value",
        )
        # A string is never null: of no rows it is empty.
        finish = "({slot} or '')" if operand.type == "string" else "{slot}"
        return Aggregate("None", lines, operand.type, f"{name}_{operand.name}", finish)

    return build


def _take_any(arguments: _Arguments) -> Aggregate:
    """An arbitrary value, preferably neither null nor empty."""
    operand = arguments[0]
    empty = "''" if operand.type == "string" else "None"
    line = f"if {{slot}} is None or {{slot}} == '': {{slot}} = {_brace(operand.source)}"
    return Aggregate(empty, (line,), operand.type, operand.name or "any_")


def _make_list(arguments: _Arguments) -> Aggregate:
    operand = arguments[0]
    lines = (f"value = {_brace(operand.source)}", "if value is not None: {slot}.append(plain(value))")
    return Aggregate("[]", lines, "dynamic", f"list_{operand.name}")


def _make_set(arguments: _Arguments) -> Aggregate:
    operand = arguments[0]
    lines = (
        f"value = {_brace(operand.source)}",
        "if value is not None: {slot}.setdefault(text_of(value), plain(value))",
    )
    return Aggregate("{{}}", lines, "dynamic", f"set_{operand.name}", "list({slot}.values())")


def _make_bag(arguments: _Arguments) -> Aggregate:
    """A property bag with the properties of all bags; of two values of a property an arbitrary one."""
    operand = arguments[0]
    lines = (f"value = {_brace(operand.source)}", "if isinstance(value, dict): {slot}.update(value)")
    return Aggregate("{{}}", lines, "dynamic", f"bag_{operand.name}")


def _dcount(arguments: _Arguments) -> Aggregate:
    """Number of different values: exact, where the service estimates above some thousands."""
    operand = arguments[0]
    # Hashes need a fraction of the memory of 100,000 ids.
    step = (f"{{slot}}.add(hash({_brace(text(operand))}))",)
    return Aggregate("set()", step, "long", f"dcount_{operand.name}", "len({slot})")


def _conditional(name: str, build: Callable[[_Arguments], Aggregate]) -> Callable[[_Arguments], Aggregate]:
    """Return the variant of an aggregate that ignores rows for which its second argument is false."""

    def build_conditional(arguments: _Arguments) -> Aggregate:
        operand, condition, *accuracy = arguments
        aggregate = build([operand, *accuracy])
        step = (f"if {_brace(condition.source)}:", *(f" {line}" for line in aggregate.step))
        return replace(aggregate, step=step, name=f"{name}_{operand.name}")

    return build_conditional


def _brace(source: str) -> str:
    """Escape code for use in a format template."""
    return source.replace("{", "{{").replace("}", "}}")


_FUNCTIONS: dict[str, _Function] = {
    "count": _Function(_count, 0, 0),
    "countif": _Function(_countif),
    "sum": _Function(_sum),
    "min": _Function(_extreme("min", "<")),
    "max": _Function(_extreme("max", ">")),
    "take_any": _Function(_take_any),
    "any": _Function(_take_any),
    "make_list": _Function(_make_list),
    "make_set": _Function(_make_set),
    "make_bag": _Function(_make_bag),
    "dcount": _Function(_dcount, 1, 2),
}
_FUNCTIONS |= {
    name: _Function(_conditional(name, _FUNCTIONS[base].build), 2, _FUNCTIONS[base].most + 1)
    for name, base in (
        ("sumif", "sum"),
        ("minif", "min"),
        ("maxif", "max"),
        ("take_anyif", "take_any"),
        ("make_list_if", "make_list"),
        ("make_set_if", "make_set"),
        ("make_bag_if", "make_bag"),
        ("dcountif", "dcount"),
    )
}


def parse_aggregate(tokens: Tokens, columns: Columns) -> Aggregate:
    """Parse and compile an aggregate.

    Raises:
        QueryError: invalid aggregate.
    """
    name = tokens.name()
    function = _FUNCTIONS.get(name)
    if function is None:
        raise semantic(f"Unknown aggregate function: '{name}'.")
    tokens.expect("(")
    arguments = parse_arguments(tokens, columns, ")")
    if not function.least <= len(arguments) <= function.most:
        raise semantic(f"{name}(): function expects {function.least} argument(s).")
    return function.build(arguments)
