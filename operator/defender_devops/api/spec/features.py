"""Optional features of a connector: pull request annotations, agentless scanning, security readers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from defender_devops.api.azure_types import AgentlessConfiguration, Annotations, AutoDiscovery, InventoryItem
from defender_devops.api.schema.fields import Guid, OrganizationName
from defender_devops.api.schema.model import ApiModel
from defender_devops.api.schema.rules import Rule

SECURITY_READERS_MAX: Final = 50
SCANNING_SCOPE_MAX: Final = 200


class Mode(StrEnum):
    """Whether a feature is on."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class Severity(StrEnum):
    """Severities of findings that Defender for Cloud uses for annotations."""

    HIGH = "High"
    MEDIUM = "Medium"
    LOW = "Low"


class PullRequestAnnotations(ApiModel):
    """Comments by Defender for Cloud in pull requests."""

    mode: Mode
    """Whether Defender for Cloud comments on findings in pull requests. Needs the Defender CSPM plan."""

    minimum_severity: Severity = Severity.MEDIUM
    """Findings below this severity are not commented on."""

    def desired(self) -> Annotations:
        """Return the same as a value of Azure's API."""
        enabled = self.mode is Mode.ENABLED
        return Annotations(enabled=enabled, minimum_severity=self.minimum_severity.value if enabled else None)


class ScanningInventory(StrEnum):
    """Whether the scope of agentless scanning includes or excludes."""

    INCLUSION = "Inclusion"
    EXCLUSION = "Exclusion"


class ScanningScope(ApiModel):
    """An organization, a project or a repository."""

    organization: OrganizationName
    """Azure DevOps organization."""

    project: Annotated[str, Field(min_length=1, max_length=64, pattern="^[^/]+$")] | None = None
    """Project of the organization. Absent: the whole organization."""

    repository: Annotated[str, Field(min_length=1, max_length=64, pattern="^[^/]+$")] | None = None
    """Repository of the project. Absent: the whole project."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.repository) || has(self.project)",
            message="project is required beside repository: add the repository's project",
            holds=lambda scope: scope.repository is None or scope.project is not None,
            field=".project",
            reason="FieldValueRequired",
        ),
    )

    def item(self) -> InventoryItem:
        """Return the same as a value of Azure's API."""
        kind = "Repository" if self.repository else "Project" if self.project else "Organization"
        value = "/".join(part for part in (self.organization, self.project, self.repository) if part)
        return InventoryItem(kind=f"AzureDevOps{kind}", value=value)


class AgentlessScanning(ApiModel):
    """Agentless code scanning."""

    mode: Mode
    """Whether Defender for Cloud scans code without a pipeline."""

    inventory: ScanningInventory = ScanningInventory.EXCLUSION
    """Inclusion: only the scope is scanned. Exclusion: everything except the scope. Without a scope, Exclusion also
    scans repositories that are discovered later; Defender for Cloud ignores a scope while it adds new code itself."""

    scope: Annotated[
        tuple[ScanningScope, ...],
        Field(max_length=SCANNING_SCOPE_MAX, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = ()
    """Organizations, projects and repositories that are scanned (Inclusion) or not scanned (Exclusion)."""

    scanners: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=64, pattern="^[A-Za-z0-9._-]+$")], ...],
        Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """Scanners to run, by Azure's names. Empty: not managed; Defender for Cloud chooses at first."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.mode != 'Enabled' || !has(self.inventory) || self.inventory != 'Inclusion' || "
            "(has(self.scope) && size(self.scope) > 0)",
            message="scope is required with inventory Inclusion, or nothing would be scanned: add what is to be"
            " scanned, or set mode to Disabled",
            holds=lambda scanning: (
                scanning.mode is Mode.DISABLED
                or scanning.inventory is ScanningInventory.EXCLUSION
                or bool(scanning.scope)
            ),
            field=".scope",
            reason="FieldValueRequired",
        ),
    )

    def desired(self) -> AgentlessConfiguration:
        """Return the same as a value of Azure's API.

        Automatic discovery exists with Exclusion only, and makes Azure ignore the list: "Will be ignored if agentless
        auto-discovery is enabled" (inventoryList in the API's specification).
        """
        excludes = self.inventory is ScanningInventory.EXCLUSION
        discovers_new = self.mode is Mode.ENABLED and excludes and not self.scope
        return AgentlessConfiguration(
            enabled=self.mode is Mode.ENABLED,
            auto_discovery=AutoDiscovery.ENABLED if discovers_new else AutoDiscovery.DISABLED,
            scanners=self.scanners,
            inventory_list_type=self.inventory.value,
            inventory=tuple(scope.item() for scope in self.scope),
        )


class PrincipalType(StrEnum):
    """Kinds of principals in Entra ID."""

    GROUP = "Group"
    USER = "User"
    SERVICE_PRINCIPAL = "ServicePrincipal"


class SecurityReader(ApiModel):
    """A principal that may read the connector's findings."""

    object_id: Guid
    """Object id of the principal in Entra ID."""

    principal_type: PrincipalType
    """Kind of the principal: Group, User or ServicePrincipal."""
