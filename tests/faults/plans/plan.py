"""A plan: what happens to one connector, as data that JSON can repeat.

A plan is a list of steps. Each has a name (`do`) and arguments; `tests/faults/execution.py` executes them. The oracle
follows from the steps: they end in a desired state, and the end must be the one that this desired state alone has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

__all__ = ["DesiredState", "Plan", "Step"]

JSON = Any


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        do: name of the step, a method of `tests.faults.execution.Execution`.
        arguments: its arguments, JSON values.
    """

    do: str
    arguments: Mapping[str, JSON] = field(default_factory=dict)

    def as_json(self) -> dict[str, JSON]:
        """Return the step as one flat JSON object."""
        return {"do": self.do, **self.arguments}

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Self:
        """Return the step of a flat JSON object."""
        return cls(str(value["do"]), {name: argument for name, argument in value.items() if name != "do"})

    def __str__(self) -> str:
        """Return the step in a short form, for reports."""
        arguments = ", ".join(f"{name}={json.dumps(value)}" for name, value in self.arguments.items())
        return f"{self.do}({arguments})"


@dataclass(frozen=True)
class DesiredState:
    """What people ask for after some steps.

    Attributes:
        spec: change of the connector's basic spec, as a JSON merge patch; None where there is no connector.
        organizations: arguments of `declare` for the declared DevOpsOrganizations, by the name of the object.
    """

    spec: Mapping[str, JSON] | None = None
    organizations: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return a text that is equal for equal desired states."""
        return json.dumps([self.spec, self.organizations], sort_keys=True)

    def after(self, step: Step) -> DesiredState:
        """Return the desired state after a step."""
        organizations = dict(self.organizations)
        match step.do:
            case "apply":
                return replace(self, spec=step.arguments["spec"])
            case "delete" | "vanish":
                return replace(self, spec=None)
            case "declare":
                organizations[step.arguments["name"]] = step.arguments
            case "undeclare":
                organizations.pop(step.arguments["name"], None)
        return replace(self, organizations=organizations)

    def steps(self) -> tuple[Step, ...]:
        """Return the steps that lead to this state from an empty namespace."""
        declared = (Step("declare", arguments) for _, arguments in sorted(self.organizations.items()))
        applied = () if self.spec is None else (Step("code"), Step("apply", {"spec": self.spec}))
        return (*declared, *applied)


@dataclass(frozen=True)
class Plan:
    """One plan.

    Attributes:
        kind: such as `stale`.
        seed: number that it was drawn from.
        steps: its steps in order.
        is_slow: whether it waits for a time-out of the operator, such as that of a lease.
    """

    kind: str
    seed: int
    steps: tuple[Step, ...]
    is_slow: bool = False

    @property
    def name(self) -> str:
        """Return the plan's name."""
        return f"{self.kind}-{self.seed}"

    def as_json(self) -> str:
        """Return the plan as one line of JSON."""
        body = {"kind": self.kind, "seed": self.seed, "steps": [step.as_json() for step in self.steps]}
        return json.dumps(body | ({"slow": True} if self.is_slow else {}))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the plan of a line of JSON.

        Raises:
            ValueError: it is no plan.
        """
        try:
            body = json.loads(text)
            steps = tuple(Step.from_json(step) for step in body["steps"])
            return cls(str(body["kind"]), int(body["seed"]), steps, bool(body.get("slow")))
        except (TypeError, KeyError) as error:
            raise ValueError(f"the plan has no {error}: copy the whole line that a failed run has printed") from error

    def without(self, position: int) -> Plan:
        """Return the plan without one of its steps."""
        return replace(self, steps=self.steps[:position] + self.steps[position + 1 :])

    def desired_states(self) -> Iterator[DesiredState]:
        """Yield the desired state after each step."""
        state = DesiredState()
        for step in self.steps:
            state = state.after(step)
            yield state
