"""How many projects and repositories Defender for Cloud should find in an organization."""

from __future__ import annotations

from typing import Any

from defender_devops.api.azure_types import Counts
from defender_devops.azuredevops.client import AzureDevOpsClient, list_items, path_segment
from defender_devops.errors import AzureDevOpsNotFound

__all__ = ["expected_counts"]


async def expected_counts(client: AzureDevOpsClient, organization: str) -> Counts:
    """Count what Defender covers: well-formed projects, and Git repositories that are not disabled.

    TFVC is no Git repository and so is not listed at all. An empty repository counts: Defender lists it, with nothing
    to scan in it.

    Raises:
        AzureDevOpsError: they cannot be listed.
    """
    base = f"{client.endpoints.dev_azure}/{path_segment(organization)}"
    projects = [
        str(project["id"])
        async for page in client.pages(f"{base}/_apis/projects", {"stateFilter": "wellFormed", "$top": "100"})
        for project in page
        if isinstance(project, dict) and "id" in project
    ]
    try:
        # One request for the whole organization; the documented path differs by the project only.
        repositories = list_items(await client.get(f"{base}/_apis/git/repositories"))
    except AzureDevOpsNotFound:
        repositories = []
        for project in projects:
            repositories += list_items(await client.get(f"{base}/{path_segment(project)}/_apis/git/repositories"))
    return Counts(len(projects), sum(_is_covered(each) for each in repositories))


def _is_covered(repository: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(repository, dict) and repository.get("isDisabled") is not True
