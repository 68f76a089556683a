"""The real helm on the chart: what tests of the chart share."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sandbox.cluster import binary

__all__ = ["CHART", "NAMESPACE", "RELEASE", "ROOT", "VALUES", "HelmRefused", "Manifest", "helm", "render"]

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy/helm/defender-devops-operator"
VALUES = sorted((ROOT / "tests/data/chart/values").glob("*.yaml"))
"""Values files of the golden renders; the system tests send the same to a real API server."""

RELEASE, NAMESPACE = "defender-devops-operator", "defender-devops"

OPTIONAL_APIS = tuple(f"monitoring.coreos.com/v1/{kind}" for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule"))

Manifest = dict[str, Any]


class HelmRefused(Exception):
    """Helm exited non-zero; the message is what it wrote on stderr."""


def helm(*arguments: str | Path) -> str:
    """Run helm and return its output.

    Raises:
        HelmRefused: it failed.
    """
    run = subprocess.run([binary("helm"), *arguments], capture_output=True, text=True, check=False)
    if run.returncode:
        raise HelmRefused(run.stderr)
    return run.stdout


@cache
def _render_text(
    *arguments: str | Path, release: str = RELEASE, namespace: str = NAMESPACE, apis: tuple[str, ...] = OPTIONAL_APIS
) -> str:
    """The chart's manifests as helm writes them, for a cluster that has `apis` besides Kubernetes' own."""
    api_versions = [f"--api-versions={api}" for api in apis]
    return helm("template", release, CHART, "--namespace", namespace, *api_versions, *arguments)


def render(
    *arguments: str | Path, release: str = RELEASE, namespace: str = NAMESPACE, apis: tuple[str, ...] = OPTIONAL_APIS
) -> list[Manifest]:
    """The chart's manifests, in the order of helm."""
    text = _render_text(*arguments, release=release, namespace=namespace, apis=apis)
    return [manifest for manifest in yaml.load_all(text, yaml.CSafeLoader) if manifest]
