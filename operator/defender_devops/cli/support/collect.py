"""What a bundle holds, read part by part: what may not be read is named, and the rest is there."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from defender_devops.api.names import CONNECTOR, GROUP, ORGANIZATION
from defender_devops.cli.cluster_access import Cluster
from defender_devops.cli.status.lines import lines
from defender_devops.cli.status.view import views, without_connector
from defender_devops.cli.support.redaction import HIDDEN, clean
from defender_devops.cluster.client import Body, path, with_query
from defender_devops.errors import KubernetesError

__all__ = ["Bundle", "collect"]

_OPERATOR: Final = {"labelSelector": "app.kubernetes.io/name=defender-devops-operator"}
_SETTINGS: Final = "DEFENDER_DEVOPS_"
"""None of the operator's settings is a secret; what else stands in a Deployment nobody knows."""

_DISTRIBUTION: Final = "defender-devops-operator"


@dataclass(slots=True)
class Bundle:
    """Documents by file name, and what could not be read.

    Attributes:
        documents: redacted.
        missing: one sentence for each part that is not there.
    """

    documents: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


async def collect(cluster: Cluster, namespace: str | None) -> Bundle:
    """Read all there is to see of the operator's resources.

    Args:
        cluster: whose.
        namespace: of connectors; None for all.

    Raises:
        KubernetesError: not even the connectors can be read.
    """
    connectors = await cluster.connectors(namespace)
    organizations = await cluster.organizations(namespace)
    bundle = Bundle()
    bundle.documents["status.txt"] = _status(connectors, organizations)
    bundle.documents["connectors.yaml"] = [clean(body) for body in connectors]
    bundle.documents["organizations.yaml"] = [clean(body) for body in organizations]
    parts: Mapping[str, Callable[[], Awaitable[Any]]] = {
        "events.yaml": lambda: _events(cluster, namespace),
        "operator.yaml": lambda: _operator(cluster),
        "crds.yaml": lambda: _crds(cluster),
        "cluster.yaml": lambda: cluster.client.get("/version"),
    }
    for name, read in parts.items():
        try:
            bundle.documents[name] = clean(await read())
        except KubernetesError as error:
            bundle.missing.append(f"{name} is not there: {error.message}")
    bundle.documents["bundle.yaml"] = _about(namespace, bundle.missing)
    return bundle


def _status(connectors: list[Body], organizations: list[Body]) -> str:
    found = lines(views(connectors, organizations), without_connector(connectors, organizations))
    return "".join(f"{clean(line)}\n" for line in found)


async def _events(cluster: Cluster, namespace: str | None) -> list[Body]:
    """Events on our resources, oldest first."""
    found = [
        event
        async for event in cluster.client.items(path("events.k8s.io/v1", "events", namespace))
        if str((event.get("regarding") or {}).get("apiVersion", "")).startswith(f"{GROUP}/")
    ]
    return sorted(found, key=lambda event: str(event.get("eventTime") or event["metadata"].get("creationTimestamp")))


async def _operator(cluster: Cluster) -> list[Body]:
    """Deployments of the operator in whatever namespace: image, arguments, state, settings."""
    url = with_query(path("apps/v1", "deployments"), **_OPERATOR)
    return [_without_values(body) async for body in cluster.client.items(url)]


def _without_values(deployment: Body) -> Body:
    """The Deployment without the values of variables that are no settings of ours."""
    containers = deployment["spec"]["template"]["spec"].get("containers") or []
    for container in containers:
        for variable in container.get("env") or ():
            if "value" in variable and not variable["name"].startswith(_SETTINGS):
                variable["value"] = HIDDEN
    return deployment


async def _crds(cluster: Cluster) -> list[Body]:
    """Versions and conditions of our definitions, without their schemas."""
    found = []
    for names in (CONNECTOR, ORGANIZATION):
        url = path("apiextensions.k8s.io/v1", "customresourcedefinitions") + f"/{names.crd}"
        body = await cluster.client.get(url)
        versions = [{key: each[key] for key in ("name", "served", "storage")} for each in body["spec"]["versions"]]
        found.append({"metadata": body["metadata"], "versions": versions, "status": body.get("status")})
    return found


def _about(namespace: str | None, missing: list[str]) -> dict[str, Any]:
    return {
        "commandLine": importlib.metadata.version(_DISTRIBUTION),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "namespace": namespace or "(all)",
        "missing": missing,
    }
