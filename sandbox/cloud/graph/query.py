"""Queries: a table and a pipeline of operators.

Supported operators: where, extend, project, project-away, summarize … by, join
(leftouter, inner, innerunique), order by, sort by, take, limit, top, count, distinct. Anything else is rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.cloud.graph.aggregates import Aggregate, parse_aggregate
from sandbox.cloud.graph.errors import disallowed, semantic
from sandbox.cloud.graph.expressions import Expression, Schema, Tokens, parse_expression
from sandbox.cloud.graph.lexer import tokenize
from sandbox.cloud.graph.runtime import rank
from sandbox.cloud.graph.stage import Rows, Stage, Step, TypeFilter

__all__ = ["Query", "Source", "parse_query"]

Source = Callable[[str, TypeFilter], Rows]
"""Returns the rows of a table by its name in lower case; rows of types that are not needed may be left out."""

_Operator = Callable[[Rows, Source], Rows]

_OPERATORS = (
    "where",
    "extend",
    "project",
    "project-away",
    "summarize",
    "join",
    "order",
    "sort",
    "take",
    "limit",
    "top",
    "count",
    "distinct",
)


@dataclass(frozen=True, slots=True)
class Query:
    """A compiled query.

    Attributes:
        table: in lower case.
        operators: in order.
        admits_type: which types of rows the operators need.
        schema: columns of the result with their types.
        ordered: whether the result has an order.
    """

    table: str
    operators: tuple[_Operator, ...]
    admits_type: TypeFilter
    schema: Schema
    ordered: bool

    def rows(self, source: Source) -> Rows:
        """Iterate over the rows of the result."""
        rows = source(self.table, self.admits_type)
        for operator in self.operators:
            rows = operator(rows, source)
        return rows


def parse_query(text: str, tables: dict[str, Schema], wall: float = 0.0) -> Query:
    """Parse and compile a query.

    Args:
        text: the query.
        tables: columns of each table, by name in lower case.
        wall: time of the request, for `now` and `ago`.

    Raises:
        QueryError: invalid or unsupported query.
    """
    tokens = Tokens(tokenize(text), wall)
    query = _pipeline(tokens, tables)
    tokens.accept(";")
    if tokens.head.kind != "end":
        raise tokens.unexpected()
    return query


def _pipeline(tokens: Tokens, tables: dict[str, Schema]) -> Query:
    begins_with_operator = tokens.head.kind == "name" and tokens.head.text in _OPERATORS
    table = "resources" if begins_with_operator else tokens.name()
    if not begins_with_operator and tokens.head.text not in ("|", ")", ";", "<EOF>"):
        raise tokens.unexpected("|")
    if table.lower() not in tables:
        raise disallowed(table)
    builder = _Builder(tokens, dict(tables[table.lower()]), tables)
    table_stage = builder.stage
    if begins_with_operator:
        builder.operator()
    while tokens.accept("|"):
        builder.operator()
    operators = tuple(builder.finish())
    return Query(table.lower(), operators, table_stage.admits_type(), builder.schema, builder.ordered)


class _Builder:
    """Compiles operators one by one and tracks the columns."""

    def __init__(self, tokens: Tokens, schema: Schema, tables: dict[str, Schema]) -> None:
        self._tokens = tokens
        self._tables = tables
        self.stage = Stage(schema)
        self._operators: list[_Operator] = []
        self.ordered = False

    @property
    def schema(self) -> Schema:
        """Columns after the operators so far."""
        return self.stage.schema

    def operator(self) -> None:
        """Compile the next operator.

        Raises:
            QueryError: unknown or invalid operator.
        """
        token = self._tokens.head
        if token.kind != "name":
            raise self._tokens.unexpected()
        if token.text not in _OPERATORS:
            raise disallowed(token.text)
        self._tokens.take()
        method = {"sort": "order", "limit": "take"}.get(token.text, token.text).replace("-", "_")
        getattr(self, f"_{method}")()

    def finish(self) -> list[_Operator]:
        """All operators."""
        self._close()
        return self._operators

    def _close(self) -> None:
        """End the current stage, so that it yields complete rows."""
        if not self.stage.empty:
            self._push(self.stage.finish(), self.stage.schema)

    def _push(self, step: Step, schema: Schema) -> None:
        self._operators.append(lambda rows, _: step(rows))
        self.stage = Stage(schema)

    # --- operators on single rows

    def _where(self) -> None:
        condition = parse_expression(self._tokens, self.stage.columns)
        if condition.type not in ("bool", "dynamic"):
            raise semantic("where operator: expression must be of type boolean.")
        self.stage.where(condition)

    def _extend(self) -> None:
        self.stage.extend(self._named_expressions())

    def _project(self) -> None:
        self.stage.project(self._named_expressions())

    def _project_away(self) -> None:
        dropped = self._column_names()
        self.stage.keep([name for name in self.schema if name not in dropped])

    def _named_expressions(self) -> list[tuple[str, Expression]]:
        columns: list[tuple[str, Expression]] = []
        while True:
            name = self._given_name()
            expression = parse_expression(self._tokens, self.stage.columns)
            columns.append((name or expression.name or f"Column{len(columns) + 1}", expression))
            if not self._tokens.accept(","):
                return columns

    def _given_name(self) -> str:
        """Return the `name =` of an expression, or an empty string."""
        if self._tokens.head.kind != "name" or self._tokens.peek().text != "=":
            return ""
        name = self._tokens.name()
        self._tokens.expect("=")
        return name

    def _column_names(self) -> list[str]:
        names = []
        while True:
            name = self._tokens.name()
            if name not in self.schema:
                raise semantic(f"Failed to resolve column named '{name}'.")
            names.append(name)
            if not self._tokens.accept(","):
                return names

    # --- operators on all rows

    def _summarize(self) -> None:
        aggregates = [] if self._tokens.head.text == "by" else self._aggregates()
        keys = self._named_expressions() if self._tokens.accept("by") else []
        self._group(keys, aggregates, "summarize")

    def _group(
        self, keys: list[tuple[str, Expression]], aggregates: list[tuple[str, Aggregate]], operator: str
    ) -> None:
        _refuse_dynamic(operator, {name: expression.type for name, expression in keys})
        schema = {name: expression.type for name, expression in keys}
        schema |= {name: aggregate.type for name, aggregate in aggregates}
        self._push(self.stage.summarize(keys, aggregates), schema)
        self.ordered = False

    def _aggregates(self) -> list[tuple[str, Aggregate]]:
        aggregates: list[tuple[str, Aggregate]] = []
        while True:
            name = self._given_name()
            aggregate = parse_aggregate(self._tokens, self.stage.columns)
            aggregates.append((name or aggregate.name, aggregate))
            if not self._tokens.accept(","):
                return aggregates

    def _distinct(self) -> None:
        self._group([(name, self.stage.columns[name]) for name in self._column_names()], [], "distinct")

    def _count(self) -> None:
        self._group([], [("Count", Aggregate("0", ("{slot} += 1",), "long", "Count"))], "count")

    def _take(self) -> None:
        number = self._number()
        self._close()
        self._push(lambda rows: (row for row, _ in zip(rows, range(number), strict=False)), self.schema)

    def _number(self) -> int:
        token = self._tokens.head
        if token.kind != "number" or "." in token.text:
            raise self._tokens.unexpected("Number")
        return int(self._tokens.take().text)

    def _top(self) -> None:
        number = self._number()
        self._order()
        self._push(lambda rows: list(rows)[:number], self.schema)

    def _order(self) -> None:
        self._tokens.expect("by")
        keys: list[tuple[str, bool]] = []
        while True:
            expression = parse_expression(self._tokens, self.stage.columns)
            _refuse_dynamic("order", {expression.name or "expression": expression.type})
            direction = self._tokens.accept("asc", "desc")
            descending = direction is None or direction.text == "desc"
            keys.append((f"sort key {len(keys)}", descending))
            # The key becomes a temporary column, removed again after sorting.
            self.stage.extend([(keys[-1][0], expression)])
            if self._tokens.accept("nulls"):
                self._tokens.expect("last" if descending else "first")
            if not self._tokens.accept(","):
                break
        names = [name for name in self.schema if name not in dict(keys)]
        self._close()

        def sort(rows: Rows) -> Rows:
            ordered_rows = list(rows)
            for name, descending in reversed(keys):  # sorting is stable: the last key first
                ordered_rows.sort(key=lambda row, name=name: rank(row[name]), reverse=descending)  # type: ignore[misc]
            return ordered_rows

        self._push(sort, self.schema)
        self.stage.keep(names)
        self.ordered = True

    def _join(self) -> None:
        kind = "innerunique"
        if self._tokens.accept("kind"):
            self._tokens.expect("=")
            kind = self._tokens.name()
        if kind not in ("leftouter", "inner", "innerunique"):
            raise disallowed(kind)
        self._tokens.expect("(")
        right = _pipeline(self._tokens, self._tables)
        self._tokens.expect(")")
        self._tokens.expect("on")
        pairs = self._join_keys(right.schema)
        self._close()
        left_schema = self.schema
        renamed = {name: _free_name(name, left_schema) for name in right.schema}
        self._operators.append(_join(kind, right, pairs, (list(left_schema), renamed)))
        self.stage = Stage(
            {**left_schema, **{renamed[name]: column_type for name, column_type in right.schema.items()}}
        )
        self.ordered = False

    def _join_keys(self, right: Schema) -> list[tuple[str, str]]:
        pairs = []
        while True:
            if self._tokens.head.text == "$left":
                left_name = self._side("$left")
                self._tokens.expect("==")
                right_name = self._side("$right")
            else:
                left_name = right_name = self._tokens.name()
            if left_name not in self.schema or right_name not in right:
                raise semantic(f"join: failed to resolve key '{left_name}'.")
            _refuse_dynamic("join", {left_name: self.schema[left_name], right_name: right[right_name]})
            pairs.append((left_name, right_name))
            if not (self._tokens.accept(",") or self._tokens.accept("and")):
                return pairs

    def _side(self, side: str) -> str:
        self._tokens.expect(side)
        self._tokens.expect(".")
        return self._tokens.name()


def _refuse_dynamic(operator: str, columns: Schema) -> None:
    for name, kind in columns.items():
        if kind == "dynamic":
            message = (
                f"{operator} operator: key '{name}' is of a 'dynamic' type. Please use an explicit cast (for example, "
                f"'{operator} ... by tostring({name})') as using a 'dynamic' type is not supported."
            )
            raise semantic(message)


def _join(kind: str, right: Query, pairs: list[tuple[str, str]], names: tuple[list[str], dict[str, str]]) -> _Operator:
    columns, renamed = names
    left_names, right_names = [left_name for left_name, _ in pairs], [name for _, name in pairs]
    nothing = {renamed[name]: "" if column_type == "string" else None for name, column_type in right.schema.items()}

    def join(rows: Rows, source: Source) -> Iterator[dict[str, Any]]:
        matches: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for row in right.rows(source):
            values = {renamed[name]: row[name] for name in right.schema}
            matches.setdefault(tuple(row[name] for name in right_names), []).append(values)
        joined_keys: set[tuple[Any, ...]] = set()
        for row in rows:
            key = tuple(row[name] for name in left_names)
            # innerunique, the default kind, keeps only the first left row of each key.
            if kind == "innerunique" and key in joined_keys:
                continue
            joined_keys.add(key)
            for match in matches.get(key, [nothing] if kind == "leftouter" else []):
                yield {**{name: row[name] for name in columns}, **match}

    return join


def _free_name(name: str, columns: Schema) -> str:
    """Return a free column name: columns of the right side that the left has too get a number."""
    candidate, number = name, 0
    while candidate in columns:
        number += 1
        candidate = f"{name}{number}"
    return candidate
