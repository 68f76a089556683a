"""Free ports on the loopback interface."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

__all__ = ["free_ports"]

_RANGE = range(20000, 32000)
"""Below the ephemeral ports of Linux (from 32768) and macOS (from 49152)."""


def free_ports(count: int) -> list[int]:
    """Return different ports that are free now.

    Another process may still bind one first; the program then ends with "address already in use", and the caller can
    retry with other ports.
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
