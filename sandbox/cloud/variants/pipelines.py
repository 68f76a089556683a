"""Variants of Azure Pipelines, code and code search."""

from __future__ import annotations

from typing import Final

from sandbox.cloud.variants.variant import Variant

__all__ = ["PIPELINES"]

PIPELINES: Final[dict[str, Variant]] = {
    "devOpsPages": Variant(
        "items of a page of pipelines, builds and branch policies, at most",
        {"thousand": "as `azureDevopsPageSize` says", "hundred": "100, as of projects"},
    ),
    "taskFilter": Variant(
        "which pipelines taskIdFilter finds",
        {
            "designer": "designer pipelines: steps of YAML are no part of a definition",
            "everything": "YAML pipelines, too: the description does not exclude them",
        },
    ),
    "repositoryWithoutType": Variant(
        "repositoryId without repositoryType in lists of pipelines and builds",
        {"badRequest": "400: they belong together", "ignored": "the filter is ignored, as unknown parameters are"},
    ),
    "deniedPipelines": Variant(
        'a pipeline with "View builds" denied, by its id or that of a build',
        {
            "absent": "404, as it is not in lists",
            "forbidden": "403 TF215106, the error of other permissions of a pipeline",
        },
    ),
    "taskScope": Variant(
        "the scope that reads a task by its id",
        {
            "build": "vso.build, as for everything else of pipelines",
            "agentPools": "vso.agentpools, as the documentation says of other calls of this area",
        },
    ),
    "latestCompletedBuild": Variant(
        "the branch of latestCompletedBuild",
        {
            "anyBranch": "any, also that of a pull request: the description names no branch",
            "defaultBranch": "the default one, as of the badge of a pipeline",
        },
    ),
    "unfinishedBuilds": Variant(
        "a build without finish time in a list by finish time",
        {"absent": "it has no place in that order", "first": "before all others, as if it ended now"},
    ),
    "expiredBuilds": Variant(
        "a build beyond the retention",
        {
            "remain": "stays in the list, without logs and artifacts",
            "deleted": "is deleted, as the whole run is by default",
        },
    ),
    "firstLog": Variant(
        "log 1 of a YAML build",
        {
            "expandedYaml": "the expanded YAML, as tools of others read it",
            "ordinary": "a log as any other: nothing is documented",
        },
    ),
    "logsForJson": Variant(
        "a log for a client that accepts JSON",
        {
            "lines": "`{count, value}` with the lines",
            "text": "text: the header is ignored",
        },
    ),
    "checkoutRecords": Variant(
        "the task of a record of checkout",
        {"withoutTask": "null, as of the agent's own steps", "withTask": "the id of the task Checkout"},
    ),
    "stepNames": Variant(
        "the name of a scan without displayName in a timeline",
        {"task": "the name of the task", "friendly": "that of the designer: Run Microsoft Defender for DevOps"},
    ),
    "containerMappingSteps": Variant(
        "the steps of container mapping in expanded YAML",
        {
            "hidden": "not there: a decorator is no part of a file",
            "shown": "in every job, as steps that a template injects",
        },
    ),
    "invalidYaml": Variant(
        "the timeline of a build whose YAML could not be expanded",
        {"withoutTimeline": "204: no job has run", "emptyTimeline": "200 with a timeline without records"},
    ),
    "previewRights": Variant(
        "what the preview of a pipeline needs",
        {
            "queueBuilds": "Queue builds: a preview is a dry run, and 403 TF215106 is the error of queueing",
            "viewBuilds": "View builds: the API description has the scope for reading",
        },
    ),
    "previewErrors": Variant(
        "texts of the preview of a designer or disabled pipeline",
        {"specific": "they name the reason", "general": "one text for everything that cannot be previewed"},
    ),
    "unreadableRepositories": Variant(
        "HTTP status of files of a disabled or empty repository",
        {"notFound": "404 for both", "other": "403 for a disabled one, 400 for an empty one"},
    ),
    "commitIds": Variant(
        "the commit at the head of a branch",
        {"content": "changes with the files only", "daily": "changes every day: commits without changes of files"},
    ),
    "missingCodeSearch": Variant(
        "code search without its extension",
        {
            "notFound": "404: nothing answers the path",
            "onboarding": "200 without results and infoCode 6",
        },
    ),
    "infoCodes": Variant(
        "infoCode of a search for nothing, or beyond the most hits",
        {"detailed": "3 and 8", "none": "0: the answer itself shows it"},
    ),
    "enablementRows": Variant(
        "repositories whose Advanced Security was never touched",
        {
            "touched": "not in the answer",
            "all": "with everything off",
        },
    ),
}
