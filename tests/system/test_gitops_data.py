"""The test data of Argo CD's checks are objects that the API server would hold: it accepts each spec and status."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sandbox.cluster import KubernetesClient
from tests.support.chart.helm import ROOT

DATA = sorted((ROOT / "deploy/gitops/argocd/resource_customizations").rglob("testdata/*.yaml"))


@pytest.mark.parametrize("path", DATA, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_data_fits_the_custom_resource_definition(kube: KubernetesClient, namespace: str, path: Path) -> None:
    wanted = yaml.safe_load(path.read_text())
    metadata = {"name": wanted["metadata"]["name"], "namespace": namespace}
    created = kube.apply({**wanted, "metadata": metadata})
    # Nothing is left out that the definition does not know, and the empty status of a new object is the default.
    assert created["spec"].items() >= wanted["spec"].items()
    if wanted["status"]["observedGeneration"] == -1:
        assert created["status"] == wanted["status"]
        return
    kept = kube.patch(wanted["kind"], metadata["name"], {"status": wanted["status"]}, namespace, subresource="status")
    assert kept["status"] == wanted["status"]
