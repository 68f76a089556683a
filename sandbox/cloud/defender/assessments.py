"""Assessments: what Defender for Cloud finds in the organizations that it has onboarded, as a function of time.

They are explicit (from the world file, the control interface or the portal) or generated: a generated one is a few
numbers derived from the seed, the project, the position of the repository and a number, so that 100,000 of them need
no memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sandbox.cloud.world.devops import Project
from sandbox.cloud.world.identifiers import derived_id

__all__ = [
    "DEFAULT_TIMING",
    "EVALUATION_INTERVAL",
    "EVIDENCE",
    "FIRST_EVALUATION",
    "TITLES",
    "Assessment",
    "AssessmentGenerator",
    "Assessments",
    "Result",
    "Timing",
]

FIRST_EVALUATION = 1800.0
"""Seconds from the discovery of a project to its first results; the documentation says 15 to 60 minutes for a scan."""

EVALUATION_INTERVAL = 8 * 3600.0
"""Seconds between two evaluations."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When assessments come and go.

    Attributes:
        first_evaluation: seconds from the discovery of a project to its first evaluation.
        cleanup: seconds for which the results of a deleted repository stay.
    """

    first_evaluation: float = FIRST_EVALUATION
    cleanup: float = 0.0

    def removed_since(self, now: float) -> float | None:
        """Return since when a repository may have been deleted and still have results; None for never."""
        return now - self.cleanup if self.cleanup else None


DEFAULT_TIMING = Timing()

EVIDENCE = "finding-evidence"
"""Part of every value of `additionalData`: what a client must never copy. Tests search for it."""

TITLES: dict[str, tuple[str, ...]] = {
    "ExposedSecrets": (
        "Azure Storage account key found in source code",
        "Personal access token found in a configuration file",
        "Private key found in the history of the repository",
    ),
    "CodeVulnerabilities": (
        "SQL query built from user input (CWE-89)",
        "Deserialization of untrusted data (CWE-502)",
        "Hard-coded initialization vector (CWE-329)",
    ),
    "SoftwareUpdate": (
        "Update log4j-core to 2.17.1 or later",
        "Update lodash to 4.17.21 or later",
        "Update requests to 2.32.0 or later",
    ),
    "IacVulnerabilities": (
        "Storage account allows public access to blobs",
        "Container runs as root",
        "Network security group allows SSH from the internet",
    ),
    "ApiVulnerabilities": ("API operation accepts requests without authentication",),
    "": (
        "Azure DevOps repositories should require minimum two-reviewer approval for code pushes",
        "Azure DevOps repositories should not allow requestors to approve their own Pull Requests",
        "Azure DevOps projects should have creation of classic pipelines disabled",
        "Azure DevOps service connections shouldn't grant access to all pipelines",
    ),
}
"""Titles by category; posture recommendations have none."""

_REPOSITORY_POSTURE = (
    ("470742ea-324a-406c-b91f-fc1da6a27c0c", TITLES[""][0]),
    ("98b5895a-0ad8-4ed9-8c9d-d654f5bda816", TITLES[""][1]),
)
_PROJECT_POSTURE = ("9f4a17ee-7a02-4978-b968-8c36b74ac8e3", TITLES[""][2], "")
_SERVICE_CONNECTION_POSTURE = ("9245366d-393f-49c5-b8e6-258b1b1c2daa", TITLES[""][3], "serviceConnections/azure")
_SHARES = 256
"""Entries of the table from which a value is bits by its weight."""


@dataclass(slots=True)
class Assessment:
    """An explicit assessment.

    Attributes:
        organization: its name; `project` and `repository` are empty where it concerns more than those.
        tail: what follows the project or repository in its resource id, such as `serviceConnections/azure`.
        category: empty for a posture recommendation.
        delay: seconds after the first evaluation of its project.
        added_at, resolved_at: inner time; None for one that is not resolved.
    """

    key: str
    organization: str
    project: str
    repository: str
    tail: str
    title: str
    severity: str
    category: str
    status: str
    additional_data: dict[str, str]
    delay: float
    added_at: float
    resolved_at: float | None = None


@dataclass(slots=True)
class Result:
    """An assessment at the time of an evaluation.

    Attributes:
        handle: identifies it in the control interface.
        key: `name` in Azure; the same for all resources in case of a posture recommendation.
        first_evaluation, status_change: inner time of the first evaluation and of the last change of the status.
        is_resolved: whether it was Unhealthy and is not any more.
        additional_data: None for a generated one, whose data follows from the handle.
    """

    handle: str
    key: str
    project: str
    repository: str
    tail: str
    title: str
    severity: str
    category: str
    status: str
    first_evaluation: float
    status_change: float
    is_resolved: bool = False
    additional_data: dict[str, str] | None = None


def _default_severities() -> dict[str, int]:
    return {"Critical": 3, "High": 14, "Medium": 45, "Low": 38}


def _default_categories() -> dict[str, int]:
    return {
        "ExposedSecrets": 10,
        "CodeVulnerabilities": 30,
        "SoftwareUpdate": 40,
        "IacVulnerabilities": 18,
        "ApiVulnerabilities": 2,
    }


def _default_statuses() -> dict[str, int]:
    return {"Unhealthy": 80, "Healthy": 15, "NotApplicable": 5}


@dataclass(frozen=True, slots=True)
class AssessmentGenerator:
    """What is generated for each discovered repository.

    Attributes:
        per_repository: average number of findings of a repository.
        posture: whether there are posture recommendations too: two of each repository, two of each project.
        severities, categories, statuses: weights of the values.
        arrival: seconds over which the findings of a project arrive after its first evaluation.
        churn: share of the findings whose status changes at each evaluation.
    """

    per_repository: float = 0.0
    posture: bool = True
    severities: Mapping[str, int] = field(default_factory=_default_severities)
    categories: Mapping[str, int] = field(default_factory=_default_categories)
    statuses: Mapping[str, int] = field(default_factory=_default_statuses)
    arrival: float = 0.0
    churn: float = 0.0
    seed: int = 7


def _table(weights: Mapping[str, int]) -> tuple[str, ...]:
    """Return a table in which each value has as many entries as its weight's share."""
    total, position = sum(weights.values()), 0
    entries: list[str] = []
    for value, weight in weights.items():
        position += weight
        entries += [value] * (_SHARES * position // total - len(entries))
    return tuple(entries)


def _mix(number: int) -> int:
    """Return 32 bits that look random for consecutive numbers."""
    number = ((number >> 16) ^ number) * 0x45D9F3B & 0xFFFFFFFF
    number = ((number >> 16) ^ number) * 0x45D9F3B & 0xFFFFFFFF
    return (number >> 16) ^ number


class _Generation:
    """A generator with its tables."""

    def __init__(self, generator: AssessmentGenerator) -> None:
        self.generator = generator
        self._severities = _table(generator.severities)
        self._categories = _table(generator.categories)
        self._statuses = _table(generator.statuses)

    def results(
        self, organization: str, source: tuple[Project, int], first: float, now: float, timing: Timing
    ) -> Iterator[Result]:
        """Return the results of a project and its discovered repositories."""
        project, reported = source
        base = zlib.crc32(f"{self.generator.seed}/{organization}/{project.name}".lower().encode())
        if self.generator.posture:
            for number, (key, title, tail) in enumerate((_PROJECT_POSTURE, _SERVICE_CONNECTION_POSTURE)):
                yield self._posture(base, (0xFFFF, number), (project.name, "", tail), (key, title), first)
        average = self.generator.per_repository
        for position, name in project.repositories.git_names(reported, removed_since=timing.removed_since(now)):
            if self.generator.posture:
                for number, posture in enumerate(_REPOSITORY_POSTURE):
                    place = (project.name, name, "")
                    yield self._posture(base, (position, 0x8000 + number), place, posture, first)
            # Differences of cumulative numbers: they add up to the average times the number of repositories.
            for number in range(int(average * (position + 1)) - int(average * position)):
                result = self._finding(base, position, number, (project.name, name), first)
                if result.first_evaluation <= now:
                    yield self._churned(result, now) if self.generator.churn else result

    def _finding(self, base: int, position: int, number: int, place: tuple[str, str], first: float) -> Result:
        bits = _mix(base + position * 0x9E3779B1 + number * 0x85EBCA77 & 0xFFFFFFFF)
        category = self._categories[bits & 0xFF]
        titles = TITLES.get(category, TITLES["CodeVulnerabilities"])
        if self.generator.arrival:
            first += self.generator.arrival * (_mix(bits) / 2**32)
        handle = f"{base:08x}-{number & 0xFFFF:04x}-4000-8000-{position:012x}"
        project, repository = place
        return Result(
            handle,
            handle,
            project,
            repository,
            "",
            titles[bits % len(titles)],
            self._severities[bits >> 8 & 0xFF],
            category,
            self._statuses[bits >> 16 & 0xFF],
            first,
            first,
        )

    def _posture(
        self, base: int, numbers: tuple[int, int], place: tuple[str, str, str], posture: tuple[str, str], first: float
    ) -> Result:
        position, number = numbers
        bits = _mix(base + position * 0x9E3779B1 + number * 0x85EBCA77 & 0xFFFFFFFF)
        handle = f"{base:08x}-0000-5000-9{number & 0xFFF:03x}-{position:012x}"
        return Result(handle, posture[0], *place, posture[1], "High", "", self._statuses[bits & 0xFF], first, first)

    def _churned(self, result: Result, now: float) -> Result:
        evaluations = int((now - result.first_evaluation) // EVALUATION_INTERVAL)
        if evaluations and _mix(zlib.crc32(result.handle.encode())) < self.generator.churn * 2**32:
            result.status_change = result.first_evaluation + evaluations * EVALUATION_INTERVAL
            if evaluations % 2:
                result.status = "Healthy" if result.status == "Unhealthy" else "Unhealthy"
            # Every second status is Unhealthy: what is not Unhealthy now was so at the evaluation before.
            result.is_resolved = result.status != "Unhealthy"
        return result


class Assessments:
    """All assessments of a world.

    Attributes:
        explicit: by key, by organization in lower case.
        resolution_times: inner time at which a generated one was resolved, by handle.
        stopped_at: inner time since which an organization is not evaluated, by connector and organization (both keys).
    """

    def __init__(self, generator: AssessmentGenerator | None = None) -> None:
        self.explicit: dict[str, dict[str, Assessment]] = {}
        self.resolution_times: dict[str, float] = {}
        self.stopped_at: dict[tuple[str, str], float] = {}
        self.generate(generator)

    @property
    def generator(self) -> AssessmentGenerator | None:
        """What is generated; None for nothing."""
        return None if self._generation is None else self._generation.generator

    def generate(self, generator: AssessmentGenerator | None) -> None:
        """Replace the generator."""
        self._generation = None if generator is None else _Generation(generator)

    def add(self, assessment: Assessment) -> None:
        """Add an explicit assessment; without a key it gets one."""
        by_key = self.explicit.setdefault(assessment.organization.lower(), {})
        place = (assessment.organization, assessment.project, assessment.repository, assessment.tail)
        assessment.key = assessment.key or derived_id("assessment", *place, assessment.title, str(len(by_key)))
        by_key[assessment.key] = assessment

    def find(self, handle: str) -> Assessment | None:
        """Return an explicit assessment by its key."""
        return next((by_key[handle] for by_key in self.explicit.values() if handle in by_key), None)

    def remove(self, handle: str) -> bool:
        """Remove an explicit assessment; return whether there was one."""
        return any(by_key.pop(handle, None) is not None for by_key in self.explicit.values())

    def results(
        self,
        organization: str,
        projects: list[tuple[float, Project, int]],
        onboarded_at: float,
        now: float,
        timing: Timing = DEFAULT_TIMING,
    ) -> Iterator[Result]:
        """Return the results of an organization at the time of an evaluation.

        Args:
            organization: its name.
            projects: the discovered projects: time of discovery, project, number of discovered repositories.
            onboarded_at: inner time.
            now: inner time of the evaluation.
            timing: when assessments come and go.
        """
        for appears, project, reported in projects:
            first = appears + timing.first_evaluation
            if self._generation is None or first > now:
                continue
            for result in self._generation.results(organization, (project, reported), first, now, timing):
                moment = self.resolution_times.get(result.handle) if self.resolution_times else None
                if moment is not None and moment <= now:
                    result.status, result.status_change, result.is_resolved = "Healthy", moment, True
                yield result
        sources = {project.name.lower(): (appears, project, count) for appears, project, count in projects}
        for assessment in list(self.explicit.get(organization.lower(), {}).values()):
            first_evaluation = _first_evaluation(assessment, sources, onboarded_at, now, timing)
            if first_evaluation is not None and first_evaluation <= now:
                yield _explicit_result(assessment, first_evaluation, now)


def _first_evaluation(
    assessment: Assessment,
    projects: Mapping[str, tuple[float, Project, int]],
    onboarded_at: float,
    now: float,
    timing: Timing,
) -> float | None:
    """Return when an explicit assessment has its first result; None while its resource is not discovered."""
    appears = onboarded_at
    if assessment.project:
        entry = projects.get(assessment.project.lower())
        if entry is None:
            return None
        appears, project, reported = entry
        if assessment.repository and not _is_reported(
            project, reported, assessment.repository, timing.removed_since(now)
        ):
            return None
    return max(assessment.added_at, appears + timing.first_evaluation) + assessment.delay


def _is_reported(project: Project, reported: int, repository: str, removed_since: float | None) -> bool:
    position = project.repositories.position(repository)
    if position is not None:
        return position < reported
    deleted_at = project.repositories.removed_at.get(repository.lower())
    return removed_since is not None and deleted_at is not None and deleted_at > removed_since


def _explicit_result(assessment: Assessment, first: float, now: float) -> Result:
    result = Result(
        assessment.key,
        assessment.key,
        assessment.project,
        assessment.repository,
        assessment.tail,
        assessment.title,
        assessment.severity,
        assessment.category,
        assessment.status,
        first,
        first,
        additional_data=assessment.additional_data,
    )
    resolved_at = assessment.resolved_at
    if resolved_at is not None and resolved_at <= now:
        result.status, result.status_change, result.is_resolved = "Healthy", max(first, resolved_at), True
    return result
