"""Timelines and logs of builds. The first log of a YAML build is its expanded YAML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.cloud.devops.call import DevOpsCall, listing
from sandbox.cloud.devops.errors import not_found
from sandbox.cloud.devops.pipelines.builds import find_build, is_retained
from sandbox.cloud.transport.message import Reply, json_reply
from sandbox.cloud.world.identifiers import derived_id
from sandbox.cloud.world.pipelines.expansion import with_injected_step
from sandbox.cloud.world.pipelines.model import Build, Pipeline
from sandbox.cloud.world.pipelines.tasks import (
    CONTAINER_MAPPING_END,
    CONTAINER_MAPPING_START,
    SCAN_STEP_NAME,
    SCAN_TASK_ID,
    Step,
    Task,
    parse_task,
)
from sandbox.cloud.world.world import World

__all__ = ["get_log", "get_timeline", "list_logs", "shown_yaml"]

_MAPPING_TASK = parse_task("MicrosoftSecurityDevOps@1")
_Entry = tuple[str, Task | None, str]
"""Name, task and result of a task record."""


def get_timeline(call: DevOpsCall) -> Reply:
    """GET {project}/_apis/build/builds/{buildId}/timeline: 204 for a build without one."""
    _, pipeline, build = find_build(call)
    records = list(_records(call, pipeline, build))
    if not records and call.world.variants.is_chosen("invalidYaml", "withoutTimeline"):
        return Reply(204)
    identifier = derived_id("timeline", str(build.id))
    return json_reply(
        {
            "records": records,
            "lastChangedBy": derived_id("azure-devops-service"),
            "lastChangedOn": call.time(build.finished_at or build.queued_at),
            "id": identifier,
            "changeId": len(records),
            "url": call.url("_apis", "build", "builds", str(build.id), "Timeline", identifier),
        }
    )


def _jobs(build: Build) -> dict[tuple[str, str], list[Step]]:
    """Return the steps of a build by stage and job."""
    jobs: dict[tuple[str, str], list[Step]] = {}
    for step in build.steps:
        jobs.setdefault((step.stage, step.job), []).append(step)
    return jobs


def _entries(world: World, pipeline: Pipeline, build: Build, steps: list[Step]) -> Iterator[_Entry]:
    """Return the task records of a job: its steps, those of the service, and those that container mapping injects."""
    checkout_task = parse_task("Checkout@1") if world.variants.is_chosen("checkoutRecords", "withTask") else None
    yield "Initialize job", None, "succeeded"
    if build.container_mapping:
        yield CONTAINER_MAPPING_START, _MAPPING_TASK, "succeeded"
    checkout = f"Checkout {pipeline.source.name}@{build.branch.removeprefix('refs/heads/')} to s"
    if not any(step.task.name == "Checkout" for step in steps):
        yield checkout, checkout_task, "succeeded"
    for step in steps:
        is_checkout = step.task.name == "Checkout"
        yield (
            checkout if is_checkout else _step_name(world, step),
            checkout_task if is_checkout else step.task,
            build.step_result(step),
        )
    if build.container_mapping:
        yield CONTAINER_MAPPING_END, _MAPPING_TASK, "succeeded"
    yield f"Post-job: {checkout}", None, "succeeded"
    yield "Finalize Job", None, "succeeded"


def _step_name(world: World, step: Step) -> str:
    """Return the name of a step; of a scan without a name of its own that of the designer, by variant."""
    is_unnamed_scan = step.task.id == SCAN_TASK_ID and step.display_name == step.task.name
    is_friendly = is_unnamed_scan and world.variants.is_chosen("stepNames", "friendly")
    return SCAN_STEP_NAME if is_friendly else step.display_name


@dataclass(frozen=True, slots=True)
class _Node:
    """A record's place in the timeline; `result` is that of the build where it is None."""

    id: str
    parent: str | None
    kind: str
    name: str
    order: int
    result: str | None = None


