"""What the operator reports about a connector.

Nothing here moves by itself: times of the last look are metrics. Reading takes values that this version does not know,
for a status may have been written by a newer one.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictInt

from defender_devops.api.conditions import CONDITIONS_MAX, Condition
from defender_devops.api.connector_features import SECURITY_READERS_MAX
from defender_devops.api.fields import TAGS_MAX
from defender_devops.api.model import ApiModel, Boolean, Count, Generation, Timestamp

_Text = Annotated[str, Field(max_length=256)]
ResourceId = Annotated[str, Field(max_length=1024)]
ConditionList = Annotated[
    tuple[Condition, ...],
    Field(
        max_length=CONDITIONS_MAX,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


PREVIOUS_CODE_HASHES_MAX = 20
"""Codes live for minutes, so older ones are of no use to anybody."""


class AzureStatus(ApiModel):
    """What the operator did in Azure and must remember."""

    created: Boolean | None = None
    """Whether the operator created the connector (true) or adopted it (false)."""

    managed_tag_keys: Annotated[
        tuple[Annotated[str, Field(max_length=512)], ...],
        Field(max_length=TAGS_MAX + 2, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """Tags that the operator has set, so that it can remove those that leave the spec."""

    organizations_mode: _Text | None = None
    """spec.organizations.mode that was carried out last: with All, what appears later is not taken in."""

    security_readers: Annotated[
        tuple[Annotated[str, Field(max_length=64)], ...],
        Field(max_length=SECURITY_READERS_MAX, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """Principals that the operator has made Security Readers, so that it can remove those that leave the spec."""


class AuthorizationStatus(ApiModel):
    """What is known of Defender's authorization."""

    code_hash: Annotated[str, Field(max_length=64)] | None = None
    """SHA-256 of the last one-time code that was sent; written down before it is sent, and never sent again."""

    spent_code_hashes: Annotated[
        tuple[Annotated[str, Field(max_length=64)], ...],
        Field(max_length=PREVIOUS_CODE_HASHES_MAX, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """SHA-256 of the codes before that one; none of them is sent again either."""

    last_authorized_at: Timestamp | None = None
    """When Defender for Cloud last accepted a code, or the connector was adopted."""


class SignInStatus(ApiModel):
    """What is known of the operator's own sign-in."""

    account: _Text | None = None
    """Account that is signed in."""

    tenant_id: _Text | None = None
    """Tenant of that account."""

    url: Annotated[str, Field(max_length=2048)] | None = None
    """Page on which a person signs in. It stays the same for the life of this resource."""

    token_expires_at: Timestamp | None = None
    """When the refresh token expires if it is not used; the operator renews it long before."""


class OrganizationCounts(ApiModel):
    """Numbers of organizations."""

    available: Count | None = None
    """Organizations that the authorizing account sees."""

    onboarded: Count | None = None
    """Organizations that Defender for Cloud covers through this connector."""

    conflicting: Count | None = None
    """Organizations that are wanted here and held by another connector."""


class Progress(ApiModel):
    """How far discovery has come."""

    discovered: Count | None = None
    """How many Defender for Cloud has reported."""

    expected: Count | None = None
    """How many Azure DevOps holds; absent without a sign-in."""


class DiscoveryStatus(ApiModel):
    """How far Defender for Cloud has come in listing what Azure DevOps holds."""

    organizations: OrganizationCounts | None = None
    """Numbers of organizations."""

    projects: Progress | None = None
    """Numbers of projects."""

    repositories: Progress | None = None
    """Numbers of repositories."""

    percent: Annotated[StrictInt, Field(ge=0, le=100)] | None = None
    """Share of the expected repositories that is discovered; absent without a sign-in."""

    started_at: Timestamp | None = None
    """When this discovery began."""

    counts_changed_at: Timestamp | None = None
    """When one of the counts last changed."""

    completed_at: Timestamp | None = None
    """When Defender for Cloud had reported everything."""

    deadline: Timestamp | None = None
    """When discovery counts as late: the spec's deadline, or longer for very many projects."""

    estimated_completion_at: Timestamp | None = None
    """When it will probably be done, rounded to five minutes; it moves only with the counts."""


class ConnectorStatus(ApiModel):
    """What the operator observed last."""

    observed_generation: Generation = -1
    """metadata.generation that this status is about; -1 until the operator has seen the resource."""

    last_handled_reconcile_at: _Text | None = None
    """Last value of the annotation defender-devops.io/reconcile-requested-at that was acted on."""

    conditions: ConditionList = ()
    """Observations, one for each type; Ready sums them up."""

    connector_id: ResourceId | None = None
    """Azure resource id of the security connector."""

    azure: AzureStatus | None = None
    """What the operator did in Azure and must remember."""

    authorization: AuthorizationStatus | None = None
    """What is known of Defender's authorization."""

    sign_in: SignInStatus | None = None
    """What is known of the operator's own sign-in."""

    discovery: DiscoveryStatus | None = None
    """How far Defender for Cloud has come in listing what Azure DevOps holds."""
