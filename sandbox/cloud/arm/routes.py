"""Routing table: handler and required permission of each resource type and method."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from sandbox.cloud.arm.authorization import role_assignments
from sandbox.cloud.arm.call import Call
from sandbox.cloud.arm.resources import PROVIDER_TYPES, Resources
from sandbox.cloud.arm.security import (
    assessments,
    configurations,
    connectors,
    health,
    inventory,
    inventory_changes,
    operations,
    pricings,
)
from sandbox.cloud.transport.message import Reply

__all__ = ["ROUTES", "Route", "RouteKey", "methods_of", "resource_routes"]

Answer = Callable[[Call], Reply | Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Route:
    """Handler of a resource type and method.

    Attributes:
        operation: name in the published API description.
        action: required permission at the resource; None if the handler checks permissions itself.
    """

    answer: Answer
    operation: str
    action: str | None


_CONNECTOR = "microsoft.security/securityconnectors"
_DEVOPS = f"{_CONNECTOR}/devops"
_ORGANIZATION = f"{_DEVOPS}/azuredevopsorgs"
_PROJECT = f"{_ORGANIZATION}/projects"
_REPOSITORY = f"{_PROJECT}/repos"

RouteKey = tuple[str, bool, str]

ROUTES: dict[RouteKey, Route] = {}
"""Key: resource type in lower case, whether the path names an item (not a collection), HTTP method."""


def _add(key: RouteKey, answer: Answer, operation: str, action: str | None) -> None:
    ROUTES[key] = Route(answer, operation, action)


def _add_resource(
    kind: str,
    action: str,
    prefix: str,
    *,
    get: Answer,
    listing: Answer | None = None,
    put: Answer | None = None,
    patch: Answer | None = None,
    delete: Answer | None = None,
    listing_operation: str = "List",
) -> None:
    """Add the usual methods of a resource; the required permission follows from the method."""
    _add((kind, True, "GET"), get, f"{prefix}_Get", f"{action}/read")
    if listing is not None:
        _add((kind, False, "GET"), listing, f"{prefix}_{listing_operation}", f"{action}/read")
    if put is not None:
        _add((kind, True, "PUT"), put, f"{prefix}_CreateOrUpdate", f"{action}/write")
    if patch is not None:
        _add((kind, True, "PATCH"), patch, f"{prefix}_Update", f"{action}/write")
    if delete is not None:
        _add((kind, True, "DELETE"), delete, f"{prefix}_Delete", f"{action}/delete")


def _list_connectors(call: Call) -> Reply:
    if call.path.group is None:
        call.request.operation = "SecurityConnectors_List"
        return connectors.list_by_subscription(call)
    return connectors.list_by_group(call)


_add_resource(
    _CONNECTOR,
    "Microsoft.Security/securityConnectors",
    "SecurityConnectors",
    get=connectors.get,
    listing=_list_connectors,
    put=connectors.create_or_update,
    patch=connectors.update,
    delete=connectors.delete,
    listing_operation="ListByResourceGroup",
)
_add_resource(
    _DEVOPS,
    "Microsoft.Security/securityConnectors/devops",
    "DevOpsConfigurations",
    get=configurations.get,
    listing=configurations.list_all,
    put=configurations.create_or_update,
    patch=configurations.update,
    delete=configurations.delete,
)
_add(
    (f"{_DEVOPS}/operationresults", True, "GET"),
    operations.get,
    "DevOpsOperationResults_Get",
    "Microsoft.Security/securityConnectors/devops/operationResults/read",
)
_add(
    (f"{_DEVOPS}/listavailableazuredevopsorgs", False, "POST"),
    inventory.list_available,
    "AzureDevOpsOrgs_ListAvailable",
    "Microsoft.Security/securityConnectors/devops/listAvailableAzureDevOpsOrgs/action",
)
_add_resource(
    _ORGANIZATION,
    "Microsoft.Security/securityConnectors/devops/azureDevOpsOrgs",
    "AzureDevOpsOrgs",
    get=inventory.get_organization,
    listing=inventory.list_organizations,
    put=inventory_changes.create_organization,
    patch=inventory_changes.update_organization,
)
_add_resource(
    _PROJECT,
    "Microsoft.Security/securityConnectors/devops/azureDevOpsOrgs/projects",
    "AzureDevOpsProjects",
    get=inventory.get_project,
    listing=inventory.list_projects,
    put=inventory_changes.create_project,
    patch=inventory_changes.update_project,
)
_add_resource(
    _REPOSITORY,
    "Microsoft.Security/securityConnectors/devops/azureDevOpsOrgs/projects/repos",
    "AzureDevOpsRepos",
    get=inventory.get_repository,
    listing=inventory.list_repositories,
    put=inventory_changes.create_repository,
    patch=inventory_changes.update_repository,
)
_add_resource(
    "microsoft.security/healthreports",
    "Microsoft.Security/healthReports",
    "HealthReports",
    get=health.get,
    listing=health.list_all,
)
_add_resource(
    "microsoft.security/assessments",
    "Microsoft.Security/assessments",
    "Assessments",
    get=assessments.get,
    listing=assessments.list_all,
)
_add_resource(
    "microsoft.security/pricings",
    "Microsoft.Security/pricings",
    "Pricings",
    get=pricings.get,
    listing=pricings.list_all,
)
_add_resource(
    "microsoft.authorization/roleassignments",
    "Microsoft.Authorization/roleAssignments",
    "RoleAssignments",
    get=role_assignments.get,
    listing=role_assignments.list_at_scope,
    put=role_assignments.create,
    delete=role_assignments.delete,
    listing_operation="ListForScope",
)
_add_resource(
    "microsoft.authorization/roledefinitions",
    "Microsoft.Authorization/roleDefinitions",
    "RoleDefinitions",
    get=role_assignments.get_definition,
    listing=role_assignments.list_definitions,
)


def resource_routes(resources: Resources) -> dict[RouteKey, Route]:
    """The routes of `Microsoft.Resources`, and of the providers themselves."""
    subscription, group = "microsoft.resources/subscriptions", "microsoft.resources/subscriptions/resourcegroups"
    reading, groups = "Microsoft.Resources/subscriptions", "Microsoft.Resources/subscriptions/resourceGroups"
    routes = {
        (subscription, False, "GET"): Route(resources.list_subscriptions, "Subscriptions_List", None),
        (subscription, True, "GET"): Route(resources.get_subscription, "Subscriptions_Get", f"{reading}/read"),
        (f"{subscription}/locations", False, "GET"): Route(
            resources.list_locations, "Subscriptions_ListLocations", f"{reading}/locations/read"
        ),
        (f"{subscription}/providers", False, "GET"): Route(
            resources.list_providers, "Providers_List", f"{reading}/providers/read"
        ),
        ("microsoft.resources/providers", False, "GET"): Route(
            resources.list_tenant_providers, "Providers_ListAtTenantScope", None
        ),
        (f"{subscription}/resources", False, "GET"): Route(resources.list_resources, "Resources_List", None),
        (f"{group}/resources", False, "GET"): Route(
            resources.list_resources, "Resources_ListByResourceGroup", f"{groups}/resources/read"
        ),
        ("microsoft.resources/tenants", False, "GET"): Route(resources.list_tenants, "Tenants_List", None),
        (group, False, "GET"): Route(resources.list_groups, "ResourceGroups_List", f"{groups}/read"),
        (group, True, "GET"): Route(resources.get_group, "ResourceGroups_Get", f"{groups}/read"),
        (group, True, "HEAD"): Route(resources.head_group, "ResourceGroups_CheckExistence", f"{groups}/read"),
        (group, True, "PUT"): Route(resources.put_group, "ResourceGroups_CreateOrUpdate", f"{groups}/write"),
        (group, True, "DELETE"): Route(resources.delete_group, "ResourceGroups_Delete", f"{groups}/delete"),
    }
    for namespace in PROVIDER_TYPES:
        kind = namespace.lower()
        routes[kind, True, "GET"] = Route(resources.get_provider, "Providers_Get", f"{reading}/providers/read")
        register = Route(resources.register_provider, "Providers_Register", f"{namespace}/register/action")
        routes[f"{kind}/register", False, "POST"] = register
    return routes


def methods_of(routes: Mapping[RouteKey, Route], resource_type: str, is_item: bool) -> list[str]:
    """Return the methods that a resource type supports, for the Allow header."""
    return sorted(method for type_, item, method in routes if type_ == resource_type and item == is_item)
