"""Routing table: handler of each path of each host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.cloud.devops import organizations, people
from sandbox.cloud.devops.call import DevOpsCall
from sandbox.cloud.transport.message import Reply

__all__ = ["ROUTES", "Route", "find_route"]


@dataclass(frozen=True, slots=True)
class Route:
    """A path with placeholders.

    Attributes:
        operation: name in the documentation.
        permission: delegated permission that a token needs.
        preview: whether only preview versions exist, so that the api-version must end with `-preview`.
        units: throughput units of a call.
    """

    path: tuple[str, ...]
    answer: Callable[[DevOpsCall], Reply]
    operation: str
    permission: str
    preview: bool = False
    units: float = 0.05


def _route(
    path: str,
    answer: Callable[[DevOpsCall], Reply],
    operation: str,
    permission: str,
    *,
    preview: bool = False,
    units: float = 0.05,
) -> Route:
    return Route(tuple(path.split("/")), answer, operation, permission, preview, units)


_GRAPH = "{organization}/_apis/graph"

ROUTES: dict[str, tuple[Route, ...]] = {
    "devAzure": (
        _route("{organization}/_apis/connectionData", organizations.connection_data, "ConnectionData", "vso.profile"),
        _route(
            "{organization}/_apis/OrganizationPolicy/Policies/{policy}",
            organizations.oauth_policy,
            "OrganizationPolicy",
            "vso.profile",
            preview=True,
        ),
        _route("{organization}/_apis/projects", organizations.list_projects, "Projects_List", "vso.project", units=0.1),
        _route("{organization}/_apis/projects/{project}", organizations.get_project, "Projects_Get", "vso.project"),
        _route(
            "{organization}/_apis/git/repositories",
            organizations.list_organization_repositories,
            "Repositories_List",
            "vso.code",
            units=0.5,
        ),
        _route(
            "{organization}/{project}/_apis/git/repositories",
            organizations.list_project_repositories,
            "Repositories_List",
            "vso.code",
            units=0.1,
        ),
    ),
    "profile": (
        _route("_apis/profile/profiles/me", people.profile, "Profiles_Get", "vso.profile"),
        _route("_apis/accounts", people.accounts, "Accounts_List", "vso.profile"),
    ),
    "identity": (
        _route("{organization}/_apis/identities", people.find_identities, "Identities_ReadIdentities", "vso.identity"),
        _route(f"{_GRAPH}/groups", people.list_groups, "Groups_List", "vso.graph", preview=True, units=0.1),
        _route(f"{_GRAPH}/users", people.list_users, "Users_List", "vso.graph", preview=True, units=0.1),
        _route(f"{_GRAPH}/memberships/{{subject}}", people.memberships, "Memberships_List", "vso.graph", preview=True),
        _route(f"{_GRAPH}/descriptors/{{key}}", people.descriptor_of, "Descriptors_Get", "vso.graph", preview=True),
    ),
    "entitlement": (
        _route(
            "{organization}/_apis/userentitlements/{id}",
            people.entitlement,
            "UserEntitlements_Get",
            "vso.memberentitlementmanagement",
        ),
        _route(
            "{organization}/_apis/serviceprincipalentitlements/{id}",
            people.service_principal_entitlement,
            "ServicePrincipalEntitlements_Get",
            "vso.memberentitlementmanagement",
        ),
    ),
    "extension": (
        _route(
            "{organization}/_apis/extensionmanagement/installedextensions",
            people.installed_extensions,
            "InstalledExtensions_List",
            "vso.extension",
            preview=True,
        ),
    ),
}


def find_route(host: str, segments: list[str]) -> tuple[Route, dict[str, str]] | None:
    """Return the route of a path and the values of its placeholders."""
    for route in ROUTES[host]:
        if len(route.path) == len(segments):
            pairs = list(zip(route.path, segments, strict=True))
            if all(expected.startswith("{") or expected.lower() == segment.lower() for expected, segment in pairs):
                return route, {expected[1:-1]: segment for expected, segment in pairs if expected.startswith("{")}
    return None
