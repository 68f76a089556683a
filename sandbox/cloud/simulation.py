"""The simulated cloud as one object: the world, the services, and the hooks for tests."""

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
        spec: the initial world, restored by a reset.
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
        self.addresses: dict[str, str] = {}
        self.arm = Arm(self.entra, self.current_world)
        self.authority = Entra(self.entra, self.current_world)
        self.pipeline = RequestPipeline(
            self.journal, self.faults, self._run_due, clock.wall, self._identify, lambda: self.world.variants
        )

    @property
    def services(self) -> dict[str, Service]:
        """The simulated services by name."""
        hosts: dict[str, Service] = {
            name: DevOpsHost(name, self.entra, self.current_world, self.addresses) for name in HOSTS
        }
        return {"arm": self.arm, "authority": self.authority, **hosts}

    def set_addresses(self, addresses: dict[str, str]) -> None:
        """Set the URLs of the services: a client may request a token for Resource Manager's own URL."""
        self.entra.authority = addresses.get("authority", self.entra.authority)
        self.addresses.update(addresses)
        self.entra.arm_resources = {addresses["arm"], addresses["arm"].replace("localhost", "127.0.0.1")}

    def current_world(self) -> World:
        """Return the current world; a reset replaces it."""
        return self.world

    def _run_due(self) -> float:
        return self.world.run_due()

    def _identify(self, header: str | None) -> str | None:
        token = self.entra.access_tokens.bearer(header)
        return None if token is None else token.principal.name

    def reset(self) -> None:
        """Restore the initial state: the world of the file, real time, no faults, an empty journal, no tokens.

        Registered issuers and the signing key are kept, because clients outside have cached them.
        """
        self.clock.reset()
        self.world = build(self.spec, self.clock)
        self.faults.remove()
        self.journal.clear()
        self.entra.reset()
        self.arm.reset()
