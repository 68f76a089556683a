"""Adding pipelines, builds and branch policies to a world, from their format in the world file."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.cloud.world.devops import CONTAINER_MAPPING_EXTENSION, Organization, Project
from sandbox.cloud.world.identifiers import derived_id
from sandbox.cloud.world.pipelines.expansion import PipelineInvalid, steps_of
from sandbox.cloud.world.pipelines.files import commit_of, expanded_yaml
from sandbox.cloud.world.pipelines.model import (
    BUILD_VALIDATION,
    AdvancedSecurity,
    BranchPolicy,
    Build,
    Pipeline,
    Source,
    TaskGroup,
)
from sandbox.cloud.world.pipelines.schema import (
    AdvancedSecuritySpec,
    BranchPolicySpec,
    BuildSpec,
    PipelineSpec,
    TaskGroupSpec,
    TaskSpec,
)
from sandbox.cloud.world.pipelines.store import PipelineStore
from sandbox.cloud.world.pipelines.tasks import SCAN_STEP_NAME, Step, parse_task
from sandbox.cloud.world.principals import UnknownName, principal_id
from sandbox.cloud.world.world import World

__all__ = [
    "add_build",
    "add_pipeline",
    "add_policy",
    "advanced_security",
    "designer_steps",
    "find_pipeline",
    "source_of",
    "task_group",
]

_REVIEWERS = "fa4e907d-c16b-4a4c-9dfa-4906e5d171dd"
_BUILD_SECONDS = 240.0
_INSTANCE_NAMES = {"MicrosoftSecurityDevOps": SCAN_STEP_NAME}
"""Names that the designer gives to a step."""


def add_pipeline(world: World, organization: Organization, project: Project, spec: PipelineSpec) -> Pipeline:
    """Add a pipeline with its builds.

    Raises:
        UnknownName: a repository or an account does not exist.
    """
    organization.pipeline_count += 1
    pipeline = Pipeline(
        organization.pipeline_count,
        spec.name,
        source_of(organization, project, spec.repository, spec.repository_type),
        spec.yaml,
        designer_steps(spec.tasks),
        spec.folder,
        queue_status=spec.queue_status,
        hidden_from={principal_id(world, account) for account in spec.view_denied},
        expanded_yaml=spec.expanded_yaml,
        validation_error=spec.validation_error,
        created_at=world.clock.now(),
    )
    project.pipelines.pipelines[pipeline.id] = pipeline
    for build in sorted(spec.builds, key=lambda build: -build.age):
        add_build(world, organization, project, pipeline, build)
    return pipeline


def source_of(organization: Organization, project: Project, name: str, kind: str | None) -> Source:
    """Return the repository of a pipeline by its name, or `project/name`.

    Raises:
        UnknownName: it does not exist.
    """
    if kind == "GitHub":
        return Source("GitHub", name, name, "", "refs/heads/main")
    if kind == "TfsVersionControl" or (kind is None and project.tfvc):
        return Source("TfsVersionControl", "$/", project.name, project.name, None)
    project_name, slash, short_name = name.rpartition("/")
    home = organization.project(project_name) if slash else project
    position = None if home is None else home.repositories.position(short_name)
    if home is None or position is None:
        raise UnknownName(f"there is no repository {name!r} for a pipeline of {project.name!r}")
    repository = home.repositories[position]
    return Source("TfsGit", repository.id, repository.name, home.name, f"refs/heads/{repository.default_branch}")


def designer_steps(tasks: Sequence[str | TaskSpec]) -> tuple[Step, ...]:
    """Return the steps of a designer pipeline or a task group."""
    steps = []
    for item in tasks:
        spec = TaskSpec(task=item) if isinstance(item, str) else item
        task = parse_task(spec.task)
        name = spec.display_name or _INSTANCE_NAMES.get(task.name, task.name)
        steps.append(Step("__default", "Agent job 1", name, task, dict(spec.inputs), enabled=spec.enabled))
    return tuple(steps)


def task_group(project: Project, spec: TaskGroupSpec) -> TaskGroup:
    """Return a task group."""
    return TaskGroup(derived_id(project.id, "taskGroup", spec.name), spec.name, designer_steps(spec.tasks))


def advanced_security(spec: AdvancedSecuritySpec | None) -> AdvancedSecurity | None:
    """Return the switches of a repository."""
    return None if spec is None else AdvancedSecurity(**spec.model_dump())


def find_pipeline(world: World, organization: Organization, project: Project, name: str) -> Pipeline:
    """Return a pipeline of a project by name or id.

    Raises:
        UnknownName: it does not exist.
    """
    for pipeline in PipelineStore(organization, world.clock.now()).pipelines(project):
        if name.lower() in (pipeline.name.lower(), str(pipeline.id)):
            return pipeline
    raise UnknownName(f"there is no pipeline {name!r} in {project.name!r}")


def add_build(world: World, organization: Organization, project: Project, pipeline: Pipeline, spec: BuildSpec) -> Build:
    """Add a build: it runs what its pipeline has now. YAML that cannot be expanded makes a build that failed."""
    organization.build_count += 1
    finished = world.clock.now() - spec.age
    branch = spec.branch or pipeline.source.default_branch or "refs/heads/main"
    text, steps = _content(organization, pipeline, branch, spec)
    is_yaml = pipeline.yaml_filename is not None
    build = Build(
        organization.build_count,
        pipeline.id,
        finished - _BUILD_SECONDS,
        finished if spec.status == "completed" else None,
        branch,
        text,
        steps,
        spec.reason or ("pullRequest" if branch.startswith("refs/pull/") else "individualCI"),
        spec.status,
        spec.result or ("failed" if is_yaml and text is None else None),
        dict(spec.steps),
        None if spec.artifacts is None else tuple(spec.artifacts),
        organization.has_working_extension(CONTAINER_MAPPING_EXTENSION),
        spec.retained,
        commit_of({branch: text or ""}),
    )
    project.pipelines.add_build(build)
    return build


def _content(
    organization: Organization, pipeline: Pipeline, branch: str, spec: BuildSpec
) -> tuple[str | None, tuple[Step, ...]]:
    """Return the expanded YAML that a build runs, and its steps with those of the organization's decorator."""
    text: str | None = None
    if pipeline.yaml_filename is None:
        steps = pipeline.steps
    else:
        short_name = branch.removeprefix("refs/heads/")
        is_branch = short_name != branch
        try:
            text = spec.yaml or expanded_yaml(organization, pipeline, short_name if is_branch else None)
        except PipelineInvalid:
            return None, ()
        steps = steps_of(text)
    jobs = dict.fromkeys((step.stage, step.job) for step in steps)
    tasks = [parse_task(reference) for reference in organization.decorator_steps]
    return text, (*steps, *(Step(stage, job, task.name, task) for stage, job in jobs for task in tasks))


def add_policy(world: World, organization: Organization, project: Project, spec: BranchPolicySpec) -> BranchPolicy:
    """Add a branch policy.

    Raises:
        UnknownName: the pipeline or the repository does not exist.
    """
    pipeline_id = None if spec.pipeline is None else find_pipeline(world, organization, project, spec.pipeline).id
    repository_id = None
    if spec.repository is not None:
        repository_id = source_of(organization, project, spec.repository, "TfsGit").id
    organization.policy_count += 1
    policy = BranchPolicy(
        organization.policy_count,
        BUILD_VALIDATION if spec.type == "build" else _REVIEWERS,
        pipeline_id,
        repository_id,
        None if spec.match_kind == "DefaultBranch" else spec.branch,
        spec.match_kind,
        spec.enabled,
        spec.blocking,
        spec.manual_queue_only,
        spec.display_name,
    )
    project.pipelines.policies[policy.id] = policy
    return policy
