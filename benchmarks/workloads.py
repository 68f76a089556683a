"""The workloads. Each measures one subject on a stand of its own and gives figures by name."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import aiohttp

from benchmarks.counters import Meter, megabytes
from benchmarks.load import Body, Load, NotReached, is_current
from benchmarks.stand import GROUP, ORGANIZATIONS_EACH, Stand, Subject, stand
from sandbox.cloud.arm.throttling import LIMITS

__all__ = [
    "Figures",
    "Workload",
    "converge",
    "converge_within_limits",
    "latency",
    "posture",
    "restart",
    "scale",
    "steady",
]

Figures = Mapping[str, float]
Workload = Callable[[Subject, int], Awaitable[Figures]]

_PATIENCE_SECONDS = 1800
_REFRESH_SECONDS = 300
"""The default, at which the operator is measured."""

_RESTING_SECONDS = 600
"""One check of every authorization at the default interval falls into it."""

_PROJECTS_EACH = 1
_SETTLING_SECONDS = 10
_DISCOVERY_SECONDS = 9 * 3600
"""Until Defender has discovered all: it begins within 8 hours."""

_EDITS = 100

_SCALE = 5
"""How many times as many connectors `scale` has in its larger run."""

_SUCCESSES = re.compile(r"^defender_devops_last_success_timestamp_seconds\{", re.MULTILINE)
"""Of each connector one, from its first reconcile after a start on."""

_CHECK = "AzureDevOpsOrgs_ListAvailable"
_CHECK_SECONDS = 600
"""The default interval of the checks of authorizations."""

_REPOSITORIES_EACH = 2
_RECOMMENDATIONS_EACH = 10
"""For each repository: 100 for each connector."""

_EVALUATION_SECONDS = 24 * 3600
"""Until Defender has evaluated all that it has discovered."""

_POSTURE_SECONDS = 300
"""A sixth of the default, so that two rounds at least fall into the rest."""

_SAMPLING_SECONDS = 10
_POSTURE_REQUESTS = re.compile(
    r'^defender_devops_azure_requests_total\{[^}]*operation="count recommendations"[^}]*\} (\S+)$', re.MULTILINE
)


async def converge(subject: Subject, connectors: int) -> Figures:
    """From nothing to Ready, in so many subscriptions that the number of requests is limited in none."""
    async with stand(subject, connectors) as place:
        return await _converge(place)


async def converge_within_limits(subject: Subject, connectors: int) -> Figures:
    """From nothing to Ready in one subscription with Resource Manager's own limits, beside what these allow."""
    async with stand(subject, connectors, throttled=True) as place:
        figures = await _converge(place)
    bound = _bound(Counter({kind: round(figures[f"ARM {kind}"] * connectors) for kind in LIMITS}))
    if not bound:
        raise NotReached(f"{connectors} connectors are within the limits' first burst: take more (--connectors)")
    return {**figures, "bound of the limits, s": bound, "wall time to bound": figures["wall time, s"] / bound}


async def steady(subject: Subject, connectors: int) -> Figures:
    """Memory with nothing and with everything, processor time at rest, and what it takes to find one drift."""
    async with stand(subject, connectors, projects=_PROJECTS_EACH) as place:
        await asyncio.sleep(_SETTLING_SECONDS)
        empty = megabytes(place.process)
        await _converge(place)
        await _discover(place)
        # The first check after a change goes through all of it once more: rest begins when each connector had its own.
        await asyncio.sleep(_RESTING_SECONDS)
        at_rest = await _rest(place)
        return {
            "MB, no connector": empty,
            "MB, all connectors": megabytes(place.process),
            **at_rest,
            **await _drift(place),
        }


async def restart(subject: Subject, connectors: int) -> Figures:
    """What a start costs while everything is at rest, after SIGTERM and after SIGKILL, until all is known again."""
    async with stand(subject, connectors, projects=_PROJECTS_EACH) as place:
        await _come_to_rest(place)
        memory = megabytes(place.process)
        figures = {"MB before": memory}
        for signal, is_killed in (("SIGTERM", False), ("SIGKILL", True)):
            figures |= {f"{name} ({signal})": value for name, value in (await _restart(place, is_killed)).items()}
            figures[f"memory to that before ({signal})"] = megabytes(place.process) / memory
        return {**figures, "checks in the busiest minute": await _busiest_minute(place)}


