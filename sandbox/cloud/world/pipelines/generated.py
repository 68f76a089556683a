"""Pipelines and builds of generated repositories: each is created at every access, from its number.

Builds go on for ever: their moments and pipelines follow from their number, so that a day of 500 builds costs nothing
until somebody reads them.
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd

from sandbox.cloud.world.identifiers import derived_id
from sandbox.cloud.world.pipelines.expansion import steps_of
from sandbox.cloud.world.pipelines.model import Build, Pipeline, Source
from sandbox.cloud.world.pipelines.scenarios import GeneratedPipeline, ScenarioMix

__all__ = ["FIRST_BUILD", "FIRST_PIPELINE", "GeneratedPipelines", "GeneratedProject"]

FIRST_PIPELINE = 100_000
"""Smallest id of a generated pipeline; explicit ones have smaller ids."""

FIRST_BUILD = 10_000_000
"""Smallest id of a generated build."""

_SLOTS = 2
"""Pipelines that a generated repository may have."""

_DAY = 86400.0
_BUILD_SECONDS = 240.0
_PULL_REQUEST_SHARE = 10
"""One of so many builds is of a pull request."""


@dataclass(frozen=True, slots=True)
class GeneratedProject:
    """A project with generated repositories.

    Attributes:
        count: number of generated repositories.
        first: number of all generated repositories of earlier projects of the organization.
    """

    id: str
    name: str
    mix: ScenarioMix
    count: int
    first: int


class GeneratedPipelines:
    """The generated pipelines of an organization.

    Args:
        projects: in the order of `first`.
        builds_per_day: new builds a day of inner time.
        start: inner time of the start.
    """

    def __init__(self, projects: list[GeneratedProject], builds_per_day: float, start: float) -> None:
        self._projects = projects
        self._firsts = [project.first for project in projects]
        self._seconds = _DAY / builds_per_day if builds_per_day else float("inf")
        self._start = start
        self._building = array("L")
        for project in projects:
            for number in range(project.count):
                for slot, pipeline in enumerate(project.mix.pipelines(number)):
                    if pipeline.builds:
                        self._building.append((project.first + number) * _SLOTS + slot)
        count = len(self._building)
        self._stride = _coprime(count)
        self._inverse = pow(self._stride, -1, count) if count > 1 else 0

    def pipelines(self, project_id: str) -> Iterator[Pipeline]:
        """Iterate over the generated pipelines of a project, by id."""
        project = next((project for project in self._projects if project.id == project_id), None)
        if project is not None:
            for number in range(project.count):
                for slot, kind in enumerate(project.mix.pipelines(number)):
                    yield self._pipeline(project, number, slot, kind)

    def pipeline(self, identifier: int) -> tuple[str, Pipeline] | None:
        """Return the id of its project and a pipeline, by id."""
        place = self._place(identifier - FIRST_PIPELINE)
        if place is None:
            return None
        project, number, slot, kind = place
        return project.id, self._pipeline(project, number, slot, kind)

    def _place(self, key: int) -> tuple[GeneratedProject, int, int, GeneratedPipeline] | None:
        repository, slot = divmod(key, _SLOTS)
        position = bisect_right(self._firsts, repository) - 1
        if key < 0 or position < 0:
            return None
        project = self._projects[position]
        number = repository - project.first
        if number >= project.count:
            return None
        kinds = project.mix.pipelines(number)
        return (project, number, slot, kinds[slot]) if slot < len(kinds) else None

    def _pipeline(self, project: GeneratedProject, number: int, slot: int, kind: GeneratedPipeline) -> Pipeline:
        name = f"{project.name}-{number:04}"
        home = project.mix.shared if kind.elsewhere else name
        source = Source("TfsGit", derived_id(project.id, home), home, project.name, "refs/heads/main")
        key = (project.first + number) * _SLOTS + slot
        return Pipeline(
            FIRST_PIPELINE + key,
            f"{name}-{kind.suffix}",
            source,
            kind.yaml_filename,
            kind.steps,
            created_at=self._start - 200 * _DAY,
        )

    # --- builds: number -2n to -1 before the start (two of each pipeline), from 0 on after it

    def builds_of(self, pipeline_id: int, now: float) -> Iterator[Build]:
        """Iterate over the builds of a pipeline that have finished by now, the latest first."""
        key = pipeline_id - FIRST_PIPELINE
        position = bisect_left(self._building, key)
        count = len(self._building)
        if position == count or self._building[position] != key:
            return
        newest = self._count(now) - 1
        number = newest - (newest - position * self._inverse) % count
        while number >= 0:
            yield self._build(number)
            number -= count
        yield self._build(position - count)
        yield self._build(position - 2 * count)

    def build(self, identifier: int, now: float) -> Build | None:
        """Return a build by id; None if it does not exist yet."""
        number = identifier - FIRST_BUILD - 2 * len(self._building)
        return self._build(number) if -2 * len(self._building) <= number < self._count(now) else None

    def count(self, now: float) -> int:
        """Return the number of builds that have finished by now."""
        return 2 * len(self._building) + self._count(now)

    def _count(self, now: float) -> int:
        return int((now - self._start) / self._seconds) if len(self._building) else 0

    def _build(self, number: int) -> Build:
        count = len(self._building)
        position = number * self._stride % count if number >= 0 else number % count
        key = self._building[position]
        place = self._place(key)
        if place is None:
            raise LookupError(f"no generated pipeline has the key {key}")
        kind = place[3]
        if number >= 0:
            finished = self._start + (number + 1) * self._seconds
            is_pull_request = (
                (number // count) % 2 == 0
                if kind.pull_requests
                else zlib.crc32(b"%d" % number) % _PULL_REQUEST_SHARE == 0
            )
        else:
            is_recent = number >= -count
            days = (14 if is_recent else 28) - 12 * position / count
            finished = self._start - days * _DAY - kind.extra_age
            is_pull_request = kind.pull_requests and is_recent
        branch = f"refs/pull/{number + 2 * count + 1}/merge" if is_pull_request else "refs/heads/main"
        return Build(
            FIRST_BUILD + 2 * count + number,
            FIRST_PIPELINE + key,
            finished - _BUILD_SECONDS,
            finished,
            branch,
            kind.expanded,
            kind.steps if kind.expanded is None else steps_of(kind.expanded),
            "pullRequest" if is_pull_request else "individualCI",
            results=kind.results,
        )


def _coprime(count: int) -> int:
    """Return a stride that visits all pipelines in turn, neighbours far apart."""
    stride = max(1, int(count * 0.618))
    while gcd(stride, count) != 1:
        stride += 1
    return stride
