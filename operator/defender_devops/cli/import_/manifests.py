"""Generate manifests equal to the state of Azure: adopting them changes nothing but the owner tags. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Final

from defender_devops.api.azure_types import AgentlessConfiguration, Annotations, AutoDiscovery, AzureOrganization
from defender_devops.api.connector import AgentlessScanning, Mode, OrganizationsMode, parse_connector
from defender_devops.api.names import (
    API_VERSION,
    CONNECTOR,
    CONNECTOR_NAME_MAX_LENGTH,
    ORGANIZATION,
    TAG_OWNER,
    TAG_RESOURCE,
    organization_object_name,
)
from defender_devops.api.schema.fields import ORGANIZATIONS_MAX
from defender_devops.cli.import_.discovery import ExistingConnector

__all__ = ["GeneratedManifests", "ManifestOptions", "generate_manifests", "managing_resource_of_import"]

_ANNOTATIONS_OFF: Final = Annotations(enabled=False)


@dataclass(frozen=True, slots=True)
class ManifestOptions:
    """Values that Azure does not return.

    Attributes:
        tenant_id: tenant of the subscription.
        namespace: namespace of the resources, or None to leave it open.
        account: account that authorized Defender, or None.
        observe: whether the manifests get managementPolicy Observe.
    """

    tenant_id: str
    namespace: str | None = None
    account: str | None = None
    observe: bool = False


@dataclass(frozen=True, slots=True)
class GeneratedManifests:
    """The manifests for one connector.

    Attributes:
        name: name of the connector resource.
        manifests: the connector, then organizations with settings of their own.
        notes: what a manifest cannot express, and what to check.
    """

    name: str
    manifests: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()


def generate_manifests(
    existing: ExistingConnector, options: ManifestOptions, used_names: Container[str] = frozenset()
) -> GeneratedManifests:
    """Generate the manifests for a connector.

    Args:
        existing: state of Azure.
        options: values that Azure does not return.
        used_names: names of resources that were generated already.

    Raises:
        InvalidManifest: Azure holds a value that a manifest may not contain.
    """
    ref, configuration = existing.ref, existing.configuration
    name = _resource_name(ref.name, used_names)
    onboarded = [item for item in existing.organizations if item.is_onboarded]
    # Annotations of the connector: those of most organizations, among organizations that have them on.
    enabled = Counter(item.annotations for item in onboarded if item.annotations.enabled)
    common = enabled.most_common(1)[0][0] if enabled else _ANNOTATIONS_OFF
    selection, notes = _organizations(existing, onboarded)
    azure = {
        "tenantId": options.tenant_id,
        "subscriptionId": ref.subscription_id,
        "resourceGroup": ref.resource_group,
        "location": existing.connector.location,
    }
    azure |= {"connectorName": ref.name} if ref.name != name else {}
    account = {"account": options.account} if options.account else {}
    # The order of keys is that of the file, and follows the documentation.
    spec: dict[str, Any] = {
        "azure": azure,
        "organizations": selection,
        "authorization": {"method": "Adopt", **account},
    }
    if common.enabled:
        spec["pullRequestAnnotations"] = _annotations(common)
    agentless = configuration.agentless if configuration else None
    scanning = _scanning(agentless)
    if scanning is not None:
        spec["agentlessScanning"] = scanning
    if options.observe:
        spec["managementPolicy"] = "Observe"
    connector = _resource(CONNECTOR.kind, name, options, spec)
    parse_connector(connector)

    if configuration is None:
        notes.append("Nobody has authorized this connector yet: authorize it in the Defender portal before applying.")
    elif existing.available is None:
        notes.append(
            "The organizations that its authorization can see could not be listed: check spec.organizations.mode."
        )
    if agentless is not None and agentless.enabled and scanning is None:
        notes.append("Agentless scanning has settings that a manifest cannot express: it is not managed.")
    if options.account is None:
        notes.append("Set spec.authorization.account to the account that authorized it; Azure does not return it.")
    differing = _differing_organizations(name, onboarded, common, options)
    return GeneratedManifests(name, (connector, *differing), tuple(notes))


def managing_resource_of_import(existing: ExistingConnector) -> str | None:
    """Return the resource that manages the connector according to its tags."""
    tags = existing.connector.tags
    return tags.get(TAG_RESOURCE, "a resource of unknown name") if tags.get(TAG_OWNER) else None


def _resource(kind: str, name: str, options: ManifestOptions, spec: dict[str, Any]) -> dict[str, Any]:
    namespace = {"namespace": options.namespace} if options.namespace else {}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, **namespace}, "spec": spec}


def _resource_name(name: str, used_names: Container[str]) -> str:
    """Return the connector's name as a valid object name, numbered if it is in use."""
    valid = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:CONNECTOR_NAME_MAX_LENGTH].strip("-") or "connector"
    candidate, number = valid, 2
    while candidate in used_names:
        suffix = f"-{number}"
        candidate, number = valid[: CONNECTOR_NAME_MAX_LENGTH - len(suffix)].rstrip("-") + suffix, number + 1
    return candidate


