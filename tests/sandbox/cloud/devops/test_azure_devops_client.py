"""Microsoft's Python package azure-devops finds hosts and paths by itself and reads what the operator reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.devops import _file_cache as file_cache
from azure.devops import connection
from azure.devops.exceptions import AzureDevOpsServiceError
from azure.devops.v7_1.pipelines.models import RunPipelineParameters
from azure.devops.v7_1.search.models import CodeSearchRequest
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


YAML = "steps:\n- script: make\n- task: MicrosoftSecurityDevOps@1\n"


@pytest.fixture
def scanned(remote: Remote) -> str:
    """A project whose only repository is scanned by a pipeline, which validates its branches."""
    extensions = {"ms-securitydevops.microsoft-security-devops-azdevops": "none", "ms.vss-code-search": "none"}
    remote.control.change_organization("contoso", extensions=extensions)
    remote.control.add_project(
        "contoso",
        name="ünï pröject",
        repositories=[{"name": "a b", "files": {"azure-pipelines.yml": YAML}}],
        pipelines=[
            {"name": "ci", "repository": "a b", "builds": [{"age": 3600}, {"branch": "refs/pull/1/merge"}]},
            {"name": "classic", "repository": "a b", "yaml": None, "tasks": ["MicrosoftSecurityDevOps@1"]},
        ],
        policies=[{"pipeline": "ci", "repository": "a b"}],
        taskGroups=[{"name": "secure", "tasks": ["MicrosoftSecurityDevOps@1"]}],
    )
    return "ünï pröject"


SCAN_TASK_ID = "8d616517-6390-454f-b369-6fd038d8fe96"


def test_pipelines_and_builds_are_read(clients: Any, scanned: str) -> None:  # noqa: ANN401 - no types
    build = clients.get_build_client()
    pipelines = build.get_definitions(scanned, include_all_properties=True, include_latest_builds=True)
    assert [(pipeline.name, pipeline.revision, pipeline.queue_status) for pipeline in pipelines] == [
        ("ci", 1, "enabled"),
        ("classic", 1, "enabled"),
    ]
    assert pipelines[0].latest_completed_build.source_branch == "refs/pull/1/merge"
    assert [item.name for item in build.get_definitions(scanned, task_id_filter=SCAN_TASK_ID)] == ["classic"]
    definition = build.get_definition(scanned, pipelines[0].id)
    assert definition.process["yamlFilename"] == "azure-pipelines.yml"
    assert (definition.repository.type, definition.repository.name) == ("TfsGit", "a b")
    (latest,) = build.get_builds(
        scanned,
        branch_name="refs/heads/main",
        status_filter="completed",
        max_builds_per_definition=1,
        query_order="finishTimeDescending",
        repository_id=definition.repository.id,
        repository_type="TfsGit",
        min_time=datetime.now(UTC) - timedelta(days=1),
    )
    assert (latest.result, latest.reason, latest.definition.name) == ("succeeded", "individualCI", "ci")
    assert [artifact.name for artifact in build.get_artifacts(scanned, latest.id)] == ["CodeAnalysisLogs"]
    records = build.get_build_timeline(scanned, latest.id).records
    names = [record.name for record in records if record.task and record.task.id == SCAN_TASK_ID]
    assert len(names) == 3, "two of them are of container mapping"
    assert names[1] == "MicrosoftSecurityDevOps"
    assert b"".join(build.get_build_log(scanned, latest.id, 1)).startswith(b"stages:")


def test_code_policies_and_search_are_read(clients: Any, scanned: str) -> None:  # noqa: ANN401 - no types
    git = clients.get_git_client()
    assert git.get_repository("a b", scanned).default_branch == "refs/heads/main"
    item = git.get_item("a b", "azure-pipelines.yml", project=scanned, include_content=True)
    assert item.content == YAML
    assert [ref.name for ref in git.get_refs("a b", scanned, filter="heads/main")] == ["refs/heads/main"]
    (policy,) = clients.get_policy_client().get_policy_configurations(scanned)
    assert policy.is_enabled
    assert policy.settings["scope"][0]["matchKind"] == "Exact"
    search = clients.get_search_client()
    request = CodeSearchRequest(search_text="MicrosoftSecurityDevOps ext:yml", skip=0, top=200)
    answer = search.fetch_code_search_results(request, scanned)
    assert (answer.count, answer.info_code) == (1, 0)
    assert answer.results[0].path == "/azure-pipelines.yml"
    assert search.get_repository_status(scanned, "a b").indexed_branches[0].name == "main"
    (group,) = clients.get_task_agent_client().get_task_groups(scanned, task_id_filter=SCAN_TASK_ID)
    assert group.name == "secure"
    extensions = clients.get_extension_management_client().get_installed_extensions(include_disabled_extensions=True)
    assert "microsoft-security-devops-azdevops" in {extension.extension_id for extension in extensions}


def test_a_preview_returns_yaml_and_makes_no_build(clients: Any, scanned: str, remote: Remote) -> None:  # noqa: ANN401
    pipelines = clients.get_pipelines_client()
    final = pipelines.preview(RunPipelineParameters(preview_run=True), scanned, 1).final_yaml
    assert "MicrosoftSecurityDevOps@1" in final
    with pytest.raises(AzureDevOpsServiceError, match="designer") as raised:
        pipelines.preview(RunPipelineParameters(preview_run=True), scanned, 2)
    assert raised.value.type_key == "PipelineValidationException"
    queued = [
        entry for entry in remote.control.journal(effective="true") if entry["effects"][0]["kind"] == "build.queue"
    ]
    assert queued == []
    run = pipelines.run_pipeline(RunPipelineParameters(), scanned, 1)
    assert run.state == "inProgress"
    assert remote.control.journal(operation="Runs_RunPipeline")[0]["effects"][0]["kind"] == "build.queue"
