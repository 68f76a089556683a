"""What connectors looked like a while ago, for readers that are behind: Resource Graph, and a GET just after a write.

Nothing is kept while no reader is behind. Otherwise each change of a connector leaves a copy of what it became.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import replace

from sandbox.cloud.defender.model import Connector

__all__ = ["ConnectorHistory"]


class ConnectorHistory:
    """Copies of connectors by the inner time at which they came to be so."""

    def __init__(self) -> None:
        self._copies: dict[str, list[tuple[float, Connector | None]]] = {}
        self._keep = 0.0

    def keep(self, connectors: dict[str, Connector], seconds: float) -> None:
        """Remember `seconds` of inner time from now on; 0 remembers nothing."""
        if seconds and not self._keep:
            self._copies = {key: [(-math.inf, freeze(connector))] for key, connector in connectors.items()}
        if not seconds:
            self._copies = {}
        self._keep = seconds

    def note(self, key: str, connector: Connector | None, now: float) -> None:
        """A connector has changed, or is gone."""
        if not self._keep:
            return
        copies = self._copies.setdefault(key, [])
        copies.append((now, None if connector is None else freeze(connector)))
        needed = bisect_right(copies, now - self._keep, key=lambda copy: copy[0]) - 1
        if needed > 0:
            del copies[:needed]

    def at(self, key: str, moment: float) -> Connector | None:
        """What a connector was at a moment; None if it was not there."""
        copies = self._copies.get(key, [])
        position = bisect_right(copies, moment, key=lambda copy: copy[0]) - 1
        return copies[position][1] if position >= 0 else None

    def keys(self) -> set[str]:
        """Every connector that something is remembered of."""
        return set(self._copies)


def freeze(connector: Connector) -> Connector:
    """A copy that later changes do not reach."""
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
