"""Which files contain a word, by Code Search: a hint where reading every file would cost too many requests."""

from __future__ import annotations

from typing import Final

from defender_devops.azuredevops.client import AzureDevOpsClient, quote_path_segment
from defender_devops.azuredevops.pipelines.fields import object_field, text
from defender_devops.errors import AzureDevOpsUnavailable

__all__ = ["CHECKOUT", "TASK", "find_files"]

TASK: Final = "MicrosoftSecurityDevOps"
CHECKOUT: Final = "checkout"
_PAGE: Final = 200
_HITS_MAX: Final = 1000
"""Hits that the service returns at most."""

_WHOLE_INDEX: Final = 0
"""infoCode of an answer from a whole index; with any other one, files may be missing."""


async def find_files(client: AzureDevOpsClient, organization: str, word: str) -> frozenset[tuple[str, str]] | None:
    """Return the files on default branches that contain a word, as id of the repository and path in lower case.

    A file may contain it in a comment, or be a template that nothing includes. None if the answer is not complete.

    Raises:
        AzureDevOpsError: the search failed, or the organization has no Code Search.
    """
    url = f"{client.endpoints.search}/{quote_path_segment(organization)}/_apis/search/codesearchresults"
    hits = set[tuple[str, str]]()
    for skip in range(0, _HITS_MAX, _PAGE):
        body = await client.query(url, {"searchText": word, "$skip": skip, "$top": _PAGE, "includeFacets": False})
        results = body.get("results") if isinstance(body, dict) else None
        total = body.get("count") if isinstance(body, dict) else None
        if not isinstance(results, list) or not isinstance(total, int):
            raise AzureDevOpsUnavailable("The response of Azure DevOps does not have the results of a search.")
        if body.get("infoCode") != _WHOLE_INDEX or total > _HITS_MAX:
            return None
        for result in results:
            repository_id = text(object_field(result, "repository"), "id") if isinstance(result, dict) else ""
            if not repository_id:
                raise AzureDevOpsUnavailable("A hit in the response of Azure DevOps names no repository.")
            hits.add((repository_id, text(result, "path").lower()))
        if not results or skip + len(results) >= total:
            return frozenset(hits)
    return None
