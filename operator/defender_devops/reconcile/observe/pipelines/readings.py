"""Which builds, files and previews a check reads, and in which order: the cheapest evidence first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Final

from defender_devops.api.pipelines.evidence import Build, Pipeline, Repository, ScanTask, Unread, YamlReading
from defender_devops.api.pipelines.states import PipelineState
from defender_devops.reconcile.facts.pipelines import MAX_BUILD_AGE, assess_pipeline, checked_out_repositories
from defender_devops.reconcile.observe.pipelines.sweep_state import TEXT_LIFETIME, SweepState

__all__ = ["Reading", "ReadingKind", "next_readings"]

_AZURE_REPOS: Final = "tfsgit"
_SCANNING: Final = frozenset({PipelineState.RAN, PipelineState.CONFIGURED})


class ReadingKind(Enum):
    """What one request reads."""

    ARTIFACTS = auto()
    BUILD_YAML = auto()
    TIMELINE = auto()
    FILE = auto()
    PREVIEW = auto()


@dataclass(frozen=True, slots=True)
class Reading:
    """A request for one pipeline.

    Attributes:
        is_first: whether nothing takes its place yet; otherwise it replaces an older reading.
    """

    pipeline_id: int
    kind: ReadingKind
    is_first: bool = True


def next_readings(state: SweepState, *, preview: bool, now: Callable[[], datetime]) -> Iterator[Reading]:
    """Yield what has to be read, each thing once. Whoever iterates reads it, and so decides what comes next.

    Args:
        state: what was read so far.
        preview: whether previews may be requested.
        now: the current time.
    """
    groups = _groups(state)
    repositories = [item for item in state.repositories if _is_applicable(item)]
    for repository in repositories:
        yield from _artifacts(state, groups.get(repository.id, []), now())
    for repository in repositories:
        for pipeline_id in groups.get(repository.id, []):
            if _has_scan(state, groups[repository.id], now()):
                break
            yield from _details(state, pipeline_id, preview=preview, now=now)
    without_pipeline = {item.project_id for item in repositories if item.id not in groups}
    yield from _checkouts(state, without_pipeline, now)
    yield from _old_readings(state, repositories, groups, now())


def _groups(state: SweepState) -> dict[str, list[int]]:
    """Return the ids of pipelines by id of their repository in Azure Repos, the one with the newest build first."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for pipeline in state.pipelines.values():
        if pipeline.source_type.lower() == _AZURE_REPOS:
            groups[pipeline.repository_id].append(pipeline.id)

    def newest_build(pipeline_id: int) -> int:
        build = state.pipelines[pipeline_id].build
        return build.id if isinstance(build, Build) else 0

    return {repository: sorted(ids, key=newest_build, reverse=True) for repository, ids in groups.items()}


def _is_applicable(repository: Repository) -> bool:
    return not repository.is_disabled and not repository.is_fork and repository.default_branch is not None


def _recent_build(pipeline: Pipeline, now: datetime) -> Build | None:
    build = pipeline.build
    return build if isinstance(build, Build) and now - build.finished_at <= MAX_BUILD_AGE else None


def _has_scan(state: SweepState, pipeline_ids: list[int], now: datetime) -> bool:
    """Whether a recent build of one of the pipelines published the results of a scan: nothing can be better."""
    builds = (_recent_build(state.pipelines[pipeline_id], now) for pipeline_id in pipeline_ids)
    return any(build is not None and build.artifact is True for build in builds)


def _artifacts(state: SweepState, pipeline_ids: list[int], now: datetime) -> Iterator[Reading]:
    """Yield the artifacts of recent builds of one repository, until one of them is the result of a scan."""
    for pipeline_id in pipeline_ids:
        if _has_scan(state, pipeline_ids, now):
            return
        build = _recent_build(state.pipelines[pipeline_id], now)
        if build is not None and build.artifact is Unread.NOT_YET:
            yield Reading(pipeline_id, ReadingKind.ARTIFACTS)


def _details(state: SweepState, pipeline_id: int, *, preview: bool, now: Callable[[], datetime]) -> Iterator[Reading]:
    """Yield what shows whether a pipeline has the task, one thing after another."""
    previous = None
    while (kind := _next_kind(state.pipelines[pipeline_id], preview=preview, now=now())) not in {None, previous}:
        previous = kind
        yield Reading(pipeline_id, kind)


