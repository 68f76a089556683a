"""A cloud whose Entra ID is simulated and whose other services answer from a recording."""

from __future__ import annotations

from typing import Final

from sandbox.cloud.clock import Clock
from sandbox.cloud.devops.service import HOSTS
from sandbox.cloud.replay.fixtures import Recording
from sandbox.cloud.replay.service import ReplayedService, Tags
from sandbox.cloud.simulation import Simulation
from sandbox.cloud.transport.server import Service
from sandbox.cloud.world.schema import WorldFile

__all__ = ["REPLAY_CLIENT_ID", "REPLAY_CLIENT_SECRET", "ReplayedCloud"]

REPLAY_CLIENT_ID: Final = "55555555-5555-5555-5555-555555555555"
REPLAY_CLIENT_SECRET: Final = "sandbox-secret"


def _world(recording: Recording) -> WorldFile:
    """Return a world with the tenant of the recording, its subscription and one application."""
    summary = recording.summary
    return WorldFile.parse(
        {
            "tenants": [{"id": summary.tenant, "name": "Recorded", "domain": "recorded.example"}],
            "subscriptions": [{"id": summary.subscription, "name": "Recorded", "tenant": "recorded.example"}],
            "applications": [
                {
                    "name": "replay",
                    "clientId": REPLAY_CLIENT_ID,
                    "tenant": "recorded.example",
                    "secrets": [{"value": REPLAY_CLIENT_SECRET}],
                    "federatedCredentials": [
                        {"subject": "system:serviceaccount:defender-devops:defender-devops-operator"}
                    ],
                }
            ],
        }
    )


class ReplayedCloud(Simulation):
    """A cloud that answers from a recording.

    Args:
        recording: what Resource Manager and Azure DevOps answer.
        clock: time of Entra ID.
        journal_bound: how many requests the journal remembers.
    """

    def __init__(self, recording: Recording, clock: Clock, journal_bound: int = 100_000) -> None:
        super().__init__(_world(recording), clock, journal_bound)
        self._tags = Tags()
        self._replayed: dict[str, Service] = {
            name: ReplayedService(name, recording, self.entra, lambda: self.addresses, self._tags)
            for name in ("arm", *HOSTS)
        }

    @property
    def services(self) -> dict[str, Service]:
        """The services by name: recorded ones, and Entra ID."""
        return {**self._replayed, "authority": self.authority}

    def reset(self) -> None:
        """Restore the initial state: no tags, tokens, faults and journal."""
        super().reset()
        self._tags.by_connector.clear()
