"""Lists of one organization: projects, repositories, pipelines and their latest builds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from defender_devops.api.pipelines.evidence import SECURITY_DEVOPS_TASK_ID, Build, Pipeline, Repository, Unread
from defender_devops.azuredevops.client import AzureDevOpsClient, azure_devops_list, quote_path_segment
from defender_devops.azuredevops.pipelines.fields import flag, identifier, number, object_field, text, timestamp
from defender_devops.errors import AzureDevOpsNotFound, AzureDevOpsUnavailable

__all__ = [
    "DEFINITIONS_OF_BUILDS_MAX",
    "list_builds",
    "list_designer_pipelines_with_task",
    "list_pipelines",
    "list_projects",
    "list_repositories",
    "project_url",
]

DEFINITIONS_OF_BUILDS_MAX: Final = 100
"""Pipelines whose last builds one request asks for: their ids are in the URL."""

_PAGE: Final = "200"
_YAML: Final = 2
"""Type of a process that a file describes; all others have their steps in the definition."""


def project_url(client: AzureDevOpsClient, organization: str, project_id: str) -> str:
    """Return the address of a project's API, up to the area."""
    return f"{client.endpoints.dev_azure}/{quote_path_segment(organization)}/{quote_path_segment(project_id)}/_apis"


async def list_projects(client: AzureDevOpsClient, organization: str) -> dict[str, str]:
    """Return the names of the well-formed projects that the account may see, by id.

    Raises:
        AzureDevOpsError: they cannot be listed.
    """
    url = f"{client.endpoints.dev_azure}/{quote_path_segment(organization)}/_apis/projects"
    return {
        identifier(project, "id"): identifier(project, "name")
        async for page in client.pages(url, {"stateFilter": "wellFormed", "$top": _PAGE})
        for project in page
    }


async def list_repositories(
    client: AzureDevOpsClient, organization: str, projects: Mapping[str, str]
) -> tuple[Repository, ...]:
    """Return the Git repositories of the projects.

    Raises:
        AzureDevOpsError: they cannot be listed.
    """
    url = f"{client.endpoints.dev_azure}/{quote_path_segment(organization)}/_apis/git/repositories"
    try:
        # One request for the whole organization; the documented path has the project in addition.
        items = azure_devops_list(await client.get(url))
    except AzureDevOpsNotFound:
        items = []
        for project_id in projects:
            project_repositories = await client.get(f"{project_url(client, organization, project_id)}/git/repositories")
            items += azure_devops_list(project_repositories)
    return tuple(
        Repository(
            id=identifier(item, "id"),
            name=identifier(item, "name"),
            project_id=project_id,
            project=projects[project_id],
            default_branch=text(item, "defaultBranch") or None,
            is_disabled=flag(item, "isDisabled"),
            is_fork=flag(item, "isFork"),
        )
        for item in items
        if (project_id := identifier(object_field(item, "project"), "id")) in projects
    )


async def list_pipelines(
    client: AzureDevOpsClient, organization: str, project_id: str, branches: Mapping[str, str]
) -> tuple[Pipeline, ...]:
    """Return all pipelines of a project, each with its last build if that is of the default branch.

    Args:
        client: client of the account.
        organization: name of the organization.
        project_id: id of the project.
        branches: default branches by id of the repository.

    Raises:
        AzureDevOpsError: they cannot be listed.
    """
    url = f"{project_url(client, organization, project_id)}/build/definitions"
    query = {"includeAllProperties": "true", "includeLatestBuilds": "true", "$top": _PAGE}
    return tuple([_pipeline(item, project_id, branches) async for page in client.pages(url, query) for item in page])


async def list_designer_pipelines_with_task(
    client: AzureDevOpsClient, organization: str, project_id: str
) -> frozenset[int]:
    """Return the ids of the designer pipelines of a project that have the task. YAML pipelines are never among them.

    Raises:
        AzureDevOpsError: they cannot be listed.
    """
    url = f"{project_url(client, organization, project_id)}/build/definitions"
    query = {"taskIdFilter": SECURITY_DEVOPS_TASK_ID, "$top": _PAGE}
    return frozenset([number(item, "id") async for page in client.pages(url, query) for item in page])


async def list_builds(
    client: AzureDevOpsClient, organization: str, project_id: str, branch: str, pipeline_ids: Iterable[int]
) -> dict[int, Build]:
    """Return the last completed build of a branch for each of at most `DEFINITIONS_OF_BUILDS_MAX` pipelines.

    Raises:
        AzureDevOpsError: they cannot be listed.
    """
    ids = [str(pipeline_id) for pipeline_id in pipeline_ids]
    url = f"{project_url(client, organization, project_id)}/build/builds"
    query = {
        "branchName": branch,
        "statusFilter": "completed",
        "maxBuildsPerDefinition": "1",
        "queryOrder": "finishTimeDescending",
        "definitions": ",".join(ids),
        "$top": str(len(ids)),
    }
    builds: dict[int, Build] = {}
    async for page in client.pages(url, query):
        for item in page:
            build = _build(item, branch)
            if build is None:
                raise AzureDevOpsUnavailable("A build in the response of Azure DevOps is not one that was requested.")
            pipeline_id = number(object_field(item, "definition"), "id")
            if pipeline_id not in builds or builds[pipeline_id].finished_at < build.finished_at:
                builds[pipeline_id] = build
    return builds


def _pipeline(item: Mapping[str, Any], project_id: str, branches: Mapping[str, str]) -> Pipeline:
    process, source = object_field(item, "process"), object_field(item, "repository")
    process_type = process.get("type")
    yaml_path = text(process, "yamlFilename")
    source_type, repository_id = text(source, "type"), text(source, "id")
    if not isinstance(process_type, int) or (process_type == _YAML and not yaml_path) or not source_type:
        raise AzureDevOpsUnavailable("A pipeline in the response of Azure DevOps has no process, or no repository.")
    branch = branches.get(repository_id, "") if source_type.lower() == "tfsgit" else _external_branch(source)
    latest = object_field(item, "latestCompletedBuild")
    latest_build_id = number(latest, "id") if latest else 0
    build = _build(latest, branch) if latest else None
    return Pipeline(
        id=number(item, "id"),
        project_id=project_id,
        name=identifier(item, "name"),
        revision=number(item, "revision"),
        repository_id=repository_id,
        external_branch="" if source_type.lower() == "tfsgit" else branch,
        source_type=source_type,
        yaml_path=yaml_path if process_type == _YAML else "",
        is_enabled=text(item, "queueStatus").lower() != "disabled",
        latest_build_id=latest_build_id,
        # The latest build may be of another branch, also of a pull request: then another request has to answer.
        build=build if build is not None or not latest else Unread.NOT_YET,
    )


def _external_branch(source: Mapping[str, Any]) -> str:
    """Return the full name of the default branch of a repository outside Azure Repos; empty if it is not stated."""
    branch = text(source, "defaultBranch")
    return branch if branch.startswith("refs/") or not branch else f"refs/heads/{branch}"


def _build(item: Mapping[str, Any], branch: str) -> Build | None:
    """Return a completed build of a branch; None if it is of another branch, or is not completed."""
    finished_at = timestamp(item, "finishTime")
    if not branch or finished_at is None or text(item, "sourceBranch") != branch:
        return None
    return Build(number(item, "id"), finished_at, text(item, "sourceVersion"))
