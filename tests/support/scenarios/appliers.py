"""Those who put manifests into a cluster, each with its own way to patch, to mark what is its own, and to prune.

What they do is written down at kubectl (https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/,
https://kubernetes.io/docs/reference/using-api/server-side-apply/), Argo CD
(https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/) and Flux
(https://fluxcd.io/flux/components/kustomize/kustomizations/).
"""

from __future__ import annotations

import copy
import json
from typing import Protocol

from sandbox.cluster.client import KubernetesClient, Manifest
from tests.support.scenarios.scenario import ORGANIZATION

__all__ = ["APPLIERS", "Applier", "ArgoCd", "Flux", "KubectlApply", "KubectlServerSideApply"]

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_TRACKING_ID = "argocd.argoproj.io/tracking-id"
_FLUX = "kustomize.toolkit.fluxcd.io"


class Applier(Protocol):
    """Puts the manifests of a git repository into a cluster."""

    def __init__(self, kube: KubernetesClient) -> None:
        """Work through this client."""
        ...

    def sync(self, *manifests: Manifest) -> None:
        """Make the cluster agree with these, and prune what they no longer hold, where the tool does that."""
        ...


class KubectlApply:
    """`kubectl apply`: a three-way merge patch with what was applied last, kept in an annotation. Prunes nothing."""

    def __init__(self, kube: KubernetesClient) -> None:
        self.kube = kube

    def sync(self, *manifests: Manifest) -> None:
        """Apply each."""
        for manifest in manifests:
            self._apply(manifest)

    def _apply(self, manifest: Manifest) -> None:
        wanted = copy.deepcopy(manifest)
        annotations = wanted["metadata"].setdefault("annotations", {})
        annotations[_LAST_APPLIED] = json.dumps(manifest, separators=(",", ":"), sort_keys=True)
        metadata = manifest["metadata"]
        live = self.kube.get(manifest["kind"], metadata["name"], metadata["namespace"])
        if live is None:
            self.kube.create(wanted)
            return
        last = json.loads(live["metadata"].get("annotations", {}).get(_LAST_APPLIED, "{}"))
        patch = _three_way(last, wanted, live)
        if patch:
            self.kube.patch(manifest["kind"], metadata["name"], patch, metadata["namespace"])


class KubectlServerSideApply:
    """`kubectl apply --server-side`, which refuses to take fields that another manager owns with another value."""

    def __init__(self, kube: KubernetesClient) -> None:
        self.kube = kube

    def sync(self, *manifests: Manifest) -> None:
        """Apply each."""
        for manifest in manifests:
            _server_side_apply(self.kube, manifest, manager="kubectl", force=False)


class ArgoCd:
    """Argo CD with its default tracking: `kubectl apply`, an annotation on each object, and pruning.

    It never prunes an object that has owners: such a one is for its owner to delete.
    """

    application = "security"

    def __init__(self, kube: KubernetesClient) -> None:
        self.kube = kube
        self._kubectl = KubectlApply(kube)

    def sync(self, *manifests: Manifest) -> None:
        """Apply each, then delete what carries the mark and is not among them."""
        tracked = [self._tracked(manifest) for manifest in manifests]
        self._kubectl.sync(*tracked)
        kept = {each["metadata"]["annotations"][_TRACKING_ID] for each in tracked}
        for each in self.kube.list_all(ORGANIZATION):
            metadata = each["metadata"]
            mark = metadata.get("annotations", {}).get(_TRACKING_ID, "")
            ours = mark.startswith(f"{self.application}:") and mark == _tracking_id(self.application, each)
            if ours and mark not in kept and not metadata.get("ownerReferences"):
                self.kube.delete(ORGANIZATION, metadata["name"], metadata["namespace"], propagation="Foreground")

    def _tracked(self, manifest: Manifest) -> Manifest:
        tracked = copy.deepcopy(manifest)
        tracked["metadata"].setdefault("annotations", {})[_TRACKING_ID] = _tracking_id(self.application, manifest)
        return tracked


class Flux:
    """Flux' kustomize-controller: server-side apply that takes fields from others, labels, and an inventory."""

    def __init__(self, kube: KubernetesClient) -> None:
        self.kube = kube
        self._inventory: set[tuple[str, str, str]] = set()

    def sync(self, *manifests: Manifest) -> None:
        """Apply each, then delete what was applied before and is not among them."""
        applied = set()
        for manifest in manifests:
            labelled = copy.deepcopy(manifest)
            labels = {f"{_FLUX}/name": "security", f"{_FLUX}/namespace": "flux-system"}
            labelled["metadata"].setdefault("labels", {}).update(labels)
            _server_side_apply(self.kube, labelled, manager="kustomize-controller", force=True)
            applied.add((manifest["kind"], manifest["metadata"]["name"], manifest["metadata"]["namespace"]))
        for gone in self._inventory - applied:
            self.kube.delete(*gone)
        self._inventory = applied


APPLIERS: tuple[type[Applier], ...] = (KubectlApply, KubectlServerSideApply, ArgoCd, Flux)


def _tracking_id(application: str, manifest: Manifest) -> str:
    group, metadata = manifest["apiVersion"].partition("/")[0], manifest["metadata"]
    return f"{application}:{group}/{manifest['kind']}:{metadata['namespace']}/{metadata['name']}"


def _server_side_apply(kube: KubernetesClient, manifest: Manifest, *, manager: str, force: bool) -> None:
    metadata = manifest["metadata"]
    kube.request(
        "PATCH",
        f"/apis/{manifest['apiVersion']}/namespaces/{metadata['namespace']}/{manifest['kind'].lower()}s/{metadata['name']}",
        body=manifest,
        content_type="application/apply-patch+yaml",
        fieldManager=manager,
        force=str(force).lower(),
    )


def _three_way(last: Manifest, wanted: Manifest, live: Manifest) -> Manifest:
    """The merge patch that kubectl sends: what differs from the live object, and null for what was taken out."""
    patch: Manifest = {key: None for key in last if key not in wanted and key in live}
    for key, value in wanted.items():
        old = live.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            inner = _three_way(last.get(key) or {}, value, old)
            if inner:
                patch[key] = inner
        elif old != value:
            patch[key] = value
    return patch
