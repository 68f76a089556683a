"""The clusters of the tests: one that is shared by all processes of a run, or one of the process's own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from sandbox.cluster import Cluster
from sandbox.cluster.components import Layout
from sandbox.cluster.credentials import Credentials
from sandbox.stack import install_crds, prepare_namespace

__all__ = ["SHARED_CLUSTER", "publish_cluster", "shared_cluster", "start_prepared_cluster"]

SHARED_CLUSTER: Final = "DEFENDER_DEVOPS_TEST_CLUSTER"
"""Variable with the path of the file that describes the shared cluster; absent where each process starts its own."""

_START_TIMEOUT: Final = 180.0
_POLL_INTERVAL: Final = 0.1
_TOKENS: Final = {"admin_token", "controller_manager_token"}


@contextmanager
def start_prepared_cluster(folder: Path) -> Iterator[Cluster]:
    """Start a cluster with the project's CRDs and a namespace for the operator."""
    with Cluster.start(folder) as cluster:
        with cluster.client() as client:
            install_crds(client)
            prepare_namespace(client)
        yield cluster


@contextmanager
def shared_cluster(folder: Path) -> Iterator[Cluster]:
    """Attach to the cluster that SHARED_CLUSTER names, or start one in `folder` where it is not set."""
    if description := os.environ.get(SHARED_CLUSTER):
        yield _attach(Path(description))
        return
    with start_prepared_cluster(folder) as cluster:
        yield cluster


def publish_cluster(cluster: Cluster, description: Path) -> None:
    """Write the file with which other processes attach to a cluster; it appears whole or not at all."""
    values = {"layout": asdict(cluster._layout), "credentials": asdict(cluster._credentials)}
    partial = description.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text(json.dumps(values, default=str), encoding="utf-8")
    partial.rename(description)


def _attach(description: Path) -> Cluster:
    """Return the published cluster; it has no processes here, so stopping it does nothing.

    The cluster may still be starting, as it starts while the tests are collected.

    Raises:
        TimeoutError: nobody published a cluster.
    """
    deadline = time.monotonic() + _START_TIMEOUT
    while not description.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no cluster was published in {description} within {_START_TIMEOUT:.0f} s")
        time.sleep(_POLL_INTERVAL)
    values = json.loads(description.read_text(encoding="utf-8"))
    layout: dict[str, Any] = {
        name: Path(value) if name == "folder" else value for name, value in values["layout"].items()
    }
    credentials: dict[str, Any] = {
        name: value if name in _TOKENS else Path(value) for name, value in values["credentials"].items()
    }
    return Cluster(Layout(**layout), Credentials(**credentials), audit_policy=None)
