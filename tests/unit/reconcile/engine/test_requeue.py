"""No snapshot is due again in the past, or sooner than Azure asked for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import looptime
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot
from defender_devops.reconcile.report.report import report
from defender_devops.workqueue.queue import WorkQueue
from defender_devops.workqueue.result import Result
from tests.unit.reconcile.azure_model import Azure
from tests.unit.reconcile.builder import NOW
from tests.unit.reconcile.observe.test_probing import GATHERER
from tests.unit.reconcile.strategies import USER_EDITS, UserEdit, clusters
from tests.unit.reconcile.test_properties import TROUBLES, Trouble, quick

FLOOR = 5.0
AGES = st.sampled_from(
    [timedelta(), timedelta(seconds=1), timedelta(minutes=5), timedelta(minutes=10), timedelta(days=9)]
)


def aged(azure: Azure, edit: UserEdit, trouble: Trouble | None, age: timedelta) -> tuple[ConnectorSnapshot, datetime]:
    """A snapshot of a managed connector in trouble, some time after its last probe."""
    edit.apply(azure)
    azure.converge()
    state = azure.world.cloud if trouble is None else trouble(azure.world.cloud)
    return replace(azure.world, cloud=replace(state, probed_at=NOW)), NOW + age


@quick
@given(clusters(), USER_EDITS, st.none() | st.sampled_from(TROUBLES), AGES, st.sampled_from([None, 0.0, 7.0, 300.0]))
def test_a_requeue_is_never_due_already_nor_sooner_than_azure_asked_for(
    azure: Azure, edit: UserEdit, trouble: Trouble | None, age: timedelta, poll_after: float | None
) -> None:
    snapshot, now = aged(azure, edit, trouble, age)
    written = report(Assessment(snapshot), None, now)
    result = replace(GATHERER, clock=lambda: now).requeue(snapshot, poll_after, written.reevaluate_at)
    assert result.requeue_after is not None
    assert result.reason
    if poll_after is not None:
        assert result.requeue_after >= poll_after
    elif written.reevaluate_at is None:
        assert result.requeue_after >= FLOOR, "a due time that cannot be met is pushed on"
    else:
        assert written.reevaluate_at > now, "a deadline that has passed is no deadline"


@quick
@given(st.lists(st.builds(Result, st.none() | st.floats(-1e6, 1e6), st.booleans(), st.booleans()), min_size=1))
def test_whatever_reconciles_return_an_hour_has_no_more_of_them_than_the_floor_allows(results: list[Result]) -> None:
    loop = looptime.new_event_loop()
    starts: list[float] = []

    async def reconcile(_key: str) -> Result:
        starts.append(loop.time())
        return results[len(starts) % len(results)]

    async def run() -> None:
        queue = WorkQueue[str](reconcile, min_requeue_interval=FLOOR, grace=0.0)
        queue.enqueue("a")
        task = asyncio.create_task(queue.run())
        await asyncio.sleep(3600.0)
        queue.stop()
        await task

    loop.run_until_complete(run())
    loop.close()
    assert len(starts) <= 3600.0 / FLOOR + 1
