"""The web server of the sign-in pages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp import web

from defender_devops.signin.pages.callback import CallbackPages
from defender_devops.signin.pages.connector_pages import ConnectorPages
from defender_devops.signin.pages.device_pages import DevicePages
from defender_devops.signin.pages.middleware import guard, harden
from defender_devops.signin.pages.rate_limit import RateLimit
from defender_devops.signin.pages.rendering import STATIC, static
from defender_devops.signin.pages.result_pages import ResultPages

__all__ = ["Pages", "SignInServer", "application"]

_BODY_MAX: Final = 32 * 1024  # bytes: the longest code with room to spare
_KEEP_ALIVE: Final = 15.0  # seconds
_SHUTDOWN: Final = 5.0  # seconds for requests that are under way


@dataclass(frozen=True)
class Pages:
    """Handlers of all pages."""

    connector: ConnectorPages
    device: DevicePages
    result: ResultPages
    callback: CallbackPages


def application(pages: Pages) -> web.Application:
    """All routes, behind the guard."""
    addresses, browser = pages.connector.desk.addresses, pages.connector.browser
    path = addresses.path
    # By address, which behind an ingress is the ingress's own: enough for a team, too little to keep the operator busy.
    reading = RateLimit(burst=60, per_second=10, all_burst=300, all_per_second=100)
    acting = RateLimit(burst=40, per_second=2, all_burst=100, all_per_second=10)
    app = web.Application(middlewares=[guard(path, f"{path}/callback", reading, acting)], client_max_size=_BODY_MAX)
    page = f"{path}/connectors/{{uid:[0-9a-fA-F-]{{1,64}}}}/{{signature:[A-Za-z0-9_-]{{1,64}}}}"
    app.router.add_get(page, pages.connector.show)
    app.router.add_post(f"{page}/sign-in", pages.connector.sign_in)
    app.router.add_get(f"{page}/result", pages.result.show)
    app.router.add_get(f"{page}/device", pages.device.show)
    app.router.add_post(f"{page}/device", pages.device.start)
    app.router.add_get(f"{page}/code", pages.connector.code_taken)
    app.router.add_post(f"{page}/code", pages.connector.take_code)
    app.router.add_get(f"{path}/callback", pages.callback.visited)
    app.router.add_post(f"{path}/callback", pages.callback.posted)
    for name in STATIC:
        app.router.add_get(f"{path}/{name}", partial(_static, name))
    app.on_response_prepare.append(harden(browser.renewal.authority_host, is_https=addresses.is_https))
    return app


async def _static(name: str, _: web.Request) -> web.Response:
    return web.Response(text=static(name), content_type=STATIC[name], charset="utf-8")


@dataclass
class SignInServer:
    """Serves the pages until closed. No access log: addresses of the way back would be in it.

    Args:
        pages: handlers.
        host: address to listen at.
        port: port to listen at; 0 takes a free one.
    """

    pages: Pages
    host: str
    port: int
    _runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen.

        Returns:
            The port.
        """
        self._runner = web.AppRunner(
            application(self.pages), access_log=None, keepalive_timeout=_KEEP_ALIVE, shutdown_timeout=_SHUTDOWN
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def close(self) -> None:
        """Stop listening and end what is under way."""
        await self.pages.device.device.close()
        if self._runner:
            await self._runner.cleanup()
