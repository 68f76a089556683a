"""The format of the world file as pydantic models, with defaults."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from sandbox.cloud.models import CamelModel
from sandbox.cloud.variants import Variants
from sandbox.cloud.world.azure import CSPM_EXTENSIONS
from sandbox.cloud.world.devops import License
from sandbox.cloud.world.directory import ConditionalAccess
from sandbox.cloud.world.pipelines.schema import (
    AdvancedSecuritySpec,
    BranchPolicySpec,
    GeneratePipelinesSpec,
    PipelineSpec,
    TaskGroupSpec,
)

__all__ = ["WorldFile"]


class TenantSpec(CamelModel):
    """An Entra tenant; accounts and applications name it by its domain."""

    id: str
    name: str
    domain: str


class AccountSpec(CamelModel):
    """A person; the default tenant is the domain of the user principal name."""

    user_principal_name: str
    id: str | None = None
    display_name: str | None = None
    password: str = "correct horse battery staple"
    tenant: str | None = None
    mfa: bool = False
    blocked: bool = False
    locked: bool = False
    password_expired: bool = False
    guest: bool = False
    deleted: bool = False
    conditional_access: ConditionalAccess = ConditionalAccess.NONE
    sign_in_frequency: float | None = None


class SecretSpec(CamelModel):
    """A client secret; `expiresIn` is seconds from the start, negative for one that has expired."""

    value: str
    expires_in: float | None = None


class FederatedCredentialSpec(CamelModel):
    """A trusted subject of an issuer; without issuer any registered one."""

    subject: str
    issuer: str | None = None
    audience: str = "api://AzureADTokenExchange"


class ApplicationSpec(CamelModel):
    """An app registration.

    Attributes:
        permissions: delegated permissions for Azure DevOps that `…/.default` stands for; absent: user_impersonation.
    """

    name: str
    client_id: str
    tenant: str
    object_id: str | None = None
    secrets: list[SecretSpec] = Field(default_factory=list)
    certificates: list[str] = Field(default_factory=list)
    redirect_uris: list[str] = Field(default_factory=list)
    federated_credentials: list[FederatedCredentialSpec] = Field(default_factory=list)
    public_client: bool = False
    admin_consent_required: bool = False
    admin_consent: bool = False
    consents: list[str] = Field(default_factory=list)
    permissions: list[str] | None = None
    disabled: bool = False


class GroupSpec(CamelModel):
    """A security group; members are user principal names, client ids or names of groups."""

    name: str
    tenant: str
    id: str | None = None
    members: list[str] = Field(default_factory=list)


class ResourceGroupSpec(CamelModel):
    """A resource group."""

    name: str
    location: str = "westeurope"
    tags: dict[str, str] = Field(default_factory=dict)


class PolicySpec(CamelModel):
    """An Azure Policy assignment that denies connectors."""

    name: str
    display_name: str
    locations: list[str] = Field(default_factory=list)
    required_tags: list[str] = Field(default_factory=list)


class SubscriptionSpec(CamelModel):
    """A subscription."""

    id: str
    name: str
    tenant: str
    providers: list[str] = Field(default_factory=lambda: ["Microsoft.Security"])
    resource_groups: list[ResourceGroupSpec] = Field(default_factory=list)
    policies: list[PolicySpec] = Field(default_factory=list)
    defender_cspm: bool = True
    cspm_extensions: list[str] = Field(default_factory=lambda: list(CSPM_EXTENSIONS))


class RoleAssignmentSpec(CamelModel):
    """A built-in role, by name, for an application (name or client id), account or group at a scope."""

    role: str
    principal: str
    scope: str


class MemberSpec(CamelModel):
    """A member of an organization: a user principal name, or an application's name."""

    account: str
    administrator: bool = False
    license: License = License.EXPRESS
    access_status: str = "active"
    signed_in: bool = True
    queue_builds: bool = True


class DevOpsGroupSpec(CamelModel):
    """A group of the organization."""

    name: str
    members: list[str] = Field(default_factory=list)
    groups: list[str] = Field(default_factory=list)
    administrators: bool = False


class RepositorySpec(CamelModel):
    """A repository; `files` are texts by path on the default branch, `branches` those of other branches."""

    name: str
    size: int = 4_194_304
    disabled: bool = False
    empty: bool = False
    fork: bool = False
    default_branch: str = "main"
    files: dict[str, str] = Field(default_factory=dict)
    branches: dict[str, dict[str, str]] = Field(default_factory=dict)
    indexed: bool = True
    advanced_security: AdvancedSecuritySpec | None = None


class ProjectSpec(CamelModel):
    """A project; `repositories` are names or objects, `generate` adds that many generated ones.

    Attributes:
        hidden_from: members (accounts or applications) that may not see it.
    """

    name: str
    repositories: list[str | RepositorySpec] = Field(default_factory=list)
    generate: int = Field(default=0, ge=0)
    tfvc: bool = False
    visibility: str = "private"
    hidden_from: list[str] = Field(default_factory=list)
    pipelines: list[PipelineSpec] = Field(default_factory=list)
    policies: list[BranchPolicySpec] = Field(default_factory=list)
    task_groups: list[TaskGroupSpec] = Field(default_factory=list)


class ExtensionSpec(CamelModel):
    """An installed extension, as `publisher.extension`, with the flags of its install state."""

    id: str = Field(default="ms-securitydevops.ms-dfd-code-to-cloud", pattern=r"^[^.]+\.[^.]+")
    flags: str = "none"


