"""One check of an organization: what it reads, what it decides, and what it costs."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import structlog

from defender_devops.api.azure_types import AgentlessConfiguration
from defender_devops.api.pipelines.evidence import SECURITY_DEVOPS_TASK_ID, Build, ExtensionState
from defender_devops.api.pipelines.states import PipelineReason as Reason
from defender_devops.errors import AzureDevOpsUnavailable, OperatorError
from defender_devops.reconcile.facts.pipelines import assess_repositories
from defender_devops.reconcile.observe.pipelines.evidence_store import decode_state, encode_state
from defender_devops.reconcile.observe.pipelines.sweep import PipelineScopeMissing, Sweep, SweepOptions
from defender_devops.reconcile.observe.pipelines.sweep_state import SweepState
from tests.support.fakes.pipelines import NOW, PLAIN, SCAN, FakeBuild, FakePipeline, FakePipelines, FakeProject

MAPPING = (
    ("Microsoft Defender for DevOps Container Mapping Start", SECURITY_DEVOPS_TASK_ID, "succeeded"),
    ("Microsoft Defender for DevOps Container Mapping End", SECURITY_DEVOPS_TASK_ID, "succeeded"),
    ("Checkout", "", "succeeded"),
)
LOGS = ("CodeAnalysisLogs",)


def step(result: str) -> tuple[tuple[str, str, str], ...]:
    return (*MAPPING, ("Run MSDO", SECURITY_DEVOPS_TASK_ID.upper(), result))


@dataclass
class Check:
    """An organization with one project, and the checks of it."""

    service: FakePipelines
    options: SweepOptions = field(default_factory=SweepOptions)
    state: SweepState = field(default_factory=SweepState)
    now: datetime = NOW
    saved: list[bytes] = field(default_factory=list)

    async def run(self) -> None:
        await self.sweep().run()

    def sweep(self) -> Sweep:
        async def save(state: SweepState) -> None:
            self.saved.append(encode_state(state))

        return Sweep("contoso", self.state, self.options, self.service.send, save, lambda: self.now)

    def reasons(self) -> dict[str, str]:
        agentless = AgentlessConfiguration(enabled=False)
        assessments = assess_repositories(self.state.evidence(), agentless, "contoso", self.now)
        return {item.repository: item.reason for item in assessments}


def check(*pipelines: FakePipeline, options: SweepOptions | None = None, **repositories: dict[str, Any]) -> Check:
    project = FakeProject("Web Shop [ä]", repositories or {"app": {}}, list(pipelines))
    for pipeline in pipelines:
        pipeline.repository = project.repository_id(pipeline.repository)
    return Check(FakePipelines([project]), options or SweepOptions())


def build(number: int = 1, **values: Any) -> FakeBuild:  # noqa: ANN401 - fields of FakeBuild
    return FakeBuild(number, **values)


EXPIRED = {"log": None}
TEMPLATE = "extends:\n  template: scan.yml@templates\n"
TASK_FILE = "steps:\n- task: MicrosoftSecurityDevOps@1\n"
OLD = {"finished_at": NOW - timedelta(days=91)}
PULL_REQUEST = {"branch": "refs/pull/7/merge"}
HALF = {"finished_at": NOW - timedelta(days=89)}

CASES: dict[str, tuple[list[FakePipeline], Reason, set[str]]] = {
    "no pipeline": ([], Reason.NO_PIPELINE, set()),
    "artifact": ([FakePipeline(1, "app", [build(artifacts=LOGS)])], Reason.ARTIFACT_PUBLISHED, {"artifacts"}),
    "artifact of 89 days": (
        [FakePipeline(1, "app", [build(artifacts=LOGS, **HALF)])],
        Reason.ARTIFACT_PUBLISHED,
        {"artifacts"},
    ),
    "two pipelines, only one scans": (
        [FakePipeline(1, "app", [build(1, artifacts=LOGS)]), FakePipeline(2, "app", [build(2)])],
        Reason.ARTIFACT_PUBLISHED,
        {"artifacts"},
    ),
    "artifact of another name": (
        [FakePipeline(1, "app", [build(artifacts=("drop",), log=SCAN, records=step("succeeded"))])],
        Reason.STEP_RAN,
        {"artifacts", "log", "timeline"},
    ),
    "publish: false, with issues": (
        [FakePipeline(1, "app", [build(log=SCAN, records=step("succeededWithIssues"))])],
        Reason.STEP_RAN,
        {"artifacts", "log", "timeline"},
    ),
    "skipped step": (
        [FakePipeline(1, "app", [build(log=SCAN, records=step("skipped"))])],
        Reason.STEP_DID_NOT_RUN,
        {"artifacts", "log", "timeline"},
    ),
    "failed step without artifact": (
        [FakePipeline(1, "app", [build(log=SCAN, records=step("failed"))])],
        Reason.STEP_DID_NOT_RUN,
        {"artifacts", "log", "timeline"},
    ),
    "failed step with artifact": (
        [FakePipeline(1, "app", [build(artifacts=LOGS, log=SCAN, records=step("failed"))])],
        Reason.ARTIFACT_PUBLISHED,
        {"artifacts"},
    ),
    "mapping steps only, in a job that was skipped": (
        [FakePipeline(1, "app", [build(log=SCAN, records=MAPPING)])],
        Reason.EXPANDED_YAML_HAS_TASK,
        {"artifacts", "log", "timeline"},
    ),
    "mapping steps only, YAML without the task": (
        [FakePipeline(1, "app", [build(records=MAPPING)])],
        Reason.NO_TASK,
        {"artifacts", "log"},
    ),
    "a pull request's build is the latest": (
        [FakePipeline(1, "app", [build(1, artifacts=LOGS), build(2, **PULL_REQUEST)])],
        Reason.ARTIFACT_PUBLISHED,
        {"builds", "artifacts"},
    ),
    "only pull requests' builds": (
        [FakePipeline(1, "app", [build(2, artifacts=LOGS, **PULL_REQUEST)])],
        Reason.NEVER_BUILT,
        {"builds"},
    ),
    "build too old": ([FakePipeline(1, "app", [build(artifacts=LOGS, **OLD)])], Reason.BUILD_TOO_OLD, set()),
    "never built": ([FakePipeline(1, "app")], Reason.NEVER_BUILT, set()),
    "never built, the file has the task": (
        [FakePipeline(1, "app", file=TASK_FILE)],
        Reason.FILE_HAS_TASK,
        {"file"},
    ),
    "log expired": ([FakePipeline(1, "app", [build(**EXPIRED)])], Reason.LOG_EXPIRED, {"artifacts", "log"}),
    "log expired, the file has the task": (
        [FakePipeline(1, "app", [build(**EXPIRED)], file=TASK_FILE)],
        Reason.FILE_HAS_TASK,
        {"artifacts", "log", "file"},
    ),
    "first log is not YAML": (
        [FakePipeline(1, "app", [build(log="##[section]Starting: Job")])],
        Reason.NOT_YAML,
        {"artifacts", "log"},
    ),
    "YAML bomb": (
        [
            FakePipeline(
                1,
                "app",
                [
                    build(
                        log="a: &a [x]\n"
                        + "".join(
                            f"b{n}: &b{n} [*{'a' if n == 0 else f'b{n - 1}'}, *{'a' if n == 0 else f'b{n - 1}'}]\n"
                            for n in range(40)
                        )
                    )
                ],
            )
        ],
        Reason.NOT_YAML,
        {"artifacts", "log"},
    ),
    "other scanners in the YAML": (
        [FakePipeline(1, "app", [build(log=PLAIN + "    - task: AdvancedSecurity-Codeql-Analyze@1\n")])],
        Reason.ADVANCED_SECURITY_TASK,
        {"artifacts", "log"},
    ),
    "Defender CLI": (
        [FakePipeline(1, "app", [build(log=PLAIN + "    - task: MicrosoftDefenderCLI@2\n")])],
        Reason.DEFENDER_CLI_TASK,
        {"artifacts", "log"},
    ),
    "disabled pipeline": (
        [FakePipeline(1, "app", [build()], queue_status="disabled")],
        Reason.NO_ENABLED_PIPELINE,
        {"artifacts"},
    ),
    "designer pipeline with the task": (
        [FakePipeline(1, "app", [build(records=MAPPING)], yaml_path=None, has_task=True)],
        Reason.DESIGNER_HAS_TASK,
        {"task filter", "artifacts", "timeline"},
    ),
    "designer pipeline, the task from a task group": (
        [FakePipeline(1, "app", [build(records=step("succeeded"))], yaml_path=None)],
        Reason.STEP_RAN,
        {"task filter", "artifacts", "timeline"},
    ),
    "designer pipeline without the task": (
        [FakePipeline(1, "app", [build(records=MAPPING)], yaml_path=None)],
        Reason.NO_TASK,
        {"task filter", "artifacts", "timeline"},
    ),
}
LISTS = {"pipelines", "search", "other"}


@pytest.mark.parametrize("name", CASES)
async def test_each_trap_gets_its_reason_by_the_cheapest_requests(name: str) -> None:
    pipelines, reason, requests = CASES[name]
    subject = check(*[FakePipeline(**vars(pipeline)) for pipeline in pipelines])
    subject.service.hits = [
        (item.repository, "/azure-pipelines.yml")
        for item in subject.service.projects[0].pipelines
        if item.file == TASK_FILE
    ]
    await subject.run()
    assert subject.reasons() == {"app": reason}
    assert set(subject.service.kinds()) - LISTS == requests


async def test_files_are_read_where_the_search_index_is_not_whole() -> None:
    subject = check(FakePipeline(1, "app", file=TEMPLATE))
    subject.service.info_code = 1
    await subject.run()
    assert subject.reasons() == {"app": Reason.TEMPLATES}
    assert subject.service.kinds()["file"] == 1


async def test_repositories_that_are_not_scanned_are_apart() -> None:
    subject = check(off={"isDisabled": True}, empty={"defaultBranch": None}, fork={"isFork": True})
    tfvc = FakePipeline(1, "$/", source={"id": "$/", "type": "TfsVersionControl"}, yaml_path=None)
    subject.service.projects[0].pipelines.append(tfvc)
    await subject.run()
    assert subject.reasons() == {
        "off": Reason.DISABLED,
        "empty": Reason.EMPTY,
        "fork": Reason.FORK,
        "$/": Reason.TFVC,
    }


@pytest.mark.parametrize(
    ("checkout", "reason"),
    [
        ("    - checkout: code\n", Reason.SCANNED_ELSEWHERE),
        (
            "    - task: 6d15af64-176c-496d-b583-fd2ae21d4df4@1\n      inputs:\n        repository: code\n",
            Reason.SCANNED_ELSEWHERE,
        ),
        ("    - checkout: git://Web Shop [ä]/app@main\n", Reason.SCANNED_ELSEWHERE),
        ("    - checkout: other\n", Reason.NO_PIPELINE),
        ("    - checkout: self\n", Reason.NO_PIPELINE),
        ("    - checkout: nobody\n", Reason.SCANNED_ELSEWHERE),
    ],
)
async def test_a_repository_that_another_pipeline_checks_out_is_not_missing(checkout: str, reason: Reason) -> None:
    file = (
        "resources:\n  repositories:\n  - repository: code\n    type: git\n    name: app\n"
        "  - repository: other\n    type: github\n    name: x/y\n"
    )
    pipeline = FakePipeline(1, "yaml", [build(artifacts=LOGS, log=SCAN + checkout)], file=file)
    subject = check(pipeline, app={}, yaml={})
    await subject.run()
    assert subject.reasons() == {"app": reason, "yaml": Reason.ARTIFACT_PUBLISHED}


async def test_a_pipeline_in_github_leaves_repositories_without_pipeline_undecided_until_it_runs() -> None:
    github = {"id": "contoso/app", "type": "GitHub", "defaultBranch": "main"}
    pipeline = FakePipeline(1, "github", source=github)
    subject = check(pipeline)
    await subject.run()
    assert subject.reasons() == {"app": Reason.EXTERNAL_YAML}
    pipeline.builds.append(build(log=PLAIN))
    await subject.run()
    assert subject.reasons() == {"app": Reason.NO_PIPELINE}


async def test_a_preview_replaces_the_file_where_it_is_allowed() -> None:
    subject = check(FakePipeline(1, "app", preview=SCAN), options=SweepOptions(preview=True))
    await subject.run()
    assert subject.reasons() == {"app": Reason.EXPANDED_YAML_HAS_TASK}
    assert not any("/runs" in url for url in subject.service.requests)


@pytest.mark.parametrize(("status", "reason"), [(400, Reason.PREVIEW_REJECTED), (403, Reason.ACCESS_DENIED)])
async def test_a_refused_preview_leaves_it_undecided(status: int, reason: Reason) -> None:
    refused = httpx.Response(status, json={"message": "no", "typeKey": "PipelineValidationException"})
    subject = check(FakePipeline(1, "app", preview=refused), options=SweepOptions(preview=True))
    await subject.run()
    assert subject.reasons() == {"app": reason}


async def test_everything_is_listed_on_pages() -> None:
    names = [f"r{number}" for number in range(7)]
    pipelines = [FakePipeline(number, name, [build(number, artifacts=LOGS)]) for number, name in enumerate(names, 1)]
    subject = check(*pipelines, **{name: {} for name in names})
    subject.service.page = 2
    await subject.run()
    assert subject.reasons() == dict.fromkeys(names, Reason.ARTIFACT_PUBLISHED)


WRONG = {
    "HTML": lambda _: httpx.Response(200, html="<html>"),
    "no list": lambda _: httpx.Response(200, json={"value": {}}),
    "list of numbers": lambda _: httpx.Response(200, json={"value": [1]}),
    "empty objects": lambda _: httpx.Response(200, json={"value": [{}], "records": 1, "reposEnablementStatus": [{}]}),
    "not JSON": lambda _: httpx.Response(200, text="{"),
    "500": lambda _: httpx.Response(500),
    "403": lambda _: httpx.Response(403, json={"message": "no"}),
    "404": lambda _: httpx.Response(404, json={"message": "no"}),
}


@pytest.mark.parametrize("answer", WRONG)
@pytest.mark.parametrize("pattern", ["/artifacts", "/build/definitions", "/enablement", "/logs/1", "/git/repo"])
async def test_an_answer_of_another_shape_never_means_missing(pattern: str, answer: str) -> None:
    subject = check(FakePipeline(1, "app", [build()]))
    subject.service.answers[pattern] = WRONG[answer]
    sweep = subject.sweep()
    for _ in range(3):
        try:
            await sweep.run()
            break
        except OperatorError:
            continue
    states = {
        item.state
        for item in assess_repositories(subject.state.evidence(), AgentlessConfiguration(enabled=False), "contoso", NOW)
    }
    if subject.state.finished_at is None:
        assert pattern == "/git/repo" or answer == "HTML"  # without repositories there is no result at all
    else:
        assert states == {"undecided"}


async def test_a_denied_project_leaves_the_others_alone() -> None:
    subject = check(FakePipeline(1, "app", [build(artifacts=LOGS)]))
    subject.service.projects.append(FakeProject("Secret", {"hidden": {}}))
    subject.service.answers["Secret/_apis/build/definitions"] = WRONG["403"]
    await subject.run()
    assert subject.reasons() == {"app": Reason.ARTIFACT_PUBLISHED, "hidden": Reason.ACCESS_DENIED}
    assert subject.state.missing_scope is None


@pytest.mark.parametrize("status", [401, 403])
async def test_a_sign_in_without_vso_build_leaves_all_undecided_with_few_requests(status: int) -> None:
    subject = check()
    subject.service.projects = [FakeProject(f"P{number}", {f"r{number}": {}}) for number in range(50)]
    subject.service.answers["/build/"] = lambda _: httpx.Response(status, json={"message": "no"})
    await subject.run()
    assert set(subject.reasons().values()) == {Reason.SCOPE_MISSING}
    assert subject.state.missing_scope == "vso.build"
    assert subject.service.kinds()["pipelines"] == 3
    assert subject.state.reading_requests == 0


async def test_a_sign_in_without_vso_code_names_the_scope() -> None:
    subject = check()
    subject.service.answers["/git/"] = WRONG["403"]
    with pytest.raises(PipelineScopeMissing, match=r"vso\.code"):
        await subject.run()


async def test_the_extension_of_container_mapping_is_not_the_one_with_the_task() -> None:
    subject = check()
    subject.service.extensions = [{"publisherId": "ms-securitydevops", "extensionId": "ms-dfd-code-to-cloud"}]
    await subject.run()
    assert subject.state.extension is ExtensionState.MISSING
    name = "microsoft-security-devops-azdevops"
    subject.service.extensions.append({"publisherId": "ms-securitydevops", "extensionId": name})
    await subject.run()
    assert subject.state.extension is ExtensionState.INSTALLED
    subject.service.extensions[-1]["installState"] = {"flags": "trusted, disabled"}
    await subject.run()
    assert subject.state.extension is ExtensionState.DISABLED


async def test_only_what_changed_is_read_again() -> None:
    pipelines = [
        FakePipeline(1, "scanned", [build(1, artifacts=LOGS)]),
        FakePipeline(2, "plain", [build(2)]),
        FakePipeline(3, "skipped", [build(3, log=SCAN, records=step("skipped"))]),
        FakePipeline(4, "classic", [build(4)], yaml_path=None),
        FakePipeline(5, "reviewed", [build(5, artifacts=LOGS), build(6, **PULL_REQUEST)]),
    ]
    subject = check(*pipelines, **{name: {} for name in ("scanned", "plain", "skipped", "classic", "reviewed")})
    await subject.run()
    before = subject.reasons()
    subject.service.requests.clear()
    await subject.run()
    assert set(subject.service.kinds()) == LISTS
    assert subject.reasons() == before
    # A new build without results costs its artifacts; the YAML of the build before counts until it is old.
    pipelines[1].builds.append(build(7, version="c2"))
    subject.service.requests.clear()
    await subject.run()
    assert subject.service.kinds()["artifacts"] == 1
    assert not subject.service.kinds()["log"]
    assert subject.reasons() == before
    subject.now += timedelta(days=8)
    subject.service.requests.clear()
    await subject.run()
    assert subject.service.kinds()["log"] == 1
    # That of the same commit does not become old.
    pipelines[1].builds.append(build(8, version="c2"))
    subject.service.requests.clear()
    await subject.run()
    subject.now += timedelta(days=8)
    await subject.run()
    assert subject.service.kinds()["artifacts"] == 1
    assert not subject.service.kinds()["log"]


async def test_a_pipeline_that_is_built_every_day_keeps_the_time_of_its_first_scan() -> None:
    pipelines = [FakePipeline(1, "scanned", [build(1)])]
    subject = check(*pipelines, scanned={})
    await subject.run()
    for number, artifacts in ((2, LOGS), (3, LOGS), (4, ())):
        subject.now += timedelta(days=1)
        pipelines[0].builds.append(build(number, artifacts=artifacts, finished_at=subject.now - timedelta(hours=1)))
        await subject.run()
        (pipeline,) = subject.state.pipelines.values()
        assert isinstance(pipeline.build, Build)
        assert (pipeline.build.id, pipeline.build.scanned_since) == (number, pipelines[0].builds[1].finished_at)
    assert decode_state(encode_state(subject.state)) == subject.state


async def test_an_outage_is_continued_at_the_same_step() -> None:
    subject = check(FakePipeline(1, "app", [build(artifacts=LOGS)]))
    sweep = subject.sweep()
    subject.service.answers["/artifacts"] = lambda _: httpx.Response(503, headers={"Retry-After": "30"})
    with pytest.raises(AzureDevOpsUnavailable):
        await sweep.run()
    requests = len(subject.service.requests)
    subject.service.answers.clear()
    await sweep.run()
    assert len(subject.service.requests) == requests + 1
    assert subject.reasons() == {"app": Reason.ARTIFACT_PUBLISHED}


def large(projects: int = 100, repositories: int = 20) -> FakePipelines:
    """An organization with `projects` x `repositories`: a quarter of the repositories is scanned in its builds."""
    number = 0
    service = FakePipelines()
    for project_number in range(projects):
        project = FakeProject(f"P{project_number}")
        for repository_number in range(repositories):
            number += 1
            name = f"r{repository_number}"
            project.repositories[name] = {}
            builds = [build(number, artifacts=LOGS if number % 4 == 0 else ())] if number % 2 == 0 else []
            project.pipelines.append(FakePipeline(number, project.repository_id(name), builds))
        service.projects.append(project)
    return service


async def test_an_organization_of_2000_repositories_stays_within_its_budget() -> None:
    subject = Check(large(), SweepOptions(policies=True))
    await subject.run()
    assert len(subject.service.requests) <= 2500
    assert not subject.state.has_backlog
    assert set(subject.reasons().values()) == {Reason.ARTIFACT_PUBLISHED, Reason.NO_TASK, Reason.NEVER_BUILT}
    before = [item.reason for item in assess_repositories(subject.state.evidence(), None, "contoso", NOW)]
    # A day later, with 500 new builds, one in five of them also after a pull request's build.
    subject.now += timedelta(days=1)
    changed = [item for project in subject.service.projects for item in project.pipelines if item.builds][:500]
    for pipeline in changed:
        pipeline.builds.append(build(pipeline.id + 10_000, artifacts=pipeline.builds[-1].artifacts))
        if pipeline.id % 5 == 0:
            pipeline.builds.append(build(pipeline.id + 20_000, **PULL_REQUEST))
    subject.service.requests.clear()
    await subject.run()
    assert len(subject.service.requests) <= 900
    assert not subject.state.has_backlog
    after = [item.reason for item in assess_repositories(subject.state.evidence(), None, "contoso", NOW)]
    assert after == before


async def test_what_the_budget_does_not_allow_is_undecided_and_read_the_next_time() -> None:
    service = large(10, 20)
    for project in service.projects:
        for pipeline in project.pipelines:
            pipeline.builds = pipeline.builds or [build(pipeline.id)]
    subject = Check(service)
    await subject.run()
    assert subject.state.has_backlog
    assert Reason.NOT_READ_YET in subject.reasons().values()
    for _ in range(5):
        await subject.run()
    assert not subject.state.has_backlog
    assert set(subject.reasons().values()) == {Reason.ARTIFACT_PUBLISHED, Reason.NO_TASK}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
async def test_a_killed_check_repeats_at_most_a_twentieth_of_its_requests(share: float) -> None:
    whole = Check(large(20, 20), SweepOptions(policies=True))
    await whole.run()
    total = len(whole.service.requests)

    class Killed(BaseException):
        pass

    subject = Check(large(20, 20), SweepOptions(policies=True))

    def kill(_: httpx.Request) -> None:
        if len(subject.service.requests) > share * total:
            raise Killed

    subject.service.answers[""] = kill
    with pytest.raises(Killed):
        await subject.run()
    subject.service.answers.clear()
    state = decode_state(subject.saved[-1])
    assert state is not None
    subject.state = state
    await subject.run()
    assert len(subject.service.requests) <= total * 1.05
    assert subject.reasons() == whole.reasons()


async def test_the_evidence_of_2000_repositories_fits_into_a_secret() -> None:
    subject = Check(large())
    await subject.run()
    data = encode_state(subject.state)
    assert len(data) < 300_000
    assert decode_state(data) == subject.state
    assert decode_state(data[:-1]) is None
    assert decode_state(b"0" + data[1:]) is None
    assert decode_state(data[:200] + b"x" + data[201:]) is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_of_any_reading_takes_the_token_to_another_host(status: int) -> None:
    subject = Check(large(4, 4), SweepOptions(preview=True, policies=True))
    addresses: list[httpx.URL] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        addresses.append(request.url)
        return httpx.Response(status, headers={"Location": "https://evil.example/take"})

    # Each kind of request is redirected in turn, and the check goes on as far as it can.
    for pattern in ("projects", "repositories", "definitions", "builds", "artifacts", "timeline", "logs", "items", ""):
        subject.service.answers = {pattern: redirect}
        with contextlib.suppress(OperatorError):
            await subject.run()
    assert len(addresses) >= 5
    assert {address.host for address in addresses} == {"devops.test"}
    assert not any("evil.example" in url for url in subject.service.requests)


@pytest.mark.parametrize(
    "token",
    ["https://evil.example/take", "//evil.example", "a&api-version=0.1", "a#b", "../../x", "%0d%0aHost:%20evil"],
)
async def test_a_continuation_token_stays_a_parameter_of_the_same_address(token: str) -> None:
    service = large(2, 2)
    requests: list[httpx.URL] = []

    def projects(request: httpx.Request) -> httpx.Response:
        requests.append(request.url)
        headers = {"x-ms-continuationtoken": token} if len(requests) == 1 else {}
        return httpx.Response(200, json={"value": []}, headers=headers)

    service.answers["_apis/projects"] = projects
    await Check(service).run()
    assert len(requests) == 2
    assert {(url.scheme, url.host, url.path) for url in requests} == {("https", "devops.test", requests[0].path)}
    assert dict(requests[1].params)["continuationToken"] == token
    assert dict(requests[1].params)["api-version"] == "7.1"


@pytest.mark.parametrize("name", ["../../evil", "a/b?c=d#e", "..", "evil.example@x", "\x00", "\u202e"])
async def test_no_id_or_name_of_azure_devops_leads_to_another_organization(name: str) -> None:
    service = FakePipelines([FakeProject("Web", {"app": {}}, [FakePipeline(1, "app")])])
    project, pipeline = {"id": name, "name": name}, {"id": 1, "name": name, "revision": 1}
    source = {"id": name, "type": "TfsGit"}
    definition = {**pipeline, "process": {"type": 2, "yamlFilename": name}, "repository": source}
    repository = {"id": name, "name": name, "project": project, "defaultBranch": "refs/heads/main"}
    urls: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        urls.append(request.url)
        path = request.url.path
        items = [project] if path.endswith("/projects") else [repository] if path.endswith("/repositories") else []
        return httpx.Response(200, json={"value": [definition] if path.endswith("/definitions") else items})

    service.answers[""] = answer
    with contextlib.suppress(OperatorError):
        await Check(service, SweepOptions(preview=True, policies=True)).run()
    assert len(urls) > 3
    for url in urls:
        assert url.host == "devops.test"
        assert url.raw_path.startswith(b"/contoso/")


SECRET = "hunter2-canary"
SECRETIVE = (
    f"variables:\n  password: {SECRET}\n# {SECRET}\n"
    f"stages:\n- stage: {SECRET}\n  jobs:\n  - job: {SECRET}\n    steps:\n    - script: echo {SECRET}\n"
    f"    - task: MicrosoftSecurityDevOps@1\n      displayName: {SECRET}\n      inputs: {{token: {SECRET}}}\n"
    f"    - task: Other@1\n      env: {{KEY: {SECRET}}}\n"
)


async def test_no_text_of_yaml_is_kept_except_names_of_repositories() -> None:
    build = FakeBuild(1, log=SECRETIVE, artifacts=(SECRET,), records=((SECRET, SECURITY_DEVOPS_TASK_ID, SECRET),))
    pipelines = [FakePipeline(1, "app", [build], file=SECRETIVE), FakePipeline(2, "app", file=SECRETIVE)]
    pipelines.append(FakePipeline(3, "app", file=SECRETIVE, preview=SECRETIVE))
    subject = check(*pipelines, options=SweepOptions(preview=True))
    with structlog.testing.capture_logs() as lines:
        await subject.run()
    assert subject.service.kinds().total() > 8
    assert SECRET not in repr(subject.state) + repr(lines)
    assert subject.reasons() == {"app": Reason.EXPANDED_YAML_HAS_TASK}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500])
@pytest.mark.parametrize("kind", ["/preview", "/items", "/logs/1", "/timeline", "/artifacts"])
async def test_no_message_about_the_text_of_a_pipeline_gets_into_an_error(status: int, kind: str) -> None:
    subject = check(
        FakePipeline(1, "app", [FakeBuild(1, log=SCAN)]),
        FakePipeline(2, "app"),
        options=SweepOptions(preview=True),
    )
    message = f"/azure-pipelines.yml (Line: 3, Col: 1): Unexpected value '{SECRET}'"
    subject.service.answers[kind] = lambda _: httpx.Response(status, json={"message": message})
    error = ""
    with structlog.testing.capture_logs() as lines:
        try:
            await subject.run()
        except OperatorError as exception:
            error = exception.message
    assert SECRET not in error + repr(subject.state) + repr(lines)
