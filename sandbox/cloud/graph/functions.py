"""Scalar functions of the query language, compiled to Python code around their arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["FUNCTIONS", "Function"]


@dataclass(frozen=True, slots=True)
class Function:
    """A scalar function.

    Attributes:
        template: code with `{0}`, `{1}` … for the arguments, or `{all}` for all of them.
        least, most: number of arguments; None for any number.
        type: result type; None for the common type of the arguments that `typed` selects.
        texts: whether its arguments are converted to strings.
        special: generates the code if a template is not enough.
    """

    template: str
    least: int
    most: int | None
    type: str | None
    typed: Callable[[Sequence[str]], Sequence[str]] = list
    texts: bool = False
    special: Callable[[Sequence[str]], str] | None = None

    def takes(self, number: int) -> bool:
        """Whether it accepts this number of arguments."""
        return number >= self.least and (self.most is None or number <= self.most)

    @property
    def arity(self) -> str:
        """Description of the number of arguments."""
        return str(self.least) if self.least == self.most else f"{self.least} or more"

    def write(self, arguments: Sequence[str]) -> str:
        """Return the code of a call."""
        if self.special is not None:
            return self.special(arguments)
        return self.template.format(*arguments, all=", ".join(arguments))


def _case(arguments: Sequence[str]) -> str:
    *pairs, otherwise = arguments
    branches = "".join(f"{value} if {test} else " for test, value in zip(pairs[::2], pairs[1::2], strict=True))
    return f"({branches}{otherwise})"


def _strcat(arguments: Sequence[str]) -> str:
    return f"({' + '.join(arguments)})"


def _branches_of_iff(kinds: Sequence[str]) -> Sequence[str]:
    return kinds[1:]


def _branches_of_case(kinds: Sequence[str]) -> Sequence[str]:
    return [*kinds[1:-1:2], kinds[-1]]


FUNCTIONS: dict[str, Function] = {
    "tostring": Function("{0}", 1, 1, "string", texts=True),
    "tolower": Function("{0}.lower()", 1, 1, "string", texts=True),
    "toupper": Function("{0}.upper()", 1, 1, "string", texts=True),
    "strlen": Function("len({0})", 1, 1, "long", texts=True),
    "strcat": Function("", 1, None, "string", texts=True, special=_strcat),
    "substring": Function("substring({all})", 2, 3, "string"),
    "replace_string": Function("{0}.replace({1}, {2})", 3, 3, "string", texts=True),
    "split": Function("split({all})", 2, 3, "dynamic"),
    "strcat_delim": Function("{0}.join(({all},)[1:])", 2, None, "string", texts=True),
    "indexof": Function("{0}.find({1})", 2, 2, "long", texts=True),
    "extract": Function("extract({all})", 3, 3, "string"),
    "url_decode": Function("unquote({0})", 1, 1, "string", texts=True),
    "isempty": Function("({0} == '')", 1, 1, "bool", texts=True),
    "isnotempty": Function("({0} != '')", 1, 1, "bool", texts=True),
    "isnull": Function("({0} is None)", 1, 1, "bool"),
    "isnotnull": Function("({0} is not None)", 1, 1, "bool"),
    "not": Function("(not {0})", 1, 1, "bool"),
    "iff": Function("({1} if {0} else {2})", 3, 3, None, typed=_branches_of_iff),
    "iif": Function("({1} if {0} else {2})", 3, 3, None, typed=_branches_of_iff),
    "case": Function("", 3, None, None, typed=_branches_of_case, special=_case),
    "coalesce": Function("coalesce({all})", 2, None, None),
    "toint": Function("to_long({0})", 1, 1, "long"),
    "tolong": Function("to_long({0})", 1, 1, "long"),
    "tobool": Function("to_bool({0})", 1, 1, "bool"),
    "todynamic": Function("parse_json({0})", 1, 1, "dynamic"),
    "parse_json": Function("parse_json({0})", 1, 1, "dynamic"),
    "bag_keys": Function("bag_keys({0})", 1, 1, "dynamic"),
    "todatetime": Function("to_datetime({0})", 1, 1, "datetime"),
    "array_length": Function("array_length({0})", 1, 1, "long"),
    "bag_pack": Function("bag({all})", 2, None, "dynamic"),
    "pack": Function("bag({all})", 2, None, "dynamic"),
}