class OrganizationSpec(CamelModel):
    """An Azure DevOps organization; `tenant: null` is one that is connected to no Entra tenant.

    Attributes:
        decorator_steps: tasks (`Name@1`) that a decorator of its own injects into every job.
        search_info_code: `infoCode` of code search; anything but 0 means that the answer is partial.
    """

    name: str
    tenant: str | None
    third_party_oauth: bool = True
    extensions: list[ExtensionSpec] = Field(default_factory=list)
    members: list[MemberSpec] = Field(default_factory=list)
    groups: list[DevOpsGroupSpec] = Field(default_factory=list)
    projects: list[ProjectSpec] = Field(default_factory=list)
    decorator_steps: list[str] = Field(default_factory=list)
    search_info_code: int = 0


class ConnectorSpec(CamelModel):
    """A connector that was authorized in the portal before the start.

    Attributes:
        age: seconds of inner time since it was created and authorized; discovery and evaluations have gone on since.
    """

    name: str
    subscription: str
    resource_group: str
    account: str | None = None
    location: str = "westeurope"
    tags: dict[str, str] = Field(default_factory=dict)
    auto_discovery: str = "Disabled"
    organizations: list[str] | None = None
    hierarchy_identifier: str | None = None
    environment_name: str = "AzureDevOps"
    age: float = Field(default=0.0, ge=0)


class GenerateSpec(CamelModel):
    """A generated large world: numbered organizations, distributed over connectors.

    Attributes:
        connectors: each authorized by the account, named `connector-0001` and so on.
        organizations: named `org-0001` and so on, all of them the account's.
        organizations_per_account: number of consecutive organizations per generated account `account-0001` and so on,
            in the domain of `account`; None assigns all to `account`.
        projects: in each organization.
        repositories: total number, distributed evenly; created on access.
        pipelines: pipelines of the repositories and their builds; absent: none.
    """

    tenant: str
    account: str
    subscription: str
    resource_group: str
    connectors: int = 0
    organizations: int = 0
    organizations_per_account: int | None = Field(default=None, ge=1)
    projects: int = 1
    repositories: int = 0
    pipelines: GeneratePipelinesSpec | None = None


class AssessmentSpec(CamelModel):
    """A recommendation or finding: of a repository, of a project, or of an organization.

    Attributes:
        tail: what follows in the id of its resource, such as `serviceConnections/azure`.
        category: `ExposedSecrets`, `CodeVulnerabilities`, `SoftwareUpdate`, `IacVulnerabilities`, `ApiVulnerabilities`;
            empty for a posture recommendation.
        status: `Unhealthy`, `Healthy` or `NotApplicable`.
        after: seconds of inner time after the first evaluation of its project.
    """

    organization: str
    project: str = ""
    repository: str = ""
    tail: str = ""
    key: str = ""
    title: str
    severity: str = "High"
    category: str = ""
    status: str = "Unhealthy"
    additional_data: dict[str, str] = Field(default_factory=dict)
    after: float = Field(default=0.0, ge=0)


class AssessmentGeneratorSpec(CamelModel):
    """Generated assessments of each discovered repository; see `assessments.AssessmentGenerator`.

    `severities`, `categories` and `statuses` give the weight of each value.
    """

    per_repository: float = Field(default=0.0, ge=0, le=1000)
    posture: bool = True
    severities: dict[str, int] | None = None
    categories: dict[str, int] | None = None
    statuses: dict[str, int] | None = None
    arrival: float = Field(default=0.0, ge=0)
    churn: float = Field(default=0.0, ge=0, le=1)
    seed: int = 7

    @field_validator("severities", "categories", "statuses")
    @classmethod
    def check_weights(cls, weights: dict[str, int] | None) -> dict[str, int] | None:
        """Check that at least one weight is positive and none negative."""
        if weights is not None and (min(weights.values(), default=0) < 0 or not sum(weights.values())):
            raise ValueError("weights must not be negative, and one must be positive")
        return weights


class SettingsSpec(CamelModel):
    """Switches of the world; see `world.Settings`."""

    throttling: bool = True
    resource_graph_lag: float = 0.0
    read_after_write_lag: float = 0.0
    resource_graph_children: bool = True
    resource_graph_page_size: int = Field(default=1000, ge=1, le=1000)
    assessment_lag: float = Field(default=0.0, ge=0)
    access_token_lifetime: int = 3599
    azure_devops_cost_factor: float = Field(default=1.0, ge=0)
    azure_devops_page_size: int = Field(default=1000, ge=1)
    seed: int = 7


class WorldFile(CamelModel):
    """The whole file."""

    tenants: list[TenantSpec]
    subscriptions: list[SubscriptionSpec] = Field(default_factory=list)
    accounts: list[AccountSpec] = Field(default_factory=list)
    applications: list[ApplicationSpec] = Field(default_factory=list)
    groups: list[GroupSpec] = Field(default_factory=list)
    role_assignments: list[RoleAssignmentSpec] = Field(default_factory=list)
    organizations: list[OrganizationSpec] = Field(default_factory=list)
    connectors: list[ConnectorSpec] = Field(default_factory=list)
    generate: GenerateSpec | None = None
    assessments: list[AssessmentSpec] = Field(default_factory=list)
    generate_assessments: AssessmentGeneratorSpec | None = None
    variants: dict[str, str] = Field(default_factory=dict)
    settings: SettingsSpec = SettingsSpec()

    @field_validator("variants")
    @classmethod
    def check_variants(cls, choices: dict[str, str]) -> dict[str, str]:
        """Check that the variants and their values exist."""
        Variants(choices)
        return choices

    @classmethod
    def parse(cls, document: Any) -> WorldFile:  # noqa: ANN401 - whatever YAML gives
        """Validate a parsed YAML document.

        Raises:
            pydantic.ValidationError: naming each wrong field.
        """
        return cls.model_validate(document)
