"""Pull request annotations (`actionableRemediation`): validation, inheritance, defaults."""

from __future__ import annotations

from typing import Any

from sandbox.cloud.arm.security.validation import bad_request, check_choice, check_strings
from sandbox.cloud.defender.model import OnboardedOrganization, OnboardedProject

__all__ = ["default_setting", "normalize", "organization_setting", "project_setting", "repository_setting"]

_CATEGORIES = ("Code", "Artifacts", "Dependencies", "Secrets", "IaC", "Containers")


def default_setting(inherit: str, state: str = "Disabled") -> dict[str, Any]:
    """Return the value that is shown where nothing was configured."""
    return {
        "state": state,
        "categoryConfigurations": [],
        "branchConfiguration": {"branchNames": [], "annotateDefaultBranch": "Enabled"},
        "inheritFromParentState": inherit,
    }


def organization_setting(organization: OnboardedOrganization) -> dict[str, Any]:
    """Return the setting of an organization, which has no parent."""
    return organization.remediation or default_setting("Disabled", organization.annotations_default)


def project_setting(organization: OnboardedOrganization, project: OnboardedProject) -> dict[str, Any]:
    """Return the project's setting, or the one inherited from the organization."""
    return project.remediation or _inherited(organization_setting(organization))


def repository_setting(organization: OnboardedOrganization, project: OnboardedProject, name: str) -> dict[str, Any]:
    """Return the repository's setting, or the one inherited from the project."""
    return project.repositories.get(name.lower()) or _inherited(project_setting(organization, project))


def _inherited(parent: dict[str, Any]) -> dict[str, Any]:
    return {**parent, "inheritFromParentState": "Enabled"}


def normalize(value: object) -> dict[str, Any]:
    """Validate a requested setting and complete it with defaults.

    Raises:
        ArmError: a field is invalid.
    """
    name = "properties.actionableRemediation"
    if not isinstance(value, dict):
        raise bad_request(name, "must be an object")
    check_choice(f"{name}.state", value.get("state"), ("None", "Disabled", "Enabled"))
    inherit = value.get("inheritFromParentState")
    check_choice(f"{name}.inheritFromParentState", inherit, ("Disabled", "Enabled"))
    categories = value.get("categoryConfigurations") or []
    if not isinstance(categories, list) or not all(isinstance(category, dict) for category in categories):
        raise bad_request(f"{name}.categoryConfigurations", "must be a list of objects")
    for category in categories:
        check_choice(f"{name}.categoryConfigurations.category", category.get("category"), _CATEGORIES)
        severity = category.get("minimumSeverityLevel")
        check_choice(f"{name}.categoryConfigurations.minimumSeverityLevel", severity, ("High", "Medium", "Low"))
    branch = value.get("branchConfiguration") or {}
    if not isinstance(branch, dict):
        raise bad_request(f"{name}.branchConfiguration", "must be an object")
    default_branch = branch.get("annotateDefaultBranch")
    check_choice(f"{name}.branchConfiguration.annotateDefaultBranch", default_branch, ("Disabled", "Enabled"))
    names = check_strings(f"{name}.branchConfiguration.branchNames", branch.get("branchNames"))
    return {
        "state": value.get("state") or "None",
        "categoryConfigurations": [
            {"minimumSeverityLevel": category.get("minimumSeverityLevel"), "category": category.get("category")}
            for category in categories
        ],
        "branchConfiguration": {"branchNames": names or [], "annotateDefaultBranch": default_branch or "Enabled"},
        "inheritFromParentState": inherit or "Disabled",
    }
