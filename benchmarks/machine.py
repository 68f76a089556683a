"""What a benchmark ran on: figures of another machine are not to be laid beside these."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil

__all__ = ["machine"]


def machine() -> dict[str, str | int | float]:
    """Processors, memory, load and versions."""
    return {
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "memory, GB": round(psutil.virtual_memory().total / 1e9, 1),
        "load before": round(os.getloadavg()[0], 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "kopf": version("kopf"),
        "kubernetes": version("kubernetes"),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
