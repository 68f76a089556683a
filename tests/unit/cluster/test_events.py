from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from defender_devops.cluster.events import Events
from defender_devops.errors import KubernetesConflict, KubernetesNotFound, KubernetesRefused, KubernetesUnavailable

pytestmark = pytest.mark.looptime

BODY = {
    "apiVersion": "defender-devops.io/v1alpha1",
    "kind": "AzureDevOpsConnector",
    "metadata": {"namespace": "security", "name": "contoso", "uid": "u-1", "resourceVersion": "7"},
    "spec": {},
}
TERMINATING = KubernetesRefused("namespace security is being terminated", status=403)


class Client:
    """Stores events, or raises the errors that the test gives for the next calls."""

    def __init__(self, *errors: Exception | None, seconds: float = 0.0) -> None:
        self.errors = list(errors)
        self.seconds = seconds
        self.calls: list[tuple[str, float, dict[str, Any]]] = []
        self.names: list[str] = []

    async def _do(self, verb: str, body: dict[str, Any]) -> None:
        self.calls.append((verb, round(asyncio.get_running_loop().time(), 1), body))
        await asyncio.sleep(self.seconds)
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error

    async def create(self, url: str, body: dict[str, Any]) -> None:
        assert url == "/apis/events.k8s.io/v1/namespaces/security/events"
        await self._do("create", body)
        self.names.append(body["metadata"]["name"])

    async def patch(self, url: str, body: dict[str, Any], kind: str) -> None:
        assert url.rpartition("/")[2] == self.names[-1]
        await self._do("patch", body)

    def verbs_and_times(self) -> list[tuple[str, float]]:
        return [(verb, at) for verb, at, _ in self.calls]


@contextlib.asynccontextmanager
async def _writing(client: Client) -> AsyncIterator[tuple[Events, list[None]]]:
    dropped: list[None] = []
    events = Events(client, "pod-1", lambda: dropped.append(None))
    task = asyncio.create_task(events.run())
    yield events, dropped
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _emit(events: Events, note: str = "all is well", reason: str = "Succeeded", body: dict[str, Any] = BODY) -> None:
    events.emit(body, "Normal", reason, note)


