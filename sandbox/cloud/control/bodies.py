"""Request bodies of the control interface."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, RootModel

from sandbox.cloud.models import CamelModel
from sandbox.cloud.world.pipelines.schema import AdvancedSecuritySpec, TaskSpec
from sandbox.cloud.world.schema import (
    AssessmentGeneratorSpec,
    AssessmentSpec,
    ConnectorSpec,
    OrganizationSpec,
    PolicySpec,
    ProjectSpec,
    RepositorySpec,
    ResourceGroupSpec,
    SecretSpec,
    SubscriptionSpec,
)

__all__ = [
    "AccessBody",
    "AccountBody",
    "ApplicationChange",
    "AssessmentBody",
    "AssessmentChange",
    "AssessmentGeneratorBody",
    "BranchPolicyChange",
    "ClockBody",
    "CodeBody",
    "ConnectorBody",
    "ConnectorChange",
    "FederationBody",
    "OrganizationBody",
    "OrganizationChange",
    "PipelineChange",
    "ProjectBody",
    "ProjectChange",
    "RepositoryBody",
    "RepositoryChange",
    "RoleBody",
    "SettingsBody",
    "SubscriptionBody",
    "SubscriptionChange",
    "TokensBody",
    "VariantsBody",
]


class ClockBody(CamelModel):
    """Advance the clock, change its speed, or both.

    Attributes:
        move: seconds of inner time (operations, discovery).
        wall: seconds of wall time that pass with them (tokens, codes, request budgets).
        speed: 0 stands still.
    """

    move: float = Field(default=0.0, ge=0)
    wall: float = Field(default=0.0, ge=0)
    speed: float | None = Field(default=None, ge=0)


class CodeBody(CamelModel):
    """Request a one-time code for an account."""

    account: str


class AccountBody(CamelModel):
    """Change an account; absent fields keep their value."""

    blocked: bool | None = None
    locked: bool | None = None
    deleted: bool | None = None
    mfa: bool | None = None
    password: str | None = None
    password_expired: bool | None = None
    conditional_access: str | None = None
    sign_in_frequency: float | None = None
    revoke_sessions: bool = False
    revoke_defender: bool = False
    withdraw_consent: bool = False


class ApplicationChange(CamelModel):
    """Change an app registration; absent fields keep their value.

    Attributes:
        secrets: all of them, in the format of the world file.
        permissions: delegated permissions for Azure DevOps that `…/.default` stands for.
        consent: with `permissions`: whether those who have consented consent to the new ones, too.
    """

    secrets: list[SecretSpec] | None = None
    permissions: list[str] | None = None
    consent: bool = False
    disabled: bool | None = None


class AccessBody(CamelModel):
    """Remove an account from organizations, or restore its memberships; without names in all of them."""

    access: bool
    organizations: list[str] | None = None


class FederationBody(CamelModel):
    """An issuer with its keys: inline, in a file, or at a URL with an optional token and certificate authority."""

    issuer: str
    jwks: dict[str, Any] | None = None
    jwks_file: str | None = None
    jwks_url: str | None = None
    bearer_token: str | None = None
    bearer_token_file: str | None = None
    ca_file: str | None = None


class TokensBody(CamelModel):
    """Expire access tokens now: all, or those of a principal by name."""

    principal: str | None = None


class OrganizationChange(CamelModel):
    """Change an organization; absent fields keep their value.

    Attributes:
        extension_flags: of all extensions.
        extensions: flags by `publisher.extension`: installs or changes it; null removes it.
        search_info_code: `infoCode` of code search.
        decorator_steps: replaces the tasks that its own decorator injects.
    """

    third_party_oauth: bool | None = None
    tenant: str | None = None
    extension_flags: str | None = None
    extensions: dict[str, str | None] | None = None
    search_info_code: int | None = None
    decorator_steps: list[str] | None = None
    blocked_for_usage: bool | None = None
    deleted: bool = False


class ConnectorChange(CamelModel):
    """Change a connector outside of the operator; absent fields keep their value.

    Attributes:
        tags: replaces the whole map.
        remove_tags: keys to remove.
        provisioning_state, status_message: of the configuration.
        authorization: account that authorizes it in the portal now.
        agentless: replaces the whole `agentlessConfiguration`.
    """

    tags: dict[str, str] | None = None
    remove_tags: list[str] = Field(default_factory=list)
    auto_discovery: str | None = None
    organizations: list[str] | None = None
    provisioning_state: str | None = None
    status_message: str | None = None
    authorization: str | None = None
    agentless: dict[str, Any] | None = None


class SubscriptionChange(CamelModel):
    """Change a subscription; absent fields keep their value.

    Attributes:
        defender_cspm: whether the plan Defender CSPM is on.
        cspm_extensions: the extensions of the plan that are on.
    """

    providers: list[str] | None = None
    policies: list[PolicySpec] | None = None
    resource_groups: list[ResourceGroupSpec] | None = None
    defender_cspm: bool | None = None
    cspm_extensions: list[str] | None = None


class AssessmentChange(CamelModel):
    """Resolve an assessment now, or take that back."""

    resolved: bool


class VariantsBody(RootModel[dict[str, str]]):
    """Values of variants by name."""


class SettingsBody(CamelModel):
    """Settings of the world; absent fields keep their value."""

    throttling: bool | None = None
    resource_graph_lag: float | None = None
    read_after_write_lag: float | None = None
    resource_graph_children: bool | None = None
    resource_graph_page_size: int | None = Field(default=None, ge=1, le=1000)
    assessment_lag: float | None = Field(default=None, ge=0)
    access_token_lifetime: int | None = None
    azure_devops_cost_factor: float | None = Field(default=None, ge=0)
    azure_devops_page_size: int | None = Field(default=None, ge=1)


class RoleBody(CamelModel):
    """A built-in role (name) of a principal (name) at a scope; `assigned: false` removes it."""

    role: str
    principal: str
    scope: str
    assigned: bool = True


AssessmentBody = AssessmentSpec
AssessmentGeneratorBody = AssessmentGeneratorSpec


class ProjectChange(CamelModel):
    """Change a project."""

    hidden_from: list[str]


class RepositoryChange(CamelModel):
    """Change a repository; absent fields keep their value.

    Attributes:
        files: texts by path on the default branch, added to the others; null deletes a file.
        branches: replaces those of other branches.
    """

    disabled: bool | None = None
    empty: bool | None = None
    fork: bool | None = None
    size: int | None = None
    default_branch: str | None = None
    files: dict[str, str | None] | None = None
    branches: dict[str, dict[str, str]] | None = None
    indexed: bool | None = None
    advanced_security: AdvancedSecuritySpec | None = None


class PipelineChange(CamelModel):
    """Change a pipeline; absent fields keep their value, as in `PipelineSpec` otherwise."""

    name: str | None = None
    repository: str | None = None
    repository_type: Literal["TfsGit", "TfsVersionControl", "GitHub"] | None = None
    yaml: str | None = None
    tasks: list[str | TaskSpec] | None = None
    folder: str | None = None
    queue_status: Literal["enabled", "paused", "disabled"] | None = None
    view_denied: list[str] | None = None
    expanded_yaml: str | None = None
    validation_error: str | None = None


class BranchPolicyChange(CamelModel):
    """Change a branch policy; absent fields keep their value."""

    enabled: bool | None = None
    blocking: bool | None = None
    manual_queue_only: bool | None = None
    deleted: bool = False


OrganizationBody = OrganizationSpec
ProjectBody = ProjectSpec
RepositoryBody = RepositorySpec
ConnectorBody = ConnectorSpec
SubscriptionBody = SubscriptionSpec
