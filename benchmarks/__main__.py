"""`python -m benchmarks`: the operator beside a plain kopf operator, as a table, and as JSON for later.

Runs are interleaved, so that what else the machine does meets both, and each figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.load import NotReached
from benchmarks.machine import machine
from benchmarks.stand import SUBJECTS, Subject
from benchmarks.workloads import (
    Figures,
    Workload,
    converge,
    converge_within_limits,
    latency,
    posture,
    restart,
    scale,
    steady,
)


@dataclass(frozen=True)
class Benchmark:
    """One workload and what we want of it.

    Attributes:
        connectors: how many by default.
        subjects: who takes part; the yardstick only where it does the same work.
        goals: the most that a figure of the operator may be.
        ratios: the most that a figure may be, as a multiple of the yardstick's.
    """

    workload: Workload
    connectors: int
    subjects: tuple[Subject, ...]
    goals: Figures
    ratios: Figures


BENCHMARKS = {
    "converge": Benchmark(
        converge,
        1000,
        SUBJECTS,
        {"Kubernetes writes": 13, "ARM requests": 8, "events written later": 0},
        {"wall time, s": 1.1, "CPU, ms": 1},
    ),
    "limits": Benchmark(converge_within_limits, 1000, ("operator",), {"wall time to bound": 1.15}, {}),
    "steady": Benchmark(
        steady,
        1000,
        ("operator",),
        {
            "MB, no connector": 110,
            "MB, all connectors": 220,
            "CPU at rest, %": 1,
            "Kubernetes writes at rest": 0,
            "ARM requests for a drift": 9,
            "drift put back after, s": 330,
        },
        {},
    ),
    "posture": Benchmark(
        posture,
        1000,
        ("operator",),
        {
            "Resource Graph requests in a round": 10,
            "MB, all recommendations": 230,
            "CPU at rest, %": 1,
            "Kubernetes writes at rest": 0,
        },
        {},
    ),
    "restart": Benchmark(
        restart,
        1000,
        ("operator",),
        {
            **{f"ARM requests ({signal})": 20 for signal in ("SIGTERM", "SIGKILL")},
            **{f"Kubernetes writes ({signal})": 0 for signal in ("SIGTERM", "SIGKILL")},
            **{f"memory to that before ({signal})": 1 for signal in ("SIGTERM", "SIGKILL")},
            "checks in the busiest minute": 150,
        },
        {},
    ),
    "scale": Benchmark(
        scale,
        5000,
        ("operator",),
        {
            f"growth of {name}": 1.1
            for name in (
                "wall time, s",
                "CPU, ms",
                "MB more than empty",
                "CPU at rest, %",
                "start to all known, s",
                "CPU of a start, s",
            )
        },
        {},
    ),
    "latency": Benchmark(latency, 100, SUBJECTS, {}, {"p95, ms": 1}),
}

Rounds = dict[Subject, list[Figures]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is asked for and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each (default: 3)")
    parser.add_argument("--connectors", type=int, metavar="N", help="how many (default: each benchmark's own number)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go (default: benchmark.json)")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - BENCHMARKS.keys():
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    console = Console(width=None if sys.stdout.isatty() else 100)
    report: dict[str, object] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine()}
    console.print(report["machine"])
    for name in options.names or BENCHMARKS:
        benchmark = BENCHMARKS[name]
        connectors = options.connectors or benchmark.connectors
        try:
            rounds = asyncio.run(_rounds(benchmark, connectors, options.rounds))
        except NotReached as error:
            raise SystemExit(f"{name}: {error}") from None
        console.print(_table(f"{name}: {connectors} connectors, median of {options.rounds}", benchmark, rounds))
        report[name] = {"connectors": connectors, "rounds": rounds}
    file = options.json or Path("benchmark.json")
    file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {file}")


async def _rounds(benchmark: Benchmark, connectors: int, number: int) -> Rounds:
    rounds: Rounds = {subject: [] for subject in benchmark.subjects}
    for _ in range(number):
        for subject in benchmark.subjects:
            rounds[subject].append(await benchmark.workload(subject, connectors))
    return rounds


def _table(title: str, benchmark: Benchmark, rounds: Rounds) -> Table:
    table = Table("figure", *benchmark.subjects, "goal", "", title=title, title_justify="left")
    medians = {subject: _medians(figures) for subject, figures in rounds.items()}
    for name, value in medians["operator"].items():
        figures = [f"{medians[subject][name]:,.2f}" for subject in benchmark.subjects]
        goal, met = _goal(benchmark, name, value, medians.get("yardstick", {}).get(name))
        table.add_row(name, *figures, goal, met)
    return table


def _goal(benchmark: Benchmark, name: str, value: float, yardstick: float | None) -> tuple[str, str]:
    """What was wanted, and whether it was met."""
    if name in benchmark.goals:
        most = benchmark.goals[name]
        return f"≤ {most:g}", "met" if value <= most else "missed"
    if name in benchmark.ratios and yardstick:
        ratio, most = value / yardstick, benchmark.ratios[name]
        return f"ratio ≤ {most:g}", f"{ratio:.2f} {'met' if ratio <= most else 'missed'}"
    return "", ""


def _medians(rounds: Iterable[Figures]) -> Figures:
    every = list(rounds)
    return {name: statistics.median(round_[name] for round_ in every) for name in every[0]}


if __name__ == "__main__":
    main()
