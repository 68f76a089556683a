"""Pipelines (build definitions), tasks and task groups."""

from __future__ import annotations

from typing import Any

from sandbox.cloud.devops.call import DevOpsCall, listing
from sandbox.cloud.devops.errors import DevOpsError, not_found
from sandbox.cloud.devops.organizations import project_reference
from sandbox.cloud.devops.pipelines.build_reference import build_reference
from sandbox.cloud.transport.message import Reply, json_reply
from sandbox.cloud.world.devops import CONTAINER_MAPPING_EXTENSION, Project
from sandbox.cloud.world.pipelines.expansion import PipelineInvalid, steps_of
from sandbox.cloud.world.pipelines.files import expanded_yaml
from sandbox.cloud.world.pipelines.model import Pipeline
from sandbox.cloud.world.pipelines.store import PipelineStore
from sandbox.cloud.world.pipelines.tasks import SCAN_TASK_ID, SECURITY_DEVOPS_EXTENSION, Step

__all__ = [
    "check_view_builds",
    "find_pipeline",
    "get_definition",
    "list_definitions",
    "list_task_groups",
    "list_task_versions",
    "pipelines_of_repository",
    "visible_pipelines",
]

_ORDERS = {
    "definitionnameascending": (lambda pipeline: pipeline.name.lower(), False),
    "definitionnamedescending": (lambda pipeline: pipeline.name.lower(), True),
    "lastmodifiedascending": (lambda pipeline: pipeline.created_at, False),
    "lastmodifieddescending": (lambda pipeline: pipeline.created_at, True),
}
_DESIGNER, _YAML = 1, 2


def visible_pipelines(call: DevOpsCall, project: Project) -> list[Pipeline]:
    """Return the pipelines of a project that the caller may see; those with "View builds" denied are absent."""
    pipelines = PipelineStore(call.current_organization, call.world.clock.now()).pipelines(project)
    person = call.person.object_id
    return [pipeline for pipeline in pipelines if person not in pipeline.hidden_from]


def find_pipeline(call: DevOpsCall, name: str) -> tuple[Project, Pipeline]:
    """Return the project and the pipeline whose id is the placeholder `name` of the path.

    Raises:
        DevOpsError: 404: it does not exist, or the caller may not see it.
    """
    project, identifier = call.project(), call.names[name]
    pipeline = None
    if identifier.isdecimal():
        store = PipelineStore(call.current_organization, call.world.clock.now())
        pipeline = store.pipeline(project, int(identifier[:18]))
    if pipeline is not None:
        check_view_builds(call, project, pipeline)
    if pipeline is None or call.person.object_id in pipeline.hidden_from:
        message = f"The pipeline with ID {identifier} could not be found in project {project.name}."
        raise not_found(message, "DefinitionNotFoundException")
    return project, pipeline


def check_view_builds(call: DevOpsCall, project: Project, pipeline: Pipeline) -> None:
    """Raise the error of a pipeline with "View builds" denied, in the variant that does not hide it.

    Raises:
        DevOpsError: 403 TF215106.
    """
    if call.person.object_id in pipeline.hidden_from and call.world.variants["deniedPipelines"] == "forbidden":
        message = (
            f"TF215106: Access denied. {call.person.display_name} needs View builds permissions for build pipeline "
            f"{pipeline.id}:{pipeline.name} in team project {project.name} to perform the action. For more "
            "information, contact the Azure DevOps administrator."
        )
        raise DevOpsError(403, "AccessDeniedException", message)


def list_definitions(call: DevOpsCall) -> Reply:
    """GET {project}/_apis/build/definitions: the continuation token is in a header."""
    project = call.project()
    pipelines = _filtered(call, visible_pipelines(call, project))
    order = _ORDERS.get(call.request.query.get("queryOrder", "").lower())
    if order is not None:
        pipelines.sort(key=order[0], reverse=order[1])
    page, headers = call.page(pipelines, call.page_size)
    is_full = call.flag("includeAllProperties")
    return listing([_definition(call, project, pipeline, is_full=is_full) for pipeline in page], headers)


def _filtered(call: DevOpsCall, pipelines: list[Pipeline]) -> list[Pipeline]:
    query = call.request.query
    name = query.get("name", "").lower()
    if name:
        pipelines = [pipeline for pipeline in pipelines if pipeline.name.lower() == name]
    repository = query.get("repositoryId", "").lower()
    if repository:
        pipelines = pipelines_of_repository(call, pipelines, repository)
    if query.get("definitionIds"):
        identifiers = set(query["definitionIds"].split(","))
        pipelines = [pipeline for pipeline in pipelines if str(pipeline.id) in identifiers]
    task = query.get("taskIdFilter", "").lower()
    if task:
        pipelines = [pipeline for pipeline in pipelines if any(step.task.id == task for step in _steps(call, pipeline))]
    file = query.get("yamlFilename", "").lstrip("/").lower()
    if file and call.flag("includeAllProperties"):
        pipelines = [pipeline for pipeline in pipelines if (pipeline.yaml_filename or "").lstrip("/").lower() == file]
    if query.get("processType"):
        pipelines = [pipeline for pipeline in pipelines if str(_process_type(pipeline)) == query["processType"]]
    return pipelines


