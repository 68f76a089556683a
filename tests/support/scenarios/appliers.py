"""The tools that apply manifests: each has its own way to patch, to track its objects, and to prune.

Sources: kubectl (https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/,
https://kubernetes.io/docs/reference/using-api/server-side-apply/), Argo CD
(https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/) and Flux
(https://fluxcd.io/flux/components/kustomize/kustomizations/).
"""

from __future__ import annotations

import copy
import json
import uuid
from typing import Protocol

from sandbox.cluster.client import KubernetesClient, Manifest
from tests.support.scenarios.scenario import ORGANIZATION

__all__ = ["APPLIERS", "Applier", "ArgoCd", "Flux", "KubectlApply", "KubectlServerSideApply"]

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_TRACKING_ID = "argocd.argoproj.io/tracking-id"
_FLUX = "kustomize.toolkit.fluxcd.io"


class Applier(Protocol):
    """Applies the manifests of a git repository to a cluster."""

    def __init__(self, kube: KubernetesClient) -> None:
        """Use this client."""
        ...

    def sync(self, *manifests: Manifest) -> None:
        """Apply these manifests and, where the tool prunes, delete the objects that are no longer among them."""
        ...


class KubectlApply:
    """`kubectl apply`: a three-way merge patch with the last applied manifest from an annotation. Never prunes."""

    def __init__(self, kube: KubernetesClient) -> None:
        self.kube = kube

    def sync(self, *manifests: Manifest) -> None:
        """Apply each."""
        for manifest in manifests:
            self._apply(manifest)

    def _apply(self, manifest: Manifest) -> None:
        desired = copy.deepcopy(manifest)
        annotations = desired["metadata"].setdefault("annotations", {})
        annotations[_LAST_APPLIED] = json.dumps(manifest, separators=(",", ":"), sort_keys=True)
        metadata = manifest["metadata"]
        live = self.kube.get(manifest["kind"], metadata["name"], metadata["namespace"])
        if live is None:
            self.kube.create(desired)
            return
        last = json.loads(live["metadata"].get("annotations", {}).get(_LAST_APPLIED, "{}"))
        patch = _three_way(last, desired, live)
        if patch:
            self.kube.patch(manifest["kind"], metadata["name"], patch, metadata["namespace"])


class KubectlServerSideApply:
    """`kubectl apply --server-side`, which fails where another manager owns a field with another value."""

    def __init__(self, kube: KubernetesClient) -> None:
        self.kube = kube

    def sync(self, *manifests: Manifest) -> None:
        """Apply each."""
        for manifest in manifests:
            _server_side_apply(self.kube, manifest, manager="kubectl", force=False)


class ArgoCd:
    """Argo CD with its default tracking: `kubectl apply`, an annotation on each object, and pruning.

    It never prunes an object that has owner references.
    """

    def __init__(self, kube: KubernetesClient) -> None:
        self.kube = kube
        # One application for each test: it prunes in all namespaces, those of other tests included.
        self.application = f"security-{uuid.uuid4().hex[:8]}"
        self._kubectl = KubectlApply(kube)

    def sync(self, *manifests: Manifest) -> None:
        """Apply each, then delete the tracked objects that are not among them."""
        tracked = [self._tracked(manifest) for manifest in manifests]
        self._kubectl.sync(*tracked)
        desired_ids = {manifest["metadata"]["annotations"][_TRACKING_ID] for manifest in tracked}
        for organization in self.kube.list_all(ORGANIZATION):
            metadata = organization["metadata"]
            mark = metadata.get("annotations", {}).get(_TRACKING_ID, "")
            is_tracked = mark.startswith(f"{self.application}:") and mark == _tracking_id(
                self.application, organization
            )
            if is_tracked and mark not in desired_ids and not metadata.get("ownerReferences"):
                self.kube.delete(ORGANIZATION, metadata["name"], metadata["namespace"], propagation="Foreground")

    def _tracked(self, manifest: Manifest) -> Manifest:
        tracked = copy.deepcopy(manifest)
        tracked["metadata"].setdefault("annotations", {})[_TRACKING_ID] = _tracking_id(self.application, manifest)
        return tracked


class Flux:
    """Flux' kustomize-controller: server-side apply with force, labels, and an inventory."""

    def __init__(self, kube: KubernetesClient) -> None:
        self.kube = kube
        self._inventory: set[tuple[str, str, str]] = set()

    def sync(self, *manifests: Manifest) -> None:
        """Apply each, then delete the objects of the inventory that are not among them."""
        applied = set()
        for manifest in manifests:
            labelled = copy.deepcopy(manifest)
            labels = {f"{_FLUX}/name": "security", f"{_FLUX}/namespace": "flux-system"}
            labelled["metadata"].setdefault("labels", {}).update(labels)
            _server_side_apply(self.kube, labelled, manager="kustomize-controller", force=True)
            applied.add((manifest["kind"], manifest["metadata"]["name"], manifest["metadata"]["namespace"]))
        for pruned in self._inventory - applied:
            self.kube.delete(*pruned)
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


def _three_way(last: Manifest, desired: Manifest, live: Manifest) -> Manifest:
    """Return kubectl's merge patch: the differences from the live object, and null for removed fields."""
    patch: Manifest = {key: None for key in last if key not in desired and key in live}
    for key, value in desired.items():
        old = live.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            inner = _three_way(last.get(key) or {}, value, old)
            if inner:
                patch[key] = inner
        elif old != value:
            patch[key] = value
    return patch
