"""The form of an assessment in Azure's answers; the variants of the world choose between plausible ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from sandbox.cloud.defender.assessments import EVIDENCE, Result
from sandbox.cloud.defender.model import Connector
from sandbox.cloud.variants import Variants

__all__ = ["AssessmentShape"]

_DETAILS = {"upperCase": ("Source", "Id", "ResourceName"), "lowerCase": ("source", "id", "resourceName")}
_MOST_STATUSES = 4096
"""Shared status objects: findings that arrive one by one have one each."""

_UNFAMILIAR_STATUS = "OffByPolicy"
_UNFAMILIAR_SEVERITY = "Severe"
_UNFAMILIAR_CATEGORY = "LicenseViolations"


class AssessmentShape:
    """Builds ids and properties.

    Args:
        variants: choices of the world.
        stamp: inner time as text.
        with_category: whether `recommendationCategory` exists: Resource Manager's description does not have it.
    """

    def __init__(self, variants: Variants, stamp: Callable[[float], str], *, with_category: bool = True) -> None:
        ids = variants["assessmentIds"]
        self._encodes = ids in ("percentEncoded", "lowerCasePercentEncoded")
        self._is_lower = ids in ("lowerCase", "lowerCasePercentEncoded")
        suffix = "/providers/Microsoft.Security/assessments/"
        self._suffix = suffix.lower() if self._is_lower else suffix
        self._details = _DETAILS.get(variants["assessmentResourceDetails"])
        self._resource = variants["assessmentResource"]
        self._service_connection = variants["serviceConnectionAssessments"]
        self._category = variants["assessmentCategory"]
        self._posture_category = variants["postureCategory"]
        self._severity = variants["assessmentSeverity"]
        self._status = variants["assessmentStatus"]
        self._with_category = with_category
        self._stamp = stamp
        # Rows share what they have in common: a dictionary for each of them would be most of the time of a query.
        self._metadata: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._statuses: dict[tuple[str, str, float, float], dict[str, str]] = {}

    def organization_id(self, connector: Connector, organization: str) -> str:
        """Return the id of an organization of a connector, with which `resource_id` begins."""
        name = quote(organization, safe="") if self._encodes else organization
        return f"{connector.id}/devops/default/azureDevOpsOrgs/{name}"

    def resource_id(self, organization_id: str, result: Result) -> str:
        """Return the id of the assessed resource."""
        project, repository = result.project, result.repository
        if self._encodes:
            project, repository = quote(project, safe=""), quote(repository, safe="")
        identifier = f"{organization_id}{self._path(result, project, repository)}"
        return identifier.lower() if self._is_lower else identifier

    def assessment_id(self, resource: str, result: Result) -> str:
        """Return the id of an assessment on a resource."""
        return f"{resource}{self._suffix}{result.key}"

    def _path(self, result: Result, project: str, repository: str) -> str:
        if repository and result.category and not result.tail and self._resource == "repository":
            return f"/projects/{project}/repos/{repository}"  # most rows, and the fastest way
        kind = self._resource if result.category else "repository"
        tail = result.tail
        if tail.startswith("serviceConnections/") and not result.category:
            kind = self._service_connection
            tail = tail if kind == "serviceConnection" else ""
        if not project or kind == "organization":
            return ""
        path = f"/projects/{project}"
        if repository and kind != "project":
            path = f"{path}/repos/{repository}"
            tail = "branches/main" if kind == "unknown" else tail
        return f"{path}/{tail}" if tail else path

    def properties(self, result: Result, resource: str) -> dict[str, Any]:
        """Return the properties of an assessment on a resource."""
        properties: dict[str, Any] = {
            "displayName": result.title,
            "status": self._status_of(result),
            "metadata": self._metadata_of(result),
            "additionalData": _additional_data(result),
            "links": {
                "azurePortal": "portal.azure.com/#blade/Microsoft_Azure_Security/RecommendationsBlade/assessmentKey/"
                f"{result.key}"
            },
        }
        if self._details is not None:
            source, identifier, name = self._details
            properties["resourceDetails"] = {
                source: "AzureDevOps",
                identifier: resource,
                name: resource.rpartition("/")[2],
            }
        return properties

    def _status_of(self, result: Result) -> dict[str, str]:
        key = (result.status, result.severity, result.first_evaluation, result.status_change)
        status = self._statuses.get(key)
        if status is None:
            code = result.status
            if self._status == "unfamiliar" and code in ("Healthy", "NotApplicable"):
                code = _UNFAMILIAR_STATUS
            elif self._status == "lowerCase":
                code = code.lower()
            first, changed = self._stamp(result.first_evaluation), self._stamp(result.status_change)
            status = {"code": code, "firstEvaluationDate": first, "statusChangeDate": changed}
            if self._severity == "status":
                status["severity"] = result.severity
            if len(self._statuses) >= _MOST_STATUSES:
                self._statuses.clear()
            self._statuses[key] = status
        return status

    def _metadata_of(self, result: Result) -> dict[str, Any]:
        key = (result.title, result.severity, result.category)
        metadata = self._metadata.get(key)
        if metadata is None:
            metadata = {"displayName": result.title, "assessmentType": "BuiltIn", "categories": ["DevOps"]}
            severity = {
                "absent": "",
                "status": "",
                "lowerCase": result.severity.lower(),
                "unfamiliar": _UNFAMILIAR_SEVERITY,
            }.get(self._severity, result.severity)
            category = self._category_of(result) if self._with_category else ""
            metadata |= {"severity": severity} if severity else {}
            metadata |= {"recommendationCategory": category} if category else {}
            self._metadata[key] = metadata
        return metadata

    def _category_of(self, result: Result) -> str:
        if not result.category:
            return "Unknown" if self._posture_category == "unknown" else ""
        alternatives = {"absent": "", "unknown": "Unknown", "unfamiliar": _UNFAMILIAR_CATEGORY}
        return alternatives.get(self._category, result.category)


def _additional_data(result: Result) -> dict[str, str]:
    """Return where the finding is, as text that must not leave Azure."""
    if result.additional_data is not None:
        return result.additional_data
    if not result.category:
        return {}
    data = {"FilePath": f"/src/{EVIDENCE}/{result.handle[-6:]}.cs", "Snippet": f"key = '{EVIDENCE}-{result.handle}'"}
    if result.category == "SoftwareUpdate":
        data |= {"CvesDetails": f'[{{"title":"CVE-2021-44228 {EVIDENCE}"}}]', "FixedVersion": f"2.0-{EVIDENCE}"}
    return data
