from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import structlog

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


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00canary\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: canary\x1b[31m\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nA: canary\x00\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: canary\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\ncanary",
    ],
)
async def test_a_request_that_is_not_http_is_not_in_the_log(
    address: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], data: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rsplit(":", 1)[1]))
    writer.write(data)
    writer.write_eof()
    assert b" 200 " not in (await asyncio.wait_for(reader.read(), 10)).split(b"\r\n")[0]
    writer.close()
    output = capsys.readouterr()
    log = caplog.text + output.out + output.err
    assert "canary" not in log
    assert "Traceback" not in log


async def test_an_unexpected_exception_of_a_request_is_counted_and_the_port_goes_on() -> None:
    failures: list[str] = []

    async def exposition() -> bytes:
        raise ZeroDivisionError

    server = WebServer("127.0.0.1", 0, Probes(), exposition, failures.append)
    address = f"http://127.0.0.1:{await server.start()}"
    with structlog.testing.capture_logs() as lines:
        assert (await _get(f"{address}/metrics"))[0] == 500
    assert (await _get(f"{address}/livez"))[0] == 200
    await server.close()
    assert failures == ["metrics port"]
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert line["exc_info"][0] is ZeroDivisionError
