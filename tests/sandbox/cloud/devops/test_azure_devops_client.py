"""Microsoft's Python package azure-devops finds hosts and paths by itself and reads what the operator reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from azure.devops import _file_cache as file_cache
from azure.devops import connection
from msrest.authentication import BasicTokenAuthentication

from tests.sandbox.cloud.direct import ACCOUNT, DEVOPS_SCOPE, REDIRECT, SIGN_IN_APP_ID, TENANT
from tests.sandbox.cloud.remote import Person, Remote


@pytest.fixture
def clients(remote: Remote, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:  # noqa: ANN401 - no types
    """The clients of version 7.1, with the token of the dedicated account."""
    monkeypatch.setattr(file_cache.OPTIONS_CACHE, "file_name", str(tmp_path / "options.json"))
    monkeypatch.setattr(file_cache.RESOURCE_CACHE, "file_name", str(tmp_path / "resources.json"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(remote.ca))
    person = Person(remote)
    query = f"client_id={SIGN_IN_APP_ID}&response_type=code&redirect_uri={REDIRECT}&scope={DEVOPS_SCOPE}"
    code = person.sign_in_and_accept(f"/{TENANT}/oauth2/v2.0/authorize?{query}")["code"]
    person.close()
    form = {
        "grant_type": "authorization_code",
        "client_id": SIGN_IN_APP_ID,
        "client_secret": "sandbox-sign-in-secret",
        "redirect_uri": REDIRECT,
        "code": code,
    }
    with remote.http(remote.authority) as http:
        token = http.post(f"/{TENANT}/oauth2/v2.0/token", data=form).raise_for_status().json()["access_token"]
    url = f"{remote.endpoints['azureDevOps']['devAzure']}/contoso"
    credentials = BasicTokenAuthentication({"access_token": token})
    return connection.Connection(base_url=url, creds=credentials).clients_v7_1


def test_projects_and_repositories_are_read(clients: Any, remote: Remote) -> None:  # noqa: ANN401 - no types
    projects = {project.name for project in clients.get_core_client().get_projects()}
    assert projects == {"webshop", "data-platform", "infrastructure", "back-office"}
    assert clients.get_core_client().get_project("webshop").visibility == "private"
    remote.control.add_project("contoso", name="two words", repositories=["a b", "ünï"])
    git = clients.get_git_client()
    urls = {repository.name: repository.remote_url for repository in git.get_repositories("two words")}
    assert urls == {
        "a b": "https://contoso@dev.azure.com/contoso/two%20words/_git/a%20b",
        "ünï": "https://contoso@dev.azure.com/contoso/two%20words/_git/%C3%BCn%C3%AF",
    }
    assert "storefront" in {repository.name for repository in git.get_repositories()}


def test_every_host_is_found_by_its_area(clients: Any) -> None:  # noqa: ANN401 - no types
    profile = clients.get_profile_client().get_profile("me")
    assert profile.core_revision == 1
    identity = clients.get_identity_client().read_identities(identity_ids=profile.id)[0]
    assert identity.properties["Account"]["$value"] == ACCOUNT
    organizations = clients.get_accounts_client().get_accounts(member_id=profile.id)
    assert "contoso" in {organization.account_name for organization in organizations}
    graph = clients.get_graph_client()
    assert graph.get_descriptor(profile.id).value.startswith("aad.")
    assert "Project Collection Administrators" in {group.display_name for group in graph.list_groups().graph_groups}
    assert ACCOUNT in {user.principal_name for user in graph.list_users().graph_users}
    descriptor = graph.get_descriptor(profile.id).value
    assert [item.member_descriptor for item in graph.list_memberships(descriptor)] == [descriptor]
    entitlement = clients.get_member_entitlement_management_client().get_user_entitlement(profile.id)
    assert entitlement.access_level.account_license_type == "express"
    (extension,) = clients.get_extension_management_client().get_installed_extensions()
    assert extension.extension_id == "ms-dfd-code-to-cloud"
    assert clients.get_location_client().get_connection_data().authenticated_user.id == profile.id


def test_an_area_and_an_unknown_one(clients: Any, remote: Remote) -> None:  # noqa: ANN401 - no types
    location = clients.get_location_client()
    area = location.get_resource_area("bb1e7ec9-e901-4b68-999a-de7012b920f8")
    assert area.location_url == f"{remote.endpoints['azureDevOps']['identity']}/contoso/"
    with remote.http(remote.endpoints["azureDevOps"]["devAzure"]) as http:
        url = "/contoso/_apis/resourceAreas/00000000-0000-0000-0000-000000000000"
        assert http.get(url, headers={"Accept": "application/json;api-version=7.1-preview.1"}).status_code == 204
        assert http.request("OPTIONS", "/nowhere/_apis").status_code == 404
