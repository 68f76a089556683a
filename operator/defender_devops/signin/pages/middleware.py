"""What holds for every request to the pages: its limits, the headers of its answer, and no traceback to anybody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from defender_devops.signin.pages.rate_limit import RateLimit
from defender_devops.signin.pages.rendering import render

__all__ = ["guard", "harden"]

Signal = Callable[[web.Request, web.StreamResponse], Awaitable[None]]

_LOG: Final = structlog.stdlib.get_logger(__name__)
_SAFE: Final = frozenset({"GET", "HEAD"})
_OWN_FETCH: Final = frozenset({"same-origin", "none"})
_HEADINGS: Final = {404: "There is no such page", 405: "That cannot be done here", 413: "That is too much"}


def guard(path: str, callback: str, reading: RateLimit, acting: RateLimit) -> Middleware:
    """A middleware that lets a request through, or answers it with a page that says why not.

    Args:
        path: prefix of the pages.
        callback: path to which Entra ID's own page posts, so from another site.
        reading: limit on pages that are looked at, by address.
        acting: limit on whatever asks Entra ID or writes, by address.
    """

    def page(status: int, message: str) -> web.Response:
        heading = _HEADINGS.get(status, "That did not work")
        return render("message.html", status, path=path, heading=heading, message=message, is_problem=True)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        acts = request.method not in _SAFE or request.path == callback
        seconds = (acting if acts else reading).wait(request.remote or "")
        if seconds:
            text = "Too many requests. Wait a moment, then load the page again.\n"
            return web.Response(status=429, text=text, headers={hdrs.RETRY_AFTER: str(seconds)})
        if acts and request.path != callback and request.headers.get("Sec-Fetch-Site", "none") not in _OWN_FETCH:
            return page(403, "This was sent by another site. Open the connector's page and press the button there.")
        try:
            return await handler(request)
        except web.HTTPException as error:
            return page(error.status, "Check the address: it is in status.signIn.url of the connector.")
        except Exception:  # noqa: BLE001 - the edge: nobody outside may see what went wrong inside
            _LOG.exception("sign-in page failed", page=request.path.split("/")[-1])
            return page(500, "The operator met something that it was not made for. Its log has more.")

    return middleware


def harden(authority: str, *, is_https: bool) -> Signal:
    """A signal that puts the headers onto every answer.

    Args:
        authority: origin that a form may lead to: Chromium checks where the redirect of a posted form ends.
        is_https: whether browsers come over TLS.
    """
    headers = {
        "Content-Security-Policy": (
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
            f"form-action 'self' {authority}"
        ),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "X-Robots-Tag": "noindex",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    }
    if is_https:
        headers["Strict-Transport-Security"] = "max-age=31536000"

    async def signal(_: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(headers)
        response.headers.pop(hdrs.SERVER, None)

    return signal
