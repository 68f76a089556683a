"""The pipeline checks of all organizations: when they run, what they keep, and whom they leave alone."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import httpx
import pytest
import structlog
from pydantic import SecretBytes

from defender_devops.api.azure_types import AgentlessConfiguration
from defender_devops.api.connector import AzureDevOpsConnector, parse_connector
from defender_devops.api.pipelines.results import RepositoryNames, RepositoryResults
from defender_devops.api.pipelines.states import PipelineState
from defender_devops.azuredevops.client import AzureDevOpsClient
from defender_devops.azuredevops.pipelines.pace import Paces
from defender_devops.azuredevops.rate_limiter import RateLimiter
from defender_devops.clock import Clock
from defender_devops.errors import KubernetesRefused
from defender_devops.reconcile.facts.pipeline_results import PipelinesObservation, WithoutResults
from defender_devops.reconcile.observe.pipelines.evidence_store import EVIDENCE_KEY, EvidenceStore, decode_state
from defender_devops.reconcile.observe.pipelines.observer import PipelineObserver
from defender_devops.reconcile.observe.pipelines.sweep_state import SweepState
from defender_devops.signin.oauth.errors import SignInRequired
from defender_devops.signin.pages.sealing import Sealer
from defender_devops.signin.ports import StoredSecret
from tests.support.fakes.pipelines import NOW, FakeBuild, FakePipeline, FakePipelines, FakeProject
from tests.support.manifests import connector as connector_manifest

pytestmark = pytest.mark.looptime

Value = TypeVar("Value")
OFF = AgentlessConfiguration(enabled=False)


@dataclass
class FakeSecrets:
    """Secrets of the cluster, and the number of writes."""

    secrets: dict[str, StoredSecret] = field(default_factory=dict)
    writes: int = 0
    is_refused: bool = False

    async def read(self, _namespace: str, name: str) -> StoredSecret | None:
        return self.secrets.get(name)

    async def create(self, secret: StoredSecret) -> StoredSecret:
        return self._write(secret)

    async def replace(self, secret: StoredSecret) -> StoredSecret:
        return self._write(secret)

    def _write(self, secret: StoredSecret) -> StoredSecret:
        if self.is_refused:
            raise KubernetesRefused("secrets is forbidden")
        self.writes += 1
        self.secrets[secret.name] = secret
        return secret


SEALER = Sealer(SecretBytes(b"k" * 32), lambda: NOW)


@dataclass
class World:
    """Organizations by name, and an observer of them."""

    services: dict[str, FakePipelines]
    secrets: FakeSecrets = field(default_factory=FakeSecrets)
    changes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    is_signed_in: bool = True
    results: RepositoryResults = field(default_factory=RepositoryResults)
    rate_limiter: RateLimiter = field(
        default_factory=lambda: RateLimiter(monotonic=lambda: asyncio.get_running_loop().time())
    )
    sent_at: list[float] = field(default_factory=list)
    observer: PipelineObserver = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Replace the observer by one of a new process."""
        reader: Any = self
        self.observer = PipelineObserver(
            reader,
            EvidenceStore(self.secrets, SEALER.sign),
            Paces(2.0, 0.5, Clock()),
            lambda _namespace, name: self.changes.append(name),
            self.now,
            lambda: asyncio.get_running_loop().time(),
            repository_results=lambda _uid, _organization: self.results,
            on_failure=self.failures.append,
        )

    def show(self, *names: str, problem: str = "") -> None:
        """Let Defender for Cloud show these repositories now, or nothing because of a problem."""
        answered_at, since = self.now(), NOW - timedelta(days=30)
        self.results = RepositoryResults(None if problem else RepositoryNames(names), problem, answered_at, since)

    def stored(self) -> SweepState:
        """What the only Secret holds."""
        (secret,) = self.secrets.secrets.values()
        state = decode_state(secret.data[EVIDENCE_KEY].get_secret_value())
        assert state is not None
        return state

    def now(self) -> datetime:
        return NOW + timedelta(seconds=asyncio.get_running_loop().time())

    async def with_sign_in(
        self, _connector: AzureDevOpsConnector, request: Callable[[AzureDevOpsClient], Awaitable[Value]]
    ) -> Value:
        """Send a request as `AzureDevOpsReader` does."""
        if not self.is_signed_in:
            raise SignInRequired("Nobody has signed in yet.")
        transport = httpx.MockTransport(self._handle)
        client = FakePipelines().client(self.rate_limiter)
        return await request(replace(client, http=httpx.AsyncClient(transport=transport)))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.sent_at.append(asyncio.get_running_loop().time())
        return self.services[request.url.path.split("/")[1]].handle(request)

    @property
    def requests(self) -> int:
        return sum(len(service.requests) for service in self.services.values())

    def observe(self, **changes: object) -> dict[str, PipelinesObservation]:
        """Return what a reconcile sees."""
        return dict(self.observer.observe(connector(**changes), {name: name for name in self.services}, OFF))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.observer.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def connector(**changes: object) -> AzureDevOpsConnector:
    """Return a connector with pipeline checks and a sign-in, and changed fields of its spec."""
    secret = {"name": "app", "key": "key"}
    client = {"id": "11111111-1111-1111-1111-111111111111", "type": "Secret", "secretRef": secret}
    spec = {
        "pipelineChecks": {"mode": "Enabled"},
        "signIn": {"method": "ServicePrincipal", "client": client},
        **changes,
    }
    return parse_connector(connector_manifest(json.dumps(spec), uid="uid-1", namespace="security"))


