"""What the page of a connector shows of Defender for Cloud, from the connector's status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from defender_devops.api.conditions import find_condition
from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.connector_status import DiscoveryStatus, Progress
from defender_devops.api.reasons import ConditionType

__all__ = ["DefenderState", "defender_state"]


@dataclass(frozen=True)
class DefenderState:
    """State of Defender's own authorization, and how far its discovery is.

    Attributes:
        mark: class of the headline's colour.
        headline: one sentence.
        detail: the condition's message where somebody has to act or wait.
        progress: counts of what Defender covers; empty before the first ones.
    """

    mark: Literal["good", "bad", "unknown"]
    headline: str
    detail: str = ""
    progress: str = ""


def defender_state(connector: AzureDevOpsConnector) -> DefenderState:
    """Return the state of the condition Authorized, with the counts of status.discovery."""
    progress = _progress(connector.status.discovery) if connector.status.discovery else ""
    authorized = find_condition(connector.status.conditions, ConditionType.AUTHORIZED)
    if authorized is None:
        return DefenderState("unknown", "Defender's authorization has not been checked yet.", "", progress)
    if authorized.status == "True":
        return DefenderState("good", "Defender's authorization works.", "", progress)
    if authorized.status == "False":
        return DefenderState("bad", "Defender's authorization does not work.", authorized.message, progress)
    return DefenderState("unknown", "Whether Defender's authorization works is unknown.", authorized.message, progress)


def _progress(discovery: DiscoveryStatus) -> str:
    organizations = discovery.organizations
    onboarded = organizations.onboarded if organizations else None
    discovered = [
        f"{_counts(counts)} {name}"
        for name, counts in (("projects", discovery.projects), ("repositories", discovery.repositories))
        if counts and counts.discovered is not None
    ]
    parts = [] if onboarded is None else [f"covers {onboarded} organization{'' if onboarded == 1 else 's'}"]
    parts += [f"has discovered {' and '.join(discovered)}"] if discovered else []
    return f"Defender {' and '.join(parts)}." if parts else ""


def _counts(counts: Progress) -> str:
    return f"{counts.discovered} of {counts.expected}" if counts.expected is not None else f"{counts.discovered}"
