"""Applied to every request to the pages: rate limit, origin check, error pages and security headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from defender_devops.signin.pages.rate_limit import RateLimit
from defender_devops.signin.pages.rendering import render

__all__ = ["protect", "security_headers"]

Signal = Callable[[web.Request, web.StreamResponse], Awaitable[None]]

_LOG: Final = structlog.stdlib.get_logger(__name__)
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_SAME_SITE_FETCH: Final = frozenset({"same-origin", "none"})
_HEADINGS: Final = {404: "Page not found", 405: "Method not allowed", 413: "Request too large"}


def protect(path: str, callback: str, read_limit: RateLimit, write_limit: RateLimit) -> Middleware:
    """Return a middleware that passes a request on, or responds with a page that says why it does not.

    Args:
        path: prefix of the pages.
        callback: path to which Entra ID's page posts the authorization response, so from another site.
        read_limit: limit on requests that only read, by client address.
        write_limit: limit on requests that write or make the operator call Entra ID, by client address.
    """

    def page(status: int, message: str) -> web.Response:
        heading = _HEADINGS.get(status, "Request failed")
        return render("message.html", status, path=path, heading=heading, message=message, is_problem=True)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_write = request.method not in _SAFE_METHODS or request.path == callback
        seconds = (write_limit if is_write else read_limit).acquire(request.remote or "")
        if seconds:
            text = "Too many requests. Wait a moment, then load the page again.\n"
            return web.Response(status=429, text=text, headers={hdrs.RETRY_AFTER: str(seconds)})
        is_foreign = request.headers.get("Sec-Fetch-Site", "none") not in _SAME_SITE_FETCH
        if is_write and is_foreign and request.path != callback:
            return page(403, "Another site sent this request. Open the connector's page and use the button there.")
        try:
            return await handler(request)
        except web.HTTPException as error:
            return page(error.status, "Check the address: it is in status.signIn.url of the connector.")
        except Exception:  # noqa: BLE001 - the boundary: no internals in a response
            _LOG.exception("sign-in page failed", page=request.path.split("/")[-1])
            return page(500, "Internal error. Its cause is in the operator's log.")

    return middleware


def security_headers(authority: str, *, is_https: bool) -> Signal:
    """Return a signal handler that adds the security headers to every response.

    Args:
        authority: origin that a form may lead to: Chromium applies form-action to the redirect of a posted form too.
        is_https: whether browsers use TLS.
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
