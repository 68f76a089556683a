"""AzureDevOpsConnector: one security connector of Defender for Cloud, with its spec and status.

The parts of the spec have modules of their own; all of them can be imported from here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.api.connector_status import (
    HANDLED_AT_MAX_BYTES,
    AuthorizationStatus,
    AzureStatus,
    ConnectorStatus,
    DiscoveryStatus,
    OrganizationCounts,
    Progress,
    SignInStatus,
)
from defender_devops.api.names import (
    ANNOTATION_RECONCILE_REQUESTED_AT,
    API_VERSION,
    CONNECTOR,
    CONNECTOR_NAME_MAX_LENGTH,
    default_token_secret_name,
)
from defender_devops.api.schema.durations import PATTERN, Duration
from defender_devops.api.schema.fields import SecretKeyRef, ServiceAccountRef
from defender_devops.api.schema.model import ApiModel, Boolean, ObjectMeta
from defender_devops.api.schema.parsing import InvalidManifest, parse_resource
from defender_devops.api.schema.rules import Rule
from defender_devops.api.spec.azure import Azure, Identity, IdentityType
from defender_devops.api.spec.features import (
    SECURITY_READERS_MAX,
    AgentlessScanning,
    Mode,
    PrincipalType,
    PullRequestAnnotations,
    ScanningInventory,
    ScanningScope,
    SecurityReader,
    Severity,
)
from defender_devops.api.spec.organizations import Organizations, OrganizationsMode, OverridesPolicy
from defender_devops.api.spec.pipelines import PipelineChecks
from defender_devops.api.spec.sign_in import (
    Authorization,
    AuthorizationMethod,
    ClientType,
    SignIn,
    SignInClient,
    SignInMethod,
)

__all__ = [
    "AdoptionPolicy",
    "AgentlessScanning",
    "Authorization",
    "AuthorizationMethod",
    "AuthorizationStatus",
    "Azure",
    "AzureDevOpsConnector",
    "AzureStatus",
    "ClientType",
    "ConnectorSpec",
    "ConnectorStatus",
    "DeletionPolicy",
    "Discovery",
    "DiscoveryStatus",
    "Identity",
    "IdentityType",
    "InvalidManifest",
    "ManagementPolicy",
    "Mode",
    "OrganizationCounts",
    "Organizations",
    "OrganizationsMode",
    "OverridesPolicy",
    "PipelineChecks",
    "PrincipalType",
    "Progress",
    "PullRequestAnnotations",
    "ScanningInventory",
    "ScanningScope",
    "SecretKeyRef",
    "SecurityReader",
    "ServiceAccountRef",
    "Severity",
    "SignIn",
    "SignInClient",
    "SignInMethod",
    "SignInStatus",
    "parse_connector",
]

_DEADLINE_MINIMUM = timedelta(minutes=15)
_DEADLINE_MAXIMUM = timedelta(hours=168)


class ManagementPolicy(StrEnum):
    """Whether the operator changes anything in Azure."""

    MANAGE = "Manage"
    OBSERVE = "Observe"


class AdoptionPolicy(StrEnum):
    """Whether a connector that exists already is adopted."""

    NEVER = "Never"
    IF_UNMANAGED = "IfUnmanaged"
    ALWAYS = "Always"


class DeletionPolicy(StrEnum):
    """What happens to the connector in Azure when the resource is deleted."""

    DELETE = "Delete"
    DETACH = "Detach"


class Discovery(ApiModel):
    """When discovery counts as late."""

    deadline: Annotated[
        Duration,
        Rule(
            cel=f"self.matches(r'^(?:{PATTERN})$') && "
            "duration(self) >= duration('15m') && duration(self) <= duration('168h')",
            message="deadline must be a duration between 15m and 168h, such as 8h or 1h30m",
            holds=lambda deadline: _DEADLINE_MINIMUM <= deadline <= _DEADLINE_MAXIMUM,
        ),
    ] = timedelta(hours=8)
    """How long Defender for Cloud may take to report everything before Discovered becomes DeadlineExceeded; longer for
    very many projects, as about 100 are discovered in an hour. Between 15m and 168h."""


class ConnectorSpec(ApiModel):
    """Desired state of the security connector and its organizations."""

    azure: Azure
    """Place of the security connector in Azure, and the identity with which the operator works there."""

    organizations: Organizations
    """Azure DevOps organizations that Defender for Cloud covers."""

    authorization: Annotated[
        Authorization, Field(default_factory=Authorization, json_schema_extra={"default": {"method": "Adopt"}})
    ]
    """Defender's own authorization to Azure DevOps. Absent: Adopt."""

    sign_in: SignIn | None = None
    """The operator's own sign-in to Azure DevOps, with which it checks prerequisites and counts what Defender should
    discover. Absent: none."""

    pull_request_annotations: PullRequestAnnotations | None = None
    """Comments by Defender for Cloud in pull requests of all organizations; a DevOpsOrganization can override it.
    Absent: not managed."""

    agentless_scanning: AgentlessScanning | None = None
    """Agentless code scanning. Absent: not managed."""

    pipeline_checks: PipelineChecks | None = None
    """Which repositories are scanned, and by what. Absent: not checked."""

    security_readers: Annotated[
        tuple[SecurityReader, ...],
        Field(
            max_length=SECURITY_READERS_MAX,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["objectId"]},
        ),
    ] = ()
    """Principals that have the role Security Reader on the connector; those removed from this list lose it. The
    operator's identity needs the permission to assign roles for that."""

    discovery: Annotated[Discovery, Field(default_factory=Discovery, json_schema_extra={"default": {"deadline": "8h"}})]
    """When discovery counts as late."""

    management_policy: ManagementPolicy = ManagementPolicy.MANAGE
    """Manage: Azure is changed to match this spec. Observe: it is read and reported, and nothing is changed."""

    adoption_policy: AdoptionPolicy = AdoptionPolicy.IF_UNMANAGED
    """What to do with a connector that exists already. IfUnmanaged: adopt it unless another existing resource owns it.
    Never: do not adopt it. Always: adopt it once, also if a resource of another cluster owns it. A connector of another
    resource in this cluster is never adopted while that resource exists and is not being deleted."""

    deletion_policy: DeletionPolicy | None = None
    """What happens to the connector in Azure when this resource is deleted. Delete: it is deleted, with its
    authorization. Detach: it stays. Absent: Delete if the operator created it, Detach if it adopted it."""

    suspend: Boolean = False
    """While true, nothing is read or changed in Azure, also when this resource is deleted."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.authorization.method != 'Adopt' || self.adoptionPolicy != 'Never'",
            message="adoptionPolicy cannot be Never with authorization.method Adopt, which is about a connector that"
            " exists: use IfUnmanaged, or method Code",
            holds=lambda spec: (
                spec.authorization.method is not AuthorizationMethod.ADOPT
                or spec.adoption_policy is not AdoptionPolicy.NEVER
            ),
            field=".adoptionPolicy",
        ),
    )

    @property
    def authorizing_account(self) -> str | None:
        """The account that authorizes Defender: the declared one, or the one that signs in for the operator."""
        return self.authorization.account or (self.sign_in.account if self.sign_in else None)

    @property
    def page_accepts_code(self) -> bool:
        """Whether the sign-in page accepts one-time codes: only of a browser where the authorizing account signs in.

        The page accepts no sign-in but that of spec.signIn.account.
        """
        if self.sign_in is None or self.sign_in.method is not SignInMethod.AUTHORIZATION_CODE:
            return False
        account, authorizing = self.sign_in.account, self.authorizing_account
        return account is not None and authorizing is not None and account.lower() == authorizing.lower()

    @property
    def sign_in_method(self) -> SignInMethod:
        """The method of signing in; an absent block means None."""
        return self.sign_in.method if self.sign_in else SignInMethod.NONE

    @property
    def has_pipeline_checks(self) -> bool:
        """Whether the operator checks pipelines: only where that is enabled, and with a sign-in of its own."""
        checks = self.pipeline_checks
        is_enabled = checks is not None and checks.mode is Mode.ENABLED
        return is_enabled and self.sign_in_method is not SignInMethod.NONE

    @property
    def pipeline_checks_interval(self) -> float | None:
        """Seconds between two checks of pipelines; None while they are not checked."""
        checks = self.pipeline_checks
        return checks.interval.total_seconds() if checks is not None and self.has_pipeline_checks else None

    def effective_deletion_policy(self, *, created: bool) -> DeletionPolicy:
        """Return what deletion does in Azure.

        Args:
            created: whether the operator created the connector. An adopted one stays by default, since only a person
                could authorize it again.
        """
        return self.deletion_policy or (DeletionPolicy.DELETE if created else DeletionPolicy.DETACH)


_IN_AZURE_CEL = (
    "(has(oldSelf.status) && ((has(oldSelf.status.azure) && has(oldSelf.status.azure.created)) || "
    "(has(oldSelf.status.authorization) && has(oldSelf.status.authorization.codeHash))))"
)
"""Whether the operator has created or adopted a connector, or is about to authorize one.

