"""Lanes for tests that execute plans."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.cluster import Cluster
from tests.faults.runner import Runner, open_runner

QUICK_LANES = 4


@pytest.fixture(scope="module")
def runner(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Runner]:
    """Four lanes in the cluster of the run."""
    with open_runner(
        cluster, tmp_path_factory.mktemp("lanes"), lanes=QUICK_LANES, prefix=f"faults-{worker_id}"
    ) as lanes:
        yield lanes
