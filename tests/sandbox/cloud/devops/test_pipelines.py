"""Azure Pipelines: every case in which a repository is, or only seems to be, scanned."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.cloud.world.devops import License
from sandbox.cloud.world.pipelines.tasks import SCAN_TASK_ID
from tests.sandbox.cloud.direct import ACCOUNT, Answer, Direct

V = "api-version=7.1"
PREVIEW = "api-version=7.2-preview.3"
PROJECT = "/organizations/contoso/projects/webshop"
API = "/contoso/webshop/_apis"
SCANNER = "ms-securitydevops.microsoft-security-devops-azdevops"
SEARCH = "ms.vss-code-search"
DAY = 86400.0

SCAN = "- task: MicrosoftSecurityDevOps@1\n  displayName: Microsoft Security DevOps\n"


def yaml(*steps: str) -> str:
    return f"trigger: [main]\nsteps:\n- script: make\n{''.join(steps)}"


async def prepare(direct: Direct, text: str, repository: str = "storefront", **pipeline: object) -> int:
    """Give a repository a file and a pipeline with one build of it; return the id of the build."""
    await direct.control("PATCH", "/organizations/contoso", extensions={SCANNER: "none", SEARCH: "none"})
    await direct.control("PATCH", f"{PROJECT}/repositories/{repository}", files={"azure-pipelines.yml": text})
    values = {"name": f"{repository}-ci", "repository": repository, "builds": [{}], **pipeline}
    added = await direct.control("POST", f"{PROJECT}/pipelines", **values)
    return int((added["builds"] or [0])[-1])


async def get(direct: Direct, path: str, host: str = "devAzure", version: str = V, **headers: str) -> Any:  # noqa: ANN401
    answer = await request(direct, path, host, version, **headers)
    assert answer.status == 200, answer.text
    return answer.json


async def request(direct: Direct, path: str, host: str = "devAzure", version: str = V, **headers: str) -> Answer:
    return await direct.devops(host, f"{path}{'&' if '?' in path else '?'}{version}", **headers)


async def artifacts(direct: Direct, build: int) -> list[str]:
    return [item["name"] for item in (await get(direct, f"{API}/build/builds/{build}/artifacts"))["value"]]


async def tasks(direct: Direct, build: int) -> dict[str, str]:
    """Return the results of the records with the scan's task by name; all have the same id."""
    records = (await get(direct, f"{API}/build/builds/{build}/timeline"))["records"]
    return {record["name"]: record["result"] for record in records if (record["task"] or {}).get("id") == SCAN_TASK_ID}


MAPPING = {f"Microsoft Defender for DevOps Container Mapping {part}": "succeeded" for part in ("Start", "End")}
STEP = "Microsoft Security DevOps"

