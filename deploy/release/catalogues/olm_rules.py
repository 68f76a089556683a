"""The rules that operator-sdk and OperatorHub have for bundles, as far as they concern this one.

They are those of github.com/operator-framework/api (pkg/validation), written anew: these need no Go. A long test runs
the validators themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from deploy.release.version import Version

__all__ = ["violations"]

_CAPABILITIES = {"Basic Install", "Seamless Upgrades", "Full Lifecycle", "Deep Insights", "Auto Pilot"}
_CATEGORIES = {
    "AI/Machine Learning",
    "Application Runtime",
    "Big Data",
    "Cloud Provider",
    "Database",
    "Developer Tools",
    "Integration & Delivery",
    "Logging & Tracing",
    "Monitoring",
    "Networking",
    "OpenShift Optional",
    "Security",
    "Storage",
    "Streaming & Messaging",
}
_MEDIA_TYPES = {"image/gif", "image/jpeg", "image/png", "image/svg+xml"}
_KINDS = {"ClusterServiceVersion", "CustomResourceDefinition", "ClusterRole", "Service"}
"""Kinds in this bundle that OLM installs; it rejects, for example, a Namespace or a Deployment."""

Manifest = Mapping[str, Any]
_Api = tuple[str, str, str]


def violations(files: Mapping[str, str], version: Version) -> list[str]:
    """Return what is wrong with a bundle; nothing if it is valid.

    Args:
        files: the texts of the bundle's files by their path.
        version: the version that it has to be of.
    """
    manifests = [yaml.safe_load(text) for path, text in files.items() if path.startswith("manifests/")]
    service_versions = [manifest for manifest in manifests if manifest["kind"] == "ClusterServiceVersion"]
    if len(service_versions) != 1:
        return [f"{len(service_versions)} ClusterServiceVersions, not one"]
    (service_version,) = service_versions
    crds = [manifest for manifest in manifests if manifest["kind"] == "CustomResourceDefinition"]
    return [
        *_identity(service_version, version),
        *_apis(service_version, crds),
        *_presentation(service_version),
        *_installation(service_version),
        *_objects(manifests),
        *_metadata(files),
    ]


def _identity(service_version: Manifest, version: Version) -> Iterator[str]:
    name = service_version["metadata"]["name"]
    if not re.fullmatch(rf"[a-z0-9-]+\.v{re.escape(str(version))}", name):
        yield f"metadata.name is {name}, not PACKAGE.v{version}"
    if service_version["spec"]["version"] != str(version):
        yield f"spec.version is {service_version['spec']['version']}, not {version}"


def _apis(service_version: Manifest, crds: list[Manifest]) -> Iterator[str]:
    owned_apis = {_owned_api(entry) for entry in service_version["spec"]["customresourcedefinitions"]["owned"]}
    defined_apis = {_defined_api(crd, version["name"]) for crd in crds for version in crd["spec"]["versions"]}
    examples = json.loads(service_version["metadata"]["annotations"]["alm-examples"])
    example_apis = {(*example["apiVersion"].split("/"), example["kind"]) for example in examples}
    for title, difference in (
        ("owned without a CRD", owned_apis - defined_apis),
        ("CRDs that are not owned", defined_apis - owned_apis),
        ("examples that are not owned", example_apis - owned_apis),
        ("owned without an example", owned_apis - example_apis),
    ):
        if difference:
            yield f"{title}: {sorted(difference)}"


def _owned_api(entry: Manifest) -> _Api:
    return entry["name"].split(".", 1)[1], entry["version"], entry["kind"]


def _defined_api(crd: Manifest, version: str) -> _Api:
    return crd["spec"]["group"], version, crd["spec"]["names"]["kind"]


def _presentation(service_version: Manifest) -> Iterator[str]:
    annotations, spec = service_version["metadata"]["annotations"], service_version["spec"]
    if annotations["capabilities"] not in _CAPABILITIES:
        yield f"capabilities {annotations['capabilities']} is not a level of OperatorHub"
    if unknown_categories := set(re.split(r",\s*", annotations["categories"])) - _CATEGORIES:
        yield f"categories {sorted(unknown_categories)} are not those of OperatorHub"
    icons = spec.get("icon", [])
    if len(icons) != 1 or not icons[0].get("base64data") or icons[0].get("mediatype") not in _MEDIA_TYPES:
        yield "spec.icon is not one picture with base64data and mediatype"
    if not spec["provider"].get("name"):
        yield "spec.provider has no name"
    if any(not person.get("name") or "@" not in person.get("email", "") for person in spec["maintainers"]):
        yield "a maintainer has no name or no email"
    if any(not link.get("name") or not link.get("url", "").startswith("https://") for link in spec["links"]):
        yield "a link has no name or no https address"


def _installation(service_version: Manifest) -> Iterator[str]:
    spec = service_version["spec"]
    modes = [mode["type"] for mode in spec["installModes"]]
    if len(modes) != len(set(modes)) or not any(mode["supported"] for mode in spec["installModes"]):
        yield "spec.installModes has duplicates, or supports none"
    install = spec["install"]["spec"]
    if len(install["deployments"]) != 1:
        yield f"{len(install['deployments'])} deployments, not one"
    for deployment in install["deployments"]:
        pod = deployment["spec"]["template"]["spec"]
        accounts = {
            entry["serviceAccountName"] for part in ("permissions", "clusterPermissions") for entry in install[part]
        }
        if accounts != {pod["serviceAccountName"]}:
            yield f"permissions are for {sorted(accounts)}, the pod has {pod['serviceAccountName']}"
        for container in pod["containers"]:
            if not {"cpu", "memory"} <= container.get("resources", {}).get("requests", {}).keys():
                yield f"container {container['name']} requests no cpu or no memory"


def _objects(manifests: list[Manifest]) -> Iterator[str]:
    for manifest in manifests:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        if manifest["kind"] not in _KINDS:
            yield f"{name} is of a kind that this bundle must not have"
        if "namespace" in manifest["metadata"]:
            yield f"{name} has a namespace, but OLM decides on it"


def _metadata(files: Mapping[str, str]) -> Iterator[str]:
    annotations = yaml.safe_load(files["metadata/annotations.yaml"])["annotations"]
    labels = dict(re.findall(r"^LABEL (\S+)=(\S+)$", files["bundle.Dockerfile"], re.MULTILINE))
    if labels != annotations:
        yield "bundle.Dockerfile and metadata/annotations.yaml differ"
    prefix = "operators.operatorframework.io.bundle"
    if annotations[f"{prefix}.channel.default.v1"] not in annotations[f"{prefix}.channels.v1"].split(","):
        yield "the default channel is none of the channels"
