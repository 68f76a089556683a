"""The web server of the sign-in pages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from aiohttp import web

from defender_devops.listening import start_site
from defender_devops.signin.pages.callback import CallbackPages
from defender_devops.signin.pages.connector_pages import ConnectorPages
from defender_devops.signin.pages.device_pages import DevicePages
from defender_devops.signin.pages.middleware import Limits, protection_middleware, security_headers
from defender_devops.signin.pages.rate_limit import RateLimit
from defender_devops.signin.pages.rejections import Rejections, sign_in_connection_logger
from defender_devops.signin.pages.rendering import STATIC, static_files
from defender_devops.signin.pages.result_pages import ResultPages
from defender_devops.supervision import OnFailure

__all__ = ["Pages", "SignInServer", "sign_in_application"]

_BODY_MAX_BYTES: Final = 32 * 1024  # twice the longest code
_KEEP_ALIVE_SECONDS: Final = 15.0
_SHUTDOWN_SECONDS: Final = 5.0  # for requests in progress


@dataclass(frozen=True)
class Pages:
    """Handlers of all pages."""

    connector: ConnectorPages
    device: DevicePages
    result: ResultPages
    callback: CallbackPages


def sign_in_application(
    pages: Pages,
    rejections: Rejections | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    *,
    on_failure: OnFailure = lambda _: None,
) -> web.Application:
    """Return the application with all routes, behind the middleware.

    Args:
        pages: handlers.
        rejections: notes rejected requests.
        monotonic: clock of the rate limits, in seconds.
        on_failure: counts an unexpected exception of a page.
    """
    addresses, browser = pages.connector.context.addresses, pages.connector.browser
    path = addresses.path
    # By client address, which behind an ingress is the ingress's own: enough for a team, too little to overload us.
    limits = Limits(
        read=RateLimit(burst=60, per_second=10, all_burst=300, all_per_second=100, monotonic=monotonic),
        write=RateLimit(burst=40, per_second=2, all_burst=100, all_per_second=10, monotonic=monotonic),
    )
    middleware = protection_middleware(addresses, limits, rejections or Rejections(), on_failure)
    app = web.Application(middlewares=[middleware], client_max_size=_BODY_MAX_BYTES)
    page = f"{path}/connectors/{{uid:[0-9a-fA-F-]{{1,64}}}}/{{signature:[A-Za-z0-9_-]{{1,64}}}}"
    app.router.add_get(page, pages.connector.show)
    app.router.add_post(f"{page}/sign-in", pages.connector.sign_in)
    app.router.add_get(f"{page}/result", pages.result.show)
    app.router.add_get(f"{page}/device", pages.device.show)
    app.router.add_post(f"{page}/device", pages.device.start)
    app.router.add_get(f"{page}/code", pages.connector.code_accepted)
    app.router.add_post(f"{page}/code", pages.connector.accept_code)
    app.router.add_get(f"{path}/callback", pages.callback.get)
    app.router.add_post(f"{path}/callback", pages.callback.post)
    for name in STATIC:
        app.router.add_get(f"{path}/{name}", partial(_static, name))
    app.on_response_prepare.append(security_headers(browser.refresher.authority_host, is_https=addresses.is_https))
    return app


async def _static(name: str, _: web.Request) -> web.Response:
    return web.Response(text=static_files(name), content_type=STATIC[name], charset="utf-8")


@dataclass
class SignInServer:
    """Serves the pages until closed. There is no access log: it would record the addresses of callbacks and pages.

    Attributes:
        pages: handlers.
        host: address to listen on; `::` for all of IPv4 and IPv6.
        port: port to listen on; 0 chooses a free one.
        rejections: notes rejected requests.
        on_failure: counts an unexpected exception of a page.
    """

    pages: Pages
    host: str
    port: int
    rejections: Rejections = field(default_factory=Rejections)
    on_failure: OnFailure = lambda _: None
    _runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Start listening.

        Returns:
            The port.
        """
        self._runner = web.AppRunner(
            sign_in_application(self.pages, self.rejections, on_failure=self.on_failure),
            logger=sign_in_connection_logger(self.rejections, self.on_failure),
            access_log=None,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        await self._runner.setup()
        return await start_site(self._runner, self.host, self.port)

    async def close(self) -> None:
        """Stop listening, and cancel device sign-ins in progress."""
        await self.pages.device.sign_ins.close()
        if self._runner:
            await self._runner.cleanup()
