"""The status of a resource that cannot be read: it says so and forgets nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from defender_devops.api.connector import ConnectorStatus, InvalidManifest
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.report.invalid_manifest import (
    conditions_of,
    invalid_connector_status,
    invalid_organization_status,
    needs_no_azure_cleanup,
)
from tests.unit.reconcile.builder import NOW, SPENT_CODE
from tests.unit.reconcile.observe.test_probing import GATHERER

BODY = {"metadata": {"generation": 4}, "status": {"authorization": {"codeHash": SPENT_CODE}, "unknown": {"a": 1}}}


def test_it_is_stalled_with_the_sentence_that_names_the_field() -> None:
    status = ConnectorStatus.model_validate(
        invalid_connector_status(BODY, InvalidManifest("spec.azure: is wrong."), NOW)
    )
    told = {each.type: (each.status, each.reason, each.message) for each in status.conditions}
    assert told == {
        "Ready": ("False", "InvalidSpec", "spec.azure: is wrong."),
        "Stalled": ("True", "InvalidSpec", "spec.azure: is wrong."),
        "Provisioned": ("False", "InvalidSpec", "spec.azure: is wrong."),
    }
    assert status.observed_generation == 4


def test_all_else_stays_whether_it_can_be_read_or_not() -> None:
    status = invalid_connector_status(BODY, InvalidManifest("m"), NOW)
    assert status["authorization"] == {"codeHash": SPENT_CODE}
    assert status["unknown"] == {"a": 1}


def test_a_long_list_of_complaints_is_cut_and_not_refused() -> None:
    status = invalid_connector_status(BODY, InvalidManifest("ä" * 2000), NOW)
    assert all(len(each.message.encode()) <= 1024 for each in conditions_of({"status": status}))


def test_the_same_again_is_no_change() -> None:
    first = invalid_connector_status(BODY, InvalidManifest("m"), NOW)
    again = invalid_connector_status({**BODY, "status": first}, InvalidManifest("m"), NOW + timedelta(hours=1))
    assert again == first


def test_an_organization_that_is_not_understood_says_so_and_forgets_nothing() -> None:
    body = {"metadata": {"generation": 2}, "status": {"onboardingState": "Onboarded"}}
    status = invalid_organization_status(body, InvalidManifest("spec.onboarding: is wrong."), NOW)
    told = {each.type: (each.status, each.reason, each.message) for each in conditions_of({"status": status})}
    assert told == {
        "Ready": ("False", "InvalidSpec", "spec.onboarding: is wrong."),
        "Stalled": ("True", "InvalidSpec", "spec.onboarding: is wrong."),
    }
    assert (status["observedGeneration"], status["onboardingState"]) == (2, "Onboarded")
    assert (
        invalid_organization_status({**body, "status": status}, InvalidManifest("spec.onboarding: is wrong."), NOW)
        == status
    )


def test_broken_conditions_count_as_none() -> None:
    assert conditions_of({"status": {"conditions": [{"type": "Ready", "status": "Perhaps"}]}}) == ()
    assert conditions_of({}) == ()


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
def test_it_goes_only_where_nothing_of_ours_would_stay_in_azure_unasked(
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
        each
        for each in conditions_of({"status": invalid_connector_status(body, InvalidManifest("m."), NOW)})
        if each.type == "Ready"
    )
    assert ("Detach" in ready.message) is not goes


def test_an_organization_that_is_not_understood_is_set_apart_from_the_others() -> None:
    resources = ResourceCache()
    for name, onboarding in (("good", "Onboarded"), ("bad", "Perhaps")):
        metadata = {"namespace": "security", "name": name, "uid": name, "resourceVersion": "1"}
        spec = {"connectorRef": {"name": "contoso"}, "organization": name, "onboarding": onboarding}
        resources.upsert_organization({"metadata": metadata, "spec": spec})
    read = replace(GATHERER, resources=resources).organizations(Key("security", "contoso"))
    assert [each.metadata.name for each in read.valid] == ["good"]
    ((body, error),) = read.invalid
    assert body["metadata"]["name"] == "bad"
    assert "spec.onboarding" in error.message
