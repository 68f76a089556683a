"""`python -m tests.faults`: run plans drawn from a seed, or repeat one.

python -m tests.faults --seed 3 --plans 300      # `make faults SEED=3 PLANS=300`
python -m tests.faults --plan '{"kind": …}'      # what a violation has printed
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.execution import Outcome
from tests.faults.plans.draw import KINDS, draw_plans
from tests.faults.plans.plan import Plan
from tests.faults.runner import open_runner, report, run_all
from tests.support.scenarios.clusters import shared_cluster


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Fault plans for the operator.")
    parser.add_argument("--seed", type=int, default=1, help="seed of the plans (default: %(default)s)")
    parser.add_argument("--plans", type=int, default=300, metavar="N", help="number of plans (default: %(default)s)")
    parser.add_argument(
        "--kind", action="append", choices=tuple(KINDS), help="only plans of this kind; may be repeated"
    )
    parser.add_argument("--plan", type=Plan.from_json, metavar="JSON", help="repeat this plan")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="execute the plan N times")
    parser.add_argument("--lanes", type=int, default=6, metavar="N", help="plans at once (default: %(default)s)")
    parser.add_argument("--no-shrink", action="store_true", help="do not shrink plans with a violation")
    parser.add_argument("--folder", type=Path, help="where logs are kept (default: a temporary folder)")
    return parser


def _print_outcome(outcome: Outcome) -> None:
    result = outcome.violations[0].splitlines()[0] if outcome.violations else "ok"
    print(f"{outcome.plan.name:24} {outcome.seconds:6.1f} s  {result}", flush=True)


def main() -> int:
    """Run the plans; return 1 if one has a violation."""
    arguments = _parser().parse_args()
    if arguments.plan is not None:
        plans = [arguments.plan] * arguments.repeat
    else:
        plans = list(draw_plans(arguments.seed, arguments.plans, tuple(arguments.kind or KINDS)))
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="defender-devops-faults-") as name:
        folder = arguments.folder or Path(name)
        lanes = min(arguments.lanes, len(plans))
        with (
            shared_cluster(folder / "cluster") as cluster,
            open_runner(cluster, folder, lanes=lanes, prefix="faults") as runner,
        ):
            violated = run_all(runner, plans, _print_outcome)
            seconds = time.monotonic() - begin
            for outcome in violated:
                is_shrunk = arguments.plan is None and not arguments.no_shrink
                smallest = runner.shrink(outcome) if is_shrunk else outcome
                print(f"\n=== {outcome.plan.name}\n{report(smallest)}", flush=True)
    print(f"{len(plans)} plans, {len(violated)} with a violation, {seconds:.0f} s, seed {arguments.seed}")
    return int(bool(violated))


if __name__ == "__main__":
    sys.exit(main())