def pipelines_of_repository(call: DevOpsCall, pipelines: list[Pipeline], repository: str) -> list[Pipeline]:
    """Return the pipelines of the repository with this id, in lower case, and the type in the query.

    Raises:
        DevOpsError: 400: the query has no type.
    """
    kind = call.request.query.get("repositoryType", "").lower()
    if not kind and call.world.variants.is_chosen("repositoryWithoutType", "ignored"):
        return pipelines
    if not kind:
        message = "The parameter repositoryType is required with repositoryId."
        raise DevOpsError(400, "InvalidArgumentValueException", message)
    key = (repository, kind)
    return [pipeline for pipeline in pipelines if (pipeline.source.id.lower(), pipeline.source.type.lower()) == key]


def _steps(call: DevOpsCall, pipeline: Pipeline) -> tuple[Step, ...]:
    """Return the steps that the filter by task sees: those of YAML are no part of a definition."""
    if pipeline.yaml_filename is None or call.world.variants["taskFilter"] == "designer":
        return pipeline.steps
    try:
        return steps_of(expanded_yaml(call.current_organization, pipeline))
    except PipelineInvalid:
        return ()


def get_definition(call: DevOpsCall) -> Reply:
    """GET {project}/_apis/build/definitions/{definitionId}: with all properties."""
    project, pipeline = find_pipeline(call, "definition")
    return json_reply(_definition(call, project, pipeline, is_full=True))


def _process_type(pipeline: Pipeline) -> int:
    return _DESIGNER if pipeline.yaml_filename is None else _YAML


def _definition(call: DevOpsCall, project: Project, pipeline: Pipeline, *, is_full: bool) -> dict[str, Any]:
    url = call.url(project.id, "_apis", "build", "Definitions", str(pipeline.id))
    body: dict[str, Any] = {
        "_links": {
            "self": {"href": f"{url}?revision={pipeline.revision}"},
            "web": {"href": f"{call.url(project.id, '_build', 'definition')}?definitionId={pipeline.id}"},
        },
        "quality": "definition",
        "drafts": [],
        "id": pipeline.id,
        "name": pipeline.name,
        "url": f"{url}?revision={pipeline.revision}",
        "uri": f"vstfs:///Build/Definition/{pipeline.id}",
        "path": pipeline.folder,
        "type": "build",
        "queueStatus": pipeline.queue_status,
        "revision": pipeline.revision,
        "createdDate": call.time(pipeline.created_at),
        "project": project_reference(call, project),
    }
    if is_full:
        body["process"] = _process(pipeline)
        source = pipeline.source
        body["repository"] = {
            "properties": {"fullName": source.name, "defaultBranch": source.default_branch},
            "id": source.id,
            "type": source.type,
            "name": source.name,
            "defaultBranch": source.default_branch,
            "clean": None,
            "checkoutSubmodules": False,
        }
    if call.flag("includeLatestBuilds"):
        builds = PipelineStore(call.current_organization, call.world.clock.now()).builds(project, pipeline.id)
        # Of any branch by default: a build of a pull request may be the latest.
        is_any = call.world.variants.is_chosen("latestCompletedBuild", "anyBranch")
        completed = [
            build
            for build in builds
            if build.status == "completed" and (is_any or build.branch == pipeline.source.default_branch)
        ]
        if builds:
            body["latestBuild"] = build_reference(call, project, pipeline, builds[0])
        if completed:
            body["latestCompletedBuild"] = build_reference(call, project, pipeline, completed[0])
    return body


def _process(pipeline: Pipeline) -> dict[str, Any]:
    if pipeline.yaml_filename is not None:
        return {"yamlFilename": pipeline.yaml_filename, "type": _YAML}
    phase = {
        "name": "Agent job 1",
        "refName": "Job_1",
        "condition": "succeeded()",
        "steps": [_designer_step(step) for step in pipeline.steps],
    }
    return {"phases": [phase], "type": _DESIGNER}


def _designer_step(step: Step) -> dict[str, Any]:
    return {
        "environment": {},
        "enabled": step.enabled,
        "continueOnError": False,
        "alwaysRun": False,
        "displayName": step.display_name,
        "timeoutInMinutes": 0,
        "condition": step.condition,
        "task": {"id": step.task.id, "versionSpec": f"{step.task.major}.*", "definitionType": "task"},
        "inputs": step.inputs,
    }


def list_task_groups(call: DevOpsCall) -> Reply:
    """GET {project}/_apis/distributedtask/taskgroups."""
    task = call.request.query.get("taskIdFilter", "").lower()
    groups = [
        group
        for group in call.project().pipelines.task_groups
        if not task or any(step.task.id == task for step in group.steps)
    ]
    return listing(
        [
            {"id": group.id, "name": group.name, "revision": 1, "tasks": [_designer_step(step) for step in group.steps]}
            for group in groups
        ]
    )


def list_task_versions(call: DevOpsCall) -> Reply:
    """GET _apis/distributedtask/tasks/{taskId}: the container mapping extension brings its own copy of the task."""
    organization = call.current_organization
    is_installed = any(
        organization.has_working_extension(name) for name in (SECURITY_DEVOPS_EXTENSION, CONTAINER_MAPPING_EXTENSION)
    )
    if call.names["task"].lower() != SCAN_TASK_ID or not is_installed:
        return listing([])
    version = {"major": 1, "minor": 18, "patch": 1, "isTest": False}
    return listing([{"id": SCAN_TASK_ID, "name": "MicrosoftSecurityDevOps", "version": version}])