CASES: dict[str, tuple[str, dict[str, Any], list[str], dict[str, str], str]] = {
    "scanned": (yaml(SCAN), {}, ["CodeAnalysisLogs"], {STEP: "succeeded"}, "succeeded"),
    "container mapping only": (yaml(), {}, [], {}, "succeeded"),
    "publish: false": (yaml(f"{SCAN}  inputs: {{publish: false}}\n"), {}, [], {STEP: "succeeded"}, "succeeded"),
    "an artifact of another name": (
        yaml(f"{SCAN}  inputs: {{artifactName: Findings}}\n"),
        {},
        ["Findings"],
        {STEP: "succeeded"},
        "succeeded",
    ),
    "a skipped step": (yaml(f"{SCAN}  condition: false\n"), {}, [], {STEP: "skipped"}, "succeeded"),
    "findings that fail the build": (
        yaml(f"{SCAN}  inputs: {{break: true}}\n"),
        {"steps": {"MicrosoftSecurityDevOps": "failed"}},
        ["CodeAnalysisLogs"],
        {STEP: "failed"},
        "failed",
    ),
    "SARIF of another tool": (
        yaml("- task: PublishBuildArtifacts@1\n  inputs: {ArtifactName: CodeAnalysisLogs}\n"),
        {},
        ["CodeAnalysisLogs"],
        {},
        "succeeded",
    ),
    "a build that was canceled": (
        yaml(SCAN),
        {"result": "canceled", "artifacts": []},
        [],
        {STEP: "succeeded"},
        "canceled",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_a_build_publishes_and_records_what_its_steps_do(
    direct: Direct, case: tuple[str, dict[str, Any], list[str], dict[str, str], str]
) -> None:
    text, build, published, records, result = case
    identifier = await prepare(direct, text, builds=[build])
    assert await artifacts(direct, identifier) == published
    assert await tasks(direct, identifier) == {**MAPPING, **records}
    assert (await get(direct, f"{API}/build/builds/{identifier}"))["result"] == result


async def test_container_mapping_injects_its_steps_only_where_it_is_installed_and_works(direct: Direct) -> None:
    await prepare(direct, yaml())
    await direct.control(
        "PATCH", "/organizations/contoso", extensions={"ms-securitydevops.ms-dfd-code-to-cloud": "disabled"}
    )
    added = await direct.control("POST", f"{PROJECT}/pipelines/storefront-ci/builds")
    assert await tasks(direct, added["id"]) == {}


async def test_a_decorator_of_the_organization_scans_without_any_yaml(direct: Direct) -> None:
    await direct.control("PATCH", "/organizations/contoso", decoratorSteps=["MicrosoftSecurityDevOps@1"])
    identifier = await prepare(direct, yaml())
    assert await artifacts(direct, identifier) == ["CodeAnalysisLogs"]
    assert "MicrosoftSecurityDevOps" in await tasks(direct, identifier)
    assert "SecurityDevOps" not in (await request(direct, f"{API}/build/builds/{identifier}/logs/1")).text


# --- definitions


async def definitions(direct: Direct, query: str = "") -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = (await get(direct, f"{API}/build/definitions?{query}"))["value"]
    return listed


async def test_a_definition_has_process_and_repository_only_with_all_properties(direct: Direct) -> None:
    await prepare(direct, yaml())
    (short,) = await definitions(direct)
    assert not {"process", "repository", "latestCompletedBuild"} & set(short)
    (full,) = await definitions(direct, "includeAllProperties=true&includeLatestBuilds=true")
    assert full["process"] == {"type": 2, "yamlFilename": "azure-pipelines.yml"}
    assert (full["repository"]["type"], full["repository"]["name"]) == ("TfsGit", "storefront")
    assert full["latestCompletedBuild"]["sourceBranch"] == "refs/heads/main"
    assert (await get(direct, f"{API}/build/definitions/{full['id']}"))["process"] == full["process"]


async def test_the_latest_build_may_be_one_of_a_pull_request(direct: Direct) -> None:
    builds = [{"age": 3600}, {"age": 60, "branch": "refs/pull/7/merge"}, {"status": "inProgress"}]
    await prepare(direct, yaml(SCAN), builds=builds)
    (full,) = await definitions(direct, "includeLatestBuilds=true")
    assert full["latestBuild"]["status"] == "inProgress"
    assert full["latestCompletedBuild"]["reason"] == "pullRequest"
    query = "branchName=refs/heads/main&statusFilter=completed&maxBuildsPerDefinition=1"
    (build,) = (await get(direct, f"{API}/build/builds?{query}"))["value"]
    assert build["reason"] == "individualCI"


async def test_task_id_filter_finds_designer_pipelines_only(direct: Direct) -> None:
    await prepare(direct, yaml(SCAN))
    await prepare(direct, yaml(), "checkout", name="classic", yaml=None, tasks=["MicrosoftSecurityDevOps@1"])
    assert [item["name"] for item in await definitions(direct, f"taskIdFilter={SCAN_TASK_ID.upper()}")] == ["classic"]
    (classic,) = await definitions(direct, "name=classic&includeAllProperties=true&includeLatestBuilds=true")
    (step,) = classic["process"]["phases"][0]["steps"]
    assert (classic["process"]["type"], step["task"]["id"]) == (1, SCAN_TASK_ID)
    identifier = classic["latestBuild"]["id"]
    assert "Run Microsoft Defender for DevOps" in await tasks(direct, identifier)
    assert await artifacts(direct, identifier) == ["CodeAnalysisLogs"]
    assert "stages:" not in (await request(direct, f"{API}/build/builds/{identifier}/logs/1")).text
    await direct.control("PATCH", "/variants", taskFilter="everything")
    assert len(await definitions(direct, f"taskIdFilter={SCAN_TASK_ID}")) == 2


FILTERS = {
    "yamlFilename=/other.yml&includeAllProperties=true": ["two"],
    "yamlFilename=OTHER.yml&includeAllProperties=true": ["two"],
    "yamlFilename=other.yml": ["one", "two", "hub"],
    "name=ONE": ["one"],
    "processType=1": [],
    "definitionIds=2,3": ["two", "hub"],
    "queryOrder=definitionNameDescending": ["two", "one", "hub"],
    "repositoryId=contoso/site&repositoryType=GitHub": ["hub"],
}


async def test_definitions_are_filtered_and_ordered(direct: Direct) -> None:
    await prepare(direct, yaml(), name="one")
    await prepare(direct, yaml(), "checkout", name="two", yaml="other.yml")
    hub = {"name": "hub", "repository": "contoso/site", "repositoryType": "GitHub"}
    await direct.control("POST", f"{PROJECT}/pipelines", **hub)
    for query, names in FILTERS.items():
        assert [item["name"] for item in await definitions(direct, query)] == names, query
    (repository,) = [item for item in await definitions(direct, "includeAllProperties=true") if item["name"] == "two"]
    query = f"repositoryId={repository['repository']['id']}"
    assert [item["name"] for item in await definitions(direct, f"{query}&repositoryType=tfsgit")] == ["two"]
    assert (await request(direct, f"{API}/build/definitions?{query}")).status == 400


async def test_lists_come_in_pages_with_opaque_tokens(direct: Direct) -> None:
    for number in range(5):
        await prepare(direct, yaml(), name=f"p{number}", builds=[{"age": 60.0 * number}])
        await direct.control("POST", f"{PROJECT}/policies", pipeline=f"p{number}")
    await direct.control("PATCH", "/settings", azureDevopsPageSize=2)
    for path in ("build/definitions", "build/builds", "policy/configurations"):
        identifiers, token = [], ""
        for _ in range(3):
            page = await request(direct, f"{API}/{path}?$top=1000&continuationToken={token}")
            identifiers += [item["id"] for item in page.json["value"]]
            token = page.headers.get("x-ms-continuationtoken", "")
        assert sorted(identifiers) == [1, 2, 3, 4, 5], path
        assert token == ""
        for wrong in ("2", "!", "cG9zaXRpb246eA=="):
            assert (await request(direct, f"{API}/{path}?continuationToken={wrong}")).status == 400


async def test_new_builds_do_not_shift_the_pages_of_builds(direct: Direct) -> None:
    await prepare(direct, yaml(), builds=[{"age": 60.0 * number} for number in range(1, 5)])
    first = await request(direct, f"{API}/build/builds?$top=2")
    await direct.control("POST", f"{PROJECT}/pipelines/storefront-ci/builds")
    token = first.headers["x-ms-continuationtoken"]
    second = await request(direct, f"{API}/build/builds?$top=9&continuationToken={token}")
    identifiers = [item["id"] for answer in (first, second) for item in answer.json["value"]]
    assert identifiers == [4, 3, 2, 1]


async def test_a_pipeline_or_project_that_the_account_may_not_see_is_absent(direct: Direct) -> None:
    identifier = await prepare(direct, yaml(SCAN))
    await direct.control("PATCH", f"{PROJECT}/pipelines/storefront-ci", viewDenied=[ACCOUNT])
    assert await definitions(direct) == []
    assert (await get(direct, f"{API}/build/builds"))["value"] == []
    for path in ("build/definitions/1", f"build/builds/{identifier}", f"build/builds/{identifier}/artifacts"):
        assert (await request(direct, f"{API}/{path}")).status == 404
    assert (
        len(
            (
                await direct.devops(
                    "devAzure", f"{API}/build/definitions?{V}", token=direct.token("alex@contoso.com", "devops")
                )
            ).json["value"]
        )
        == 1
    )
    await direct.control("PATCH", PROJECT, hiddenFrom=[ACCOUNT])
    projects = (await get(direct, "/contoso/_apis/projects"))["value"]
    assert "webshop" not in {project["name"] for project in projects}
    repositories = (await get(direct, "/contoso/_apis/git/repositories"))["value"]
    assert "storefront" not in {repository["name"] for repository in repositories}
    assert (await request(direct, f"{API}/build/definitions")).json["message"].startswith("TF200016")


async def test_a_changed_pipeline_has_another_revision(direct: Direct) -> None:
    await prepare(direct, yaml())
    changed = await direct.control(
        "PATCH", f"{PROJECT}/pipelines/storefront-ci", queueStatus="disabled", repository="checkout"
    )
    assert changed["revision"] == 2
    (full,) = await definitions(direct, "includeAllProperties=true")
    assert (full["revision"], full["queueStatus"], full["repository"]["name"]) == (2, "disabled", "checkout")
    unchanged = await direct.control("PATCH", f"{PROJECT}/pipelines/storefront-ci", viewDenied=[])
    assert unchanged["revision"] == 2
    await direct.control("DELETE", f"{PROJECT}/pipelines/storefront-ci")
    assert await definitions(direct) == []


# --- builds


async def test_builds_are_filtered_by_every_parameter(direct: Direct) -> None:
    builds: list[dict[str, Any]] = [
        {"age": 3 * DAY},
        {"age": 2 * DAY, "result": "failed"},
        {"age": DAY, "branch": "refs/heads/feature", "reason": "manual"},
        {"status": "inProgress"},
    ]
    branches = {"feature": {"azure-pipelines.yml": yaml()}}
    await direct.control("PATCH", f"{PROJECT}/repositories/storefront", branches=branches)
    await prepare(direct, yaml(), builds=builds)
    now = direct.clock.wall()
    cases = {
        "": [3, 2, 1],
        "queryOrder=queueTimeAscending": [1, 2, 3, 4],
        "queryOrder=startTimeDescending&maxBuildsPerDefinition=1": [4],
        "statusFilter=inProgress&queryOrder=queueTimeDescending": [4],
        "statusFilter=all&queryOrder=queueTimeDescending": [4, 3, 2, 1],
        "resultFilter=failed": [2],
        "branchName=refs/heads/feature": [3],
        "branchName=feature": [],
        "reasonFilter=manual,schedule": [3],
        "buildIds=1,3": [3, 1],
        f"minTime={direct.world.clock.stamp(direct.clock.now() - 2.5 * DAY)}": [3, 2],
        f"maxTime={direct.world.clock.stamp(direct.clock.now() - 1.5 * DAY)}": [2, 1],
        "definitions=1&$top=1": [3],
        "definitions=7": [],
    }
    for query, expected in cases.items():
        listed = (await get(direct, f"{API}/build/builds?{query}"))["value"]
        assert [item["id"] for item in listed] == expected, query
    assert direct.clock.wall() == now
    for wrong in ("minTime=yesterday", "repositoryId=x", "$top=many"):
        assert (await request(direct, f"{API}/build/builds?{wrong}")).status == 400, wrong


async def test_the_first_log_is_the_expanded_yaml_as_text_or_as_lines(direct: Direct) -> None:
    identifier = await prepare(direct, yaml(SCAN))
    log = await request(direct, f"{API}/build/builds/{identifier}/logs/1", Accept="text/plain")
    assert log.headers["Content-Type"].startswith("text/plain")
    assert log.text.startswith("stages:")
    assert "MicrosoftSecurityDevOps@1" in log.text
    assert "Container Mapping" not in log.text
    lines = await get(direct, f"{API}/build/builds/{identifier}/logs/1", Accept="application/json")
    assert lines["value"] == log.text.splitlines()
    logs = await get(direct, f"{API}/build/builds/{identifier}/logs")
    assert [item["id"] for item in logs["value"]] == list(range(1, logs["count"] + 1))
    assert (await request(direct, f"{API}/build/builds/{identifier}/logs/99")).status == 404
    await direct.control("PATCH", "/variants", containerMappingSteps="shown")
    assert "Container Mapping Start" in (await request(direct, f"{API}/build/builds/{identifier}/logs/1")).text
    await direct.control("PATCH", "/variants", firstLog="ordinary")
    assert "stages:" not in (await request(direct, f"{API}/build/builds/{identifier}/logs/1")).text


async def test_a_build_shows_the_yaml_that_it_ran_not_that_of_now(direct: Direct) -> None:
    identifier = await prepare(direct, yaml(SCAN))
    await direct.control("PATCH", f"{PROJECT}/repositories/storefront", files={"azure-pipelines.yml": yaml()})
    assert "MicrosoftSecurityDevOps" in (await request(direct, f"{API}/build/builds/{identifier}/logs/1")).text
    later = await direct.control("POST", f"{PROJECT}/pipelines/storefront-ci/builds")
    assert later["artifacts"] == []


async def test_a_build_of_another_branch_runs_the_file_of_that_branch(direct: Direct) -> None:
    await prepare(direct, yaml())
    await direct.control(
        "PATCH", f"{PROJECT}/repositories/storefront", branches={"feature": {"azure-pipelines.yml": yaml(SCAN)}}
    )
    added = await direct.control("POST", f"{PROJECT}/pipelines/storefront-ci/builds", branch="refs/heads/feature")
    assert added["artifacts"] == ["CodeAnalysisLogs"]


async def test_logs_and_artifacts_vanish_with_the_retention(direct: Direct) -> None:
    identifier = await prepare(direct, yaml(SCAN), builds=[{"age": 29 * DAY}, {"age": 29 * DAY, "retained": True}])
    old = identifier - 1
    assert await artifacts(direct, old) == ["CodeAnalysisLogs"]
    direct.move(2 * DAY)
    assert await artifacts(direct, old) == []
    assert (await request(direct, f"{API}/build/builds/{old}/logs/1")).status == 404
    assert (await get(direct, f"{API}/build/builds?buildIds={old}"))["count"] == 1
    assert STEP in await tasks(direct, old)
    assert await artifacts(direct, identifier) == ["CodeAnalysisLogs"]
    await direct.control("PATCH", "/variants", expiredBuilds="deleted")
    assert (await get(direct, f"{API}/build/builds?buildIds={old}"))["count"] == 0
    assert (await request(direct, f"{API}/build/builds/{old}")).status == 404


async def test_yaml_that_cannot_be_expanded_makes_a_build_that_failed(direct: Direct) -> None:
    identifier = await prepare(direct, "steps: [")
    assert (await get(direct, f"{API}/build/builds/{identifier}"))["result"] == "failed"
    assert (await request(direct, f"{API}/build/builds/{identifier}/timeline")).status == 204
    assert (await request(direct, f"{API}/build/builds/{identifier}/logs/1")).status == 404
    assert await artifacts(direct, identifier) == []


async def test_one_artifact_is_found_by_name(direct: Direct) -> None:
    identifier = await prepare(direct, yaml(SCAN))
    url = f"{API}/build/builds/{identifier}/artifacts?artifactName="
    assert (await get(direct, f"{url}codeanalysislogs"))["name"] == "CodeAnalysisLogs"
    assert (await request(direct, f"{url}other")).status == 404


async def test_two_pipelines_of_one_repository_of_which_one_scans(direct: Direct) -> None:
    await prepare(direct, yaml())
    await direct.control("PATCH", f"{PROJECT}/repositories/storefront", files={"nightly.yml": yaml(SCAN)})
    await direct.control(
        "POST", f"{PROJECT}/pipelines", name="nightly", repository="storefront", yaml="nightly.yml", builds=[{}]
    )
    listed = (await get(direct, f"{API}/build/builds?maxBuildsPerDefinition=1&queryOrder=queueTimeAscending"))["value"]
    assert [await artifacts(direct, build["id"]) for build in listed] == [[], ["CodeAnalysisLogs"]]


# --- templates and preview


async def preview(direct: Direct, pipeline: int = 1, token: str | None = None, **body: object) -> Answer:
    url = f"{API}/pipelines/{pipeline}/preview?{V}"
    return await direct.devops("devAzure", url, token=token, body={"previewRun": True, **body})


TEMPLATES = "resources:\n  repositories:\n  - {repository: central, type: git, name: infrastructure/network}\n"


async def test_a_step_may_come_from_a_template_of_another_repository(direct: Direct) -> None:
    network = "/organizations/contoso/projects/infrastructure/repositories/network"
    await direct.control("PATCH", network, files={"scan.yml": f"steps:\n{SCAN}"})
    text = f"{TEMPLATES}steps:\n- template: scan.yml@central\n"
    identifier = await prepare(direct, text)
    file = await get(
        direct,
        f"{API}/git/repositories/storefront/items?path=azure-pipelines.yml&includeContent=true",
        Accept="application/json",
    )
    assert "MicrosoftSecurityDevOps" not in file["content"]
    assert "MicrosoftSecurityDevOps@1" in (await preview(direct)).json["finalYaml"]
    assert await artifacts(direct, identifier) == ["CodeAnalysisLogs"]


async def test_a_yaml_file_may_be_in_another_repository_than_the_code(direct: Direct) -> None:
    await direct.control("PATCH", f"{PROJECT}/repositories/catalog", files={"ci/storefront.yml": yaml(SCAN)})
    await prepare(direct, yaml(SCAN), "catalog", yaml="ci/storefront.yml")
    (full,) = await definitions(direct, "includeAllProperties=true")
    assert full["repository"]["name"] == "catalog"


INVALID: dict[str, tuple[str, dict[str, object], str]] = {
    "a parameter without default": (
        "parameters:\n- {name: tool, type: string}\nsteps:\n- script: a\n",
        {},
        "A value for the 'tool' parameter must be provided",
    ),
    "wrong YAML": ("steps: [", {}, "(Line: 1, Col: 1)"),
    "a missing repository": (
        TEMPLATES.replace("network", "nowhere") + "steps:\n- template: a.yml@central\n",
        {},
        "could not be retrieved",
    ),
    "a missing file": (yaml(), {"yaml": "gone.yml"}, "File /gone.yml not found in repository"),
    "a designer pipeline": (yaml(), {"yaml": None, "tasks": ["CmdLine@2"]}, "designer"),
    "a disabled pipeline": (yaml(), {"queueStatus": "disabled"}, "disabled"),
    "whatever the file says": (yaml(), {"validationError": "No hosted parallelism."}, "No hosted parallelism."),
}


@pytest.mark.parametrize("case", INVALID.values(), ids=INVALID.keys())
async def test_a_preview_that_is_not_possible_is_a_400(
    direct: Direct, case: tuple[str, dict[str, object], str]
) -> None:
    text, pipeline, message = case
    await prepare(direct, text, **pipeline)
    answer = await preview(direct)
    assert (answer.status, answer.json["typeKey"]) == (400, "PipelineValidationException")
    assert message in answer.json["message"]


async def test_a_preview_may_give_values_to_parameters_and_choose_a_branch(direct: Direct) -> None:
    text = "parameters:\n- {name: tool, type: string}\nsteps:\n- script: ${{ parameters.tool }}\n"
    await direct.control(
        "PATCH", f"{PROJECT}/repositories/storefront", branches={"dev": {"azure-pipelines.yml": yaml(SCAN)}}
    )
    await prepare(direct, text)
    answer = await preview(direct, templateParameters={"tool": "trivy"})
    assert "script: trivy" in answer.json["finalYaml"]
    answer = await preview(direct, resources={"repositories": {"self": {"refName": "refs/heads/dev"}}})
    assert "MicrosoftSecurityDevOps@1" in answer.json["finalYaml"]
    answer = await preview(direct, resources={"repositories": {"self": {"refName": "refs/heads/gone"}}})
    assert "branch refs/heads/gone" in answer.json["message"]


@pytest.mark.parametrize("flags", ["disabled", None])
async def test_a_task_of_an_extension_that_is_not_there_is_invalid(direct: Direct, flags: str | None) -> None:
    await prepare(direct, yaml(SCAN))
    await direct.control("PATCH", "/organizations/contoso", extensions={SCANNER: flags})
    assert "task called 'MicrosoftSecurityDevOps'" in (await preview(direct)).json["message"]


async def test_a_preview_never_makes_a_build_and_a_run_does(direct: Direct) -> None:
    await prepare(direct, yaml(SCAN), builds=[])
    assert (await preview(direct)).status == 200
    override = await preview(direct, yamlOverride="steps:\n- script: other\n")
    assert "other" in override.json["finalYaml"]
    runs = f"{API}/pipelines/1/runs?{V}"
    dry = await direct.devops("devAzure", runs, body={"previewRun": True})
    assert "finalYaml" in dry.json
    assert await direct.control("GET", "/journal", effective="true") == {"last": 3, "entries": []}
    started = await direct.devops("devAzure", runs, body={"previewrun": True})
    queued = await direct.devops("devAzure", f"{API}/build/builds?{V}", body={"definition": {"id": 1}})
    assert (started.json["id"], queued.json["id"]) == (1, 2)
    entries = (await direct.control("GET", "/journal", effective="true"))["entries"]
    assert [entry["operation"] for entry in entries] == ["Runs_RunPipeline", "Builds_Queue"]
    assert entries[0]["effects"] == [{"kind": "build.queue", "pipeline": 1, "build": 1}]
    reader = direct.token(ACCOUNT, "devops", ("vso.build", "vso.code"))
    assert (await direct.devops("devAzure", runs, token=reader, body={})).status == 403


async def test_a_reader_may_not_queue_and_perhaps_not_preview(direct: Direct) -> None:
    await prepare(direct, yaml())
    direct.world.organizations["contoso"].members["44444444-4444-4444-4444-444444444444"].queue_builds = False
    answer = await preview(direct)
    assert answer.status == 403
    assert answer.json["message"].startswith("TF215106: Access denied.")
    await direct.control("PATCH", "/variants", previewRights="viewBuilds")
    assert (await preview(direct)).status == 200
    assert (await direct.devops("devAzure", f"{API}/pipelines/1/runs?{V}", body={})).status == 403


# --- code


async def test_files_are_read_as_json_or_text_on_any_branch(direct: Direct) -> None:
    await direct.control(
        "PATCH",
        f"{PROJECT}/repositories/storefront",
        files={"a/ü b.txt": "x\n", "c.md": "#"},
        branches={"dev": {"d": ""}},
    )
    items = f"{API}/git/repositories/storefront/items"
    body = await get(direct, f"{items}?path=/a/ü b.txt&includeContent=true", Accept="application/json")
    assert (body["content"], body["objectId"]) == ("x\n", "587be6b4c3f93f93c489c0111bba5596147a26cb"), (
        "as git computes it"
    )
    assert (await request(direct, f"{items}?path=c.md", Accept="text/plain")).text == "#"
    assert "content" not in await get(direct, f"{items}?path=c.md&$format=json")
    listed = (await get(direct, f"{items}?scopePath=/&recursionLevel=full"))["value"]
    assert [item["path"] for item in listed] == ["/a/ü b.txt", "/c.md"]
    assert [item["path"] for item in (await get(direct, items))["value"]] == ["/c.md"]
    assert [item["path"] for item in (await get(direct, f"{items}?versionDescriptor.version=dev"))["value"]] == ["/d"]
    pinned = f"{items}?path=c.md&versionDescriptor.versionType=commit&versionDescriptor.version={body['commitId']}"
    assert (await request(direct, pinned)).status == 200
    refs = (await get(direct, f"{API}/git/repositories/storefront/refs?filter=heads/"))["value"]
    assert {ref["name"]: ref["objectId"] == body["commitId"] for ref in refs} == {
        "refs/heads/dev": False,
        "refs/heads/main": True,
    }


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("storefront/items?path=gone", "TF401174"),
        ("storefront/items?path=x&versionDescriptor.version=gone", "TF401175"),
        ("legacy/items?path=x", "TF401019"),
        ("nothing/items?path=x", "TF401019"),
        ("nothing", "TF401019"),
    ],
)
async def test_what_is_not_there_is_404(direct: Direct, path: str, code: str) -> None:
    answer = await request(direct, f"{API}/git/repositories/{path}")
    assert (answer.status, answer.json["message"][:8]) == (404, code)


