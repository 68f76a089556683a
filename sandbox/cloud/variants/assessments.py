"""Variants of assessments: their shape, and when they come and go."""

from __future__ import annotations

from typing import Final

from sandbox.cloud.variants.variant import Variant

__all__ = ["ASSESSMENTS"]

ASSESSMENTS: Final[dict[str, Variant]] = {
    "assessmentRows": Variant(
        "whether Resource Graph has assessments of Azure DevOps at all",
        {"present": "the portal's own queries need them", "absent": "no public answer shows one"},
    ),
    "assessmentRights": Variant(
        "who sees assessments in Resource Graph",
        {
            "read": "whoever may perform Microsoft.Security/assessments/read",
            "securityRoles": "only holders of Security Reader or Security Admin, as some pages say",
        },
    ),
    "firstAssessments": Variant(
        "time from the discovery of a project to its first assessments",
        {"halfHour": "15 to 60 minutes for a scan", "day": "posture checks once a day, as older pages say"},
    ),
    "resolvedAssessments": Variant(
        "a resolved finding",
        {"healthy": "turns Healthy, as other assessments do", "vanishes": "has no row any more"},
    ),
    "assessmentsWithoutAuthorization": Variant(
        "the assessments of an organization that Defender cannot access any more",
        {
            "stale": "stay as they were: nothing evaluates them",
            "vanish": "are removed after 24 hours, as those of deleted resources",
            "moving": "go on: the pipelines report without Defender's authorization",
        },
    ),
    "deletedRepositories": Variant(
        "assessments of a deleted repository",
        {"vanish": "go with the repository", "linger": "stay for a day, as results of deleted resources do"},
    ),
    "assessmentIds": Variant(
        "spelling of an assessment's id",
        {
            "arm": "the id of the repository in Resource Manager, with the assessment appended",
            "lowerCase": "Resource Graph returns parts of other ids in lower case",
            "percentEncoded": "names of projects may contain blanks, which a URL cannot",
            "lowerCasePercentEncoded": "both",
        },
    ),
    "assessmentResource": Variant(
        "the resource of a repository's finding",
        {
            "repository": "the documentation names it as the resource since 2023",
            "project": "some checks concern a whole project",
            "organization": "some checks concern a whole organization",
            "unknown": "a child of the repository that is described nowhere, such as a branch",
        },
    ),
    "serviceConnectionAssessments": Variant(
        "the resource of recommendations on service connections",
        {
            "project": "service connections belong to projects and are no resources themselves",
            "serviceConnection": "a resource of its own below the project, as the portal counts them",
            "organization": "the posture page is a page of organizations",
        },
    ),
    "assessmentResourceDetails": Variant(
        "spelling of `properties.resourceDetails`",
        {
            "upperCase": "`Source` and `Id`, as in Microsoft's newest queries",
            "lowerCase": "`source` and `id`, as in the API description",
            "absent": "the API description has no such object for Azure DevOps",
        },
    ),
    "assessmentCategory": Variant(
        "`metadata.recommendationCategory` of a finding",
        {
            "known": "the five categories that the documentation names",
            "absent": "the REST description does not have it",
            "unknown": "`Unknown`, as where one recommendation replaced a grouped one",
            "unfamiliar": "categories are added over time",
        },
    ),
    "postureCategory": Variant(
        "`metadata.recommendationCategory` of a posture recommendation",
        {"absent": "it is documented for findings only", "unknown": "`Unknown`, as the portal's own query expects"},
    ),
    "assessmentSeverity": Variant(
        "the severity of an assessment",
        {
            "metadata": "`metadata.severity`, as the page on the transition says",
            "status": "`status.severity`, where findings had it before",
            "lowerCase": "`high` for `High`",
            "absent": "new kinds of findings may come without",
            "unfamiliar": "`Critical` was added in 2025; others may follow",
        },
    ),
    "assessmentStatus": Variant(
        "`status.code`",
        {
            "known": "`Healthy`, `Unhealthy`, `NotApplicable`",
            "lowerCase": "`unhealthy` for `Unhealthy`",
            "unfamiliar": "a code that is not in the description, in place of Healthy and NotApplicable",
        },
    ),
    "assessmentLists": Variant(
        "`recommendationCategory` in Resource Manager's answers",
        {"withoutCategory": "it is not in the description", "withCategory": "Resource Graph has it"},
    ),
}
