"""Resource locations and areas, from which Microsoft's clients of Azure DevOps derive paths and hosts.

A client first asks a host for its areas (`GET _apis/resourceAreas`), then the host of an area for its paths
(`OPTIONS _apis`), by ids that are compiled into the client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["resource_areas", "resource_locations"]

_PREVIEW = "0.0"
"""`releasedVersion` of a resource that only has preview versions."""

_RELEASED = "7.2"

_Location = tuple[str, str, str, str, int, str]
"""Id, area, resource, route template, resource version, released version."""

_LOCATIONS: dict[str, tuple[_Location, ...]] = {
    "devAzure": (
        ("00d9565f-ed9c-4a06-9a50-00e7896ccab4", "Location", "ConnectionData", "_apis/{resource}", 1, _PREVIEW),
        ("e81700f7-3be2-46de-8624-2eb35882fcaa", "Location", "ResourceAreas", "_apis/{resource}/{areaId}", 1, _PREVIEW),
        ("603fe2ac-9723-48b9-88ad-09305aa6c6e1", "core", "projects", "_apis/{resource}/{*projectId}", 4, _RELEASED),
        (
            "225f7195-f9c7-4d14-ab28-a83f7ff77e1f",
            "git",
            "repositories",
            "{project}/_apis/{area}/{resource}/{repositoryId}",
            1,
            _RELEASED,
        ),
        (
            "dbeaf647-6167-421a-bda9-c9327b25e2e6",
            "build",
            "definitions",
            "{project}/_apis/{area}/{resource}/{definitionId}",
            7,
            _RELEASED,
        ),
        (
            "0cd358e1-9217-4d94-8269-1c1ee6f93dcf",
            "build",
            "builds",
            "{project}/_apis/{area}/{resource}/{buildId}",
            7,
            _RELEASED,
        ),
        (
            "1db06c96-014e-44e1-ac91-90b2d4b3e984",
            "build",
            "artifacts",
            "{project}/_apis/{area}/builds/{buildId}/{resource}",
            5,
            _RELEASED,
        ),
        (
            "8baac422-4c6e-4de5-8532-db96d92acffa",
            "build",
            "timeline",
            "{project}/_apis/{area}/builds/{buildId}/{resource}/{timelineId}",
            2,
            _RELEASED,
        ),
        (
            "35a80daf-7f30-45fc-86e8-6b813d9c90df",
            "build",
            "logs",
            "{project}/_apis/{area}/builds/{buildId}/{resource}/{logId}",
            2,
            _RELEASED,
        ),
        (
            "53df2d18-29ea-46a9-bee0-933540f80abf",
            "pipelines",
            "preview",
            "{project}/_apis/{area}/{pipelineId}/{resource}",
            1,
            _RELEASED,
        ),
        (
            "7859261e-d2e9-4a68-b820-a5d84cc5bb3d",
            "pipelines",
            "runs",
            "{project}/_apis/{area}/{pipelineId}/{resource}/{runId}",
            1,
            _RELEASED,
        ),
        (
            "6c08ffbf-dbf1-4f9a-94e5-a1cbd47005e7",
            "distributedtask",
            "taskgroups",
            "{project}/_apis/{area}/{resource}/{taskGroupId}",
            1,
            _PREVIEW,
        ),
        (
            "dad91cbe-d183-45f8-9c6e-9c1164472121",
            "policy",
            "configurations",
            "{project}/_apis/{area}/{resource}/{configurationId}",
            1,
            _RELEASED,
        ),
        (
            "fb93c0db-47ed-4a31-8c20-47552878fb44",
            "git",
            "items",
            "{project}/_apis/{area}/repositories/{repositoryId}/{resource}/{*path}",
            1,
            _RELEASED,
        ),
        (
            "2d874a60-a811-4f62-9c9f-963a6ea0a55b",
            "git",
            "refs",
            "{project}/_apis/{area}/repositories/{repositoryId}/{resource}/{*filter}",
            1,
            _RELEASED,
        ),
    ),
    "profile": (
        ("f83735dc-483f-4238-a291-d45f6080a9af", "profile", "profiles", "_apis/{area}/{resource}/{id}", 3, _RELEASED),
        ("229a6a53-b428-4ffb-a835-e8f36b5b4b1e", "Account", "Accounts", "_apis/{resource}/{accountId}", 1, _RELEASED),
    ),
    "identity": (
        ("28010c54-d0c0-4c89-a5b0-1c9e188b9fb7", "IMS", "Identities", "_apis/{resource}/{identityId}", 1, _RELEASED),
        (
            "ebbe6af8-0b91-4c13-8cf1-777c14858188",
            "Graph",
            "Groups",
            "_apis/{area}/{resource}/{groupDescriptor}",
            1,
            _PREVIEW,
        ),
        (
            "005e26ec-6b77-4e4f-a986-b3827bf241f5",
            "Graph",
            "Users",
            "_apis/{area}/{resource}/{userDescriptor}",
            1,
            _PREVIEW,
        ),
        (
            "e34b6394-6b30-4435-94a9-409a5eef3e31",
            "Graph",
            "Memberships",
            "_apis/{area}/{resource}/{subjectDescriptor}",
            1,
            _PREVIEW,
        ),
        (
            "048aee0a-7072-4cde-ab73-7af77b1e0b4e",
            "Graph",
            "Descriptors",
            "_apis/{area}/{resource}/{storageKey}",
            1,
            _PREVIEW,
        ),
    ),
    "entitlement": (
        (
            "8480c6eb-ce60-47e9-88df-eca3c801638b",
            "MemberEntitlementManagement",
            "UserEntitlements",
            "_apis/{resource}/{userId}",
            4,
            _PREVIEW,
        ),
        (
            "1d491a66-190b-43ae-86b8-9c2688c55186",
            "MemberEntitlementManagement",
            "ServicePrincipalEntitlements",
            "_apis/{resource}/{servicePrincipalId}",
            1,
            _PREVIEW,
        ),
    ),
    "extension": (
        (
            "275424d0-c844-4fe2-bda6-04933a1357d8",
            "ExtensionManagement",
            "InstalledExtensions",
            "_apis/{area}/{resource}",
            1,
            _PREVIEW,
        ),
    ),
    "search": (
        (
            "e7f29993-5b82-4fca-9386-f5cfe683d524",
            "search",
            "codesearchresults",
            "{project}/_apis/{area}/{resource}",
            1,
            _RELEASED,
        ),
        (
            "1f60303c-7261-4387-80f1-742a2ecf2964",
            "search",
            "repositories",
            "{project}/_apis/{area}/status/{resource}/{repository}",
            1,
            _RELEASED,
        ),
    ),
    "advancedSecurity": (),
}

_AREAS = (
    ("79134c72-4a58-4b42-976c-04e7115f32bf", "core", "devAzure"),
    ("4e080c62-fa21-4fbc-8fef-2a10a2b38049", "git", "devAzure"),
    ("965220d5-5bb9-42cf-8d67-9b146df2a5a4", "build", "devAzure"),
    ("fb13a388-40dd-4a04-b530-013a739c72ef", "policy", "devAzure"),
    ("a85b8835-c1a1-4aac-ae97-1c3d0ba72dbd", "distributedtask", "devAzure"),
    ("00025394-6065-48ca-87d9-7f5672854ef7", "Location", "devAzure"),
    ("8ccfef3d-2b87-4e99-8ccb-66e343d2daa8", "profile", "profile"),
    ("0d55247a-1c47-4462-9b1f-5e2125590ee6", "Account", "profile"),
    ("8a3d49b8-91f0-46ef-b33d-dda338c25db3", "IMS", "identity"),
    ("bb1e7ec9-e901-4b68-999a-de7012b920f8", "Graph", "identity"),
    ("68ddce18-2501-45f1-a17b-7931a9922690", "MemberEntitlementManagement", "entitlement"),
    ("ea48a0a1-269c-42d8-b8ad-ddc8fcdcf578", "search", "search"),
    ("6c2b0933-3600-42ae-bf8b-93d4f7e83594", "ExtensionManagement", "extension"),
)
"""Id, name and host of each area. The host of `profile` is not below an organization."""


def resource_locations(host: str) -> list[dict[str, Any]]:
    """Return the resource locations of a host, as `OPTIONS _apis` shows them."""
    return [
        {
            "id": identifier,
            "area": area,
            "resourceName": resource,
            "routeTemplate": template,
            "resourceVersion": version,
            "minVersion": "1.0",
            "maxVersion": "7.2",
            "releasedVersion": released,
        }
        for identifier, area, resource, template, version, released in _LOCATIONS[host]
    ]


def resource_areas(organization: str, base: str, addresses: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the areas of an organization with the URL of their host.

    Args:
        organization: name, as in the request.
        base: base URL of the request, used for hosts without a known address.
        addresses: base URL of each host by name.
    """
    areas = []
    for identifier, name, host in _AREAS:
        path = "/" if host == "profile" else f"/{organization}/"
        areas.append({"id": identifier, "name": name, "locationUrl": f"{addresses.get(host, base)}{path}"})
    return areas
