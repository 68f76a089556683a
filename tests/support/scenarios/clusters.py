"""Clusters for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.cluster import Cluster
from sandbox.stack import install_crds, prepare_namespace

__all__ = ["start_prepared_cluster"]


@contextmanager
def start_prepared_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster with our CRDs and a namespace for the operator."""
    with Cluster.start(folder) as cluster:
        with cluster.client() as client:
            install_crds(client)
            prepare_namespace(client)
        yield cluster
