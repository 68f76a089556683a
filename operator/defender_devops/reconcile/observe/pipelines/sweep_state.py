"""What a check of one organization has read so far, and how far it has come, as it is kept across restarts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from defender_devops.api.azure_types import AgentlessConfiguration
from defender_devops.api.pipelines.evidence import (
    BranchPolicy,
    Build,
    ExtensionState,
    OrganizationEvidence,
    Pipeline,
    Repository,
    RepositoryFeatures,
    Unread,
    YamlReading,
)
from defender_devops.reconcile.facts.pipeline_results import WithoutResults

__all__ = ["TEXT_LIFETIME", "SweepState"]

TEXT_LIFETIME: Final = timedelta(days=7)
"""Time until YAML is read again that has probably not changed: of an earlier build of the pipeline, or of a file."""

_Reading = TypeVar("_Reading")

_READ_AGAIN: Final = frozenset({Unread.DENIED, Unread.SCOPE, Unread.UNAVAILABLE})
"""Readings that a later check repeats: access and services may have changed."""


@dataclass(slots=True)
class SweepState:
    """The state of the checks of one organization.

    Attributes:
        projects: names by id.
        repositories: all Git repositories.
        pipelines: by id.
        features: of GitHub Advanced Security by id of the repository.
        policies: build validation policies by id of the project.
        unread_projects: projects whose pipelines could not be listed, by id.
        unread_policies: projects whose policies could not be listed, by id.
        extension: state of the extension Microsoft Security DevOps.
        missing_scope: OAuth scope that the sign-in lacks.
        pending_builds: pipelines whose last build of the default branch has to be requested, with the latest build of
            any branch, by id.
        designer_revisions: ids and revisions of the designer pipelines whose tasks are known, by id of the project.
        steps_done: steps of the present check that need not be repeated.
        requests: number of requests of the present check.
        reading_requests: number of those that read a build, a file or a preview.
        was_finished: whether a check has ended before.
        has_backlog: whether the last check ended before everything was read once.
        agentless: configuration of agentless code scanning when the states were last determined, for whoever lists them
            without a request; None if it was not read.
        without_results: repositories whose scans have no results, when that was last read.
        result_digest: hash of the numbers and examples that followed from it.
        changed_at: when these last changed.
        started_at: start of the present check, or of the last one; None before the first.
        finished_at: end of the last check; None while one is under way.
    """

    projects: dict[str, str] = field(default_factory=dict)
    repositories: tuple[Repository, ...] = ()
    pipelines: dict[int, Pipeline] = field(default_factory=dict)
    features: dict[str, RepositoryFeatures] | Unread = Unread.NOT_YET
    policies: dict[str, tuple[BranchPolicy, ...]] = field(default_factory=dict)
    unread_projects: dict[str, Unread] = field(default_factory=dict)
    unread_policies: dict[str, Unread] = field(default_factory=dict)
    extension: ExtensionState = ExtensionState.UNKNOWN
    missing_scope: str | None = None
    pending_builds: dict[int, int] = field(default_factory=dict)
    designer_revisions: dict[str, str] = field(default_factory=dict)
    steps_done: set[str] = field(default_factory=set)
    requests: int = 0
    reading_requests: int = 0
    was_finished: bool = False
    has_backlog: bool = True
    agentless: AgentlessConfiguration | None = None
    without_results: WithoutResults = field(default_factory=WithoutResults)
    result_digest: str = ""
    changed_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether a check has begun and not ended."""
        return self.started_at is not None and self.finished_at is None

    def begin(self, now: datetime) -> None:
        """Begin a new check: lists are read again, and so is what could not be read for a cause that may be gone."""
        self.started_at, self.finished_at = now, None
        self.steps_done, self.requests, self.reading_requests = set(), 0, 0
        self.missing_scope = None
        self.pipelines = {key: _without_failures(pipeline) for key, pipeline in self.pipelines.items()}

    def end(self, now: datetime, *, has_backlog: bool) -> None:
        """End the present check."""
        self.finished_at, self.has_backlog, self.was_finished = now, has_backlog, True

    def set_projects(self, projects: dict[str, str]) -> None:
        """Replace the projects, and drop everything of those that do not exist any more."""
        self.projects = projects
        self.pipelines = {key: value for key, value in self.pipelines.items() if value.project_id in projects}
        self.policies = {key: value for key, value in self.policies.items() if key in projects}
        self.unread_projects = {key: value for key, value in self.unread_projects.items() if key in projects}
        self.unread_policies = {key: value for key, value in self.unread_policies.items() if key in projects}
        self.designer_revisions = {key: value for key, value in self.designer_revisions.items() if key in projects}
        self.pending_builds = {key: value for key, value in self.pending_builds.items() if key in self.pipelines}

    def set_pipelines(self, project_id: str, pipelines: Iterable[Pipeline]) -> None:
        """Replace the pipelines of a project; what was read of those that have not changed stays."""
        previous = {key: value for key, value in self.pipelines.items() if value.project_id == project_id}
        for key, pipeline in previous.items():
            del self.pipelines[key]
            if self.pending_builds.pop(key, None) is not None:
                previous[key] = replace(pipeline, latest_build_id=0)
        for pipeline in pipelines:
            merged, needs_build = _merge(previous.get(pipeline.id), pipeline)
            self.pipelines[pipeline.id] = merged
            if needs_build:
                self.pending_builds[pipeline.id] = pipeline.latest_build_id
        self.unread_projects.pop(project_id, None)

    def set_last_build(self, pipeline_id: int, build: Build | Unread | None) -> None:
        """Set the last completed build of a pipeline's default branch, as it was requested."""
        pipeline = self.pipelines[pipeline_id]
        latest = self.pending_builds.pop(pipeline_id, pipeline.latest_build_id)
        if isinstance(build, Build):
            build = _with_earlier_readings(build, pipeline, pipeline)
        self.pipelines[pipeline_id] = replace(
            pipeline, build=build, latest_build_id=0 if isinstance(build, Unread) else latest
        )

    def branch(self, pipeline: Pipeline, branches: Mapping[str, str]) -> str:
        """Return the branch whose builds count for a pipeline; empty if there is none.

        Args:
            pipeline: the pipeline.
            branches: default branches by id of the repository.
        """
        return pipeline.external_branch or branches.get(pipeline.repository_id, "")

    def branches(self) -> dict[str, str]:
        """Return the default branches by id of the repository, without those of empty repositories."""
        return {item.id: item.default_branch for item in self.repositories if item.default_branch}

    def evidence(self) -> OrganizationEvidence:
        """Return what has been read, as the ladder takes it."""
        return OrganizationEvidence(
            projects=self.projects,
            repositories=self.repositories,
            pipelines=tuple(self.pipelines.values()),
            unread_projects=self.unread_projects,
            features=self.features,
            policies=tuple(policy for policies in self.policies.values() for policy in policies),
            unread_policies=self.unread_policies,
            extension=self.extension,
            missing_scope=self.missing_scope,
        )


