from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
from aiohttp import web

from defender_devops.listening import ALL_ADDRESSES, start_site
from defender_devops.settings import Settings

needs_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")


async def respond(request: web.Request) -> web.Response:
    return web.Response(text=request.remote or "")


@pytest.fixture
async def runner() -> AsyncIterator[web.AppRunner]:
    app = web.Application()
    app.router.add_get("/", respond)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    yield runner
    await runner.cleanup()


async def is_reachable(host: str, port: int) -> bool:
    async with httpx.AsyncClient(trust_env=False) as http:
        try:
            return (await http.get(f"http://{host}:{port}/")).is_success
        except httpx.ConnectError:
            return False


@needs_ipv6
async def test_by_default_ipv4_and_ipv6_reach_the_same_port(runner: web.AppRunner) -> None:
    assert Settings.model_fields["metrics_host"].default == Settings.model_fields["signin_host"].default
    port = await start_site(runner, Settings.model_fields["metrics_host"].default, 0)
    assert [await is_reachable(host, port) for host in ("127.0.0.1", "[::1]")] == [True, True]


@needs_ipv6
@pytest.mark.parametrize(("host", "reachable"), [("0.0.0.0", [True, False]), ("::1", [False, True])])  # noqa: S104
async def test_an_address_of_one_family_is_for_that_family_only(
    runner: web.AppRunner, host: str, reachable: list[bool]
) -> None:
    port = await start_site(runner, host, 0)
    assert [await is_reachable(name, port) for name in ("127.0.0.1", "[::1]")] == reachable


@pytest.mark.parametrize("number", [None, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
async def test_without_ipv6_it_listens_for_ipv4(
    runner: web.AppRunner, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    create_server = socket.create_server

    def without_ipv6(*args: object, **options: object) -> socket.socket:
        if options.get("family") == socket.AF_INET6:
            assert number is not None
            raise OSError(number, "no IPv6")
        return create_server(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: number is not None)
    monkeypatch.setattr(socket, "create_server", without_ipv6)
    assert await is_reachable("127.0.0.1", await start_site(runner, ALL_ADDRESSES, 0))


async def test_a_port_in_use_is_an_error(runner: web.AppRunner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied, pytest.raises(OSError, match="in use"):
        await start_site(runner, ALL_ADDRESSES, occupied.getsockname()[1])
