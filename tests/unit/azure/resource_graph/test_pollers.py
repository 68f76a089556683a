from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import structlog

from defender_devops.azure.resource_graph.poller import Changes
from defender_devops.azure.resource_graph.pollers import ResourceGraphPollers
from defender_devops.clock import Clock
from tests.unit.azure.fakes import FakeAzure, arm_error
from tests.unit.azure.resource_graph.test_poller import A, B, FakeGraph

pytestmark = pytest.mark.looptime


@contextlib.asynccontextmanager
async def running(changes: list[Changes]) -> AsyncIterator[ResourceGraphPollers]:
    pollers = ResourceGraphPollers(interval=300, on_changes=changes.append, clock=Clock())
    task = asyncio.create_task(pollers.run())
    try:
        yield pollers
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def azure() -> tuple[FakeAzure, FakeGraph]:
    graph = FakeGraph()
    return FakeAzure([graph]), graph


async def test_connectors_of_one_client_share_a_poller() -> None:
    one, graph = azure()
    graph.put(A)
    async with running([]) as pollers:
        assert pollers.track("uid-a", one.arm, A) is pollers.track("uid-b", one.arm, B)
        await asyncio.sleep(10)
        assert len(graph.queries) == 1


async def test_a_client_id_without_its_secret_gives_no_views() -> None:
    rightful, graph = azure()
    graph.put(A)
    impostor = FakeAzure([arm_error(401, "InvalidAuthenticationToken", "No.")])
    assert impostor.arm.principal == rightful.arm.principal
    async with running([]) as pollers:
        sees = pollers.track("uid-a", rightful.arm, A)
        sees_not = pollers.track("uid-x", impostor.arm, A)
        await asyncio.sleep(10)
        assert sees.current_view(A) is not None
        assert sees_not.current_view(A) is None


async def test_a_change_of_clients_ends_the_queries_of_the_old_one() -> None:
    (old, old_graph), (new, new_graph) = azure(), azure()
    async with running([]) as pollers:
        pollers.track("uid-a", old.arm, A)
        await asyncio.sleep(10)
        pollers.track("uid-a", new.arm, A)
        await asyncio.sleep(1000)
        assert len(old_graph.queries) == 1
        assert len(new_graph.queries) >= 3


async def test_a_poller_ends_with_its_last_resource() -> None:
    one, graph = azure()
    async with running([]) as pollers:
        pollers.track("uid-1", one.arm, A)
        pollers.track("uid-2", one.arm, A)
        pollers.untrack("uid-1")
        await asyncio.sleep(1000)
        query_count = len(graph.queries)
        assert query_count >= 3
        pollers.untrack("uid-2")
        pollers.untrack("uid-2")
        await asyncio.sleep(1000)
        assert len(graph.queries) == query_count


async def test_a_write_makes_every_poller_ignore_the_row() -> None:
    (one, graph), (two, other) = azure(), azure()
    graph.put(A)
    other.put(A)
    async with running([]) as pollers:
        first, second = pollers.track("uid-1", one.arm, A), pollers.track("uid-2", two.arm, A)
        await asyncio.sleep(10)
        assert first.current_view(A) is not None
        assert second.current_view(A) is not None
        pollers.record_write(A)
        assert first.current_view(A) is None
        assert second.current_view(A) is None


async def test_a_new_tracker_of_a_connector_gets_no_row_from_before_the_last_write() -> None:
    (one, graph), (two, other) = azure(), azure()
    graph.put(A)
    other.put(A)
    other.put(B)
    async with running([]) as pollers:
        pollers.track("uid-1", one.arm, A)
        pollers.track("uid-2", two.arm, B)
        await asyncio.sleep(10)
        pollers.record_write(A)
        assert pollers.track("uid-2", two.arm, A).current_view(A) is None
        await asyncio.sleep(400)
        assert pollers.track("uid-2", two.arm, A).current_view(A) is not None


async def test_pollers_created_before_run_are_run_as_well() -> None:
    one, graph = azure()
    graph.put(A)
    changes: list[Changes] = []
    pollers = ResourceGraphPollers(interval=300, on_changes=changes.append, clock=Clock())
    poller = pollers.track("uid-a", one.arm, A)
    task = asyncio.create_task(pollers.run())
    await asyncio.sleep(10)
    assert len(changes) == 1
    assert poller.last_result is not None
    assert poller.last_result.connectors == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_unexpected_exception_in_a_poller_is_counted_and_ends_nothing() -> None:
    one, graph = azure()
    graph.put(A)
    is_counted = asyncio.Event()

    def defect(_changes: Changes) -> None:
        raise RuntimeError("a defect")

    pollers = ResourceGraphPollers(
        interval=300, on_changes=defect, on_failure=lambda _component: is_counted.set(), clock=Clock()
    )
    pollers.track("uid-a", one.arm, A)
    with structlog.testing.capture_logs():
        task = asyncio.create_task(pollers.run())
        await is_counted.wait()
    assert not task.done()
    task.cancel()
    await asyncio.wait({task})


async def test_a_corrected_reference_ends_the_tracking_of_the_previous_one_but_not_the_poller() -> None:
    one, graph = azure()
    graph.put(A)
    graph.put(B)
    changes: list[Changes] = []
    async with running(changes) as pollers:
        poller = pollers.track("uid-1", one.arm, A)
        await asyncio.sleep(10)
        assert poller.current_view(A) is not None
        assert pollers.track("uid-1", one.arm, B) is poller
        await asyncio.sleep(400)
        assert poller.current_view(B) is not None
        changes.clear()
        graph.connectors.clear()
        await asyncio.sleep(400)
        assert {key for change in changes for key in change.vanished} == {B.key}


async def test_a_corrected_reference_keeps_the_tracking_for_another_resource() -> None:
    one, graph = azure()
    graph.put(A)
    changes: list[Changes] = []
    async with running(changes) as pollers:
        pollers.track("uid-1", one.arm, A)
        pollers.track("uid-2", one.arm, A)
        await asyncio.sleep(10)
        pollers.track("uid-1", one.arm, B)
        changes.clear()
        graph.connectors.clear()
        await asyncio.sleep(400)
        assert A.key in {key for change in changes for key in change.vanished}
