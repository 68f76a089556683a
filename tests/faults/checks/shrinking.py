"""Shrinks a plan that violates something to the steps that it needs for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.faults.plans.plan import Plan

__all__ = ["shrink"]


def shrink(plan: Plan, are_violated: Callable[[Sequence[Plan]], Sequence[bool]], *, rounds: int = 8) -> Plan:
    """Return the plan without steps that it does not need.

    In each round every step is removed alone, all of these plans at once; then those together that can go alone.

    Args:
        plan: a plan that violates something.
        are_violated: executes plans and returns for each whether it violates something.
        rounds: most rounds.
    """
    for _ in range(rounds):
        candidates = [plan.without(position) for position in range(len(plan.steps))]
        removable = [position for position, verdict in enumerate(are_violated(candidates)) if verdict]
        if not removable:
            break
        remaining = tuple(step for position, step in enumerate(plan.steps) if position not in removable)
        together = replace(plan, steps=remaining)
        is_violated_together = len(removable) == 1 or are_violated([together])[0]
        plan = together if is_violated_together else candidates[removable[-1]]
    return plan
