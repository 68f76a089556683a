"""The number of projects and repositories of an organization that Defender for Cloud should discover."""

from __future__ import annotations

from defender_devops.api.azure_types import Counts
from defender_devops.azuredevops.client import AzureDevOpsClient, azure_devops_list, quote_path_segment
from defender_devops.errors import AzureDevOpsNotFound, AzureDevOpsUnavailable

__all__ = ["expected_counts"]


async def expected_counts(client: AzureDevOpsClient, organization: str) -> Counts:
    """Count what Defender covers: well-formed projects, and Git repositories that are not disabled.

    TFVC repositories are not Git repositories and therefore not in the list. An empty repository counts: Defender
    discovers it, although there is nothing to scan.

    Raises:
        AzureDevOpsError: they cannot be listed.
    """
    base = f"{client.endpoints.dev_azure}/{quote_path_segment(organization)}"
    projects = [
        str(project.get("id") or "")
        async for page in client.pages(f"{base}/_apis/projects", {"stateFilter": "wellFormed", "$top": "100"})
        for project in page
    ]
    if "" in projects:
        raise AzureDevOpsUnavailable("A project in the response of Azure DevOps has no id.")
    try:
        # One request for the whole organization; the documented path has the project in addition.
        repositories = azure_devops_list(await client.get(f"{base}/_apis/git/repositories"))
    except AzureDevOpsNotFound:
        repositories = []
        for project in projects:
            repositories += azure_devops_list(
                await client.get(f"{base}/{quote_path_segment(project)}/_apis/git/repositories")
            )
    if not all(isinstance(repository.get("id"), str) for repository in repositories):
        raise AzureDevOpsUnavailable("A repository in the response of Azure DevOps has no id.")
    return Counts(len(projects), sum(repository.get("isDisabled") is not True for repository in repositories))
