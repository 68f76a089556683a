"""One check of an organization: reads what changed since the last one, in small steps that survive a restart.

A step is one request, or the pages of one list. Lists come first (projects, repositories, pipelines, policies), then
what they do not show of single builds, files and previews, the cheapest evidence first. A step that fails for good
leaves its cause in the state, and the check goes on. An outage, a wait that the service demands, and a sign-in that
does not work end the check; it is continued at the same step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol, TypeVar

from defender_devops.api.pipelines.evidence import Build, ExtensionState, Pipeline, Unread, YamlReading
from defender_devops.azuredevops.client import AzureDevOpsClient
from defender_devops.azuredevops.pipelines import builds, code_search, inventory, organization_settings
from defender_devops.errors import (
    AzureDevOpsDenied,
    AzureDevOpsError,
    AzureDevOpsNotFound,
    AzureDevOpsResponseTooLarge,
    AzureDevOpsUnavailable,
    OperatorError,
    SignInExpired,
)
from defender_devops.reconcile.observe.pipelines.readings import Reading, ReadingKind, next_readings
from defender_devops.reconcile.observe.pipelines.sweep_state import SweepState

__all__ = ["PipelineScopeMissing", "Send", "Sweep", "SweepOptions"]

Value = TypeVar("Value")

_BUILD_SCOPE: Final = "vso.build"
_CODE_SCOPE: Final = "vso.code"

_FIRST_SHARE: Final = 1.22
_STEADY_SHARE: Final = 0.43
"""Requests of one check for each repository, lists included: of the first check, and of all later ones. 2,000
repositories take at most 2,440 requests, then 860 a day; what is left is read the next time."""

_READINGS_SHARE_MIN: Final = 0.1
_READINGS_MIN: Final = 50
"""Readings of builds, files and previews that a check may always take, for each repository and at all: where there are
many projects with few repositories, the lists alone use up its requests."""

_YAML_ENDINGS: Final = (".yml", ".yaml")

_DENIED_PROJECTS_MAX: Final = 3
"""Projects without access to pipelines after which it is the sign-in that lacks it, if there is none with access."""

_SKIP_AT: Final = frozenset({3, 6})
"""Failures in a row at which an object is left unread. If the next ones fail too, the service itself is unavailable."""

_SAVE_SHARE: Final = 0.03
"""Requests between two saves, of all that the check is expected to need: a restart repeats no more than these."""


class Send(Protocol):
    """Sends a request with the connector's sign-in, when it is its turn."""

    async def __call__(self, request: Callable[[AzureDevOpsClient], Awaitable[Value]]) -> Value:
        """Return what `request` returns.

        Raises:
            OperatorError: it failed, or there is no token.
        """
        ...


class PipelineScopeMissing(AzureDevOpsDenied):
    """The operator's sign-in may read Azure DevOps, but not what pipeline checks need."""

    reason = "PipelineScopeMissing"

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"The operator's sign-in may not read what pipeline checks need: it lacks the permission {scope}. Add it "
            "to the app registration (API permissions, Azure DevOps, delegated), grant consent, and sign in again on "
            "the connector's page. An app that signs in as itself needs the role Reader in the projects instead."
        )


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """What a check reads.

    Attributes:
        preview: request the YAML that a pipeline would run, where nothing else shows it.
        policies: read branch policies, which only annotations need.
    """

    preview: bool = False
    policies: bool = False


@dataclass(frozen=True, slots=True)
class _SearchResult:
    """Where a word stands.

    Attributes:
        pipelines: ids of the pipelines whose YAML file contains it.
        is_in_templates: whether another YAML file contains it, which pipelines may include.
    """

    pipelines: frozenset[int]
    is_in_templates: bool


