"""Microsoft's azure-mgmt-security manages connectors over TLS; blocking and asyncio."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.security import SecurityManagementClient
from azure.mgmt.security.aio import SecurityManagementClient as AsyncSecurityManagementClient

from tests.sandbox.cloud.direct import ACCOUNT, CONNECTOR_BODY, DEVOPS_VERSION, GROUP, SUBSCRIPTION
from tests.sandbox.cloud.remote import Remote

V = {"api_version": DEVOPS_VERSION}
ANNOTATIONS = {
    "properties": {
        "actionableRemediation": {
            "state": "Enabled",
            "categoryConfigurations": [{"category": "IaC", "minimumSeverityLevel": "High"}],
            "inheritFromParentState": "Disabled",
        }
    }
}


@pytest.fixture
def client(remote: Remote) -> Iterator[SecurityManagementClient]:
    with (
        remote.credential() as credential,
        SecurityManagementClient(credential, SUBSCRIPTION, **remote.client_options()) as client_,
    ):
        yield client_


def create(client: SecurityManagementClient, remote: Remote, **properties: object) -> None:
    client.security_connectors.create_or_update(GROUP, "contoso", CONNECTOR_BODY)
    code = remote.control.issue_code(ACCOUNT)
    body = {"properties": {"authorization": {"code": code}, "autoDiscovery": "Disabled", **properties}}
    client.dev_ops_configurations.begin_create_or_update(GROUP, "contoso", body, **V).result()


def test_a_connector_is_created_read_changed_listed_and_deleted(client: SecurityManagementClient) -> None:
    created = client.security_connectors.create_or_update(GROUP, "contoso", CONNECTOR_BODY)
    assert created.id.startswith(f"/subscriptions/{SUBSCRIPTION}/resourcegroups/{GROUP}/")
    changed = client.security_connectors.update(GROUP, "contoso", {"tags": {"stage": "test"}})
    assert changed.tags == {"stage": "test"}
    again = client.security_connectors.get(GROUP, "contoso")
    assert again.properties.hierarchy_identifier == CONNECTOR_BODY["properties"]["hierarchyIdentifier"]  # type: ignore[index]
    assert [item.name for item in client.security_connectors.list_by_resource_group(GROUP)] == ["contoso"]
    assert [item.name for item in client.security_connectors.list()] == ["contoso"]
    client.security_connectors.delete(GROUP, "contoso")
    with pytest.raises(ResourceNotFoundError):
        client.security_connectors.get(GROUP, "contoso")


def test_a_configuration_is_created_changed_and_deleted(client: SecurityManagementClient, remote: Remote) -> None:
    create(client, remote, autoDiscovery="Enabled")
    configuration = client.dev_ops_configurations.get(GROUP, "contoso", **V)
    assert configuration.properties.provisioning_state == "Succeeded"
    assert configuration.properties.auto_discovery == "Enabled"
    assert configuration.properties.authorization is None
    assert [item.name for item in client.dev_ops_configurations.list(GROUP, "contoso", **V)] == ["default"]

    update = {"properties": {"autoDiscovery": "Disabled", "topLevelInventoryList": ["contoso", "fabrikam"]}}
    client.dev_ops_configurations.begin_update(GROUP, "contoso", update, **V).result()
    names = [item.name for item in client.azure_dev_ops_orgs.list(GROUP, "contoso", **V)]
    assert sorted(names) == ["contoso", "fabrikam"]

    client.dev_ops_configurations.begin_delete(GROUP, "contoso", **V).result()
    with pytest.raises(ResourceNotFoundError):
        client.dev_ops_configurations.get(GROUP, "contoso", **V)


def test_a_code_of_another_app_fails_the_operation_and_leaves_the_resource(
    client: SecurityManagementClient, remote: Remote
) -> None:
    client.security_connectors.create_or_update(GROUP, "contoso", CONNECTOR_BODY)
    body = {"properties": {"authorization": {"code": "0.AXkA-not-a-legacy-code"}, "autoDiscovery": "Disabled"}}
    poller = client.dev_ops_configurations.begin_create_or_update(GROUP, "contoso", body, **V)
    with pytest.raises(HttpResponseError) as caught:
        poller.result()
    assert caught.value.error is not None
    assert caught.value.error.code == "TokenExchangeFailed"
    properties = client.dev_ops_configurations.get(GROUP, "contoso", **V).properties
    assert properties.provisioning_state == "Failed"
    assert "token exchange failed: InvalidOAuthCode" in properties.provisioning_status_message
    assert remote.control.last() > 0


def test_the_operation_can_be_read_by_its_name(client: SecurityManagementClient, remote: Remote) -> None:
    client.security_connectors.create_or_update(GROUP, "contoso", CONNECTOR_BODY)
    body = {"properties": {"authorization": {"code": remote.control.issue_code(ACCOUNT)}, "autoDiscovery": "Enabled"}}
    # Without polling: the poller's thread would move the clock, and the operation might end before it is read.
    poller = client.dev_ops_configurations.begin_create_or_update(GROUP, "contoso", body, polling=False, **V)
    address = poller.polling_method()._initial_response.http_response.headers["Azure-AsyncOperation"]
    assert len(address) > 2500
    match = re.search(r"operationResults/([0-9a-f-]{36})\?", address)
    assert match is not None
    name = match.group(1)
    assert client.dev_ops_operation_results.get(GROUP, "contoso", name, **V).status == "Accepted"
    remote.control.move(60, wall=60)
    ended = client.dev_ops_operation_results.get(GROUP, "contoso", name, **V)
    assert ended.status == "Succeeded"
    assert ended.end_time > ended.start_time


def test_organizations_projects_and_repositories_are_read_page_by_page(
    client: SecurityManagementClient, remote: Remote
) -> None:
    create(client, remote, topLevelInventoryList=["contoso", "wingtip-toys"])
    remote.control.move(8 * 3600)
    organizations = {item.name: item.properties for item in client.azure_dev_ops_orgs.list(GROUP, "contoso", **V)}
    assert {name: item.onboarding_state for name, item in organizations.items()} == {
        "contoso": "Onboarded",
        "wingtip-toys": "Onboarded",
    }
    available_organizations = client.azure_dev_ops_orgs.list_available(GROUP, "contoso", **V).value
    states = {item.name: item.properties.onboarding_state for item in available_organizations}
    assert states["fabrikam"] == "NotOnboarded"
    assert "litware" not in states
    projects = list(client.azure_dev_ops_projects.list(GROUP, "contoso", "contoso", **V))
    assert [item.name for item in projects] == ["webshop", "data-platform", "infrastructure", "back-office"]
    pages = client.azure_dev_ops_repos.list(GROUP, "contoso", "contoso", "data-platform", **V).by_page()
    sizes = [len(list(page)) for page in pages]
    assert sizes == [10, 10, 4]
    names = [item.name for item in client.azure_dev_ops_repos.list(GROUP, "contoso", "contoso", "webshop", **V)]
    assert "legacy" not in names, "a disabled repository is not Defender's"
    item = client.azure_dev_ops_repos.get(GROUP, "contoso", "contoso", "webshop", "checkout", **V)
    assert item.properties.repo_url == "https://dev.azure.com/contoso/webshop/_git/checkout"
    project = client.azure_dev_ops_projects.get(GROUP, "contoso", "contoso", "webshop", **V)
    assert project.properties.parent_org_name == "contoso"


def test_annotations_are_set_on_each_level_and_inherited(client: SecurityManagementClient, remote: Remote) -> None:
    create(client, remote, topLevelInventoryList=["contoso"])
    remote.control.move(8 * 3600)
    at = (GROUP, "contoso", "contoso")
    client.azure_dev_ops_orgs.begin_update(*at, ANNOTATIONS, **V).result()
    organization = client.azure_dev_ops_orgs.get(*at, **V).properties.actionable_remediation
    assert organization.state == "Enabled"
    assert organization.category_configurations[0].minimum_severity_level == "High"
    inherited = client.azure_dev_ops_repos.get(*at, "webshop", "search", **V).properties.actionable_remediation
    assert (inherited.state, inherited.inherit_from_parent_state) == ("Enabled", "Enabled")
    off = {"properties": {"actionableRemediation": {"state": "Disabled", "inheritFromParentState": "Disabled"}}}
    client.azure_dev_ops_projects.begin_update(*at, "webshop", off, **V).result()
    client.azure_dev_ops_repos.begin_create_or_update(*at, "webshop", "checkout", ANNOTATIONS, **V).result()
    client.azure_dev_ops_projects.begin_create_or_update(*at, "infrastructure", off, **V).result()
    states = {
        name: client.azure_dev_ops_repos.get(*at, "webshop", name, **V).properties.actionable_remediation.state
        for name in ("search", "checkout")
    }
    assert states == {"search": "Disabled", "checkout": "Enabled"}


def test_a_single_organization_can_be_onboarded(client: SecurityManagementClient, remote: Remote) -> None:
    create(client, remote, topLevelInventoryList=["contoso"])
    client.azure_dev_ops_orgs.begin_create_or_update(GROUP, "contoso", "tailspin", ANNOTATIONS, **V).result()
    properties = client.azure_dev_ops_orgs.get(GROUP, "contoso", "tailspin", **V).properties
    assert properties.onboarding_state == "Onboarded"
    assert properties.actionable_remediation.state == "Enabled"


async def test_the_same_client_for_asyncio_does_the_same(remote: Remote) -> None:
    code = remote.control.issue_code(ACCOUNT)
    async with (
        remote.async_credential() as credential,
        AsyncSecurityManagementClient(credential, SUBSCRIPTION, **remote.async_client_options()) as client,
    ):
        await client.security_connectors.create_or_update(GROUP, "contoso", CONNECTOR_BODY)
        body = {"properties": {"authorization": {"code": code}, "topLevelInventoryList": ["northwind"]}}
        poller = await client.dev_ops_configurations.begin_create_or_update(GROUP, "contoso", body, **V)
        assert (await poller.result()).properties.provisioning_state == "Succeeded"
        remote.control.move(8 * 3600)
        organizations = [item.name async for item in client.azure_dev_ops_orgs.list(GROUP, "contoso", **V)]
        assert organizations == ["northwind"]
        update = await client.azure_dev_ops_orgs.begin_update(GROUP, "contoso", "northwind", ANNOTATIONS, **V)
        await update.result()
        repositories = client.azure_dev_ops_repos.list(GROUP, "contoso", "northwind", "traders", **V)
        states = {
            repository.name: repository.properties.actionable_remediation.state async for repository in repositories
        }
        assert states == {"orders": "Enabled", "shipping": "Enabled", "archive": "Enabled"}
        available_organizations = await client.azure_dev_ops_orgs.list_available(GROUP, "contoso", **V)
        assert len(available_organizations.value) == 6
        await (await client.dev_ops_configurations.begin_delete(GROUP, "contoso", **V)).result()
        await client.security_connectors.delete(GROUP, "contoso")
        assert [item async for item in client.security_connectors.list()] == []
