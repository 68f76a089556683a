"""A connector and its organizations as they would be after the manifests were applied. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from defender_devops.api.connector import AzureDevOpsConnector, InvalidManifest, parse_connector
from defender_devops.api.names import FINALIZER
from defender_devops.api.organization import DevOpsOrganization, parse_organization
from defender_devops.cli.exit_codes import CommandFailed
from defender_devops.cli.inputs.cluster_context import ClusterContext
from defender_devops.cli.inputs.manifest_files import Manifests

__all__ = ["ConnectorInput", "build_inputs", "input_as_deleted", "input_from_cluster"]

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ConnectorInput:
    """One connector to plan or check.

    Attributes:
        connector: the manifest's spec with metadata and status from the cluster.
        organizations: organizations that refer to it.
        manifest: the connector in the file; None if the connector is taken from the cluster.
        live: the connector in the cluster; None for a new one.
    """

    connector: AzureDevOpsConnector
    organizations: tuple[DevOpsOrganization, ...]
    manifest: Body | None = None
    live: Body | None = None

    @property
    def key(self) -> str:
        """Namespace and name."""
        return f"{self.connector.metadata.namespace}/{self.connector.metadata.name}"


def build_inputs(manifests: Manifests, context: ClusterContext) -> list[ConnectorInput]:
    """Return an input for each connector in the manifests, and for each one that their organizations refer to.

    Raises:
        CommandFailed: an organization refers to a connector that is neither in the manifests nor in the cluster.
    """
    # By key, so that a connector in several files, or with several organizations, is planned once.
    inputs = {}
    for manifest in manifests.connectors:
        live = context.connectors.get(manifest.key)
        connector = _parse_connector(_with_cluster_fields(manifest.body, live), manifest.source)
        organizations = _organizations(connector, manifests, context)
        inputs[manifest.key] = ConnectorInput(connector, organizations, manifest.body, live)
    for manifest in manifests.organizations:
        namespace, name = manifest.key[0], str(manifest.body["spec"]["connectorRef"]["name"])
        if (namespace, name) in inputs:
            continue
        live = context.connectors.get((namespace, name))
        if live is None:
            raise CommandFailed(
                f"{manifest.source}: spec.connectorRef.name: there is no connector {name} in namespace {namespace}, "
                "neither in the files nor in the cluster."
            )
        inputs[namespace, name] = input_from_cluster(live, context, manifests)
    return list(inputs.values())


def input_from_cluster(live: Body, context: ClusterContext, manifests: Manifests | None = None) -> ConnectorInput:
    """Return the input for a connector in the cluster.

    Raises:
        CommandFailed: its spec is invalid.
    """
    connector = _parse_connector(live, "the cluster")
    return ConnectorInput(connector, _organizations(connector, manifests, context), live=live)


def input_as_deleted(item: ConnectorInput, now: datetime) -> ConnectorInput:
    """Return the same connector as it would be while it is being deleted."""
    metadata = item.connector.metadata
    changes = {"deletion_timestamp": now, "finalizers": tuple({*metadata.finalizers, FINALIZER})}
    connector = item.connector.model_copy(update={"metadata": metadata.model_copy(update=changes)})
    return ConnectorInput(connector, item.organizations, item.manifest, item.live)


def _parse_connector(body: Body, source: str) -> AzureDevOpsConnector:
    try:
        return parse_connector(body)
    except InvalidManifest as error:
        raise CommandFailed(f"{source}: AzureDevOpsConnector {body['metadata']['name']}: {error.message}") from None


def _with_cluster_fields(manifest: Body, live: Body | None) -> dict[str, Any]:
    """Return the manifest with metadata and status from the cluster; a new resource gets a temporary uid."""
    current: Body = live or {"metadata": {"uid": str(uuid.uuid4())}}
    metadata = {**current["metadata"], **manifest["metadata"]}
    return {**manifest, "metadata": metadata, "status": current.get("status") or {}}


def _organizations(
    connector: AzureDevOpsConnector, manifests: Manifests | None, context: ClusterContext
) -> tuple[DevOpsOrganization, ...]:
    """Return the connector's organizations in the cluster; a manifest replaces the resource of the same name."""
    bodies: dict[tuple[str, str], Body] = dict(context.organizations)
    for manifest in manifests.organizations if manifests else ():
        bodies[manifest.key] = _with_cluster_fields(manifest.body, context.organizations.get(manifest.key))
    organizations = []
    for (namespace, _), body in sorted(bodies.items()):
        is_referring = body["spec"]["connectorRef"]["name"] == connector.metadata.name
        if not is_referring or namespace != connector.metadata.namespace:
            continue
        try:
            organizations.append(parse_organization(body))
        except InvalidManifest:
            continue  # in the cluster from before a validation rule; the operator ignores it, too
    return tuple(organizations)