async def test_empty_repositories_forks_and_tfvc_are_told_apart(direct: Direct) -> None:
    empty = await request(direct, "/contoso/infrastructure/_apis/git/repositories/empty/items?path=x")
    assert (empty.status, empty.json["message"][:8]) == (404, "VS403403")
    await direct.control("PATCH", f"{PROJECT}/repositories/search", fork=True)
    assert (await get(direct, f"{API}/git/repositories/search"))["isFork"]
    assert "isFork" not in await get(direct, f"{API}/git/repositories/catalog")
    office = "/organizations/contoso/projects/back-office/pipelines"
    await direct.control("POST", office, name="tfvc", yaml=None, tasks=["CmdLine@2"])
    (full,) = (await get(direct, "/contoso/back-office/_apis/build/definitions?includeAllProperties=true"))["value"]
    assert full["repository"]["type"] == "TfsVersionControl"


async def test_a_commit_changes_with_the_files_of_its_branch_only(direct: Direct) -> None:
    refs = f"{API}/git/repositories/storefront/refs?filter=heads/main"
    commits = []
    for changes in ({"files": {"a": "1"}}, {"branches": {"dev": {}}}, {"files": {"a": "2"}}, {"files": {"a": None}}):
        await direct.control("PATCH", f"{PROJECT}/repositories/storefront", **changes)
        commits.append((await get(direct, refs))["value"][0]["objectId"])
    assert commits[0] == commits[1]
    assert len(set(commits)) == 3


