"""Azure DevOps: organizations, members, projects and repositories.

Repositories are explicit or generated: a generated one is created at each access from its number, so that 100,000 of
them cost a few integers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote

from sandbox.cloud.world.identifiers import derived_id
from sandbox.cloud.world.pipelines.generated import GeneratedPipelines
from sandbox.cloud.world.pipelines.model import AdvancedSecurity, ProjectPipelines
from sandbox.cloud.world.pipelines.scenarios import Scenario, ScenarioMix

__all__ = [
    "CODE_SEARCH_EXTENSION",
    "CONTAINER_MAPPING_EXTENSION",
    "DevOpsGroup",
    "Extension",
    "License",
    "Member",
    "Organization",
    "Project",
    "Repositories",
    "Repository",
    "repository_url",
]

CONTAINER_MAPPING_EXTENSION = ("ms-securitydevops", "ms-dfd-code-to-cloud")
CODE_SEARCH_EXTENSION = ("ms", "vss-code-search")
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class License(StrEnum):
    """Access level, by `accountLicenseType`: express is Basic, advanced is Basic + Test Plans."""

    EXPRESS = "express"
    ADVANCED = "advanced"
    STAKEHOLDER = "stakeholder"
    MSDN = "msdn"


@dataclass(slots=True)
class Extension:
    """An installed extension; flags `none` mean that it works."""

    publisher_id: str
    extension_id: str
    flags: str = "none"
    version: str = "1.0.3"


@dataclass(slots=True)
class Member:
    """An account or service principal in an organization.

    Attributes:
        object_id: of Entra.
        administrator: directly in Project Collection Administrators.
        signed_in: whether it has ever opened the organization in a browser (otherwise TF401444).
        access_status: `active`, `pending`, `disabled`.
    """

    object_id: str
    administrator: bool = False
    license: License = License.EXPRESS
    access_status: str = "active"
    signed_in: bool = True
    queue_builds: bool = True


@dataclass(slots=True)
class DevOpsGroup:
    """A group of the organization: members are object ids, or names of other groups in brackets.

    Attributes:
        administrators: whether it is nested in Project Collection Administrators.
    """

    name: str
    members: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    administrators: bool = False


@dataclass(slots=True)
class Repository:
    """A repository as Azure DevOps describes it.

    Attributes:
        default_branch: short name.
        files: texts on the default branch by absolute path.
        branches: files of other branches, by short name.
        indexed: whether code search has its files.
        advanced_security: None if the switches were never touched.
    """

    project_id: str
    name: str
    size: int = 4_194_304
    disabled: bool = False
    empty: bool = False
    fork: bool = False
    default_branch: str = "main"
    files: dict[str, str] = field(default_factory=dict)
    branches: dict[str, dict[str, str]] = field(default_factory=dict)
    indexed: bool = True
    advanced_security: AdvancedSecurity | None = None

    @property
    def id(self) -> str:
        """GUID, derived from project and name."""
        return derived_id(self.project_id, self.name)

    def files_of(self, branch: str | None) -> dict[str, str] | None:
        """Return the files of a branch (short name; None: the default one); None if there is no such branch."""
        if self.empty:
            return None
        return self.files if branch in (None, self.default_branch) else self.branches.get(branch or "")


@dataclass(slots=True)
class Repositories:
    """The repositories of a project: `generated` numbered ones first, then the explicit ones. Positions are stable.

    Attributes:
        removed: names of deleted repositories, in lower case.
        removed_at: inner time of their deletion, by name in lower case.
        mix: scenarios of the generated ones; None: they have neither files nor pipelines.
        changed: generated repositories that were changed, by position.
    """

    project_id: str
    project_name: str
    explicit: list[Repository] = field(default_factory=list)
    generated: int = 0
    removed: set[str] = field(default_factory=set)
    removed_at: dict[str, float] = field(default_factory=dict)
    mix: ScenarioMix | None = None
    changed: dict[int, Repository] = field(default_factory=dict)
    _numbers_by_id: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of repositories, deleted ones included."""
        return len(self.explicit) + self.generated

    def __getitem__(self, position: int) -> Repository:
        """Return the repository at a position; a generated one is created."""
        if position < self.generated:
            return self._make(position)
        return self.explicit[position - self.generated]

    def _make(self, number: int) -> Repository:
        if number in self.changed:
            return self.changed[number]
        name = f"{self.project_name}-{number:04}"
        repository = Repository(self.project_id, name, size=1_048_576 * (1 + number % 40))
        if self.mix is not None:
            scenario = self.mix.scenario(number)
            repository.disabled = scenario is Scenario.DISABLED
            repository.empty = scenario is Scenario.EMPTY
            repository.fork = scenario is Scenario.FORK
            repository.files = self.mix.files(number)
            repository.advanced_security = self.mix.advanced_security(number)
        return repository

    def change(self, position: int) -> Repository:
        """Return the repository at a position for a change, which is kept also for a generated one."""
        repository = self[position]
        if position < self.generated:
            self.changed[position] = repository
        return repository

    def existing(self, count: int | None = None) -> Iterator[Repository]:
        """Iterate over the existing repositories of the first `count` positions."""
        for position in range(len(self) if count is None else count):
            repository = self[position]
            if not self.removed or repository.name.lower() not in self.removed:
                yield repository

    def git_names(
        self, count: int, *, with_empty: bool = True, removed_since: float | None = None
    ) -> Iterator[tuple[int, str]]:
        """Iterate over position and name of enabled repositories of the first `count`, without creating them.

        Args:
            count: number of positions.
            with_empty: whether empty ones are among them.
            removed_since: inner time; those that were deleted later are among them too. None for none.
        """
        removed = self.removed
        if removed_since is not None:
            removed = {name for name in removed if self.removed_at.get(name, removed_since) <= removed_since}
        for position in range(min(count, self.generated)):
            if (self.mix is not None or position in self.changed) and self[position].disabled:
                continue
            name = f"{self.project_name}-{position:04}"
            if not removed or name.lower() not in removed:
                yield position, name
        for position in range(self.generated, count):
            repository = self[position]
            is_hidden = repository.disabled or (repository.empty and not with_empty)
            if not is_hidden and repository.name.lower() not in removed:
                yield position, repository.name

    def position(self, name: str) -> int | None:
        """Return the position of a repository by name or id, case-insensitive; None if it does not exist."""
        key = name.lower()
        if self.generated and _GUID.fullmatch(key):
            if not self._numbers_by_id:
                self._numbers_by_id = {self._make(number).id: number for number in range(self.generated)}
            if key in self._numbers_by_id:
                position = self._numbers_by_id[key]
                return None if self[position].name.lower() in self.removed else position
        number = key.removeprefix(f"{self.project_name.lower()}-")
        position = int(number) if number != key and number.isdecimal() else self.generated
        # Not a generated name: search the explicit repositories, by name or id.
        if position >= self.generated or self._make(position).name.lower() != key:
            places = range(self.generated, len(self))
            matches = (place for place in places if key in (self[place].name.lower(), self[place].id))
            position = next(matches, len(self))
        return None if position == len(self) or self[position].name.lower() in self.removed else position


