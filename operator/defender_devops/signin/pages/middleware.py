"""Applied to every request to the pages: rate limit, origin check, error pages and security headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from defender_devops.signin.pages.addresses import PageAddresses
from defender_devops.signin.pages.rate_limit import RateLimit
from defender_devops.signin.pages.rejections import Rejections
from defender_devops.signin.pages.rendering import render_page
from defender_devops.supervision import OnFailure

__all__ = ["Limits", "protection_middleware", "security_headers"]

Signal = Callable[[web.Request, web.StreamResponse], Awaitable[None]]

_LOG: Final = structlog.stdlib.get_logger(__name__)
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_SAME_SITE_FETCH: Final = frozenset({"same-origin", "none"})
_HEADINGS: Final = {404: "Page not found", 405: "Method not allowed", 413: "Request too large"}
_REASONS: Final = {404: "not_found", 405: "not_found", 413: "too_large"}


@dataclass(frozen=True)
class Limits:
    """Rate limits by client address.

    Attributes:
        read: of requests that only read.
        write: of requests that write or make the operator call Entra ID.
    """

    read: RateLimit
    write: RateLimit


def protection_middleware(
    addresses: PageAddresses, limits: Limits, rejections: Rejections, on_failure: OnFailure
) -> Middleware:
    """Return a middleware that passes a request on, or responds with a page that says why not."""
    path = addresses.path
    # Entra ID's own page posts to the callback, so from another site. A sealed cookie protects it.
    callback = f"{path}/callback"

    def page(status: int, message: str) -> web.Response:
        heading = _HEADINGS.get(status, "Request failed")
        return render_page("message.html", status, path=path, heading=heading, message=message, is_problem=True)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_write = request.method not in _SAFE_METHODS or request.path == callback
        seconds = (limits.write if is_write else limits.read).acquire(request.remote or "")
        if seconds:
            rejections.count("rate_limited")
            text = "Too many requests. Wait a moment, then load the page again.\n"
            return web.Response(status=429, text=text, headers={hdrs.RETRY_AFTER: str(seconds)})
        if is_write and request.path != callback and _is_foreign(request, addresses.origin):
            rejections.note("foreign_origin")
            return page(403, "Another site sent this request. Open the connector's page and use the button there.")
        try:
            return await handler(request)
        except web.HTTPException as error:
            rejections.note(_REASONS.get(error.status, "malformed"), error.__cause__)
            return page(error.status, "Check the address: it is in status.signIn.url of the connector.")
        except Exception:  # noqa: BLE001 - the boundary: no internals in a response
            _LOG.exception("sign-in page failed", page=_page_name(request))
            on_failure("sign-in page")
            return page(500, "Internal error. Its cause is in the operator's log.")

    return middleware


def _page_name(request: web.Request) -> str:
    """Return the last part of the route. A connector's own page ends in its signature, which is never logged."""
    resource = request.match_info.route.resource
    name = resource.canonical.rpartition("/")[2] if resource is not None else ""
    return "connector" if name == "{signature}" else name


def _is_foreign(request: web.Request, origin: str) -> bool:
    """Whether another site's page sent the request, by what browsers say of its source.

    Browsers send Sec-Fetch-Site (all since 2023) and Origin; the command line sends neither. `Origin: null` alone
    counts as foreign: a sandboxed frame of any site sends it.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in _SAME_SITE_FETCH
    source = request.headers.get(hdrs.ORIGIN)
    return source is not None and source.lower() != origin


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
