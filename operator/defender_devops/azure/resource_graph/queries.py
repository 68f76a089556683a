"""The Resource Graph queries of the operator, all of them.

They use a small subset of KQL, so that they are easy to read:

    operators    where, extend, project, summarize … by, join kind=leftouter (…) on column, order by … asc
    predicates   =~, startswith, endswith, contains (all without regard to case), in (…) (with regard to it)
    functions    tolower, tostring, todatetime, split, strcat, replace_string, coalesce (the first value that is not
                 empty), isempty, isnotempty, iff, dynamic(null), bag_pack
    aggregates   count, countif, sum, max, make_list, take_any (an arbitrary value, neither null nor empty if there is
                 such a one)
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

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CONNECTORS", "POSTURE", "ROLE_ASSIGNMENTS", "onboarding_query"]

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

_RECOMMENDATIONS = """\
securityresources
| where type =~ 'microsoft.security/assessments'
| where id contains '/devops/default/azuredevopsorgs/'
| extend path = replace_string(replace_string(tolower(id), '%20', ' '), '%2d', '-')
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
    names = sorted({name.lower() for name in organizations})
    return _ONBOARDED_BY.format(names=", ".join(_literal(name) for name in names))


def _literal(text: str) -> str:
    """Return a KQL string literal: a name from a manifest must not change the query."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
