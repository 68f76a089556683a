"""Whether something looks for findings of each category in an organization, as far as the operator can see.

What finds what (https://learn.microsoft.com/azure/defender-for-cloud/devops-support): the connector alone checks the
configuration of Azure DevOps; agentless scanning, which needs the plan Defender CSPM, finds vulnerabilities in code,
infrastructure as code and dependencies; GitHub Advanced Security for Azure DevOps alone finds secrets; tools in
pipelines find code, infrastructure as code and APIs. The operator sees neither Advanced Security nor pipelines: where
only these could look, the coverage is Unknown. A finding proves that something looked, at least in a part. Nothing
proves that nothing looks (no resource of Defender for Cloud shows a scan), so `Coverage.NOT_SCANNED` has no producer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from defender_devops.api.azure_types import AgentlessConfiguration, AutoDiscovery
from defender_devops.api.connector import Mode
from defender_devops.api.posture import Category, Coverage, PostureCounts
from defender_devops.reconcile.facts.assessment import Assessment

__all__ = [
    "SCANNABLE",
    "combined_coverage",
    "depends_on_cspm_plan",
    "features_with_cspm_plan",
    "organization_coverage",
]

SCANNABLE: Final[tuple[Category, ...]] = tuple(category for category in Category if category is not Category.OTHER)
"""Categories that have a coverage: all except those that this version does not know."""

_AGENTLESS_SCANNERS: Final[Mapping[Category, frozenset[str]]] = {
    Category.CODE: frozenset({"bandit", "eslint"}),
    Category.INFRASTRUCTURE_AS_CODE: frozenset({"checkov", "templateanalyzer"}),
    Category.DEPENDENCIES: frozenset({"trivy"}),
}
"""Scanners of agentless scanning by what they find
(https://learn.microsoft.com/azure/defender-for-cloud/agentless-code-scanning)."""


def features_with_cspm_plan(assessment: Assessment) -> tuple[str, ...]:
    """Return the features that the spec enables and that need the plan Defender CSPM, as nouns."""
    spec = assessment.connector.spec
    annotations = (
        spec.pull_request_annotations,
        *(resource.spec.pull_request_annotations for resource in assessment.overrides.values()),
    )
    features = []
    if any(setting is not None and setting.mode is Mode.ENABLED for setting in annotations):
        features.append("pull request annotations")
    if spec.agentless_scanning is not None and spec.agentless_scanning.mode is Mode.ENABLED:
        features.append("agentless scanning")
    return tuple(features)


def depends_on_cspm_plan(assessment: Assessment) -> bool:
    """Whether the plan Defender CSPM changes anything: a feature needs it that is enabled in the spec or in Azure."""
    configuration = assessment.azure.configuration
    agentless = configuration.agentless if configuration is not None else None
    return bool(features_with_cspm_plan(assessment)) or (agentless is not None and agentless.enabled)


def organization_coverage(
    organization: str,
    counts: PostureCounts | None,
    agentless: AgentlessConfiguration | None,
    *,
    has_cspm_plan: bool | None,
) -> dict[Category, Coverage]:
    """Return the coverage of an onboarded organization by category.

    Args:
        organization: its name.
        counts: its recommendations; None without any row.
        agentless: agentless scanning of the connector as Azure has it; None if Azure returns none.
        has_cspm_plan: whether the subscription has the plan Defender CSPM; None if unknown.
    """
    coverage: dict[Category, Coverage] = dict.fromkeys(SCANNABLE, Coverage.UNKNOWN)
    if agentless is not None and agentless.enabled and has_cspm_plan:
        scope = _agentless_scope(organization.lower(), agentless)
        enabled_scanners = {scanner.lower().replace("-", "").replace("_", "") for scanner in agentless.scanners}
        coverage |= {
            category: scope
            for category, scanners in _AGENTLESS_SCANNERS.items()
            if not enabled_scanners or not enabled_scanners.isdisjoint(scanners)
        }
    if counts is not None:
        coverage[Category.CONFIGURATION] = Coverage.SCANNED
        for _, category in counts.unhealthy:
            if coverage.get(category) is Coverage.UNKNOWN:
                coverage[category] = Coverage.PARTIAL
    return coverage


def combined_coverage(coverages: Iterable[Coverage]) -> Coverage:
    """Return the coverage of several organizations together: Partial where they differ and something is scanned."""
    values = set(coverages)
    if len(values) == 1:
        return values.pop()
    return Coverage.PARTIAL if values & {Coverage.SCANNED, Coverage.PARTIAL} else Coverage.UNKNOWN


def _agentless_scope(organization: str, agentless: AgentlessConfiguration) -> Coverage:
    """Return how much of an organization agentless scanning covers; Unknown for nothing, as pipelines may scan it.

    Args:
        organization: its name in lower case.
        agentless: its list is ignored by Azure while auto-discovery is enabled.
    """
    is_inclusion = agentless.inventory_list_type.lower() == "inclusion"
    if agentless.auto_discovery == AutoDiscovery.ENABLED:
        return Coverage.SCANNED
    scopes = {item.value.lower() for item in agentless.inventory}
    is_listed = organization in scopes
    is_partly_listed = any(scope.startswith(f"{organization}/") for scope in scopes)
    if is_listed:
        return Coverage.SCANNED if is_inclusion else Coverage.UNKNOWN
    if is_partly_listed:
        return Coverage.PARTIAL
    return Coverage.UNKNOWN if is_inclusion else Coverage.SCANNED
