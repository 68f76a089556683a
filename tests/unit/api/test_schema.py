from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.crds import custom_resource_definitions
from defender_devops.api.organization import DevOpsOrganization
from defender_devops.api.schema.model import ApiModel
from defender_devops.api.schema.structural import MissingDescription, structural_schema
from tests.support.manifests import CHANGES, REFUSED

MODELS = [AzureDevOpsConnector, DevOpsOrganization]


def nodes(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every schema below one, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[]")


ALL = [(f"{model.__name__}{path}", node) for model in MODELS for path, node in nodes(structural_schema(model))]
FIELDS = [(path, node) for path, node in ALL if not path.endswith((".metadata", ".metadata.name", "[]"))]


@pytest.mark.parametrize(("path", "node"), FIELDS, ids=[path for path, _ in FIELDS])
def test_every_field_is_described_in_sentences(path: str, node: Mapping[str, Any]) -> None:
    text = node["description"]
    assert text.endswith("."), path
    assert len(text.split()) > 2
    assert "\n" not in text


@pytest.mark.parametrize(("path", "node"), ALL, ids=[path for path, _ in ALL])
def test_the_schema_is_structural_and_bounded(path: str, node: Mapping[str, Any]) -> None:
    assert isinstance(node["type"], str)
    assert not {"$ref", "anyOf", "allOf", "oneOf", "title", "nullable"} & node.keys()
    if node["type"] == "array":
        assert node["maxItems"] <= 200
        assert node["x-kubernetes-list-type"] in {"set", "map", "atomic"}
    if node["type"] == "string" and not path.endswith((".apiVersion", ".kind")):
        assert "enum" in node or node["maxLength"] <= 2048
    if "additionalProperties" in node:
        assert node["maxProperties"] <= 50
    if node["type"] == "integer":
        assert "minimum" in node


def test_lists_of_keyed_entries_require_their_keys() -> None:
    for path, node in ALL:
        for key in node.get("x-kubernetes-list-map-keys", ()):
            assert key in node["items"]["required"], path


@pytest.mark.parametrize("model", MODELS)
def test_the_default_status_shows_that_there_was_no_reconcile(model: type[ApiModel]) -> None:
    assert structural_schema(model)["properties"]["status"]["default"] == {"observedGeneration": -1}


def defaults(model: type[ApiModel]) -> dict[str, Any]:
    return {path: node["default"] for path, node in nodes(structural_schema(model)) if "default" in node}


def test_the_defaults_are_unchanged() -> None:
    assert defaults(AzureDevOpsConnector) == {
        ".spec.authorization": {"method": "Adopt"},
        ".spec.authorization.method": "Adopt",
        ".spec.organizations.overrides": "Allow",
        ".spec.signIn.client.type": "Public",
        ".spec.pullRequestAnnotations.minimumSeverity": "Medium",
        ".spec.agentlessScanning.inventory": "Exclusion",
        ".spec.discovery": {"deadline": "8h"},
        ".spec.discovery.deadline": "8h",
        ".spec.pipelineChecks.mode": "Disabled",
        ".spec.pipelineChecks.interval": "24h",
        ".spec.pipelineChecks.sampleLimit": 10,
        ".spec.managementPolicy": "Manage",
        ".spec.adoptionPolicy": "IfUnmanaged",
        ".spec.suspend": False,
        ".status": {"observedGeneration": -1},
        ".status.observedGeneration": -1,
    }
    assert defaults(DevOpsOrganization) == {
        ".status": {"observedGeneration": -1},
        ".status.observedGeneration": -1,
    }


def test_no_field_may_become_required() -> None:
    required = {
        f"{path}.{name}"
        for path, node in nodes(structural_schema(AzureDevOpsConnector)["properties"]["spec"], "spec")
        for name in node.get("required", ())
    }
    assert required == {
        "spec.azure",
        "spec.azure.tenantId",
        "spec.azure.subscriptionId",
        "spec.azure.resourceGroup",
        "spec.azure.location",
        "spec.azure.identity.type",
        "spec.azure.identity.secretRef.name",
        "spec.azure.identity.secretRef.key",
        "spec.azure.identity.serviceAccountRef.name",
        "spec.organizations",
        "spec.organizations.mode",
        "spec.authorization.codeSecretRef.name",
        "spec.authorization.codeSecretRef.key",
        "spec.signIn.method",
        "spec.signIn.client.id",
        "spec.signIn.client.secretRef.name",
        "spec.signIn.client.secretRef.key",
        "spec.signIn.refreshTokenSecretRef.name",
        "spec.signIn.refreshTokenSecretRef.key",
        "spec.pullRequestAnnotations.mode",
        "spec.agentlessScanning.mode",
        "spec.agentlessScanning.scope[].organization",
        "spec.securityReaders[].objectId",
        "spec.securityReaders[].principalType",
    }


def test_every_rule_has_one_line_that_says_what_to_do() -> None:
    for path, node in ALL:
        for rule in node.get("x-kubernetes-validations", ()):
            assert "\n" not in rule["message"], path
            assert len(rule["message"].split()) > 5, path


def test_every_rule_has_a_manifest_that_breaks_it() -> None:
    sentences = [case.sentence for case in REFUSED] + [case.sentence for case in CHANGES if case.sentence]
    rules = [rule for _, node in ALL for rule in node.get("x-kubernetes-validations", ())]
    assert rules
    for rule in rules:
        text = rule["message"] + rule.get("messageExpression", "").replace("' + ", "").replace(" + '", "")
        assert any(sentence.split(" from ")[0] in text for sentence in sentences), rule


def test_a_field_without_a_description_is_an_error() -> None:
    class Undescribed(ApiModel):
        field: str = ""

    with pytest.raises(MissingDescription, match=r"Undescribed\.field has no description"):
        structural_schema(Undescribed)


def test_the_columns_have_their_order() -> None:
    columns = custom_resource_definitions()[0]["spec"]["versions"][0]["additionalPrinterColumns"]
    narrow = [column["name"].upper() for column in columns if not column.get("priority")]
    wide = [column["name"].upper() for column in columns if column.get("priority")]
    assert narrow == ["READY", "REASON", "%", "AGE"]
    assert wide == ["AUTHORIZED", "ORGS", "REPOS", "FINDINGS", "SUBSCRIPTION", "LOCATION", "ACCOUNT", "MESSAGE"]
