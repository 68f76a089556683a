"""Reading a resource's body, and turning what is wrong with it into one sentence.

Reading is lenient about what the operator does not know (a field of a newer version is ignored) and strict about what
it does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from defender_devops.api.model import ApiModel

__all__ = ["InvalidManifest", "parse"]

_COMPLAINTS: Final = {
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
"""What to say about pydantic's types of errors; any other is pydantic's own sentence, cut to fit behind a field."""


class InvalidManifest(ValueError):
    """A resource cannot be used as it stands.

    Args:
        message: one sentence that names the field and says what to do. It repeats no value: people paste secrets into
            the wrong field.
        fields: path of every field that is wrong.
    """

    def __init__(self, message: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields


_OTHERS_MAX: Final = 5
"""Fields named beside the first: enough to mend them together, few enough to read."""

ModelT = TypeVar("ModelT", bound=ApiModel)


def parse(model: type[ModelT], body: Mapping[str, Any]) -> ModelT:
    """Read a body from the API server or from a manifest.

    Raises:
        InvalidManifest: it breaks the schema or a rule.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    fields = tuple(dict.fromkeys(_path(detail) for detail in details))
    raise InvalidManifest(f"{fields[0]}: {_complaint(details[0])}.{_others(fields[1:])}", fields)


def _others(fields: tuple[str, ...]) -> str:
    if not fields:
        return ""
    rest = f" and {len(fields) - _OTHERS_MAX} more" if len(fields) > _OTHERS_MAX else ""
    return f" Also wrong: {', '.join(fields[:_OTHERS_MAX])}{rest}."


def _path(detail: ErrorDetails) -> str:
    """Path of an error as kubectl writes it: `spec.agentlessScanning.scope[1].project`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"])
    return (path + str(detail.get("ctx", {}).get("field", ""))).lstrip(".") or "the manifest"


def _complaint(detail: ErrorDetails) -> str:
    """What is wrong, without a full stop."""
    known = _COMPLAINTS.get(detail["type"])
    if known is None:
        return re.sub(r"^\w+ should", "must", detail["msg"])
    return known.format_map(detail.get("ctx", {}))
