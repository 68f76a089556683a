"""Routing table: handler of each path of each host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.cloud.devops import organizations, people
from sandbox.cloud.devops.call import DevOpsCall
from sandbox.cloud.devops.pipelines import (
    advanced_security,
    builds,
    definitions,
    files,
    policies,
    runs,
    search,
    timelines,
)
from sandbox.cloud.transport.message import Reply

__all__ = ["ROUTES", "Route", "find_routes"]


@dataclass(frozen=True, slots=True)
class Route:
    """A path with placeholders.

    Attributes:
        operation: name in the documentation.
        permission: delegated permission that a token needs.
        preview: whether only preview versions exist, so that the api-version must end with `-preview`.
        units: throughput units of a call.
        reads_code: whether Stakeholder access is not enough.
    """

    path: tuple[str, ...]
    answer: Callable[[DevOpsCall], Reply]
    operation: str
    permission: str
    preview: bool = False
    units: float = 0.05
    method: str = "GET"
    reads_code: bool = False


def _route(
    path: str,
    answer: Callable[[DevOpsCall], Reply],
    operation: str,
    permission: str,
    *,
    preview: bool = False,
    units: float = 0.05,
    method: str = "GET",
    reads_code: bool = False,
) -> Route:
    return Route(tuple(path.split("/")), answer, operation, permission, preview, units, method, reads_code)


_LIST_UNITS = 0.2
_GRAPH = "{organization}/_apis/graph"
_PROJECT = "{organization}/{project}/_apis"
_BUILD = f"{_PROJECT}/build/builds/{{build}}"

_BUILD_ROUTES = (
    _route(
        f"{_PROJECT}/build/definitions",
        definitions.list_definitions,
        "Definitions_List",
        "vso.build",
        units=_LIST_UNITS,
    ),
    _route(f"{_PROJECT}/build/definitions/{{definition}}", definitions.get_definition, "Definitions_Get", "vso.build"),
    _route(f"{_PROJECT}/build/builds", builds.list_builds, "Builds_List", "vso.build", units=_LIST_UNITS),
    _route(f"{_PROJECT}/build/builds", runs.queue_build, "Builds_Queue", "vso.build_execute", units=1.0, method="POST"),
    _route(_BUILD, builds.get_build, "Builds_Get", "vso.build"),
    _route(f"{_BUILD}/artifacts", builds.list_artifacts, "Artifacts_List", "vso.build", units=0.1),
    _route(f"{_BUILD}/timeline", timelines.get_timeline, "Timeline_Get", "vso.build", units=0.1),
    _route(f"{_BUILD}/timeline/{{timeline}}", timelines.get_timeline, "Timeline_Get", "vso.build", units=0.1),
    _route(f"{_BUILD}/logs", timelines.list_logs, "Builds_GetBuildLogs", "vso.build"),
    _route(f"{_BUILD}/logs/{{log}}", timelines.get_log, "Builds_GetBuildLog", "vso.build", units=0.1),
    _route(
        f"{_PROJECT}/pipelines/{{pipeline}}/preview",
        runs.preview,
        "Preview_Preview",
        "vso.build",
        units=1.0,
        method="POST",
    ),
    _route(
        f"{_PROJECT}/pipelines/{{pipeline}}/runs",
        runs.run_pipeline,
        "Runs_RunPipeline",
        "vso.build_execute",
        units=1.0,
        method="POST",
    ),
    _route(
        f"{_PROJECT}/distributedtask/taskgroups",
        definitions.list_task_groups,
        "Taskgroups_List",
        "vso.taskgroups_read",
        preview=True,
        units=0.1,
    ),
    _route(
        "{organization}/_apis/distributedtask/tasks/{task}", definitions.list_task_versions, "Tasks_Get", "vso.build"
    ),
    _route(
        f"{_PROJECT}/policy/configurations",
        policies.list_policies,
        "Configurations_List",
        "vso.code",
        units=0.1,
        reads_code=True,
    ),
)

_CODE_ROUTES = tuple(
    _route(f"{base}/git/repositories/{{repository}}{path}", answer, operation, "vso.code", reads_code=True)
    for base in ("{organization}/_apis", _PROJECT)
    for path, answer, operation in (
        ("", files.get_repository, "Repositories_Get"),
        ("/refs", files.list_refs, "Refs_List"),
        ("/items", files.get_items, "Items_Get"),
    )
)

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
        *_BUILD_ROUTES,
        *_CODE_ROUTES,
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
    "search": (
        *(
            _route(
                f"{base}/search/codesearchresults",
                search.search_code,
                "CodeSearchResults_FetchCodeSearchResults",
                "vso.code",
                units=0.5,
                method="POST",
                reads_code=True,
            )
            for base in ("{organization}/_apis", _PROJECT)
        ),
        _route(
            f"{_PROJECT}/search/status/repositories/{{repository}}",
            search.get_index_status,
            "Repositories_GetStatus",
            "vso.code",
            reads_code=True,
        ),
    ),
    "advancedSecurity": (
        *(
            _route(
                f"{base}/management/enablement",
                advanced_security.get_enablement,
                operation,
                "vso.advsec",
                preview=True,
                units=0.5,
            )
            for base, operation in (
                ("{organization}/_apis", "OrgEnablement_Get"),
                (_PROJECT, "ProjectEnablement_Get"),
            )
        ),
        _route(
            f"{_PROJECT}/management/repositories/{{repository}}/enablement",
            advanced_security.get_repository_enablement,
            "RepoEnablement_Get",
            "vso.advsec",
            preview=True,
        ),
    ),
}

_BY_LENGTH = {
    host: {
        length: tuple(route for route in routes if len(route.path) == length)
        for length in {len(route.path) for route in routes}
    }
    for host, routes in ROUTES.items()
}


def find_routes(host: str, segments: list[str]) -> list[tuple[Route, dict[str, str]]]:
    """Return the routes of a path, one for each method, with the values of their placeholders."""
    lowered = [segment.lower() for segment in segments]
    matches = []
    for route in _BY_LENGTH[host].get(len(segments), ()):
        if all(part[0] == "{" or part.lower() == segment for part, segment in zip(route.path, lowered, strict=True)):
            names = {part[1:-1]: segment for part, segment in zip(route.path, segments, strict=True) if part[0] == "{"}
            matches.append((route, names))
    return matches