# --- code search


async def search(direct: Direct, text: object, path: str = "/contoso", **body: object) -> Answer:
    values = {"searchText": text, "$skip": 0, "$top": 100, **body}
    return await direct.devops("search", f"{path}/_apis/search/codesearchresults?{V}", body=values)


async def test_code_search_finds_files_of_indexed_default_branches(direct: Direct) -> None:
    await prepare(direct, yaml(SCAN))
    await prepare(direct, yaml(SCAN), "checkout")
    files = {"notes.md": "MicrosoftSecurityDevOps", "x.yml": "MicrosoftSecurityDevOpsX"}
    await direct.control("PATCH", f"{PROJECT}/repositories/catalog", files=files, branches={"dev": {"a.yml": SCAN}})
    answer = (await search(direct, "microsoftsecuritydevops ext:yml")).json
    assert (answer["count"], answer["infoCode"]) == (2, 0)
    assert {item["repository"]["name"] for item in answer["results"]} == {"storefront", "checkout"}
    (first, _) = answer["results"]
    assert (first["path"], first["versions"][0]["branchName"]) == ("/azure-pipelines.yml", "main")
    assert (await search(direct, "MicrosoftSecurityDevOps")).json["count"] == 3
    assert (await search(direct, "MicrosoftSecurity* file:x.yml")).json["count"] == 1
    filtered = await search(
        direct, "task", filters={"Project": ["webshop"], "Repository": ["checkout"], "Branch": ["main"]}
    )
    assert filtered.json["count"] == 1
    assert (await search(direct, "task", "/contoso/infrastructure")).json["count"] == 0
    await direct.control("PATCH", f"{PROJECT}/repositories/checkout", indexed=False)
    await direct.control("PATCH", f"{PROJECT}/repositories/storefront", fork=True)
    assert (await search(direct, "MicrosoftSecurityDevOps ext:yml")).json["count"] == 0