async def test_an_event_has_reason_object_and_reporter() -> None:
    async with _writing(client := Client()) as (events, _):
        _emit(events)
        await asyncio.sleep(1)
    body = client.calls[0][2]
    assert {
        key: body[key] for key in ("type", "reason", "note", "action", "reportingController", "reportingInstance")
    } == {
        "type": "Normal",
        "reason": "Succeeded",
        "note": "all is well",
        "action": "Reconcile",
        "reportingController": "defender-devops-operator",
        "reportingInstance": "pod-1",
    }
    assert body["regarding"] == {
        "apiVersion": "defender-devops.io/v1alpha1",
        "kind": "AzureDevOpsConnector",
        "namespace": "security",
        "name": "contoso",
        "uid": "u-1",
        "resourceVersion": "7",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", body["eventTime"])
    assert "series" not in body


async def test_a_repetition_increments_the_series_instead_of_creating_an_event() -> None:
    async with _writing(client := Client()) as (events, _):
        _emit(events)
        await asyncio.sleep(1)
        _emit(events)
        await asyncio.sleep(1)
    assert client.verbs_and_times() == [("create", 0.0), ("patch", 1.0)]
    assert client.calls[1][2]["series"]["count"] == 2


async def test_many_repetitions_cost_one_write_a_minute_and_are_all_counted() -> None:
    async with _writing(client := Client()) as (events, _):
        for _ in range(200):
            _emit(events)
            await asyncio.sleep(0.7)
        await asyncio.sleep(100)
    assert client.verbs_and_times() == [
        ("create", 0.0),
        ("patch", 0.7),
        ("patch", 60.7),
        ("patch", 120.7),
        ("patch", 180.7),
    ]
    assert [body["series"]["count"] for verb, _, body in client.calls if verb == "patch"] == [2, 87, 173, 200]


async def test_repetitions_before_the_first_write_are_part_of_it() -> None:
    async with _writing(client := Client()) as (events, _):
        for _ in range(5):
            _emit(events)
        await asyncio.sleep(1)
    assert client.verbs_and_times() == [("create", 0.0)]
    assert client.calls[0][2]["series"]["count"] == 5


@pytest.mark.parametrize(
    "other",
    [
        {"note": "all is better"},
        {"reason": "Reconciled"},
        {"body": {**BODY, "metadata": {**BODY["metadata"], "uid": "u-2"}}},
    ],
    ids=["note", "reason", "object"],
)
async def test_a_different_event_is_another_series(other: dict[str, Any]) -> None:
    async with _writing(client := Client()) as (events, _):
        _emit(events)
        _emit(events, **other)
        await asyncio.sleep(1)
    assert client.verbs_and_times() == [("create", 0.0), ("create", 0.0)]


async def test_after_six_minutes_without_occurrence_an_equal_event_is_a_new_one() -> None:
    async with _writing(client := Client()) as (events, _):
        _emit(events)
        await asyncio.sleep(359)
        _emit(events)
        await asyncio.sleep(361)
        _emit(events)
        await asyncio.sleep(1)
    assert client.verbs_and_times() == [("create", 0.0), ("patch", 359.0), ("create", 720.0)]


async def test_an_event_that_the_server_has_deleted_is_created_again() -> None:
    async with _writing(client := Client(None, KubernetesNotFound("gone"))) as (events, dropped):
        _emit(events)
        await asyncio.sleep(1)
        _emit(events)
        await asyncio.sleep(1)
    assert client.verbs_and_times() == [("create", 0.0), ("patch", 1.0), ("create", 1.0)]
    assert dropped == []


@pytest.mark.parametrize("error", [TERMINATING, KubernetesConflict("exists")])
async def test_a_refused_event_is_not_repeated_and_blocks_no_other(error: Exception) -> None:
    async with _writing(client := Client(error)) as (events, dropped):
        _emit(events, note="one")
        _emit(events, note="two")
        await asyncio.sleep(60)
    assert [body["note"] for _, _, body in client.calls] == ["one", "two"]
    assert len(dropped) == 1


async def test_an_unavailable_server_is_tried_three_times() -> None:
    down = KubernetesUnavailable("does not answer")
    async with _writing(client := Client(down, down, down)) as (events, dropped):
        _emit(events)
        await asyncio.sleep(60)
    assert client.verbs_and_times() == [("create", 0.0), ("create", 1.0), ("create", 3.0)]
    assert len(dropped) == 1


async def test_a_dropped_event_may_be_emitted_again() -> None:
    async with _writing(client := Client(TERMINATING)) as (events, _):
        _emit(events)
        await asyncio.sleep(1)
        _emit(events)
        await asyncio.sleep(1)
    assert client.verbs_and_times() == [("create", 0.0), ("create", 1.0)]


async def test_emit_never_waits_and_never_raises_even_if_the_server_is_slow() -> None:
    async with _writing(Client(seconds=1e6)) as (events, dropped):
        for number in range(1500):
            _emit(events, note=str(number))
        assert len(dropped) == 500


async def test_an_occurrence_during_a_write_counts_up_and_is_no_second_object() -> None:
    client = Client(seconds=5.0)
    async with _writing(client) as (events, _):
        events.emit(BODY, "Normal", "Ready", "All is well.")
        await asyncio.sleep(1)
        events.emit(BODY, "Normal", "Ready", "All is well.")
        await asyncio.sleep(20)
    assert client.verbs_and_times() == [("create", 0.0), ("patch", 5.0)]


async def test_a_slow_write_holds_up_no_event_of_another_resource() -> None:
    client = Client(seconds=5.0)
    async with _writing(client) as (events, _):
        for number in range(4):
            events.emit({**BODY, "metadata": {**BODY["metadata"], "uid": f"u-{number}"}}, "Normal", "Ready", "Well.")
        await asyncio.sleep(6)
    assert client.verbs_and_times() == [("create", 0.0)] * 4


async def test_the_number_of_series_is_bounded() -> None:
    async with _writing(Client()) as (events, _):
        for number in range(6000):
            _emit(events, note=str(number))
            await asyncio.sleep(0)
        assert len(events._series) <= 4096


async def test_queued_events_are_written_when_the_operator_ends() -> None:
    client = Client(seconds=0.1)
    async with _writing(client) as (events, _):
        for number in range(10):
            _emit(events, note=str(number))
        await asyncio.sleep(0.05)
    assert len({body["note"] for _, _, body in client.calls}) == 10


async def test_shutdown_is_not_delayed_by_an_unresponsive_server() -> None:
    async with _writing(Client(seconds=1e6)) as (events, _):
        for number in range(6):
            _emit(events, note=str(number))
        await asyncio.sleep(1)
    assert asyncio.get_running_loop().time() == pytest.approx(3.0)


@pytest.mark.parametrize("name", ["contoso", "a" * 253, "a" * 199 + "-." + "b" * 40])
async def test_an_event_has_a_valid_unique_name(name: str) -> None:
    async with _writing(client := Client()) as (events, _):
        _emit(events, body={**BODY, "metadata": {**BODY["metadata"], "name": name}})
        await asyncio.sleep(1)
    assert len(client.names[0]) <= 253
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", client.names[0])


async def test_a_note_is_truncated_to_the_limit_of_the_api() -> None:
    async with _writing(client := Client()) as (events, _):
        _emit(events, note="x" * 5000)
        await asyncio.sleep(1)
    assert len(client.calls[0][2]["note"]) == 1024
