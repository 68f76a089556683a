"""The CRDs on a real API server: what it accepts, what it refuses and in which words, what it shows."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from defender_devops.api.crds import custom_resource_definitions
from defender_devops.api.names import API_VERSION, CONNECTOR, GROUP, ORGANIZATION, VERSION
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.client import ApiError
from tests.support.manifests import (
    ACCEPTED,
    CHANGES,
    CREATED,
    REFUSED,
    Accepted,
    Change,
    Refused,
    connector,
    organization,
)

PLURALS = {CONNECTOR.kind: CONNECTOR.plural, ORGANIZATION.kind: ORGANIZATION.plural}


def create(
    kube: KubernetesClient, body: Mapping[str, Any], namespace: str = "default", **params: str
) -> dict[str, Any]:
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURALS[body['kind']]}"
    created: dict[str, Any] = kube.request("POST", path, body=body, **params)
    return created


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_manifest_that_breaks_a_rule_is_refused_with_the_field_and_the_sentence(
    kube: KubernetesClient, case: Refused
) -> None:
    with pytest.raises(ApiError) as refusal:
        create(kube, case.body, dryRun="All")
    assert refusal.value.reason == "Invalid"
    assert f"{case.field}: " in str(refusal.value)
    assert case.sentence in str(refusal.value)


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
def test_a_manifest_that_breaks_no_rule_is_accepted(kube: KubernetesClient, case: Accepted) -> None:
    create(kube, case.body, dryRun="All")


@pytest.mark.parametrize("case", CHANGES, ids=str)
def test_what_cannot_move_in_azure_cannot_be_edited_and_the_rest_can(
    kube: KubernetesClient, namespace: str, case: Change
) -> None:
    kind, name = case.original["kind"], case.original["metadata"]["name"]
    create(kube, case.original, namespace)
    if status := yaml.safe_load(case.status):
        kube.patch(kind, name, {"status": status}, namespace, subresource="status")
    change = {"spec": yaml.safe_load(case.patch)}
    if case.sentence is None:
        kube.patch(kind, name, change, namespace)
        return
    with pytest.raises(ApiError) as refusal:
        kube.patch(kind, name, change, namespace)
    assert f"{case.field}: Forbidden: {case.sentence}" in str(refusal.value)


def test_a_replacement_cannot_claim_that_nothing_exists_in_azure(kube: KubernetesClient, namespace: str) -> None:
    create(kube, connector(), namespace)
    live = kube.patch(CONNECTOR.kind, "contoso", {"status": yaml.safe_load(CREATED)}, namespace, subresource="status")
    live["spec"]["azure"]["location"] = "eastus"
    del live["status"]
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/{CONNECTOR.plural}/contoso"
    with pytest.raises(ApiError, match=r"spec\.azure\.location: Forbidden: location cannot be changed"):
        kube.request("PUT", path, body=live)


def test_an_organization_that_stands_twice_is_named(kube: KubernetesClient) -> None:
    with pytest.raises(ApiError, match="exclude lists Fabrikam more than once"):
        create(kube, connector("organizations: {exclude: [a, Fabrikam, fabrikam]}"), dryRun="All")


def test_more_than_200_organizations_are_refused(kube: KubernetesClient) -> None:
    names = ", ".join(f"o{number}" for number in range(201))
    with pytest.raises(ApiError, match=r"spec\.organizations\.exclude: Too many: .* must have at most 200 items"):
        create(kube, connector(f"organizations: {{exclude: [{names}]}}"), dryRun="All")


@pytest.mark.parametrize("body", [connector(), organization()], ids=list(PLURALS))
def test_an_object_fresh_from_the_api_server_never_reads_as_current(
    kube: KubernetesClient, namespace: str, body: dict[str, Any]
) -> None:
    created = create(kube, {**body, "status": {"observedGeneration": 1}}, namespace)
    assert created["status"] == {"observedGeneration": -1}
    assert created["metadata"]["generation"] == 1


def test_defaults_are_written_out(kube: KubernetesClient) -> None:
    spec = create(kube, connector("pullRequestAnnotations: {mode: Enabled}"), dryRun="All")["spec"]
    assert spec["authorization"] == {"method": "Adopt"}
    assert spec["discovery"] == {"deadline": "8h"}
    assert spec["pullRequestAnnotations"] == {"mode": "Enabled", "minimumSeverity": "Medium"}
    assert (spec["managementPolicy"], spec["adoptionPolicy"], spec["suspend"]) == ("Manage", "IfUnmanaged", False)
    assert "deletionPolicy" not in spec
    assert create(kube, organization(), dryRun="All")["spec"].keys() == {"connectorRef", "organization"}


def test_spec_and_status_are_written_apart(kube: KubernetesClient, namespace: str) -> None:
    create(kube, connector(), namespace)
    change = {"spec": {"suspend": True}, "status": {"observedGeneration": 1, "connectorId": "/subscriptions/x"}}
    patched = kube.patch(CONNECTOR.kind, "contoso", change, namespace, subresource="status")
    assert patched["spec"]["suspend"] is False
    assert patched["metadata"]["generation"] == 1
    patched = kube.patch(CONNECTOR.kind, "contoso", {"spec": {"suspend": True}, "status": None}, namespace)
    assert patched["status"]["connectorId"] == "/subscriptions/x"
    assert patched["metadata"]["generation"] == 2


def test_conditions_are_known_by_type(kube: KubernetesClient, namespace: str) -> None:
    create(kube, connector(), namespace)
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": "2026-11-24T05:17:11Z"}
    change = {"status": {"conditions": [ready, ready]}}
    with pytest.raises(ApiError, match=r"status\.conditions\[1\]: Duplicate value"):
        kube.patch(CONNECTOR.kind, "contoso", change, namespace, subresource="status")


def test_two_appliers_share_the_lists(kube: KubernetesClient, namespace: str) -> None:
    readers = {"a": "44444444-4444-4444-4444-444444444444", "b": "55555555-5555-5555-5555-555555555555"}
    for manager, object_id in readers.items():
        body = connector(f"organizations: {{exclude: [{manager}]}}", namespace=namespace)
        body["spec"]["securityReaders"] = [{"objectId": object_id, "principalType": "User"}]
        applied = kube.apply(body, manager=manager)
    assert applied["spec"]["organizations"]["exclude"] == ["a", "b"]
    assert [reader["objectId"] for reader in applied["spec"]["securityReaders"]] == list(readers.values())


@pytest.fixture
def table(cluster: Cluster) -> Iterator[httpx.Client]:
    headers = {
        "Authorization": f"Bearer {cluster.admin_token}",
        "Accept": "application/json;as=Table;v=v1;g=meta.k8s.io",
    }
    with httpx.Client(
        base_url=f"{cluster.server}/apis/{API_VERSION}",
        headers=headers,
        verify=ssl.create_default_context(cafile=str(cluster.ca)),
        trust_env=False,
    ) as client:
        yield client


def row(table: httpx.Client, namespace: str, plural: str) -> dict[str, Any]:
    """The only row of `kubectl get -o wide`, by heading."""
    answer = table.get(f"/namespaces/{namespace}/{plural}").raise_for_status().json()
    (only,) = answer["rows"]
    return dict(zip((column["name"] for column in answer["columnDefinitions"]), only["cells"], strict=True))


def conditions(**reasons: str) -> list[dict[str, Any]]:
    return [
        {
            "type": name,
            "status": "True",
            "reason": reason,
            "message": f"{name}!",
            "lastTransitionTime": "2026-11-24T05:17:11Z",
        }
        for name, reason in reasons.items()
    ]


def test_the_columns_of_a_connector_show_what_matters(
    kube: KubernetesClient, namespace: str, table: httpx.Client
) -> None:
    create(kube, connector("signIn: {method: None, account: signed-in@contoso.com}"), namespace)
    assert row(table, namespace, CONNECTOR.plural)["Account"] == "signed-in@contoso.com"
    kube.patch(CONNECTOR.kind, "contoso", {"spec": {"authorization": {"account": "declared@contoso.com"}}}, namespace)
    status = {
        "conditions": conditions(Ready="Ready", Authorized="Authorized"),
        "discovery": {"organizations": {"onboarded": 11}, "repositories": {"discovered": 951}, "percent": 94},
        "posture": {"findings": "2C 14H"},
    }
    kube.patch(CONNECTOR.kind, "contoso", {"status": status}, namespace, subresource="status")
    cells = row(table, namespace, CONNECTOR.plural)
    assert list(cells) == [
        *("Name", "Ready", "Reason", "%", "Age"),
        *("Authorized", "Orgs", "Repos", "Findings", "Subscription", "Location", "Account", "Message"),
    ]
    del cells["Age"]
    assert list(cells.values()) == [
        *("contoso", "True", "Ready", 94, "True", 11, 951, "2C 14H"),
        *("22222222-2222-2222-2222-222222222222", "westeurope", "declared@contoso.com", "Ready!"),
    ]


def test_the_columns_of_an_organization_show_what_matters(
    kube: KubernetesClient, namespace: str, table: httpx.Client
) -> None:
    create(kube, organization(), namespace)
    status = {
        "conditions": conditions(Ready="Onboarded", PrerequisitesMet="PrerequisitesMet"),
        "onboardingState": "Onboarded",
        "projects": {"discovered": 10},
        "repositories": {"discovered": 80},
        "conflictingConnector": "/subscriptions/x",
        "posture": {"findings": "2C 14H"},
    }
    kube.patch(ORGANIZATION.kind, "contoso-fabrikam", {"status": status}, namespace, subresource="status")
    cells = row(table, namespace, ORGANIZATION.plural)
    del cells["Age"]
    assert cells == {
        "Name": "contoso-fabrikam",
        "Connector": "contoso",
        "Organization": "fabrikam",
        "Ready": "True",
        "State": "Onboarded",
        "Prerequisites": "True",
        "Repos": 80,
        "Findings": "2C 14H",
        "Reason": "Onboarded",
        "Projects": 10,
        "Conflict": "/subscriptions/x",
        "Message": "Ready!",
    }


@pytest.mark.parametrize(
    ("kind", "selector", "matches"),
    [
        (CONNECTOR.kind, "spec.azure.subscriptionId=22222222-2222-2222-2222-222222222222", 1),
        (CONNECTOR.kind, "spec.azure.subscriptionId=33333333-3333-3333-3333-333333333333", 0),
        (CONNECTOR.kind, "spec.authorization.method=Adopt,spec.suspend=false", 1),
        (CONNECTOR.kind, "spec.suspend=true", 0),
        (ORGANIZATION.kind, "spec.connectorRef.name=contoso", 1),
        (ORGANIZATION.kind, "spec.organization=fabrikam,spec.connectorRef.name=other", 0),
    ],
)
def test_objects_can_be_selected_by_field(
    kube: KubernetesClient, namespace: str, kind: str, selector: str, matches: int
) -> None:
    create(kube, connector(), namespace)
    create(kube, organization(), namespace)
    assert len(kube.list_all(kind, namespace, fields=selector)) == matches


def test_short_names_and_the_category_are_served(kube: KubernetesClient) -> None:
    resources = {resource["name"]: resource for resource in kube.request("GET", f"/apis/{API_VERSION}")["resources"]}
    assert resources[CONNECTOR.plural]["shortNames"] == ["adoc"]
    assert resources[ORGANIZATION.plural]["shortNames"] == ["adoorg"]
    assert all(resources[plural]["categories"] == ["defender"] for plural in PLURALS.values())


def undescribed(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """Paths of the properties about which `kubectl explain` would say nothing."""
    for name, below in schema.get("properties", {}).items():
        if name == "metadata":
            continue
        if not below.get("description"):
            yield f"{path}.{name}"
        yield from undescribed(below, f"{path}.{name}")
        yield from undescribed(below.get("items", {}), f"{path}.{name}[]")


@pytest.mark.parametrize("kind", PLURALS)
def test_kubectl_explain_says_something_about_every_field(kube: KubernetesClient, kind: str) -> None:
    schema = published(kube, kind)
    assert schema["description"]
    assert schema["properties"].keys() == {"apiVersion", "kind", "metadata", "spec", "status"}
    assert list(undescribed(schema, kind)) == []


def published(kube: KubernetesClient, kind: str) -> dict[str, Any]:
    """The schema that the API server publishes, which it does some time after a CRD is established."""
    deadline = time.monotonic() + 30
    name = ".".join([*reversed(GROUP.split(".")), VERSION, kind])
    while True:
        try:
            schemas = kube.request("GET", f"/openapi/v3/apis/{API_VERSION}")["components"]["schemas"]
            return dict(schemas[name])
        except (ApiError, KeyError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@pytest.mark.parametrize("crd", custom_resource_definitions(), ids=lambda crd: crd["spec"]["names"]["kind"])
def test_a_crd_can_be_applied_again_without_any_change(kube: KubernetesClient, crd: dict[str, Any]) -> None:
    first, second = kube.apply(crd, manager="gitops"), kube.apply(crd, manager="gitops")
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    assert second["status"]["conditions"]
    assert not [problem for problem in second["status"]["conditions"] if problem["type"] == "NonStructuralSchema"]


EXAMPLES = sorted((Path(__file__).parents[3] / "examples").rglob("*.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_is_accepted_without_an_unknown_field(kube: KubernetesClient, file: Path) -> None:
    for manifest in yaml.safe_load_all(file.read_text()):
        if manifest["kind"] in PLURALS:
            create(kube, manifest | {"metadata": {"generateName": "x-"}}, dryRun="All", fieldValidation="Strict")
