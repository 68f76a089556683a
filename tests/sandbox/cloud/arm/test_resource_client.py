"""azure-mgmt-resource reads providers and resources; the endpoints of the cloud are public."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.mgmt.resource import resources as resource

from tests.sandbox.cloud.direct import ACCOUNT, CONNECTOR_BODY, GROUP, SUBSCRIPTION, TENANT, Direct
from tests.sandbox.cloud.remote import Remote

ENDPOINTS = "/metadata/endpoints?api-version="
RESOURCES = f"/subscriptions/{SUBSCRIPTION}/resources"


@pytest.fixture
def client(remote: Remote) -> Iterator[Any]:
    with (
        remote.credential() as credential,
        resource.ResourceManagementClient(credential, SUBSCRIPTION, **remote.client_options()) as client_,
    ):
        yield client_


def test_providers_are_listed_and_registered(client: Any) -> None:  # noqa: ANN401 - absent without uv sync
    registrations = {provider.namespace: provider.registration_state for provider in client.providers.list()}
    assert registrations["Microsoft.Security"] == "Registered"
    assert {"Microsoft.Authorization", "Microsoft.ResourceGraph", "Microsoft.Resources"} <= registrations.keys()
    security = client.providers.get("Microsoft.Security")
    types = {kind.resource_type: kind for kind in security.resource_types}
    assert "westeurope" in types["securityConnectors"].locations
    assert "2024-08-01-preview" in types["securityConnectors"].api_versions
    assert client.providers.register("Microsoft.Security").registration_state == "Registered"


def test_resources_are_the_connectors_that_the_caller_may_read(client: Any, remote: Remote) -> None:  # noqa: ANN401
    assert list(client.resources.list()) == []
    for name in ("one", "two"):
        remote.control.add_connector(name=name, subscription=SUBSCRIPTION, resourceGroup=GROUP, tags={"team": name})
    assert [(item.name, item.type) for item in client.resources.list()] == [
        ("one", "Microsoft.Security/securityConnectors"),
        ("two", "Microsoft.Security/securityConnectors"),
    ]
    assert len(list(client.resources.list(top=1))) == 2, "by two pages"
    by_type = client.resources.list(filter="resourceType eq 'Microsoft.Security/securityConnectors'")
    assert {item.tags["team"] for item in by_type} == {"one", "two"}
    tagged = client.resources.list(filter="tagName eq 'team' and tagValue eq 'two'")
    assert [item.name for item in tagged] == ["two"]
    assert list(client.resources.list(filter="resourceType eq 'Microsoft.Compute/virtualMachines'")) == []
    assert [item.name for item in client.resources.list_by_resource_group(GROUP)] == ["one", "two"]


async def test_resources_are_filtered_by_permission_and_a_bad_filter_is_an_error(direct: Direct) -> None:
    await direct.arm("PUT", f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Security/"
                     "securityConnectors/contoso", CONNECTOR_BODY)  # fmt: skip
    visible = await direct.arm("GET", RESOURCES, version="2021-04-01")
    assert [item["name"] for item in visible.json["value"]] == ["contoso"]
    hidden = await direct.arm("GET", RESOURCES, version="2021-04-01", token=direct.token(ACCOUNT))
    assert hidden.json["value"] == []
    bad = await direct.arm("GET", f"{RESOURCES}?$filter=color eq 'red'", version="2021-04-01")
    assert (bad.status, bad.code) == (400, "InvalidFilterInQueryString")


@pytest.mark.parametrize("version", ["2015-01-01", "2019-05-01", "2022-09-01"])
def test_the_endpoints_of_the_cloud_need_no_token(remote: Remote, version: str) -> None:
    with remote.http(remote.arm) as http:
        body = http.get(f"{ENDPOINTS}{version}").raise_for_status().json()
        cloud = body[0] if isinstance(body, list) else body
        authentication = cloud["authentication"]
        assert authentication["loginEndpoint"] == f"{remote.authority}/"
        assert {"https://management.azure.com/", remote.arm} <= set(authentication["audiences"])
        assert http.get(f"{authentication['loginEndpoint']}{TENANT}/v2.0/.well-known/openid-configuration").is_success
        if version != "2015-01-01":
            assert cloud["resourceManager"] == remote.arm


def test_a_wrong_version_of_the_endpoints_is_an_error(remote: Remote) -> None:
    with remote.http(remote.arm) as http:
        assert http.get("/metadata/endpoints").json()["error"]["code"] == "MissingApiVersionParameter"
        assert http.get(f"{ENDPOINTS}1999-01-01").json()["error"]["code"] == "InvalidApiVersionParameter"
