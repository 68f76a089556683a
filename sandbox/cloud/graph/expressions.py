"""Scalar expressions: from tokens to Python code.

A query over 100,000 rows has to answer in a second, so expressions become source code from which a whole operator is
compiled. Of the query only names of columns and constants go into it, both as Python literals.

Types matter too: Resource Graph refuses to group, join or sort by `dynamic`, a common mistake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.cloud.graph.errors import semantic, syntax
from sandbox.cloud.graph.functions import FUNCTIONS
from sandbox.cloud.graph.lexer import Token

__all__ = ["Columns", "Expression", "Schema", "Tokens", "parse_arguments", "parse_expression", "text"]

Schema = dict[str, str]

_VARIES = object()


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression.

    Attributes:
        source: Python code of its value.
        type: `string`, `long`, `real`, `bool`, `dynamic`, `datetime`, `timespan`.
        name: default column name; empty for none.
        value: its value if it is constant.
    """

    source: str
    type: str
    name: str = ""
    value: Any = _VARIES

    @property
    def constant(self) -> bool:
        """Whether it is independent of the row."""
        return self.value is not _VARIES


Columns = Mapping[str, Expression]
"""The columns that an expression may name, each with the code that gives its value."""


class Tokens:
    """A cursor over tokens.

    Args:
        tokens: of the query.
        wall: seconds since the epoch, for `now` and `ago`.
    """

    def __init__(self, tokens: Sequence[Token], wall: float = 0.0) -> None:
        self.wall = wall
        self._tokens = tokens
        self._position = 0

    @property
    def head(self) -> Token:
        """The next token."""
        return self._tokens[self._position]

    def peek(self, distance: int = 1) -> Token:
        """Return a later token without consuming it."""
        return self._tokens[min(self._position + distance, len(self._tokens) - 1)]

    def take(self) -> Token:
        """Consume the next token."""
        token = self.head
        if token.kind != "end":
            self._position += 1
        return token

    def accept(self, *texts: str) -> Token | None:
        """Consume and return the next token if it is one of these names or symbols."""
        if self.head.kind in ("name", "symbol") and self.head.text in texts:
            return self.take()
        return None

    def expect(self, text: str) -> Token:
        """Consume an expected token.

        Raises:
            QueryError: unexpected token.
        """
        token = self.accept(text)
        if token is None:
            raise self.unexpected(text)
        return token

    def name(self) -> str:
        """Consume a name.

        Raises:
            QueryError: unexpected token.
        """
        if self.head.kind != "name":
            raise self.unexpected("Identifier")
        return self.take().text

    def unexpected(self, expected: str | None = None) -> Exception:
        """Return the error for an unexpected token."""
        token = self.head
        return syntax(token.line, token.position, token.text, expected)


def text(expression: Expression) -> str:
    """Return code for the value as a string."""
    return expression.source if expression.type == "string" else f"text_of({expression.source})"


def constant(value: Any, kind: str) -> Expression:  # noqa: ANN401 - a literal
    """A literal."""
    return Expression(repr(value), kind, value=value)


def parse_expression(tokens: Tokens, columns: Columns) -> Expression:
    """Parse and compile an expression.

    Raises:
        QueryError: invalid expression.
    """
    lhs = _and(tokens, columns)
    while tokens.accept("or"):
        lhs = Expression(f"({lhs.source} or {_and(tokens, columns).source})", "bool")
    return lhs


def _and(tokens: Tokens, columns: Columns) -> Expression:
    lhs = _comparison(tokens, columns)
    while tokens.accept("and"):
        lhs = Expression(f"({lhs.source} and {_comparison(tokens, columns).source})", "bool")
    return lhs


