"""Recommendations of Defender for Cloud about Azure DevOps, as Resource Graph returns them.

One row is one recommendation about one resource, which the id names. No payload of such a row is published, so every
property is optional here, an unknown value is `other`, and nothing but the id is relied on
(https://learn.microsoft.com/azure/defender-for-cloud/transition-grouped-individual-recommendations).
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from defender_devops.api.posture import Category, Severity
from defender_devops.azure.resources.serialization import parse_time

__all__ = [
    "CATEGORY_VALUES",
    "SEVERITY_VALUES",
    "CategoryResults",
    "Recommendation",
    "RecommendationResource",
    "parse_category",
    "parse_category_results",
    "parse_portal_link",
    "parse_recommendation",
    "parse_resource",
    "parse_severity",
]

SEVERITY_VALUES: Final[Mapping[str, Severity]] = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "medium": Severity.MEDIUM,
    "low": Severity.LOW,
}
"""`properties.metadata.severity`, formerly `properties.status.severity`, in lower case."""

CATEGORY_VALUES: Final[Mapping[str, Category]] = {
    "exposedsecrets": Category.SECRETS,
    "codevulnerabilities": Category.CODE,
    "softwareupdate": Category.DEPENDENCIES,
    "iacvulnerabilities": Category.INFRASTRUCTURE_AS_CODE,
    "apivulnerabilities": Category.API,
    "unknown": Category.CONFIGURATION,
    "": Category.CONFIGURATION,
}
"""`properties.metadata.recommendationCategory` in lower case. What checks the settings of Azure DevOps has none."""

_ASSESSMENT: Final = re.compile(
    r"(.*)/providers/microsoft\.security/assessments/", re.IGNORECASE | re.ASCII | re.DOTALL
)
_CONFIGURATION: Final = re.compile(r"/devops/default(?:/|$)", re.IGNORECASE | re.ASCII)
_KINDS: Final = ("azuredevopsorgs", "projects", "repos")
_PORTAL: Final = re.compile(r"(?:[a-z0-9-]+\.)*portal\.azure\.com", re.IGNORECASE)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_ADDRESS_CHARACTERS: Final = string.ascii_letters + string.digits + "-._~:/?#[]@!$&'()*+,;=%"


@dataclass(frozen=True, slots=True)
class RecommendationResource:
    """The resource of a recommendation, below the DevOps configuration of a connector.

    Attributes:
        connector: id of the connector in lower case, as `ConnectorRef.key`.
        organization: name, percent-decoded; empty for the DevOps configuration itself.
        project: name, percent-decoded; empty for an organization.
        repository: name, percent-decoded; empty for anything else.
        path: what follows in the id, percent-decoded, such as `serviceConnections/production`; mostly empty.
    """

    connector: str
    organization: str = ""
    project: str = ""
    repository: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """An unhealthy recommendation about one resource: a finding.

    Attributes:
        id: ARM id of the assessment.
        resource: what it is about.
        name: display name.
        severity: severity of the finding.
        category: kind of finding.
        since: last change of its status, or its first evaluation; None if the row has neither.
        portal_link: https address of its page in the Azure portal, or None.
    """

    id: str
    resource: RecommendationResource
    name: str
    severity: Severity
    category: Category
    since: datetime | None = None
    portal_link: str | None = None


@dataclass(frozen=True, slots=True)
class CategoryResults:
    """Results in one category for one organization, whatever their status.

    Attributes:
        connector: id of the connector in lower case.
        organization: name, percent-decoded; empty for the DevOps configuration itself.
        category: kind of finding.
        results: number of recommendations, healthy ones included.
    """

    connector: str
    organization: str
    category: Category
    results: int


def parse_resource(identifier: str) -> RecommendationResource:
    """Return the resource of a recommendation from the recommendation's ARM id.

    Kinds may have any case and names may be percent-encoded. A part that is not understood stays in `path`.
    """
    assessment = _ASSESSMENT.match(identifier)
    connector, *below = _CONFIGURATION.split(assessment[1] if assessment is not None else identifier, maxsplit=1)
    segments = below[0].strip("/").split("/") if below else []
    names = ["", "", ""]
    for index, kind in enumerate(_KINDS):
        if len(segments) < 2 or segments[0].lower() != kind:  # noqa: PLR2004 - a kind and a name
            break
        names[index] = unquote(segments[1])
        segments = segments[2:]
    organization, project, repository = names
    path = "/".join(map(unquote, segments))
    return RecommendationResource(connector.rstrip("/").lower(), organization, project, repository, path)


def parse_severity(value: object) -> Severity:
    """Return a severity; `other` where it is missing or unknown."""
    return SEVERITY_VALUES.get(_text(value).lower(), Severity.OTHER)


def parse_category(value: object) -> Category:
    """Return the kind of finding; `configuration` where there is no category, `other` where it is unknown."""
    return CATEGORY_VALUES.get(_text(value).lower(), Category.OTHER)


def parse_portal_link(value: object) -> str | None:
    """Return a link to the Azure portal, which Azure writes without a scheme; None for any other address.

    A row must not be able to send its reader to another site.
    """
    text = _text(value)
    address = quote(text if _SCHEME.match(text) else f"https://{text.lstrip('/')}", safe=_ADDRESS_CHARACTERS)
    try:
        parts = urlsplit(address)
    except ValueError:  # an invalid IPv6 address
        return None
    # The whole authority, not only its host: browsers and parsers disagree about user names and backslashes.
    return address if parts.scheme == "https" and _PORTAL.fullmatch(parts.netloc) else None


def parse_recommendation(row: Mapping[str, Any]) -> Recommendation:
    """Parse one row of `queries.recommendations_query`."""
    identifier = _text(row.get("id"))
    return Recommendation(
        id=identifier,
        resource=parse_resource(identifier),
        name=_text(row.get("displayName")) or identifier.rpartition("/")[2],
        severity=parse_severity(row.get("severity")),
        category=parse_category(row.get("category")),
        since=parse_time(row.get("statusChangeDate")) or parse_time(row.get("firstEvaluationDate")),
        portal_link=parse_portal_link(row.get("link")),
    )


def parse_category_results(row: Mapping[str, Any]) -> CategoryResults:
    """Parse one row of `queries.category_results_query`; its id is that of any of the recommendations."""
    resource = parse_resource(_text(row.get("id")))
    results = row.get("results")
    return CategoryResults(
        resource.connector,
        resource.organization,
        parse_category(row.get("category")),
        results if isinstance(results, int) else 0,
    )


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
