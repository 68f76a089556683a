"""The world: everything that exists, and the clock it exists in."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from sandbox.cloud.clock import Clock
from sandbox.cloud.defender.model import Connector, LegacyCode, Operation
from sandbox.cloud.world.azure import RoleAssignment, Subscription
from sandbox.cloud.world.devops import Member, Organization
from sandbox.cloud.world.directory import Directory
from sandbox.cloud.world.history import ConnectorHistory
from sandbox.cloud.world.timers import Timers
from sandbox.cloud.world.usage import Usage

__all__ = ["Settings", "World"]


@dataclass(slots=True)
class Settings:
    """What a world may switch; all can be changed while it runs.

    Attributes:
        throttling: whether request budgets are enforced (the headers are always there).
        resource_graph_lag: seconds of inner time by which Resource Graph is behind.
        read_after_write_lag: seconds of inner time during which a GET still gives what was before a write.
        resource_graph_children: whether Resource Graph has rows for what is below a connector.
        access_token_lifetime: seconds.
    """

    throttling: bool = True
    resource_graph_lag: float = 0.0
    read_after_write_lag: float = 0.0
    resource_graph_children: bool = True
    access_token_lifetime: int = 3599


@dataclass(slots=True)
class World:
    """One simulated cloud.

    Attributes:
        organizations, connectors: by name, or id, in lower case.
        claims: connector (key) that holds an organization, by (tenant id, organization in lower case).
        removed: memberships taken away by the control interface, to be given back, by (organization id, object id).
        revoked: wall time at which an account's legacy authorizations were revoked, by object id.
        version: counts changes of rights, so that decisions about them can be kept.
        chance: source of everything that varies, seeded, so that two runs are alike.
    """

    clock: Clock
    settings: Settings = field(default_factory=Settings)
    directory: Directory = field(default_factory=Directory)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    role_assignments: list[RoleAssignment] = field(default_factory=list)
    organizations: dict[str, Organization] = field(default_factory=dict)
    connectors: dict[str, Connector] = field(default_factory=dict)
    claims: dict[tuple[str, str], str] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    codes: dict[str, LegacyCode] = field(default_factory=dict)
    removed: dict[tuple[str, str], Member] = field(default_factory=dict)
    revoked: dict[str, float] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    history: ConnectorHistory = field(default_factory=ConnectorHistory)
    timers: Timers = field(default_factory=Timers)
    rng: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - timings, not secrets
    version: int = 0

    def run_due(self) -> float:
        """Let everything happen that is due, and give the present moment of inner time."""
        now = self.clock.now()
        self.timers.run_due(now)
        return now

    def contains(self, connector: Connector) -> bool:
        """Whether this very connector exists, not one that was made in its place."""
        return self.connectors.get(connector.key) is connector

    def record_change(self, connector_key: str, moment: float) -> None:
        """Note that a connector, or what is below it, has changed, came to be or is gone."""
        self.history.note(connector_key, self.connectors.get(connector_key), moment)

    def update_history_retention(self) -> None:
        """Keep as much of the past as the lags ask for."""
        self.history.keep(self.connectors, max(self.settings.resource_graph_lag, self.settings.read_after_write_lag))

    def connectors_with_lag(self, lag: float) -> dict[str, Connector]:
        """All connectors as a reader sees them that is behind by `lag` seconds of inner time."""
        if not lag:
            return self.connectors
        moment = self.clock.now() - lag
        copies = ((key, self.history.at(key, moment)) for key in sorted(self.history.keys()))
        return {key: connector for key, connector in copies if connector is not None}

    def organization(self, name: str) -> Organization | None:
        """An organization by name."""
        return self.organizations.get(name.lower())

    def subscription(self, identifier: str) -> Subscription | None:
        """A subscription by id."""
        return self.subscriptions.get(identifier.lower())

    def tenant_of(self, connector: Connector) -> str:
        """The tenant of the connector's subscription."""
        return self.subscriptions[connector.subscription_id.lower()].tenant_id

    def assign_role(self, assignment: RoleAssignment) -> None:
        """Give a role; decisions kept from before no longer hold."""
        self.role_assignments.append(assignment)
        self.version += 1

    def unassign_role(self, assignment: RoleAssignment) -> None:
        """Take a role away."""
        self.role_assignments.remove(assignment)
        self.version += 1
