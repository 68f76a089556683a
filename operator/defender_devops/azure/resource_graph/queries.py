"""The Resource Graph queries of the operator, all of them.

They use a small subset of KQL, so that they are easy to read:

    operators    where, extend, project, summarize … by, join kind=leftouter (…) on column, order by … asc
    predicates   =~, startswith, endswith, contains (all without regard to case), in (…) (with regard to it)
    functions    tolower, tostring, split, isempty, isnotempty, iff, dynamic(null), bag_pack
    aggregates   countif, sum, make_list, take_any (an arbitrary value, neither null nor empty if there is such a one)
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

__all__ = ["CONNECTORS", "ROLE_ASSIGNMENTS", "onboarding_query"]

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
