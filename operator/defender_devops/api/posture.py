"""What Defender for Cloud has found in an Azure DevOps organization: words and numbers, shared by all layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from defender_devops.api.schema.model import ApiModel, Count, Text, Timestamp

__all__ = [
    "Category",
    "CategoryCounts",
    "CategoryCoverage",
    "Coverage",
    "PostureCounts",
    "PostureStatus",
    "RecommendationCounts",
    "Severity",
]


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

    @property
    def is_understood(self) -> bool:
        """Whether the status of at least one recommendation is known: otherwise no number follows from them."""
        return self.total > self.other_status


class Coverage(StrEnum):
    """Whether something looks for findings of a category."""

    SCANNED = "Scanned"
    PARTIAL = "Partial"
    NOT_SCANNED = "NotScanned"
    """Reserved: nothing that Azure shows proves that nothing scans, so this version never reports it."""

    UNKNOWN = "Unknown"


class RecommendationCounts(ApiModel):
    """Open recommendations by severity."""

    critical: Count
    """Recommendations of severity Critical."""

    high: Count
    """Recommendations of severity High."""

    medium: Count
    """Recommendations of severity Medium."""

    low: Count
    """Recommendations of severity Low."""

    other: Count
    """Recommendations without a severity, or with one that this version does not know."""


class CategoryCounts(ApiModel):
    """Open recommendations by category. A category that nothing is known to scan is absent, never zero."""

    secrets: Count | None = None
    """Secrets in code."""

    code: Count | None = None
    """Vulnerabilities of the organization's own code."""

    dependencies: Count | None = None
    """Vulnerabilities of packages that the code uses."""

    infrastructure_as_code: Count | None = None
    """Misconfigurations in infrastructure as code."""

    api: Count | None = None
    """Vulnerabilities of APIs."""

    configuration: Count | None = None
    """Settings of organizations, projects, repositories and pipelines that Azure DevOps should have."""

    other: Count | None = None
    """Recommendations of a category that this version does not know; absent without any."""


_CoverageText = Annotated[Text, Field(max_length=32)]


class CategoryCoverage(ApiModel):
    """Whether something looks for findings, by category: Scanned, Partial or Unknown; NotScanned is reserved."""

    secrets: _CoverageText | None = None
    """For secrets in code, which only GitHub Advanced Security for Azure DevOps finds."""

    code: _CoverageText | None = None
    """For vulnerabilities of the organization's own code."""

    dependencies: _CoverageText | None = None
    """For vulnerabilities of packages that the code uses."""

    infrastructure_as_code: _CoverageText | None = None
    """For misconfigurations in infrastructure as code."""

    api: _CoverageText | None = None
    """For vulnerabilities of APIs, which only tools in pipelines find."""

    configuration: _CoverageText | None = None
    """For settings of Azure DevOps, which Defender for Cloud checks in every onboarded organization."""


class PostureStatus(ApiModel):
    """What Defender for Cloud has found.

    It changes only with the numbers, and keeps the last ones where newer ones could not be read.
    """

    findings: Annotated[Text, Field(max_length=64)] | None = None
    """The numbers by severity in short, such as `2C 14H`, for `kubectl get`; nothing decides by it."""

    recommendations: RecommendationCounts | None = None
    """Open (unhealthy) recommendations by severity; absent where no result has arrived yet."""

    categories: CategoryCounts | None = None
    """The same recommendations by category."""

    affected_repositories: Count | None = None
    """Repositories with at least one open recommendation."""

    coverage: CategoryCoverage | None = None
    """Whether something looks for findings of each category: Scanned, Partial (in some repositories), or Unknown;
    NotScanned is reserved, as nothing that Azure shows proves it. Only Scanned makes zero findings a result."""

    changed_at: Timestamp | None = None
    """When one of the numbers last changed."""

    results_expected_since: Timestamp | None = None
    """Of an organization without results: since when it has been onboarded and has repositories."""
