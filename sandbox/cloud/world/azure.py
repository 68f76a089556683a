"""Subscriptions, resource groups, policies and role assignments."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "CSPM_EXTENSIONS",
    "REGIONS",
    "ROLE_DEFINITIONS",
    "Policy",
    "ResourceGroup",
    "RoleAssignment",
    "RoleDefinition",
    "Subscription",
]

REGIONS = (
    "eastasia",
    "australiaeast",
    "canadacentral",
    "westeurope",
    "northeurope",
    "swedencentral",
    "uksouth",
    "eastus",
    "centralus",
)
"""Regions of DevOps security."""


CSPM_EXTENSIONS = (
    "SensitiveDataDiscovery",
    "ContainerRegistriesVulnerabilityAssessments",
    "AgentlessDiscoveryForKubernetes",
    "AgentlessVmScanning",
    "EntraPermissionsManagement",
)
"""Extensions of the plan Defender CSPM."""


@dataclass(slots=True)
class ResourceGroup:
    """A resource group; its name keeps the spelling of the creating request."""

    name: str
    location: str
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Policy:
    """An Azure Policy assignment with effect deny on security connectors.

    Attributes:
        locations: allowed locations; empty allows all.
        required_tags: tags that a connector must carry.
    """

    name: str
    display_name: str
    scope: str
    locations: list[str] = field(default_factory=list)
    required_tags: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Subscription:
    """An Azure subscription.

    Attributes:
        providers: registered resource provider namespaces, in lower case.
        resource_groups: by name in lower case.
        defender_cspm: whether the plan Defender CSPM is on (pull request annotations need it).
        cspm_extensions: the extensions of that plan that are on.
        cspm_enabled_at: inner time at which the plan was turned on.
    """

    id: str
    tenant_id: str
    name: str
    providers: set[str] = field(default_factory=lambda: {"microsoft.security"})
    resource_groups: dict[str, ResourceGroup] = field(default_factory=dict)
    policies: list[Policy] = field(default_factory=list)
    defender_cspm: bool = True
    cspm_extensions: set[str] = field(default_factory=lambda: set(CSPM_EXTENSIONS))
    cspm_enabled_at: float = 0.0


@dataclass(frozen=True, slots=True)
class RoleDefinition:
    """A built-in role: which actions it allows, with `*` as wildcard."""

    id: str
    name: str
    description: str
    actions: tuple[str, ...]
    not_actions: tuple[str, ...] = ()


@dataclass(slots=True)
class RoleAssignment:
    """A role of a principal at a scope (an ARM id in the spelling of the creating request)."""

    name: str
    scope: str
    role_definition_id: str
    principal_id: str
    principal_type: str
    created_at: float = 0.0
    created_by: str = ""


ROLE_DEFINITIONS: dict[str, RoleDefinition] = {
    role.id: role
    for role in (
        RoleDefinition(
            "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
            "Owner",
            "Grants full access to manage all resources, including the ability to assign roles in Azure RBAC.",
            ("*",),
        ),
        RoleDefinition(
            "b24988ac-6180-42a0-ab88-20f7382dd24c",
            "Contributor",
            "Grants full access to manage all resources, but does not allow you to assign roles in Azure RBAC, "
            "manage assignments in Azure Blueprints, or share image galleries.",
            ("*",),
            (
                "Microsoft.Authorization/*/Delete",
                "Microsoft.Authorization/*/Write",
                "Microsoft.Authorization/elevateAccess/Action",
            ),
        ),
        RoleDefinition(
            "acdd72a7-3385-48ef-bd42-f606fba81ae7",
            "Reader",
            "View all resources, but does not allow you to make any changes.",
            ("*/read",),
        ),
        RoleDefinition(
            "fb1c8493-542b-48eb-b624-b4c8fea62acd",
            "Security Admin",
            "Security Admin Role",
            (
                "Microsoft.Authorization/*/read",
                "Microsoft.Resources/subscriptions/resourceGroups/read",
                "Microsoft.Security/*",
            ),
        ),
        RoleDefinition(
            "39bc4728-0917-49c7-9d2c-d95423bc2eb4",
            "Security Reader",
            "Security Reader Role",
            (
                "Microsoft.Authorization/*/read",
                "Microsoft.Resources/subscriptions/resourceGroups/read",
                "Microsoft.Security/*/read",
            ),
        ),
        RoleDefinition(
            "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
            "User Access Administrator",
            "Lets you manage user access to Azure resources.",
            ("*/read", "Microsoft.Authorization/*"),
        ),
        RoleDefinition(
            "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
            "Role Based Access Control Administrator",
            "Manage access to Azure resources by assigning roles using Azure RBAC.",
            (
                "*/read",
                "Microsoft.Authorization/roleAssignments/write",
                "Microsoft.Authorization/roleAssignments/delete",
            ),
        ),
    )
}