def organization(*pipelines: FakePipeline) -> FakePipelines:
    project = FakeProject("Web", {"app": {}, "other": {}}, list(pipelines))
    for pipeline in pipelines:
        pipeline.repository = project.repository_id(pipeline.repository)
    return FakePipelines([project])


def scanned() -> FakePipelines:
    return organization(FakePipeline(1, "app", [FakeBuild(1, artifacts=("CodeAnalysisLogs",))]))


async def test_an_organization_is_checked_once_in_an_interval() -> None:
    world = World({"contoso": scanned()})
    assert world.observe()["contoso"] == PipelinesObservation()
    async with world.running():
        await asyncio.sleep(600)
        first, requests, writes = world.observe()["contoso"], world.requests, world.secrets.writes
        assert first.counts is not None
        assert first.counts[PipelineState.RAN] == 1
        assert first.changed_at is not None
        assert world.changes
        world.changes.clear()
        await asyncio.sleep(23 * 3600)
        assert (world.requests, world.secrets.writes) == (requests, writes)
        await asyncio.sleep(3600)
        assert world.requests > requests
        assert world.observe()["contoso"] == first  # the numbers did not change, and so did not the time
        assert world.changes == []


async def test_no_request_is_sent_without_the_checks_or_without_a_sign_in() -> None:
    world = World({"contoso": scanned()})
    changes: tuple[dict[str, object], ...] = (
        {"pipelineChecks": None},
        {"pipelineChecks": {"mode": "Disabled"}},
        {"signIn": None},
    )
    async with world.running():
        for change in changes:
            assert world.observe(**change) == {}
            await asyncio.sleep(48 * 3600)
    assert world.requests == world.secrets.writes == 0


async def test_checks_that_are_disabled_end_at_once() -> None:
    world = World({"contoso": scanned()})
    world.observe()
    async with world.running():
        await asyncio.sleep(3)
        assert world.requests == 2
        world.observe(pipelineChecks={"mode": "Disabled"})
        await asyncio.sleep(3600)
        assert world.requests == 2


async def test_requests_of_all_organizations_of_an_account_keep_the_pace() -> None:
    world = World({"contoso": scanned(), "fabrikam": scanned()})
    world.observe()
    async with world.running():
        await asyncio.sleep(600)
    assert world.requests > 10
    times = world.sent_at
    assert all(later - earlier >= 2 for earlier, later in itertools.pairwise(times))


async def test_a_restart_sends_no_request_and_changes_nothing() -> None:
    world = World({"contoso": scanned()})
    world.observe()
    async with world.running():
        await asyncio.sleep(600)
    before, requests, writes = world.observe()["contoso"], world.requests, world.secrets.writes
    world.restart()
    world.observe()
    async with world.running():
        await asyncio.sleep(600)
    assert world.observe()["contoso"] == before
    assert (world.requests, world.secrets.writes) == (requests, writes)


async def test_the_failure_of_one_organization_stops_no_other() -> None:
    world = World({"contoso": scanned(), "fabrikam": scanned(), "tailspin": scanned()})
    world.services["contoso"].answers[""] = lambda _: httpx.Response(500)
    world.services["tailspin"].answers[""] = _raise
    world.observe()
    with structlog.testing.capture_logs():  # a traceback on the console takes half a minute
        await _check_that_others_go_on(world)


