from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import structlog

from defender_devops.backoff import Backoff
from defender_devops.cluster.secret_versions import SecretWatch
from defender_devops.errors import KubernetesError, KubernetesRefused, KubernetesUnavailable

pytestmark = pytest.mark.looptime

GONE = KubernetesUnavailable("too old resource version", status=410)
DOWN = KubernetesUnavailable("does not answer")


def _secret(name: str, version: int, **metadata: object) -> dict[str, Any]:
    return {"metadata": {"namespace": "security", "name": name, "resourceVersion": str(version), **metadata}}


def _event(kind: str, name: str, version: int) -> dict[str, Any]:
    return {"type": kind, "object": _secret(name, version)}


def _bookmark(version: int) -> dict[str, Any]:
    return {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}


def _list(version: int, *items: dict[str, Any]) -> list[dict[str, Any]]:
    """Two pages, the second of them last."""
    return [{"metadata": {"resourceVersion": str(version)}, "items": [item]} for item in items] or [
        {"metadata": {"resourceVersion": str(version)}, "items": []}
    ]


class Client:
    """Answers lists and watches from a script; a number in a watch is a delay in seconds."""

    def __init__(self, *script: list[Any] | Exception) -> None:
        self.script = list(script)
        self.requests: list[tuple[str, dict[str, str], str, float]] = []

    async def _play(self, verb: str, url: str, accept: str) -> AsyncIterator[Any]:
        query = dict(parse_qsl(urlsplit(url).query))
        self.requests.append((verb, query, accept, round(asyncio.get_running_loop().time(), 1)))
        step = self.script.pop(0) if self.script else [float("inf")]
        for item in [step] if isinstance(step, Exception) else step:
            if isinstance(item, Exception):
                raise item
            if isinstance(item, float):
                await (asyncio.Event().wait() if item == float("inf") else asyncio.sleep(item))
            else:
                yield item

    async def pages(self, url: str, *, accept: str) -> AsyncIterator[Any]:
        async for page in self._play("list", url, accept):
            yield page

    async def watch(self, url: str, *, accept: str, idle_timeout: float) -> AsyncIterator[Any]:
        assert idle_timeout > 150, "the first bookmark may come after two minutes"
        async for event in self._play("watch", url, accept):
            yield event

    def versions(self) -> list[str | None]:
        return [query.get("resourceVersion") for _, query, _, _ in self.requests]


class ReportedChanges(list[tuple[str, str, str | None]]):
    def __call__(self, namespace: str, name: str, version: str | None) -> None:
        self.append((namespace, name, version))


@contextlib.asynccontextmanager
async def _watching(client: Client, reported: ReportedChanges) -> AsyncIterator[SecretWatch]:
    watch = SecretWatch(client, None, reported, backoff=Backoff(1.0, 30.0, jitter=0.0), chance=lambda: 0.0)
    task = asyncio.create_task(watch.run())
    yield watch
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_secrets_of_the_first_list_are_not_reported_and_later_changes_are() -> None:
    events = [_event("ADDED", "c", 11), _event("MODIFIED", "a", 12), _event("DELETED", "b", 13)]
    client, reported = Client(_list(10, _secret("a", 1), _secret("b", 2)), [*events, 10.0]), ReportedChanges()
    async with _watching(client, reported) as watch:
        await watch.synced.wait()
        await asyncio.sleep(5)
    assert reported == [("security", "c", "11"), ("security", "a", "12"), ("security", "b", None)]


async def test_only_metadata_is_requested_with_the_media_type_of_each_verb() -> None:
    client = Client(_list(10), [])
    async with _watching(client, ReportedChanges()):
        await asyncio.sleep(5)
    (_, listed, list_accept, _), (_, watched, watch_accept, _) = client.requests[:2]
    assert list_accept == "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    assert watch_accept == "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    assert listed == {"fieldSelector": "type!=helm.sh/release.v1"}
    assert watched["allowWatchBookmarks"] == "true"
    assert int(watched["timeoutSeconds"]) < 300


async def test_only_name_and_version_of_the_metadata_are_kept() -> None:
    last_applied = {"kubectl.kubernetes.io/last-applied-configuration": "the secret itself"}
    client = Client(_list(10, _secret("a", 1, annotations=last_applied)), [10.0])
    async with _watching(client, ReportedChanges()) as watch:
        await watch.synced.wait()
        assert watch._versions == {("security", "a"): "1"}


