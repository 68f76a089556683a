"""The sockets of the operator's web servers: one for IPv4 and IPv6 together, so that every cluster reaches them."""

from __future__ import annotations

import errno
import socket
from typing import Final

from aiohttp import web

__all__ = ["ALL_ADDRESSES", "start_site"]

ALL_ADDRESSES: Final = "::"
"""Listens for IPv4 and IPv6; for IPv4 alone on a machine without IPv6."""

_BACKLOG: Final = 128
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


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