def _comparison(tokens: Tokens, columns: Columns) -> Expression:
    lhs = _sum(tokens, columns)
    token = tokens.accept("==", "!=", "<>", "=~", "!~", "<", ">", "<=", ">=")
    if token is None:
        return _word_comparison(tokens, columns, lhs)
    rhs = _sum(tokens, columns)
    if token.text in ("=~", "!~"):
        symbol = "==" if token.text == "=~" else "!="
        return Expression(f"({_folded(lhs)} {symbol} {_folded(rhs)})", "bool")
    if token.text in ("==", "!=", "<>") and "string" in (lhs.type, rhs.type):
        symbol = "==" if token.text == "==" else "!="
        return Expression(f"({text(lhs)} {symbol} {text(rhs)})", "bool")
    if token.text in ("==", "!=", "<>"):
        negation = "" if token.text == "==" else "not "
        return Expression(f"({negation}equal({lhs.source}, {rhs.source}))", "bool")
    return Expression(f"ordered({lhs.source}, {token.text!r}, {rhs.source})", "bool")


def _folded(expression: Expression) -> str:
    """Return code for the value as a string in lower case."""
    if expression.constant and expression.type == "string":
        return repr(expression.value.lower())
    return f"{text(expression)}.lower()"


_TEXT_OPERATORS = {
    "contains": "({part} in {text})",
    "has": "has({text}, {part})",
    "startswith": "{text}.startswith({part})",
    "endswith": "{text}.endswith({part})",
}


def _word_comparison(tokens: Tokens, columns: Columns, lhs: Expression) -> Expression:
    """Parse operators that are words, such as `contains` and `!in~`."""
    if tokens.head.kind != "name":
        return lhs
    word = tokens.head.text.removeprefix("!")
    negation = "" if word == tokens.head.text else "not "
    if word in ("in", "in~"):
        tokens.take()
        return Expression(f"({negation}{_membership(tokens, columns, lhs, folded=word == 'in~')})", "bool")
    template = _TEXT_OPERATORS.get(word.removesuffix("_cs"))
    if template is None:
        return lhs
    tokens.take()
    rhs = _sum(tokens, columns)
    whole, part = (text(lhs), text(rhs)) if word.endswith("_cs") else (_folded(lhs), _folded(rhs))
    return Expression(f"({negation}{template.format(text=whole, part=part)})", "bool")


def _membership(tokens: Tokens, columns: Columns, lhs: Expression, *, folded: bool) -> str:
    tokens.expect("(")
    members = parse_arguments(tokens, columns, ")")
    write = _folded if folded else text
    return f"({write(lhs)} in ({', '.join(write(member) for member in members)},))" if members else "False"


def _sum(tokens: Tokens, columns: Columns) -> Expression:
    lhs = _product(tokens, columns)
    while token := tokens.accept("+", "-"):
        lhs = _arithmetic(lhs, token.text, _product(tokens, columns))
    return lhs


def _product(tokens: Tokens, columns: Columns) -> Expression:
    lhs = _postfix(tokens, columns)
    while token := tokens.accept("*", "/", "%"):
        lhs = _arithmetic(lhs, token.text, _postfix(tokens, columns))
    return lhs


def _arithmetic(lhs: Expression, symbol: str, rhs: Expression) -> Expression:
    kinds = {lhs.type, rhs.type}
    kind = "real" if "real" in kinds else "long"
    if "datetime" in kinds:
        kind = "timespan" if lhs.type == rhs.type else "datetime"
    elif "timespan" in kinds:
        kind = "timespan"
    return Expression(f"arithmetic({lhs.source}, {symbol!r}, {rhs.source})", kind)


def _postfix(tokens: Tokens, columns: Columns) -> Expression:
    lhs = _primary(tokens, columns)
    while True:
        prefix = f"{lhs.name}_" if lhs.name else ""
        if tokens.accept("."):
            name = tokens.name()
            lhs = Expression(f"member({lhs.source}, {name!r})", "dynamic", prefix and prefix + name)
        elif tokens.accept("["):
            index = parse_expression(tokens, columns)
            tokens.expect("]")
            lhs = Expression(f"element({lhs.source}, {index.source})", "dynamic", prefix)
        else:
            return lhs