async def test_an_info_code_says_that_the_answer_is_partial(direct: Direct) -> None:
    await prepare(direct, yaml(SCAN))
    await direct.control("PATCH", "/organizations/contoso", searchInfoCode=1)
    assert (await search(direct, "task")).json["infoCode"] == 1
    await direct.control("PATCH", "/organizations/contoso", searchInfoCode=0)
    assert (await search(direct, "task", **{"$top": 5000})).json["infoCode"] == 8
    assert (await search(direct, " ")).json["infoCode"] == 3
    for wrong in (1, None):
        assert (await search(direct, wrong)).status == 400


async def test_search_results_are_paged_by_skip_and_top(direct: Direct) -> None:
    await prepare(direct, yaml())
    await direct.control("PATCH", f"{PROJECT}/repositories/catalog", files={f"{n}.txt": "word" for n in range(5)})
    pages = [(await search(direct, "word", **{"$skip": skip, "$top": 2})).json for skip in (0, 2, 4, 6)]
    assert [len(page["results"]) for page in pages] == [2, 2, 1, 0]
    assert {page["count"] for page in pages} == {5}


async def test_code_search_needs_its_extension(direct: Direct) -> None:
    assert (await search(direct, "word")).status == 404


async def test_the_index_status_lists_the_indexed_branch(direct: Direct) -> None:
    url = f"{API}/search/status/repositories/storefront"
    assert [branch["name"] for branch in (await get(direct, url, "search"))["indexedBranches"]] == ["main"]
    await direct.control("PATCH", f"{PROJECT}/repositories/storefront", indexed=False)
    assert (await get(direct, url, "search"))["indexedBranches"] == []


