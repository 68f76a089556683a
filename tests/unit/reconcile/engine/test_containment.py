"""An unexpected exception at any seam ends in InternalError where it happens, and everything else goes on.

Seams that are tested beside their own fakes, by tests with `unexpected_exception` in their names:

- a sign-in page: tests/unit/signin/pages/test_pages.py
- a connection to the pages or to the metrics' port: tests/unit/signin/pages/test_pages.py,
  tests/unit/telemetry/test_http_server.py
- a connector's sign-in check: tests/unit/signin/sessions/test_sign_ins.py, up to the condition test_sign_in_errors.py
- an organization's prerequisite checks: tests/unit/reconcile/observe/test_sign_in.py
- a Secret: tests/unit/cluster/test_secret_versions.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import structlog

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.azure.resource_graph.poller import Changes, ResourceGraphPoller
from defender_devops.azure.resource_graph.pollers import ResourceGraphPollers
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.clock import Clock
from defender_devops.errors import LeadershipLost
from defender_devops.reconcile import reconciler
from defender_devops.reconcile.actions.executor import Executor
from defender_devops.reconcile.cache.connector_cache import ConnectorCaches
from defender_devops.reconcile.cache.drift_notifications import DriftNotifications
from defender_devops.reconcile.cache.resource_cache import Key
from defender_devops.reconcile.facts import assessment
from defender_devops.reconcile.observe import gatherer
from defender_devops.reconcile.report import organization_resources
from defender_devops.reconcile.status_writer import StatusWriter
from defender_devops.settings import Settings
from defender_devops.supervision import contain_exceptions, run_supervised
from tests.unit.azure.fakes import azure_with, page
from tests.unit.reconcile.engine.world import KEY, OTHER, UIDS, AzureModel, World

pytestmark = pytest.mark.looptime

SECRET = "s3cret-of-the-exception"


class UnexpectedError(Exception):
    """Nothing in the operator expects it."""


def mentions(argument: object, name: str) -> bool:
    """Whether an argument is or contains a resource of that name, other than the context of a whole report."""
    text = str(argument)
    return not text.startswith("_Context") and (f"name='{name}'" in text or f"'name': '{name}'" in text)


def raising(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The function, which raises for one connector."""

    def call(*arguments: object, **options: object) -> Any:  # noqa: ANN401 - as the original
        if any(mentions(argument, name) for argument in (*arguments, *options.values())):
            raise UnexpectedError(SECRET)
        return original(*arguments, **options)

    return call


CONNECTOR_SEAMS: list[tuple[object, str]] = [
    (reconciler, "parse_connector"),
    (reconciler, "plan"),
    (reconciler, "report"),
    (reconciler, "drop_fulfilled_requests"),
    (gatherer, "find_conflicting_connectors"),
    (gatherer, "discovered_counts"),
    (gatherer.Gatherer, "gather"),
    (Executor, "execute"),
    (SecurityConnectors, "get"),
    (SecurityConnectors, "get_configuration"),
    (SecurityConnectors, "organizations"),
    (SecurityConnectors, "available_organizations"),
]


