"""The test data of Argo CD's health checks are valid objects: the API server accepts each spec and status."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sandbox.cluster import KubernetesClient
from tests.support.chart.helm import ROOT

DATA = sorted((ROOT / "deploy/gitops/argocd/resource_customizations").rglob("testdata/*.yaml"))


@pytest.mark.parametrize("path", DATA, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_data_fits_the_custom_resource_definition(kube: KubernetesClient, namespace: str, path: Path) -> None:
    expected = yaml.safe_load(path.read_text())
    metadata = {"name": expected["metadata"]["name"], "namespace": namespace}
    created = kube.apply({**expected, "metadata": metadata})
    # The API server drops no unknown field, and the status of a new object is the default.
    assert _keep(created["spec"], expected["spec"]) == expected["spec"]
    if expected["status"]["observedGeneration"] == -1:
        assert created["status"] == expected["status"]
        return
    patched = kube.patch(
        expected["kind"], metadata["name"], {"status": expected["status"]}, namespace, subresource="status"
    )
    assert patched["status"] == expected["status"]


def _keep(actual: object, expected: object) -> object:
    """Return an object without the fields that only defaults of the CRD have added."""
    if isinstance(actual, dict) and isinstance(expected, dict):
        return {key: _keep(value, expected[key]) for key, value in actual.items() if key in expected}
    return actual
