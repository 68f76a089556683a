"""The operator under faults: whatever happens on the way, the end is that of the last spec alone.

`make test` executes a dozen plans, the long tests 300 (`FAULTS_SEED` chooses others) and the mutation check. A
violation prints the command that repeats it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path

import pytest

from sandbox.cluster import Cluster
from tests.faults.execution import Outcome
from tests.faults.mutations import MUTATIONS, Mutation
from tests.faults.plans.draw import draw_plan, draw_plans
from tests.faults.runner import Runner, open_runner, report, run_all

SEED = int(os.environ.get("FAULTS_SEED", "1"))
LONG_PLANS = 300
LONG_LANES = 6
MUTATION_LANES = 4
MUTATION_PLANS = 24

QUICK = [
    draw_plan(kind, seed)
    for kind, seeds in {
        "stale": (1, 2, 300024),
        "unseen": (1, 2, 3),
        "half-done": (1, 2, 3),
        "misoperation": (1,),
        "restored": (300005,),  # with another uid, and another reader in the spec since
        "sick-cluster": (1,),
        "sick-cloud": (1,),
    }.items()
    for seed in seeds
]


@pytest.fixture(scope="module")
def outcomes(runner: Runner) -> Mapping[str, Future[Outcome]]:
    """All quick plans, executed at once in the lanes."""
    return {plan.name: runner.submit(plan) for plan in QUICK}


@pytest.mark.parametrize("name", [plan.name for plan in QUICK])
def test_nothing_is_violated(outcomes: Mapping[str, Future[Outcome]], name: str) -> None:
    outcome = outcomes[name].result()
    assert not outcome.violations, report(outcome)


@pytest.mark.long
def test_nothing_is_violated_by_many_plans(cluster: Cluster, tmp_path: Path) -> None:
    with open_runner(cluster, tmp_path, lanes=LONG_LANES, prefix="faults-long") as lanes:
        violated = run_all(lanes, draw_plans(SEED, LONG_PLANS), lambda _: None)
        reports = [report(lanes.shrink(outcome)) for outcome in violated]
    assert not reports, f"seed {SEED}: {len(reports)} of {LONG_PLANS} plans\n\n" + "\n\n".join(reports)


@pytest.mark.long
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_fault_in_the_operator_is_found(cluster: Cluster, tmp_path: Path, mutation: Mutation) -> None:
    settings = {"PYTHONPATH": str(mutation.write_operator(tmp_path / "mutant"))}
    plans = mutation.plans(SEED, MUTATION_PLANS)
    batches = [plans[begin : begin + MUTATION_LANES] for begin in range(0, len(plans), MUTATION_LANES)]
    with open_runner(cluster, tmp_path, lanes=MUTATION_LANES, prefix="faults-mutant", settings=settings) as lanes:
        is_found = any(run_all(lanes, batch, lambda _: None) for batch in batches)
    assert is_found, f"none of {len(plans)} plans finds it"