def _organizations(existing: ExistingConnector, onboarded: list[AzureOrganization]) -> tuple[dict[str, Any], list[str]]:
    """Return `spec.organizations` that selects exactly the onboarded organizations, and notes."""
    configuration = existing.configuration
    if configuration is not None and configuration.auto_discovery == AutoDiscovery.ENABLED:
        return {"mode": str(OrganizationsMode.ALL_AND_FUTURE)}, []
    names = sorted((item.name for item in onboarded), key=str.lower)
    keys = {name.lower() for name in names}
    excluded = sorted((item.name for item in existing.available or () if item.name.lower() not in keys), key=str.lower)
    if names and existing.available and not excluded:
        return {"mode": str(OrganizationsMode.ALL)}, []
    if len(names) > ORGANIZATIONS_MAX:
        note = (
            f"spec.organizations.names cannot hold {len(names)} names, so the manifest uses mode All and excludes the "
            "organizations that are not onboarded."
        )
        return {"mode": str(OrganizationsMode.ALL), "exclude": excluded}, [note]
    return {"mode": str(OrganizationsMode.SELECTED), "names": names}, []


def _differing_organizations(
    connector: str, onboarded: list[AzureOrganization], common: Annotations, options: ManifestOptions
) -> list[dict[str, Any]]:
    """Return a manifest for each organization whose annotations differ from the connector's."""
    manifests: list[dict[str, Any]] = []
    used_names: set[str] = set()
    for organization in onboarded if common.enabled else ():
        annotations = organization.annotations if organization.annotations.enabled else _ANNOTATIONS_OFF
        if annotations != common:
            name = organization_object_name(connector, organization.name, used_names)
            used_names.add(name)
            spec = {
                "connectorRef": {"name": connector},
                "organization": organization.name,
                "pullRequestAnnotations": _annotations(annotations),
            }
            manifests.append(_resource(ORGANIZATION.kind, name, options, spec))
    return manifests


def _annotations(annotations: Annotations) -> dict[str, str]:
    if not annotations.enabled:
        return {"mode": "Disabled"}
    severity = {"minimumSeverity": annotations.minimum_severity} if annotations.minimum_severity else {}
    return {"mode": "Enabled", **severity}


def _scanning(current: AgentlessConfiguration | None) -> dict[str, Any] | None:
    """Return `agentlessScanning` with exactly these settings; None if it is off, or cannot be expressed."""
    if current is None or not current.enabled:
        return None
    scope = [
        dict(zip(("organization", "project", "repository"), item.value.split("/"), strict=False))
        for item in current.inventory
    ]
    manifest: dict[str, Any] = {"mode": str(Mode.ENABLED), "inventory": current.inventory_list_type}
    manifest |= {"scope": scope} if scope else {}
    manifest |= {"scanners": sorted(current.scanners)} if current.scanners else {}
    try:
        desired = AgentlessScanning.model_validate(manifest).desired()
    except ValueError:
        return None
    is_equal = (desired.auto_discovery, set(desired.inventory)) == (current.auto_discovery, set(current.inventory))
    return manifest if is_equal else None
