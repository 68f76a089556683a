"""A stage: operators on single rows, compiled into one Python function.

Columns are local variables within a stage; only at its end a row becomes a dictionary again.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any

from sandbox.cloud.graph.aggregates import Aggregate
from sandbox.cloud.graph.expressions import Expression, Schema
from sandbox.cloud.graph.runtime import NAMES

__all__ = ["Rows", "Stage", "Step", "TypeFilter"]

Rows = Iterable[dict[str, Any]]
Step = Callable[[Rows], Rows]
TypeFilter = Callable[[str], bool]
"""Whether rows of a resource type are needed."""

_COLUMN = re.compile(r"row\['(\w+)'\]")


class Stage:
    """Collects the code of operators on single rows.

    Args:
        schema: columns of the input rows.
    """

    def __init__(self, schema: Schema) -> None:
        self.columns = {name: Expression(f"row[{name!r}]", kind, name) for name, kind in schema.items()}
        self._lines: list[str] = []
        self._names = itertools.count()
        self._conditions: list[str] = []

    @property
    def schema(self) -> Schema:
        """Columns after the operators so far."""
        return {name: expression.type for name, expression in self.columns.items()}

    @property
    def empty(self) -> bool:
        """Whether it does nothing."""
        return not self._lines and all(
            expression.source == f"row[{name!r}]" for name, expression in self.columns.items()
        )

    def where(self, condition: Expression) -> None:
        """Keep only rows that satisfy the condition."""
        # Only the conditions at the start concern the rows as the table gives them.
        if len(self._conditions) == len(self._lines):
            self._conditions.append(condition.source)
        self._lines.append(f"if not {condition.source}: continue")

    def admits_type(self) -> TypeFilter:
        """Return whether a row of a type may satisfy the conditions at the start of the stage.

        Only conditions on the column `type` alone count, so that a table need not create rows of other types.
        """
        conditions = [source for source in self._conditions if set(_COLUMN.findall(source)) == {"type"}]
        scope: dict[str, Any] = dict(NAMES)
        expression = compile(" and ".join(conditions) or "True", "<conditions on the type>", "eval")
        return lambda kind: bool(eval(expression, scope, {"row": {"type": kind}}))  # noqa: S307 - as in _compile

    def extend(self, columns: list[tuple[str, Expression]]) -> None:
        """Add or replace columns; their expressions use the previous columns."""
        self.columns = {**self.columns, **self._assign(columns)}

    def project(self, columns: list[tuple[str, Expression]]) -> None:
        """Keep only these columns."""
        self.columns = self._assign(columns)

    def keep(self, names: list[str]) -> None:
        """Keep only the columns of these names."""
        self.columns = {name: self.columns[name] for name in names}

    def _assign(self, columns: list[tuple[str, Expression]]) -> dict[str, Expression]:
        assigned = {}
        for name, expression in columns:
            variable = f"v{next(self._names)}"
            self._lines.append(f"{variable} = {expression.source}")
            assigned[name] = Expression(variable, expression.type, name)
        return assigned

    def finish(self) -> Step:
        """Return a function that runs rows through the stage."""
        items = ", ".join(f"{name!r}: {expression.source}" for name, expression in self.columns.items())
        return _compile([*self._lines, f"yield {{{items}}}"], [])

    def summarize(self, keys: list[tuple[str, Expression]], aggregates: list[tuple[str, Aggregate]]) -> Step:
        """Return a function that runs rows through the stage and groups the results."""
        starts = ", ".join(aggregate.start.format() for _, aggregate in aggregates)
        key = "".join(f"{expression.source}, " for _, expression in keys)
        lines = [
            *self._lines,
            f"key = ({key})",
            "group = groups.get(key)",
            f"if group is None: group = groups[key] = [{starts}]",
        ]
        for position, (_, aggregate) in enumerate(aggregates):
            lines += [line.format(slot=f"group[{position}]") for line in aggregate.step]
        named_keys = [f"{name!r}: key[{position}]" for position, (name, _) in enumerate(keys)]
        results = [
            f"{name!r}: {aggregate.finish.format(slot=f'group[{position}]')}"
            for position, (name, aggregate) in enumerate(aggregates)
        ]
        end = [f"for key, group in groups.items(): yield {{{', '.join([*named_keys, *results])}}}"]
        # Without keys there is always one row, even for no input.
        if not keys:
            end.insert(0, f"if not groups: groups[()] = [{starts}]")
        return _compile(lines, end)


def _compile(body: list[str], end: list[str]) -> Step:
    """Compile a generator function with a loop over rows and code after it."""
    lines = ["def stage(rows):", " groups = {}", " for row in rows:"]
    lines += [f"  {line}" for line in body] + [f" {line}" for line in end]
    scope: dict[str, Any] = dict(NAMES)
    exec("\n".join(lines), scope)  # noqa: S102 - our own code; of the query only literals are in it
    stage: Step = scope["stage"]
    return stage
