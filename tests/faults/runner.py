"""Runs plans in several lanes at once; a violation is repeated alone and shrunk."""

from __future__ import annotations

import queue
import shlex
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sandbox.cluster import Cluster, KubernetesClient
from sandbox.stack import prepare_namespace
from tests.faults.checks.shrinking import shrink
from tests.faults.execution import Execution, Outcome, References
from tests.faults.plans.plan import Plan
from tests.faults.stack.lane import Lane
from tests.support.scenarios.scenario import ORGANIZATION

__all__ = ["Runner", "command", "open_runner", "report", "run_all"]

_LOG_TAIL: Final = 60
_GARBAGE_COLLECTION_TIMEOUT: Final = 90.0


@dataclass
class Runner:
    """Executes plans; `open_runner` creates one.

    Attributes:
        cluster: the cluster of all lanes.
        folder: where the lanes have their files.
        settings: more variables of the operators.
        references: ends that were brought about already.
    """

    cluster: Cluster
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    references: References = field(default_factory=References)
    _plans: queue.SimpleQueue[tuple[Plan, Future[Outcome]] | None] = field(default_factory=queue.SimpleQueue)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, lanes: int, prefix: str) -> None:
        """Start lanes; each opens in its own thread."""
        for number in range(lanes):
            name = f"{prefix}-{number}"
            thread = threading.Thread(target=self._work, args=(name,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def submit(self, plan: Plan) -> Future[Outcome]:
        """Execute a plan in the next free lane."""
        future: Future[Outcome] = Future()
        self._plans.put((plan, future))
        return future

    def stop(self) -> None:
        """End all lanes, after the plans that were submitted."""
        for _ in self._threads:
            self._plans.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, name: str) -> None:
        try:
            with Lane.open(self.cluster, self.folder / name, name, self.settings) as lane:
                while (item := self._plans.get()) is not None:
                    plan, future = item
                    future.set_result(self._execute(lane, plan))
        except BaseException as error:  # noqa: BLE001 - whoever waits for a plan gets it
            while (item := self._plans.get()) is not None:
                item[1].set_exception(error)

    def _execute(self, lane: Lane, plan: Plan) -> Outcome:
        """Execute a plan; after a violation the lane begins anew, so that the next plan does not suffer."""
        begin = time.monotonic()
        try:
            outcome = Execution(lane, plan, self.references).run()
        except Exception:  # noqa: BLE001 - a plan must not end the others
            failure = f"the harness failed:\n{traceback.format_exc()}"
            outcome = Outcome(plan, (failure,), time.monotonic() - begin)
        if outcome.violations:
            lane.renew()
        return outcome

    def shrink(self, outcome: Outcome) -> Outcome:
        """Repeat a plan with a violation and shrink it; return the smallest one's outcome.

        A plan that does not repeat is returned as it is, with a remark.
        """
        smallest = self.submit(outcome.plan).result()
        if not smallest.violations:
            return replace(outcome, violations=(*outcome.violations, "(it did not happen again)"))
        subject = smallest.violations[0].partition(":")[0]

        def are_violated(plans: Sequence[Plan]) -> list[bool]:
            nonlocal smallest
            futures = [self.submit(plan) for plan in plans]
            attempts = [future.result() for future in futures]
            verdicts = [any(text.startswith(subject) for text in attempt.violations) for attempt in attempts]
            for attempt, is_violated in zip(attempts, verdicts, strict=True):
                if is_violated and len(attempt.plan.steps) < len(smallest.plan.steps):
                    smallest = attempt
            return verdicts

        shrink(outcome.plan, are_violated)
        return smallest


@contextmanager
def open_runner(
    cluster: Cluster, folder: Path, *, lanes: int, prefix: str, settings: Mapping[str, str] | None = None
) -> Iterator[Runner]:
    """Start lanes in a cluster; they end with the context."""
    with cluster.client() as client:
        _wait_for_garbage_collector(client)
    with ExitStack() as running:
        runner = Runner(cluster, folder, settings or {})
        runner.start(lanes, prefix)
        running.callback(runner.stop)
        yield runner


def _wait_for_garbage_collector(client: KubernetesClient) -> None:
    """Wait until the garbage collector deletes organizations.

    It looks for new CRDs every 30 s only: what depends on a connector outlives it in a cluster that has just started.

    Raises:
        TimeoutError: it does not.
    """
    namespace = "garbage-collection"
    prepare_namespace(client, namespace)
    metadata = {"name": "probe", "namespace": namespace}
    owner = client.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "probe", "uid": owner["metadata"]["uid"]}
    client.apply(
        {
            "apiVersion": "defender-devops.io/v1alpha1",
            "kind": ORGANIZATION,
            "metadata": {**metadata, "ownerReferences": [reference]},
            "spec": {"connectorRef": {"name": "probe"}, "organization": "probe"},
        }
    )
    client.delete("ConfigMap", "probe", namespace)
    client.wait_deleted(ORGANIZATION, "probe", namespace, timeout=_GARBAGE_COLLECTION_TIMEOUT)


def command(plan: Plan) -> str:
    """Return the command that repeats a plan."""
    return f"python -m tests.faults --plan {shlex.quote(plan.as_json())}"


def report(outcome: Outcome) -> str:
    """Return violations, the end of the log, and the command that repeats them."""
    lines = outcome.log.splitlines()[-_LOG_TAIL:]
    return "\n".join([*outcome.violations, "", *(f"  | {line}" for line in lines), "", command(outcome.plan)])


def run_all(runner: Runner, plans: Iterable[Plan], on_outcome: Callable[[Outcome], None]) -> list[Outcome]:
    """Execute plans in all lanes; return the outcomes with violations."""
    futures = [runner.submit(plan) for plan in plans]
    violated: list[Outcome] = []
    for future in futures:
        outcome = future.result()
        on_outcome(outcome)
        if outcome.violations:
            violated.append(outcome)
    return violated
