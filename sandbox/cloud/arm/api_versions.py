"""Published api-versions, and the version that introduced a field."""

from __future__ import annotations

from typing import Any

from sandbox.cloud.arm.errors import ArmError
from sandbox.cloud.arm.paths import ResourcePath

__all__ = ["CONNECTOR_VERSIONS", "DEVOPS_VERSIONS", "check_api_version", "filter_properties"]

CONNECTOR_VERSIONS = (
    "2021-07-01-preview",
    "2021-12-01-preview",
    "2022-05-01-preview",
    "2022-08-01-preview",
    "2023-03-01-preview",
    "2023-10-01-preview",
    "2024-03-01-preview",
    "2024-07-01-preview",
    "2024-08-01-preview",
    "2026-08-01-preview",
)
DEVOPS_VERSIONS = ("2023-09-01-preview", "2024-04-01", "2024-05-15-preview", "2025-03-01", "2025-11-01-preview")
_AUTHORIZATION_VERSIONS = ("2015-07-01", "2018-01-01-preview", "2020-04-01-preview", "2020-10-01-preview", "2022-04-01")
_DEFINITION_VERSIONS = ("2015-07-01", "2018-01-01-preview", "2022-04-01", "2022-05-01-preview")
_RESOURCES_VERSIONS = (
    "2016-02-01",
    "2016-06-01",
    "2016-09-01",
    "2018-05-01",
    "2019-10-01",
    "2020-01-01",
    "2020-06-01",
    "2021-01-01",
    "2021-04-01",
    "2022-09-01",
    "2022-12-01",
    "2024-03-01",
    "2024-11-01",
    "2025-04-01",
)
_GRAPH_VERSIONS = ("2018-09-01-preview", "2019-04-01", "2020-04-01-preview", "2021-03-01", "2022-10-01", "2024-04-01")
_HEALTH_VERSIONS = ("2023-02-01-preview", "2023-05-01-preview")
_ASSESSMENT_VERSIONS = ("2019-01-01-preview", "2020-01-01", "2021-06-01", "2025-05-04")
_PRICING_VERSIONS = ("2017-08-01-preview", "2018-06-01", "2022-03-01", "2023-01-01", "2024-01-01")

_BY_TYPE: dict[str, tuple[str, ...]] = {
    "microsoft.security/securityconnectors": CONNECTOR_VERSIONS,
    "microsoft.security/securityconnectors/devops": DEVOPS_VERSIONS,
    "microsoft.security/healthreports": _HEALTH_VERSIONS,
    "microsoft.security/assessments": _ASSESSMENT_VERSIONS,
    "microsoft.security/pricings": _PRICING_VERSIONS,
    "microsoft.authorization/roleassignments": _AUTHORIZATION_VERSIONS,
    "microsoft.authorization/roledefinitions": _DEFINITION_VERSIONS,
    "microsoft.resourcegraph/resources": _GRAPH_VERSIONS,
    "microsoft.resources/subscriptions": _RESOURCES_VERSIONS,
    "microsoft.resources/subscriptions/resourcegroups": _RESOURCES_VERSIONS,
    "microsoft.resources/subscriptions/locations": _RESOURCES_VERSIONS,
    "microsoft.resources/subscriptions/providers": _RESOURCES_VERSIONS,
    "microsoft.resources/subscriptions/resources": _RESOURCES_VERSIONS,
    "microsoft.resources/subscriptions/resourcegroups/resources": _RESOURCES_VERSIONS,
    "microsoft.resources/providers": _RESOURCES_VERSIONS,
    "microsoft.resources/tenants": _RESOURCES_VERSIONS,
}
# All versions of a namespace: a version of another type of it has an error of its own.
_NAMESPACES = {
    namespace: tuple(
        sorted({version for kind, all_ in _BY_TYPE.items() if kind.startswith(namespace) for version in all_})
    )
    for namespace in ("microsoft.security", "microsoft.authorization", "microsoft.resourcegraph", "microsoft.resources")
}
# the providers themselves, and their registration
_BY_TYPE |= dict.fromkeys(_NAMESPACES, _RESOURCES_VERSIONS)
_BY_TYPE |= {f"{namespace}/register": _RESOURCES_VERSIONS for namespace in _NAMESPACES}

_YOUNGER: dict[str, str] = {
    "agentlessConfiguration": "2025-03-01",
    "capabilities": "2024-05-15-preview",
    "visibility": "2024-04-01",
}
"""The first api-version that has a field."""


def versions_of(kind: str) -> tuple[str, ...] | None:
    """Api-versions of a resource type (lower case); what is below `devops` shares its versions."""
    if kind.startswith("microsoft.security/securityconnectors/devops"):
        return DEVOPS_VERSIONS
    return _BY_TYPE.get(kind)


def check_api_version(path: ResourcePath, version: str | None, *, by_type: bool = True) -> str:
    """Check the requested api-version and return it in lower case.

    Args:
        path: of the request.
        version: the requested one.
        by_type: whether a version of another type of the namespace has an error of its own.

    Raises:
        ArmError: it is missing, unknown, or not supported by the resource type.
    """
    if not version:
        message = "The api-version query parameter (?api-version=) is required for all requests."
        raise ArmError(400, "MissingApiVersionParameter", message)
    supported = versions_of(path.type)
    if supported is None:
        raise _unknown_type(path, version)
    requested = version.lower()
    if requested in supported:
        return requested
    listed = ",".join(reversed(supported))
    # The namespace has the version, but not for this type.
    if by_type and requested in _NAMESPACES.get(path.namespace.lower(), ()):
        kind = path.type_name
        message = (
            f"No registered resource provider found for location 'westeurope' and API version '{version}' for type "
            f"'{kind}'. The supported api-versions are '{listed}'. The supported locations are ''."
        )
        raise ArmError(400, "NoRegisteredProviderFound", message)
    message = f"The api-version '{version}' is invalid. The supported versions are '{listed}'."
    raise ArmError(400, "InvalidApiVersionParameter", message)


def _unknown_type(path: ResourcePath, version: str) -> ArmError:
    versions = _NAMESPACES.get(path.namespace.lower())
    if versions is None:
        return ArmError(404, "InvalidResourceNamespace", f"The resource namespace '{path.namespace}' is invalid.")
    message = (
        f"The resource type '{path.type_name}' could not be found in the namespace '{path.namespace}' for "
        f"api version '{version}'. The supported api-versions are '{','.join(reversed(versions))}'."
    )
    return ArmError(404, "InvalidResourceType", message)


def filter_properties(properties: dict[str, Any], version: str) -> dict[str, Any]:
    """Drop properties that the api-version does not have yet, and properties without a value."""
    return {
        name: value for name, value in properties.items() if value is not None and version >= _YOUNGER.get(name, "")
    }
