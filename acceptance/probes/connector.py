"""Probe `connector`: the connector and its DevOps configuration."""

from __future__ import annotations

from typing import Final

from acceptance.checks import Check, Cost, Observation, Probe, agreement
from acceptance.session.answer import Inconclusive, items_of, member, object_of, text_of
from acceptance.tenant import Tenant

__all__ = ["PROBE"]

_TWO_OFFERINGS_VERSION: Final = "2023-10-01-preview"
_OLDEST_DEVOPS_VERSION: Final = "2023-09-01-preview"
_SECOND_OFFERING: Final = "DefenderForDevOpsAzureDevOps"
_HEALTH_VERSION: Final = "2023-05-01-preview"
_NOT_FOUND: Final = 404

_FIELDS: Final = {
    "connector": {"id", "name", "type", "location", "tags", "systemData", "properties", "kind", "etag"},
    "connector.properties": {
        "hierarchyIdentifier",
        "hierarchyIdentifierTrialEndDate",
        "environmentName",
        "environmentData",
        "offerings",
    },
    "configuration": {"id", "name", "type", "location", "tags", "properties", "systemData"},
    "configuration.properties": {
        "autoDiscovery",
        "capabilities",
        "agentlessConfiguration",
        "provisioningStatusMessage",
        "provisioningStatusUpdateTimeUtc",
        "provisioningState",
        "topLevelInventoryList",
        "authorization",
    },
}
_PROVISIONING: Final = {
    "Succeeded",
    "Failed",
    "Canceled",
    "Pending",
    "PendingDeletion",
    "DeletionSuccess",
    "DeletionFailure",
}
_ONBOARDING: Final = {"NotApplicable", "OnboardedByOtherConnector", "Onboarded", "NotOnboarded"}
_KINDS: Final = {
    "microsoft.security/securityconnectors/devops",
    "microsoft.security/securityconnectors/devops/azuredevopsorgs",
    "microsoft.security/securityconnectors/devops/azuredevopsorgs/projects",
    "microsoft.security/securityconnectors/devops/azuredevopsorgs/projects/repos",
}


async def _spelling(tenant: Tenant) -> Observation:
    connector = await tenant.connector()
    identifier, kind = text_of(connector, "id"), text_of(connector, "type")
    if not identifier or not kind:
        raise Inconclusive("the connector has no id or no type")
    segments = identifier.split("/")
    group = segments[4] if len(segments) > 4 else ""  # noqa: PLR2004 - /subscriptions/{}/resourcegroups/{}
    holds = "/resourcegroups/" in identifier and group == group.lower() and kind.endswith("/securityconnectors")
    return agreement(holds, "lower case" if holds else "another spelling of the id or the type")


async def _second_offering(tenant: Tenant) -> Observation:
    current = tenant.offerings(await tenant.connector())
    older = tenant.offerings(await tenant.connector(_TWO_OFFERINGS_VERSION))
    if not current:
        raise Inconclusive("the connector has no offering")
    if _SECOND_OFFERING in current:
        return Observation("allVersions", "the newest version shows it, too")
    if _SECOND_OFFERING not in older:
        raise Inconclusive("no version shows it")
    return Observation("oneVersion", f"only {_TWO_OFFERINGS_VERSION} shows it")


async def _older_versions(tenant: Tenant) -> Observation:
    properties = member(await tenant.configuration(_OLDEST_DEVOPS_VERSION), "properties")
    if not isinstance(properties, dict):
        raise Inconclusive("the configuration has no properties")
    newer = sorted({"capabilities", "agentlessConfiguration"} & properties.keys())
    return agreement(not newer, f"{_OLDEST_DEVOPS_VERSION} shows {', '.join(newer) or 'none of them'}")


async def _capabilities(tenant: Tenant) -> Observation:
    configuration = await tenant.configuration()
    if not text_of(configuration, "properties", "provisioningState"):
        raise Inconclusive("the configuration has no state")
    if not isinstance(member(configuration, "properties", "capabilities"), list):
        return Observation("none", "there is no list")
    names = [text_of(item, "name") for item in items_of(configuration, "properties", "capabilities")]
    if names == ["DCSPM_ENABLED"]:
        return Observation("one", "DCSPM_ENABLED alone")
    return Observation("several" if len(names) > 1 else "none", f"{len(names)} capabilities")


async def _hidden_fields(tenant: Tenant) -> Observation:
    configuration = await tenant.configuration()
    properties = member(configuration, "properties")
    if not isinstance(properties, dict) or not properties:
        raise Inconclusive("the configuration has no properties")
    hidden_names = [name for name in ("authorization", "topLevelInventoryList") if properties.get(name)]
    holds = not hidden_names and "location" in configuration and configuration.get("tags") in ({}, None)
    return agreement(holds, f"GET shows {', '.join(hidden_names) or 'neither'}")


async def _health(tenant: Tenant) -> Observation:
    path = f"{tenant.connector_path()}/providers/Microsoft.Security/healthReports"
    answer = await tenant.arm(path, _HEALTH_VERSION)
    if answer.status == _NOT_FOUND and answer.error_code:
        return Observation("notFound", f"HTTP {answer.status}")
    reports = answer.values()
    codes = {text_of(report, "properties", "status", "code") for report in reports}
    if not reports:
        return Observation("empty", "no report")
    if not codes <= {"Healthy", "NotHealthy", "NotApplicable"}:
        raise Inconclusive("the reports have no status that is known")
    return Observation("notHealthy" if "NotHealthy" in codes else "healthy", f"{len(reports)} reports")


async def _unfamiliar(tenant: Tenant) -> Observation:
    connector, configuration = await tenant.connector(), await tenant.configuration()
    organizations = await tenant.organizations()
    bodies = {
        "connector": connector,
        "connector.properties": object_of(connector, "properties"),
        "configuration": configuration,
        "configuration.properties": object_of(configuration, "properties"),
    }
    fields = sum(len(body.keys() - _FIELDS[name]) for name, body in bodies.items())
    if fields:
        return Observation("fields", f"{fields} fields that are described nowhere; see the recording")
    available = (await tenant.available()).values()
    properties = tenant.properties([configuration, *organizations, *available])
    states = {text_of(item, "provisioningState") for item in properties} - _PROVISIONING - {""}
    states |= {text_of(item, "onboardingState") for item in properties} - _ONBOARDING - {""}
    if states:
        return Observation("values", f"{len(states)} states that are described nowhere; see the recording")
    kinds = {text_of(row, "type").lower() for row in await tenant.children()} - _KINDS
    if kinds:
        return Observation("kinds", f"{len(kinds)} resource types that are described nowhere; see the recording")
    return Observation("absent", "every field, state and type is described")


PROBE: Final = Probe(
    "connector",
    "the connector and its DevOps configuration in three api-versions, and its health reports",
    Cost(reads=9, writes=1, queries=1),
    (
        Check("ids with `/resourcegroups/` and the group in lower case", _spelling),
        Check("api-version 2023-10-01-preview shows a second offering", _second_offering, "secondOffering"),
        Check("older api-versions omit newer fields", _older_versions),
        Check("capabilities: `DCSPM_ENABLED`", _capabilities, "capabilities"),
        Check("PUT echoes `authorization.code", _hidden_fields),
        Check("healthReports are empty", _health, "healthReports"),
        Check("the children's properties are those of Resource Manager", _unfamiliar, "unfamiliarAnswers"),
    ),
)
