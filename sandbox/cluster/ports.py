"""Free ports of the loopback."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

__all__ = ["free_ports"]

_RANGE = range(20000, 32000)
"""Below the ports that Linux (from 32768) and macOS (from 49152) give to outgoing connections."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different.

    Somebody may still take one before its user does; that user then ends with "address already in use", and a caller
    that minds tries again with others.
    """
    ports: list[int] = []
    with ExitStack() as sockets:
        for port in random.sample(_RANGE, len(_RANGE)):
            if len(ports) == count:
                break
            listener = sockets.enter_context(socket.socket())
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
    if len(ports) < count:
        raise OSError(f"there are no {count} free ports between {_RANGE.start} and {_RANGE.stop} on 127.0.0.1")
    return ports
