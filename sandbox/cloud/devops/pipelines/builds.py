"""Builds, their artifacts, and the requests that queue one."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sandbox.cloud.devops.call import DevOpsCall, listing
from sandbox.cloud.devops.errors import DevOpsError, not_found
from sandbox.cloud.devops.pipelines.build_reference import build_reference
from sandbox.cloud.devops.pipelines.definitions import check_view_builds, pipelines_of_repository, visible_pipelines
from sandbox.cloud.transport.message import Reply, json_reply
from sandbox.cloud.world.devops import Project
from sandbox.cloud.world.identifiers import derived_id
from sandbox.cloud.world.pipelines.model import Build, Pipeline
from sandbox.cloud.world.pipelines.store import PipelineStore

__all__ = ["RETENTION_SECONDS", "find_build", "get_build", "is_retained", "list_artifacts", "list_builds"]

RETENTION_SECONDS = 30 * 86400.0
"""Inner time after which logs and artifacts of a build are deleted; the build stays in the list."""

_Row = tuple[float, int, Pipeline, Build]


def is_retained(call: DevOpsCall, build: Build) -> bool:
    """Whether the logs and artifacts of a build still exist."""
    age = call.world.clock.now() - (build.finished_at or build.queued_at)
    return build.retained or age < RETENTION_SECONDS


def exists(call: DevOpsCall, build: Build) -> bool:
    """Whether a build has not been deleted by the retention."""
    return call.world.variants["expiredBuilds"] == "remain" or is_retained(call, build)


def find_build(call: DevOpsCall) -> tuple[Project, Pipeline, Build]:
    """Return the build of the path, with its project and pipeline.

    Raises:
        DevOpsError: 404: it does not exist, or the caller may not see its pipeline.
    """
    project, identifier = call.project(), call.names["build"]
    match = None
    if identifier.isdecimal():
        store = PipelineStore(call.current_organization, call.world.clock.now())
        match = store.build(project, int(identifier[:18]))
    if match is not None:
        check_view_builds(call, project, match[0])
    if match is None or call.person.object_id in match[0].hidden_from or not exists(call, match[1]):
        raise not_found(f"The requested build {identifier} could not be found.", "BuildNotFoundException")
    return project, *match


def get_build(call: DevOpsCall) -> Reply:
    """GET {project}/_apis/build/builds/{buildId}."""
    return json_reply(build_reference(call, *find_build(call)))


def list_builds(call: DevOpsCall) -> Reply:
    """GET {project}/_apis/build/builds: filters, order, builds of each definition, and pages."""
    project = call.project()
    order = call.request.query.get("queryOrder", "finishTimeDescending").lower()
    pipelines = _pipelines(call, project)
    rows = [row for pipeline in pipelines for row in _rows(call, project, pipeline, order)]
    is_descending = not order.endswith("ascending") or order.endswith("descending")
    rows.sort(key=lambda row: row[:2], reverse=is_descending)
    token = call.request.query.get("continuationToken")
    if token:
        last = _last(token)
        rows = [row for row in rows if (row[:2] < last if is_descending else row[:2] > last)]
    most = call.page_size
    top = max(1, min(call.number("$top", most), most))
    headers = {"x-ms-continuationtoken": _token(rows[top - 1])} if len(rows) > top else {}
    return listing([build_reference(call, project, row[2], row[3]) for row in rows[:top]], headers)


def _pipelines(call: DevOpsCall, project: Project) -> list[Pipeline]:
    query = call.request.query
    pipelines = visible_pipelines(call, project)
    if query.get("definitions"):
        identifiers = set(query["definitions"].split(","))
        pipelines = [pipeline for pipeline in pipelines if str(pipeline.id) in identifiers]
    repository = query.get("repositoryId", "").lower()
    if repository:
        pipelines = pipelines_of_repository(call, pipelines, repository)
    return pipelines


def _rows(call: DevOpsCall, project: Project, pipeline: Pipeline, order: str) -> Iterator[_Row]:
    """Return the builds of a pipeline that match, with the time that decides their order."""
    query = call.request.query
    most = call.number("maxBuildsPerDefinition", 0)
    by_finish = order.startswith("finishtime")
    statuses, results, reasons, identifiers = (
        _set(query.get(name)) for name in ("statusFilter", "resultFilter", "reasonFilter", "buildIds")
    )
    earliest, latest = _moment(call, "minTime"), _moment(call, "maxTime")
    branch, count = query.get("branchName"), 0
    for build in PipelineStore(call.current_organization, call.world.clock.now()).builds(project, pipeline.id):
        moment = build.finished_at if by_finish else build.queued_at
        # A build without finish time has no place in an order of finish times, or the first one, by variant.
        if moment is None and call.world.variants.is_chosen("unfinishedBuilds", "first"):
            moment = call.world.clock.now()
        if (
            moment is None
            or not exists(call, build)
            or (statuses and "all" not in statuses and build.status.lower() not in statuses)
        ):
            continue
        wall = call.world.clock.wall_of(moment)
        is_match = (
            branch in (None, "", build.branch)
            and (not results or (build.result or "none").lower() in results)
            and (not reasons or "all" in reasons or build.reason.lower() in reasons)
            and (not identifiers or str(build.id) in identifiers)
            and (earliest is None or wall >= earliest)
            and (latest is None or wall <= latest)
        )
        if is_match:
            yield moment, build.id, pipeline, build
            count += 1
            if count == most:
                return


def _set(value: str | None) -> set[str]:
    return {part.strip().lower() for part in (value or "").split(",") if part.strip()}


def _moment(call: DevOpsCall, name: str) -> float | None:
    """Return a time in the query as wall time; None without one."""
    value = call.request.query.get(name)
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        message = f"The value '{value}' is not valid for the parameter {name}."
        raise DevOpsError(400, "InvalidArgumentValueException", message) from error


def _token(row: _Row) -> str:
    return base64.urlsafe_b64encode(f"{row[0]!r}|{row[1]}".encode()).decode()


def _last(token: str) -> tuple[float, int]:
    try:
        moment, _, identifier = base64.urlsafe_b64decode(token.encode()).decode().partition("|")
        return float(moment), int(identifier)
    except ValueError as error:
        message = f"The value '{token}' is not valid for the parameter continuationToken."
        raise DevOpsError(400, "InvalidContinuationTokenException", message) from error


def list_artifacts(call: DevOpsCall) -> Reply:
    """GET {project}/_apis/build/builds/{buildId}/artifacts: all, or the one of `artifactName`."""
    project, _, build = find_build(call)
    names = build.published_artifacts() if is_retained(call, build) else []
    artifacts = [_artifact(call, project, build, number, name) for number, name in enumerate(names, start=1)]
    name = call.request.query.get("artifactName")
    if name is None:
        return listing(artifacts)
    match = next((artifact for artifact in artifacts if artifact["name"].lower() == name.lower()), None)
    if match is None:
        message = f"Artifact {name} not found for build {build.id}."
        raise not_found(message, "ArtifactNotFoundException")
    return json_reply(match)


def _artifact(call: DevOpsCall, project: Project, build: Build, number: int, name: str) -> dict[str, Any]:
    url = call.url(project.id, "_apis", "build", "builds", str(build.id), "artifacts")
    return {
        "id": build.id * 10 + number,
        "name": name,
        "source": derived_id("job", str(build.id)),
        "resource": {
            "type": "Container",
            "data": f"#/{build.id}/{name}",
            "properties": {"localpath": f"/home/vsts/work/1/a/{name}"},
            "url": f"{url}?artifactName={name}&api-version=7.1",
            "downloadUrl": f"{url}?artifactName={name}&api-version=7.1&%24format=zip",
        },
    }
