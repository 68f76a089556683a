from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from defender_devops.api.connector import AzureDevOpsConnector, parse_connector
from defender_devops.api.schema.parsing import InvalidManifest
from tests.support.manifests import connector, merge


def test_fields_of_a_newer_version_are_ignored() -> None:
    body = merge(connector(), {"spec": {"azure": {"new": 1}, "new": {"a": 1}}, "status": {"new": [1]}, "new": 1})
    assert parse_connector(body) == parse_connector(connector())


@pytest.mark.parametrize(
    "metadata", [None, {}, {"name": "a", "labels": None, "annotations": None}, {"name": "a", "managedFields": [{}]}]
)
def test_metadata_may_be_missing_in_part_or_whole(metadata: dict[str, Any] | None) -> None:
    body = connector()
    del body["metadata"]
    parsed = parse_connector(body if metadata is None else {**body, "metadata": metadata})
    assert parsed.metadata.labels == {}
    assert parsed.metadata.generation == 0
    assert not parsed.metadata.is_deleting


def test_a_body_of_the_api_server_is_parsed_completely() -> None:
    body = merge(
        connector(),
        {
            "metadata": {
                "namespace": "security",
                "uid": "u",
                "resourceVersion": "7",
                "generation": 3,
                "finalizers": ["defender-devops.io/finalizer"],
                "creationTimestamp": "2026-11-24T05:17:11Z",
                "deletionTimestamp": "2026-11-24T06:17:11Z",
                "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "o", "controller": True}],
            },
            "status": {
                "observedGeneration": 3,
                "conditions": [
                    {
                        "type": "FromTheFuture",
                        "status": "Unknown",
                        "reason": "NewReason",
                        "message": "",
                        "lastTransitionTime": "2026-11-24T05:17:11Z",
                    }
                ],
                "discovery": {"repositories": {"discovered": 1, "expected": 2}, "percent": 50},
            },
        },
    )
    parsed = parse_connector(body)
    assert parsed.metadata.is_deleting
    assert parsed.metadata.creation_timestamp == datetime(2026, 11, 24, 5, 17, 11, tzinfo=UTC)
    assert parsed.metadata.owner_references[0].uid == "o"
    assert parsed.status.dump()["discovery"] == body["status"]["discovery"]
    assert parsed.status.conditions[0].type == "FromTheFuture"
    assert parse_connector(parsed.dump()) == parsed


def test_times_are_utc_in_whole_seconds() -> None:
    parsed = parse_connector(connector(creationTimestamp="2026-11-24T07:17:11.987654+02:00"))
    assert parsed.dump()["metadata"]["creationTimestamp"] == "2026-11-24T05:17:11Z"
    assert parse_connector(parsed.dump()) == parsed


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        ({"spec": None}, "spec: is required: add it."),
        ({"spec": "text"}, "spec: must be a mapping of fields."),
        ({"spec": {"azure": {"location": None}}}, "spec.azure.location: is required: add it."),
        ({"spec": {"azure": {"location": 7}}}, "spec.azure.location: must be a valid string."),
        ({"spec": {"azure": {"tags": ["a"]}}}, "spec.azure.tags: must be a mapping of fields."),
        (
            {"spec": {"organizations": {"mode": "all"}}},
            "spec.organizations.mode: must be 'All', 'AllAndFuture' or 'Selected'.",
        ),
        ({"spec": {"organizations": {"exclude": "a"}}}, "spec.organizations.exclude: must be a list."),
        ({"spec": {"suspend": "true"}}, "spec.suspend: must be a valid boolean."),
        (
            {"spec": {"azure": {"resourceGroup": "x" * 91}}},
            "spec.azure.resourceGroup: must have at most 90 characters.",
        ),
        (
            {"spec": {"discovery": {"deadline": "soon"}}},
            "spec.discovery.deadline: must be a duration: write it as 8h, 90m or 1h30m.",
        ),
        ({"status": {"discovery": {"percent": 101}}}, "status.discovery.percent: must be less than or equal to 100."),
        (
            {"spec": {"azure": None, "organizations": None}},
            "spec.azure: is required: add it. Also invalid: spec.organizations.",
        ),
    ],
)
def test_an_error_is_one_sentence_that_names_the_field(patch: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidManifest) as error:
        parse_connector(merge(connector(), patch))
    assert error.value.message == sentence


def test_of_many_errors_a_few_are_named_and_the_others_counted() -> None:
    body = merge(connector(), {"spec": {"organizations": {"mode": "Selected", "names": ["-"] * 9}}})
    with pytest.raises(InvalidManifest, match=r"names\[1\].*names\[5\] and 3 more\.$") as error:
        parse_connector(body)
    assert len(error.value.fields) == 9


@pytest.mark.parametrize("place", ["codeSecretRef", "account"])
def test_an_error_never_repeats_a_value_since_it_may_be_a_secret(place: str) -> None:
    secret = "eyJ0.SECRET SECRET.x"
    value: object = {"name": secret, "key": secret} if place == "codeSecretRef" else secret
    with pytest.raises(InvalidManifest) as error:
        parse_connector(merge(connector(), {"spec": {"authorization": {"method": "Code", place: value}}}))
    assert "SECRET" not in error.value.message


def test_models_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_connector(connector()).spec.suspend = True  # type: ignore[misc]


def test_default_metadata_is_not_shared() -> None:
    first, second = (AzureDevOpsConnector.model_validate({"spec": connector()["spec"]}) for _ in range(2))
    assert first == second
    assert first.metadata is not second.metadata
