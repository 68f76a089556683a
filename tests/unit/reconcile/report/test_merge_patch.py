"""The patch that a status is written with: exactly what differs, and nothing that a newer operator wrote is removed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defender_devops.api.connector_status import ConnectorStatus
from defender_devops.api.organization import OrganizationStatus
from defender_devops.api.schema.model import ApiModel
from defender_devops.reconcile.report.merge_patch import merge_patch

Json = dict[str, Any]

CASES: dict[str, tuple[Json, Json, Json]] = {
    "nothing differs": ({"connectorId": "x"}, {"connectorId": "x"}, {}),
    "a field is added": ({}, {"connectorId": "x"}, {"connectorId": "x"}),
    "a field is removed": (
        {"connectorId": "x", "observedGeneration": 1},
        {"observedGeneration": 1},
        {"connectorId": None},
    ),
    "a field of a newer version stays": ({"risk": {"score": 7}}, {"connectorId": "x"}, {"connectorId": "x"}),
    "a field of a newer version stays inside of a known one": (
        {"azure": {"created": True, "plan": "P2", "organizationsMode": "All"}},
        {"azure": {"created": True}},
        {"azure": {"organizationsMode": None}},
    ),
    "a known field is removed as a whole": ({"azure": {"created": True, "plan": "P2"}}, {}, {"azure": None}),
    "a list is replaced as a whole": (
        {"azure": {"managedTagKeys": ["a", "b"]}},
        {"azure": {"managedTagKeys": ["b"]}},
        {"azure": {"managedTagKeys": ["b"]}},
    ),
    "a value that is no object is replaced by one": ({"azure": 7}, {"azure": {}}, {"azure": {}}),
}


@pytest.mark.parametrize(("current", "desired", "patch"), CASES.values(), ids=CASES)
def test_the_patch_has_only_what_differs(current: Json, desired: Json, patch: Json) -> None:
    assert merge_patch(current, desired, ConnectorStatus) == patch


def test_without_a_model_every_key_that_is_not_desired_is_removed() -> None:
    assert merge_patch({"anything": 1, "parent": {"a": 1}}, {"parent": {}}) == {"anything": None, "parent": {"a": None}}


@pytest.mark.parametrize("model", [ConnectorStatus, OrganizationStatus])
def test_the_fields_of_a_model_are_those_of_its_schema(model: type[ApiModel]) -> None:
    schema = model.model_json_schema(by_alias=True)
    assert model.field_models().keys() == schema["properties"].keys()
    nested = {name for name, field in model.field_models().items() if field}
    assert {"posture"} <= nested
    assert "conditions" not in nested


def bodies(model: type[ApiModel]) -> st.SearchStrategy[Json]:
    """Statuses with some of the fields of a model, at every depth, and some that it does not have."""
    fields = {name: bodies(nested) if nested else st.integers(0, 2) for name, nested in model.field_models().items()}
    newer = st.dictionaries(st.sampled_from(["newer", "newest"]), st.integers(0, 2) | st.just({"a": 1}), max_size=2)
    return st.builds(lambda known, unknown: {**known, **unknown}, st.fixed_dictionaries({}, optional=fields), newer)


def without_newer(body: Json, model: type[ApiModel]) -> Json:
    """The body with the fields of the model only."""
    return {
        name: without_newer(body[name], nested) if nested else body[name]
        for name, nested in model.field_models().items()
        if name in body
    }


def newer_fields(body: Json, desired: Json, model: type[ApiModel]) -> Json:
    """The fields that the model does not have, by their path, below fields that are still there."""
    fields: Json = {name: value for name, value in body.items() if name not in model.field_models()}
    for name, nested in model.field_models().items():
        if nested and name in body and name in desired:
            fields |= {
                f"{name}.{path}": value for path, value in newer_fields(body[name], desired[name], nested).items()
            }
    return fields


def apply_patch(body: Json, patch: Json) -> Json:
    """The result of a JSON merge patch (RFC 7396)."""
    result = copy.deepcopy(body)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            present = result.get(name)
            result[name] = apply_patch(present if isinstance(present, dict) else {}, value)
        else:
            result[name] = value
    return result


@pytest.mark.parametrize("model", [ConnectorStatus, OrganizationStatus])
@settings(max_examples=40)
@given(data=st.data())
def test_the_patched_status_is_the_desired_one_with_the_fields_of_a_newer_version(
    model: type[ApiModel], data: st.DataObject
) -> None:
    current, other = data.draw(bodies(model)), data.draw(bodies(model))
    desired = without_newer(other, model)
    patched = apply_patch(current, merge_patch(current, desired, model))
    assert without_newer(patched, model) == desired
    assert newer_fields(patched, desired, model) == newer_fields(current, desired, model)
    assert merge_patch(patched, desired, model) == {}