async def test_a_watch_resumes_at_the_last_version_including_bookmarks() -> None:
    client = Client(_list(10), [_event("ADDED", "a", 11)], [_bookmark(50)], [])
    async with _watching(client, ReportedChanges()):
        await asyncio.sleep(5)
    assert client.versions()[:4] == [None, "10", "11", "50"]


async def test_a_repeated_event_is_reported_once() -> None:
    client, reported = Client(_list(10), [_event("ADDED", "a", 11)], [_event("MODIFIED", "a", 11)]), ReportedChanges()
    async with _watching(client, reported):
        await asyncio.sleep(5)
    assert reported == [("security", "a", "11")]


@pytest.mark.parametrize(
    "failure",
    [
        GONE,
        [{"type": "ERROR", "object": {"kind": "Status", "metadata": {}, "code": 410, "message": "too old"}}],
    ],
    ids=["as an answer", "as an event"],
)
async def test_after_an_expired_version_a_new_list_reports_only_differences(failure: Any) -> None:  # noqa: ANN401
    client = Client(
        _list(10, _secret("same", 1), _secret("changed", 2), _secret("deleted", 3)),
        failure,
        _list(90, _secret("same", 1), _secret("changed", 70), _secret("made", 80)),
        [10.0],
    )
    reported = ReportedChanges()
    async with _watching(client, reported):
        await asyncio.sleep(5)
    assert sorted(reported, key=str) == [
        ("security", "changed", "70"),
        ("security", "deleted", None),
        ("security", "made", "80"),
    ]
    assert client.versions() == [None, "10", None, "90"]


async def test_an_unavailable_server_is_retried_with_growing_delays_and_the_error_is_shown() -> None:
    client = Client(_list(10), DOWN, DOWN, DOWN, [_bookmark(20), 100.0])
    async with _watching(client, ReportedChanges()) as watch:
        await asyncio.sleep(2.5)
        assert watch.error_message == "does not answer"
        await asyncio.sleep(10)
        assert watch.error_message is None
    assert [at for *_, at in client.requests] == [0.0, 0.0, 1.0, 3.0, 7.0]


async def test_a_version_that_fails_repeatedly_is_replaced_by_a_new_list() -> None:
    """As after a restore from a backup: the server has not reached the requested version yet."""
    ahead = KubernetesUnavailable("Too large resource version: 10, current: 7", status=504)
    client = Client(_list(10), ahead, ahead, ahead, ahead, ahead, _list(8, _secret("a", 7)), [10.0])
    reported = ReportedChanges()
    async with _watching(client, reported):
        await asyncio.sleep(60)
    assert client.versions()[6:8] == [None, "8"]
    assert reported == [("security", "a", "7")]


async def test_an_event_between_failures_resets_the_delay() -> None:
    client = Client(_list(10), DOWN, DOWN, [_bookmark(20), DOWN], [_bookmark(30), DOWN])
    async with _watching(client, ReportedChanges()):
        await asyncio.sleep(10)
    assert [at for *_, at in client.requests][1:6] == [0.0, 1.0, 3.0, 4.0, 5.0]


async def test_a_retry_after_of_the_server_is_honored() -> None:
    client = Client(KubernetesUnavailable("busy", retry_after=7), _list(10))
    async with _watching(client, ReportedChanges()):
        await asyncio.sleep(10)
    assert [at for *_, at in client.requests][:2] == [0.0, 7.0]


@pytest.mark.parametrize(
    ("error", "seconds"), [(KubernetesRefused("forbidden", status=403), 30.0), (DOWN, 2.5)], ids=["refused", "down"]
)
async def test_it_is_not_synced_before_the_first_list(error: KubernetesError, seconds: float) -> None:
    async with _watching(Client(error, error, _list(10)), ReportedChanges()) as watch:
        await asyncio.sleep(seconds - 0.5)
        assert (watch.synced.is_set(), watch.seconds_since_last_event()) == (False, float("inf"))
        assert watch.error_message == error.message
        await asyncio.sleep(1.5)
        assert watch.synced.is_set()


