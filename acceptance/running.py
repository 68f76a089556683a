"""Runs probes and compares what they observe with what the simulated cloud assumes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from acceptance.behaviours import Behaviour, find_behaviour
from acceptance.checks import ASSUMED, Check, Observation, Probe, Verdict
from acceptance.session.answer import Inconclusive
from acceptance.tenant import Tenant
from defender_devops.errors import OperatorError
from sandbox.cloud.variants import VARIANTS

__all__ = ["Interrupted", "Outcome", "Row", "run_probes"]


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one check.

    Attributes:
        probe: name of its probe.
        behaviour: the row of docs/sandbox.md.
        variant: name of the variant; empty where there is none.
        assumed: what the simulated cloud assumes.
        possible_values: what the tenant shows; several values where it does not distinguish them, none where it shows
            nothing.
        evidence: what that rests on, or why it could not be observed.
    """

    probe: str
    behaviour: Behaviour
    variant: str
    assumed: str
    possible_values: tuple[str, ...]
    evidence: str
    verdict: Verdict

    @property
    def key(self) -> str:
        """The variant's name, or the behaviour."""
        return self.variant or self.behaviour.text

    @property
    def observed(self) -> str:
        """What the tenant shows, in one text; empty where it shows nothing."""
        return " or ".join(self.possible_values)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run observed.

    Attributes:
        rows: the results.
        restore_failure: what is still changed and how to restore it; empty where nothing is.
    """

    rows: list[Row]
    restore_failure: str = ""


class Interrupted(Exception):
    """A run was interrupted, and what it had changed is restored.

    Attributes:
        restore_failure: what is still changed and how to restore it; empty where nothing is.
    """

    def __init__(self, restore_failure: str) -> None:
        super().__init__(restore_failure or "Interrupted: nothing is saved, and nothing is left changed.")
        self.restore_failure = restore_failure


async def run_probes(
    tenant: Tenant, probes: Sequence[Probe], announce: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Run probes in their order.

    Args:
        tenant: whose behaviour is observed.
        probes: what is run.
        announce: receives a line about what begins.

    Raises:
        Interrupted: the task was cancelled.
    """
    rows, failure = [], ""
    for number, probe in enumerate(probes, start=1):
        announce(f"{number} of {len(probes)}: {probe.name}")
        try:
            obstacle = await _obstacle(tenant, probe)
            rows += [await _run(tenant, probe, check, obstacle) for check in probe.checks]
        except asyncio.CancelledError:
            if probe.changes:
                announce(
                    "Interrupted: the expendable connector is being restored. Interrupt again to leave it as it is."
                )
            raise Interrupted(await _finish(tenant, probe)) from None
        failure = await _finish(tenant, probe) or failure
    return Outcome(rows, failure)


async def _finish(tenant: Tenant, probe: Probe) -> str:
    """Restore what a probe has changed; return what could not be restored, and how to do it."""
    if probe.finish is None:
        return ""
    try:
        await probe.finish(tenant)
    except (Inconclusive, OperatorError) as error:
        return (
            f"The probe {probe.name} could not restore the expendable connector ({error}). Restore its tags and "
            "its selection of organizations in the portal, or delete it."
        )
    return ""


async def _obstacle(tenant: Tenant, probe: Probe) -> str:
    """Return why no check of a probe can run; empty where nothing is in the way."""
    for require in probe.requirements:
        try:
            await require(tenant)
        except (Inconclusive, OperatorError) as reason:
            return str(reason)
    return ""


async def _run(tenant: Tenant, probe: Probe, check: Check, obstacle: str) -> Row:
    observation: Observation | None = None
    evidence = obstacle
    if not obstacle:
        try:
            observation = await check.observe(tenant)
            evidence = observation.evidence
        except (Inconclusive, OperatorError) as reason:
            evidence = str(reason)
    assumed = VARIANTS[check.variant].default if check.variant else ASSUMED
    return Row(
        probe.name,
        find_behaviour(check.row),
        check.variant,
        assumed,
        () if observation is None else observation.possible_values,
        evidence,
        Verdict.UNKNOWN if observation is None else observation.verdict(assumed),
    )