def _primary(tokens: Tokens, columns: Columns) -> Expression:
    token = tokens.head
    if token.kind in ("string", "number", "datetime", "timespan"):
        return _literal(tokens.take())
    if tokens.accept("-"):
        inner = _primary(tokens, columns)
        if inner.constant and inner.type in ("long", "real"):
            return constant(-inner.value, inner.type)
        return _arithmetic(constant(0, "long"), "-", inner)
    if tokens.accept("("):
        inner = parse_expression(tokens, columns)
        tokens.expect(")")
        return inner
    if token.kind != "name":
        raise tokens.unexpected()
    return _name_or_call(tokens, columns)


def _literal(token: Token) -> Expression:
    if token.kind == "string":
        return constant(token.text, "string")
    if token.kind == "datetime":
        return Expression(f"to_datetime({token.text.partition('(')[2][:-1].strip()!r})", "datetime")
    if token.kind == "timespan":
        return Expression(f"to_timespan({token.text!r})", "timespan")
    return constant(float(token.text), "real") if "." in token.text else constant(int(token.text), "long")


def _name_or_call(tokens: Tokens, columns: Columns) -> Expression:
    name = tokens.take().text
    if name in ("true", "false"):
        return constant(name == "true", "bool")
    if tokens.accept("("):
        special = {"dynamic": _dynamic, "now": _now, "ago": _ago}.get(name)
        return _call(tokens, columns, name) if special is None else special(tokens)
    if name not in columns:
        raise semantic(f"Failed to resolve scalar expression named '{name}'.")
    return columns[name]


def _call(tokens: Tokens, columns: Columns, name: str) -> Expression:
    arguments = parse_arguments(tokens, columns, ")")
    function = FUNCTIONS.get(name)
    if function is None:
        raise semantic(f"Unknown function: '{name}'.")
    if not function.takes(len(arguments)):
        raise semantic(f"{name}(): function expects {function.arity} argument(s).")
    kind = function.type or _common(function.typed([argument.type for argument in arguments]))
    sources = [text(argument) if function.texts else argument.source for argument in arguments]
    column_name = arguments[0].name if name == "tostring" else ""
    return Expression(function.write(sources), kind, column_name)


def _common(kinds: Sequence[str]) -> str:
    """Return the common type of branches, or dynamic."""
    return kinds[0] if len(set(kinds)) == 1 else "dynamic"


def _now(tokens: Tokens) -> Expression:
    """Parse the rest of `now()`: the time of the request."""
    tokens.expect(")")
    return Expression(f"moment({tokens.wall!r})", "datetime")


def _ago(tokens: Tokens) -> Expression:
    """Parse the rest of `ago(timespan)`."""
    (span,) = parse_arguments(tokens, {}, ")") or [constant(None, "dynamic")]
    if span.type != "timespan":
        raise semantic("ago(): function expects 1 argument(s) of type timespan.")
    return _arithmetic(Expression(f"moment({tokens.wall!r})", "datetime"), "-", span)


def _dynamic(tokens: Tokens) -> Expression:
    """Parse a literal of type dynamic; only null and flat lists are supported."""
    if tokens.accept("null"):
        tokens.expect(")")
        return constant(None, "dynamic")
    tokens.expect("[")
    items = parse_arguments(tokens, {}, "]")
    tokens.expect(")")
    if not all(item.constant for item in items):
        raise semantic("dynamic(): a literal must be constant.")
    return constant([item.value for item in items], "dynamic")


def parse_arguments(tokens: Tokens, columns: Columns, end: str) -> list[Expression]:
    """Parse and compile expressions separated by commas, up to the symbol `end`.

    Raises:
        QueryError: invalid expression.
    """
    items: list[Expression] = []
    if tokens.accept(end):
        return items
    while True:
        items.append(parse_expression(tokens, columns))
        if tokens.accept(end):
            return items
        tokens.expect(",")
