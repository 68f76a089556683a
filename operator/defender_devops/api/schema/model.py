"""What all models share: the base class, timestamps and counts, and the metadata of any object."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from types import UnionType
from typing import Annotated, Any, ClassVar, Self, Union, get_args, get_origin

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
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from defender_devops.api.names import CONNECTOR, GROUP
from defender_devops.api.schema.rules import Rule, schema_with_rules
from defender_devops.text import printable

Boolean = StrictBool
Generation = Annotated[StrictInt, Field(ge=-1), WithJsonSchema({"type": "integer", "format": "int64", "minimum": -1})]
"""metadata.generation; -1 before the first reconcile."""

Count = Annotated[StrictInt, Field(ge=0), WithJsonSchema({"type": "integer", "format": "int64", "minimum": 0})]


def _whole_seconds(value: datetime) -> datetime:
    if not value.microsecond and not value.utcoffset():  # nearly all: avoids a copy
        return value
    try:
        return value.astimezone(UTC).replace(microsecond=0)
    except OverflowError:  # the API server accepts 9999-12-31T23:59:59-23:59
        latest, earliest = datetime.max.replace(microsecond=0, tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
        return latest if value.year > 1 else earliest


def _rfc3339(value: datetime) -> str:
    return f"{value.isoformat()[:19]}Z"


Text = Annotated[str, PlainSerializer(printable, return_type=str)]
"""Text that may come from a service; written without control characters.

Only on writing: escaping on reading could make a text longer than its limit, and no longer equal to what it refers to.
"""

Timestamp = Annotated[
    AwareDatetime,
    AfterValidator(_whole_seconds),
    PlainSerializer(_rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 32}),
]
"""A time in UTC, in whole seconds as metav1.Time stores it, so that a written value is read back equal."""


class ApiModel(BaseModel):
    """Base of every part of the resources: frozen, with camelCase in manifests and snake_case in code.

    The string below an attribute becomes its description in the CRD, and so in `kubectl explain` (`api.crds` reads it
    from the source; the running operator does not use it).
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
        """Add the model's rules to its schema, also where that is a reference."""
        schema = handler(core)
        handler.resolve_ref_schema(schema).update(schema_with_rules({}, *cls.rules))
        return schema

    def dump(self) -> dict[str, Any]:
        """Return the body for the API server: by alias, without None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    @cache
    def field_models(cls) -> Mapping[str, type[ApiModel] | None]:
        """Return the fields by their names in manifests, each with the model of its value; None for other values."""
        return {field.alias or name: _model_in(field.annotation) for name, field in cls.model_fields.items()}


def _model_in(annotation: object) -> type[ApiModel] | None:
    """Return the model of a type such as `Model`, `Model | None` or `Annotated[Model, …]`; None for any other."""
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return annotation
    if get_origin(annotation) in {Annotated, Union, UnionType}:
        return next((model for inner in get_args(annotation) if (model := _model_in(inner))), None)
    return None


def _none_to_empty(value: object) -> object:
    return {} if value is None else value


class OwnerReference(ApiModel):
    """metav1.OwnerReference, reduced to what is used here."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None

    @property
    def is_connector(self) -> bool:
        """Whether the owner is an AzureDevOpsConnector, of whatever version."""
        return self.kind == CONNECTOR.kind and self.api_version.partition("/")[0] == GROUP


class ObjectMeta(ApiModel):
    """metav1.ObjectMeta, reduced to what is used here. Any may be missing: a manifest has little more than a name."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: Annotated[Mapping[str, str], BeforeValidator(_none_to_empty)] = Field(default_factory=dict)
    annotations: Annotated[Mapping[str, str], BeforeValidator(_none_to_empty)] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()
    creation_timestamp: Timestamp | None = None
    deletion_timestamp: Timestamp | None = None

    @property
    def is_deleting(self) -> bool:
        """Whether the object is being deleted."""
        return self.deletion_timestamp is not None
