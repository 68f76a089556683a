"""Manifests that say what Azure holds, so that adopting changes nothing but the owner's tags (pure)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any, Final

from defender_devops.api.azure_types import AgentlessConfiguration, Annotations, AutoDiscovery, AzureOrganization
from defender_devops.api.connector import AgentlessScanning, Mode, OrganizationsMode, parse_connector
from defender_devops.api.fields import ORGANIZATIONS_MAX
from defender_devops.api.names import (
    API_VERSION,
    CONNECTOR,
    CONNECTOR_NAME_MAX_LENGTH,
    ORGANIZATION,
    TAG_OWNER,
    TAG_RESOURCE,
    organization_object_name,
)
from defender_devops.cli.import_.discovery import Found
from defender_devops.reconcile.facts import desired_state

__all__ = ["Imported", "Options", "imported", "managed_by"]

_ANNOTATIONS_OFF: Final = Annotations(enabled=False)


@dataclass(frozen=True, slots=True)
class Options:
    """What a person decides about the manifests.

    Attributes:
        tenant_id: of the subscription.
        namespace: to write into them; None leaves it to whoever applies them.
        account: who authorized Defender, which Azure never tells.
        observe: let the operator only look.
    """

    tenant_id: str
    namespace: str | None = None
    account: str | None = None
    observe: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """The manifests for one connector.

    Attributes:
        name: of the resource.
        manifests: the connector, then organizations that differ from it.
        notes: what the manifests cannot say, and what to look at.
    """

    name: str
    manifests: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()


def imported(found: Found, options: Options, taken: Container[str] = frozenset()) -> Imported:
    """Write the manifests for a connector.

    Args:
        found: what Azure holds.
        options: what a person decides.
        taken: names of resources that are in use.

    Raises:
        InvalidManifest: Azure holds something that a manifest must not say.
    """
    name = _resource_name(found.ref.name, taken)
    organizations, notes = _organizations(found)
    common = _common_annotations(found)
    spec: dict[str, Any] = {"azure": _azure(found, name, options), "organizations": organizations}
    spec["authorization"] = {"method": "Adopt", **({"account": options.account} if options.account else {})}
    if common.enabled:
        spec["pullRequestAnnotations"] = _annotations(common)
    scanning = _scanning(found.configuration.agentless if found.configuration else None)
    if scanning is not None:
        spec["agentlessScanning"] = scanning
    if options.observe:
        spec["managementPolicy"] = "Observe"
    connector = _resource(CONNECTOR.kind, name, options, spec)
    parse_connector(connector)
    differing = tuple(_differing(found, common, name, options))
    return Imported(name, (connector, *differing), (*notes, *_remarks(found, options, scanning)))


def managed_by(found: Found) -> str | None:
    """Which resource has its mark on the connector."""
    tags = found.connector.tags
    return tags.get(TAG_RESOURCE, "a resource of unknown name") if tags.get(TAG_OWNER) else None


def _resource(kind: str, name: str, options: Options, spec: dict[str, Any]) -> dict[str, Any]:
    namespace = {"namespace": options.namespace} if options.namespace else {}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, **namespace}, "spec": spec}


def _resource_name(name: str, taken: Container[str]) -> str:
    """The connector's name as Kubernetes allows it, with a number behind it where that is taken."""
    plain = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:CONNECTOR_NAME_MAX_LENGTH].strip("-") or "connector"
    candidate, number = plain, 2
    while candidate in taken:
        suffix = f"-{number}"
        candidate, number = plain[: CONNECTOR_NAME_MAX_LENGTH - len(suffix)].rstrip("-") + suffix, number + 1
    return candidate


def _azure(found: Found, name: str, options: Options) -> dict[str, str]:
    azure = {
        "tenantId": options.tenant_id,
        "subscriptionId": found.ref.subscription_id,
        "resourceGroup": found.ref.resource_group,
        "location": found.connector.location,
    }
    return azure | ({"connectorName": found.ref.name} if found.ref.name != name else {})


