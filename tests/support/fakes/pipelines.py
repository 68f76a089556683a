"""A small organization with pipelines for unit tests: answers requests in the process, and records them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import unquote

import httpx
from pydantic import SecretStr

from defender_devops.azuredevops.client import AzureDevOpsClient, Endpoints
from defender_devops.azuredevops.rate_limiter import RateLimiter

Value = TypeVar("Value")
Values = dict[str, str]
Query = httpx.QueryParams

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
MAIN = "refs/heads/main"
PLAIN = "stages:\n- stage: __default\n  jobs:\n  - job: Job\n    steps:\n    - task: CmdLine@2\n"
SCAN = PLAIN + "    - task: MicrosoftSecurityDevOps@1\n"


@dataclass
class FakeBuild:
    """A completed build."""

    id: int
    branch: str = MAIN
    finished_at: datetime = NOW - timedelta(hours=3)
    artifacts: tuple[str, ...] = ()
    records: tuple[tuple[str, str, str], ...] = ()
    log: str | None = PLAIN
    version: str = "c1"

    def summary(self, pipeline_id: int) -> dict[str, Any]:
        return {
            "id": self.id,
            "finishTime": self.finished_at.isoformat().replace("+00:00", ".1234567Z"),
            "sourceBranch": self.branch,
            "sourceVersion": self.version,
            "status": "completed",
            "definition": {"id": pipeline_id},
        }


@dataclass
class FakePipeline:
    """A pipeline; its builds from the oldest to the newest."""

    id: int
    repository: str
    builds: list[FakeBuild] = field(default_factory=list)
    file: str | None = "steps:\n- script: make\n"
    yaml_path: str | None = "azure-pipelines.yml"
    revision: int = 1
    queue_status: str = "enabled"
    has_task: bool = False
    preview: str | httpx.Response | None = None
    source: dict[str, Any] | None = None

    def body(self) -> dict[str, Any]:
        process: dict[str, Any] = {"type": 2, "yamlFilename": self.yaml_path} if self.yaml_path else {"type": 1}
        body: dict[str, Any] = {
            "id": self.id,
            "name": f"pipeline {self.id} [ä]",
            "revision": self.revision,
            "queueStatus": self.queue_status,
            "process": process,
            "repository": self.source or {"id": self.repository, "type": "TfsGit", "defaultBranch": MAIN},
        }
        if self.builds:
            body["latestCompletedBuild"] = self.builds[-1].summary(self.id)
        return body


@dataclass
class FakeProject:
    """A project with its repositories by name, each with extra fields."""

    name: str
    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)
    pipelines: list[FakePipeline] = field(default_factory=list)
    policies: list[dict[str, Any]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"id-of-{self.name}"

    def repository_id(self, name: str) -> str:
        return f"{self.id}-{name}"


@dataclass
class FakePipelines:
    """An organization. `answers` replaces the answer to requests whose URL matches a pattern."""

    projects: list[FakeProject] = field(default_factory=list)
    extensions: list[dict[str, Any]] = field(default_factory=list)
    features: list[dict[str, Any]] = field(default_factory=list)
    hits: list[tuple[str, str]] = field(default_factory=list)
    info_code: int = 0
    page: int = 1000
    answers: dict[str, Callable[[httpx.Request], httpx.Response | None]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def client(self, rate_limiter: RateLimiter | None = None) -> AzureDevOpsClient:
        """Return a client for it."""
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.handle))
        return AzureDevOpsClient(
            http, Endpoints(*["https://devops.test"] * 7), SecretStr("token"), rate_limiter or RateLimiter()
        )

    async def send(self, request: Callable[[AzureDevOpsClient], Awaitable[Value]]) -> Value:
        """Send a request at once, as a sweep's `send`."""
        return await request(self.client())

    def kinds(self) -> Counter[str]:
        """Return the number of requests of each kind."""
        return Counter(next(kind for kind, pattern in _KINDS if re.search(pattern, url)) for url in self.requests)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        url = f"{request.method} {unquote(str(request.url))}"
        self.requests.append(url)
        for pattern, answer in self.answers.items():
            if re.search(pattern, url) and (response := answer(request)) is not None:
                return response
        response = self._answer(request)
        response.headers.update(self.headers)
        return response

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = "/".join(unquote(part) for part in request.url.raw_path.decode().partition("?")[0].split("/")[2:])
        if path.startswith("_apis/search/"):
            return self.search(request)
        for pattern, answer in _ROUTES:
            if match := re.fullmatch(pattern, path):
                return answer(self, match.groupdict(), request.url.params)
        return _missing()

    def project(self, values: Values) -> FakeProject:
        """Return the project of a path."""
        return next(project for project in self.projects if project.id == values["project"])

    def build(self, values: Values) -> FakeBuild:
        """Return the build of a path."""
        builds = [build for pipeline in self.project(values).pipelines for build in pipeline.builds]
        return next(build for build in builds if build.id == int(values["build"]))

    def list_projects(self, _: Values, query: Query) -> httpx.Response:
        """Answer the list of projects."""
        return self._list([{"id": project.id, "name": project.name} for project in self.projects], query)

    def list_repositories(self, *_: object) -> httpx.Response:
        """Answer the list of all repositories."""
        return _json({"value": [item for project in self.projects for item in self._repositories(project)]})

    def search(self, request: httpx.Request) -> httpx.Response:
        """Answer a search for the task, or for the files that check something out."""
        hits = self.hits
        if json.loads(request.content)["searchText"] == "checkout":
            hits = [
                (pipeline.repository, f"/{pipeline.yaml_path}")
                for project in self.projects
                for pipeline in project.pipelines
                if any(
                    re.search("checkout|6d15af64", text or "")
                    for text in (pipeline.file, *(item.log for item in pipeline.builds))
                )
            ]
        results = [{"repository": {"id": repository}, "path": path} for repository, path in hits]
        return _json({"count": len(results), "results": results, "infoCode": self.info_code})

    def list_definitions(self, values: Values, query: Query) -> httpx.Response:
        """Answer the list of pipelines, or that of designer pipelines with the task."""
        pipelines = self.project(values).pipelines
        if "taskIdFilter" in query:
            return self._list([{"id": pipeline.id} for pipeline in pipelines if pipeline.has_task], query)
        return self._list([pipeline.body() for pipeline in pipelines], query)

    def list_builds(self, values: Values, query: Query) -> httpx.Response:
        """Answer the list of last builds."""
        return self._list(_last_builds(self.project(values), query), query)

    def timeline(self, values: Values, _: Query) -> httpx.Response:
        """Answer a timeline."""
        records = self.build(values).records
        return _json(
            {
                "records": [
                    {"name": name, "result": result, "task": {"id": task} if task else None}
                    for name, task, result in records
                ]
            }
        )

    def log(self, values: Values, _: Query) -> httpx.Response:
        """Answer the first log of a build."""
        text = self.build(values).log
        return httpx.Response(200, text=text) if text is not None else _missing()

    def file(self, values: Values, query: Query) -> httpx.Response:
        """Answer a file."""
        for pipeline in self.project(values).pipelines:
            is_path = "/" + (pipeline.yaml_path or "") == query["path"]
            if pipeline.repository == values["repository"] and is_path and pipeline.file is not None:
                return _json({"content": pipeline.file, "commitId": "c1"})
        return _missing()

    def preview(self, values: Values, _: Query) -> httpx.Response:
        """Answer a preview."""
        pipelines = self.project(values).pipelines
        preview = next(pipeline.preview for pipeline in pipelines if pipeline.id == int(values["pipeline"]))
        if isinstance(preview, httpx.Response):
            return preview
        return _json({"finalYaml": preview}) if preview is not None else httpx.Response(403, json={})

    def _repositories(self, project: FakeProject) -> list[dict[str, Any]]:
        return [
            {
                "id": project.repository_id(name),
                "name": name,
                "project": {"id": project.id, "name": project.name},
                "defaultBranch": MAIN,
                **extra,
            }
            for name, extra in project.repositories.items()
        ]

    def _list(self, items: list[dict[str, Any]], query: httpx.QueryParams) -> httpx.Response:
        start = int(query.get("continuationToken", "0"))
        end = start + self.page
        headers = {"x-ms-continuationtoken": str(end)} if end < len(items) else {}
        return httpx.Response(200, json={"count": 1, "value": items[start:end]}, headers=headers)


