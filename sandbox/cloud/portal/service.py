"""The portal: plays the human's part in a browser."""

from __future__ import annotations

from sandbox.cloud.simulation import Simulation
from sandbox.cloud.transport.message import Reply, Request

__all__ = ["Portal"]


class Portal:
    """The page at `/portal`."""

    name = "portal"

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def handle(self, request: Request) -> Reply:
        """Answer a request."""
        del request
        return Reply(404)
