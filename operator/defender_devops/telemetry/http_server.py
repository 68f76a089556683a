"""/livez, /readyz and /metrics, on a port of their own."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from defender_devops.listening import connection_logger, start_site

__all__ = ["Check", "Probes", "WebServer"]

_log: Final = structlog.get_logger(__name__)

Check = Callable[[], str | None]
"""Returns a short description of the problem, without secrets, or None if there is none."""


@dataclass(frozen=True, slots=True)
class Probes:
    """The named checks of the kubelet's probes.

    Attributes:
        live: a problem is solved only by a restart.
        ready: a problem keeps the operator from working.
    """

    live: Mapping[str, Check] = field(default_factory=dict)
    ready: Mapping[str, Check] = field(default_factory=dict)


class WebServer:
    """Serves until closed.

    Args:
        host: address to listen on; `::` for all of IPv4 and IPv6.
        port: 0 selects a free port.
        probes: checks of /livez and /readyz.
        metrics: returns the metrics in Prometheus' text format.
        on_failure: counts an unexpected exception, by the name of this part of the operator.
    """

    def __init__(
        self,
        host: str,
        port: int,
        probes: Probes,
        metrics: Callable[[], Awaitable[bytes | bytearray]],
        on_failure: Callable[[str], None] = lambda _component: None,
    ) -> None:
        self._host = host
        self._port = port
        self._probes = probes
        self._metrics = metrics
        self._on_failure = on_failure
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen and return the port."""
        application = web.Application()
        application.router.add_get("/livez", self._live)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._scrape)
        self._runner = web.AppRunner(
            application,
            logger=connection_logger(
                # At debug: a port that anybody in the cluster reaches must not fill the log.
                lambda error: _log.debug("request to the metrics' port is not HTTP", error=type(error).__name__),
                self._note_failure,
            ),
            access_log=None,
        )
        await self._runner.setup()
        return await start_site(self._runner, self._host, self._port)

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _note_failure(self, record: logging.LogRecord) -> None:
        _log.error("connection to the metrics' port failed", exc_info=record.exc_info)
        self._on_failure("metrics port")

    async def _live(self, _: web.Request) -> web.Response:
        return _response(self._probes.live)

    async def _ready(self, _: web.Request) -> web.Response:
        return _response(self._probes.ready)

    async def _scrape(self, _: web.Request) -> web.Response:
        return web.Response(body=await self._metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _response(checks: Mapping[str, Check]) -> web.Response:
    """Return a line for each check, in the format of the API server's own probes."""
    problems = {name: check() for name, check in checks.items()}
    lines = [f"[-]{name}: {problem}\n" if problem else f"[+]{name} ok\n" for name, problem in problems.items()]
    if any(problems.values()):
        return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text="".join([*lines, "failed\n"]))
    return web.Response(text="".join([*lines, "ok\n"]))