@dataclass(slots=True)
class Sweep:
    """Checks one organization.

    Args:
        organization: its name.
        state: what was read so far; changed step by step.
        options: what to read.
        send: sends a request.
        save: stores the state.
        now: the current time.
    """

    organization: str
    state: SweepState
    options: SweepOptions
    send: Send
    save: Callable[[SweepState], Awaitable[None]]
    now: Callable[[], datetime]
    _requests_at_save: int = 0
    _failures_in_row: int = 0
    _denied: int = 0
    _has_pipeline_access: bool = False

    async def run(self) -> None:
        """Begin a check, or continue the one under way, and end it; whoever calls this saves the end.

        Raises:
            OperatorError: it cannot go on now; the state says where to continue.
        """
        if not self.state.is_under_way:
            self.state.begin(self.now())
        self._requests_at_save = self.state.requests
        await self._read_organization()
        for project_id in sorted(self.state.projects):
            await self._read_project(project_id)
        await self._read_last_builds()
        has_backlog = await self._read_details()
        self.state.end(self.now(), has_backlog=has_backlog)

    @property
    def readings_max(self) -> int:
        """Readings of builds, files and previews that this check may take."""
        number = len(self.state.repositories)
        share = _STEADY_SHARE if self.state.was_finished else _FIRST_SHARE
        lists = self.state.requests - self.state.reading_requests
        return max(_READINGS_MIN, int(_READINGS_SHARE_MIN * number), int(share * number) - lists)

    async def _read_organization(self) -> None:
        """Read the lists and settings of the whole organization."""
        state, organization = self.state, self.organization
        if self._begins("projects"):
            state.set_projects(await self._send(lambda client: inventory.list_projects(client, organization)))
            await self._end("projects")
        if self._begins("repositories"):
            try:
                state.repositories = await self._send(
                    lambda client: inventory.list_repositories(client, organization, state.projects)
                )
            except AzureDevOpsDenied:
                raise PipelineScopeMissing(_CODE_SCOPE) from None
            await self._end("repositories")
        if self._begins("extension"):
            extension = await self._try(lambda client: organization_settings.extension_state(client, organization))
            state.extension = ExtensionState.UNKNOWN if isinstance(extension, Unread) else extension
            await self._end("extension")
        if self._begins("features"):
            state.features = await self._try(lambda client: organization_settings.list_features(client, organization))
            await self._end("features")

    async def _read_project(self, project_id: str) -> None:
        """Read the lists of one project."""
        state, organization = self.state, self.organization
        if self._begins(step := f"pipelines/{project_id}"):
            pipelines = await self._list_pipelines(project_id)
            if isinstance(pipelines, Unread):
                state.set_pipelines(project_id, ())
                state.unread_projects[project_id] = pipelines
            else:
                state.set_pipelines(project_id, pipelines)
            await self._end(step)
        if self.options.policies and self._begins(step := f"policies/{project_id}"):
            policies = await self._try(
                lambda client: organization_settings.list_build_policies(client, organization, project_id)
            )
            state.unread_policies.pop(project_id, None)
            state.policies[project_id] = () if isinstance(policies, Unread) else policies
            if isinstance(policies, Unread):
                state.unread_policies[project_id] = policies
            await self._end(step)
        if self._begins(step := f"designer/{project_id}"):
            await self._read_designer_pipelines(project_id)
            await self._end(step)

    async def _list_pipelines(self, project_id: str) -> tuple[Pipeline, ...] | Unread:
        """Return the pipelines of a project, or why they cannot be listed: no request once the scope is missing."""
        if self.state.missing_scope is not None:
            return Unread.SCOPE
        branches = self.state.branches()
        pipelines = await self._try(
            lambda client: inventory.list_pipelines(client, self.organization, project_id, branches)
        )
        if not isinstance(pipelines, Unread):
            self._has_pipeline_access = True
        elif pipelines is Unread.DENIED and not self._has_pipeline_access:
            self._denied += 1
            has_more = len(self.state.projects) > self._denied
            if self._denied >= _DENIED_PROJECTS_MAX or not has_more:
                self.state.missing_scope = _BUILD_SCOPE
                self.state.unread_projects = dict.fromkeys(self.state.projects, Unread.SCOPE)
                return Unread.SCOPE
        return pipelines

    async def _read_designer_pipelines(self, project_id: str) -> None:
        """Determine which designer pipelines have the task, if one of them has changed."""
        designer = sorted(
            (pipeline.id, pipeline.revision)
            for pipeline in self.state.pipelines.values()
            if pipeline.project_id == project_id and pipeline.is_designer
        )
        revisions = ",".join(f"{pipeline_id}.{revision}" for pipeline_id, revision in designer)
        if not designer or self.state.designer_revisions.get(project_id) == revisions:
            return
        with_task = await self._try(
            lambda client: inventory.list_designer_pipelines_with_task(client, self.organization, project_id)
        )
        for pipeline_id, _ in designer:
            has_task = with_task if isinstance(with_task, Unread) else pipeline_id in with_task
            self._update(pipeline_id, designer_task=has_task)
        if not isinstance(with_task, Unread):
            self.state.designer_revisions[project_id] = revisions

    async def _read_last_builds(self) -> None:
        """Request the last builds of default branches that the lists of pipelines do not show."""
        branches = self.state.branches()
        groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for pipeline_id in list(self.state.pending_builds):
            pipeline = self.state.pipelines[pipeline_id]
            branch = self.state.branch(pipeline, branches)
            if branch:
                groups[pipeline.project_id, branch].append(pipeline_id)
            else:
                self.state.set_last_build(pipeline_id, None)
        for (project_id, branch), ids in sorted(groups.items()):
            for start in range(0, len(ids), inventory.DEFINITIONS_OF_BUILDS_MAX):
                chunk = ids[start : start + inventory.DEFINITIONS_OF_BUILDS_MAX]
                await self._read_last_builds_of(project_id, branch, chunk)

    async def _read_last_builds_of(self, project_id: str, branch: str, pipeline_ids: list[int]) -> None:
        last_builds = await self._try(
            lambda client: inventory.list_builds(client, self.organization, project_id, branch, pipeline_ids)
        )
        for pipeline_id in pipeline_ids:
            if isinstance(last_builds, Unread):
                self.state.set_last_build(pipeline_id, last_builds)
            else:
                self.state.set_last_build(pipeline_id, last_builds.get(pipeline_id))
        await self._save_if_due()

    async def _read_details(self) -> bool:
        """Read single builds, files and previews, and return whether some were left for the next check."""
        if self._begins("search"):
            self._apply_search(
                await self._find_pipelines(code_search.TASK), await self._find_pipelines(code_search.CHECKOUT)
            )
            await self._end("search")
        for reading in next_readings(self.state, preview=self.options.preview, now=self.now):
            if self.state.reading_requests >= self.readings_max:
                return reading.is_first
            requests = self.state.requests
            await self._read(reading)
            self.state.reading_requests += self.state.requests - requests
            await self._save_if_due()
        return False

    async def _find_pipelines(self, word: str) -> _SearchResult | None:
        """Return the pipelines whose file contains a word; None if Code Search does not know all files."""
        hits = await self._try(lambda client: code_search.find_files(client, self.organization, word))
        if hits is None or isinstance(hits, Unread):
            return None
        files = {
            pipeline.id: (pipeline.repository_id, "/" + pipeline.yaml_path.lower().lstrip("/"))
            for pipeline in self.state.pipelines.values()
        }
        pipelines = frozenset(pipeline_id for pipeline_id, file in files.items() if file in hits)
        is_in_templates = any(hit not in files.values() and hit[1].endswith(_YAML_ENDINGS) for hit in hits)
        return _SearchResult(pipelines, is_in_templates)

    def _apply_search(self, task: _SearchResult | None, checkout: _SearchResult | None) -> None:
        """Mark what need not be read, because a whole index shows that it is not there."""
        for pipeline in list(self.state.pipelines.values()):
            is_named = task is None or pipeline.id in task.pipelines
            is_single = (
                checkout is not None
                and not checkout.is_in_templates
                and pipeline.id not in checkout.pipelines
                and not pipeline.external_branch  # only Azure Repos are indexed
            )
            file = pipeline.file
            if is_named and file is Unread.NOT_INDEXED:
                file = Unread.NOT_YET
            elif not is_named and file is Unread.NOT_YET:
                file = Unread.NOT_INDEXED
            if (file, is_single) != (pipeline.file, pipeline.is_single_checkout):
                self._update(pipeline.id, file=file, is_single_checkout=is_single)

    async def _read(self, reading: Reading) -> None:
        """Read one thing of one pipeline."""
        pipeline = self.state.pipelines[reading.pipeline_id]
        project_id, build = pipeline.project_id, pipeline.build
        match reading.kind:
            case ReadingKind.FILE:
                yaml = await self._try_yaml(
                    lambda client: builds.read_file(
                        client, self.organization, project_id, pipeline.repository_id, pipeline.yaml_path
                    )
                )
                self._update(pipeline.id, file=yaml, file_read_at=self.now())
            case ReadingKind.PREVIEW:
                yaml = await self._try_yaml(
                    lambda client: builds.read_preview(client, self.organization, project_id, pipeline.id)
                )
                self._update(pipeline.id, preview=yaml, preview_read_at=self.now())
            case _ if isinstance(build, Build):
                self._update(pipeline.id, build=await self._read_build(reading.kind, project_id, build))

    async def _read_build(self, kind: ReadingKind, project_id: str, build: Build) -> Build:
        """Return a build with one more reading."""
        if kind is ReadingKind.ARTIFACTS:
            artifact = await self._try(
                lambda client: builds.has_analysis_artifact(client, self.organization, project_id, build.id)
            )
            return replace(build, artifact=artifact)
        if kind is ReadingKind.TIMELINE:
            step = await self._try(lambda client: builds.step_result(client, self.organization, project_id, build.id))
            return replace(build, step=step)
        yaml = await self._try_yaml(
            lambda client: builds.read_build_yaml(client, self.organization, project_id, build.id)
        )
        return replace(build, yaml=yaml, yaml_build_id=build.id, yaml_read_at=self.now())

    def _update(self, pipeline_id: int, **changes: object) -> None:
        self.state.pipelines[pipeline_id] = replace(self.state.pipelines[pipeline_id], **changes)  # type: ignore[arg-type]

    async def _try_yaml(
        self, request: Callable[[AzureDevOpsClient], Awaitable[YamlReading | Unread]]
    ) -> YamlReading | Unread:
        """Return what YAML says, or why it was not read."""
        return await self._try(request)

    async def _try(self, request: Callable[[AzureDevOpsClient], Awaitable[Value]]) -> Value | Unread:
        """Return what a request returns, or why it failed.

        Raises:
            OperatorError: the check cannot go on now.
        """
        try:
            value = await self._send(request)
        except AzureDevOpsNotFound:
            return Unread.GONE
        except AzureDevOpsResponseTooLarge:
            return Unread.TOO_LARGE
        except AzureDevOpsDenied:
            return Unread.DENIED
        except AzureDevOpsUnavailable as error:
            if error.retry_after is not None:
                raise
            self._failures_in_row += 1
            if self._failures_in_row in _SKIP_AT:
                return Unread.UNAVAILABLE
            raise
        except SignInExpired:
            raise
        except AzureDevOpsError:
            return Unread.REJECTED
        self._failures_in_row = 0
        return value

    async def _send(self, request: Callable[[AzureDevOpsClient], Awaitable[Value]]) -> Value:
        """Send a request and count it.

        Raises:
            AzureDevOpsDenied: the token is rejected, but not for the list of projects: it lacks the scope.
            OperatorError: the request failed, or there is no token.
        """
        rejections = 0

        async def observed(client: AzureDevOpsClient) -> Value:
            nonlocal rejections
            try:
                return await request(replace(client, observe=lambda *values: self._count(client, *values)))
            except SignInExpired:
                rejections += 1
                raise

        try:
            return await self.send(observed)
        except OperatorError:
            if not rejections or "projects" not in self.state.steps_done:
                raise
        await self.send(lambda client: inventory.list_projects(client, self.organization))
        raise AzureDevOpsDenied("Azure DevOps accepts the token, but not for this request.")

    def _count(self, client: AzureDevOpsClient, area: str, status: int | None, seconds: float) -> None:
        """Count a request, pages and retries included."""
        self.state.requests += 1
        client.observe(area, status, seconds)

    def _begins(self, step: str) -> bool:
        """Whether a step has to be done in this check."""
        return step not in self.state.steps_done

    async def _end(self, step: str) -> None:
        self.state.steps_done.add(step)
        await self._save_if_due()

    async def _save_if_due(self) -> None:
        expected = 5 + len(self.state.projects) * (2 if self.options.policies else 1) + self.readings_max
        if self.state.requests - self._requests_at_save >= max(4, int(_SAVE_SHARE * expected)):
            self._requests_at_save = self.state.requests
            await self.save(self.state)
