"""The rows that the demo shows of each resource, from its status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.cluster.client import Manifest, condition

__all__ = ["ConnectorRow", "OrganizationRow", "describe", "reauthorization_reason"]

_ANSWERS = {"True": "yes", "False": "no", "Unknown": "?"}


@dataclass(frozen=True)
class ConnectorRow:
    """One AzureDevOpsConnector."""

    name: str
    ready: str
    authorized: str
    discovered: str
    organizations: str
    projects: str
    repositories: str
    findings: str
    reason: str

    @classmethod
    def of(cls, manifest: Manifest) -> ConnectorRow:
        """Create a row from a status; missing values are empty."""
        discovery = manifest.get("status", {}).get("discovery", {})
        counts = discovery.get("organizations", {})
        percent = f" {discovery['percent']} %" if "percent" in discovery else ""
        return cls(
            name=_name(manifest),
            ready=_answer(manifest, "Ready"),
            authorized=_answer(manifest, "Authorized"),
            discovered=_answer(manifest, "Discovered") + percent,
            organizations=_fraction(counts.get("onboarded"), counts.get("available")),
            projects=_progress(discovery.get("projects", {})),
            repositories=_progress(discovery.get("repositories", {})),
            findings=manifest.get("status", {}).get("posture", {}).get("findings", ""),
            reason=reauthorization_reason(manifest) or str(condition(manifest, "Ready").get("reason", "")),
        )

    def line(self) -> str:
        """Return the row as a line of text."""
        return (
            f"{self.name}: ready {self.ready or '-'}, authorized {self.authorized or '-'}, "
            f"organizations {self.organizations or '-'}, projects {self.projects or '-'}, "
            f"repositories {self.repositories or '-'}, discovered {self.discovered or '-'}, "
            f"findings {self.findings or '-'} ({self.reason or 'new'})"
        )


@dataclass(frozen=True)
class OrganizationRow:
    """One DevOpsOrganization."""

    name: str
    organization: str
    state: str
    projects: str
    repositories: str
    reason: str

    @classmethod
    def of(cls, manifest: Manifest) -> OrganizationRow:
        """Create a row from a status; missing values are empty."""
        status = manifest.get("status", {})
        return cls(
            name=_name(manifest),
            organization=manifest["spec"]["organization"],
            state=status.get("onboardingState", ""),
            projects=_progress(status.get("projects", {})),
            repositories=_progress(status.get("repositories", {})),
            reason=str(condition(manifest, "Ready").get("reason", "")),
        )


def reauthorization_reason(manifest: Manifest) -> str | None:
    """Return the reason of ReauthRequired; None if re-authorization is not required."""
    reauthorization = condition(manifest, "ReauthRequired")
    return str(reauthorization["reason"]) if reauthorization.get("status") == "True" else None


def describe(manifest: Manifest) -> str:
    """Return all conditions with their messages, for error messages."""
    conditions = manifest.get("status", {}).get("conditions") or []
    lines = [
        f"{condition['type']}={condition['status']} ({condition['reason']}): {condition['message']}"
        for condition in conditions
    ]
    return "\n  ".join([_name(manifest), *lines])


def _name(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"


def _answer(manifest: Manifest, type_: str) -> str:
    return _ANSWERS.get(condition(manifest, type_).get("status", ""), "")


def _progress(counts: dict[str, Any]) -> str:
    return _fraction(counts.get("discovered"), counts.get("expected"))


def _fraction(part: int | None, whole: int | None) -> str:
    if part is None:
        return ""
    return f"{part}" if whole is None else f"{part} of {whole}"
