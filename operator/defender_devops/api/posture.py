"""What Defender for Cloud has found in an Azure DevOps organization: words and numbers, shared by all layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

__all__ = ["Category", "PostureCounts", "Severity"]


class Severity(StrEnum):
    """Severity of a recommendation."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    OTHER = "other"
    """None, or one that this version does not know."""


class Category(StrEnum):
    """Kind of finding that a recommendation is about."""

    SECRETS = "secrets"
    CODE = "code"
    DEPENDENCIES = "dependencies"
    INFRASTRUCTURE_AS_CODE = "infrastructureAsCode"
    API = "api"
    CONFIGURATION = "configuration"
    """Posture of the organization, its projects and pipelines: these recommendations have no category."""

    OTHER = "other"
    """A category that this version does not know."""


@dataclass(frozen=True, slots=True)
class PostureCounts:
    """Recommendations of one organization.

    Equal numbers are equal, whenever one of the recommendations last changed.

    Attributes:
        unhealthy: recommendations to act on, by severity and category; a pair without any is absent.
        healthy: recommendations that are fulfilled.
        not_applicable: recommendations that do not apply.
        other_status: recommendations whose status this version does not know.
        affected_repositories: repositories with a recommendation to act on.
        latest_change: when one of the recommendations was first evaluated or last changed its status; None where none
            has a time.
    """

    unhealthy: Mapping[tuple[Severity, Category], int] = field(default_factory=dict)
    healthy: int = 0
    not_applicable: int = 0
    other_status: int = 0
    affected_repositories: int = 0
    latest_change: datetime | None = field(default=None, compare=False)

    @property
    def total(self) -> int:
        """All recommendations, whatever their status."""
        return sum(self.unhealthy.values()) + self.healthy + self.not_applicable + self.other_status
