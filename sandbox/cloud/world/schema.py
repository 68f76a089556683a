"""The world file's format, as pydantic models: what can be written, and what is assumed where nothing is."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sandbox.cloud.world.devops import License
from sandbox.cloud.world.directory import ConditionalAccess

__all__ = ["WorldFile"]


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=_camel, populate_by_name=True)


class TenantSpec(_Model):
    """An Entra tenant; accounts and applications name it by its domain."""

    id: str
    name: str
    domain: str


class AccountSpec(_Model):
    """A person; the tenant follows from the domain of the user principal name unless it is a guest's."""

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


class SecretSpec(_Model):
    """A client secret; `expiresIn` is seconds from the start, negative for one that has expired."""

    value: str
    expires_in: float | None = None


class FederatedCredentialSpec(_Model):
    """Trust in tokens of an issuer for a subject; without issuer: whichever is registered at start or later."""

    subject: str
    issuer: str | None = None
    audience: str = "api://AzureADTokenExchange"


class ApplicationSpec(_Model):
    """An app registration."""

    name: str
    client_id: str
    tenant: str
    object_id: str | None = None
    secrets: list[SecretSpec] = []
    certificates: list[str] = []
    redirect_uris: list[str] = []
    federated_credentials: list[FederatedCredentialSpec] = []
    public_client: bool = False
    admin_consent_required: bool = False
    admin_consent: bool = False
    consents: list[str] = []
    disabled: bool = False


class GroupSpec(_Model):
    """A security group; members are user principal names, client ids or names of groups."""

    name: str
    tenant: str
    id: str | None = None
    members: list[str] = []


class ResourceGroupSpec(_Model):
    """A resource group."""

    name: str
    location: str = "westeurope"
    tags: dict[str, str] = {}


class PolicySpec(_Model):
    """An Azure Policy assignment that denies connectors."""

    name: str
    display_name: str
    locations: list[str] = []
    required_tags: list[str] = []


class SubscriptionSpec(_Model):
    """A subscription."""

    id: str
    name: str
    tenant: str
    providers: list[str] = ["Microsoft.Security"]
    resource_groups: list[ResourceGroupSpec] = []
    policies: list[PolicySpec] = []
    defender_cspm: bool = True


class RoleAssignmentSpec(_Model):
    """A built-in role, by name, for an application (name or client id), account or group at a scope."""

    role: str
    principal: str
    scope: str


class MemberSpec(_Model):
    """Who is in an organization: a user principal name, or an application's name."""

    account: str
    administrator: bool = False
    license: License = License.EXPRESS
    access_status: str = "active"
    signed_in: bool = True


class DevOpsGroupSpec(_Model):
    """A group of the organization."""

    name: str
    members: list[str] = []
    groups: list[str] = []
    administrators: bool = False


class RepositorySpec(_Model):
    """A repository."""

    name: str
    size: int = 4_194_304
    disabled: bool = False
    empty: bool = False


class ProjectSpec(_Model):
    """A project; `repositories` are names or descriptions, `generate` makes that many more."""

    name: str
    repositories: list[str | RepositorySpec] = []
    generate: int = Field(default=0, ge=0)
    tfvc: bool = False
    visibility: str = "private"


class ExtensionSpec(_Model):
    """An installed extension, as `publisher.extension`, with the flags of its install state."""

    id: str = "ms-securitydevops.ms-dfd-code-to-cloud"
    flags: str = "none"


class OrganizationSpec(_Model):
    """An Azure DevOps organization; `tenant: null` is one that is connected to no Entra tenant."""

    name: str
    tenant: str | None
    third_party_oauth: bool = True
    extensions: list[ExtensionSpec] = []
    members: list[MemberSpec] = []
    groups: list[DevOpsGroupSpec] = []
    projects: list[ProjectSpec] = []


class ConnectorSpec(_Model):
    """A connector that a person authorized in the portal before the story begins."""

    name: str
    subscription: str
    resource_group: str
    account: str | None = None
    location: str = "westeurope"
    tags: dict[str, str] = {}
    auto_discovery: str = "Disabled"
    organizations: list[str] | None = None
    hierarchy_identifier: str | None = None
    environment_name: str = "AzureDevOps"


class GenerateSpec(_Model):
    """A large world on top of what is written: organizations by number, shared out among as many connectors.

    Attributes:
        connectors: each authorized by the account, named `connector-0001` and so on.
        organizations: named `org-0001` and so on.
        projects: in each organization.
        repositories: in all of them together, shared out evenly; generated only when looked at.
    """

    tenant: str
    account: str
    subscription: str
    resource_group: str
    connectors: int = 0
    organizations: int = 0
    projects: int = 1
    repositories: int = 0


class SettingsSpec(_Model):
    """Switches of the world; see `world.Settings`."""

    throttling: bool = True
    resource_graph_lag: float = 0.0
    read_after_write_lag: float = 0.0
    resource_graph_children: bool = True
    access_token_lifetime: int = 3599
    seed: int = 7


class WorldFile(_Model):
    """The whole file."""

    tenants: list[TenantSpec]
    subscriptions: list[SubscriptionSpec] = []
    accounts: list[AccountSpec] = []
    applications: list[ApplicationSpec] = []
    groups: list[GroupSpec] = []
    role_assignments: list[RoleAssignmentSpec] = []
    organizations: list[OrganizationSpec] = []
    connectors: list[ConnectorSpec] = []
    generate: GenerateSpec | None = None
    settings: SettingsSpec = SettingsSpec()

    @classmethod
    def parse(cls, document: Any) -> WorldFile:  # noqa: ANN401 - whatever YAML gives
        """Validate a parsed YAML document.

        Raises:
            pydantic.ValidationError: naming each wrong field.
        """
        return cls.model_validate(document)
