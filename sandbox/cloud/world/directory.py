"""The directory of Entra ID: tenants, accounts, groups, applications."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "Account",
    "AppSecret",
    "Application",
    "ConditionalAccess",
    "Directory",
    "FederatedCredential",
    "Group",
    "Principal",
    "Tenant",
]


class ConditionalAccess(StrEnum):
    """Requirement of Conditional Access for a sign-in."""

    NONE = "None"
    BLOCK = "Block"
    BLOCK_DEVICE_CODE = "BlockDeviceCode"
    REQUIRE_COMPLIANT_DEVICE = "RequireCompliantDevice"
    REQUIRE_MFA = "RequireMfa"


@dataclass(slots=True)
class Tenant:
    """An Entra tenant."""

    id: str
    name: str
    domain: str


@dataclass(slots=True)
class Account:
    """A person's account in one tenant.

    Attributes:
        id: object id (`oid`).
        mfa: whether a second factor is registered.
        password_changed_at: wall time; a refresh token of a public client issued earlier is invalid.
        sessions_revoked_at: wall time; every refresh token issued earlier is invalid.
        sign_in_frequency: seconds after which a policy requires a new sign-in; None without such a policy.
    """

    id: str
    tenant_id: str
    user_principal_name: str
    display_name: str
    password: str
    mfa: bool = False
    blocked: bool = False
    locked: bool = False
    password_expired: bool = False
    guest: bool = False
    deleted: bool = False
    conditional_access: ConditionalAccess = ConditionalAccess.NONE
    sign_in_frequency: float | None = None
    password_changed_at: float = 0.0
    sessions_revoked_at: float = 0.0

    @property
    def alive(self) -> bool:
        """Whether it exists and may sign in at all."""
        return not (self.blocked or self.deleted)


@dataclass(slots=True)
class Group:
    """A security group; members are object ids of accounts, applications and other groups."""

    id: str
    tenant_id: str
    display_name: str
    members: set[str] = field(default_factory=set)


@dataclass(slots=True)
class AppSecret:
    """A client secret; `expires` is a wall time."""

    value: str
    expires: float | None = None


@dataclass(slots=True)
class FederatedCredential:
    """A trusted external issuer and subject."""

    issuer: str
    subject: str
    audience: str = "api://AzureADTokenExchange"


@dataclass(slots=True)
class Application:
    """An app registration with its service principal in the same tenant.

    Attributes:
        client_id: application id.
        object_id: object id of the service principal, which role assignments name.
        certificates: PEM certificates for client assertions.
        public_client: whether public flows (device code, PKCE without secret) are allowed.
        admin_consent_required: whether only an administrator may consent.
        consents: object ids of accounts that consented; `*` stands for all (an administrator did).
        permissions: delegated permissions for Azure DevOps that `…/.default` stands for; None: user_impersonation.
        earlier_permissions: what accounts (or `*`) consented to before the permissions were changed.
    """

    client_id: str
    object_id: str
    tenant_id: str
    display_name: str
    secrets: list[AppSecret] = field(default_factory=list)
    certificates: list[str] = field(default_factory=list)
    redirect_uris: list[str] = field(default_factory=list)
    federated_credentials: list[FederatedCredential] = field(default_factory=list)
    public_client: bool = False
    admin_consent_required: bool = False
    consents: set[str] = field(default_factory=set)
    permissions: tuple[str, ...] | None = None
    earlier_permissions: dict[str, tuple[str, ...] | None] = field(default_factory=dict)
    disabled: bool = False

    def consent(self, account_id: str) -> None:
        """Record that an account (or `*`) has consented to the permissions of now."""
        self.consents.add(account_id)
        self.earlier_permissions.pop(account_id, None)

    def consented_permissions(self, account_id: str) -> tuple[str, ...] | None:
        """Return the permissions that an account, or an administrator for it, has consented to."""
        consenting = account_id if account_id in self.consents else "*"
        return self.earlier_permissions.get(consenting, self.permissions)

    def change_permissions(self, permissions: tuple[str, ...], *, consent: bool) -> None:
        """Change the registration; without consent, those who have consented keep what they consented to."""
        if consent:
            self.earlier_permissions.clear()
        else:
            earlier = dict.fromkeys(self.consents, self.permissions)
            self.earlier_permissions = {**earlier, **self.earlier_permissions}
        self.permissions = permissions


@dataclass(frozen=True, slots=True)
class Principal:
    """The principal of a token.

    Attributes:
        object_id: of the account or of the service principal.
        name: user principal name, or the application's display name, as the journal shows it.
        client_id: the application that requested the token.
    """

    object_id: str
    tenant_id: str
    name: str
    client_id: str
    is_user: bool = False


@dataclass(slots=True)
class Directory:
    """All tenants, accounts, groups and applications, by their keys in lower case."""

    tenants: dict[str, Tenant] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    applications: dict[str, Application] = field(default_factory=dict)

    def tenant(self, name: str) -> Tenant | None:
        """Return a tenant by id or domain."""
        key = name.lower()
        by_id = self.tenants.get(key)
        return by_id or next((tenant for tenant in self.tenants.values() if tenant.domain.lower() == key), None)

    def account(self, name: str) -> Account | None:
        """Return an account by object id or user principal name, deleted ones included."""
        key = name.lower()
        by_id = self.accounts.get(key)
        return by_id or next(
            (account for account in self.accounts.values() if account.user_principal_name.lower() == key), None
        )

    def application(self, client_id: str) -> Application | None:
        """Return an application by client id."""
        return self.applications.get(client_id.lower())

    def groups_of(self, object_id: str) -> set[str]:
        """Return the object ids of all groups that contain the object, directly or through other groups."""
        containing: set[str] = set()
        pending = {object_id}
        while pending:
            pending = {group.id for group in self.groups.values() if group.members & pending} - containing
            containing |= pending
        return containing
