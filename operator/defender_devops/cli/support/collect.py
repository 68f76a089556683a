"""Read the contents of a support bundle. Parts that may not be read are listed as missing."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from defender_devops.api.names import CONNECTOR, GROUP, ORGANIZATION
from defender_devops.cli.cluster_access import Cluster
from defender_devops.cli.display.lines import status_lines
from defender_devops.cli.display.view import connector_views, orphaned_organizations
from defender_devops.cli.support.redaction import HIDDEN, redact_for_bundle
from defender_devops.cluster.client import Body, api_path, path_with_query
from defender_devops.errors import KubernetesError

__all__ = ["Bundle", "collect_bundle"]

_OPERATOR_LABELS: Final = {"labelSelector": "app.kubernetes.io/name=defender-devops-operator"}
_SETTINGS_PREFIX: Final = "DEFENDER_DEVOPS_"
"""The operator's settings contain no secrets; other environment variables of a Deployment may."""

_DISTRIBUTION: Final = "defender-devops-operator"


@dataclass(slots=True)
class Bundle:
    """Contents of a bundle.

    Attributes:
        documents: redacted documents by file name.
        missing: one sentence for each part that could not be read.
    """

    documents: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


async def collect_bundle(cluster: Cluster, namespace: str | None) -> Bundle:
    """Read all parts of a bundle.

    Args:
        cluster: cluster to read.
        namespace: namespace of connectors; None for all.

    Raises:
        KubernetesError: the connectors or organizations cannot be read.
    """
    connectors = await cluster.connectors(namespace)
    organizations = await cluster.organizations(namespace)
    lines = status_lines(connector_views(connectors, organizations), orphaned_organizations(connectors, organizations))
    bundle = Bundle()
    bundle.documents["status.txt"] = "".join(f"{redact_for_bundle(line)}\n" for line in lines)
    bundle.documents["connectors.yaml"] = [redact_for_bundle(body) for body in connectors]
    bundle.documents["organizations.yaml"] = [redact_for_bundle(body) for body in organizations]
    parts: Mapping[str, Callable[[], Awaitable[Any]]] = {
        "events.yaml": lambda: _events(cluster, namespace),
        "operator.yaml": lambda: _operator_deployments(cluster),
        "crds.yaml": lambda: _crds(cluster),
        "cluster.yaml": lambda: cluster.client.get("/version"),
    }
    # Most users lack one of these permissions: a part that is missing must not cost the others.
    for name, read_part in parts.items():
        try:
            bundle.documents[name] = redact_for_bundle(await read_part())
        except KubernetesError as error:
            bundle.missing.append(f"{name} is missing: {error.message}")
    bundle.documents["bundle.yaml"] = {
        "commandLine": importlib.metadata.version(_DISTRIBUTION),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "namespace": namespace or "(all)",
        "missing": bundle.missing,
    }
    return bundle


async def _events(cluster: Cluster, namespace: str | None) -> list[Body]:
    """Return the events on the operator's resources, oldest first."""
    events = [
        event
        async for event in cluster.client.items(api_path("events.k8s.io/v1", "events", namespace))
        if str((event.get("regarding") or {}).get("apiVersion", "")).startswith(f"{GROUP}/")
    ]
    return sorted(events, key=lambda event: str(event.get("eventTime") or event["metadata"].get("creationTimestamp")))


async def _operator_deployments(cluster: Cluster) -> list[Body]:
    """Return the operator's Deployments in all namespaces, without values of foreign environment variables."""
    url = path_with_query(api_path("apps/v1", "deployments"), **_OPERATOR_LABELS)
    deployments = [body async for body in cluster.client.items(url)]
    for deployment in deployments:
        for container in deployment["spec"]["template"]["spec"].get("containers") or []:
            for variable in container.get("env") or ():
                if "value" in variable and not variable["name"].startswith(_SETTINGS_PREFIX):
                    variable["value"] = HIDDEN
    return deployments


async def _crds(cluster: Cluster) -> list[Body]:
    """Return versions and conditions of the CRDs, without their schemas."""
    crds = []
    for names in (CONNECTOR, ORGANIZATION):
        url = api_path("apiextensions.k8s.io/v1", "customresourcedefinitions") + f"/{names.crd}"
        body = await cluster.client.get(url)
        versions = [
            {key: version[key] for key in ("name", "served", "storage")} for version in body["spec"]["versions"]
        ]
        crds.append({"metadata": body["metadata"], "versions": versions, "status": body.get("status")})
    return crds
