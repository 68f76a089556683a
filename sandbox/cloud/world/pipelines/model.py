"""Pipelines, builds and branch policies of a project, switches of Advanced Security, and the search index."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.cloud.world.pipelines.tasks import Step, published_artifact

__all__ = [
    "BUILD_VALIDATION",
    "AdvancedSecurity",
    "BranchPolicy",
    "Build",
    "Pipeline",
    "ProjectPipelines",
    "Source",
    "TaskGroup",
]

BUILD_VALIDATION = "0609b952-1397-4640-95ec-e00a01b2c241"
"""Policy type of build validation."""


@dataclass(frozen=True, slots=True)
class Source:
    """The repository of a pipeline: that of its YAML file, which may build code of others.

    Attributes:
        type: `TfsGit`, `TfsVersionControl` or `GitHub`.
        id: GUID; `owner/name` for GitHub.
        project: name of its project; empty for GitHub.
        default_branch: full name of a branch; None for TFVC.
    """

    type: str
    id: str
    name: str
    project: str
    default_branch: str | None


@dataclass(slots=True)
class Pipeline:
    """A pipeline (build definition).

    Attributes:
        yaml_filename: as entered at creation, with or without a leading slash; None for a designer pipeline.
        steps: of a designer pipeline.
        revision: counts changes of the definition.
        queue_status: `enabled`, `paused` or `disabled`.
        hidden_from: object ids that are denied "View builds": it does not exist for them.
        expanded_yaml: text in place of the expansion of the file.
        validation_error: message of the error that a preview returns in place of YAML.
        created_at: inner time.
    """

    id: int
    name: str
    source: Source
    yaml_filename: str | None
    steps: tuple[Step, ...] = ()
    folder: str = "\\"
    revision: int = 1
    queue_status: str = "enabled"
    hidden_from: set[str] = field(default_factory=set)
    expanded_yaml: str | None = None
    validation_error: str | None = None
    created_at: float = 0.0


@dataclass(slots=True)
class Build:
    """A run of a pipeline.

    Attributes:
        pipeline_id: of its pipeline.
        finished_at: inner time; None while it runs.
        queued_at: inner time.
        branch: full name, `refs/pull/7/merge` for a pull request.
        yaml: the expanded YAML that it ran; None for a designer pipeline.
        steps: what it ran.
        results: result of a step by its display name or its task's name; others succeed.
        artifacts: names in place of those that its steps publish.
        container_mapping: whether the decorator of container mapping injected its steps.
        retained: whether a lease keeps its logs and artifacts beyond the retention.
        version: commit of its repository.
    """

    id: int
    pipeline_id: int
    queued_at: float
    finished_at: float | None
    branch: str
    yaml: str | None
    steps: tuple[Step, ...]
    reason: str = "individualCI"
    status: str = "completed"
    forced_result: str | None = None
    results: dict[str, str] = field(default_factory=dict)
    artifacts: tuple[str, ...] | None = None
    container_mapping: bool = False
    retained: bool = False
    version: str = ""

    def step_result(self, step: Step) -> str:
        """Return the result of a step."""
        if step.is_skipped:
            return "skipped"
        return self.results.get(step.display_name) or self.results.get(step.task.name) or "succeeded"

    @property
    def result(self) -> str | None:
        """`succeeded`, `partiallySucceeded`, `failed` or `canceled`; None while it runs."""
        if self.status != "completed":
            return None
        if self.forced_result is not None:
            return self.forced_result
        results = {self.step_result(step) for step in self.steps}
        if results & {"failed", "abandoned"}:
            return "failed"
        if "canceled" in results:
            return "canceled"
        return "partiallySucceeded" if "succeededWithIssues" in results else "succeeded"

    def published_artifacts(self) -> list[str]:
        """Return the names of its artifacts, each once, in the order of publication."""
        if self.artifacts is not None:
            return list(self.artifacts)
        if self.status != "completed":
            return []
        names = (published_artifact(step, self.step_result(step)) for step in self.steps)
        return list(dict.fromkeys(name for name in names if name is not None))


@dataclass(slots=True)
class BranchPolicy:
    """A branch policy.

    Attributes:
        type_id: `BUILD_VALIDATION`, or the id of another kind of policy.
        pipeline_id: of the pipeline that validates; None for other kinds.
        repository_id: None applies to all repositories of the project.
        branch: full name of a branch, or its beginning for match_kind `Prefix`; None for `DefaultBranch`.
    """

    id: int
    type_id: str
    pipeline_id: int | None
    repository_id: str | None
    branch: str | None
    match_kind: str = "Exact"
    enabled: bool = True
    blocking: bool = True
    manual_queue_only: bool = False
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class TaskGroup:
    """A task group of designer pipelines."""

    id: str
    name: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class AdvancedSecurity:
    """Switches of GitHub Advanced Security for a repository."""

    code_security: bool = False
    code_ql: bool = False
    dependency_scanning_injection: bool = False
    secret_protection: bool = False
    block_pushes: bool = False


@dataclass(slots=True)
class ProjectPipelines:
    """What a project has in Azure Pipelines, apart from generated pipelines.

    Attributes:
        pipelines: by id, in the order of creation; a generated one that was changed is here, too.
        builds: by id; those added to generated pipelines, too.
        builds_of: by id of the pipeline, in the order of creation.
        policies: by id.
        removed: ids of deleted pipelines.
    """

    pipelines: dict[int, Pipeline] = field(default_factory=dict)
    builds: dict[int, Build] = field(default_factory=dict)
    builds_of: dict[int, list[Build]] = field(default_factory=dict)
    policies: dict[int, BranchPolicy] = field(default_factory=dict)
    task_groups: list[TaskGroup] = field(default_factory=list)
    removed: set[int] = field(default_factory=set)

    def add_build(self, build: Build) -> None:
        """Add a build."""
        self.builds[build.id] = build
        self.builds_of.setdefault(build.pipeline_id, []).append(build)