@pytest.mark.parametrize(("owner", "function"), CONNECTOR_SEAMS, ids=lambda value: getattr(value, "__name__", value))
async def test_an_exception_of_one_connector_leaves_the_others_alone(
    owner: object, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(AzureModel(), Settings(), "authorization: {method: Adopt}")
    world.add_connector(OTHER)
    monkeypatch.setattr(owner, function, raising(getattr(owner, function), KEY.name))
    with structlog.testing.capture_logs() as lines:
        async with world.running():
            await asyncio.sleep(60.0)
            check_failure(world, lines)
            monkeypatch.undo()
            await asyncio.sleep(600.0)
            assert world.condition("Ready")[0] == "True", "it recovers without an event"


def check_failure(world: World, lines: list[Any]) -> None:
    """The one connector reports InternalError with a traceback in the log, and the other one is ready."""
    assert world.condition("Ready") == ("False", "InternalError")
    assert world.condition("Ready", OTHER)[0] == "True"
    assert SECRET not in str(world.status()), "the text of an exception could contain anything"
    errors = [line for line in lines if line["log_level"] == "error"]
    assert errors
    assert all(isinstance(line["exc_info"], UnexpectedError) for line in errors)


@pytest.mark.parametrize(
    ("owner", "function"),
    [
        (gatherer, "parse_organization"),
        (assessment, "effective_overrides"),
        (assessment, "select_organizations"),
        (assessment, "desired_state"),
        (reconciler, "drop_fulfilled_requests"),
        (reconciler, "plan"),
        (organization_resources, "_observed_status"),
        (StatusWriter, "write_organization"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_an_exception_of_one_organization_leaves_its_connector_ready(
    owner: object, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(AzureModel(), Settings(), "authorization: {method: Adopt}")
    broken = add_broken_organization(world)
    failing = raising(getattr(owner, function), broken.name)
    if function == "write_organization":
        # Only the first write fails: the second one is that of InternalError.
        calls: list[object] = []
        original = getattr(owner, function)

        def fail_once(*arguments: object) -> Any:  # noqa: ANN401 - as the original
            if mentions(arguments, broken.name) and len(calls) % 2 == 0:
                calls.append(arguments)
                raise UnexpectedError(SECRET)
            calls.append(arguments) if mentions(arguments, broken.name) else None
            return original(*arguments)

        failing = fail_once
    monkeypatch.setattr(owner, function, failing)
    with structlog.testing.capture_logs() as lines:
        async with world.running():
            await asyncio.sleep(60.0)
            assert world.condition("Ready")[0] == "True"
            assert world.condition("Ready", broken) == ("False", "InternalError")
            assert "organization" in world.internal_errors
            assert any(isinstance(line.get("exc_info"), UnexpectedError) for line in lines)
            monkeypatch.undo()
            await asyncio.sleep(600.0)
            assert world.condition("Ready", broken)[1] != "InternalError"


def add_broken_organization(world: World) -> Key:
    """Create a DevOpsOrganization that a test makes the operator fail at."""
    broken = Key("security", "contoso-broken")
    world.kubernetes.apply(
        {
            "kind": "DevOpsOrganization",
            "metadata": {"namespace": broken.namespace, "name": broken.name, "uid": broken.name, "generation": 1},
            "spec": {"connectorRef": {"name": KEY.name}, "organization": "northwind"},
        },
        {},
    )
    return broken


async def test_nothing_is_changed_in_azure_while_the_decision_of_an_organization_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the organization the plan is another one: it may be what excludes an organization."""
    organizations_spec = "organizations: {mode: Selected, names: [northwind]}"
    world = World(AzureModel(), Settings(), "{authorization: {method: Adopt}, " + organizations_spec + "}")
    broken = add_broken_organization(world)
    original = assessment.effective_overrides
    monkeypatch.setattr(assessment, "effective_overrides", raising(original, broken.name))

    def writes() -> list[str]:
        return [request.method for request in world.azure.requests if request.method in {"PUT", "PATCH", "DELETE"}]

    with structlog.testing.capture_logs():
        async with world.running():
            await asyncio.sleep(60.0)
            assert world.condition("Ready", broken) == ("False", "InternalError")
            assert world.condition("Ready")[1] != "InternalError"
            assert writes() == []
            monkeypatch.undo()
            await asyncio.sleep(600.0)
            assert writes()


@pytest.mark.parametrize("seam", ["drift_notifications", "pollers", "sign_ins", "codes", "clients"])
async def test_an_exception_while_a_deleted_connector_is_dropped_keeps_nothing_else_from_it(seam: str) -> None:
    world = World(AzureModel(), Settings(), "authorization: {method: Adopt}")
    world.add_connector(OTHER)
    dropped: list[str] = []

    def drop(name: str) -> Callable[..., Any]:
        def call(*_: object) -> None:
            dropped.append(name)
            if name == seam:
                raise UnexpectedError(SECRET)

        async def release(*_: object) -> None:
            call()

        return release if name == "clients" else call

    kept = world.reconciler.gatherer
    replaced = replace(
        kept,
        drift_notifications=overriding(kept.drift_notifications, forget=drop("drift_notifications")),
        pollers=overriding(kept.pollers, untrack=drop("pollers")),
        sign_ins=overriding(kept.sign_ins, forget=drop("sign_ins")),
        codes=overriding(kept.codes, forget=drop("codes")),
        clients=overriding(kept.clients, release=drop("clients")),
    )
    world.reconciler = replace(world.reconciler, gatherer=replaced)
    with structlog.testing.capture_logs() as lines:
        async with world.running():
            await asyncio.sleep(60.0)
            world.receiver.connector("DELETED", world.resources.connector(KEY) or {})
            await asyncio.sleep(60.0)
            assert world.condition("Ready", OTHER)[0] == "True"
    assert dropped == ["drift_notifications", "pollers", "sign_ins", "codes", "clients"]
    assert world.internal_errors == ["release"]
    assert [type(line["exc_info"]) for line in lines if line["log_level"] == "error"] or lines


def overriding(original: object, **methods: Callable[..., Any]) -> Any:  # noqa: ANN401 - as the original
    """The object with other methods."""

    class Overriding:
        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the original
            return methods[name] if name in methods else getattr(original, name)

    return Overriding()


@pytest.mark.parametrize("step", ["client", "token"])
async def test_an_exception_of_one_identity_concerns_only_its_connectors(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(AzureModel(), Settings(), "authorization: {method: Adopt}")
    world.add_connector(OTHER)
    working, broken = world.azure.arm, azure_with(page([])).arm

    async def client(uid: str, *_: object, **_options: object) -> Any:  # noqa: ANN401 - an ArmClient
        if uid != UIDS[KEY.name]:
            return working
        if step == "client":
            raise UnexpectedError(SECRET)
        return broken

    async def token(*_: object, **_options: object) -> None:
        raise UnexpectedError(SECRET)

    monkeypatch.setattr(broken._tokens, "current", token)
    monkeypatch.setattr(world.reconciler.gatherer.clients, "client", client)
    with structlog.testing.capture_logs() as lines:
        async with world.running():
            await asyncio.sleep(60.0)
            check_failure(world, lines)


async def test_an_exception_of_one_event_leaves_other_events_alone() -> None:
    world = World(AzureModel(), Settings(), "authorization: {method: Adopt}")
    with structlog.testing.capture_logs():
        world.receiver.connector("ADDED", {"metadata": {"namespace": "security", "name": "x"}})
        world.receiver.organization("ADDED", {"metadata": {"namespace": "security", "name": "x"}})
        world.receiver.connector("DELETED", {"metadata": {}})
        world.receiver.organization("MODIFIED", {})
    assert world.internal_errors == ["event"] * 4
    world.add_connector(OTHER)
    async with world.running():
        await asyncio.sleep(60.0)
    assert world.condition("Ready", OTHER)[0] == "True"


async def test_an_exception_of_one_drift_notification_leaves_the_others_alone() -> None:
    failures: list[str] = []
    enqueued: list[Key] = []
    notifications = DriftNotifications(ConnectorCaches(), enqueued.append, failures.append)

    class BrokenPoller:
        def current_view(self, _ref: ConnectorRef) -> None:
            raise UnexpectedError

    refs = [ConnectorRef("1", "rg", name) for name in ("contoso", "northwind")]
    for key, ref in zip((KEY, OTHER), refs, strict=True):
        notifications.register(key, ref, BrokenPoller())  # type: ignore[arg-type]
    with structlog.testing.capture_logs():
        notifications.on_changes(Changes(differing=frozenset(ref.key for ref in refs)))
    assert sorted(enqueued) == [KEY, OTHER], "Resource Manager is asked instead"
    assert failures == ["drift notification"] * 2


async def test_an_exception_of_one_poller_leaves_the_others_running(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[str] = []
    polls: list[str] = []

    async def poll(poller: ResourceGraphPoller) -> Any:  # noqa: ANN401 - never returns here
        polls.append(poller.arm.identity_name)
        if poller.arm is broken.arm:
            raise UnexpectedError
        await asyncio.Event().wait()

    monkeypatch.setattr(ResourceGraphPoller, "poll", poll)
    broken, working = azure_with(page([])), azure_with(page([]))
    broken.arm.identity_name, working.arm.identity_name = "broken", "working"
    pollers = ResourceGraphPollers(interval=300, on_changes=lambda _: None, on_failure=failures.append, clock=Clock())
    task = asyncio.create_task(pollers.run())
    pollers.track("1", broken.arm, ConnectorRef("1", "rg", "a"))
    pollers.track("2", working.arm, ConnectorRef("1", "rg", "b"))
    with structlog.testing.capture_logs():
        await asyncio.sleep(3600.0)
    assert not task.done()
    assert polls.count("working") == 1
    assert len(failures) == polls.count("broken") > 5
    task.cancel()
    await asyncio.wait({task})


async def test_a_background_task_that_raises_is_restarted_with_a_back_off() -> None:
    starts: list[float] = []
    failures: list[str] = []

    async def run() -> None:
        starts.append(asyncio.get_running_loop().time())
        if len(starts) < 9:
            raise UnexpectedError

    with structlog.testing.capture_logs() as lines:
        await run_supervised("resync", run, failures.append)
    assert all(line["exc_info"] for line in lines), "with traceback"
    assert failures == ["resync"] * 8
    assert 60.0 < starts[-1] < 60.0 * 8
    assert starts[1] - starts[0] <= 1.0


async def test_nothing_goes_on_once_leadership_is_lost() -> None:
    async def run() -> None:
        raise LeadershipLost("Another replica leads.")

    with pytest.raises(LeadershipLost):
        await run_supervised("events", run, lambda _: None)
    with pytest.raises(LeadershipLost), contain_exceptions("event", lambda _: None):
        raise LeadershipLost("Another replica leads.")
