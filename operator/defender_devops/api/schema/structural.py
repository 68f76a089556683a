"""Structural OpenAPI v3 schemas, as CustomResourceDefinitions want them, from the models.

What differs from pydantic's own JSON schema: no references, no null (an absent field is simply absent), no titles, and
the string below an attribute becomes its description. A CRD's schema may hold neither `$ref` nor a type in `anyOf`
(kubernetes.io, "Specifying a structural schema").
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from defender_devops.api.names import NAME_MAX_LENGTH
from defender_devops.api.schema.durations import format_duration
from defender_devops.api.schema.model import ApiModel, ObjectMeta, OwnerReference

_KEY_ORDER: Final = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "items",
    "additionalProperties",
    "required",
    "properties",
    "x-kubernetes-validations",
)


class MissingDescription(Exception):
    """A field has no string below it, so `kubectl explain` would show no description."""


def structural_schema(model: type[ApiModel]) -> dict[str, Any]:
    """Return the schema of a whole resource.

    Raises:
        MissingDescription: a field has no description.
    """
    generated = model.model_json_schema(by_alias=True, schema_generator=_StructuralSchema)
    definitions = generated.pop("$defs", {})
    schema = _ordered(_inlined(generated, definitions))
    properties = schema["properties"]
    # The API server defines metadata itself, but a rule can refer to the name only if it is declared here.
    properties["metadata"] = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": NAME_MAX_LENGTH}},
    }
    for name in ("apiVersion", "kind"):
        properties[name].pop("default")
    return schema


def schema_descriptions(model: type[ApiModel]) -> dict[str, str]:
    """Return the strings below the attributes of a model, on one line, by attribute."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    texts: dict[str, str] = {}
    for statement, following in pairwise(getattr(body, "body", [])):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as text)):
                texts[name] = " ".join(text.split())
    return texts


class _StructuralSchema(GenerateJsonSchema):
    """Pydantic's generator, adapted where a structural schema differs."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        generated = super().model_schema(schema)
        model: type[ApiModel] = schema["cls"]
        if model in {ObjectMeta, OwnerReference}:
            return {"type": "object"}
        texts = schema_descriptions(model)
        for name, field in model.model_fields.items():
            if name not in texts:
                raise MissingDescription(f"{model.__name__}.{name} has no description: write a string below it")
            generated["properties"][field.alias or name]["description"] = texts[name]
        return generated

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        generated = super().default_schema(schema)
        if generated.get("default") in (None, [], ""):
            generated.pop("default", None)
        return generated

    def encode_default(self, dft: Any) -> Any:  # noqa: ANN401 - pydantic's signature
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        return {"type": "string", "enum": [member.value for member in schema["members"]]}


def _inlined(node: Any, definitions: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    """Replace every reference by its definition; keywords beside the reference override it."""
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if reference is not None:
        siblings = {key: value for key, value in node.items() if key != "$ref"}
        node = {**definitions[reference.removeprefix("#/$defs/")], **siblings}
    return {key: _inlined(value, definitions) for key, value in node.items()}


def _ordered(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of every level in a fixed order, without titles."""
    result: dict[str, Any] = {key: schema[key] for key in _KEY_ORDER if key in schema}
    unknown = schema.keys() - result.keys() - {"title"}
    if unknown:
        raise ValueError(f"keywords without a place in a CRD: {', '.join(sorted(unknown))}")
    for key in ("items", "additionalProperties"):
        if key in result:
            result[key] = _ordered(result[key])
    if "properties" in result:
        result["properties"] = {name: _ordered(value) for name, value in result["properties"].items()}
    return result
