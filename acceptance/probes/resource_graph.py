"""Probe `resource-graph`: rows, pages, and the queries of the operator."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote

from acceptance.checks import Check, Cost, Observation, Probe, agreement
from acceptance.session.answer import Inconclusive, items_of, text_of
from acceptance.tenant import Tenant
from defender_devops.azure.resource_graph.queries import CONNECTORS, POSTURE, ROLE_ASSIGNMENTS

__all__ = ["PROBE"]

_ORGANIZATION: Final = "microsoft.security/securityconnectors/devops/azuredevopsorgs"
_PROJECT: Final = f"{_ORGANIZATION}/projects"
_REPOSITORY: Final = f"{_PROJECT}/repos"
_BAD_REQUEST: Final = 400
_TOKEN_SECONDS: Final = 65.0
_PAGED: Final = "resources\n| project id\n| order by id asc\n"
_BY_DYNAMIC: Final = "resources\n| summarize count() by properties\n"
_QUERIES_MAX: Final = 15


async def _connectors(tenant: Tenant) -> Observation:
    rows = await tenant.rows(CONNECTORS)
    identifier = tenant.connector_path().lower()
    return agreement(identifier in {text_of(row, "id").lower() for row in rows}, f"{len(rows)} connectors have a row")


def _ids(items: list[dict[str, Any]]) -> list[str]:
    return [identifier for item in items if (identifier := text_of(item, "id"))]


async def _children(tenant: Tenant) -> Observation:
    rows = await tenant.children()
    organizations = await tenant.organizations()
    if not organizations:
        raise Inconclusive("the connector has no organization")
    organization_rows = [row for row in rows if text_of(row, "type").lower() == _ORGANIZATION]
    if not organization_rows:
        return Observation("absent", "no organization has a row")
    in_arm = {text_of(item, "name").lower() for item in organizations}
    in_graph = {unquote(identifier.rpartition("/")[2]).lower() for identifier in _ids(organization_rows)}
    if in_arm - in_graph:
        evidence = f"{len(in_arm - in_graph)} of {len(in_arm)} organizations have no row"
        return Observation("withoutEmpty", evidence)
    observation = _spelling(rows, await tenant.projects())
    if observation.value == "arm" and not _is_any_empty(organization_rows, rows):
        # Nothing shows whether an organization without projects would have a row.
        return Observation("arm", f"{observation.evidence}; every organization has projects", ("withoutEmpty",))
    return observation


def _is_any_empty(organization_rows: list[dict[str, Any]], rows: list[dict[str, Any]]) -> bool:
    """Whether an organization has a row, and nothing below it has one."""
    identifiers = [identifier.lower() for identifier in _ids(rows)]
    return any(
        not any(identifier.startswith(f"{organization.lower()}/") for identifier in identifiers)
        for organization in _ids(organization_rows)
    )


def _spelling(rows: list[dict[str, Any]], projects: list[dict[str, Any]]) -> Observation:
    below = [
        identifier.partition("/azureDevOpsOrgs/")[2] or identifier.partition("/azuredevopsorgs/")[2]
        for identifier in _ids(rows)
    ]
    if any("%20" in tail for tail in below):
        return Observation("percentEncoded", "blanks in names are encoded")
    if any("/azureDevOpsOrgs/" in identifier for identifier in _ids(rows)):
        names = [text_of(project, "name") for project in projects]
        if not any(" " in name for name in names):
            raise Inconclusive("the ids are those of Resource Manager, but no name has a blank that could be encoded")
        return Observation("arm", "ids are spelled as in Resource Manager")
    return Observation("lowerCase", "ids are in lower case")


async def _project_rows(tenant: Tenant) -> Observation:
    kinds = [text_of(row, "type").lower() for row in await tenant.children()]
    if _PROJECT in kinds:
        return Observation("present", f"{kinds.count(_PROJECT)} projects have a row")
    if _REPOSITORY not in kinds:
        raise Inconclusive("neither projects nor repositories have a row")
    return Observation("absent", "repositories have rows, projects have none")


async def _role_assignments(tenant: Tenant) -> Observation:
    answer = await tenant.graph(ROLE_ASSIGNMENTS)
    return agreement(isinstance(answer.object().get("data"), list), f"HTTP {answer.status}")


async def _language(tenant: Tenant) -> Observation:
    answers = [await tenant.graph(query) for query in (CONNECTORS, POSTURE)]
    codes = [answer.error_code for answer in answers if answer.error_code]
    if not codes:
        for answer in answers:
            answer.object()
    return agreement(not codes, f"the operator's queries: {', '.join(codes) or 'accepted'}")


async def _by_dynamic(tenant: Tenant) -> Observation:
    answer = await tenant.graph(_BY_DYNAMIC)
    if answer.status == _BAD_REQUEST and answer.error_code:
        return agreement(holds=True, evidence=f"HTTP {answer.status} {answer.error_code}")
    answer.object()
    return agreement(holds=False, evidence="a column of type dynamic groups rows")


async def _pages(tenant: Tenant) -> Observation:
    body = (await tenant.graph(_PAGED, top=1)).object()
    total = body.get("totalRecords")
    if not isinstance(total, int) or total < 2:  # noqa: PLR2004 - two pages of one row
        raise Inconclusive("the subscription has fewer than two resources")
    if text_of(body, "$skipToken"):
        return Observation("skipToken", "the first page has a skip token")
    if str(body.get("resultTruncated")).lower() == "true":
        return Observation("truncated", "the first page is truncated, without a skip token")
    raise Inconclusive("the first page has neither a skip token nor a sign that it is truncated")


async def _skip_token(tenant: Tenant) -> Observation:
    token = text_of((await tenant.graph(_PAGED, top=1)).object(), "$skipToken")
    if not token:
        raise Inconclusive("there is no skip token")
    await tenant.session.clock.sleep(_TOKEN_SECONDS)
    answer = await tenant.graph(_PAGED, top=1, skip_token=token, fresh=True)
    if answer.status == _BAD_REQUEST and answer.error_code:
        return Observation("minute", f"after {_TOKEN_SECONDS:.0f} s HTTP {answer.status}")
    answer.object()
    return Observation("lastEight", f"after {_TOKEN_SECONDS:.0f} s it is still valid")


async def _quota(tenant: Tenant) -> Observation:
    answer = await tenant.graph(ROLE_ASSIGNMENTS)
    answer.object()
    count, reset = (answer.headers.get(f"x-ms-user-quota-{name}", "") for name in ("remaining", "resets-after"))
    holds = count.isdecimal() and int(count) < _QUERIES_MAX and reset.count(":") == 2  # noqa: PLR2004 - hh:mm:ss
    return agreement(holds, f"{count or 'no number of'} queries remain")


async def _properties(tenant: Tenant) -> Observation:
    rows = [
        row for row in await tenant.rows(CONNECTORS) if text_of(row, "id").lower() == tenant.connector_path().lower()
    ]
    configurations = [child for row in rows for child in items_of(row, "children") if not child.get("organization")]
    if not configurations:
        raise Inconclusive("the DevOps configuration has no row")
    state = text_of(configurations[0], "properties", "provisioningState")
    in_arm = text_of(await tenant.configuration(), "properties", "provisioningState")
    evidence = "provisioningState as in Resource Manager" if state else "no state"
    return agreement(bool(state) and state == in_arm, evidence)


PROBE: Final = Probe(
    "resource-graph",
    "rows of connectors, what is below them, role assignments and assessments of the subscription",
    Cost(reads=10, queries=11, seconds=65),
    (
        Check("connectors in `resources`", _connectors),
        Check("the children's properties are those of Resource Manager", _children, "graphChildren"),
        Check("the children's properties are those of Resource Manager", _project_rows, "graphProjects"),
        Check("the children's properties are those of Resource Manager", _properties),
        Check("role assignments in `authorizationresources`", _role_assignments),
        Check("the language: where, extend", _language),
        Check("grouping, joining or sorting by `dynamic`", _by_dynamic),
        Check("1,000 rows a page", _pages, "resourceGraphPages"),
        Check("a skip token is valid", _skip_token, "skipTokens"),
        Check("15 queries in 5 seconds", _quota),
    ),
    requirements=(Tenant.require_resource_graph,),
)
