"""The tables of Resource Graph: rows are created from the world on demand, column by column.

A row creates a column's value at first access, so that counting 100,000 repositories does not create 100,000 bodies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import quote

from sandbox.cloud.arm.security import remediation
from sandbox.cloud.clock import short_time
from sandbox.cloud.defender.assessment_shape import AssessmentShape
from sandbox.cloud.defender.assessments import Result
from sandbox.cloud.defender.evaluations import connector_results, discovered_organizations
from sandbox.cloud.defender.model import Configuration, Connector, OnboardedOrganization, OnboardedProject
from sandbox.cloud.defender.onboarding import onboarding_state
from sandbox.cloud.graph.expressions import Schema
from sandbox.cloud.graph.stage import TypeFilter
from sandbox.cloud.world.azure import RoleAssignment, Subscription
from sandbox.cloud.world.devops import Project, repository_url
from sandbox.cloud.world.world import World

__all__ = ["TABLES", "GraphRow", "Snapshot", "scan_containers", "scan_role_assignments"]

_COLUMNS: Schema = {
    "id": "string",
    "name": "string",
    "type": "string",
    "tenantId": "string",
    "kind": "string",
    "location": "string",
    "resourceGroup": "string",
    "subscriptionId": "string",
    "managedBy": "string",
    "sku": "dynamic",
    "plan": "dynamic",
    "properties": "dynamic",
    "tags": "dynamic",
    "identity": "dynamic",
    "zones": "dynamic",
    "extendedLocation": "dynamic",
}
TABLES: dict[str, Schema] = {
    name: dict(_COLUMNS) for name in ("resources", "securityresources", "resourcecontainers", "authorizationresources")
}
_EMPTY = {name: "" if kind == "string" else None for name, kind in _COLUMNS.items()}
_DEVOPS = "microsoft.security/securityconnectors/devops"
_ORGANIZATION = f"{_DEVOPS}/azuredevopsorgs"
_PROJECT = f"{_ORGANIZATION}/projects"
_UNFAMILIAR = (f"{_DEVOPS}/policyassignments", f"{_ORGANIZATION}/agentpools")
_CHILDREN = (_DEVOPS, _ORGANIZATION, _PROJECT, f"{_PROJECT}/repos", *_UNFAMILIAR)
_SPELLINGS: dict[str, Callable[[str], str]] = {"lowerCase": str.lower, "percentEncoded": quote}
"""Spellings of the ids of children, by variant."""

_ASSESSMENT = "microsoft.security/assessments"


class GraphRow(dict[str, Any]):
    """A row whose columns are created on demand."""

    __slots__ = ("_make",)

    def __init__(self, kind: str, identifier: str, make: Callable[[str], Any]) -> None:
        super().__init__(type=kind, id=identifier)
        self._make = make

    def __missing__(self, column: str) -> Any:  # noqa: ANN401 - any value of a row
        value = self[column] = self._make(column)
        return value


class Snapshot:
    """A snapshot of connectors for Resource Graph. It does not change while a query runs.

    Args:
        world: source of names, tenants and repositories.
        connectors: the connectors of the snapshot.
        moment: inner time; later discovery results are excluded.
    """

    def __init__(self, world: World, connectors: list[Connector], moment: float) -> None:
        self._world = world
        self._moment = moment
        self._wall_of = world.clock.wall_of
        self._tenants = {subscription.id: subscription.tenant_id for subscription in world.subscriptions.values()}
        self._entries = [(connector, discovered_organizations(world, connector, moment)) for connector in connectors]

    def connectors(self) -> Iterator[GraphRow]:
        """Rows of table `resources`."""
        for connector, _ in self._entries:
            yield GraphRow("microsoft.security/securityconnectors", connector.id, self._connector(connector))

    def children(self, admits_type: TypeFilter) -> Iterator[GraphRow]:
        """Rows of table `securityresources` for what is below a connector."""
        if not any(admits_type(kind) for kind in _CHILDREN):
            return
        variants = self._world.variants
        spell = _SPELLINGS.get(variants["graphChildren"])
        has_projects = variants.is_chosen("graphProjects", "present")
        for row in () if variants.is_chosen("graphChildren", "absent") else self._child_rows():
            if has_projects or row["type"] != _PROJECT:
                if spell is not None:
                    row["id"] = spell(row["id"])
                yield row

    def _child_rows(self) -> Iterator[GraphRow]:
        has_unfamiliar = self._world.variants.is_chosen("unfamiliarAnswers", "kinds")
        without_empty = self._world.variants.is_chosen("graphChildren", "withoutEmpty")
        for connector, organizations in self._entries:
            configuration = connector.configuration
            if configuration is None:
                continue
            base = f"{connector.id}/devops/default"
            yield GraphRow(_DEVOPS, base, self._configuration(connector, configuration))
            if has_unfamiliar:
                make = self._configuration(connector, configuration)
                yield GraphRow(_UNFAMILIAR[0], f"{base}/policyAssignments/default", make)
                yield GraphRow(_UNFAMILIAR[1], f"{base}/azureDevOpsOrgs/future/agentPools/a", make)
            for organization, projects in organizations:
                if without_empty and not projects:
                    continue
                yield from self._organization_rows(
                    connector, f"{base}/azureDevOpsOrgs/{organization.name}", organization, projects
                )

    def assessments(self, admits_type: TypeFilter, readable: set[str]) -> Iterator[GraphRow]:
        """Rows of table `securityresources` for assessments.

        Args:
            admits_type: which types the query needs.
            readable: keys of the connectors whose assessments the principal may read.
        """
        if not admits_type(_ASSESSMENT):
            return
        world = self._world
        moment = self._moment - world.assessment_lag
        shape = AssessmentShape(world.variants, lambda time: short_time(self._wall_of(time)))
        for connector, organizations in self._entries:
            if connector.key not in readable:
                continue
            for organization, results in connector_results(world, connector, organizations, moment):
                base = shape.organization_id(connector, organization)
                for result in results:
                    resource = shape.resource_id(base, result)
                    make = partial(self._assessment, connector, result, (shape, resource))
                    yield GraphRow(_ASSESSMENT, shape.assessment_id(resource, result), make)

    def _assessment(
        self, connector: Connector, result: Result, shape_and_resource: tuple[AssessmentShape, str], column: str
    ) -> Any:  # noqa: ANN401 - any value of a row
        if column == "properties":
            shape, resource = shape_and_resource
            return shape.properties(result, resource)
        if column == "name":
            return result.key
        return _EMPTY[column] if column == "location" else self._common_column(connector, column)

    def _organization_rows(
        self,
        connector: Connector,
        base: str,
        organization: OnboardedOrganization,
        projects: list[tuple[OnboardedProject, Project, int]],
    ) -> Iterator[GraphRow]:
        yield GraphRow(f"{_DEVOPS}/azuredevopsorgs", base, self._organization(connector, organization))
        for project, source, reported in projects:
            path = f"{base}/projects/{project.name}"
            kind = f"{_DEVOPS}/azuredevopsorgs/projects"
            yield GraphRow(kind, path, self._project(connector, organization, project))
            kind, prefix = f"{kind}/repos", f"{path}/repos/"
            # partial, not a closure over the loop: the row is created later.
            with_empty = self._world.variants.is_chosen("emptyRepositories", "listed")
            for position, name in source.repositories.git_names(reported, with_empty=with_empty):
                make = partial(self._repository, connector, organization, (project, source), position)
                yield GraphRow(kind, prefix + name, make)

    def _common_column(self, connector: Connector, column: str) -> Any:  # noqa: ANN401 - any value of a row
        if column == "subscriptionId":
            return connector.subscription_id
        if column == "resourceGroup":
            return connector.resource_group.lower()
        if column == "tenantId":
            return self._tenants[connector.subscription_id]
        if column == "location":
            return connector.location.replace(" ", "").lower()
        return _EMPTY[column]

    def _connector(self, connector: Connector) -> Callable[[str], Any]:
        columns = {"name": connector.name, "properties": connector.properties, "tags": connector.tags}
        return lambda column: columns[column] if column in columns else self._common_column(connector, column)

    def _configuration(self, connector: Connector, configuration: Configuration) -> Callable[[str], Any]:
        properties = {
            "autoDiscovery": configuration.auto_discovery,
            "provisioningState": configuration.provisioning_state,
            "provisioningStatusMessage": configuration.status_message,
            "agentlessConfiguration": configuration.agentless,
        }
        columns = {
            "name": "default",
            "properties": {name: value for name, value in properties.items() if value is not None},
        }
        return lambda column: columns[column] if column in columns else self._common_column(connector, column)

    def _organization(self, connector: Connector, organization: OnboardedOrganization) -> Callable[[str], Any]:
        properties = {
            "onboardingState": onboarding_state(self._world, organization),
            "actionableRemediation": remediation.organization_setting(organization),
            "provisioningStatusMessage": organization.status_message,
            "provisioningStatusUpdateTimeUtc": short_time(self._wall_of(organization.updated_at)),
            "provisioningState": organization.provisioning_state,
        }
        columns = {"name": organization.name, "properties": properties}
        return lambda column: columns[column] if column in columns else self._common_column(connector, column)

    def _project(
        self, connector: Connector, organization: OnboardedOrganization, project: OnboardedProject
    ) -> Callable[[str], Any]:
        properties = {
            "parentOrgName": organization.name,
            "projectId": project.project_id,
            "onboardingState": "Onboarded",
            "actionableRemediation": remediation.project_setting(organization, project),
            "provisioningStatusMessage": "OK",
            "provisioningStatusUpdateTimeUtc": short_time(self._wall_of(project.appears)),
            "provisioningState": "Succeeded",
        }
        columns = {"name": project.name, "properties": properties}
        return lambda column: columns[column] if column in columns else self._common_column(connector, column)

    def _repository(
        self,
        connector: Connector,
        organization: OnboardedOrganization,
        project_and_source: tuple[OnboardedProject, Project],
        position: int,
        column: str,
    ) -> Any:  # noqa: ANN401 - any value of a row
        if column not in ("name", "properties"):
            return self._common_column(connector, column)
        project, source = project_and_source
        repository = source.repositories[position]
        if column == "name":
            return repository.name
        return {
            "parentOrgName": organization.name,
            "parentProjectName": project.name,
            "repoId": repository.id,
            "repoUrl": repository_url(organization.name, project.name, repository.name),
            "onboardingState": "Onboarded",
            "actionableRemediation": remediation.repository_setting(organization, project, repository.name),
            "provisioningStatusMessage": "OK",
            "provisioningStatusUpdateTimeUtc": short_time(self._wall_of(project.appears)),
            "provisioningState": "Succeeded",
        }


def scan_containers(subscriptions: list[Subscription]) -> Iterator[GraphRow]:
    """Rows of table `resourcecontainers`."""
    for subscription in subscriptions:
        columns: dict[str, Any] = {
            "name": subscription.name,
            "subscriptionId": subscription.id,
            "tenantId": subscription.tenant_id,
        }
        yield _row("microsoft.resources/subscriptions", f"/subscriptions/{subscription.id}", columns)
        for group in subscription.resource_groups.values():
            columns = {
                "name": group.name,
                "location": group.location,
                "tags": group.tags,
                "resourceGroup": group.name.lower(),
                "subscriptionId": subscription.id,
                "tenantId": subscription.tenant_id,
                "properties": {"provisioningState": "Succeeded"},
            }
            identifier = f"/subscriptions/{subscription.id}/resourceGroups/{group.name}"
            yield _row("microsoft.resources/subscriptions/resourcegroups", identifier, columns)


def scan_role_assignments(world: World, subscriptions: set[str], moment: float) -> Iterator[GraphRow]:
    """Rows of table `authorizationresources`."""
    for assignment in list(world.role_assignments):
        parts = assignment.scope.lower().split("/")
        subscription = parts[2] if parts[1:2] == ["subscriptions"] else ""
        if subscription in subscriptions and assignment.created_at <= moment:
            yield _role_assignment(world, assignment, subscription)


def _role_assignment(world: World, assignment: RoleAssignment, subscription: str) -> GraphRow:
    definition = f"/providers/Microsoft.Authorization/roleDefinitions/{assignment.role_definition_id}"
    columns = {
        "name": assignment.name,
        "subscriptionId": subscription,
        "tenantId": world.subscriptions[subscription].tenant_id,
        "properties": {
            "principalId": assignment.principal_id,
            "principalType": assignment.principal_type,
            "roleDefinitionId": definition,
            "scope": assignment.scope,
            "createdOn": world.clock.stamp(assignment.created_at),
        },
    }
    identifier = f"{assignment.scope}/providers/Microsoft.Authorization/RoleAssignments/{assignment.name}"
    return _row("microsoft.authorization/roleassignments", identifier, columns)


def _row(kind: str, identifier: str, columns: dict[str, Any]) -> GraphRow:
    return GraphRow(kind, identifier, lambda column: columns.get(column, _EMPTY[column]))
