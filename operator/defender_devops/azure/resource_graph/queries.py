"""The Resource Graph queries of the operator, all of them.

They use a small subset of KQL, so that they are easy to read:

    operators    where, extend, project, summarize … by, join kind=leftouter (…) on column, order by … asc
    predicates   =~, startswith, endswith, contains (all without regard to case), in (…) (with regard to it)
    functions    tolower, tostring, todatetime, split, strcat, replace_string, coalesce (the first value that is not
                 empty), isempty, isnotempty, iff, dynamic(null), bag_pack
    aggregates   count, countif, sum, min, max, make_list, take_any (an arbitrary value, neither null nor empty if
                 there is such a one)
    access       properties.name, segments[12]

Paging needs a column `id` and an order (https://learn.microsoft.com/azure/governance/resource-graph/concepts/work-with-data);
one join between two tables is allowed in a query (…/concepts/query-language).

The segments of the id of a discovered resource:

    0 1             2  3              4  5         6                  7                  8
      subscriptions S  resourceGroups G  providers Microsoft.Security securityConnectors C
    9      10      11              12 13       14 15    16
    devops default azureDevOpsOrgs O  projects P  repos R
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CONNECTORS",
    "POSTURE",
    "REPOSITORIES_WITH_RESULTS",
    "ROLE_ASSIGNMENTS",
    "RecommendationFilter",
    "category_results_query",
    "onboarding_query",
    "recommendations_query",
]

CONNECTORS = """\
resources
| where type =~ 'microsoft.security/securityconnectors'
| where properties.environmentName =~ 'AzureDevOps'
| extend hierarchyIdentifier = properties.hierarchyIdentifier, offerings = properties.offerings
| project id = tolower(id), location, tags, hierarchyIdentifier, offerings
| join kind=leftouter (
    securityresources
    | where type startswith 'microsoft.security/securityconnectors/devops'
    | extend segments = split(tolower(id), '/')
    | extend id = tostring(split(tolower(id), '/devops/default')[0])
    | extend organization = tostring(segments[12]), project = tostring(segments[14])
    | extend own = iff(isempty(project), properties, dynamic(null)), ownName = iff(isempty(project), name, '')
    | summarize own = take_any(own), ownName = take_any(ownName), repositories = countif(type endswith '/repos')
        by id, organization, project
    | summarize own = take_any(own), ownName = take_any(ownName), repositories = sum(repositories),
        projects = countif(isnotempty(project))
        by id, organization
    | extend counts = bag_pack('projects', projects, 'repositories', repositories)
    | extend child = bag_pack('organization', organization, 'name', ownName, 'properties', own, 'counts', counts)
    | summarize children = make_list(child) by id
  ) on id
| project id, location, tags, hierarchyIdentifier, offerings, children
| order by id asc
"""
"""One row for each Azure DevOps connector, with all that is below it.

`children` has one bag for the DevOps configuration (its `organization` is empty) and one for each organization
(`organization` in lower case, `name` as the service spells it). `name` and `properties` are those of ARM's GET, empty
and null where Resource Graph has no row for the organization itself.
`counts.projects` are the projects that have a row themselves or a repository that has one.
"""

ROLE_ASSIGNMENTS = """\
authorizationresources
| where type =~ 'microsoft.authorization/roleassignments'
| where properties.scope contains '/microsoft.security/securityconnectors/'
| extend scope = tolower(tostring(properties.scope)), principalId = tostring(properties.principalId)
| extend roleDefinitionId = tolower(tostring(properties.roleDefinitionId))
| project id = tolower(id), name, scope, principalId, roleDefinitionId
| order by id asc
"""
"""One row for each role assignment at the scope of a security connector."""

_ASSESSMENTS = """\
securityresources
| where type =~ 'microsoft.security/assessments'
| where id contains '/devops/default/azuredevopsorgs/'
"""
"""Matched by the id: the type of the resource is not published, and other workloads have the same categories."""

_RECOMMENDATIONS = f"""\
{_ASSESSMENTS}| extend path = replace_string(replace_string(tolower(id), '%20', ' '), '%2d', '-')
| extend parts = split(path, '/devops/default/azuredevopsorgs/')
| extend segments = split(tostring(parts[1]), '/')
| extend id = strcat(tostring(parts[0]), '/devops/default/azuredevopsorgs/', tostring(segments[0]))
| extend status = tostring(properties.status.code)
"""

POSTURE = f"""\
{_RECOMMENDATIONS}| extend severity = tostring(properties.metadata.severity)
| extend severity = coalesce(severity, tostring(properties.status.severity))
| extend category = tostring(properties.metadata.recommendationCategory)
| extend evaluatedAt = todatetime(properties.status.firstEvaluationDate)
| extend changedAt = todatetime(properties.status.statusChangeDate)
| summarize recommendations = count(), evaluatedAt = max(evaluatedAt), changedAt = max(changedAt)
    by id, status, severity, category
| extend bag = bag_pack('status', status, 'severity', severity, 'category', category, 'number', recommendations)
| summarize recommendations = sum(recommendations), evaluatedAt = max(evaluatedAt), changedAt = max(changedAt),
    counts = make_list(bag)
    by id
| join kind=leftouter (
    {_RECOMMENDATIONS.replace(chr(10), chr(10) + "    ").rstrip()}
    | where status =~ 'Unhealthy'
    | where tostring(segments[1]) == 'projects' and tostring(segments[3]) == 'repos'
    | extend repository = strcat(tostring(segments[2]), '/', tostring(segments[4]))
    | summarize recommendations = count() by id, repository
    | summarize repositories = count() by id
  ) on id
