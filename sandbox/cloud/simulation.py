"""The simulated cloud as one object: the world, the services in front of it, and what tests hold it by."""

from __future__ import annotations

from sandbox.cloud.arm.service import Arm
from sandbox.cloud.clock import Clock
from sandbox.cloud.devops.service import HOSTS, DevOpsHost
from sandbox.cloud.entra.service import Entra
from sandbox.cloud.entra.state import EntraState
from sandbox.cloud.faults import Faults
from sandbox.cloud.journal import Journal
from sandbox.cloud.transport.server import RequestPipeline, Service
from sandbox.cloud.world.load import build
from sandbox.cloud.world.schema import WorldFile
from sandbox.cloud.world.world import World

__all__ = ["Simulation"]


class Simulation:
    """A running cloud, without its sockets.

    Args:
        spec: the world to begin with, and to return to at a reset.
        clock: its clock.
        journal_bound: how many requests the journal remembers.
    """

    def __init__(self, spec: WorldFile, clock: Clock, journal_bound: int = 100_000) -> None:
        self.spec = spec
        self.clock = clock
        self.world = build(spec, clock)
        self.journal = Journal(journal_bound)
        self.faults = Faults()
        self.entra = EntraState()
        self.arm = Arm(self.entra, self.current_world)
        self.authority = Entra(self.entra, self.current_world)
        self.pipeline = RequestPipeline(self.journal, self.faults, self._run_due, clock.wall, self._identify)

    @property
    def services(self) -> dict[str, Service]:
        """The simulated services by name."""
        hosts: dict[str, Service] = {name: DevOpsHost(name, self.entra, self.current_world) for name in HOSTS}
        return {"arm": self.arm, "authority": self.authority, **hosts}

    def set_addresses(self, addresses: dict[str, str]) -> None:
        """Tell the services where they are reached: a token may be asked for by Resource Manager's own address."""
        self.entra.arm_resources = {addresses["arm"], addresses["arm"].replace("localhost", "127.0.0.1")}

    def current_world(self) -> World:
        """The world of this moment; a reset replaces it."""
        return self.world

    def _run_due(self) -> float:
        return self.world.run_due()

    def _identify(self, header: str | None) -> str | None:
        token = self.entra.access_tokens.bearer(header)
        return None if token is None else token.principal.name

    def reset(self) -> None:
        """Begin again: the world as its file says, real time, no faults, an empty journal, no tokens.

        Registered issuers and the signing key stay: others hold on to them.
        """
        self.clock.reset()
        self.world = build(self.spec, self.clock)
        self.faults.remove()
        self.journal.clear()
        self.entra.reset()
        self.arm.reset()
