"""Checks and probes: what is compared with the assumption, and what that costs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from acceptance.tenant import Tenant

__all__ = ["ASSUMED", "OTHERWISE", "Check", "Cost", "Observation", "Probe", "Verdict", "agreement"]

ASSUMED: Final = "as assumed"
OTHERWISE: Final = "otherwise"


class Verdict(StrEnum):
    """The result of a check."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNKNOWN = "could not tell"


@dataclass(frozen=True, slots=True)
class Observation:
    """What a check observed.

    Attributes:
        value: the value of the check's variant, or `ASSUMED` or `OTHERWISE` for a check without one.
        evidence: what it rests on, in public words.
        equivalents: other values of the variant under which a tenant would show the same.
    """

    value: str
    evidence: str
    equivalents: tuple[str, ...] = ()

    @property
    def possible_values(self) -> tuple[str, ...]:
        """All values that the evidence allows, the most plausible one first."""
        return (self.value, *self.equivalents)

    def verdict(self, assumed: str) -> Verdict:
        """Return whether the evidence agrees with an assumption: only where it allows nothing else."""
        if assumed not in self.possible_values:
            return Verdict.DIFFERS
        return Verdict.UNKNOWN if self.equivalents else Verdict.AGREES


def agreement(holds: bool, evidence: str) -> Observation:
    """Return the observation of a check without a variant."""
    return Observation(ASSUMED if holds else OTHERWISE, evidence)


@dataclass(frozen=True, slots=True)
class Check:
    """One behaviour.

    Attributes:
        row: beginning of the behaviour in the tables of docs/sandbox.md.
        observe: returns what the tenant shows; raises Inconclusive where it shows nothing.
        variant: name of the variant whose value is observed; empty where the behaviour has none.
    """

    row: str
    observe: Callable[[Tenant], Awaitable[Observation]]
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """The most requests of a probe, and the seconds that it waits.

    Attributes:
        reads: requests to Resource Manager that only read.
        writes: requests to Resource Manager that change something, or that Azure counts so.
        queries: queries of Resource Graph.
        azure_devops: requests to Azure DevOps.
    """

    reads: int = 0
    writes: int = 0
    queries: int = 0
    azure_devops: int = 0
    seconds: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.reads + other.reads,
            self.writes + other.writes,
            self.queries + other.queries,
            self.azure_devops + other.azure_devops,
            self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True)
class Probe:
    """Checks that read the same things.

    Attributes:
        name: one word, for `--only`.
        reads: what it reads.
        cost: the most that it costs.
        checks: in the order in which they run.
        requirements: awaited before the checks; none of them runs where one raises Inconclusive.
        changes: what it changes; empty where it only reads.
        finish: awaited after the checks, to restore what they changed.
    """

    name: str
    reads: str
    cost: Cost
    checks: tuple[Check, ...]
    requirements: tuple[Callable[[Tenant], Awaitable[None]], ...] = (Tenant.require_resource_manager,)
    changes: str = ""
    finish: Callable[[Tenant], Awaitable[None]] | None = None
