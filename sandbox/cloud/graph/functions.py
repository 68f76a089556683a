"""Scalar functions of the query language, each as a piece of Python code around its arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["FUNCTIONS", "Function"]


@dataclass(frozen=True, slots=True)
class Function:
    """A scalar function.

    Attributes:
        template: code with `{0}`, `{1}` … for the arguments, or `{all}` for all of them.
        least, most: how many arguments it takes; None for any number.
        type: of what it gives; None for that of its arguments from `typed_from` on.
        texts: whether it wants its arguments as strings.
        special: writes the code where a template cannot.
    """

    template: str
    least: int
    most: int | None
    type: str | None
    typed_from: int = 0
    texts: bool = False
    special: Callable[[Sequence[str]], str] | None = None

    def takes(self, number: int) -> bool:
        """Whether it takes so many arguments."""
        return number >= self.least and (self.most is None or number <= self.most)

    @property
    def arity(self) -> str:
        """How many arguments it takes, in words."""
        return str(self.least) if self.least == self.most else f"{self.least} or more"

    def write(self, arguments: Sequence[str]) -> str:
        """Code for its value."""
        if self.special is not None:
            return self.special(arguments)
        return self.template.format(*arguments, all=", ".join(arguments))


def _case(arguments: Sequence[str]) -> str:
    *pairs, otherwise = arguments
    branches = "".join(f"{value} if {test} else " for test, value in zip(pairs[::2], pairs[1::2], strict=True))
    return f"({branches}{otherwise})"


def _strcat(arguments: Sequence[str]) -> str:
    return f"({' + '.join(arguments)})"


FUNCTIONS: dict[str, Function] = {
    "tostring": Function("{0}", 1, 1, "string", texts=True),
    "tolower": Function("{0}.lower()", 1, 1, "string", texts=True),
    "toupper": Function("{0}.upper()", 1, 1, "string", texts=True),
    "strlen": Function("len({0})", 1, 1, "long", texts=True),
    "strcat": Function("", 1, None, "string", texts=True, special=_strcat),
    "substring": Function("substring({all})", 2, 3, "string"),
    "replace_string": Function("{0}.replace({1}, {2})", 3, 3, "string", texts=True),
    "split": Function("{0}.split({1})", 2, 2, "dynamic", texts=True),
    "isempty": Function("({0} == '')", 1, 1, "bool", texts=True),
    "isnotempty": Function("({0} != '')", 1, 1, "bool", texts=True),
    "isnull": Function("({0} is None)", 1, 1, "bool"),
    "isnotnull": Function("({0} is not None)", 1, 1, "bool"),
    "not": Function("(not {0})", 1, 1, "bool"),
    "iff": Function("({1} if {0} else {2})", 3, 3, None, typed_from=1),
    "iif": Function("({1} if {0} else {2})", 3, 3, None, typed_from=1),
    "case": Function("", 3, None, "dynamic", special=_case),
    "coalesce": Function("coalesce({all})", 2, None, None),
    "toint": Function("to_long({0})", 1, 1, "long"),
    "tolong": Function("to_long({0})", 1, 1, "long"),
    "tobool": Function("to_bool({0})", 1, 1, "bool"),
    "todynamic": Function("parse_json({0})", 1, 1, "dynamic"),
    "parse_json": Function("parse_json({0})", 1, 1, "dynamic"),
    "array_length": Function("array_length({0})", 1, 1, "long"),
    "bag_pack": Function("bag({all})", 2, None, "dynamic"),
    "pack": Function("bag({all})", 2, None, "dynamic"),
}
