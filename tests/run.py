"""`make test`: all tests but the long ones, in sessions of pytest that run at the same time on one cluster.

`make unit` runs the sessions among them that need no cluster.

Tests of the whole operator wait for most of their time (for an interval, a requeue, a deletion), so more of them run at
once than there are processors. Tests that compute fill the gaps at a lower priority. Each session collects its own
files only: with all files in each worker, collection alone took a minute of processor time. The unit tests are two
sessions without workers, which would each collect all files and send ten thousand results to a controller.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from tests.support.scenarios.clusters import SHARED_CLUSTER, publish_cluster, start_prepared_cluster

_SLOWEST: Final = 10
_LOWER_PRIORITY: Final = 10
_GARBAGE_PERCENT: Final = "400"
_OUTCOMES: Final = ("failure", "error", "skipped")
_POLL_INTERVAL: Final = 0.2
_INTERRUPTED: Final = 130
_SUMMARY_HEADING: Final = "short test summary info"


@dataclass(frozen=True)
class Session:
    """One process of pytest with its workers.

    Attributes:
        name: heading of its output.
        paths: the files and folders that it collects.
        workers: tests at the same time; 0 runs them in the session's own process.
        ignore: files and folders below `paths` that another session runs.
        shares_cluster: False starts a cluster of its own.
        fills_gaps: whether it computes only, and runs at a lower priority beside sessions that wait.
    """

    name: str
    paths: tuple[str, ...]
    workers: int
    ignore: tuple[str, ...] = ()
    shares_cluster: bool = True
    fills_gaps: bool = False

    def command(self, report: Path) -> list[str]:
        """Return the command line that runs it and writes its JUnit report."""
        distribution = ["--numprocesses", str(self.workers), "--dist", "loadfile", "--no-loadscope-reorder"]
        return [
            sys.executable,
            "-m",
            "pytest",
            "-m",
            "not long",
            *(distribution if self.workers else []),
            *(f"--ignore={path}" for path in self.ignore),
            f"--junit-xml={report}",
            *self.paths,
        ]


_CONNECTOR: Final = "tests/system/connector"
_SIGN_IN: Final = "tests/system/signin"
# The command line runs in the process of its test and trusts the test's cloud: aiohttp reads SSL_CERT_FILE when it is
# imported, so no other test may have imported it. It lists the connectors of all namespaces: its cluster is its own.
_COMMAND_LINE: Final = "tests/system/test_cli.py"
_UNIT: Final = ("tests/unit", "tests/sandbox/cloud")
_FIRST_HALF: Final = ("tests/unit/deploy", "tests/unit/docs", "tests/unit/reconcile")
_FAULTS: Final = "tests/faults"

UNIT_SESSIONS: Final = (
    Session("unit: deploy, docs, reconcile", _FIRST_HALF, 0, shares_cluster=False, fills_gaps=True),
    Session("unit: the others", _UNIT, 0, ignore=_FIRST_HALF, shares_cluster=False, fills_gaps=True),
)
"""Tests that need no API server, in two halves that take about as much processor time."""

SESSIONS: Final = (
    Session("operator", (_CONNECTOR,), workers=4),
    Session("sign-in", (_SIGN_IN,), workers=2),
    Session("cluster, chart, sandbox", ("tests",), 2, ignore=(_CONNECTOR, _SIGN_IN, _FAULTS, _COMMAND_LINE, *_UNIT)),
    Session("faults", (_FAULTS,), workers=0),  # its plans run in lanes of their own
    Session("command line", (_COMMAND_LINE,), workers=0, shares_cluster=False),
    *UNIT_SESSIONS,
)
"""All tests; the folder `tests` less what other sessions run, so that a new folder is never left out."""


def main(arguments: list[str]) -> int:
    """Run all sessions, or those of the unit tests where `unit` is the argument.

    Prints the output of each session when it ends, and returns 1 if one of them failed.
    """
    sessions = UNIT_SESSIONS if arguments == ["unit"] else SESSIONS
    begin = time.monotonic()
    # API servers, helm and kubectl then collect garbage less often: a fifth less processor time for more memory.
    os.environ.setdefault("GOGC", _GARBAGE_PERCENT)
    with tempfile.TemporaryDirectory(prefix="defender-devops-tests-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        niceness = 0 if sessions is UNIT_SESSIONS else _LOWER_PRIORITY
        running = {session: stack.enter_context(_start(session, folder, niceness)) for session in sessions}
        if any(session.shares_cluster for session in sessions):
            # The sessions collect while the cluster starts.
            cluster = stack.enter_context(start_prepared_cluster(folder / "cluster"))
            publish_cluster(cluster, _description(folder))
        failed = False
        while running:
            time.sleep(_POLL_INTERVAL)
            for session, process in list(running.items()):
                if process.poll() is not None:
                    del running[session]
                    failed |= process.returncode != 0
                    _print_output(session, _output(folder, session).read_text(errors="replace"), process.returncode)
        _print_summary([_report(folder, session) for session in sessions], time.monotonic() - begin)
    return int(failed)


def _print_output(session: Session, output: str, status: int) -> None:
    """Print the output of a session that failed, and of one that passed the skipped tests and the counts."""
    if status == 0:
        _, heading, summary = output.rpartition(_SUMMARY_HEADING)
        output = summary.lstrip("= \n") if heading else output.rstrip().rpartition("\n")[2] + "\n"
    print(f"==> {session.name}\n{output}", flush=True)


@contextlib.contextmanager
def _start(session: Session, folder: Path, niceness: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = dict(os.environ)
    if session.shares_cluster:
        environment[SHARED_CLUSTER] = str(_description(folder))
    with _output(folder, session).open("wb") as output:
        process = subprocess.Popen(
            session.command(_report(folder, session)), stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    if session.fills_gaps:
        os.setpriority(os.PRIO_PROCESS, process.pid, niceness)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _description(folder: Path) -> Path:
    return folder / "cluster.json"


def _output(folder: Path, session: Session) -> Path:
    return folder / f"{SESSIONS.index(session)}.out"


def _report(folder: Path, session: Session) -> Path:
    return folder / f"{SESSIONS.index(session)}.xml"


def _print_summary(reports: list[Path], seconds: float) -> None:
    """Print the slowest tests of all sessions, and last a line as pytest's own with the counts and the whole time."""
    counts: Counter[str] = Counter()
    durations: list[tuple[float, str]] = []
    for report in reports:
        if not report.exists():  # pytest ended before it ran a test; its output says why
            counts["error"] += 1
            continue
        for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by our own pytest
            outcome = next((name for name in _OUTCOMES if case.find(name) is not None), "passed")
            counts[outcome] += 1
            durations.append((float(case.get("time", "0")), f"{case.get('classname')}::{case.get('name')}"))
    print(f"the {_SLOWEST} slowest tests, in seconds with their fixtures:")
    for duration, test in sorted(durations, reverse=True)[:_SLOWEST]:
        print(f"{duration:7.1f} {test}")
    labels = {"failure": "failed", "error": "errors", "passed": "passed", "skipped": "skipped"}
    outcomes = ", ".join(f"{counts[name]} {label}" for name, label in labels.items() if counts[name])
    print(f"============ {outcomes} in {seconds:.2f}s ({int(seconds // 60)} min {seconds % 60:.0f} s) ============")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # the sessions got the same signal, and have ended
        sys.exit(_INTERRUPTED)
