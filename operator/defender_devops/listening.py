"""The sockets of the operator's web servers: one for IPv4 and IPv6 together, so that every cluster reaches them."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

__all__ = ["ALL_ADDRESSES", "connection_logger", "start_site"]

ALL_ADDRESSES: Final = "::"
"""Listens for IPv4 and IPv6; for IPv4 alone on a machine without IPv6."""

_BACKLOG: Final = 128
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


def connection_logger(
    on_malformed: Callable[[BaseException], None], on_error: Callable[[logging.LogRecord], None]
) -> logging.Logger:
    """Return the logger for aiohttp's connections.

    aiohttp logs requests that are not HTTP with a traceback and up to 8 kB of their bytes. Everybody who reaches the
    port can send such requests, so they are only noted.

    Args:
        on_malformed: called with the error of a request that is not HTTP, or whose body is not in its encoding; its
            message repeats bytes of the request.
        on_error: called with the record of any other error.
    """

    def note(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            on_malformed(error)
        elif record.levelno >= logging.ERROR:
            on_error(record)
        return False  # everything else, such as early disconnections, is dropped

    logger = logging.Logger(__name__)  # noqa: LOG001 - one for each server: getLogger would share the filter
    logger.addFilter(note)
    return logger


async def start_site(runner: web.AppRunner, host: str, port: int) -> int:
    """Start to serve an application, and return the port.

    Args:
        runner: of the application, set up.
        host: ALL_ADDRESSES, or an address or name.
        port: 0 selects a free one.
    """
    # asyncio makes a socket for `::` that does not accept IPv4.
    is_dual_stack = host == ALL_ADDRESSES
    site = web.SockSite(runner, _dual_stack_socket(port)) if is_dual_stack else web.TCPSite(runner, host, port)
    await site.start()
    address: tuple[str, int] = runner.addresses[0]
    return address[1]


def _dual_stack_socket(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(
                (ALL_ADDRESSES, port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True
            )
        except OSError as error:
            if error.errno not in _NO_IPV6:
                raise
    return socket.create_server(("0.0.0.0", port), backlog=_BACKLOG)  # noqa: S104 - the caller wants all addresses