@dataclass(slots=True)
class Project:
    """A project; one that uses TFVC has no Git repositories.

    Attributes:
        hidden_from: object ids of members that may not see it: it does not exist for them.
        pipelines: what it has in Azure Pipelines, apart from generated pipelines.
    """

    id: str
    name: str
    repositories: Repositories
    tfvc: bool = False
    visibility: str = "private"
    state: str = "wellFormed"
    hidden_from: set[str] = field(default_factory=set)
    pipelines: ProjectPipelines = field(default_factory=ProjectPipelines)

    @classmethod
    def make(cls, organization: str, name: str, **values: object) -> Project:
        """Create a project with an id derived from its name, without repositories."""
        project_id = derived_id(organization, name)
        return cls(project_id, name, Repositories(project_id, name), **values)  # type: ignore[arg-type]


@dataclass(slots=True)
class Organization:
    """An Azure DevOps organization.

    Attributes:
        tenant_id: the Entra tenant it is connected to; None for none.
        third_party_oauth: policy "Third-party application access via OAuth"; new organizations start without.
        members: by object id.
        projects: by name in lower case, in order of creation.
        blocked_for_usage: whether it answers TF400733.
        decorator_steps: tasks (`Name@1`) that a decorator of its own injects into every job.
        search_info_code: `infoCode` of code search; anything but 0 means that the answer is partial.
        generated_pipelines: pipelines of its generated repositories.
        pipeline_count, build_count, policy_count: last id that was issued.
    """

    id: str
    name: str
    tenant_id: str | None
    third_party_oauth: bool = True
    extensions: list[Extension] = field(default_factory=list)
    members: dict[str, Member] = field(default_factory=dict)
    groups: dict[str, DevOpsGroup] = field(default_factory=dict)
    projects: dict[str, Project] = field(default_factory=dict)
    blocked_for_usage: bool = False
    decorator_steps: tuple[str, ...] = ()
    search_info_code: int = 0
    generated_pipelines: GeneratedPipelines | None = None
    pipeline_count: int = 0
    build_count: int = 0
    policy_count: int = 0

    def project(self, name: str) -> Project | None:
        """Return a project by name or id."""
        key = name.lower()
        return self.projects.get(key) or next(
            (project for project in self.projects.values() if project.id == key), None
        )

    def has_container_mapping(self) -> bool:
        """Whether Defender's container mapping extension is installed, working or not."""
        return self.extension(CONTAINER_MAPPING_EXTENSION) is not None

    def extension(self, name: tuple[str, str]) -> Extension | None:
        """Return an installed extension by publisher and id."""
        return next(
            (
                extension
                for extension in self.extensions
                if (extension.publisher_id.lower(), extension.extension_id.lower()) == name
            ),
            None,
        )

    def has_working_extension(self, name: tuple[str, str]) -> bool:
        """Whether an extension is installed and its flags are `none`."""
        extension = self.extension(name)
        return extension is not None and extension.flags == "none"

    def is_administrator(self, object_id: str) -> bool:
        """Whether the account is Project Collection Administrator, directly or through groups."""
        member = self.members.get(object_id)
        if member is None:
            return False
        return member.administrator or any(
            group.administrators and self._holds(group, object_id, set()) for group in self.groups.values()
        )

    def _holds(self, group: DevOpsGroup, object_id: str, visited: set[str]) -> bool:
        if object_id in group.members:
            return True
        visited.add(group.name.lower())
        nested = (self.groups.get(name.lower()) for name in group.groups if name.lower() not in visited)
        return any(inner is not None and self._holds(inner, object_id, visited) for inner in nested)


def repository_url(organization: str, project: str, repository: str) -> str:
    """Return the web URL of a repository; blanks and other special characters are percent-encoded."""
    return f"https://dev.azure.com/{organization}/{quote(project)}/_git/{quote(repository)}"