# --- policies, Advanced Security, task groups, tasks


async def test_branch_policies_are_listed_by_type(direct: Direct) -> None:
    await prepare(direct, yaml(SCAN))
    validation = await direct.control("POST", f"{PROJECT}/policies", pipeline="storefront-ci", repository="storefront")
    await direct.control("POST", f"{PROJECT}/policies", type="reviewers", matchKind="DefaultBranch")
    url = f"{API}/policy/configurations"
    build, reviewers = (await get(direct, url))["value"]
    assert (build["settings"]["buildDefinitionId"], build["isEnabled"]) == (1, True)
    (scope,) = build["settings"]["scope"]
    assert (scope["refName"], scope["matchKind"]) == ("refs/heads/main", "Exact")
    assert reviewers["settings"]["scope"] == [{"repositoryId": None, "matchKind": "DefaultBranch"}]
    (only,) = (await get(direct, f"{url}?policyType=0609B952-1397-4640-95ec-e00a01b2c241"))["value"]
    assert only["id"] == validation["id"]
    await direct.control("PATCH", f"{PROJECT}/policies/{validation['id']}", enabled=False)
    assert not (await get(direct, url))["value"][0]["isEnabled"]
    await direct.control("PATCH", f"{PROJECT}/policies/{validation['id']}", deleted=True)
    assert (await get(direct, url))["count"] == 1


async def test_enablement_lists_repositories_whose_switches_were_touched(direct: Direct) -> None:
    url = "/contoso/_apis/management/enablement"
    assert (await get(direct, url, "advancedSecurity", PREVIEW))["reposEnablementStatus"] == []
    switches = {"codeQl": True, "codeSecurity": True, "blockPushes": True}
    await direct.control("PATCH", f"{PROJECT}/repositories/storefront", advancedSecurity=switches)
    (status,) = (await get(direct, url, "advancedSecurity", PREVIEW))["reposEnablementStatus"]
    assert status["codeSecurityFeatures"]["codeQLEnabled"]
    assert "blockPushes" not in status["secretProtectionFeatures"]
    full = await get(direct, f"{API}/management/enablement?includeAllProperties=true", "advancedSecurity", PREVIEW)
    assert full["reposEnablementStatus"][0]["secretProtectionFeatures"]["blockPushes"]
    untouched = await get(direct, f"{API}/management/repositories/catalog/enablement", "advancedSecurity", PREVIEW)
    assert not untouched["codeSecurityFeatures"]["codeSecurityEnabled"]
    assert (await request(direct, url, "advancedSecurity")).status == 400, "preview versions only"


async def test_task_groups_are_found_by_their_tasks(direct: Direct) -> None:
    groups = [{"name": "secure", "tasks": ["MicrosoftSecurityDevOps@1"]}, {"name": "build", "tasks": ["CmdLine@2"]}]
    await direct.control("POST", "/organizations/contoso/projects", name="classic", taskGroups=groups)
    url = "/contoso/classic/_apis/distributedtask/taskgroups"
    version = "api-version=7.1-preview.1"
    assert (await get(direct, url, version=version))["count"] == 2
    (group,) = (await get(direct, f"{url}?taskIdFilter={SCAN_TASK_ID}", version=version))["value"]
    assert group["name"] == "secure"


async def test_the_task_seems_installed_where_only_container_mapping_is(direct: Direct) -> None:
    url = f"/contoso/_apis/distributedtask/tasks/{SCAN_TASK_ID}"
    assert (await get(direct, url))["count"] == 1
    await direct.control("PATCH", "/organizations/contoso", extensions={"ms-securitydevops.ms-dfd-code-to-cloud": None})
    assert (await get(direct, url))["count"] == 0


async def test_the_scanner_extension_is_installed_disabled_and_removed(direct: Direct) -> None:
    async def flags() -> dict[str, str]:
        url = "/contoso/_apis/extensionmanagement/installedextensions?includeDisabledExtensions=true"
        listed = (await get(direct, url, "extension", "api-version=7.1-preview.1"))["value"]
        return {item["extensionId"]: item["installState"]["flags"] for item in listed}

    assert set(await flags()) == {"ms-dfd-code-to-cloud"}
    for state in ("none", "disabled", "none, needsReauthorization"):
        await direct.control("PATCH", "/organizations/contoso", extensions={SCANNER: state})
        assert (await flags())["microsoft-security-devops-azdevops"] == state
    await direct.control("PATCH", "/organizations/contoso", extensions={SCANNER: None})
    assert set(await flags()) == {"ms-dfd-code-to-cloud"}
    assert (await direct.try_control("PATCH", "/organizations/contoso", extensions={"x": "none"})).status == 400


# --- rights and costs

SCOPES: dict[str, tuple[str, str, str, bool]] = {
    "definitions": ("devAzure", f"{API}/build/definitions?{V}", "vso.build", False),
    "builds": ("devAzure", f"{API}/build/builds?{V}", "vso.build", False),
    "artifacts": ("devAzure", f"{API}/build/builds/1/artifacts?{V}", "vso.build", False),
    "timeline": ("devAzure", f"{API}/build/builds/1/timeline?{V}", "vso.build", False),
    "log": ("devAzure", f"{API}/build/builds/1/logs/1?{V}", "vso.build", False),
    "preview": ("devAzure", f"{API}/pipelines/1/preview?{V}", "vso.build", True),
    "items": ("devAzure", f"{API}/git/repositories/storefront/items?{V}", "vso.code", False),
    "policies": ("devAzure", f"{API}/policy/configurations?{V}", "vso.code", False),
    "search": ("search", f"{API}/search/codesearchresults?{V}", "vso.code", True),
    "index": ("search", f"{API}/search/status/repositories/storefront?{V}", "vso.code", False),
    "enablement": ("advancedSecurity", f"/contoso/_apis/management/enablement?{PREVIEW}", "vso.advsec", False),
    "extensions": (
        "extension",
        "/contoso/_apis/extensionmanagement/installedextensions?api-version=7.1-preview.1",
        "vso.extension",
        False,
    ),
    "task groups": ("devAzure", f"{API}/distributedtask/taskgroups?{PREVIEW}", "vso.taskgroups_read", False),
}


