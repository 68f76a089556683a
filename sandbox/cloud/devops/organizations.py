"""dev.azure.com: connection data, policies, projects, repositories."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from sandbox.cloud.devops.call import DevOpsCall, listing
from sandbox.cloud.devops.errors import DevOpsError
from sandbox.cloud.transport.message import Reply, json_reply
from sandbox.cloud.world.devops import Project, Repository, repository_url

__all__ = [
    "connection_data",
    "get_project",
    "list_organization_repositories",
    "list_project_repositories",
    "list_projects",
    "oauth_policy",
    "project_reference",
    "repository_body",
]

_DISALLOW_OAUTH = "Policy.DisallowOAuthAuthentication"
_MOST_PROJECTS = 100
_UPDATED = "2024-02-14T00:31:18.3Z"


def connection_data(call: DevOpsCall) -> Reply:
    """GET _apis/connectionData: the caller and the organization."""
    person = call.person
    identity = {
        "id": person.id,
        "descriptor": person.descriptor,
        "subjectDescriptor": person.subject,
        "providerDisplayName": person.display_name,
        "isActive": True,
        "properties": {"Account": {"$type": "System.String", "$value": person.name}},
        "resourceVersion": 2,
        "metaTypeId": 0,
    }
    body = {
        "authenticatedUser": identity,
        "authorizedUser": identity,
        "instanceId": call.current_organization.id,
        "deploymentId": "c2d6a0a5-4b1c-4c9a-a6d0-7f3b6c5f1c01",
        "deploymentType": "hosted",
        "locationServiceData": {
            "serviceOwner": "00025394-6065-48ca-87d9-7f5672854ef7",
            "defaultAccessMappingMoniker": "PublicAccessMapping",
            "lastChangeId": 1,
            "lastChangeId64": 1,
        },
    }
    return json_reply(body)


def oauth_policy(call: DevOpsCall) -> Reply:
    """GET the policy "Third-party application access via OAuth"; the value is inverted: true means off."""
    if call.names["policy"].lower() != _DISALLOW_OAUTH.lower():
        message = f"The policy '{call.names['policy']}' does not exist."
        raise DevOpsError(404, "PolicyNotFoundException", message)
    disallowed = not call.current_organization.third_party_oauth
    body = {
        "name": _DISALLOW_OAUTH,
        "value": disallowed,
        "effectiveValue": disallowed,
        "isValueUndefined": False,
        "parentPolicy": None,
    }
    return json_reply(body)


def list_projects(call: DevOpsCall) -> Reply:
    """GET _apis/projects: the continuation token is in a header."""
    state = call.request.query.get("stateFilter", "wellFormed").lower()
    top = max(1, min(call.number("$top", _MOST_PROJECTS), 1000))
    position = call.number("continuationToken", call.number("$skip", 0))
    projects = [project for project in call.projects() if state in ("all", project.state.lower())]
    part = projects[position : position + top]
    more = position + top < len(projects)
    headers = {"x-ms-continuationtoken": str(position + top)} if more else None
    return listing([project_reference(call, project) for project in part], headers)


def get_project(call: DevOpsCall) -> Reply:
    """GET _apis/projects/{project}."""
    return json_reply(project_reference(call, call.project()))


def project_reference(call: DevOpsCall, project: Project) -> dict[str, Any]:
    """Return a project as other resources show it."""
    return {
        "id": project.id,
        "name": project.name,
        "url": f"{call.request.base}/{call.current_organization.name}/_apis/projects/{project.id}",
        "state": project.state,
        "revision": 11,
        "visibility": project.visibility,
        "lastUpdateTime": _UPDATED,
    }


def list_project_repositories(call: DevOpsCall) -> Reply:
    """GET {project}/_apis/git/repositories: not paged; empty if the project uses TFVC."""
    return listing(_repositories(call, call.project()))


def list_organization_repositories(call: DevOpsCall) -> Reply:
    """GET _apis/git/repositories: the repositories of all projects."""
    return listing([repository for project in call.projects() for repository in _repositories(call, project)])


def _repositories(call: DevOpsCall, project: Project) -> list[dict[str, Any]]:
    if project.tfvc:
        return []
    return [repository_body(call, project, repository) for repository in project.repositories.existing()]


def repository_body(call: DevOpsCall, project: Project, repository: Repository) -> dict[str, Any]:
    """Return a repository; an empty one has no default branch."""
    organization = call.current_organization.name
    base = f"{call.request.base}/{organization}"
    path = f"{quote(project.name)}/_git/{quote(repository.name)}"
    body: dict[str, Any] = {
        "id": repository.id,
        "name": repository.name,
        "url": f"{base}/{project.id}/_apis/git/repositories/{repository.id}",
        "project": project_reference(call, project),
        "defaultBranch": f"refs/heads/{repository.default_branch}",
        "size": 0 if repository.empty else repository.size,
        "remoteUrl": f"https://{organization}@dev.azure.com/{organization}/{path}",
        "sshUrl": f"git@ssh.dev.azure.com:v3/{organization}/{quote(project.name)}/{quote(repository.name)}",
        "webUrl": repository_url(organization, project.name, repository.name),
        "isDisabled": repository.disabled,
        "isInMaintenance": False,
    }
    if repository.empty:
        del body["defaultBranch"]
    if repository.fork:
        body["isFork"] = True
    return body
