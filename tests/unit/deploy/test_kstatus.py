"""kstatus (Flux) and Argo CD's health checks agree about the test data of the health checks."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.chart.argocd import KINDS, health
from tests.support.chart.kstatus import kstatus

DATA = [path for kind in KINDS for path in sorted((kind / "testdata").iterdir())]

SAME = {
    ("InProgress", "Progressing"),
    ("Current", "Healthy"),
    ("Failed", "Degraded"),
    ("Terminating", "Progressing"),
    # kstatus has one status for every deletion, and none for a suspension.
    ("Terminating", "Degraded"),
    ("Current", "Suspended"),
}


@pytest.mark.parametrize("path", DATA, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_both_agree(path: Path) -> None:
    obj = yaml.safe_load(path.read_text())
    obj["metadata"].setdefault("namespace", "security")
    assert (*kstatus(obj), health(obj)["status"]) in SAME


def test_a_blocked_deletion_is_terminating_too() -> None:
    testdata = KINDS[0] / "testdata"
    names = ("deleting", "deletion-just-asked", "deletion-blocked")
    objects = [yaml.safe_load((testdata / f"{name}.yaml").read_text()) for name in names]
    assert kstatus(*objects) == ["Terminating"] * 3
