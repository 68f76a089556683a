"""Assessments as a function of time: when they appear, what is generated, how they are resolved."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.cloud.defender.assessments import EVALUATION_INTERVAL, FIRST_EVALUATION, AssessmentGenerator, Assessments
from sandbox.cloud.defender.discovery import FIRST_RESULT
from sandbox.cloud.world.devops import Project
from sandbox.cloud.world.load import DEFAULT_WORLD, read_world_file
from sandbox.cloud.world.schema import WorldFile
from tests.sandbox.cloud.direct import ACCOUNT, GROUP, SUBSCRIPTION, Direct

FINDING = {
    "organization": "northwind",
    "project": "traders",
    "repository": "orders",
    "title": "finding",
    "category": "CodeVulnerabilities",
}
CONNECTOR = {
    "name": "contoso",
    "subscription": SUBSCRIPTION,
    "resourceGroup": GROUP,
    "account": ACCOUNT,
    "organizations": ["northwind"],
}


def world(**changes: Any) -> Direct:  # noqa: ANN401 - the world file
    """Return a cloud whose connector begins to discover northwind now."""
    document = read_world_file(DEFAULT_WORLD).model_dump(by_alias=True)
    plain = {"connectors": [CONNECTOR], "assessments": [], "generateAssessments": None}
    return Direct(WorldFile.parse({**document, **plain, **changes}))


async def titles(direct: Direct, **filters: str) -> list[str]:
    return [row["title"] for row in await direct.control("GET", "/assessments", **filters)]


async def test_a_finding_appears_after_discovery_and_its_own_delay() -> None:
    direct = world(assessments=[FINDING, {**FINDING, "title": "later", "after": 3600}])
    direct.move(FIRST_RESULT + FIRST_EVALUATION - 1)
    assert await titles(direct) == []
    direct.move(1)
    assert await titles(direct) == ["finding"]
    direct.move(3600)
    assert await titles(direct) == ["finding", "later"]


async def test_a_finding_that_is_added_later_appears_at_once() -> None:
    direct = world()
    direct.move(8 * 3600)
    await direct.control("POST", "/assessments", **FINDING)
    assert await titles(direct) == ["finding"]


async def test_a_finding_of_a_repository_that_is_deleted_goes_with_it() -> None:
    direct = world(assessments=[FINDING])
    direct.move(8 * 3600)
    assert await titles(direct) == ["finding"]
    await direct.control("DELETE", "/organizations/northwind/projects/traders/repositories/orders")
    assert await titles(direct) == []


@pytest.mark.parametrize(
    "scope", [{"repository": ""}, {"repository": "", "project": ""}], ids=["project", "organization"]
)
async def test_a_recommendation_may_concern_more_than_a_repository(scope: dict[str, str]) -> None:
    direct = world(assessments=[{**FINDING, **scope, "category": ""}])
    direct.move(8 * 3600)
    assert await titles(direct) == ["finding"]


WRONG = {
    "organization": "there is no organization",
    "project": "there is no project",
    "repository": "there is no repository",
}


@pytest.mark.parametrize("part", WRONG)
async def test_a_finding_of_what_does_not_exist_is_refused(part: str) -> None:
    direct = world()
    answer = await direct.try_control("POST", "/assessments", **{**FINDING, part: "nowhere"})
    assert answer.status == 404
    assert WRONG[part] in answer.json["error"]


async def test_a_resolved_finding_turns_healthy_or_vanishes() -> None:
    direct = world(assessments=[FINDING], generateAssessments={"perRepository": 2, "posture": False})
    direct.move(8 * 3600)
    rows = await direct.control("GET", "/assessments", status="Unhealthy")
    assert len(rows) > 3
    direct.move(60, wall=60)
    for row in (rows[0], rows[-1]):  # a generated one and the explicit one
        await direct.control("PATCH", f"/assessments/{row['key']}", resolved=True)
    now = {row["key"]: row for row in await direct.control("GET", "/assessments")}
    for row in (rows[0], rows[-1]):
        assert now[row["key"]]["status"] == "Healthy"
        assert now[row["key"]]["changed"] > row["changed"]
    await direct.control("PATCH", "/variants", resolvedAssessments="vanishes")
    keys = {row["key"] for row in await direct.control("GET", "/assessments")}
    assert keys == set(now) - {rows[0]["key"], rows[-1]["key"]}
    for row in (rows[0], rows[-1]):
        await direct.control("PATCH", f"/assessments/{row['key']}", resolved=False)
    assert await direct.control("GET", "/assessments", status="Unhealthy") == rows


async def test_an_explicit_finding_can_be_removed_and_an_unknown_one_cannot() -> None:
    direct = world()
    direct.move(8 * 3600)
    key = (await direct.control("POST", "/assessments", **FINDING))["key"]
    await direct.control("DELETE", f"/assessments/{key}")
    assert await titles(direct) == []
    assert (await direct.try_control("DELETE", f"/assessments/{key}")).status == 404
    assert (await direct.try_control("PATCH", f"/assessments/{key}", resolved=True)).status == 404


async def test_findings_arrive_over_time() -> None:
    direct = world(generateAssessments={"perRepository": 40, "posture": False, "arrival": 4000})
    direct.move(FIRST_RESULT + FIRST_EVALUATION)
    numbers = []
    for _ in range(5):
        numbers.append(len(await titles(direct)))
        direct.move(1000)
    assert numbers == sorted(set(numbers))
    assert numbers[0] < 5
    assert numbers[-1] == 120


async def test_churn_changes_statuses_at_each_evaluation() -> None:
    direct = world(generateAssessments={"perRepository": 40, "posture": False, "churn": 0.5})
    direct.move(FIRST_RESULT + FIRST_EVALUATION, wall=FIRST_RESULT + FIRST_EVALUATION)
    statuses = []
    for _ in range(3):
        statuses.append({row["key"]: row["status"] for row in await direct.control("GET", "/assessments")})
        direct.move(EVALUATION_INTERVAL, wall=EVALUATION_INTERVAL)
    first, second, third = statuses
    changed = sum(first[key] != second[key] for key in first)
    assert 30 < changed < 90
    assert first == third


async def test_a_generated_finding_that_turns_healthy_is_resolved_whatever_it_was_first() -> None:
    direct = world(generateAssessments={"perRepository": 40, "posture": False, "churn": 0.5})
    direct.move(FIRST_RESULT + FIRST_EVALUATION, wall=FIRST_RESULT + FIRST_EVALUATION)
    resolved_at_evaluations: list[int] = []
    first_changes: dict[str, str] = {}
    for _ in range(4):
        rows = {row["key"]: row for row in await direct.control("GET", "/assessments")}
        first_changes = first_changes or {key: row["changed"] for key, row in rows.items()}
        resolved = {
            key for key, row in rows.items() if row["status"] != "Unhealthy" and row["changed"] > first_changes[key]
        }
        await direct.control("PATCH", "/variants", resolvedAssessments="vanishes")
        assert {row["key"] for row in await direct.control("GET", "/assessments")} == set(rows) - resolved
        await direct.control("PATCH", "/variants", resolvedAssessments="healthy")
        resolved_at_evaluations.append(len(resolved))
        direct.move(EVALUATION_INTERVAL, wall=EVALUATION_INTERVAL)
    assert resolved_at_evaluations[0] == 0
    assert min(resolved_at_evaluations[1:]) > 3


async def test_the_generator_can_be_replaced_at_run_time() -> None:
    direct = world()
    direct.move(8 * 3600)
    await direct.control("PATCH", "/assessments", perRepository=3, posture=False, severities={"Low": 1})
    rows = await direct.control("GET", "/assessments")
    assert {row["severity"] for row in rows} == {"Low"}
    assert len(rows) == 9
    refused = await direct.try_control("PATCH", "/assessments", perRepository=3, severities={"Low": 0})
    assert refused.status == 400


@given(
    average=st.floats(0, 5),
    repositories=st.integers(0, 60),
    seed=st.integers(0, 10),
    posture=st.booleans(),
)
@settings(max_examples=40)
def test_generated_findings_are_as_many_as_asked_for_and_the_same_each_time(
    average: float, repositories: int, seed: int, *, posture: bool
) -> None:
    project = Project.make("contoso", "web")
    project.repositories.generated = repositories
    generator = AssessmentGenerator(per_repository=average, posture=posture, seed=seed)

    def results() -> list[Any]:
        sources = [(0.0, project, repositories)]
        return list(Assessments(generator).results("contoso", sources, 0.0, FIRST_EVALUATION))

    once = results()
    assert once == results()
    assert len({result.handle for result in once}) == len(once)
    findings = sum(1 for result in once if result.category)
    assert findings == int(average * repositories)
    assert len(once) - findings == ((2 + 2 * repositories) if posture else 0)


def test_values_are_distributed_by_their_weights() -> None:
    project = Project.make("contoso", "web")
    project.repositories.generated = 1000
    generator = AssessmentGenerator(per_repository=10, posture=False)
    results = list(Assessments(generator).results("contoso", [(0.0, project, 1000)], 0.0, FIRST_EVALUATION))
    severities = Counter(result.severity for result in results)
    categories = Counter(result.category for result in results)
    statuses = Counter(result.status for result in results)
    for counts, weights in (
        (severities, generator.severities),
        (categories, generator.categories),
        (statuses, generator.statuses),
    ):
        for value, weight in weights.items():
            assert counts[value] / len(results) == pytest.approx(weight / sum(weights.values()), abs=0.02)
    assert len(Counter((result.severity, result.category, result.status) for result in results)) > 40, "independent"
