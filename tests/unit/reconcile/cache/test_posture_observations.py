"""What polls for recommendations show of each connector, and which connectors they enqueue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import structlog

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.reconcile.cache.posture_observations import PostureObservations
from defender_devops.reconcile.cache.resource_cache import Key
from defender_devops.reconcile.facts.posture import PostureObservation
from tests.unit.azure.fakes import answer, arm_error
from tests.unit.azure.resource_graph.test_posture_poller import OTHER, POLLS_BEFORE_REPORT, A, B, World, make_world

KEY_A, KEY_B, KEY_OTHER = Key("security", "a"), Key("security", "b"), Key("team", "other")
START = datetime(2026, 10, 1, tzinfo=UTC)


class Setup:
    """Observations of the polls of one identity, or of several.

    Attributes:
        enqueued: resources since the last poll.
    """

    def __init__(self) -> None:
        self.enqueued: list[Key] = []
        self.now = START
        self.failures: list[str] = []
        self.observations = PostureObservations(self.enqueued.append, lambda: self.now, self.failures.append)

    def world(self, **refs: ConnectorRef) -> World:
        """Return another identity's Azure with these connectors, one for each resource `a`, `b` or `other`."""
        world = make_world(None, *refs.values())
        keys = {"a": KEY_A, "b": KEY_B, "other": KEY_OTHER}
        for name, ref in refs.items():
            self.observations.register(keys[name], ref, world.poller)
            world.graph.put(ref, "contoso", 5)
        return world

    async def poll(self, world: World, times: int = 1) -> set[Key]:
        """Poll some times, and return what that has enqueued."""
        self.enqueued.clear()
        for _ in range(times):
            result = await world.poller.poll()
            self.observations.on_poll(world.poller, result.changed)
        return set(self.enqueued)


async def test_a_connector_without_a_poller_is_not_observed() -> None:
    setup = Setup()
    assert setup.observations.observation(KEY_A) == PostureObservation(enabled=False)
    setup.observations.register(KEY_A, A, None)
    assert setup.observations.observation(KEY_A) == PostureObservation(enabled=False)


async def test_the_observation_follows_the_polls() -> None:
    setup = Setup()
    world = setup.world(a=A, b=B)
    assert setup.observations.observation(KEY_A) == PostureObservation()
    assert await setup.poll(world) == {KEY_A, KEY_B}
    observation = setup.observations.observation(KEY_A)
    assert {name: counts.healthy for name, counts in observation.organizations.items()} == {"contoso": 5}
    assert observation.answered_at is not None
    assert await setup.poll(world) == set()
    world.graph.put(A, "contoso", 6)
    assert await setup.poll(world) == {KEY_A}


async def test_a_failure_is_part_of_the_observation() -> None:
    setup = Setup()
    world = setup.world(a=A)
    await setup.poll(world)
    world.graph.override = lambda _body: arm_error(403, "AuthorizationFailed", "No.")
    assert await setup.poll(world, POLLS_BEFORE_REPORT) == {KEY_A}
    observation = setup.observations.observation(KEY_A)
    assert observation.failure is not None
    assert observation.failure.code == "AuthorizationFailed"
    assert observation.organizations


async def test_two_identities_have_observations_of_their_own() -> None:
    setup = Setup()
    one, two = setup.world(a=A), setup.world(other=OTHER)
    two.graph.override = lambda _body: arm_error(403, "AuthorizationFailed", "No.")
    assert await setup.poll(one) == {KEY_A}
    assert await setup.poll(two, POLLS_BEFORE_REPORT) == {KEY_OTHER}
    assert setup.observations.observation(KEY_A).failure is None
    assert setup.observations.observation(KEY_OTHER).failure is not None
    assert [key for key, _ in setup.observations.answer_times()] == [KEY_A]


async def test_an_identity_without_access_gets_no_numbers_of_another_one() -> None:
    setup = Setup()
    rightful = setup.world(a=A)
    impostor = setup.world(b=A)
    impostor.graph.override = lambda _body: answer(200, {"data": [], "totalRecords": 0})
    await setup.poll(rightful)
    await setup.poll(impostor)
    assert setup.observations.observation(KEY_A).organizations
    assert not setup.observations.observation(KEY_B).organizations


async def test_a_deleted_resource_is_not_enqueued() -> None:
    setup = Setup()
    world = setup.world(a=A, b=B)
    setup.observations.forget(KEY_A)
    assert await setup.poll(world) == {KEY_B}


@pytest.fixture
async def evaluated() -> tuple[Setup, World]:
    """Two connectors whose recommendations have changed daily for three days."""
    setup = Setup()
    world = setup.world(a=A, b=B)
    for day in range(3):
        await poll_on_day(setup, world, day, A, B)
    return setup, world


async def poll_on_day(setup: Setup, world: World, day: int, *changed: ConnectorRef) -> set[Key]:
    """Poll on a day on which recommendations of these connectors changed; the numbers stay."""
    setup.now = START + timedelta(days=day)
    for ref in changed:
        world.graph.put(ref, "contoso", 5, setup.now.isoformat())
    return await setup.poll(world)


async def test_staleness_is_unknown_until_enough_was_seen() -> None:
    setup = Setup()
    world = setup.world(a=A, b=B)
    for day in range(2):
        await poll_on_day(setup, world, day, A, B)
        observation = setup.observations.observation(KEY_A)
        assert (observation.stale_organizations, observation.active_organizations) == (frozenset(), frozenset())
    assert await poll_on_day(setup, world, 2, A, B) == {KEY_A, KEY_B}
    assert setup.observations.observation(KEY_A).active_organizations == {"contoso"}


async def test_an_organization_that_stops_changing_is_stale(evaluated: tuple[Setup, World]) -> None:
    setup, world = evaluated
    for day in range(3, 6):
        assert await poll_on_day(setup, world, day, A) == set()
    assert await poll_on_day(setup, world, 6, A) == {KEY_B}
    assert setup.observations.observation(KEY_A).stale_organizations == frozenset()
    observation = setup.observations.observation(KEY_B)
    assert (observation.stale_organizations, observation.active_organizations) == ({"contoso"}, frozenset())
    assert await poll_on_day(setup, world, 7, A) == set(), "it is known"
    assert await poll_on_day(setup, world, 8, A, B) == {KEY_B}
    assert setup.observations.observation(KEY_B).active_organizations == {"contoso"}


async def test_where_nothing_changes_any_more_staleness_is_unknown(evaluated: tuple[Setup, World]) -> None:
    setup, world = evaluated
    assert await poll_on_day(setup, world, 9) == {KEY_A, KEY_B}
    observation = setup.observations.observation(KEY_A)
    assert (observation.stale_organizations, observation.active_organizations) == (frozenset(), frozenset())


async def test_a_defect_in_one_poll_is_counted_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = Setup()
    world = setup.world(a=A)

    def defect(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("defender_devops.reconcile.cache.posture_observations.is_stale", defect)
    with structlog.testing.capture_logs():
        assert await setup.poll(world) == {KEY_A}, "its numbers are new"
    assert setup.failures == ["posture"]
