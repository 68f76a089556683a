from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from defender_devops.azure.resource_graph.poller import Changes
from defender_devops.azure.resource_graph.pollers import CloudWatchers
from defender_devops.clock import Clock
from tests.unit.azure.fakes import FakeAzure, arm_error
from tests.unit.azure.resource_graph.test_poller import A, B, FakeGraph

pytestmark = pytest.mark.looptime


@contextlib.asynccontextmanager
async def running(changes: list[Changes]) -> AsyncIterator[CloudWatchers]:
    watchers = CloudWatchers(interval=300, changed=changes.append, clock=Clock())
    task = asyncio.create_task(watchers.run())
    try:
        yield watchers
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def azure() -> tuple[FakeAzure, FakeGraph]:
    graph = FakeGraph()
    return FakeAzure([graph]), graph


async def test_connectors_of_one_client_share_a_watcher() -> None:
    one, graph = azure()
    graph.put(A)
    async with running([]) as watchers:
        assert watchers.watch("uid-a", one.arm, A) is watchers.watch("uid-b", one.arm, B)
        await asyncio.sleep(10)
        assert len(graph.queries) == 1


async def test_whoever_names_anothers_client_without_its_secret_sees_nothing() -> None:
    rightful, graph = azure()
    graph.put(A)
    impostor = FakeAzure([arm_error(401, "InvalidAuthenticationToken", "No.")])
    assert impostor.arm.principal == rightful.arm.principal
    async with running([]) as watchers:
        sees = watchers.watch("uid-a", rightful.arm, A)
        sees_not = watchers.watch("uid-x", impostor.arm, A)
        await asyncio.sleep(10)
        assert sees.latest(A) is not None
        assert sees_not.latest(A) is None


async def test_a_new_client_takes_over_and_the_old_one_is_not_asked_any_more() -> None:
    (old, old_graph), (new, new_graph) = azure(), azure()
    async with running([]) as watchers:
        watchers.watch("uid-a", old.arm, A)
        await asyncio.sleep(10)
        watchers.watch("uid-a", new.arm, A)
        await asyncio.sleep(1000)
        assert len(old_graph.queries) == 1
        assert len(new_graph.queries) >= 3


async def test_what_nobody_needs_any_more_is_not_looked_at() -> None:
    one, graph = azure()
    async with running([]) as watchers:
        watchers.watch("uid-1", one.arm, A)
        watchers.watch("uid-2", one.arm, A)
        watchers.forget("uid-1")
        await asyncio.sleep(1000)
        asked = len(graph.queries)
        assert asked >= 3
        watchers.forget("uid-2")
        watchers.forget("uid-2")
        await asyncio.sleep(1000)
        assert len(graph.queries) == asked
        assert watchers.looks() == {}


async def test_a_write_makes_every_watcher_distrust_its_row() -> None:
    (one, graph), (two, other) = azure(), azure()
    graph.put(A)
    other.put(A)
    async with running([]) as watchers:
        first, second = watchers.watch("uid-1", one.arm, A), watchers.watch("uid-2", two.arm, A)
        await asyncio.sleep(10)
        assert first.latest(A) is not None
        assert second.latest(A) is not None
        watchers.note_write(A)
        assert first.latest(A) is None
        assert second.latest(A) is None


async def test_who_takes_a_connector_over_sees_no_row_of_the_time_before_the_last_write() -> None:
    (one, graph), (two, other) = azure(), azure()
    graph.put(A)
    other.put(A)
    other.put(B)
    async with running([]) as watchers:
        watchers.watch("uid-1", one.arm, A)
        watchers.watch("uid-2", two.arm, B)
        await asyncio.sleep(10)
        watchers.note_write(A)
        assert watchers.watch("uid-2", two.arm, A).latest(A) is None
        await asyncio.sleep(400)
        assert watchers.watch("uid-2", two.arm, A).latest(A) is not None


async def test_watchers_that_were_made_before_run_too() -> None:
    one, graph = azure()
    graph.put(A)
    changes: list[Changes] = []
    watchers = CloudWatchers(interval=300, changed=changes.append, clock=Clock())
    watchers.watch("uid-a", one.arm, A)
    task = asyncio.create_task(watchers.run())
    await asyncio.sleep(10)
    assert len(changes) == 1
    assert [look.connectors for look in watchers.looks().values()] == [1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_defect_in_a_watcher_ends_them_all_instead_of_leaving_them_blind() -> None:
    one, graph = azure()
    graph.put(A)

    def defect(_changes: Changes) -> None:
        raise RuntimeError("a defect")

    watchers = CloudWatchers(interval=300, changed=defect, clock=Clock())
    watchers.watch("uid-a", one.arm, A)
    with pytest.raises(ExceptionGroup, match="unhandled"):
        await watchers.run()
