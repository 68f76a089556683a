"""What is planned: a connector and its organizations, as they would be once the manifests were applied (pure)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from defender_devops.api.connector import AzureDevOpsConnector, InvalidManifest, parse_connector
from defender_devops.api.names import FINALIZER
from defender_devops.api.organization import DevOpsOrganization, parse_organization
from defender_devops.cli.exit_codes import CommandFailed
from defender_devops.cli.manifest_files import Manifest, Manifests
from defender_devops.cli.plan.cluster_context import Surroundings

__all__ = ["Subject", "going", "subject_in_cluster", "subjects"]

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """One connector to plan for.

    Attributes:
        connector: with the manifest's spec, and with what the cluster knows.
        organizations: those that refer to it.
        manifest: as it is written; None where the resource is planned as it stands in the cluster.
        live: the resource in the cluster; None for a new one.
    """

    connector: AzureDevOpsConnector
    organizations: tuple[DevOpsOrganization, ...]
    manifest: Body | None = None
    live: Body | None = None

    @property
    def key(self) -> str:
        """Namespace and name."""
        return f"{self.connector.metadata.namespace}/{self.connector.metadata.name}"


def subjects(manifests: Manifests, around: Surroundings) -> list[Subject]:
    """A subject for each connector in the manifests, and for each that an organization in them refers to.

    Raises:
        CommandFailed: an organization refers to a connector that is neither in the manifests nor in the cluster.
    """
    found = [_of_manifest(each, manifests, around) for each in manifests.connectors]
    present = {subject.key for subject in found}
    for each in manifests.organizations:
        namespace, name = each.key[0], str(each.body["spec"]["connectorRef"]["name"])
        if f"{namespace}/{name}" in present:
            continue
        live = around.connectors.get((namespace, name))
        if live is None:
            raise CommandFailed(
                f"{each.source}: spec.connectorRef.name: there is no connector {name} in namespace {namespace}, "
                "neither in the files nor in the cluster."
            )
        found.append(subject_in_cluster(live, around, manifests))
        present.add(f"{namespace}/{name}")
    return found


def subject_in_cluster(live: Body, around: Surroundings, manifests: Manifests | None = None) -> Subject:
    """A connector as it stands in the cluster.

    Raises:
        CommandFailed: it cannot be understood.
    """
    connector = _connector(live, "the cluster")
    return Subject(connector, _organizations(connector, manifests, around), live=live)


def going(subject: Subject, now: datetime) -> Subject:
    """The same connector while it is being deleted."""
    metadata = subject.connector.metadata
    marks = {"deletion_timestamp": now, "finalizers": tuple({*metadata.finalizers, FINALIZER})}
    connector = subject.connector.model_copy(update={"metadata": metadata.model_copy(update=marks)})
    return Subject(connector, subject.organizations, subject.manifest, subject.live)


def _of_manifest(manifest: Manifest, manifests: Manifests, around: Surroundings) -> Subject:
    live = around.connectors.get(manifest.key)
    connector = _connector(_merged(manifest.body, live), manifest.source)
    return Subject(connector, _organizations(connector, manifests, around), manifest.body, live)


def _connector(body: Body, source: str) -> AzureDevOpsConnector:
    try:
        return parse_connector(body)
    except InvalidManifest as error:
        raise CommandFailed(f"{source}: AzureDevOpsConnector {body['metadata']['name']}: {error.message}") from None


def _merged(written: Body, live: Body | None) -> dict[str, Any]:
    """What is written, with what only the cluster knows; for a new resource, with a uid to stand for the one to be."""
    known: Body = live or {"metadata": {"uid": str(uuid.uuid4())}}
    metadata = {**known["metadata"], **written["metadata"]}
    return {**written, "metadata": metadata, "status": known.get("status") or {}}


def _organizations(
    connector: AzureDevOpsConnector, manifests: Manifests | None, around: Surroundings
) -> tuple[DevOpsOrganization, ...]:
    """Those in the cluster, with the manifests' in place of or beside them."""
    written = {each.key: each.body for each in manifests.organizations} if manifests else {}
    bodies = {
        **around.organizations,
        **{key: _merged(body, around.organizations.get(key)) for key, body in written.items()},
    }
    return tuple(_parsed(bodies, connector))


def _parsed(bodies: Mapping[tuple[str, str], Body], connector: AzureDevOpsConnector) -> Iterator[DevOpsOrganization]:
    for (namespace, _), body in sorted(bodies.items()):
        refers = body["spec"]["connectorRef"]["name"] == connector.metadata.name
        if not refers or namespace != connector.metadata.namespace:
            continue
        try:
            yield parse_organization(body)
        except InvalidManifest:
            continue  # of the cluster, from before a rule: the operator passes it over too