async def test_a_list_that_fails_halfway_is_repeated_and_nothing_of_it_is_reported() -> None:
    half = [*_list(10, _secret("a", 1)), DOWN]
    client, reported = Client(half, _list(12, _secret("a", 1), _secret("b", 2)), [10.0]), ReportedChanges()
    async with _watching(client, reported) as watch:
        await asyncio.sleep(0.5)
        assert not watch.synced.is_set()
        await asyncio.sleep(5)
    assert reported == []
    assert client.versions() == [None, None, "12"]


async def test_the_seconds_since_the_last_event_are_counted() -> None:
    client = Client(_list(10), [30.0, _bookmark(20), 50.0])
    async with _watching(client, ReportedChanges()) as watch:
        await asyncio.sleep(29)
        assert watch.seconds_since_last_event() == pytest.approx(29)
        await asyncio.sleep(21)
        assert watch.seconds_since_last_event() == pytest.approx(20)


async def test_a_proxy_that_ends_every_watch_immediately_causes_no_busy_loop() -> None:
    client = Client(_list(10), *[[]] * 1000)
    watch = SecretWatch(client, None, ReportedChanges(), chance=lambda: 0.5)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watch.run(), 10)
    assert len(client.requests) <= 22


@pytest.mark.parametrize(
    "metadata",
    [
        {"namespace": "security", "name": "broken"},
        {"namespace": "security", "name": "broken", "resourceVersion": ""},
        {"namespace": "security", "name": "broken", "resourceVersion": None},
        {"namespace": "security", "name": "broken", "resourceVersion": 12},
        {},
        None,
        "broken",
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"])
async def test_an_event_without_a_version_is_skipped_and_counted_and_the_watch_goes_on(
    kind: str, metadata: object
) -> None:
    failures: list[str] = []
    broken = {"type": kind, "object": {"metadata": metadata}}
    client, reported = Client(_list(10), [_event("ADDED", "a", 11), broken, _event("ADDED", "b", 13), 50.0]), []
    watch = SecretWatch(client, None, lambda *change: reported.append(change), on_failure=failures.append)
    task = asyncio.create_task(watch.run())
    await asyncio.sleep(20)
    task.cancel()
    await asyncio.wait({task})
    assert reported == [("security", "a", "11"), ("security", "b", "13")]
    assert client.versions() == [None, "10"], "one watch"
    assert failures == ["watch"]


async def test_a_list_without_a_version_is_repeated_like_one_that_failed() -> None:
    client = Client([{"metadata": {}, "items": [_secret("a", 1)]}], _list(10, _secret("a", 1)), [50.0])
    async with _watching(client, ReportedChanges()) as watch:
        await asyncio.sleep(0.5)
        assert watch.error_message == "The list has no resourceVersion."
        await asyncio.sleep(5)
        assert watch.version("security", "a") == "1"


async def test_a_refused_watch_is_repeated_ever_more_rarely_and_recovers() -> None:
    refused = KubernetesRefused("secrets is forbidden", status=403)
    client = Client(*[refused] * 12, _list(10), [10_000.0])
    async with _watching(client, ReportedChanges()) as watch:
        await asyncio.sleep(3600)
        assert watch.error_message == "secrets is forbidden"
        assert [at for *_, at in client.requests][:8] == [0, 10, 30, 70, 150, 310, 630, 1230]
        await asyncio.sleep(3600)
        assert watch.error_message is None


async def test_an_unexpected_exception_of_one_secret_leaves_the_watch_of_others_running() -> None:
    failures: list[str] = []
    reported = ReportedChanges()

    def on_change(namespace: str, name: str, version: str | None) -> None:
        if name == "broken":
            raise ZeroDivisionError
        reported(namespace, name, version)

    unparsable = {"metadata": {"resourceVersion": "12"}}
    events = [_event("ADDED", "broken", 11), {"type": "ADDED", "object": unparsable}, _event("ADDED", "a", 13), GONE]
    client = Client(
        _list(10, unparsable), events, _list(20, unparsable, _secret("broken", 18), _secret("a", 19)), [10.0]
    )
    watch = SecretWatch(client, None, on_change, on_failure=failures.append, backoff=Backoff(1.0, 30.0, jitter=0.0))
    task = asyncio.create_task(watch.run())
    with structlog.testing.capture_logs() as lines:
        await asyncio.sleep(9)
    assert not task.done()
    assert reported == [("security", "a", "13"), ("security", "a", "19")]
    assert failures == ["secret"] * 5
    assert sum(line["log_level"] == "error" for line in lines) == 5
    task.cancel()
    await asyncio.wait({task})
