"""Plans are data: drawn from a seed, repeated from JSON, shrunk to the steps that matter."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.connector import parse_connector
from tests.faults.checks.shrinking import shrink
from tests.faults.execution import Execution
from tests.faults.mutations import MUTATIONS, Mutation
from tests.faults.plans.draw import KINDS, draw_plan, draw_plans
from tests.faults.plans.plan import DesiredState, Plan, Step
from tests.faults.plans.rule import Rule
from tests.faults.plans.specs import draw_any_spec, draw_valid_spec
from tests.faults.stack.answers import CHANGES
from tests.support.scenarios.scenario import connector_manifest

SEEDS = st.integers(0, 1_000_000)
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
@given(seed=SEEDS)
def test_a_plan_is_drawn_from_its_seed_and_repeated_from_its_json(kind: str, seed: int) -> None:
    plan = draw_plan(kind, seed)
    assert draw_plan(kind, seed) == plan
    assert Plan.from_json(plan.as_json()).as_json() == plan.as_json()


@every_kind
@given(seed=SEEDS)
def test_every_step_and_every_rule_of_a_plan_can_be_executed(kind: str, seed: int) -> None:
    for step in draw_plan(kind, seed).steps:
        assert hasattr(Execution, f"do_{step.do}"), step
        if step.do == "rule":
            rule = Rule.from_json(step.arguments)
            assert rule.as_json() == dict(step.arguments)
            assert not rule.change or rule.change in CHANGES


@every_kind
@given(seed=SEEDS)
def test_a_plan_ends_where_its_end_is_awaited(kind: str, seed: int) -> None:
    steps = draw_plan(kind, seed).steps
    assert steps[-1].do in {"reach", "gone"}


def test_different_seeds_draw_different_plans() -> None:
    plans = list(draw_plans(1, 60))
    assert len({plan.as_json() for plan in plans}) > 50
    assert {plan.kind for plan in plans} == set(KINDS)
    assert 1 <= sum(plan.is_slow for plan in plans) <= 3


@given(seed=SEEDS)
def test_a_valid_spec_is_valid(seed: int) -> None:
    parse_connector(connector_manifest("default", draw_valid_spec(Random(seed))))


def test_drawn_specs_cover_the_fields_that_need_no_secret() -> None:
    fields = {name for seed in range(300) for name in draw_any_spec(Random(seed))}
    assert fields == {
        "adoptionPolicy",
        "agentlessScanning",
        "azure",
        "deletionPolicy",
        "discovery",
        "managementPolicy",
        "organizations",
        "pullRequestAnnotations",
        "securityReaders",
        "suspend",
    }


def test_the_desired_state_follows_the_steps() -> None:
    steps = (
        Step("apply", {"spec": {"suspend": True}}),
        Step("declare", {"organization": "tailspin", "name": "tailspin", "spec": {}}),
        Step("attempt", {"spec": {"suspend": False}}),
    )
    *_, state = Plan("test", 1, steps).desired_states()
    assert state.spec == {"suspend": True}
    assert [step.do for step in state.steps()] == ["declare", "code", "apply"]
    assert state.after(Step("undeclare", {"name": "tailspin"})).after(Step("delete")) == DesiredState()


@given(count=st.integers(1, 9), needed=st.sets(st.integers(0, 8)))
def test_a_plan_is_shrunk_to_the_steps_that_it_needs(count: int, needed: set[int]) -> None:
    needed = {number for number in needed if number < count}
    plan = Plan("test", 1, tuple(Step("step", {"number": number}) for number in range(count)))

    def are_violated(candidates: Sequence[Plan]) -> list[bool]:
        return [needed <= {step.arguments["number"] for step in candidate.steps} for candidate in candidates]

    shrunk = shrink(plan, are_violated)
    assert {step.arguments["number"] for step in shrunk.steps} == needed


@given(count=st.integers(2, 9), alternatives=st.lists(st.sets(st.integers(0, 8), min_size=1), min_size=1, max_size=3))
def test_a_plan_with_several_causes_is_shrunk_to_one_of_them(count: int, alternatives: list[set[int]]) -> None:
    alternatives = [alternative for alternative in alternatives if max(alternative) < count]
    plan = Plan("test", 1, tuple(Step("step", {"number": number}) for number in range(count)))

    def are_violated(candidates: Sequence[Plan]) -> list[bool]:
        present = [{step.arguments["number"] for step in candidate.steps} for candidate in candidates]
        return [any(alternative <= numbers for alternative in alternatives) for numbers in present]

    shrunk = shrink(plan, are_violated, rounds=20)
    assert not alternatives or {step.arguments["number"] for step in shrunk.steps} in alternatives


def test_shrinking_ends_after_its_rounds() -> None:
    executions = 0

    def are_violated(candidates: Sequence[Plan]) -> list[bool]:
        nonlocal executions
        executions += 1
        # One step can go, but no two together.
        return [number == 0 and len(candidates) > 1 for number, _ in enumerate(candidates)]

    plan = Plan("test", 1, tuple(Step("step") for _ in range(30)))
    assert len(shrink(plan, are_violated, rounds=5).steps) == 25
    assert executions == 5


def test_a_text_that_is_no_plan_is_refused() -> None:
    with pytest.raises(ValueError, match="copy the whole line"):
        Plan.from_json('{"kind": "stale"}')


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_every_mutation_fits_the_operator_and_has_plans_that_may_find_it(mutation: Mutation) -> None:
    compile(mutation.mutated_source(), mutation.file, "exec")
    assert mutation.mutated_source() != mutation.text
    assert len(mutation.plans(1, 10)) == 10