async def scale(subject: Subject, connectors: int) -> Figures:
    """The same with a fifth of the connectors and with all; a growth of 1 is linear."""
    small, large = [await _measure_scale(subject, number) for number in (connectors // _SCALE, connectors)]
    growth = {
        f"growth of {name}": large[name] / small[name] / (1 if name in _NOT_PROPORTIONAL else _SCALE)
        for name in large
        if small[name]
    }
    return {
        **{f"{name}, {connectors // _SCALE}": value for name, value in small.items()},
        **{f"{name}, {connectors}": value for name, value in large.items()},
        **growth,
    }


async def posture(subject: Subject, connectors: int) -> Figures:
    """What it costs to count recommendations that do not change, 100 for each connector."""
    async with stand(
        subject,
        connectors,
        projects=_PROJECTS_EACH,
        repositories=_REPOSITORIES_EACH,
        recommendations=_RECOMMENDATIONS_EACH,
        posture_seconds=_POSTURE_SECONDS,
    ) as place:
        await _converge(place)
        place.control.move(_DISCOVERY_SECONDS)
        place.control.move(_EVALUATION_SECONDS)
        place.control.speed(1)
        began = time.monotonic()
        await place.load.wait_all(connectors, _has_all_recommendations, within=_PATIENCE_SECONDS)
        counted = time.monotonic()
        await place.load.wait_all(connectors, _tells_of_projects, within=_PATIENCE_SECONDS)
        await asyncio.sleep(_RESTING_SECONDS)
        return {
            "recommendations": connectors * _recommendations_of_connector(),
            "counted in every status after, s": counted - began,
            **await _rest(place),
            "MB, all recommendations": megabytes(place.process),
            # After the rest, because reading the metrics takes processor time, too.
            "Resource Graph requests in a round": await _posture_round(place),
        }


async def latency(subject: Subject, connectors: int) -> Figures:
    """From an edit of a spec that asks nothing of Azure to the status that has seen it."""
    async with stand(subject, connectors) as place:
        await _converge(place)
        samples = []
        for number in range(_EDITS):
            name = f"connector-{number % connectors:04}"
            change = {"spec": {"deletionPolicy": "Detach" if number // connectors % 2 == 0 else "Delete"}}
            samples.append(await _until_seen(place.load, name, change))
        centiles = statistics.quantiles(samples, n=100)
        return {"p50, ms": centiles[49] * 1000, "p95, ms": centiles[94] * 1000, "p99, ms": centiles[98] * 1000}


_NOT_PROPORTIONAL = {"CPU, ms"}
"""Figures of `scale` that are those of one connector."""


async def _measure_scale(subject: Subject, connectors: int) -> Figures:
    async with stand(subject, connectors, projects=_PROJECTS_EACH) as place:
        await asyncio.sleep(_SETTLING_SECONDS)
        empty = megabytes(place.process)
        ready = await _converge(place)
        await _discover(place)
        await asyncio.sleep(_RESTING_SECONDS)
        at_rest = await _rest(place)
        memory = megabytes(place.process)
        start = await _restart(place, is_killed=False)
        return {
            "wall time, s": ready["wall time, s"],
            "CPU, ms": ready["CPU, ms"],
            "MB more than empty": memory - empty,
            "CPU at rest, %": at_rest["CPU at rest, %"],
            "start to all known, s": start["s to all known"],
            "CPU of a start, s": start["CPU, s"],
        }


async def _come_to_rest(place: Stand) -> None:
    """Converge, discover everything, and wait until nothing is written or read any more."""
    await _converge(place)
    await _discover(place)
    # One refresh, after which Resource Graph has returned everything that was written.
    await asyncio.sleep(_REFRESH_SECONDS)


async def _discover(place: Stand) -> None:
    place.control.move(_DISCOVERY_SECONDS)
    place.control.speed(1)
    await place.load.wait_all(place.connectors, _tells_of_projects, within=_PATIENCE_SECONDS)


async def _restart(place: Stand, is_killed: bool) -> Figures:
    """Start the operator again; gives what it costs until each connector was reconciled."""
    meter = Meter(place.load, place.control, place.process)
    await meter.start()
    began = time.monotonic()
    place.restart(is_killed=is_killed)
    meter.follow(place.process)
    ready = time.monotonic()
    while await _known_connectors(place) < place.connectors:
        if time.monotonic() - began > _PATIENCE_SECONDS:
            raise NotReached("the operator does not know all connectors again")
        await asyncio.sleep(0.5)
    known = time.monotonic()
    costs = await meter.read()
    return {
        "s to ready": ready - began,
        "s to all known": known - began,
        "ARM requests": costs.arm_requests,
        "Resource Graph requests": costs.resource_graph,
        "Kubernetes writes": costs.kubernetes_writes + costs.events,
        "CPU, s": costs.cpu,
    }


async def _known_connectors(place: Stand) -> int:
    """How many connectors were reconciled since the start."""
    async with aiohttp.ClientSession() as http, http.get(place.metrics) as answer:
        answer.raise_for_status()
        return len(_SUCCESSES.findall(await answer.text()))


async def _busiest_minute(place: Stand) -> int:
    """The most checks of authorizations in one minute of the interval in which each connector has one."""
    numbers = []
    for _ in range(_CHECK_SECONDS // 60):
        since = place.control.last()
        await asyncio.sleep(60)
        numbers.append(len(place.control.journal(since=since, service="arm", operation=_CHECK, limit=1_000_000)))
    return max(numbers)


async def _converge(place: Stand) -> Figures:
    meter = Meter(place.load, place.control, place.process)
    await meter.start()
    before = place.cpu_of_environment()
    began = time.monotonic()
    waiting = asyncio.create_task(place.load.wait_all(place.connectors, is_current, within=_PATIENCE_SECONDS))
    await place.load.create(place.manifests())
    created = time.monotonic()
    ended = await waiting
    costs = await meter.read()
    connector_count = place.connectors
    environment = {name: seconds - before[name] for name, seconds in place.cpu_of_environment().items()}
    await asyncio.sleep(_SETTLING_SECONDS)
    later = await meter.read()
    return {
        "wall time, s": ended - began,
        "of it creating them, s": created - began,
        "Kubernetes writes": (costs.kubernetes_writes - connector_count) / connector_count,
        "events": costs.events / connector_count,
        "events written later": (later.events - costs.events) / connector_count,
        "ARM requests": costs.arm_requests / connector_count,
        **{f"ARM {kind}": costs.arm[kind] / connector_count for kind in LIMITS},
        "CPU, ms": costs.cpu / connector_count * 1000,
        # Whoever is short of processors waits for these, too: the yardstick asks no cloud.
        **{f"CPU of {name}, ms": seconds / connector_count * 1000 for name, seconds in environment.items()},
        "MB at the end": megabytes(place.process),
    }


async def _rest(place: Stand) -> Figures:
    meter = Meter(place.load, place.control, place.process)
    await meter.start()
    await asyncio.sleep(_RESTING_SECONDS)
    costs = await meter.read()
    return {
        "CPU at rest, %": costs.cpu / _RESTING_SECONDS * 100,
        "Kubernetes writes at rest": costs.kubernetes_writes,
        "ARM requests at rest": costs.arm_requests,
    }


async def _posture_round(place: Stand) -> int:
    """How many requests one round of queries for recommendations takes."""
    requests = [await _posture_requests(place)]
    for _ in range(2 * _POSTURE_SECONDS // _SAMPLING_SECONDS):
        await asyncio.sleep(_SAMPLING_SECONDS)
        requests.append(await _posture_requests(place))
        if requests[0] < requests[-2] == requests[-1]:  # a round began and has ended
            return requests[-1] - requests[0]
    raise NotReached("no round of queries for recommendations was seen")


async def _posture_requests(place: Stand) -> int:
    """How many requests for recommendations the operator has sent so far."""
    async with aiohttp.ClientSession() as http, http.get(place.metrics) as answer:
        answer.raise_for_status()
        return sum(int(float(value)) for value in _POSTURE_REQUESTS.findall(await answer.text()))


async def _drift(place: Stand) -> Figures:
    """Somebody takes an organization out of one connector's inventory in the portal: how long until it is put back."""
    number = place.connectors // 2
    name = f"connector-{number:04}"
    meter = Meter(place.load, place.control, place.process)
    await meter.start()
    began = time.monotonic()
    place.control.change_connector(place.subscription(number), GROUP, name, organizations=[])
    writes: list[Body] = []
    while not writes:
        if time.monotonic() - began > _PATIENCE_SECONDS:
            raise NotReached("the drift was not found")
        writes = place.control.journal(
            since=meter.journal_start, service="arm", path=f"/{name}/", effective="true", wait=30
        )
    noticed = time.monotonic()
    costs = await meter.read()
    return {
        "drift put back after, s": noticed - began,
        "refresh interval, s": _REFRESH_SECONDS,
        "ARM requests for a drift": costs.arm_requests,
    }


async def _until_seen(load: Load, name: str, change: Body) -> float:
    """Seconds from an edit to the status that has seen it."""
    began = time.monotonic()
    await load.wait_seen(await load.edit(name, change), within=_PATIENCE_SECONDS)
    return time.monotonic() - began


def _has_all_recommendations(body: Body) -> bool:
    """Whether a connector's status counts every recommendation for its repositories."""
    recommendations = body.get("status", {}).get("posture", {}).get("recommendations", {})
    return bool(sum(recommendations.values()) == _recommendations_of_connector())


def _recommendations_of_connector() -> int:
    return ORGANIZATIONS_EACH * _PROJECTS_EACH * _REPOSITORIES_EACH * _RECOMMENDATIONS_EACH


def _tells_of_projects(body: Body) -> bool:
    """Whether a connector's status counts every project of its organizations."""
    projects = body.get("status", {}).get("discovery", {}).get("projects", {})
    return bool(projects.get("discovered") == ORGANIZATIONS_EACH * _PROJECTS_EACH)


def _bound(requests: Counter[str]) -> float:
    """Seconds that Resource Manager's limits ask for at least, for so many requests of each kind."""
    return max(max(0.0, number - LIMITS[kind][0]) / LIMITS[kind][1] for kind, number in requests.items())