def _records(call: DevOpsCall, pipeline: Pipeline, build: Build) -> Iterator[dict[str, Any]]:
    stages: dict[str, str] = {}
    log = 1
    for order, ((stage, job), steps) in enumerate(_jobs(build).items(), start=1):
        if stage not in stages:
            stages[stage] = derived_id(str(build.id), stage)
            yield _record(call, build, _Node(stages[stage], None, "Stage", stage, len(stages)))
        phase, job_id = (derived_id(str(build.id), stage, job, kind) for kind in ("phase", "job"))
        yield _record(call, build, _Node(phase, stages[stage], "Phase", job, order))
        yield _record(call, build, _Node(job_id, phase, "Job", job, 1))
        for number, (name, task, result) in enumerate(_entries(call.world, pipeline, build, steps), start=1):
            log += 1
            node = _Node(derived_id(job_id, str(number)), job_id, "Task", name, number, result)
            record = _record(call, build, node)
            if task is not None:
                record["task"] = {"id": task.id, "name": task.name, "version": task.version}
            if result != "skipped":
                url = call.url("_apis", "build", "builds", str(build.id), "logs", str(log))
                record["log"] = {"id": log, "type": "Container", "url": url}
            yield record


def _record(call: DevOpsCall, build: Build, node: _Node) -> dict[str, Any]:
    is_complete = build.status == "completed"
    overall = {"partiallySucceeded": "succeededWithIssues"}.get(build.result or "", build.result)
    result = node.result or overall
    return {
        "previousAttempts": [],
        "id": node.id,
        "parentId": node.parent,
        "type": node.kind,
        "name": node.name,
        "startTime": call.time(build.queued_at),
        "finishTime": None if build.finished_at is None else call.time(build.finished_at),
        "currentOperation": None,
        "percentComplete": None,
        "state": "completed" if is_complete else "inProgress",
        "result": result if is_complete else None,
        "resultCode": None,
        "changeId": 1,
        "lastModified": "0001-01-01T00:00:00",
        "workerName": None,
        "order": node.order,
        "details": None,
        "errorCount": int(result == "failed"),
        "warningCount": 0,
        "url": None,
        "log": None,
        "task": None,
        "attempt": 1,
        "identifier": None,
    }


def _logs(call: DevOpsCall, pipeline: Pipeline, build: Build) -> list[str]:
    """Return the texts of the logs of a build, the first one at position 0; none beyond the retention."""
    if not is_retained(call, build):
        return []
    texts = []
    if build.yaml is not None and call.world.variants["firstLog"] == "expandedYaml":
        texts.append(shown_yaml(call.world, build.yaml) if build.container_mapping else build.yaml)
    for steps in _jobs(build).values():
        texts += [f"##[section]Starting: {name}\n" for name, _, _ in _entries(call.world, pipeline, build, steps)]
    return texts


def shown_yaml(world: World, expanded: str) -> str:
    """Return the expanded YAML of a pipeline into which container mapping injects steps, as the service shows it."""
    if world.variants["containerMappingSteps"] == "hidden":
        return expanded
    return with_injected_step(expanded, "MicrosoftSecurityDevOps@1", CONTAINER_MAPPING_START, {"command": "pre-job"})


def list_logs(call: DevOpsCall) -> Reply:
    """GET {project}/_apis/build/builds/{buildId}/logs."""
    _, pipeline, build = find_build(call)
    url = call.url("_apis", "build", "builds", str(build.id), "logs")
    texts = _logs(call, pipeline, build)
    return listing(
        [
            {"id": number, "type": "Container", "lineCount": text.count("\n"), "url": f"{url}/{number}"}
            for number, text in enumerate(texts, start=1)
        ]
    )


def get_log(call: DevOpsCall) -> Reply:
    """GET {project}/_apis/build/builds/{buildId}/logs/{logId}: text, or its lines as JSON if the client accepts it."""
    _, pipeline, build = find_build(call)
    texts, identifier = _logs(call, pipeline, build), call.names["log"]
    if not identifier.isdecimal() or not 1 <= int(identifier[:18]) <= len(texts):
        message = f"The log with ID {identifier} of build {build.id} could not be found."
        raise not_found(message, "BuildLogNotFoundException")
    lines = texts[int(identifier) - 1].splitlines()
    start, end = call.number("startLine", 0), call.number("endLine", len(lines))
    lines = lines[start : end + 1]
    accepts_json = "application/json" in call.request.headers.get("Accept", "")
    if accepts_json and call.world.variants["logsForJson"] == "lines":
        return listing(list(lines))
    text = "".join(f"{line}\n" for line in lines)
    return Reply(200, text.encode("utf-8", "replace"), {"Content-Type": "text/plain; charset=utf-8"})
