"""What the states of all repositories amount to: counts, examples, annotations, scans without results."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.pipelines.evidence import BranchPolicy, OrganizationEvidence, Unread
from defender_devops.api.pipelines.results import RepositoryNames, RepositoryResults
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


LONG_AGO: Final = RECENT - timedelta(days=30)
NOTHING_SHOWN, SHOWN = RepositoryNames(["web/api"]), RepositoryNames(["WEB/app"])
WITHOUT, NONE = WithoutResults(1, ("Web/app",)), WithoutResults(0)
FIRST_SCAN_EARLIER: Final = pipeline(1, build=replace(build(artifact=True), first_scan_at=RECENT - timedelta(hours=1)))


def results(names: RepositoryNames | None, hours: float, since: datetime | None = LONG_AGO) -> RepositoryResults:
    """What Defender for Cloud shows, so many hours after the build."""
    return RepositoryResults(names, "", RECENT + timedelta(hours=hours), since)


@pytest.mark.parametrize(
    ("scanned", "read", "expected"),
    [
        (RAN, results(NOTHING_SHOWN, 48), WITHOUT),
        (RAN, results(NOTHING_SHOWN, 47.9), NONE),
        (RAN, results(SHOWN, 48), NONE),
        (RAN, results(SHOWN, 4800), NONE),
        (FIRST_SCAN_EARLIER, results(NOTHING_SHOWN, 47), WITHOUT),
        (FIRST_SCAN_EARLIER, results(NOTHING_SHOWN, 46.9), NONE),
        (MISSING, results(NOTHING_SHOWN, 48), NONE),
        (UNDECIDED, results(NOTHING_SHOWN, 48), NONE),
        (RAN, RepositoryResults(), WithoutResults()),
        (RAN, RepositoryResults(problem="Truncated."), WithoutResults(problem="Truncated.")),
        (RAN, results(None, 48), WithoutResults()),
    ],
    ids=[
        "nothing is shown after 48 hours",
        "nothing is shown before",
        "shown in another case",
        "shown long after",
        "an earlier build scanned",
        "an earlier build scanned, but not long ago",
        "no scan ran",
        "undecided",
        "not read",
        "not readable",
        "no names",
    ],
)
def test_scans_without_results(scanned: Any, read: RepositoryResults, expected: WithoutResults) -> None:  # noqa: ANN401
    now = RECENT + timedelta(hours=48)
    evidence = organization(scanned)
    assessments = assess_repositories(evidence, OFF, "contoso", now)
    assert ran_without_results(evidence, assessments, read) == expected


@pytest.mark.parametrize("since", [None, RECENT + timedelta(seconds=1)], ids=["unknown", "47 hours"])
def test_an_organization_that_was_evaluated_recently_says_nothing_about_its_repositories(
    since: datetime | None,
) -> None:
    evidence = organization(RAN)
    assessments = assess_repositories(evidence, OFF, "contoso", NOW)
    without = ran_without_results(evidence, assessments, results(NOTHING_SHOWN, 48, since))
    assert (without.number, "less than 48 hours" in without.problem) == (None, True)
    assert ran_without_results(evidence, assessments, results(NOTHING_SHOWN, 48, RECENT)) == WITHOUT


@given(
    st.none() | st.lists(st.sampled_from(["Web/app", "web/api"])).map(RepositoryNames),
    st.floats(-100, 1000),
    st.none() | st.floats(-1000, 1000),
    st.sampled_from([RAN, FIRST_SCAN_EARLIER, MISSING, UNDECIDED]),
)
def test_a_number_follows_only_from_a_complete_answer(
    names: RepositoryNames | None,
    hours: float,
    since: float | None,
    scanned: Any,  # noqa: ANN401
) -> None:
    evidence = organization(scanned)
    read = results(names, hours, None if since is None else RECENT + timedelta(hours=since))
    without = ran_without_results(evidence, assess_repositories(evidence, OFF, "contoso", NOW), read)
    if names is None or since is None:
        assert without.number is None
    if without.number:
        assert names is not None
        assert "Web/app" not in names
        assert hours >= 47
