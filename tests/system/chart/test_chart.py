"""A real API server accepts every object that the chart renders, and every pod as restricted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.cluster import KubernetesClient
from sandbox.cluster.client import ApiError
from tests.support.chart.helm import VALUES, Manifest, render

RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}

NOT_SERVED = {
    "HTTPRoute": ("gateway.networking.k8s.io", "v1", "httproutes"),
    "ServiceMonitor": ("monitoring.coreos.com", "v1", "servicemonitors"),
    "PodMonitor": ("monitoring.coreos.com", "v1", "podmonitors"),
    "PrometheusRule": ("monitoring.coreos.com", "v1", "prometheusrules"),
}
"""Kinds of other projects, by name and scope only; their schemas are not repeated here."""


@pytest.fixture(scope="module")
def release_namespace(kube: KubernetesClient) -> Iterator[str]:
    """A namespace that enforces the restricted Pod Security Standard."""
    created = kube.create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "release-", "labels": RESTRICTED}}
    )
    for name in ("security", "platform", "monitoring"):
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    name: str = created["metadata"]["name"]
    yield name
    kube.delete("Namespace", name)


@pytest.fixture(scope="module")
def optional_kinds(kube: KubernetesClient) -> None:
    """CRDs of the other projects' kinds that the chart renders, without their schemas."""
    kube.apply_all(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": f"{plural}.{group}",
                "annotations": {"api-approved.kubernetes.io": "unapproved, a stand-in of tests"},
            },
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural},
                "versions": [
                    {
                        "name": version,
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                ],
            },
        }
        for kind, (group, version, plural) in NOT_SERVED.items()
    )


def pod_of(deployment: Manifest) -> Manifest:
    """The pod that the Deployment would create: Pod Security admission enforces pods only."""
    template = deployment["spec"]["template"]
    metadata = {**template["metadata"], "name": "probe", "namespace": deployment["metadata"]["namespace"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


@pytest.mark.usefixtures("optional_kinds")
@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_api_server_accepts_every_object_as_it_is(kube: KubernetesClient, release_namespace: str, values: Path) -> None:
    for manifest in render("--values", values, namespace=release_namespace):
        if manifest["kind"] not in {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}:
            manifest["metadata"].setdefault("namespace", release_namespace)
        applied = kube.apply(manifest, manager="helm", dry_run=True)
        assert dropped_paths(manifest, applied) == [], manifest["metadata"]["name"]


def dropped_paths(expected: object, actual: object, path: str = "") -> list[str]:
    """Paths that the API server dropped: it does not reject a misspelt field."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        inner = [dropped_paths(value, actual[key], f"{path}.{key}") for key, value in expected.items() if key in actual]
        return [f"{path}.{key}" for key in expected if key not in actual] + [name for names in inner for name in names]
    if isinstance(expected, list) and isinstance(actual, list):
        return [
            name
            for i, (a, b) in enumerate(zip(expected, actual, strict=True))
            for name in dropped_paths(a, b, f"{path}[{i}]")
        ]
    return []


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_pod_meets_the_restricted_pod_security_standard(
    kube: KubernetesClient, release_namespace: str, values: Path
) -> None:
    deployment = next(m for m in render("--values", values, namespace=release_namespace) if m["kind"] == "Deployment")
    pod = pod_of(deployment)
    # Admission requires the service account and the priority class to exist; in a dry run they may not.
    pod["spec"] = {**pod["spec"], "serviceAccountName": "default"}
    pod["spec"].pop("priorityClassName", None)
    kube.apply(pod, manager="kubelet", dry_run=True)


def test_a_pod_that_is_not_restricted_is_rejected(kube: KubernetesClient, release_namespace: str) -> None:
    lax = render("--set", "securityContext.allowPrivilegeEscalation=true", namespace=release_namespace)
    pod = pod_of(next(m for m in lax if m["kind"] == "Deployment"))
    pod["spec"]["serviceAccountName"] = "default"
    with pytest.raises(ApiError, match="violates PodSecurity"):
        kube.apply(pod, manager="kubelet", dry_run=True)