def _organizations(found: Found) -> tuple[dict[str, Any], list[str]]:
    """The mode that leaves everything as it is."""
    if found.configuration is not None and found.configuration.auto_discovery == AutoDiscovery.ENABLED:
        return {"mode": str(OrganizationsMode.ALL_AND_FUTURE)}, []
    onboarded = sorted((each.name for each in found.organizations if desired_state.is_onboarded(each)), key=str.lower)
    others = [
        each.name for each in found.available or () if each.name.lower() not in {name.lower() for name in onboarded}
    ]
    if onboarded and found.available and not others:
        return {"mode": str(OrganizationsMode.ALL)}, []
    if len(onboarded) > ORGANIZATIONS_MAX:
        note = f"{len(onboarded)} organizations are more than a list may name: all but the others are taken."
        return {"mode": str(OrganizationsMode.ALL), "exclude": sorted(others, key=str.lower)}, [note]
    return {"mode": str(OrganizationsMode.SELECTED), "names": onboarded}, []


def _common_annotations(found: Found) -> Annotations:
    """What most organizations have, of those that have any; off where none has."""
    held = [
        each.annotations
        for each in found.organizations
        if desired_state.is_onboarded(each) and each.annotations.enabled
    ]
    return Counter(held).most_common(1)[0][0] if held else _ANNOTATIONS_OFF


def _differing(found: Found, common: Annotations, name: str, options: Options) -> Iterator[dict[str, Any]]:
    """A manifest for each organization whose annotations are not the connector's."""
    taken: set[str] = set()
    for each in found.organizations if common.enabled else ():
        if desired_state.is_onboarded(each) and _plain(each) != common:
            resource = organization_object_name(name, each.name, taken)
            taken.add(resource)
            spec = {
                "connectorRef": {"name": name},
                "organization": each.name,
                "pullRequestAnnotations": _annotations(_plain(each)),
            }
            yield _resource(ORGANIZATION.kind, resource, options, spec)


def _plain(organization: AzureOrganization) -> Annotations:
    return organization.annotations if organization.annotations.enabled else _ANNOTATIONS_OFF


def _annotations(annotations: Annotations) -> dict[str, str]:
    if not annotations.enabled:
        return {"mode": "Disabled"}
    severity = {"minimumSeverity": annotations.minimum_severity} if annotations.minimum_severity else {}
    return {"mode": "Enabled", **severity}


def _scanning(present: AgentlessConfiguration | None) -> dict[str, Any] | None:
    """`agentlessScanning` that asks for exactly what is there; None where it is off, or cannot be said."""
    if present is None or not present.enabled:
        return None
    scope = [
        dict(zip(("organization", "project", "repository"), item.value.split("/"), strict=False))
        for item in present.inventory
    ]
    written: dict[str, Any] = {"mode": str(Mode.ENABLED), "inventory": present.inventory_list_type}
    if scope:
        written["scope"] = scope
    if present.scanners:
        written["scanners"] = sorted(present.scanners)
    try:
        asked = AgentlessScanning.model_validate(written).desired()
    except ValueError:
        return None
    same = (asked.auto_discovery, set(asked.inventory)) == (present.auto_discovery, set(present.inventory))
    return written if same else None


def _remarks(found: Found, options: Options, scanning: dict[str, Any] | None) -> Iterator[str]:
    if found.configuration is None:
        yield "Nobody has authorized this connector yet: do so in the Defender portal before you apply this."
    elif found.available is None:
        yield "Which organizations its authorization sees could not be told: check the mode."
    present = found.configuration.agentless if found.configuration else None
    if present is not None and present.enabled and scanning is None:
        yield "Agentless scanning is on in a way that a manifest cannot say: it is not managed and stays as it is."
    if options.account is None:
        yield "Say in spec.authorization.account who authorized it; Azure never tells."
