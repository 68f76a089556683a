"""Generated pipelines: every scenario, builds that go on, and a sweep at the scale of a large organization."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cloud.world.devops import Project
from sandbox.cloud.world.pipelines.generated import FIRST_BUILD, GeneratedPipelines, GeneratedProject
from sandbox.cloud.world.pipelines.scenarios import Scenario, ScenarioMix
from sandbox.cloud.world.pipelines.schema import GeneratePipelinesSpec
from tests.sandbox.cloud.direct import ACCOUNT, Direct, larger_world

DAY = 86400.0
START = 1_700_000_000.0
V = "api-version=7.1"


def generated(projects: int, count: int, builds_per_day: float) -> tuple[list[Project], GeneratedPipelines]:
    all_projects = [Project.make("org", f"p{number}") for number in range(projects)]
    described = []
    for number, project in enumerate(all_projects):
        mix = ScenarioMix(f"7/org/{project.name}", project.name, f"{project.name}-0000")
        project.repositories.generated, project.repositories.mix = count, mix
        described.append(GeneratedProject(project.id, project.name, mix, count, number * count))
    return all_projects, GeneratedPipelines(described, builds_per_day, START)


@given(st.integers(1, 4), st.integers(0, 40), st.floats(0, 2000), st.floats(0, 5))
def test_builds_of_pipelines_and_builds_by_id_are_the_same_builds(
    projects: int, count: int, builds_per_day: float, days: float
) -> None:
    all_projects, pipelines = generated(projects, count, builds_per_day)
    now = START + days * DAY
    builds = {}
    for project in all_projects:
        for pipeline in pipelines.pipelines(project.id):
            assert pipelines.pipeline(pipeline.id) == (project.id, pipeline)
            builds_of_pipeline = list(pipelines.builds_of(pipeline.id, now))
            assert {build.pipeline_id for build in builds_of_pipeline} <= {pipeline.id}
            assert [build.id for build in builds_of_pipeline] == sorted(
                (build.id for build in builds_of_pipeline), reverse=True
            )
            builds.update({build.id: build for build in builds_of_pipeline})
    assert len(builds) == pipelines.count(now)
    assert all(pipelines.build(identifier, now) == build for identifier, build in builds.items())
    assert all((build.finished_at or 0) <= now for build in builds.values())
    for absent in (FIRST_BUILD - 1, FIRST_BUILD + pipelines.count(now)):
        assert pipelines.build(absent, now) is None
    assert pipelines.pipeline(99_999) is None


def large() -> Direct:
    """An organization of 100 projects, 2,000 repositories and 500 builds a day."""
    spec = larger_world(organizations=1, projects=100, repositories=2000)
    assert spec.generate is not None
    spec.generate.pipelines = GeneratePipelinesSpec(builds_per_day=500)
    direct = Direct(spec)
    direct.world.settings.throttling = False
    return direct


@pytest.fixture(scope="module")
def organization() -> Direct:
    return large()


async def get(direct: Direct, path: str) -> Any:  # noqa: ANN401 - JSON
    accept = "text/plain" if "/logs/" in path else "application/json"
    answer = await direct.devops("devAzure", f"/org-0001/{path}{'&' if '?' in path else '?'}{V}", Accept=accept)
    assert answer.status == 200, answer.text
    return answer.text if "/logs/" in path else answer.json


EVIDENCE: dict[Scenario, tuple[set[str], set[bool]]] = {
    Scenario.SCANNED: ({"CodeAnalysisLogs"}, {True}),
    Scenario.OTHER_TOOL: ({"CodeAnalysisLogs"}, {False}),
    Scenario.FAILED_SCAN: ({"CodeAnalysisLogs"}, {True}),
    Scenario.TEMPLATE: ({"CodeAnalysisLogs"}, {True}),
    Scenario.DESIGNER: ({"CodeAnalysisLogs"}, {False}),
    Scenario.DEFENDER_CLI: (set(), {False}),
    Scenario.UNPUBLISHED: (set(), {True}),
    Scenario.RENAMED_ARTIFACT: ({"SecurityResults"}, {True}),
    Scenario.SKIPPED_STEP: (set(), {True}),
    Scenario.PULL_REQUEST_LATEST: ({"CodeAnalysisLogs"}, {True}),
    Scenario.TWO_PIPELINES: ({"CodeAnalysisLogs"}, {True, False}),
    Scenario.YAML_ELSEWHERE: ({"CodeAnalysisLogs"}, {True}),
    Scenario.ADVANCED_SECURITY: (set(), {False}),
    Scenario.UNSCANNED: (set(), {False}),
    Scenario.FORK: (set(), {False}),
}
"""Artifacts and whether the expanded YAML names the task, of the last builds on the default branch."""


async def test_every_scenario_gives_its_evidence(organization: Direct) -> None:
    project_names = [f"project-{number:03}" for number in range(1, 101)]
    projects = organization.world.organizations["org-0001"].projects
    places: dict[Scenario, tuple[str, int]] = {}
    for name in project_names:
        mix = projects[name].repositories.mix
        assert mix is not None
        for number in range(20):
            places.setdefault(mix.scenario(number), (name, number))
    assert set(places) == set(Scenario)
    for scenario, (project, number) in places.items():
        name = f"{project}-{number:04}"
        query = "build/builds?branchName=refs/heads/main&maxBuildsPerDefinition=1"
        builds = [
            build
            for build in (await get(organization, f"{project}/_apis/{query}"))["value"]
            if build["definition"]["name"].startswith(name)
        ]
        if scenario not in EVIDENCE:
            has_builds = scenario is Scenario.EXPIRED
            assert bool(builds) == has_builds, scenario
            continue
        artifacts, yaml = set(), set()
        for build in builds:
            path = f"{project}/_apis/build/builds/{build['id']}"
            artifacts |= {item["name"] for item in (await get(organization, f"{path}/artifacts"))["value"]}
            yaml.add("MicrosoftSecurityDevOps@1" in await get(organization, f"{path}/logs/1"))
            assert (build["result"] == "failed") == (scenario is Scenario.FAILED_SCAN)
        assert (artifacts, yaml) == EVIDENCE[scenario], scenario


async def test_the_latest_build_of_a_scenario_is_one_of_a_pull_request_or_expired(organization: Direct) -> None:
    clock = organization.world.clock
    limit = clock.stamp(clock.now() - 90 * DAY)
    latest: dict[str, Counter[str]] = {"pullRequestLatest": Counter(), "expired": Counter()}
    for number in range(1, 101):
        project = f"project-{number:03}"
        mix = organization.world.organizations["org-0001"].projects[project].repositories.mix
        assert mix is not None
        url = f"{project}/_apis/build/definitions?includeLatestBuilds=true"
        for definition in (await get(organization, url))["value"]:
            scenario = str(mix.scenario(int(definition["name"].split("-")[2])))
            if scenario in latest:
                build = definition["latestCompletedBuild"]
                latest[scenario][f"{build['reason']} {build['finishTime'] < limit}"] += 1
    assert set(latest["pullRequestLatest"]) == {"pullRequest False"}
    assert set(latest["expired"]) == {"individualCI True"}


async def test_files_of_generated_repositories_are_read_by_name_and_id(organization: Direct) -> None:
    repositories = (await get(organization, "project-001/_apis/git/repositories"))["value"]
    assert len(repositories) == 20
    shared = repositories[0]
    for key in (shared["name"], shared["id"], shared["id"].upper()):
        item = await get(
            organization, f"_apis/git/repositories/{key}/items?path=/templates/scan.yml&includeContent=true"
        )
        assert "MicrosoftSecurityDevOps@1" in item["content"]


async def test_a_day_brings_its_builds_and_a_sweep_stays_cheap() -> None:
    tracemalloc.start()
    direct = large()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 8_000_000, "bytes of the whole world"
    moment = direct.world.clock.stamp()
    direct.move(DAY + 1, wall=DAY + 1)
    counted = 0
    for number in range(1, 101):
        url = f"project-{number:03}/_apis/build/builds?minTime={moment}&statusFilter=completed"
        counted += (await get(direct, url))["count"]
    assert counted == 500
    summary = await direct.control("GET", "/organizations/org-0001/pipelines")
    assert sum(summary["scenarios"].values()) == 2000
    assert len((await direct.control("GET", "/journal", principal=ACCOUNT, operation="Builds_List"))["entries"]) == 100


async def test_a_generated_pipeline_and_repository_are_changed_for_good(organization: Direct) -> None:
    path = "/organizations/org-0001/projects/project-002"
    pipelines = (await organization.control("GET", "/organizations/org-0001/pipelines"))["pipelines"]["project-002"]
    name = next(iter(pipelines))
    changed = await organization.control("PATCH", f"{path}/pipelines/{name}", queueStatus="paused")
    assert changed == {"id": pipelines[name], "revision": 2}
    repository = name.rpartition("-")[0]
    await organization.control(
        "PATCH", f"{path}/repositories/{repository}", files={"other.yml": "steps:\n- script: a\n"}
    )
    added = await organization.control("POST", f"{path}/pipelines/{name}/builds", branch="refs/pull/1/merge")
    definition = await get(
        organization, f"project-002/_apis/build/definitions/{pipelines[name]}?includeLatestBuilds=true"
    )
    assert (definition["queueStatus"], definition["latestBuild"]["id"]) == ("paused", added["id"])
    url = f"project-002/_apis/git/repositories/{repository}/items?scopePath=/"
    assert "/other.yml" in {item["path"] for item in (await get(organization, url))["value"]}
    other = (await get(organization, "project-003/_apis/build/definitions"))["value"]
    assert {item["queueStatus"] for item in other} == {"enabled"}
    await organization.control("DELETE", f"{path}/pipelines/{name}")
    listed = (await get(organization, "project-002/_apis/build/definitions"))["value"]
    assert len(listed) == len(pipelines) - 1
