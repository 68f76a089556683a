"""State of Defender for Cloud: connectors, their DevOps configuration, onboarded organizations, operations, codes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "SUCCEEDED_MESSAGE",
    "Authorization",
    "Configuration",
    "Connector",
    "LegacyCode",
    "OnboardedOrganization",
    "OnboardedProject",
    "Operation",
]


SUCCEEDED_MESSAGE = "Resource creation successful."
"""provisioningStatusMessage of a successful configuration, also after changes."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """Defender's own access to Azure DevOps, in the name of an account.

    Attributes:
        granted_at: wall time.
    """

    account_id: str
    granted_at: float


@dataclass(slots=True)
class LegacyCode:
    """A one-time code of the legacy Azure DevOps OAuth service, stored by its SHA-256 only.

    Attributes:
        issued_at: wall time.
        redeemed: number of attempts to redeem it.
    """

    account_id: str
    issued_at: float
    redeemed: int = 0


@dataclass(slots=True)
class OnboardedProject:
    """A project that discovery has reported or will report.

    Attributes:
        appears: inner time at which it is reported.
        scanned_positions: number of repository positions at the last scan.
        rescan: inner time and positions of a later scan whose result is not reported yet.
        remediation: pull request annotations set on the project itself; None inherits.
        repositories: the same for single repositories, by name in lower case.
    """

    name: str
    project_id: str
    appears: float
    scanned_positions: int
    rescan: tuple[float, int] | None = None
    remediation: dict[str, Any] | None = None
    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)

    def positions(self, now: float) -> int:
        """Return how many repository positions discovery has reported by now."""
        if self.rescan is not None and self.rescan[0] <= now:
            self.scanned_positions, self.rescan = self.rescan[1], None
        return self.scanned_positions


@dataclass(slots=True)
class OnboardedOrganization:
    """An organization onboarded by a connector; times are inner times."""

    name: str
    onboarded_at: float
    updated_at: float
    provisioning_state: str = "Succeeded"
    status_message: str = "OK"
    annotations_default: str = "Disabled"
    remediation: dict[str, Any] | None = None
    projects: dict[str, OnboardedProject] = field(default_factory=dict)
    recount: tuple[float, float] = (0.0, 0.0)
    """Start and end of a run during which only half of the projects are reported."""

    def discovered(self, now: float) -> list[OnboardedProject]:
        """Return the projects that discovery has reported by now, in that order."""
        projects = [project for project in self.projects.values() if project.appears <= now]
        return projects[::2] if self.recount[0] <= now < self.recount[1] else projects


@dataclass(slots=True)
class Configuration:
    """`devops/default` of a connector.

    Attributes:
        id: in the spelling of the request that created it.
        inventory: selected organizations by name; None for all.
        authorization: None until a code was exchanged.
        created_at: inner time; discovery runs every eight hours from there.
        next_slot: inner time before which no further project is reported.
    """

    id: str
    created_at: float
    auto_discovery: str = "Disabled"
    inventory: list[str] | None = None
    agentless: dict[str, Any] | None = None
    provisioning_state: str = "Pending"
    status_message: str | None = None
    authorization: Authorization | None = None
    organizations: dict[str, OnboardedOrganization] = field(default_factory=dict)
    next_slot: float = 0.0


@dataclass(slots=True)
class Connector:
    """A security connector. Times are inner times."""

    subscription_id: str
    resource_group: str
    name: str
    location: str
    properties: dict[str, Any]
    created_by: str
    created_by_type: str
    created_at: float
    modified_by: str
    modified_by_type: str
    modified_at: float
    tags: dict[str, str] = field(default_factory=dict)
    configuration: Configuration | None = None

    @property
    def id(self) -> str:
        """Resource id as the service spells it: `resourcegroups` and the group in lower case."""
        return (
            f"/subscriptions/{self.subscription_id}/resourcegroups/{self.resource_group.lower()}"
            f"/providers/Microsoft.Security/securityConnectors/{self.name}"
        )

    @property
    def key(self) -> str:
        """The id in lower case."""
        return self.id.lower()


@dataclass(slots=True)
class Operation:
    """A long-running operation; `status` is Accepted until it ends.

    Attributes:
        id: resource id in the spelling of the request, without the signed parameters.
        started_at: inner time.
        ends_at: inner time; infinity for one that never ends.
    """

    id: str
    name: str
    api_version: str
    started_at: float
    ends_at: float = math.inf
    ended_at: float | None = None
    status: str = "Accepted"
    error: dict[str, str] | None = None
