"""What all models share: how they are read, checked and written.

Reading is lenient about what the operator does not know (a field of a newer version is ignored) and strict about what
it does. A body that cannot be read becomes one sentence that names the field: `InvalidManifest`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    StrictBool,
    StrictInt,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, ErrorDetails

from defender_devops.api.rules import Rule, with_rules

Boolean = StrictBool
Generation = Annotated[StrictInt, Field(ge=-1), WithJsonSchema({"type": "integer", "format": "int64", "minimum": -1})]
"""Of a spec; -1 for one that nobody has seen yet."""

Count = Annotated[StrictInt, Field(ge=0), WithJsonSchema({"type": "integer", "format": "int64", "minimum": 0})]


def _whole_seconds(value: datetime) -> datetime:
    return value.astimezone(UTC).replace(microsecond=0)


def _rfc3339(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


Timestamp = Annotated[
    AwareDatetime,
    AfterValidator(_whole_seconds),
    PlainSerializer(_rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 32}),
]
"""A moment in UTC, in whole seconds as metav1.Time keeps it: what is written reads back equal."""


class ApiModel(BaseModel):
    """Base of every part of the resources: frozen, camelCase outside, snake_case inside.

    The string below an attribute becomes its description in the CRD, and so what `kubectl explain` says (`api.crds`
    reads it from the source; the running operator has no use for it).
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        for rule in self.rules:
            rule.check(self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the model's rules to its schema, past a reference to it."""
        schema = handler(core)
        handler.resolve_ref_schema(schema).update(with_rules({}, *cls.rules))
        return schema

    def dump(self) -> dict[str, Any]:
        """The body as the API server takes it: by alias, without what is None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def _absent(value: object) -> object:
    return {} if value is None else value


class OwnerReference(ApiModel):
    """metav1.OwnerReference, as far as it is read here."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(ApiModel):
    """metav1.ObjectMeta, as far as it is read here. Any may be missing: a manifest has little more than a name."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: Annotated[Mapping[str, str], BeforeValidator(_absent)] = Field(default_factory=dict)
    annotations: Annotated[Mapping[str, str], BeforeValidator(_absent)] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()
    creation_timestamp: Timestamp | None = None
    deletion_timestamp: Timestamp | None = None

    @property
    def is_deleting(self) -> bool:
        """Whether somebody has asked to delete the object."""
        return self.deletion_timestamp is not None


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
    others = [field for field in fields if field != fields[0]]
    more = f" Also wrong: {', '.join(others)}." if others else ""
    raise InvalidManifest(f"{fields[0]}: {_complaint(details[0])}.{more}", fields)


def _path(detail: ErrorDetails) -> str:
    """Path of an error as kubectl writes it: `spec.agentlessScanning.scope[1].project`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"])
    return (path + str(detail.get("ctx", {}).get("field", ""))).lstrip(".") or "the manifest"


def _complaint(detail: ErrorDetails) -> str:
    """What is wrong, without a full stop."""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return "is required: add it"
        case "rule":
            return str(context["message"])
        case "enum" | "literal_error":
            return f"must be {context['expected']}"
        case "value_error":
            return str(context["error"])
        case "model_type" | "dict_type" | "mapping_type":
            return "must be a mapping of fields"
        case "tuple_type" | "list_type":
            return "must be a list"
        case _:
            return re.sub(r"^\w+ should", "must", detail["msg"])
