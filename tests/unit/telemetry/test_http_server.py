from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from defender_devops.telemetry.http_server import Probes, WebServer
from defender_devops.telemetry.metrics import Metrics

TROUBLE: dict[str, str | None] = {}


@pytest.fixture
async def address() -> AsyncIterator[str]:
    TROUBLE.clear()
    probes = Probes(
        live={"watches": lambda: TROUBLE.get("watches")},
        ready={"caches": lambda: TROUBLE.get("caches"), "lease": lambda: TROUBLE.get("lease")},
    )
    server = WebServer("127.0.0.1", 0, probes, Metrics().exposition)
    port = await server.start()
    yield f"http://127.0.0.1:{port}"
    await server.close()


async def _get(url: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text(), answer.headers["Content-Type"]


@pytest.mark.parametrize(
    ("path", "trouble", "status", "text"),
    [
        ("/livez", {}, 200, "[+]watches ok\nok\n"),
        ("/livez", {"caches": "not filled"}, 200, "[+]watches ok\nok\n"),
        ("/livez", {"watches": "silent for 400 s"}, 503, "[-]watches: silent for 400 s\nfailed\n"),
        ("/readyz", {}, 200, "[+]caches ok\n[+]lease ok\nok\n"),
        ("/readyz", {"caches": "not filled"}, 503, "[-]caches: not filled\n[+]lease ok\nfailed\n"),
        ("/readyz", {"watches": "silent"}, 200, "[+]caches ok\n[+]lease ok\nok\n"),
    ],
)
async def test_probes_say_what_is_wrong(
    address: str, path: str, trouble: dict[str, str | None], status: int, text: str
) -> None:
    TROUBLE.update(trouble)
    assert (await _get(address + path))[:2] == (status, text)


async def test_a_probe_follows_what_changes(address: str) -> None:
    TROUBLE["caches"] = "not filled"
    assert (await _get(f"{address}/readyz"))[0] == 503
    TROUBLE.clear()
    assert (await _get(f"{address}/readyz"))[0] == 200


async def test_prometheus_gets_its_text_format(address: str) -> None:
    status, text, content_type = await _get(f"{address}/metrics")
    assert status == 200
    assert content_type.startswith("text/plain; version=")
    assert "# TYPE defender_devops_leader gauge" in text
    assert "process_resident_memory_bytes" in text


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics/x"])
async def test_there_is_nothing_else(address: str, path: str) -> None:
    assert (await _get(address + path))[0] == 404
