"""Validation rules, defined once: as CEL for the API server and as a predicate for use without one.

A `Rule` is attached to what it constrains, either in `Annotated[...]` of a field's type or in `rules` of a model.
The CRD generator uses its CEL; parsing uses its predicate (for a manifest that `kubectl defender-devops plan` reads, or
an object that is older than the rule). Both have the same message. Tests apply one table of manifests to both.

Reference: kubernetes.io/docs/reference/using-api/cel and the fields of x-kubernetes-validations.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

RuleReason = Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired"]
"""Without FieldValueDuplicate: for it the API server replaces the message by "Duplicate value"."""

EXTENSION = "x-kubernetes-validations"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        cel: expression over `self` (and `oldSelf`) that must be true.
        message: what is wrong and what to do, naming the field; one line.
        holds: the same as a predicate of the parsed value; None if only the API server can evaluate it (`oldSelf`).
        field: path, below the place of the rule, that the error refers to, such as `.names`.
        reason: machine-readable class of the error.
        message_expression: CEL for a message that names the offending value; `message` is its fallback.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool] | None = None
    field: str = ""
    reason: RuleReason = "FieldValueInvalid"
    message_expression: str | None = None

    def schema(self) -> dict[str, str]:
        """Return the entry of x-kubernetes-validations."""
        entry = {"rule": self.cel, "message": self.message}
        if self.message_expression:
            entry["messageExpression"] = self.message_expression
        if self.field:
            entry["fieldPath"] = self.field
        if self.reason != "FieldValueInvalid":
            entry["reason"] = self.reason
        return entry

    def check(self, value: Any) -> Any:  # noqa: ANN401 - any model or scalar
        """Return the value if it satisfies the rule.

        Raises:
            PydanticCustomError: it does not; `field` in its context is the path.
        """
        if self.holds is not None and not self.holds(value):
            raise PydanticCustomError("rule", "{message}", {"message": self.message, "field": self.field})
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401 - pydantic's protocol
        """Check the rule after the type that it annotates."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the rule to the field's schema."""
        return schema_with_rules(handler(core), self)


def schema_with_rules(schema: dict[str, Any], *rules: Rule) -> dict[str, Any]:
    """Return the schema with the rules appended to its own."""
    return {**schema, EXTENSION: [*schema.get(EXTENSION, []), *(rule.schema() for rule in rules)]} if rules else schema


def pattern_rule(pattern: str, message: str) -> Rule:
    """Return a rule that a whole string matches a pattern.

    Args:
        pattern: without anchors and quotes, in the syntax that RE2 and Python share.
        message: what to write instead.
    """
    compiled = re.compile(pattern, re.ASCII)
    return Rule(
        cel=f"self.matches(r'^(?:{pattern})$')",
        message=message,
        holds=lambda value: compiled.fullmatch(value) is not None,
    )


def immutable_rule(field: str, instead: str) -> Rule:
    """Return a rule that a value cannot be changed."""
    return Rule(
        cel="self == oldSelf",
        message=f"{field} cannot be changed: {instead}",
        reason="FieldValueForbidden",
    )
