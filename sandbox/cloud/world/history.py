"""Earlier states of connectors, for lagging readers: Resource Graph, and a GET right after a write.

Nothing is stored while no lag is configured. Otherwise each change of a connector stores a copy.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import replace

from sandbox.cloud.defender.model import Connector

__all__ = ["ConnectorHistory"]


class ConnectorHistory:
    """Copies of connectors by inner time of the change."""

    def __init__(self) -> None:
        self._copies: dict[str, list[tuple[float, Connector | None]]] = {}
        self._keep = 0.0

    def keep(self, connectors: dict[str, Connector], seconds: float) -> None:
        """Keep `seconds` of inner time from now on; 0 keeps nothing."""
        if seconds and not self._keep:
            self._copies = {key: [(-math.inf, freeze(connector))] for key, connector in connectors.items()}
        if not seconds:
            self._copies = {}
        self._keep = seconds

    def note(self, key: str, connector: Connector | None, now: float) -> None:
        """Store the state after a change or deletion."""
        if not self._keep:
            return
        copies = self._copies.setdefault(key, [])
        copies.append((now, None if connector is None else freeze(connector)))
        # The last copy older than the retention is still needed: it is the state at that time.
        needed = bisect_right(copies, now - self._keep, key=lambda copy: copy[0]) - 1
        if needed > 0:
            del copies[:needed]

    def at(self, key: str, moment: float) -> Connector | None:
        """Return a connector as it was at a moment; None if it did not exist."""
        copies = self._copies.get(key, [])
        position = bisect_right(copies, moment, key=lambda copy: copy[0]) - 1
        return copies[position][1] if position >= 0 else None

    def keys(self) -> set[str]:
        """Return the keys of all stored connectors."""
        return set(self._copies)


def freeze(connector: Connector) -> Connector:
    """Return a copy that is independent of later changes."""
    configuration = connector.configuration
    if configuration is not None:
        organizations = {}
        for key, organization in configuration.organizations.items():
            projects = {
                name: replace(project, repositories=dict(project.repositories))
                for name, project in organization.projects.items()
            }
            organizations[key] = replace(organization, projects=projects)
        configuration = replace(configuration, organizations=organizations)
    return replace(
        connector, properties=dict(connector.properties), tags=dict(connector.tags), configuration=configuration
    )