| project id, recommendations, counts, evaluatedAt, changedAt, repositories
| order by id asc
"""
"""One row for each organization that has recommendations; `id` is the organization's.

`counts` has one bag for each combination of status, severity and category, as the service spells them, so that a word
that this version does not know is counted too. `recommendations` is their sum. `repositories` (null where there are
none) have a recommendation to act on; `evaluatedAt` and `changedAt` are the newest times of all recommendations.
A recommendation belongs to an organization by its id alone: which details it has of its resource is not documented.
The part of the id before the last `/providers/` may end at the organization, the project, the repository or anywhere
below; segments count from the organization, so that no name can be mistaken for the end. Of percent-encoded characters
the query decodes those that names contain most often, the parser all: there is no function for it in Resource Graph.
"""

REPOSITORIES_WITH_RESULTS = f"""\
{_RECOMMENDATIONS}| extend isRepository = tostring(segments[1]) == 'projects' and tostring(segments[3]) == 'repos'
| extend repository = iff(isRepository, strcat(tostring(segments[2]), '/', tostring(segments[4])), '')
| extend evaluatedAt = todatetime(properties.status.firstEvaluationDate)
| summarize evaluatedAt = min(evaluatedAt) by id, repository
| summarize evaluatedAt = min(evaluatedAt), repositories = countif(isnotempty(repository)),
    names = make_list(repository)
    by id
| project id, repositories, names, evaluatedAt
| order by id asc
"""
"""One row for each organization that has recommendations; `id` is the organization's.

`names` are `project/repository` of all repositories with a recommendation, whatever its status, in lower case and as
the id spells them, and an empty name where there are recommendations of something else. `repositories` is their number:
a list that is shorter was cut off. `evaluatedAt` is the first evaluation of any of them.
"""

_ONBOARDED_BY = """\
securityresources
| where type =~ 'microsoft.security/securityconnectors/devops/azuredevopsorgs'
| where properties.onboardingState =~ 'Onboarded'
| extend organization = tostring(split(tolower(id), '/')[12])
| where organization in ({names})
| project id = tolower(id), organization
| order by id asc
"""


def onboarding_query(organizations: Iterable[str]) -> str:
    """Return the query for the connectors that onboarded these organizations, one row for each."""
    names = {name.lower() for name in organizations}
    return _ONBOARDED_BY.format(names=_literals(names))


_FINDINGS = """\
| where properties.status.code =~ 'Unhealthy'
| extend metadata = properties.metadata, status = properties.status
| extend severity = tolower(coalesce(tostring(metadata.severity), tostring(status.severity)))
| extend category = tolower(tostring(metadata.recommendationCategory))
{conditions}\
| project id, displayName = tostring(properties.displayName), severity, category,
    statusChangeDate = tostring(status.statusChangeDate), firstEvaluationDate = tostring(status.firstEvaluationDate),
    link = tostring(properties.links.azurePortal)
| order by id asc
"""

_CATEGORY_RESULTS = """\
| extend connector = tostring(split(tolower(id), '/devops/default')[0])
| extend organization = tostring(split(tolower(id), '/')[12])
| extend category = tolower(tostring(properties.metadata.recommendationCategory))
| summarize id = take_any(id), results = count() by connector, organization, category
| project id, category, results
| order by id asc
"""
"""One row for each organization and category, whose id is that of any of its recommendations."""


@dataclass(frozen=True, slots=True)
class RecommendationFilter:
    """Which recommendations are read. An empty collection does not restrict them.

    Attributes:
        connectors: ids of connectors in lower case.
        organizations: names. Recommendations with a percent-encoded name are read as well.
        severities: severities in lower case.
        categories: values of `recommendationCategory` in lower case.
    """

    connectors: frozenset[str] = frozenset()
    organizations: frozenset[str] = frozenset()
    severities: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()


def recommendations_query(selection: RecommendationFilter) -> str:
    """Return the query for the unhealthy recommendations, one row for each (`recommendations.parse_recommendation`).

    `additionalData` is not read: it may say where a secret is.
    """
    conditions = "".join(
        f"| where {column} in ({_literals(values)})\n"
        for column, values in (("severity", selection.severities), ("category", selection.categories))
        if values
    )
    return _ASSESSMENTS + _place_conditions(selection) + _FINDINGS.format(conditions=conditions)


def category_results_query(selection: RecommendationFilter) -> str:
    """Return the query for the categories that have results, of any status, severity and category.

    Its rows are parsed by `recommendations.parse_category_results`.
    """
    return _ASSESSMENTS + _place_conditions(selection) + _CATEGORY_RESULTS


def _place_conditions(selection: RecommendationFilter) -> str:
    """Return the conditions of a filter on connector and organization, each on a line of its own."""
    conditions = ""
    if selection.connectors:
        conditions += (
            f"| where tostring(split(tolower(id), '/devops/default')[0]) in ({_literals(selection.connectors)})\n"
        )
    if selection.organizations:
        names = {name.lower() for name in selection.organizations}
        names |= {quote(name) for name in names}
        # A name can be encoded in more than one way: those are compared after decoding.
        conditions += f"""\
| extend organization = tostring(split(tolower(id), '/')[12])
| where organization in ({_literals(names)}) or organization contains '%'
"""
    return conditions


def _literals(values: Iterable[str]) -> str:
    return ", ".join(_literal(value) for value in sorted(values))


def _literal(text: str) -> str:
    """Return a KQL string literal: a name from a manifest must not change the query."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"
