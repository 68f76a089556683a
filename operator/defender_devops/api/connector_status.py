"""`status` of a connector.

Nothing here changes by itself: the times of the last reads are metrics. Values that this version does not know are
accepted, since a newer version may have written the status.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, StrictInt

from defender_devops.api.conditions import CONDITIONS_MAX, Condition, Status
from defender_devops.api.posture import PostureStatus
from defender_devops.api.schema.fields import TAGS_MAX
from defender_devops.api.schema.model import ApiModel, Boolean, Count, Generation, Text, Timestamp
from defender_devops.api.spec.features import SECURITY_READERS_MAX

HANDLED_AT_MAX_BYTES: Final = 256
PREREQUISITES_MAX: Final = 16

_Text = Annotated[Text, Field(max_length=256)]
ResourceId = Annotated[Text, Field(max_length=1024)]
ConditionList = Annotated[
    tuple[Condition, ...],
    Field(
        max_length=CONDITIONS_MAX,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


class Prerequisite(ApiModel):
    """Result of one check."""

    check: Annotated[str, Field(min_length=1, max_length=64)]
    """What was checked: TenantMatches, ProjectCollectionAdministrator, AccessLevel, ThirdPartyOAuthEnabled,
    ContainerMappingExtension or SecurityDevOpsExtension of an organization; DefenderPlan of a connector."""

    status: Status
    """True: met. False: not met, and the message says what to do. Unknown: it could not be checked."""

    reason: Annotated[str, Field(max_length=128)] | None = None
    """Machine-readable reason; the documentation explains the cause of each and what to do."""

    message: Annotated[Text, Field(max_length=1024)] | None = None
    """Cause for people, and what to do."""


PrerequisiteList = Annotated[
    tuple[Prerequisite, ...],
    Field(
        max_length=PREREQUISITES_MAX,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["check"]},
    ),
]


PREVIOUS_CODE_HASHES_MAX = 20
"""Codes are valid for minutes, so older ones need not be remembered."""


class OperatorStatus(ApiModel):
    """Installation of the operator that manages a resource."""

    name: _Text | None = None
    """Name of the installation: its namespace and the name of its Lease, unless settings.operatorName is set."""

    lease: Annotated[Text, Field(max_length=512)] | None = None
    """Namespace and name of the Lease that its leader renews; once it stops, another installation takes over."""


class AzureStatus(ApiModel):
    """What the operator has done in Azure, recorded for later reconciles."""

    created: Boolean | None = None
    """Whether the operator created the connector (true) or adopted it (false)."""

    managed_tag_keys: Annotated[
        tuple[Annotated[str, Field(max_length=512)], ...],
        Field(max_length=TAGS_MAX + 2, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """Tags that the operator has set; it removes those that are no longer in the spec."""

    organizations_mode: _Text | None = None
    """spec.organizations.mode that was last applied: with All, organizations that appear later are not onboarded."""

    security_readers: Annotated[
        tuple[Annotated[str, Field(max_length=64)], ...],
        Field(max_length=SECURITY_READERS_MAX, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """Principals to which the operator has assigned Security Reader; those no longer in the spec lose it."""


class AuthorizationStatus(ApiModel):
    """Defender's authorization to Azure DevOps."""

    code_hash: Annotated[str, Field(max_length=64)] | None = None
    """SHA-256 of the latest one-time code; recorded before the code is sent, so that it is never sent again."""

    spent_code_hashes: Annotated[
        tuple[Annotated[str, Field(max_length=64)], ...],
        Field(max_length=PREVIOUS_CODE_HASHES_MAX, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """SHA-256 of earlier codes, which are never sent again either."""

    account: _Text | None = None
    """Account that the last one-time code was issued to, if the code contains it."""

    last_authorized_at: Timestamp | None = None
    """When Defender for Cloud last accepted a code, or the connector was adopted."""


class SignInStatus(ApiModel):
    """The operator's own sign-in to Azure DevOps."""

    account: _Text | None = None
    """Account that is signed in."""

    tenant_id: _Text | None = None
    """Tenant of that account."""

    url: Annotated[str, Field(max_length=2048)] | None = None
    """Page on which a person signs in. It stays the same for the lifetime of this resource."""

    token_expires_at: Timestamp | None = None
    """When the refresh token expires if it is not used; the operator renews it long before that."""


class OrganizationCounts(ApiModel):
    """Numbers of organizations."""

    available: Count | None = None
    """Organizations that the authorizing account can access."""

    onboarded: Count | None = None
    """Organizations that Defender for Cloud covers through this connector."""

    conflicting: Count | None = None
    """Organizations that this resource selects and another connector holds."""


class Progress(ApiModel):
    """Progress of discovery."""

    discovered: Count | None = None
    """Number that Defender for Cloud has reported."""

    expected: Count | None = None
    """Number in Azure DevOps; absent without a sign-in."""


class DiscoveryStatus(ApiModel):
    """Progress of Defender for Cloud in discovering projects and repositories."""

    organizations: OrganizationCounts | None = None
    """Numbers of organizations."""

    projects: Progress | None = None
    """Numbers of projects."""

    repositories: Progress | None = None
    """Numbers of repositories."""

    percent: Annotated[StrictInt, Field(ge=0, le=100)] | None = None
    """Share of the expected repositories that has been discovered; absent without a sign-in."""

    started_at: Timestamp | None = None
    """When this discovery started."""

    counts_changed_at: Timestamp | None = None
    """When one of the counts last changed."""

    completed_at: Timestamp | None = None
    """When Defender for Cloud had reported everything."""

    deadline: Timestamp | None = None
    """When discovery counts as late: the deadline of the spec, or later with very many projects."""

    estimated_completion_at: Timestamp | None = None
    """When discovery will probably be complete, rounded to five minutes; changes only with the counts."""


class ConnectorStatus(ApiModel):
    """State at the last reconcile."""

    observed_generation: Generation = -1
    """metadata.generation that this status describes; -1 until the first reconcile."""

    last_handled_reconcile_at: Annotated[str, Field(max_length=HANDLED_AT_MAX_BYTES)] | None = None
    """Last value of the annotation defender-devops.io/reconcile-requested-at that was handled."""

    conditions: ConditionList = ()
    """Conditions, one for each type; Ready summarizes them."""

    operator: OperatorStatus | None = None
    """Installation of the operator that manages this resource; every other one leaves it alone."""

    connector_id: ResourceId | None = None
    """Azure resource id of the security connector."""

    azure: AzureStatus | None = None
    """What the operator has done in Azure, recorded for later reconciles."""

    authorization: AuthorizationStatus | None = None
    """Defender's authorization to Azure DevOps."""

    sign_in: SignInStatus | None = None
    """The operator's own sign-in to Azure DevOps."""

    discovery: DiscoveryStatus | None = None
    """Progress of Defender for Cloud in discovering projects and repositories."""

    prerequisites: PrerequisiteList | None = None
    """Prerequisites of Defender for Cloud that concern the whole connector, with the result of each check; absent
    while there are none."""

    posture: PostureStatus | None = None
    """What Defender for Cloud has found in the organizations of the connector: the sums of theirs."""