def _next_kind(pipeline: Pipeline, *, preview: bool, now: datetime) -> ReadingKind | None:
    """Return what has to be read next of a pipeline; None if nothing is missing, or nothing more can be read."""
    build = _recent_build(pipeline, now)
    if build is not None and build.artifact is not False:
        return ReadingKind.ARTIFACTS if build.artifact is Unread.NOT_YET else None
    if not pipeline.is_enabled:
        return None
    if build is not None and (build.yaml is not Unread.GONE or pipeline.is_designer):
        return _next_kind_of_build(build, is_designer=pipeline.is_designer)
    if pipeline.is_designer or pipeline.source_type.lower() != _AZURE_REPOS:
        return None
    if preview and pipeline.preview in {None, Unread.NOT_YET}:
        return ReadingKind.PREVIEW
    is_expanded = isinstance(pipeline.preview, YamlReading)
    return ReadingKind.FILE if pipeline.file is Unread.NOT_YET and not is_expanded else None


def _next_kind_of_build(build: Build, *, is_designer: bool) -> ReadingKind | None:
    """Return what has to be read next of a build without results: its YAML, and its timeline if that has the task."""
    if not is_designer and build.yaml is Unread.NOT_YET:
        return ReadingKind.BUILD_YAML
    has_task = isinstance(build.yaml, YamlReading) and ScanTask.SECURITY_DEVOPS in build.yaml.tasks
    return ReadingKind.TIMELINE if (is_designer or has_task) and build.step is Unread.NOT_YET else None


def _checkouts(state: SweepState, project_ids: set[str], now: Callable[[], datetime]) -> Iterator[Reading]:
    """Yield what shows which other repositories are checked out, in projects that have repositories without pipeline.

    It is read of pipelines that scan, and of those outside Azure Repos.
    """
    for pipeline_id, pipeline in list(state.pipelines.items()):
        if pipeline.project_id not in project_ids or pipeline.is_designer:
            continue
        if pipeline.external_branch:
            yield from _details(state, pipeline_id, preview=False, now=now)
        previous = None
        while (kind := _next_checkout_kind(state, pipeline_id, now())) not in {None, previous}:
            previous = kind
            yield Reading(pipeline_id, kind)


def _next_checkout_kind(state: SweepState, pipeline_id: int, now: datetime) -> ReadingKind | None:
    pipeline = state.pipelines[pipeline_id]
    if assess_pipeline(pipeline, now).state not in _SCANNING:
        return None
    if checked_out_repositories(pipeline, state.projects.get(pipeline.project_id, "")) is not None:
        return None
    build = _recent_build(pipeline, now)
    if build is not None and build.yaml is Unread.NOT_YET:
        return ReadingKind.BUILD_YAML
    is_file_open = pipeline.file in {Unread.NOT_YET, Unread.NOT_INDEXED}
    return ReadingKind.FILE if is_file_open and pipeline.source_type.lower() == _AZURE_REPOS else None


def _old_readings(
    state: SweepState, repositories: list[Repository], groups: dict[str, list[int]], now: datetime
) -> Iterator[Reading]:
    """Yield the YAML that is read again because it may have changed, the oldest first."""
    old: list[tuple[datetime, int, ReadingKind]] = []
    for repository in repositories:
        pipeline_ids = groups.get(repository.id, [])
        if _has_scan(state, pipeline_ids, now):
            continue
        for pipeline_id in pipeline_ids:
            pipeline = state.pipelines[pipeline_id]
            build = _recent_build(pipeline, now)
            if build is not None and isinstance(build.yaml, YamlReading):
                if build.yaml_build_id != build.id and build.yaml_read_at is not None:
                    old.append((build.yaml_read_at, pipeline_id, ReadingKind.BUILD_YAML))
                continue
            if pipeline.file_read_at is not None and pipeline.file is not Unread.NOT_YET:
                old.append((pipeline.file_read_at, pipeline_id, ReadingKind.FILE))
            if pipeline.preview_read_at is not None and pipeline.preview is not Unread.NOT_YET:
                old.append((pipeline.preview_read_at, pipeline_id, ReadingKind.PREVIEW))
    for read_at, pipeline_id, kind in sorted(old, key=lambda item: item[:2]):
        if now - read_at >= TEXT_LIFETIME:
            yield Reading(pipeline_id, kind, is_first=False)
