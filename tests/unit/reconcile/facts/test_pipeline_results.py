"""What the states of all repositories amount to: counts, examples, annotations, scans without results."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.pipelines.evidence import BranchPolicy, OrganizationEvidence, Unread
from defender_devops.api.pipelines.states import PipelineState
from defender_devops.reconcile.facts.annotations_effective import AnnotationsReason, annotations_effective
from defender_devops.reconcile.facts.pipeline_results import (
    AnnotationsEvidence,
    WithoutResults,
    annotations_evidence,
    count_states,
    examples,
    ran_without_results,
)
from defender_devops.reconcile.facts.pipelines import assess_repositories
from tests.unit.reconcile.facts.test_pipelines import APP, NOW, OFF, PLAIN, RECENT, build, organization, pipeline

RAN: Final = pipeline(1, build=build(artifact=True))
MISSING: Final = pipeline(1, build=build(artifact=False, yaml=PLAIN))
UNDECIDED: Final = pipeline(1, build=None)


def policy(**values: Any) -> BranchPolicy:  # noqa: ANN401 - fields of BranchPolicy
    fields = {"project_id": "p1", "pipeline_id": 1, "repository_id": "r1", "ref": "refs/heads/main"}
    return BranchPolicy(**{"match_kind": "Exact", **fields, **values})


@pytest.mark.parametrize(
    ("values", "covers"),
    [
        ({}, True),
        ({"repository_id": ""}, True),
        ({"repository_id": "r2"}, False),
        ({"project_id": "p2"}, False),
        ({"ref": "refs/heads/release"}, False),
        ({"ref": "refs/heads/", "match_kind": "Prefix"}, True),
        ({"ref": "refs/heads/m", "match_kind": "prefix"}, True),
        ({"ref": "refs/heads/release/", "match_kind": "Prefix"}, False),
        ({"ref": "", "match_kind": "DefaultBranch"}, True),
    ],
)
def test_a_policy_covers_the_default_branch(values: dict[str, str], *, covers: bool) -> None:
    assert policy(**values).covers(APP) is covers
    assert not policy(**values).covers(replace(APP, default_branch=None))


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (organization(RAN, policies=(policy(),)), AnnotationsEvidence(effective=1, is_complete=True)),
        (organization(MISSING, policies=(policy(),)), AnnotationsEvidence(without_task=1, is_complete=True)),
        (organization(UNDECIDED, policies=(policy(),)), AnnotationsEvidence(without_task=1)),
        (organization(RAN), AnnotationsEvidence(0, 0, ("Web/app",), 1, is_complete=True)),
        (organization(MISSING), AnnotationsEvidence(is_complete=True)),
        (organization(RAN, unread_policies={"p1": Unread.DENIED}), AnnotationsEvidence(0, 0, ("Web/app",), 1)),
        (organization(unread_projects={"p1": Unread.DENIED}), AnnotationsEvidence()),
    ],
)
def test_annotations_need_a_policy_with_a_pipeline_with_the_task(
    evidence: OrganizationEvidence, expected: AnnotationsEvidence
) -> None:
    assert annotations_evidence(evidence, NOW) == expected


GOOD: Final = AnnotationsEvidence(effective=2, is_complete=True)
NO_POLICY: Final = AnnotationsEvidence(without_policy=("Web/app",), without_policy_number=1, is_complete=True)
NO_TASK: Final = AnnotationsEvidence(without_task=3, is_complete=True)
NOTHING: Final = AnnotationsEvidence(is_complete=True)


@pytest.mark.parametrize(
    ("plan", "state", "evidence", "effective", "reason"),
    [
        (True, True, GOOD, True, AnnotationsReason.EFFECTIVE),
        (True, True, replace(GOOD, is_complete=False), True, AnnotationsReason.EFFECTIVE),
        (False, True, GOOD, False, AnnotationsReason.PLAN_DISABLED),
        (False, None, None, False, AnnotationsReason.PLAN_DISABLED),
        (True, False, GOOD, False, AnnotationsReason.DISABLED),
        (None, False, None, False, AnnotationsReason.DISABLED),
        (True, True, NO_POLICY, False, AnnotationsReason.POLICY_MISSING),
        (True, True, NOTHING, False, AnnotationsReason.POLICY_MISSING),
        (None, True, NO_POLICY, False, AnnotationsReason.POLICY_MISSING),
        (True, True, NO_TASK, False, AnnotationsReason.TASK_MISSING),
        (None, True, GOOD, None, AnnotationsReason.NOT_CHECKED),
        (True, None, GOOD, None, AnnotationsReason.NOT_CHECKED),
        (True, True, None, None, AnnotationsReason.NOT_CHECKED),
        (True, True, AnnotationsEvidence(), None, AnnotationsReason.NOT_CHECKED),
        (True, True, replace(NO_TASK, is_complete=False), None, AnnotationsReason.NOT_CHECKED),
    ],
)
def test_annotations_effective(plan: Any, state: Any, evidence: Any, effective: Any, reason: str) -> None:  # noqa: ANN401
    effect = annotations_effective(plan, state, evidence)
    assert (effect.is_effective, effect.reason) == (effective, reason)
    assert effect.message.endswith(".")


@given(
    st.none() | st.booleans(),
    st.none() | st.booleans(),
    st.none() | st.builds(AnnotationsEvidence, effective=st.integers(0, 2), is_complete=st.booleans()),
)
def test_annotations_are_effective_only_if_everything_is_known(plan: Any, state: Any, evidence: Any) -> None:  # noqa: ANN401
    effect = annotations_effective(plan, state, evidence)
    if effect.is_effective:
        assert plan
        assert state
        assert evidence.effective
    if effect.is_effective is False:
        assert plan is False or state is False or (evidence.is_complete and not evidence.effective)


def test_counts_have_every_state_and_examples_the_open_ones() -> None:
    repositories = tuple(replace(APP, id=f"r{n}", name=f"n{n}") for n in range(30))
    pipelines = [replace(UNDECIDED, id=n, repository_id=f"r{n}") for n in range(10)]
    assessments = assess_repositories(organization(*pipelines, repositories=repositories), OFF, "contoso", NOW)
    assert count_states(assessments) == {
        **dict.fromkeys(PipelineState, 0),
        PipelineState.UNDECIDED: 10,
        PipelineState.MISSING: 20,
    }
    assert [item.state for item in examples(assessments, 3)] == ["missing"] * 3 + ["undecided"] * 3
    assert examples(assessments, 0) == ()


@pytest.mark.parametrize(
    ("hours", "with_results", "expected"),
    [
        (48, frozenset[str](), WithoutResults(1, ("Web/app",))),
        (47, frozenset[str](), WithoutResults(0)),
        (48, frozenset({"web/app"}), WithoutResults(0)),
        (48, None, WithoutResults(None)),
    ],
)
def test_scans_without_results(hours: int, with_results: Any, expected: WithoutResults) -> None:  # noqa: ANN401
    now = RECENT + timedelta(hours=hours)
    evidence = organization(RAN)
    assessments = assess_repositories(evidence, OFF, "contoso", now)
    assert ran_without_results(evidence, assessments, with_results, now) == expected
    assert ran_without_results(organization(MISSING), (), with_results, now).number in {0, None}