async def _check_that_others_go_on(world: World) -> None:
    async with world.running():
        await asyncio.sleep(100)
        seen = world.observe()
        assert seen["contoso"].failure is not None
        assert seen["contoso"].failure.reason == "AzureDevOpsUnavailable"
        assert seen["tailspin"].failure is not None
        assert seen["tailspin"].failure.reason == "InternalError"
        assert "pipeline checks" in world.failures
        assert seen["fabrikam"].counts is not None
        assert seen["fabrikam"].failure is None
        world.services["contoso"].answers.clear()
        world.services["tailspin"].answers.clear()
        await asyncio.sleep(1000)
        assert all(item.failure is None and item.counts for item in world.observe().values())


def _raise(_: httpx.Request) -> httpx.Response:
    raise ZeroDivisionError


async def test_a_sign_in_that_returns_is_used_at_once() -> None:
    world = World({"contoso": scanned()}, is_signed_in=False)
    world.observe()
    async with world.running():
        await asyncio.sleep(4 * 3600)
        failure = world.observe()["contoso"].failure
        assert failure is not None
        assert failure.reason == "SignInRequired"
        world.is_signed_in = True
        world.observer.retry(connector().metadata.uid)
        await asyncio.sleep(60)
        assert world.observe()["contoso"].failure is None


async def test_a_missing_scope_is_reported_with_the_counts_and_ends_with_the_next_sign_in() -> None:
    world = World({"contoso": scanned()})
    world.services["contoso"].answers["/build/"] = lambda _: httpx.Response(403, json={"message": "no"})
    world.observe()
    async with world.running():
        await asyncio.sleep(600)
        observation = world.observe()["contoso"]
        assert observation.counts is not None
        assert observation.counts[PipelineState.UNDECIDED] == 2
        assert observation.failure is not None
        assert observation.failure.reason == "PipelineScopeMissing"
        assert "vso.build" in observation.failure.message
        world.services["contoso"].answers.clear()
        world.observer.retry(connector().metadata.uid)
        await asyncio.sleep(600)
        after = world.observe()["contoso"]
        assert after.failure is None
        assert after.counts is not None
        assert after.counts[PipelineState.RAN] == 1


async def test_the_wait_that_the_service_demands_is_kept() -> None:
    world = World({"contoso": scanned()})
    wait = httpx.Response(429, headers={"Retry-After": "1800"}, json={"message": "slow down"})
    world.services["contoso"].answers["/enablement"] = lambda _: wait
    world.observe()
    async with world.running():
        await asyncio.sleep(1700)
        requests = world.requests
        assert requests < 10
        world.services["contoso"].answers.clear()
        await asyncio.sleep(600)
        assert world.observe()["contoso"].counts is not None


async def test_without_the_right_to_write_secrets_the_checks_go_on() -> None:
    world = World({"contoso": scanned()}, FakeSecrets(is_refused=True))
    world.observe()
    async with world.running():
        await asyncio.sleep(600)
        requests = world.requests
        await asyncio.sleep(24 * 3600)
        assert world.observe()["contoso"].counts is not None
        # What was read stayed in memory: builds are not read again.
        assert world.requests - requests < requests
        failure = world.observe()["contoso"].storage_failure
        assert failure is not None
        assert failure.reason == "KubernetesRefused"


async def test_a_change_of_agentless_scanning_changes_the_states_without_a_request() -> None:
    world = World({"contoso": scanned()})
    world.observe()
    async with world.running():
        await asyncio.sleep(600)
        requests = world.requests
        names = {"contoso": "contoso"}
        world.observer.observe(connector(), names, AgentlessConfiguration(enabled=True))
        await asyncio.sleep(60)
        after = world.observer.observe(connector(), names, AgentlessConfiguration(enabled=True))["contoso"]
        assert after.counts is not None
        assert after.counts[PipelineState.COVERED_OTHERWISE] == 1
        assert world.requests == requests
        (secret,) = world.secrets.secrets.values()
        state = decode_state(secret.data[EVIDENCE_KEY].get_secret_value())
        assert state is not None
        assert state.agentless == AgentlessConfiguration(enabled=True)
        # Only the number of examples changes.
        limited = connector(pipelineChecks={"mode": "Enabled", "sampleLimit": 0})
        world.observer.observe(limited, names, OFF)
        await asyncio.sleep(60)
        assert world.observer.observe(limited, names, OFF)["contoso"].examples == ()


def scanned_long_ago() -> FakePipelines:
    build = FakeBuild(1, artifacts=("CodeAnalysisLogs",), finished_at=NOW - timedelta(days=3))
    return organization(FakePipeline(1, "app", [build]))


