"""Every render of the chart before a real API server: it accepts each object, and each pod as restricted."""

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
    "PrometheusRule": ("monitoring.coreos.com", "v1", "prometheusrules"),
}
"""Kinds of other projects: their schemas are not ours to repeat, only their names and scope."""


@pytest.fixture(scope="module")
def release_namespace(kube: KubernetesClient) -> Iterator[str]:
    """A namespace that admits nothing but restricted pods."""
    created = kube.create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "release-", "labels": RESTRICTED}}
    )
    for name in ("security", "platform", "monitoring"):
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    name: str = created["metadata"]["name"]
    yield name
    kube.delete("Namespace", name)


@pytest.fixture(scope="module")
def others_kinds(kube: KubernetesClient) -> None:
    """The CRDs of other projects that the chart makes objects of, without their schemas."""
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
    """The pod that the Deployment would have made: admission of a profile looks at pods only."""
    template = deployment["spec"]["template"]
    metadata = {**template["metadata"], "name": "probe", "namespace": deployment["metadata"]["namespace"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


@pytest.mark.usefixtures("others_kinds")
@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_api_server_accepts_every_object_as_it_is(kube: KubernetesClient, release_namespace: str, values: Path) -> None:
    for manifest in render("--values", values, namespace=release_namespace):
        if manifest["kind"] not in {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}:
            manifest["metadata"].setdefault("namespace", release_namespace)
        applied = kube.apply(manifest, manager="helm", dry_run=True)
        assert lost(manifest, applied) == [], manifest["metadata"]["name"]


def lost(wanted: object, got: object, path: str = "") -> list[str]:
    """Paths that the API server dropped: a misspelt field is no error to it."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        inner = [lost(value, got[key], f"{path}.{key}") for key, value in wanted.items() if key in got]
        return [f"{path}.{key}" for key in wanted if key not in got] + [name for names in inner for name in names]
    if isinstance(wanted, list) and isinstance(got, list):
        return [name for i, (a, b) in enumerate(zip(wanted, got, strict=True)) for name in lost(a, b, f"{path}[{i}]")]
    return []


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_pod_is_admitted_where_only_restricted_pods_are(
    kube: KubernetesClient, release_namespace: str, values: Path
) -> None:
    deployment = next(m for m in render("--values", values, namespace=release_namespace) if m["kind"] == "Deployment")
    pod = pod_of(deployment)
    # The account is not there in a dry run, and admission would ask for it; the class is not every cluster's.
    pod["spec"] = {**pod["spec"], "serviceAccountName": "default"}
    pod["spec"].pop("priorityClassName", None)
    kube.apply(pod, manager="kubelet", dry_run=True)


def test_pod_that_is_not_restricted_would_have_been_refused(kube: KubernetesClient, release_namespace: str) -> None:
    lax = render("--set", "securityContext.allowPrivilegeEscalation=true", namespace=release_namespace)
    pod = pod_of(next(m for m in lax if m["kind"] == "Deployment"))
    pod["spec"]["serviceAccountName"] = "default"
    with pytest.raises(ApiError, match="violates PodSecurity"):
        kube.apply(pod, manager="kubelet", dry_run=True)
