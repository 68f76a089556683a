"""The preview of a pipeline, and the requests that start a build: no client of this project may send those."""

from __future__ import annotations

from typing import Any

from sandbox.cloud.devops.call import DevOpsCall
from sandbox.cloud.devops.errors import DevOpsError, not_found
from sandbox.cloud.devops.pipelines.build_reference import build_reference
from sandbox.cloud.devops.pipelines.definitions import find_pipeline
from sandbox.cloud.devops.pipelines.timelines import shown_yaml
from sandbox.cloud.transport.message import Reply, json_reply
from sandbox.cloud.world.devops import CONTAINER_MAPPING_EXTENSION, Project
from sandbox.cloud.world.pipelines.expansion import PipelineInvalid, steps_of
from sandbox.cloud.world.pipelines.files import expanded_yaml
from sandbox.cloud.world.pipelines.load import add_build
from sandbox.cloud.world.pipelines.model import Build, Pipeline
from sandbox.cloud.world.pipelines.schema import BuildSpec
from sandbox.cloud.world.pipelines.store import PipelineStore
from sandbox.cloud.world.pipelines.tasks import SECURITY_DEVOPS_EXTENSION

__all__ = ["preview", "queue_build", "run_pipeline"]


def preview(call: DevOpsCall) -> Reply:
    """POST {project}/_apis/pipelines/{pipelineId}/preview: the expanded YAML; never makes a build."""
    project, pipeline = find_pipeline(call, "pipeline")
    if call.world.variants["previewRights"] == "queueBuilds":
        _check_queue_builds(call, project, pipeline)
    return json_reply({"finalYaml": _final_yaml(call, pipeline, call.body())})


def _final_yaml(call: DevOpsCall, pipeline: Pipeline, body: dict[str, Any]) -> str:
    if pipeline.validation_error is not None:
        raise _invalid(pipeline.validation_error)
    if pipeline.yaml_filename is None:
        raise _invalid(_text(call, "Operation is not supported on designer build pipelines."))
    if pipeline.queue_status == "disabled":
        raise _invalid(_text(call, f"The pipeline {pipeline.name} is disabled and cannot be queued."))
    override, arguments = body.get("yamlOverride"), body.get("templateParameters")
    try:
        text = expanded_yaml(
            call.current_organization,
            pipeline,
            _branch(body),
            override=override if isinstance(override, str) else None,
            arguments=arguments if isinstance(arguments, dict) else None,
        )
    except PipelineInvalid as error:
        raise _invalid(str(error)) from error
    has_extension = call.current_organization.has_working_extension(SECURITY_DEVOPS_EXTENSION)
    for step in steps_of(text):
        if step.task.needs_security_devops and not has_extension:
            name, job = step.task.name, step.job
            message = (
                f"A task is missing. The pipeline references a task called '{name}'. This usually indicates the task "
                "isn't installed, and you may be able to install it from the Marketplace: "
                f"https://marketplace.visualstudio.com. (Task version {step.task.major}, job '{job}', step ''.)"
            )
            raise _invalid(message)
    if call.current_organization.has_working_extension(CONTAINER_MAPPING_EXTENSION):
        return shown_yaml(call.world, text)
    return text


def _text(call: DevOpsCall, specific: str) -> str:
    """Return the text of the error of a pipeline of which there is no preview."""
    return specific if call.world.variants.is_chosen("previewErrors", "specific") else "The pipeline is not valid."


def _branch(body: dict[str, Any]) -> str | None:
    """Return the branch of `resources.repositories.self.refName`, its short name."""
    value: Any = body
    for name in ("resources", "repositories", "self", "refName"):
        value = value.get(name) if isinstance(value, dict) else None
    return value.removeprefix("refs/heads/") if isinstance(value, str) and value else None


def _invalid(message: str) -> DevOpsError:
    return DevOpsError(400, "PipelineValidationException", message)


def _check_queue_builds(call: DevOpsCall, project: Project, pipeline: Pipeline) -> None:
    if call.current_organization.members[call.person.object_id].queue_builds:
        return
    message = (
        f"TF215106: Access denied. {call.person.display_name} needs Queue builds permissions for build pipeline "
        f"{pipeline.id}:{pipeline.name} in team project {project.name} to perform the action. For more information, "
        "contact the Azure DevOps administrator."
    )
    raise DevOpsError(403, "AccessDeniedException", message)


def run_pipeline(call: DevOpsCall) -> Reply:
    """POST {project}/_apis/pipelines/{pipelineId}/runs: starts a build, unless the body has `previewRun: true`."""
    project, pipeline = find_pipeline(call, "pipeline")
    _check_queue_builds(call, project, pipeline)
    body = call.body()
    text = None if pipeline.yaml_filename is None else _final_yaml(call, pipeline, body)
    if body.get("previewRun") is True:
        return json_reply({"finalYaml": text})
    build = _queue(call, project, pipeline, _branch(body))
    return json_reply({"id": build.id, "name": str(build.id), "state": "inProgress", "pipeline": {"id": pipeline.id}})


def queue_build(call: DevOpsCall) -> Reply:
    """POST {project}/_apis/build/builds: starts a build of `definition.id`."""
    project, body = call.project(), call.body()
    definition = body.get("definition")
    identifier = definition.get("id") if isinstance(definition, dict) else None
    store = PipelineStore(call.current_organization, call.world.clock.now())
    pipeline = store.pipeline(project, identifier) if isinstance(identifier, int) else None
    if pipeline is None or call.person.object_id in pipeline.hidden_from:
        message = f"The pipeline with ID {identifier} could not be found in project {project.name}."
        raise not_found(message, "DefinitionNotFoundException")
    _check_queue_builds(call, project, pipeline)
    branch = body.get("sourceBranch")
    build = _queue(call, project, pipeline, branch if isinstance(branch, str) else None)
    return json_reply(build_reference(call, project, pipeline, build))


def _queue(call: DevOpsCall, project: Project, pipeline: Pipeline, branch: str | None) -> Build:
    full_name = None if branch is None else f"refs/heads/{branch.removeprefix('refs/heads/')}"
    spec = BuildSpec(branch=full_name, reason="manual", status="notStarted")
    build = add_build(call.world, call.current_organization, project, pipeline, spec)
    call.request.effect("build.queue", pipeline=pipeline.id, build=build.id)
    return build