async def test_results_that_defender_shows_or_not_change_the_number_without_a_request() -> None:
    world = World({"contoso": scanned_long_ago()})
    world.observe()
    async with world.running():
        await asyncio.sleep(600)
        requests = world.requests
        assert world.observe()["contoso"].without_results == WithoutResults()
        world.show("web/other")
        world.observe()
        await asyncio.sleep(60)
        assert world.observe()["contoso"].without_results == WithoutResults(1, ("Web/app",))
        assert world.stored().without_results == WithoutResults(1, ("Web/app",))
        writes = world.secrets.writes
        world.show("web/other")  # a later answer with the same names
        world.changes.clear()
        world.observe()
        await asyncio.sleep(60)
        assert (world.secrets.writes, world.changes) == (writes, [])
        world.show(problem="It was cut off.")
        world.observe()
        await asyncio.sleep(60)
        assert world.observe()["contoso"].without_results == WithoutResults(problem="It was cut off.")
        world.show("web/app")
        world.observe()
        await asyncio.sleep(60)
        assert world.observe()["contoso"].without_results == WithoutResults(0)
        assert world.requests == requests


async def test_a_restart_keeps_what_defender_showed_until_the_next_answer() -> None:
    world = World({"contoso": scanned_long_ago()})
    world.show("web/other")
    world.observe()
    async with world.running():
        await asyncio.sleep(600)
    before, writes = world.observe()["contoso"], world.secrets.writes
    assert before.without_results.number == 1
    answer, world.results = world.results, RepositoryResults()
    world.restart()
    world.observe()
    async with world.running():
        await asyncio.sleep(60)
        assert world.observe()["contoso"] == before
        world.changes.clear()
        world.results = answer
        world.observe()
        await asyncio.sleep(60)
        assert world.observe()["contoso"] == before
    assert (world.secrets.writes, world.changes) == (writes, [])


async def test_the_names_in_the_status_are_limited_and_the_secret_has_all() -> None:
    repositories = {f"app-{number:02}": {} for number in range(15)}
    artifacts, finished_at = ("CodeAnalysisLogs",), NOW - timedelta(days=3)
    pipelines = [
        FakePipeline(number, name, [FakeBuild(number, artifacts=artifacts, finished_at=finished_at)])
        for number, name in enumerate(repositories, start=1)
    ]
    project = FakeProject("Web", repositories, pipelines)
    for pipeline in pipelines:
        pipeline.repository = project.repository_id(pipeline.repository)
    world = World({"contoso": FakePipelines([project])})
    world.show("web/other")
    world.observe(pipelineChecks={"mode": "Enabled", "sampleLimit": 2})
    async with world.running():
        await asyncio.sleep(600)
        result = world.observe(pipelineChecks={"mode": "Enabled", "sampleLimit": 2})["contoso"].without_results
    assert (result.number, result.names) == (15, ("Web/app-00", "Web/app-01"))
    assert len(world.stored().without_results.names) == 15


async def test_evidence_that_is_too_large_for_a_secret_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("defender_devops.reconcile.observe.pipelines.evidence_store._SECRET_MAX_BYTES", 100)
    world = World({"contoso": scanned()})
    world.observe()
    async with world.running():
        await asyncio.sleep(600)
        result = world.observe()["contoso"]
        assert result.counts is not None, "the check has ended all the same"
        assert (result.failure, result.is_stored) == (None, False)
        assert result.storage_failure is not None
        assert result.storage_failure.reason == "EvidenceTooLarge"
        world.changes.clear()
        await asyncio.sleep(48 * 3600)
        assert world.changes == [], "nothing is new"
        monkeypatch.undo()
        await asyncio.sleep(48 * 3600)
        assert (world.observe()["contoso"].is_stored, world.observe()["contoso"].storage_failure) == (True, None)


async def test_a_secret_of_somebody_else_is_left_alone() -> None:
    world = World({"contoso": scanned()})
    world.observe()
    async with world.running():
        await asyncio.sleep(600)
    name, secret = next(iter(world.secrets.secrets.items()))
    world.secrets.secrets[name] = replace(secret, type="Opaque")
    world.secrets.writes = 0
    world.restart()
    world.observe()
    async with world.running():
        await asyncio.sleep(600)
        assert world.observe()["contoso"].counts is not None
    assert world.secrets.writes == 0
    assert world.secrets.secrets[name].type == "Opaque"


async def test_a_deleted_connector_is_forgotten() -> None:
    world = World({"contoso": scanned()})
    world.observe()
    async with world.running():
        await asyncio.sleep(3)
        world.observer.forget(connector().metadata.uid)
        await asyncio.sleep(48 * 3600)
        assert world.requests == 2
