"""Endpoints of the control interface for projects, repositories, pipelines, builds and branch policies."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import unquote

from sandbox.cloud.control.bodies import (
    BranchPolicyChange,
    PipelineChange,
    ProjectChange,
    RepositoryChange,
)
from sandbox.cloud.control.endpoint import endpoint, parse_body
from sandbox.cloud.simulation import Simulation
from sandbox.cloud.transport.message import Request
from sandbox.cloud.world.devops import Organization, Project
from sandbox.cloud.world.load import absolute
from sandbox.cloud.world.pipelines.load import (
    add_build,
    add_pipeline,
    add_policy,
    advanced_security,
    designer_steps,
    find_pipeline,
    source_of,
)
from sandbox.cloud.world.pipelines.model import Pipeline
from sandbox.cloud.world.pipelines.schema import BranchPolicySpec, BuildSpec, PipelineSpec
from sandbox.cloud.world.pipelines.store import PipelineStore
from sandbox.cloud.world.principals import UnknownName, principal_id

__all__ = ["PipelineEndpoints"]

_PROJECT = "/organizations/{name}/projects/{project}"


class PipelineEndpoints:
    """Changes of projects outside of the services."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def _find(self, name: str, project: str) -> tuple[Organization, Project]:
        organization = self._simulation.world.organization(unquote(name))
        if organization is None:
            raise UnknownName(f"there is no organization {name!r}")
        match = organization.project(unquote(project))
        if match is None:
            raise UnknownName(f"there is no project {project!r} in {name!r}")
        return organization, match

    def _find_pipeline(self, name: str, project: str, pipeline: str) -> tuple[Organization, Project, Pipeline]:
        organization, match = self._find(name, project)
        return organization, match, find_pipeline(self._simulation.world, organization, match, unquote(pipeline))

    def _object_ids(self, accounts: list[str]) -> set[str]:
        return {principal_id(self._simulation.world, account) for account in accounts}

    @endpoint("GET", "/organizations/{name}/pipelines")
    async def pipelines(self, request: Request, name: str) -> Any:  # noqa: ANN401 - JSON
        """Pipelines and builds of an organization by project, and the scenarios of its generated repositories."""
        del request
        organization = self._simulation.world.organization(name)
        if organization is None:
            raise UnknownName(f"there is no organization {name!r}")
        now = self._simulation.clock.now()
        store = PipelineStore(organization, now)
        projects, scenarios = {}, Counter[str]()
        builds = 0 if organization.generated_pipelines is None else organization.generated_pipelines.count(now)
        for project in organization.projects.values():
            builds += len(project.pipelines.builds)
            projects[project.name] = {pipeline.name: pipeline.id for pipeline in store.pipelines(project)}
            mix = project.repositories.mix
            if mix is not None:
                scenarios.update(str(mix.scenario(number)) for number in range(project.repositories.generated))
        return {"pipelines": projects, "builds": builds, "scenarios": dict(scenarios)}

    @endpoint("PATCH", _PROJECT)
    async def change_project(self, request: Request, name: str, project: str) -> Any:  # noqa: ANN401 - JSON
        """Hide a project from members: `hiddenFrom` replaces the accounts that may not see it."""
        _, match = self._find(name, project)
        match.hidden_from = self._object_ids(parse_body(request, ProjectChange).hidden_from)
        return {}

    @endpoint("PATCH", f"{_PROJECT}/repositories/{{repository}}")
    async def change_repository(self, request: Request, name: str, project: str, repository: str) -> Any:  # noqa: ANN401
        """Change a repository: files, branches, default branch, state, index, Advanced Security."""
        _, match = self._find(name, project)
        position = match.repositories.position(unquote(repository))
        if position is None:
            raise UnknownName(f"there is no repository {repository!r} in {project!r}")
        body = parse_body(request, RepositoryChange)
        changed = match.repositories.change(position)
        simple = {"disabled", "empty", "fork", "default_branch", "indexed", "size"}
        for attribute, value in body.model_dump(include=simple, exclude_none=True).items():
            setattr(changed, attribute, value)
        if body.files is not None:
            # A new map: generated repositories share theirs.
            files = {**changed.files, **absolute({path: text or "" for path, text in body.files.items()})}
            deleted = absolute({path: "" for path, text in body.files.items() if text is None})
            changed.files = {path: text for path, text in files.items() if path not in deleted}
        if body.branches is not None:
            changed.branches = {branch: absolute(files) for branch, files in body.branches.items()}
        if body.advanced_security is not None:
            changed.advanced_security = advanced_security(body.advanced_security)
        return {}

    @endpoint("POST", f"{_PROJECT}/pipelines")
    async def add_pipeline(self, request: Request, name: str, project: str) -> Any:  # noqa: ANN401 - JSON
        """Add a pipeline with its builds, in the format of the world file."""
        organization, match = self._find(name, project)
        pipeline = add_pipeline(self._simulation.world, organization, match, parse_body(request, PipelineSpec))
        return {"id": pipeline.id, "builds": [build.id for build in match.pipelines.builds_of.get(pipeline.id, ())]}

    @endpoint("PATCH", f"{_PROJECT}/pipelines/{{pipeline}}")
    async def change_pipeline(self, request: Request, name: str, project: str, pipeline: str) -> Any:  # noqa: ANN401
        """Change a pipeline by name or id, and increase its revision; `viewDenied` leaves the revision."""
        organization, match, changed = self._find_pipeline(name, project, pipeline)
        body = parse_body(request, PipelineChange)
        # A generated pipeline is created at each access: from now on the changed one is kept.
        match.pipelines.pipelines[changed.id] = changed
        if body.view_denied is not None:
            changed.hidden_from = self._object_ids(body.view_denied)
        simple = {"name", "folder", "queue_status"}
        for attribute, value in body.model_dump(include=simple, exclude_none=True).items():
            setattr(changed, attribute, value)
        if "yaml" in body.model_fields_set:
            changed.yaml_filename = body.yaml
        if body.repository is not None:
            changed.source = source_of(organization, match, body.repository, body.repository_type)
        if body.tasks is not None:
            changed.steps = designer_steps(body.tasks)
        if "expanded_yaml" in body.model_fields_set:
            changed.expanded_yaml = body.expanded_yaml
        if "validation_error" in body.model_fields_set:
            changed.validation_error = body.validation_error
        if body.model_fields_set - {"view_denied", "expanded_yaml", "validation_error"}:
            changed.revision += 1
        return {"id": changed.id, "revision": changed.revision}

    @endpoint("DELETE", f"{_PROJECT}/pipelines/{{pipeline}}")
    async def delete_pipeline(self, request: Request, name: str, project: str, pipeline: str) -> Any:  # noqa: ANN401
        """Delete a pipeline with its builds."""
        del request
        _, match, deleted = self._find_pipeline(name, project, pipeline)
        match.pipelines.pipelines.pop(deleted.id, None)
        match.pipelines.removed.add(deleted.id)
        return {}

    @endpoint("POST", f"{_PROJECT}/pipelines/{{pipeline}}/builds")
    async def add_build(self, request: Request, name: str, project: str, pipeline: str) -> Any:  # noqa: ANN401
        """Add a build, which runs what the pipeline has now, in the format of the world file."""
        organization, match, built = self._find_pipeline(name, project, pipeline)
        build = add_build(self._simulation.world, organization, match, built, parse_body(request, BuildSpec))
        return {"id": build.id, "result": build.result, "artifacts": build.published_artifacts()}

    @endpoint("POST", f"{_PROJECT}/policies")
    async def add_policy(self, request: Request, name: str, project: str) -> Any:  # noqa: ANN401 - JSON
        """Add a branch policy, in the format of the world file."""
        organization, match = self._find(name, project)
        body = parse_body(request, BranchPolicySpec)
        return {"id": add_policy(self._simulation.world, organization, match, body).id}

    @endpoint("PATCH", f"{_PROJECT}/policies/{{policy}}")
    async def change_policy(self, request: Request, name: str, project: str, policy: str) -> Any:  # noqa: ANN401
        """Enable, disable or delete a branch policy by its id."""
        _, match = self._find(name, project)
        changed = match.pipelines.policies.get(int(policy)) if policy.isdecimal() else None
        if changed is None:
            raise UnknownName(f"there is no policy {policy!r} in {project!r}")
        body = parse_body(request, BranchPolicyChange)
        for attribute, value in body.model_dump(exclude={"deleted"}, exclude_none=True).items():
            setattr(changed, attribute, value)
        if body.deleted:
            del match.pipelines.policies[changed.id]
        return {}
