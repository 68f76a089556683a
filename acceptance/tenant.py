"""What several checks read of a tenant; each request is sent once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

from acceptance.session.answer import Answer, Inconclusive, items_of, member, text_of
from acceptance.session.session import ARM, Session
from acceptance.tenant_file import TenantFile

__all__ = ["CONNECTOR_VERSION", "DEVOPS_VERSION", "Tenant", "required"]

CONNECTOR_VERSION: Final = "2024-08-01-preview"
DEVOPS_VERSION: Final = "2025-03-01"

_GRAPH_PATH: Final = "/providers/Microsoft.ResourceGraph/resources"
_GRAPH_VERSION: Final = "2022-10-01"
_ROWS_MAX: Final = 1000
_REPOSITORY_PROJECTS: Final = 3
"""Projects whose repositories are listed: enough to see pages and spellings."""

_ASSESSMENTS: Final = """\
securityresources
| where type =~ 'microsoft.security/assessments'
| where id contains '/securityconnectors/{connector}/devops/default/azuredevopsorgs/'
| project id, name, status = properties.status, metadata = properties.metadata, details = properties.resourceDetails
| order by id asc
"""
_CHILDREN: Final = """\
securityresources
| where type startswith 'microsoft.security/securityconnectors/devops'
| where id contains '/securityconnectors/{connector}/devops/'
| project id, name, type
| order by id asc
"""


_MEMBERSHIP: Final = "Add the identity to the organization as a member with access level Basic."
_CURES_IN_RESOURCE_MANAGER: Final = {
    403: "Assign Reader on the subscription to the identity.",
    404: "Correct subscription, resourceGroup and connector in the tenant file.",
}
_CURES_IN_AZURE_DEVOPS: Final = {
    **dict.fromkeys((203, 302, 401, 403), _MEMBERSHIP),
    404: "Correct organization in the tenant file.",
}


def required(value: str | None, field: str) -> str:
    """Return an optional field of the tenant file.

    Raises:
        Inconclusive: it is absent.
    """
    if not value:
        raise Inconclusive(f"needs {field} in the tenant file")
    return value


def _require_success(answer: Answer, cures: Mapping[int, str]) -> None:
    """Check the answer without which nothing else of a service is read.

    Args:
        answer: of the service.
        cures: what to do about a refusal, by HTTP status.

    Raises:
        Inconclusive: it is a refusal that somebody can do something about.
    """
    if answer.status in cures:
        refusal = f"HTTP {answer.status} {answer.error_code}".rstrip()
        raise Inconclusive(f"{answer.operation}: {refusal}. {cures[answer.status]}")


@dataclass(frozen=True)
class Tenant:
    """A tenant file with the session of a run.

    Attributes:
        file: names and ids of what is read.
        session: requests and answers.
    """

    file: TenantFile
    session: Session

    # --- whether a service is there at all: without it, its answers show nothing

    async def require_resource_manager(self) -> None:
        """Check that Resource Manager answers with the connector.

        Raises:
            Inconclusive: it does not.
        """
        answer = await self.arm(self.connector_path(), CONNECTOR_VERSION)
        _require_success(answer, _CURES_IN_RESOURCE_MANAGER)
        identifier = text_of(answer.object(), "id")
        if unquote(identifier).lower() != unquote(self.connector_path()).lower():
            raise Inconclusive("Resource Manager does not answer with the connector")

    async def require_resource_graph(self) -> None:
        """Check that Resource Graph answers with rows.

        Raises:
            Inconclusive: it does not.
        """
        await self.require_resource_manager()
        body = (await self.graph(self.query_below(_CHILDREN, ""))).object()
        if not isinstance(body.get("totalRecords"), int) or not isinstance(body.get("data"), list):
            raise Inconclusive("Resource Graph does not answer with rows")

    async def require_azure_devops(self) -> None:
        """Check that Azure DevOps answers as the organization.

        Raises:
            Inconclusive: it does not.
        """
        answer = await self.azure_devops("/_apis/connectionData", version="7.1-preview.1")
        _require_success(answer, _CURES_IN_AZURE_DEVOPS)
        body = answer.object()
        if not text_of(body, "instanceId") or not isinstance(body.get("authenticatedUser"), dict):
            raise Inconclusive("Azure DevOps does not answer as the organization")

    # --- Resource Manager

    def subscription_path(self) -> str:
        """Return the path of the subscription."""
        return f"/subscriptions/{quote(self.file.subscription, safe='')}"

    def group_path(self) -> str:
        """Return the path of the resource group."""
        return f"{self.subscription_path()}/resourceGroups/{quote(self.file.resource_group, safe='')}"

    def connector_path(self, name: str = "") -> str:
        """Return the path of a connector of the group; by default of the one that works."""
        connector = quote(name or self.file.connector, safe="")
        return f"{self.group_path()}/providers/Microsoft.Security/securityConnectors/{connector}"

    async def arm(
        self, path: str, version: str = DEVOPS_VERSION, query: Mapping[str, str] | None = None, *, fresh: bool = False
    ) -> Answer:
        """Return the answer to a GET of Resource Manager."""
        return await self.session.get(ARM, path, {"api-version": version, **(query or {})}, fresh=fresh)

    async def connector(self, version: str = CONNECTOR_VERSION) -> dict[str, Any]:
        """Return the connector."""
        return (await self.arm(self.connector_path(), version)).object()

    async def configuration(self, version: str = DEVOPS_VERSION, name: str = "") -> dict[str, Any]:
        """Return the DevOps configuration of a connector."""
        return (await self.arm(f"{self.connector_path(name)}/devops/default", version)).object()

    async def organization_pages(self, name: str = "") -> list[list[dict[str, Any]]]:
        """Return the organizations of a connector, by page."""
        path = f"{self.connector_path(name)}/devops/default/azureDevOpsOrgs"
        return await self.session.arm_pages(path, {"api-version": DEVOPS_VERSION})

    async def organizations(self, name: str = "") -> list[dict[str, Any]]:
        """Return the organizations of a connector."""
        return [item for page in await self.organization_pages(name) for item in page]

    async def available(self, name: str = "") -> Answer:
        """Return the answer of listAvailableAzureDevOpsOrgs."""
        path = f"{self.connector_path(name)}/devops/default/listAvailableAzureDevOpsOrgs"
        return await self.session.send("POST", ARM, path, {"api-version": DEVOPS_VERSION})

    async def project_pages(self) -> list[list[dict[str, Any]]]:
        """Return the projects of the organization that Defender has discovered, by page."""
        organization = quote(self.file.organization, safe="")
        path = f"{self.connector_path()}/devops/default/azureDevOpsOrgs/{organization}/projects"
        return await self.session.arm_pages(path, {"api-version": DEVOPS_VERSION})

    async def projects(self) -> list[dict[str, Any]]:
        """Return the projects of the organization that Defender has discovered.

        Raises:
            Inconclusive: there are none.
        """
        projects = [item for page in await self.project_pages() for item in page]
        if not projects:
            raise Inconclusive("Defender has discovered no project of the organization")
        return projects

    async def repository_pages(self) -> dict[str, list[list[dict[str, Any]]]]:
        """Return the discovered repositories by page, by the name of their project, of some projects."""
        pages = {}
        organization = quote(self.file.organization, safe="")
        base = f"{self.connector_path()}/devops/default/azureDevOpsOrgs/{organization}/projects"
        for project in (await self.projects())[:_REPOSITORY_PROJECTS]:
            name = text_of(project, "name")
            path = f"{base}/{quote(name, safe='')}/repos"
            pages[name] = await self.session.arm_pages(path, {"api-version": DEVOPS_VERSION})
        return pages

    async def repositories(self) -> list[dict[str, Any]]:
        """Return the discovered repositories of some projects."""
        pages = await self.repository_pages()
        return [item for project_pages in pages.values() for page in project_pages for item in page]

    # --- Resource Graph

    async def graph(
        self, query: str, *, top: int = _ROWS_MAX, skip_token: str | None = None, fresh: bool = False
    ) -> Answer:
        """Return the answer of Resource Graph to a query over the subscription."""
        options: dict[str, Any] = {"resultFormat": "objectArray", "$top": top}
        if skip_token is not None:
            options["$skipToken"] = skip_token
        body = {"query": query, "options": options, "subscriptions": [self.file.subscription]}
        return await self.session.send("POST", ARM, _GRAPH_PATH, {"api-version": _GRAPH_VERSION}, body, fresh=fresh)

    async def rows(self, query: str) -> list[dict[str, Any]]:
        """Return the first page of rows of a query.

        Raises:
            Inconclusive: the answer has none.
        """
        data = (await self.graph(query)).object().get("data")
        if not isinstance(data, list):
            raise Inconclusive("the answer of Resource Graph has no rows")
        return [row for row in data if isinstance(row, dict)]

    def query_below(self, query: str, name: str) -> str:
        """Return a query for what is below a connector of this name: a subscription may have more than a page."""
        connector = (name or self.file.connector).replace("\\", "\\\\").replace("'", "\\'")
        return query.replace("{connector}", connector)

    def _is_below(self, row: Mapping[str, Any], name: str) -> bool:
        """Whether a row is below a connector of the group; ids may be encoded and in any case."""
        prefix = unquote(f"{self.connector_path(name)}/").lower()
        return unquote(text_of(row, "id")).lower().startswith(prefix)

    async def children(self, name: str = "") -> list[dict[str, Any]]:
        """Return the rows of what is below a connector, of any type that begins with `devops`."""
        return [row for row in await self.rows(self.query_below(_CHILDREN, name)) if self._is_below(row, name)]

    async def assessment_rows(self, name: str = "") -> list[dict[str, Any]]:
        """Return the rows of a connector's assessments."""
        return [row for row in await self.rows(self.query_below(_ASSESSMENTS, name)) if self._is_below(row, name)]

    async def assessments(self) -> list[dict[str, Any]]:
        """Return the rows of the connector's assessments.

        Raises:
            Inconclusive: there are none.
        """
        rows = await self.assessment_rows()
        if not rows:
            raise Inconclusive("Resource Graph shows no assessment of the connector")
        return rows

    # --- Azure DevOps

    async def azure_devops(
        self, path: str, query: Mapping[str, str] | None = None, *, host: str = "devAzure", version: str = "7.1"
    ) -> Answer:
        """Return the answer to a GET below the organization."""
        parameters = {**({"api-version": version} if version else {}), **(query or {})}
        return await self.session.get(host, f"/{quote(self.file.organization, safe='')}{path}", parameters)

    async def source_projects(self) -> list[dict[str, Any]]:
        """Return the projects of the organization in Azure DevOps."""
        return (await self.azure_devops("/_apis/projects", {"stateFilter": "wellFormed"})).values()

    async def source_repositories(self) -> list[dict[str, Any]]:
        """Return the Git repositories of the organization in Azure DevOps."""
        return (await self.azure_devops("/_apis/git/repositories")).values()

    async def definitions(self) -> dict[str, list[dict[str, Any]]]:
        """Return the pipelines of some projects by project id, with all properties and latest builds."""
        query = {"includeAllProperties": "true", "includeLatestBuilds": "true", "$top": "200"}
        pipelines = {}
        for project in (await self.source_projects())[:_REPOSITORY_PROJECTS]:
            identifier = text_of(project, "id")
            answer = await self.azure_devops(f"/{quote(identifier, safe='')}/_apis/build/definitions", query)
            pipelines[identifier] = answer.values()
        return pipelines

    async def yaml_builds(self) -> list[tuple[str, int]]:
        """Return project and id of the latest completed builds of YAML pipelines, the newest first.

        Raises:
            Inconclusive: there are none.
        """
        builds = [
            (text_of(item, "latestCompletedBuild", "finishTime"), project, member(item, "latestCompletedBuild", "id"))
            for project, pipelines in (await self.definitions()).items()
            for item in pipelines
            if member(item, "process", "type") == 2  # noqa: PLR2004 - YAML
        ]
        newest = sorted((build for build in builds if isinstance(build[2], int)), reverse=True)
        if not newest:
            raise Inconclusive("the projects have no completed build of a YAML pipeline")
        return [(project, identifier) for _, project, identifier in newest]

    async def first_log(self, accept: str = "text/plain") -> Answer:
        """Return the first log of the newest build of a YAML pipeline."""
        project, build = (await self.yaml_builds())[0]
        path = f"/{quote(self.file.organization, safe='')}/{quote(project, safe='')}/_apis/build/builds/{build}/logs/1"
        return await self.session.get("devAzure", path, {"api-version": "7.1"}, accept=accept)

    @staticmethod
    def properties(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the `properties` of resources."""
        return [value for item in items if isinstance(value := item.get("properties"), dict)]

    @staticmethod
    def offerings(connector: Mapping[str, Any]) -> set[str]:
        """Return the types of a connector's offerings."""
        return {text_of(offering, "offeringType") for offering in items_of(connector, "properties", "offerings")}
