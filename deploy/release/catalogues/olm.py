"""The bundle for OperatorHub and OLM: a ClusterServiceVersion made of the chart's render, and the CRDs.

A bundle has what the chart installs by default; a Subscription (spec.config) changes what values of the chart change.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.release.programs import helm
from deploy.release.version import Version

__all__ = ["PACKAGE", "bundle"]

PACKAGE = "defender-devops-operator"
_CHANNEL = "stable-v1alpha1"
_CHART = "deploy/helm/defender-devops-operator"
_USER_ROLES = ("view", "edit")

Manifest = dict[str, Any]


def bundle(root: Path, version: Version, image: str, epoch: int) -> dict[str, str]:
    """Return the texts of the bundle's files by their path.

    Args:
        root: of the repository.
        version: the version.
        image: the operator's image, with its tag or digest.
        epoch: time of creation in seconds since 1970.
    """
    chart = yaml.safe_load((root / _CHART / "Chart.yaml").read_text())
    text = helm("template", PACKAGE, root / _CHART, "--namespace", "defender-devops", "--set", "crds.enabled=false")
    objects: list[Manifest] = [obj for obj in yaml.safe_load_all(text) if obj]
    files = {
        f"manifests/{PACKAGE}.clusterserviceversion.yaml": _dump(
            _service_version(chart, objects, version=version, image=image, epoch=epoch)
        ),
        "metadata/annotations.yaml": _dump({"annotations": _annotations()}),
        "bundle.Dockerfile": _dockerfile(),
    }
    for crd in sorted((root / "deploy/crds").glob("*.yaml")):
        files[f"manifests/{crd.name}"] = crd.read_text()
    for obj in _other_objects(objects):
        name = obj["metadata"]["name"].replace(":", "-")
        files[f"manifests/{name}_{obj['kind'].lower()}.yaml"] = _dump(obj)
    return files


def _service_version(chart: Manifest, objects: list[Manifest], *, version: Version, image: str, epoch: int) -> Manifest:
    notes = chart["annotations"]
    creation_time = dt.datetime.fromtimestamp(epoch, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    minimum = chart["kubeVersion"].removeprefix(">=").removesuffix("-0")
    examples = [*yaml.safe_load(notes["artifacthub.io/crdsExamples"])]
    return {
        "apiVersion": "operators.coreos.com/v1alpha1",
        "kind": "ClusterServiceVersion",
        "metadata": {
            "name": f"{PACKAGE}.v{version}",
            "annotations": {
                "alm-examples": json.dumps(examples, indent=1),
                "capabilities": notes["artifacthub.io/operatorCapabilities"],
                "categories": "Security, Integration & Delivery",
                "containerImage": image,
                "createdAt": creation_time,
                "description": chart["description"],
                "repository": chart["home"],
                "support": chart["maintainers"][0]["name"],
            },
        },
        "spec": {
            "displayName": "Azure DevOps connectors for Defender for Cloud",
            "description": (Path(__file__).parent / "catalogue.md").read_text(),
            "version": str(version),
            "minKubeVersion": minimum,
            "maturity": "alpha",
            "keywords": chart["keywords"],
            "provider": {"name": chart["maintainers"][0]["name"], "url": chart["home"]},
            "maintainers": [person for person in chart["maintainers"] if "email" in person],
            "links": yaml.safe_load(notes["artifacthub.io/links"]),
            "icon": [_icon(chart["icon"])],
            "customresourcedefinitions": {
                "owned": [_owned_crd(crd) for crd in yaml.safe_load(notes["artifacthub.io/crds"])]
            },
            "install": {"strategy": "deployment", "spec": _install_spec(objects, image)},
            "installModes": [
                {"type": mode, "supported": mode == "AllNamespaces"}
                for mode in ("OwnNamespace", "SingleNamespace", "MultiNamespace", "AllNamespaces")
            ],
            "relatedImages": [{"name": "operator", "image": image}],
        },
    }


def _install_spec(objects: list[Manifest], image: str) -> Manifest:
    (deployment,) = (obj for obj in objects if obj["kind"] == "Deployment")
    spec = deployment["spec"]
    spec["template"]["spec"]["containers"][0]["image"] = image
    account = spec["template"]["spec"]["serviceAccountName"]
    cluster_rules: list[Manifest] = []
    rules: list[Manifest] = []
    for role in objects:
        if role["kind"] == "ClusterRole" and not _is_for_users(role):
            cluster_rules += role["rules"]
        elif role["kind"] == "Role":
            # OLM creates Roles only in the operator's namespace; the uid of kube-system identifies the cluster.
            (cluster_rules if role["metadata"]["namespace"] == "kube-system" else rules).extend(role["rules"])
    return {
        "clusterPermissions": [{"serviceAccountName": account, "rules": cluster_rules}],
        "permissions": [{"serviceAccountName": account, "rules": rules}],
        "deployments": [{"name": deployment["metadata"]["name"], "label": _without_helm(deployment), "spec": spec}],
    }


def _other_objects(objects: list[Manifest]) -> Iterator[Manifest]:
    """Yield what OLM creates besides the deployment with its permissions: Services, and roles for users."""
    for obj in objects:
        if obj["kind"] == "Service" or _is_for_users(obj):
            metadata = {"name": obj["metadata"]["name"], "labels": _without_helm(obj)}
            yield {**obj, "metadata": metadata}


def _is_for_users(obj: Manifest) -> bool:
    return obj["kind"] == "ClusterRole" and obj["metadata"]["name"].rpartition(":")[2] in _USER_ROLES


def _without_helm(obj: Manifest) -> dict[str, str]:
    labels: dict[str, str] = obj["metadata"]["labels"]
    return {key: text for key, text in labels.items() if key not in {"helm.sh/chart", "app.kubernetes.io/managed-by"}}


def _owned_crd(entry: Manifest) -> Manifest:
    return {key: entry[key] for key in ("name", "version", "kind", "displayName", "description")}


def _icon(address: str) -> Mapping[str, str]:
    media_type, _, data = address.removeprefix("data:").partition(";base64,")
    base64.b64decode(data, validate=True)
    return {"base64data": data, "mediatype": media_type}


def _annotations() -> dict[str, str]:
    prefix = "operators.operatorframework.io.bundle"
    return {
        f"{prefix}.mediatype.v1": "registry+v1",
        f"{prefix}.manifests.v1": "manifests/",
        f"{prefix}.metadata.v1": "metadata/",
        f"{prefix}.package.v1": PACKAGE,
        f"{prefix}.channels.v1": _CHANNEL,
        f"{prefix}.channel.default.v1": _CHANNEL,
    }


def _dockerfile() -> str:
    labels = "".join(f"LABEL {key}={value}\n" for key, value in _annotations().items())
    return f"FROM scratch\n\n{labels}\nCOPY manifests /manifests/\nCOPY metadata /metadata/\n"


def _dump(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000)