_PROJECT = "(?P<project>[^/]+)/_apis/"
_ROUTES: tuple[tuple[str, Callable[[FakePipelines, Values, Query], httpx.Response]], ...] = (
    ("_apis/projects", FakePipelines.list_projects),
    ("_apis/git/repositories", FakePipelines.list_repositories),
    ("_apis/extensionmanagement/.*", lambda service, *_: _json({"value": service.extensions})),
    ("_apis/management/enablement", lambda service, *_: _json({"reposEnablementStatus": service.features})),
    (_PROJECT + "build/definitions", FakePipelines.list_definitions),
    (_PROJECT + "build/builds", FakePipelines.list_builds),
    (
        _PROJECT + "build/builds/(?P<build>[0-9]+)/artifacts",
        lambda service, values, _: _json({"value": [{"name": name} for name in service.build(values).artifacts]}),
    ),
    (_PROJECT + "build/builds/(?P<build>[0-9]+)/timeline", FakePipelines.timeline),
    (_PROJECT + "build/builds/(?P<build>[0-9]+)/logs/1", FakePipelines.log),
    (
        _PROJECT + "policy/configurations",
        lambda service, values, _: _json({"value": service.project(values).policies}),
    ),
    (_PROJECT + "git/repositories/(?P<repository>[^/]+)/items", FakePipelines.file),
    (_PROJECT + "pipelines/(?P<pipeline>[0-9]+)/preview", FakePipelines.preview),
)

_KINDS = (
    ("artifacts", "/artifacts"),
    ("timeline", "/timeline"),
    ("log", "/logs/1"),
    ("file", "/items"),
    ("preview", "/preview"),
    ("builds", "/build/builds"),
    ("task filter", "taskIdFilter"),
    ("pipelines", "/build/definitions"),
    ("policies", "/policy/"),
    ("search", "/search/"),
    ("other", ""),
)


def _last_builds(project: FakeProject, query: httpx.QueryParams) -> list[dict[str, Any]]:
    ids = {int(text) for text in query["definitions"].split(",")}
    return [
        next(build for build in reversed(pipeline.builds) if build.branch == query["branchName"]).summary(pipeline.id)
        for pipeline in project.pipelines
        if pipeline.id in ids and any(build.branch == query["branchName"] for build in pipeline.builds)
    ]


def _json(body: object) -> httpx.Response:
    return httpx.Response(200, json=body)


def _missing() -> httpx.Response:
    return httpx.Response(404, json={"message": "it does not exist", "typeKey": "NotFoundException"})
