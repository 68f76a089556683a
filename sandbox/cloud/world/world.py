"""The world: everything that exists in the simulated cloud, and its clock."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from sandbox.cloud.clock import Clock
from sandbox.cloud.defender.assessments import Assessments
from sandbox.cloud.defender.model import Connector, LegacyCode, Operation
from sandbox.cloud.variants import Variants
from sandbox.cloud.world.azure import RoleAssignment, Subscription
from sandbox.cloud.world.devops import Member, Organization
from sandbox.cloud.world.directory import Directory
from sandbox.cloud.world.history import ConnectorHistory
from sandbox.cloud.world.timers import Timers
from sandbox.cloud.world.usage import Usage

__all__ = ["Settings", "World"]

_DAY = 86_400.0
_GRAPH_LAG = 300.0
_ASSESSMENT_LAG = 3600.0


@dataclass(slots=True)
class Settings:
    """Settings of a world; all can be changed at run time.

    Attributes:
        throttling: whether request budgets are enforced (the headers are always there).
        resource_graph_lag: delay of Resource Graph in seconds of inner time.
        read_after_write_lag: seconds of inner time during which a GET returns the state before a write.
        resource_graph_children: whether Resource Graph has rows for the children of connectors.
        resource_graph_page_size: most rows of a page, to have several pages with few rows.
        assessment_lag: additional delay of assessments in Resource Graph, in seconds of inner time.
        access_token_lifetime: seconds.
        azure_devops_cost_factor: multiplies the throughput units of every call of Azure DevOps.
        azure_devops_page_size: most items on a page of pipelines, builds and branch policies.
    """

    throttling: bool = True
    resource_graph_lag: float = 0.0
    read_after_write_lag: float = 0.0
    resource_graph_children: bool = True
    resource_graph_page_size: int = 1000
    assessment_lag: float = 0.0
    access_token_lifetime: int = 3599
    azure_devops_cost_factor: float = 1.0
    azure_devops_page_size: int = 1000


@dataclass(slots=True)
class World:
    """One simulated cloud.

    Attributes:
        organizations, connectors: by name, or id, in lower case.
        deleted_connectors: those whose rows linger, by key, with the inner time of the deletion.
        claims: key of the connector that has onboarded an organization, by (tenant id, organization in lower case).
        removed: memberships removed by the control interface, for restoring, by (organization id, object id).
        variants: the chosen form of what is inferred.
        revoked: wall time at which an account's legacy authorizations were revoked, by object id.
        version: number of role assignment changes, to invalidate cached access decisions.
        rng: seeded source of randomness, so that runs are reproducible.
    """

    clock: Clock
    settings: Settings = field(default_factory=Settings)
    directory: Directory = field(default_factory=Directory)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    role_assignments: list[RoleAssignment] = field(default_factory=list)
    organizations: dict[str, Organization] = field(default_factory=dict)
    connectors: dict[str, Connector] = field(default_factory=dict)
    claims: dict[tuple[str, str], str] = field(default_factory=dict)
    deleted_connectors: dict[str, tuple[float, Connector]] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    codes: dict[str, LegacyCode] = field(default_factory=dict)
    assessments: Assessments = field(default_factory=Assessments)
    variants: Variants = field(default_factory=Variants)
    removed: dict[tuple[str, str], Member] = field(default_factory=dict)
    revoked: dict[str, float] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    history: ConnectorHistory = field(default_factory=ConnectorHistory)
    timers: Timers = field(default_factory=Timers)
    rng: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - timings, not secrets
    version: int = 0

    def run_due(self) -> float:
        """Run due timers and return the current inner time."""
        now = self.clock.now()
        self.timers.run_due(now)
        return now

    def contains(self, connector: Connector) -> bool:
        """Whether this connector object exists, not a later one with the same id."""
        return self.connectors.get(connector.key) is connector

    def record_change(self, connector_key: str, moment: float) -> None:
        """Record a change of a connector or its children in the history."""
        self.history.note(connector_key, self.connectors.get(connector_key), moment)

    @property
    def graph_lag(self) -> float:
        """Delay of Resource Graph in seconds of inner time."""
        least = _GRAPH_LAG if self.variants.is_chosen("graphLag", "minutes") else 0.0
        return max(self.settings.resource_graph_lag, least)

    @property
    def assessment_lag(self) -> float:
        """Additional delay of assessments in Resource Graph, in seconds of inner time."""
        least = _ASSESSMENT_LAG if self.variants.is_chosen("assessmentDelay", "hour") else 0.0
        return max(self.settings.assessment_lag, least)

    def update_history_retention(self) -> None:
        """Set the retention of the history to the longest lag."""
        self.history.keep(self.connectors, max(self.graph_lag, self.settings.read_after_write_lag))

    def connectors_with_lag(self, lag: float) -> dict[str, Connector]:
        """Return all connectors as they were `lag` seconds of inner time ago."""
        # The common case, without copies.
        if not lag:
            return self.connectors
        moment = self.clock.now() - lag
        copies = ((key, self.history.at(key, moment)) for key in sorted(self.history.keys()))
        return {key: connector for key, connector in copies if connector is not None}

    def lingering_connectors(self) -> list[Connector]:
        """Return the deleted connectors that still have rows in Resource Graph."""
        now = self.clock.now()
        return [connector for deleted_at, connector in self.deleted_connectors.values() if now < deleted_at + _DAY]

    def organization(self, name: str) -> Organization | None:
        """Return an organization by name."""
        return self.organizations.get(name.lower())

    def subscription(self, identifier: str) -> Subscription | None:
        """Return a subscription by id."""
        return self.subscriptions.get(identifier.lower())

    def tenant_of(self, connector: Connector) -> str:
        """Return the tenant of the connector's subscription."""
        return self.subscriptions[connector.subscription_id.lower()].tenant_id

    def assign_role(self, assignment: RoleAssignment) -> None:
        """Add a role assignment; invalidates cached access decisions."""
        self.role_assignments.append(assignment)
        self.version += 1

    def unassign_role(self, assignment: RoleAssignment) -> None:
        """Remove a role assignment."""
        self.role_assignments.remove(assignment)
        self.version += 1
