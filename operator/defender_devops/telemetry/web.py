"""/livez, /readyz and /metrics, on a port of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

__all__ = ["Probes", "WebServer"]


@dataclass(frozen=True, slots=True)
class Probes:
    """What the kubelet asks.

    Attributes:
        live: False means that only a restart helps.
        ready: False means that it has not begun to work.
    """

    live: Callable[[], bool]
    ready: Callable[[], bool]


class WebServer:
    """Serves until closed."""

    def __init__(self, host: str, port: int, probes: Probes, registry: CollectorRegistry = REGISTRY) -> None:
        self._host = host
        self._port = port
        self._probes = probes
        self._registry = registry
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen; gives the port."""
        application = web.Application()
        application.router.add_get("/livez", self._live)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        port: int = self._runner.addresses[0][1]
        return port

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _live(self, _: web.Request) -> web.Response:
        return _answer(good=self._probes.live())

    async def _ready(self, _: web.Request) -> web.Response:
        return _answer(good=self._probes.ready())

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _answer(*, good: bool) -> web.Response:
    return web.Response(text="ok\n") if good else web.Response(status=503, text="not yet\n")