@pytest.mark.parametrize("case", SCOPES.values(), ids=SCOPES.keys())
async def test_a_call_needs_its_scope_and_no_other(direct: Direct, case: tuple[str, str, str, bool]) -> None:
    host, url, scope, has_body = case
    await prepare(direct, yaml(SCAN))
    body = {"searchText": "task"} if has_body else None
    allowed = direct.token(ACCOUNT, "devops", (scope,))
    assert (await direct.devops(host, url, token=allowed, body=body)).status == 200
    scopes = {other for _, _, other, _ in SCOPES.values()} - {scope}
    refused = await direct.devops(host, url, token=direct.token(ACCOUNT, "devops", tuple(scopes)), body=body)
    assert refused.status == 403
    assert scope in refused.json["message"]


async def test_a_missing_scope_may_look_otherwise(direct: Direct) -> None:
    token = direct.token(ACCOUNT, "devops", ("vso.code",))
    url = f"{API}/build/definitions?{V}"
    await direct.control("PATCH", "/variants", missingScope="unauthorized")
    assert (await direct.devops("devAzure", url, token=token)).json["message"].startswith("TF400813")
    await direct.control("PATCH", "/variants", missingScope="signInPage")
    assert (await direct.devops("devAzure", url, token=token)).status == 203


async def test_queueing_is_included_in_reading_builds_and_not_the_other_way(direct: Direct) -> None:
    token = direct.token(ACCOUNT, "devops", ("vso.build_execute",))
    assert (await direct.devops("devAzure", f"{API}/build/definitions?{V}", token=token)).status == 200


async def test_stakeholders_read_builds_but_no_code(direct: Direct) -> None:
    await prepare(direct, yaml(SCAN))
    direct.world.organizations["contoso"].members["44444444-4444-4444-4444-444444444444"].license = License.STAKEHOLDER
    assert (await request(direct, f"{API}/build/builds/1/artifacts")).status == 200
    for path in ("git/repositories/storefront/items?path=azure-pipelines.yml", "policy/configurations"):
        answer = await request(direct, f"{API}/{path}")
        assert (answer.status, answer.json["message"][:8]) == (403, "TF401027")
    assert (await search(direct, "task")).status == 403
    direct.world.organizations["contoso"].projects["webshop"].visibility = "public"
    assert (await request(direct, f"{API}/policy/configurations")).status == 200


async def test_calls_cost_units_of_a_sliding_budget_and_the_peak_is_remembered(direct: Direct) -> None:
    await prepare(direct, yaml(SCAN))
    for _ in range(10):
        await request(direct, f"{API}/build/definitions")
    usage = (await direct.control("GET", "/usage"))[ACCOUNT]
    assert usage == {"used": 2.0, "peak": 2.0}
    await direct.control("PATCH", "/settings", azureDevopsCostFactor=800)
    warned = await request(direct, f"{API}/build/definitions")
    assert (warned.status, warned.headers["X-RateLimit-Remaining"]) == (200, "38")
    await request(direct, f"{API}/build/definitions")
    missing = await request(direct, f"{API}/build/builds/99")
    assert missing.status == 404
    assert int(missing.headers["Retry-After"]) > 0, "errors have the headers, too"
    direct.move(0, wall=301)
    assert (await direct.control("GET", "/usage"))[ACCOUNT] == {"used": 0.0, "peak": 362.0}


async def test_the_sign_in_page_may_come_in_the_middle_of_a_sweep(direct: Direct) -> None:
    await prepare(direct, yaml(SCAN))
    await direct.control(
        "POST",
        "/faults",
        service="devAzure",
        path="/artifacts$",
        after=1,
        status=203,
        body="<html>",
        headers={"Content-Type": "text/html"},
    )
    statuses = [(await request(direct, f"{API}/build/builds/1/artifacts")).status for _ in range(3)]
    assert statuses == [200, 203, 200]


async def test_the_journal_names_every_call(direct: Direct) -> None:
    await prepare(direct, yaml(SCAN))
    for host, url, _, has_body in SCOPES.values():
        await direct.devops(host, url, body={"searchText": "task"} if has_body else None)
    entries = (await direct.control("GET", "/journal", principal=ACCOUNT))["entries"]
    operations = {entry["operation"] for entry in entries}
    assert len(entries) == len(SCOPES)
    assert {"Definitions_List", "Builds_List", "Artifacts_List", "Timeline_Get", "Builds_GetBuildLog"} <= operations
    assert "" not in operations


# --- what else the service might do


async def test_a_denied_pipeline_may_be_forbidden_by_id(direct: Direct) -> None:
    identifier = await prepare(direct, yaml(SCAN), viewDenied=[ACCOUNT])
    await direct.control("PATCH", "/variants", deniedPipelines="forbidden")
    assert await definitions(direct) == []
    for path in ("build/definitions/1", f"build/builds/{identifier}/artifacts"):
        answer = await request(direct, f"{API}/{path}")
        assert (answer.status, answer.json["message"][:8]) == (403, "TF215106")


async def test_code_search_without_its_extension_may_seem_to_begin(direct: Direct) -> None:
    await direct.control("PATCH", "/variants", missingCodeSearch="onboarding")
    assert (await search(direct, "word")).json["infoCode"] == 6


async def test_enablement_may_list_untouched_repositories(direct: Direct) -> None:
    await direct.control("PATCH", "/variants", enablementRows="all")
    statuses = (await get(direct, f"{API}/management/enablement", "advancedSecurity", PREVIEW))["reposEnablementStatus"]
    assert {status["secretProtectionFeatures"]["secretProtectionEnabled"] for status in statuses} == {False}
    assert len(statuses) == 7


async def test_a_log_may_be_text_whatever_the_client_accepts(direct: Direct) -> None:
    identifier = await prepare(direct, yaml(SCAN))
    await direct.control("PATCH", "/variants", logsForJson="text")
    log = await request(direct, f"{API}/build/builds/{identifier}/logs/1", Accept="application/json")
    assert log.text.startswith("stages:")


async def choose(direct: Direct, **choices: str) -> None:
    await direct.control("PATCH", "/variants", **choices)


async def test_an_error_may_have_no_rate_limit_headers(direct: Direct) -> None:
    await prepare(direct, yaml())
    await direct.control("PATCH", "/settings", azureDevopsCostFactor=800)
    await choose(direct, rateLimitHeaders="successes")
    assert "X-RateLimit-Remaining" in (await request(direct, f"{API}/build/definitions")).headers
    assert "X-RateLimit-Remaining" not in (await request(direct, f"{API}/build/builds/99")).headers