Not `connectorId`: it is also set for a connector that this resource must not use, such as one in another region, and
then the spec is what has to be corrected.
"""


def _immutable_in_azure(field: str) -> Rule:
    """Return a rule that a field of spec.azure is fixed from the moment that something in Azure depends on it.

    It belongs to the root, because only there status is visible.
    """
    return Rule(
        cel=f"self.spec.azure.{field} == oldSelf.spec.azure.{field} || !{_IN_AZURE_CEL}",
        message=f"{field} cannot be changed once the connector exists in Azure, which cannot move it. Delete this"
        " resource and create it again",
        field=f".spec.azure.{field}",
        reason="FieldValueForbidden",
    )


_NAME_CEL = "(has({0}.spec.azure.connectorName) ? {0}.spec.azure.connectorName : {0}.metadata.name)"


class AzureDevOpsConnector(ApiModel):
    """Connects Azure DevOps organizations to Microsoft Defender for Cloud through one security connector in Azure."""

    api_version: str = API_VERSION
    """Version of this schema."""

    kind: str = CONNECTOR.kind
    """Kind of this resource."""

    metadata: Annotated[ObjectMeta, Field(default_factory=ObjectMeta)]
    """Standard metadata; the name has at most 63 characters."""

    spec: ConnectorSpec
    """Desired state of the security connector and its organizations."""

    status: Annotated[
        ConnectorStatus,
        Field(default_factory=ConnectorStatus, json_schema_extra={"default": {"observedGeneration": -1}}),
    ]
    """State at the last reconcile. Written by the operator only."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=f"size(self.metadata.name) <= {CONNECTOR_NAME_MAX_LENGTH}",
            message="the name must have at most 63 characters, as it labels the connector's organizations: choose a"
            " shorter one",
            holds=lambda connector: len(connector.metadata.name) <= CONNECTOR_NAME_MAX_LENGTH,
            field=".metadata.name",
        ),
        *(_immutable_in_azure(field) for field in ("tenantId", "subscriptionId", "resourceGroup", "location")),
        Rule(
            cel=f"{_NAME_CEL.format('self')} == {_NAME_CEL.format('oldSelf')} || !{_IN_AZURE_CEL}",
            message="connectorName cannot be changed once the connector exists in Azure, which cannot rename it. Delete"
            " this resource and create it again",
            message_expression="'connectorName cannot be changed from ' + "
            + _NAME_CEL.format("oldSelf")
            + " + ' once the connector exists in Azure, which cannot rename it. Delete this resource and create it"
            " again'",
            field=".spec.azure.connectorName",
            reason="FieldValueForbidden",
        ),
    )

    @property
    def connector_name(self) -> str:
        """Name of the security connector in Azure."""
        return self.spec.azure.connector_name or self.metadata.name

    @property
    def connector_ref(self) -> ConnectorRef:
        """Address of the security connector in Azure."""
        azure = self.spec.azure
        return ConnectorRef(azure.subscription_id, azure.resource_group, self.connector_name)

    @property
    def deletion_policy(self) -> DeletionPolicy:
        """What deletion does in Azure, by the spec and by whether the operator created the connector."""
        created = self.status.azure is not None and self.status.azure.created is True
        return self.spec.effective_deletion_policy(created=created)

    @property
    def token_secret_name(self) -> str:
        """Name of the Secret that holds the operator's sign-in for this connector."""
        name = self.spec.sign_in.token_secret_name if self.spec.sign_in else None
        return name or default_token_secret_name(self.metadata.name)

    @property
    def reconcile_requested_at(self) -> str | None:
        """Value of the annotation that requests a reconcile; None if there is none."""
        value = self.metadata.annotations.get(ANNOTATION_RECONCILE_REQUESTED_AT)
        if value is None or (len(value.encode()) <= HANDLED_AT_MAX_BYTES and value.isprintable()):
            return value
        # The API server would reject every status with it, so that the last one would stay for ever.
        return f"sha256:{hashlib.sha256(value.encode()).hexdigest()}"

    @property
    def is_reconcile_requested(self) -> bool:
        """Whether a requested reconcile has not been done yet."""
        return self.reconcile_requested_at not in {None, self.status.last_handled_reconcile_at}


def parse_connector(body: Mapping[str, Any]) -> AzureDevOpsConnector:
    """Read a connector from the API server or from a manifest.

    Raises:
        InvalidManifest: it violates the schema or a rule; the message is one sentence that names the field.
    """
    return parse_resource(AzureDevOpsConnector, body)