def _merge(previous: Pipeline | None, pipeline: Pipeline) -> tuple[Pipeline, bool]:
    """Return a listed pipeline with what was read of it before, and whether its last build has to be requested."""
    is_open = isinstance(pipeline.build, Unread)
    if previous is None:
        return pipeline, is_open
    if previous.revision == pipeline.revision:
        pipeline = replace(
            pipeline,
            designer_task=previous.designer_task,
            file=previous.file,
            file_read_at=previous.file_read_at,
            preview=previous.preview,
            preview_read_at=previous.preview_read_at,
        )
    if isinstance(pipeline.build, Build):
        return replace(pipeline, build=_with_earlier_readings(pipeline.build, pipeline, previous)), False
    if is_open and previous.latest_build_id == pipeline.latest_build_id:
        return replace(pipeline, build=previous.build), False
    # Until the request is answered, the earlier build stays.
    return (replace(pipeline, build=previous.build) if is_open else pipeline), is_open


def _with_earlier_readings(build: Build, pipeline: Pipeline, previous: Pipeline) -> Build:
    """Return a build with what was read of it; a new build with the YAML of the one before, until its own is read."""
    earlier = previous.build
    if not isinstance(earlier, Build):
        return build
    if earlier.id == build.id:
        return earlier
    build = replace(build, first_scan_at=earlier.scanned_since)
    if previous.revision != pipeline.revision or not isinstance(earlier.yaml, YamlReading):
        return build
    # The same commit has the same file: its YAML counts as that of the new build, and does not become old.
    is_same_file = bool(build.version) and build.version == earlier.version and earlier.yaml_build_id == earlier.id
    return replace(
        build,
        yaml=earlier.yaml,
        yaml_build_id=build.id if is_same_file else earlier.yaml_build_id,
        yaml_read_at=earlier.yaml_read_at,
    )


def _repeated(reading: _Reading | Unread) -> _Reading | Unread:
    return Unread.NOT_YET if isinstance(reading, Unread) and reading in _READ_AGAIN else reading


def _without_failures(pipeline: Pipeline) -> Pipeline:
    """Return a pipeline without the readings that are to be repeated."""
    build = pipeline.build
    if isinstance(build, Build):
        build = replace(
            build,
            artifact=_repeated(build.artifact),
            yaml=_repeated(build.yaml),
            step=_repeated(build.step),
        )
    return replace(
        pipeline,
        build=build,
        designer_task=_repeated(pipeline.designer_task),
        file=_repeated(pipeline.file),
        preview=None if pipeline.preview is None else _repeated(pipeline.preview),
    )
