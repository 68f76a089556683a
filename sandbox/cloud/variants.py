"""Variants: behaviours of the real service that are inferred, each with its plausible alternatives.

The simulated cloud has to choose one form of what nobody has seen. A variant names the choice, so that a client can be
tested against the others too. The first value of a variant is the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["VARIANTS", "UnknownVariant", "Variant", "Variants"]


class UnknownVariant(ValueError):
    """There is no variant, or no value of it, with this name; the message lists those that there are."""


@dataclass(frozen=True, slots=True)
class Variant:
    """An inferred behaviour.

    Attributes:
        behaviour: what it is about.
        values: what speaks for each form, by its name; the first one is the default.
    """

    behaviour: str
    values: Mapping[str, str]

    @property
    def default(self) -> str:
        """The value without a choice."""
        return next(iter(self.values))


VARIANTS: dict[str, Variant] = {
    "assessmentIds": Variant(
        "spelling of an assessment's id",
        {
            "arm": "the id of the repository in Resource Manager, with the assessment appended",
            "lowerCase": "Resource Graph returns parts of other ids in lower case",
            "percentEncoded": "names of projects may contain blanks, which a URL cannot",
            "lowerCasePercentEncoded": "both",
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
    "assessmentRights": Variant(
        "who sees assessments in Resource Graph",
        {
            "read": "whoever may perform Microsoft.Security/assessments/read",
            "securityRoles": "only holders of Security Reader or Security Admin, as some pages say",
        },
    ),
    "assessmentRows": Variant(
        "whether Resource Graph has assessments of Azure DevOps at all",
        {"present": "the portal's own queries need them", "absent": "no public answer shows one"},
    ),
    "resourceGraphPages": Variant(
        "rows beyond the first page of a query that can be paged",
        {"skipToken": "documented", "truncated": "`resultTruncated` without a token, as for other queries"},
    ),
}
"""All variants by name."""


class Variants:
    """The chosen value of each variant.

    Args:
        choices: values by name; the others have their default.

    Raises:
        UnknownVariant: unknown name or value.
    """

    def __init__(self, choices: Mapping[str, str] | None = None) -> None:
        self._choices: dict[str, str] = {}
        self.choose(choices or {})

    def choose(self, choices: Mapping[str, str]) -> None:
        """Choose values by name.

        Raises:
            UnknownVariant: unknown name or value; nothing is chosen then.
        """
        for name, value in choices.items():
            _check(name, value)
        self._choices.update(choices)

    def __getitem__(self, name: str) -> str:
        """Return the chosen value of a variant."""
        return self._choices.get(name) or VARIANTS[name].default

    def is_chosen(self, name: str, value: str) -> bool:
        """Whether a variant has this value.

        Raises:
            UnknownVariant: unknown name or value.
        """
        _check(name, value)
        return self[name] == value


def _check(name: str, value: str) -> None:
    variant = VARIANTS.get(name)
    if variant is None:
        raise UnknownVariant(f"there is no variant {name!r}; there are {', '.join(VARIANTS)}")
    if value not in variant.values:
        raise UnknownVariant(f"variant {name!r} has no value {value!r}; it has {', '.join(variant.values)}")
