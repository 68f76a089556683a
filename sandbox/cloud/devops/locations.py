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
}

_AREAS = (
    ("79134c72-4a58-4b42-976c-04e7115f32bf", "core", "devAzure"),
    ("4e080c62-fa21-4fbc-8fef-2a10a2b38049", "git", "devAzure"),
    ("00025394-6065-48ca-87d9-7f5672854ef7", "Location", "devAzure"),
    ("8ccfef3d-2b87-4e99-8ccb-66e343d2daa8", "profile", "profile"),
    ("0d55247a-1c47-4462-9b1f-5e2125590ee6", "Account", "profile"),
    ("8a3d49b8-91f0-46ef-b33d-dda338c25db3", "IMS", "identity"),
    ("bb1e7ec9-e901-4b68-999a-de7012b920f8", "Graph", "identity"),
    ("68ddce18-2501-45f1-a17b-7931a9922690", "MemberEntitlementManagement", "entitlement"),
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