async def test_a_hidden_project_may_be_forbidden_by_name(direct: Direct) -> None:
    await direct.control("PATCH", PROJECT, hiddenFrom=[ACCOUNT])
    await choose(direct, hiddenProjects="forbidden")
    answer = await request(direct, f"{API}/build/definitions")
    assert (answer.status, answer.json["message"][:7]) == (403, "TF50309")
    projects = (await get(direct, "/contoso/_apis/projects"))["value"]
    assert "webshop" not in {project["name"] for project in projects}


async def test_code_may_seem_to_be_missing_for_stakeholders(direct: Direct) -> None:
    direct.world.organizations["contoso"].members["44444444-4444-4444-4444-444444444444"].license = License.STAKEHOLDER
    await choose(direct, stakeholderAccess="notFound")
    answer = await request(direct, f"{API}/git/repositories/storefront/refs")
    assert (answer.status, answer.json["message"][:8]) == (404, "TF401019")


async def test_a_task_may_need_another_scope(direct: Direct) -> None:
    url = f"/contoso/_apis/distributedtask/tasks/{SCAN_TASK_ID}?{V}"
    tokens = [direct.token(ACCOUNT, "devops", (scope,)) for scope in ("vso.build", "vso.agentpools")]
    assert [(await direct.devops("devAzure", url, token=token)).status for token in tokens] == [200, 403]
    await choose(direct, taskScope="agentPools")
    assert [(await direct.devops("devAzure", url, token=token)).status for token in tokens] == [403, 200]


async def test_a_repository_without_type_may_be_ignored(direct: Direct) -> None:
    identifier = await prepare(direct, yaml())
    await choose(direct, repositoryWithoutType="ignored")
    assert [item["id"] for item in await definitions(direct, "repositoryId=nothing")] == [1]
    assert [item["id"] for item in (await get(direct, f"{API}/build/builds?repositoryId=nothing"))["value"]] == [
        identifier
    ]


async def test_the_latest_completed_build_may_be_that_of_the_default_branch(direct: Direct) -> None:
    branch = "refs/pull/7/merge"
    builds = [{"age": 60.0}, {"age": 30.0, "branch": branch, "reason": "pullRequest"}]
    await prepare(direct, yaml(), builds=builds)

    async def latest() -> str:
        (full,) = await definitions(direct, "includeLatestBuilds=true")
        return str(full["latestCompletedBuild"]["sourceBranch"])

    assert await latest() == branch
    await choose(direct, latestCompletedBuild="defaultBranch")
    assert await latest() == "refs/heads/main"


async def test_pages_may_have_a_hundred_items(direct: Direct) -> None:
    await prepare(direct, yaml(), builds=[{"age": 60.0 * number} for number in range(1, 103)])
    assert (await get(direct, f"{API}/build/builds"))["count"] == 102
    await choose(direct, devOpsPages="hundred")
    page = await request(direct, f"{API}/build/builds?$top=1000")
    assert page.json["count"] == 100
    token = page.headers["x-ms-continuationtoken"]
    assert (await get(direct, f"{API}/build/builds?continuationToken={token}"))["count"] == 2


async def test_a_build_that_runs_may_come_first(direct: Direct) -> None:
    await prepare(direct, yaml(), builds=[{"age": 60.0}, {"status": "inProgress"}])
    assert [item["status"] for item in (await get(direct, f"{API}/build/builds"))["value"]] == ["completed"]
    await choose(direct, unfinishedBuilds="first")
    listed = [item["status"] for item in (await get(direct, f"{API}/build/builds"))["value"]]
    assert listed == ["inProgress", "completed"]


async def test_a_record_of_checkout_may_have_a_task(direct: Direct) -> None:
    identifier = await prepare(direct, yaml())

    async def names() -> set[str]:
        records = (await get(direct, f"{API}/build/builds/{identifier}/timeline"))["records"]
        return {record["task"]["name"] for record in records if record["task"]}

    assert "Checkout" not in await names()
    await choose(direct, checkoutRecords="withTask")
    assert "Checkout" in await names()


async def test_a_scan_without_a_name_may_have_that_of_the_designer(direct: Direct) -> None:
    identifier = await prepare(direct, yaml("- task: MicrosoftSecurityDevOps@1\n"))
    assert "MicrosoftSecurityDevOps" in await tasks(direct, identifier)
    await choose(direct, stepNames="friendly")
    assert "Run Microsoft Defender for DevOps" in await tasks(direct, identifier)


async def test_a_build_of_invalid_yaml_may_have_an_empty_timeline(direct: Direct) -> None:
    identifier = await prepare(direct, "steps: [")
    await choose(direct, invalidYaml="emptyTimeline")
    assert (await get(direct, f"{API}/build/builds/{identifier}/timeline"))["records"] == []


@pytest.mark.parametrize("pipeline", [{"yaml": None, "tasks": ["CmdLine@2"]}, {"queueStatus": "disabled"}])
async def test_the_error_of_a_preview_may_be_general(direct: Direct, pipeline: dict[str, Any]) -> None:
    await prepare(direct, yaml(), **pipeline)
    await choose(direct, previewErrors="general")
    answer = await preview(direct)
    assert (answer.status, answer.json["message"]) == (400, "The pipeline is not valid.")


async def test_files_of_a_repository_that_cannot_be_read_may_have_another_status(direct: Direct) -> None:
    await choose(direct, unreadableRepositories="other")
    disabled = await request(direct, f"{API}/git/repositories/legacy/items?path=x")
    assert (disabled.status, disabled.json["message"][:8]) == (403, "TF401019")
    empty = await request(direct, "/contoso/infrastructure/_apis/git/repositories/empty/items?path=x")
    assert (empty.status, empty.json["message"][:8]) == (400, "VS403403")


async def test_a_commit_may_change_every_day(direct: Direct) -> None:
    await choose(direct, commitIds="daily")
    await prepare(direct, yaml())
    refs = f"{API}/git/repositories/storefront/refs?filter=heads/main"
    commits = []
    for _ in range(3):
        commits.append((await get(direct, refs))["value"][0]["objectId"])
        direct.move(DAY / 2)
    assert len(set(commits)) == 2
    items = f"{API}/git/repositories/storefront/items?path=azure-pipelines.yml&versionDescriptor.versionType=commit"
    current = (await get(direct, refs))["value"][0]["objectId"]
    assert (await request(direct, f"{items}&versionDescriptor.version={current}")).status == 200


async def test_a_search_may_have_no_info_code(direct: Direct) -> None:
    await prepare(direct, yaml(SCAN))
    await choose(direct, infoCodes="none")
    assert (await search(direct, "task", **{"$top": 5000})).json["infoCode"] == 0
    assert (await search(direct, " ")).json["infoCode"] == 0
