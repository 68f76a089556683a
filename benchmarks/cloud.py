"""Is the simulated cloud ever what a benchmark of the operator measures? Memory and requests a second.

    python -m benchmarks.cloud [--seconds N]

A world of 1,000 connectors with 100 repositories each, all discovered, in a process of its own over TLS; the load
generator runs beside it and shares its processors. Goals: below 500 MB, at least 1,500 simple GETs a second on 2 cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import yaml

from sandbox.cloud.world.load import DEFAULT_WORLD

CONNECTORS = 1000
REPOSITORIES = 100_000
MEMORY_GOAL_MB = 500
RATE_GOAL = 1500
CONCURRENCY = 32
SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
GROUP = "rg-devops-security"
BASE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Security/securityConnectors"
COUNTS = """
securityresources
| where type endswith '/repos'
| extend connector = tostring(split(id, '/')[8])
| summarize repositories = count() by connector
| project id = connector, repositories
| order by id asc
"""


def write_world(file: Path) -> None:
    """The default world, with a large part added."""
    world = yaml.safe_load(DEFAULT_WORLD.read_text(encoding="utf-8"))
    world["generate"] = {
        "tenant": "contoso.com",
        "account": "mdc-devops-connector@contoso.com",
        "subscription": SUBSCRIPTION,
        "resourceGroup": GROUP,
        "connectors": CONNECTORS,
        "organizations": CONNECTORS,
        "projects": 2,
        "repositories": REPOSITORIES,
    }
    file.write_text(yaml.safe_dump(world), encoding="utf-8")


async def measure_rate(session: aiohttp.ClientSession, paths: list[str], seconds: float) -> float:
    """Good answers a second, with `CONCURRENCY` requests at once."""
    deadline = time.monotonic() + seconds
    answered = 0

    async def worker(number: int) -> None:
        nonlocal answered
        position = number
        while time.monotonic() < deadline:
            async with session.get(paths[position % len(paths)]) as answer:
                await answer.read()
                answer.raise_for_status()
            position += CONCURRENCY
            answered += 1

    began = time.monotonic()
    await asyncio.gather(*(worker(number) for number in range(CONCURRENCY)))
    return answered / (time.monotonic() - began)


async def sign_in(session: aiohttp.ClientSession, authority: str) -> None:
    """Get a token, and use it from now on."""
    form = {
        "grant_type": "client_credentials",
        "client_id": "55555555-5555-5555-5555-555555555555",
        "client_secret": "sandbox-secret",
        "scope": "https://management.azure.com/.default",
    }
    url = f"{authority}/11111111-1111-1111-1111-111111111111/oauth2/v2.0/token"
    async with session.post(url, data=form) as answer:
        session.headers["Authorization"] = f"Bearer {(await answer.json())['access_token']}"


async def query(session: aiohttp.ClientSession, arm: str) -> tuple[int, float]:
    """Count all repositories of all connectors in Resource Graph: how many there are, and seconds."""
    began, total, token = time.monotonic(), 0, None
    while True:
        options: dict[str, Any] = {"$top": 1000, **({"$skipToken": token} if token else {})}
        url = f"{arm}/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01"
        async with session.post(url, json={"query": COUNTS, "options": options}) as answer:
            body = await answer.json()
        total += sum(row["repositories"] for row in body["data"])
        token = body.get("$skipToken")
        if token is None:
            return total, time.monotonic() - began


async def run(
    printed: dict[str, Any], process: psutil.Process, seconds: float
) -> list[tuple[str, float, float | None]]:
    """All measurements: what, how much, and the goal."""
    context = ssl.create_default_context(cafile=printed["ca"])
    connector = aiohttp.TCPConnector(ssl=context, limit=CONCURRENCY)
    results: list[tuple[str, float, float | None]] = [("MB after the start", process.memory_info().rss / 1e6, None)]
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.post(f"{printed['control']}/clock", json={"move": 24 * 3600}) as answer:
            answer.raise_for_status()
        await sign_in(session, printed["authority"])
        names = [f"connector-{number:04}" for number in range(1, CONNECTORS + 1)]
        connectors = [f"{printed['arm']}{BASE}/{name}?api-version=2024-08-01-preview" for name in names]
        devops = [f"{printed['arm']}{BASE}/{name}/devops/default?api-version=2025-03-01" for name in names]
        cpu_start = process.cpu_times()
        began = time.monotonic()
        results.append(("GETs of a connector a second", await measure_rate(session, connectors, seconds), RATE_GOAL))
        cpu_end = process.cpu_times()
        cpu_seconds = cpu_end.user + cpu_end.system - cpu_start.user - cpu_start.system
        share = cpu_seconds / (time.monotonic() - began)
        results += [
            ("processors that the cloud used meanwhile", share, None),
            ("GETs a second for each processor that it used", results[-1][1] / share, None),
            ("GETs of devops/default a second", await measure_rate(session, devops, seconds), RATE_GOAL),
        ]
        counted, took = await query(session, printed["arm"])
        results += [("repositories counted by Resource Graph", counted, None), ("seconds for that", took, None)]
    results.append(("MB at the end", process.memory_info().rss / 1e6, MEMORY_GOAL_MB))
    return results


async def main() -> None:
    """Start the cloud, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each rate is measured (default: 5)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "world.yaml"
        write_world(world)
        command = [sys.executable, "-m", "sandbox.cloud", "--world", str(world), "--dir", folder, "--speed", "0"]
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(*command, "--no-throttling", stdout=asyncio.subprocess.PIPE)
        try:
            if process.stdout is None:
                raise RuntimeError("the cloud has no output")
            printed = json.loads(await process.stdout.readline())
            print(f"{time.monotonic() - began:10.1f}  seconds to start")
            for figure, value, goal in await run(printed, psutil.Process(process.pid), arguments.seconds):
                print(f"{value:10.1f}  {figure}" + ("" if goal is None else f"  (goal {goal})"))
        finally:
            process.terminate()
            await process.wait()


if __name__ == "__main__":
    asyncio.run(main())
