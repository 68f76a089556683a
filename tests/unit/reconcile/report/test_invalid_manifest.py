"""The status of a resource that cannot be read: it says so and forgets nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from defender_devops.api.conditions import conditions_of_body
from defender_devops.api.connector import ConnectorStatus, InvalidManifest
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.facts.deletion_mode import needs_no_azure_cleanup
from defender_devops.reconcile.report.invalid_manifest import invalid_connector_status, invalid_organization_status
from tests.unit.reconcile.builder import NOW, SPENT_CODE
from tests.unit.reconcile.observe.test_probing import GATHERER

BODY = {"metadata": {"generation": 4}, "status": {"authorization": {"codeHash": SPENT_CODE}, "unknown": {"a": 1}}}


def test_an_invalid_spec_is_stalled_and_names_the_field() -> None:
    status = ConnectorStatus.model_validate(
        invalid_connector_status(BODY, InvalidManifest("spec.azure: is wrong."), NOW)
    )
    reported = {
        condition.type: (condition.status, condition.reason, condition.message) for condition in status.conditions
    }
    assert reported == {
        "Ready": ("False", "InvalidSpec", "spec.azure: is wrong."),
        "Stalled": ("True", "InvalidSpec", "spec.azure: is wrong."),
        "Provisioned": ("False", "InvalidSpec", "spec.azure: is wrong."),
    }
    assert status.observed_generation == 4


def test_the_other_fields_of_an_invalid_resource_s_status_stay() -> None:
    status = invalid_connector_status(BODY, InvalidManifest("m"), NOW)
    assert status["authorization"] == {"codeHash": SPENT_CODE}
    assert status["unknown"] == {"a": 1}


def test_a_long_list_of_errors_is_truncated() -> None:
    status = invalid_connector_status(BODY, InvalidManifest("ä" * 2000), NOW)
    assert all(len(condition.message.encode()) <= 1024 for condition in conditions_of_body({"status": status}))


def test_reporting_the_same_error_again_changes_nothing() -> None:
    first = invalid_connector_status(BODY, InvalidManifest("m"), NOW)
    again = invalid_connector_status({**BODY, "status": first}, InvalidManifest("m"), NOW + timedelta(hours=1))
    assert again == first


def test_an_invalid_organization_reports_it_and_keeps_its_status() -> None:
    body = {"metadata": {"generation": 2}, "status": {"onboardingState": "Onboarded"}}
    status = invalid_organization_status(body, InvalidManifest("spec.onboarding: is wrong."), NOW)
    reported = {
        condition.type: (condition.status, condition.reason, condition.message)
        for condition in conditions_of_body({"status": status})
    }
    assert reported == {
        "Ready": ("False", "InvalidSpec", "spec.onboarding: is wrong."),
        "Stalled": ("True", "InvalidSpec", "spec.onboarding: is wrong."),
    }
    assert (status["observedGeneration"], status["onboardingState"]) == (2, "Onboarded")
    assert (
        invalid_organization_status({**body, "status": status}, InvalidManifest("spec.onboarding: is wrong."), NOW)
        == status
    )


def test_invalid_conditions_count_as_none() -> None:
    assert conditions_of_body({"status": {"conditions": [{"type": "Ready", "status": "Perhaps"}]}}) == ()
    assert conditions_of_body({}) == ()


@pytest.mark.parametrize(
    ("spec", "azure", "goes"),
    [
        ({}, {"created": True}, False),
        ({"deletionPolicy": "Delete"}, {"created": True}, False),
        ({"deletionPolicy": "Detach"}, {"created": True}, True),
        ({"managementPolicy": "Observe"}, {"created": True}, True),
        ({"suspend": True}, {"created": True}, True),
        ({"suspend": "yes"}, {"created": True}, False),
        ({}, {"created": False}, True),
        ({"deletionPolicy": "Delete"}, {"created": False}, False),
        ({"deletionPolicy": "Delete"}, {}, True),
        ({}, {}, True),
        (None, None, True),
    ],
)
def test_an_invalid_resource_is_released_only_without_cleanup_in_azure(
    spec: dict[str, Any] | None,
    azure: dict[str, Any] | None,
    goes: bool,
) -> None:
    body = {
        "metadata": {"generation": 5, "deletionTimestamp": "2026-11-24T08:00:00Z"},
        "spec": spec,
        "status": {"azure": azure} if azure is not None else None,
    }
    assert needs_no_azure_cleanup(body) is goes
    (ready,) = (
        condition
        for condition in conditions_of_body({"status": invalid_connector_status(body, InvalidManifest("m."), NOW)})
        if condition.type == "Ready"
    )
    assert ("Detach" in ready.message) is not goes


def test_an_invalid_organization_does_not_affect_the_others() -> None:
    resources = ResourceCache()
    for name, onboarding in (("good", "Onboarded"), ("bad", "Perhaps")):
        metadata = {"namespace": "security", "name": name, "uid": name, "resourceVersion": "1"}
        spec = {"connectorRef": {"name": "contoso"}, "organization": name, "onboarding": onboarding}
        resources.upsert_organization({"metadata": metadata, "spec": spec})
    organizations = replace(GATHERER, resources=resources).organizations(Key("security", "contoso"))
    assert [resource.metadata.name for resource in organizations.valid] == ["good"]
    ((body, error),) = organizations.invalid
    assert body["metadata"]["name"] == "bad"
    assert "spec.onboarding" in error.message
