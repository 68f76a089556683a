"""What one pipeline or one of its builds shows: artifacts, timeline, and YAML from a log, a file or a preview."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from defender_devops.api.pipelines.evidence import (
    ARTIFACT_NAME,
    SECURITY_DEVOPS_TASK_ID,
    StepResult,
    Unread,
    YamlReading,
)
from defender_devops.azuredevops.client import AzureDevOpsClient, azure_devops_list, quote_path_segment
from defender_devops.azuredevops.pipelines.fields import identifier, object_field, text
from defender_devops.azuredevops.pipelines.inventory import project_url
from defender_devops.azuredevops.pipelines.yaml_reading import TEXT_MAX_BYTES, read_yaml
from defender_devops.errors import AzureDevOpsUnavailable

__all__ = [
    "has_analysis_artifact",
    "read_build_yaml",
    "read_file",
    "read_preview",
    "step_result",
]

_MAPPING: Final = "container mapping"
"""In the names of the steps that container mapping injects into every job, with the same task id."""

_INLINE_MAX: Final = 64 * 1024
"""Characters up to which YAML is parsed at once (some milliseconds); a longer one in a thread."""

_RESULTS: Final = {
    "succeeded": StepResult.RAN,
    "succeededwithissues": StepResult.RAN,
    "skipped": StepResult.SKIPPED,
}


async def has_analysis_artifact(client: AzureDevOpsClient, organization: str, project_id: str, build_id: int) -> bool:
    """Whether a build published the artifact that Defender for Cloud takes in.

    Raises:
        AzureDevOpsError: its artifacts cannot be listed.
    """
    url = f"{project_url(client, organization, project_id)}/build/builds/{build_id}/artifacts"
    return any(identifier(artifact, "name") == ARTIFACT_NAME for artifact in azure_devops_list(await client.get(url)))


async def step_result(client: AzureDevOpsClient, organization: str, project_id: str, build_id: int) -> StepResult:
    """Return the best result of the steps of a build that scan.

    Raises:
        AzureDevOpsError: its timeline cannot be read.
    """
    url = f"{project_url(client, organization, project_id)}/build/builds/{build_id}/timeline"
    body = await client.get(url)
    if body is None:  # a build that ended before its first step has no timeline
        return StepResult.ABSENT
    records = body.get("records") if isinstance(body, dict) else None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise AzureDevOpsUnavailable("The response of Azure DevOps does not have the records of a timeline.")
    results = {
        _RESULTS.get(text(record, "result").lower(), StepResult.FAILED)
        for record in records
        if text(object_field(record, "task"), "id").lower() == SECURITY_DEVOPS_TASK_ID
        and _MAPPING not in text(record, "name").lower()
    }
    return next(
        (result for result in (StepResult.RAN, StepResult.FAILED, StepResult.SKIPPED) if result in results),
        StepResult.ABSENT,
    )


async def read_build_yaml(
    client: AzureDevOpsClient, organization: str, project_id: str, build_id: int
) -> YamlReading | Unread:
    """Return what the YAML of a build says, all templates expanded: its first log, which is not documented.

    Raises:
        AzureDevOpsError: the log cannot be read.
    """
    url = f"{project_url(client, organization, project_id)}/build/builds/{build_id}/logs/1"
    return await _parsed(await client.get_text(url, max_bytes=TEXT_MAX_BYTES), is_expanded=True)


async def read_file(
    client: AzureDevOpsClient, organization: str, project_id: str, repository_id: str, path: str
) -> YamlReading | Unread:
    """Return what a YAML file on the default branch says.

    Raises:
        AzureDevOpsError: the file cannot be read.
    """
    url = f"{project_url(client, organization, project_id)}/git/repositories/{quote_path_segment(repository_id)}/items"
    query = {"path": path if path.startswith("/") else f"/{path}", "includeContent": "true"}
    content = _text_field(await client.get(url, query), "content")
    return await _parsed(content, is_expanded=False)


async def read_preview(
    client: AzureDevOpsClient, organization: str, project_id: str, pipeline_id: int
) -> YamlReading | Unread:
    """Return what a pipeline would run, all templates expanded, without running it.

    The address is never that of runs: there, a lost `previewRun` starts a run.

    Raises:
        AzureDevOpsError: Azure DevOps cannot expand it, or the account may not request that.
    """
    url = f"{project_url(client, organization, project_id)}/pipelines/{pipeline_id}/preview"
    content = _text_field(await client.query(url, {"previewRun": True}), "finalYaml")
    return await _parsed(content, is_expanded=True)


async def _parsed(content: str, *, is_expanded: bool) -> YamlReading | Unread:
    if len(content) > TEXT_MAX_BYTES:
        return Unread.TOO_LARGE
    if len(content) <= _INLINE_MAX:
        return read_yaml(content, is_expanded=is_expanded)
    return await asyncio.to_thread(read_yaml, content, is_expanded=is_expanded)


def _text_field(body: Any, key: str) -> str:  # noqa: ANN401 - JSON
    value = body.get(key) if isinstance(body, dict) else None
    if not isinstance(value, str):
        raise AzureDevOpsUnavailable(f"The response of Azure DevOps has no text {key}.")
    return value
