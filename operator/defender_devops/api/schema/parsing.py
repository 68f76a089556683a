"""Parses a resource's body, and turns validation errors into one sentence.

Parsing is lenient about unknown fields (a newer version may have added them) and strict about known ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from defender_devops.api.schema.model import ApiModel

__all__ = ["InvalidManifest", "parse_resource"]

_PROBLEMS: Final = {
    "missing": "is required: add it",
    "rule": "{message}",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
    "model_type": "must be a mapping of fields",
    "dict_type": "must be a mapping of fields",
    "mapping_type": "must be a mapping of fields",
    "tuple_type": "must be a list",
}
"""Messages for pydantic's error types; for any other, pydantic's own sentence is adapted to follow a field name."""


class InvalidManifest(ValueError):
    """A resource's manifest is not valid.

    Args:
        message: one sentence that names the field and says what to do. It never repeats a value, since secrets are
            sometimes pasted into the wrong field.
        fields: paths of all invalid fields.
    """

    def __init__(self, message: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields


_FURTHER_FIELDS_MAX: Final = 5
"""Further invalid fields that the message names: enough to correct them together, few enough to read."""

ModelT = TypeVar("ModelT", bound=ApiModel)


def parse_resource(model: type[ModelT], body: Mapping[str, Any]) -> ModelT:
    """Parse a body from the API server or from a manifest.

    Raises:
        InvalidManifest: it violates the schema or a rule.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    fields = tuple(dict.fromkeys(_path(detail) for detail in details))
    raise InvalidManifest(f"{fields[0]}: {_problem(details[0])}.{_further_fields(fields[1:])}", fields)


def _further_fields(fields: tuple[str, ...]) -> str:
    if not fields:
        return ""
    more = f" and {len(fields) - _FURTHER_FIELDS_MAX} more" if len(fields) > _FURTHER_FIELDS_MAX else ""
    return f" Also invalid: {', '.join(fields[:_FURTHER_FIELDS_MAX])}{more}."


def _path(detail: ErrorDetails) -> str:
    """Return the path of an error as kubectl writes it: `spec.agentlessScanning.scope[1].project`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"])
    return (path + str(detail.get("ctx", {}).get("field", ""))).lstrip(".") or "the manifest"


def _problem(detail: ErrorDetails) -> str:
    """Return what is wrong, without a full stop."""
    template = _PROBLEMS.get(detail["type"])
    if template is None:
        return re.sub(r"^\w+ should", "must", detail["msg"])
    return template.format_map(detail.get("ctx", {}))
