"""DevOpsOrganization: one Azure DevOps organization behind a connector, generated or declared by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from defender_devops.api.azure_types import Annotations
from defender_devops.api.conditions import Status
from defender_devops.api.connector_features import Mode, PullRequestAnnotations, Severity
from defender_devops.api.connector_status import ConditionList, Progress, ResourceId
from defender_devops.api.fields import OBJECT_NAME, OrganizationName
from defender_devops.api.model import ApiModel, Generation, ObjectMeta
from defender_devops.api.names import (
    API_VERSION,
    CONNECTOR_NAME_MAX_LENGTH,
    LABEL_GENERATED,
    ORGANIZATION,
    TRACKING_ANNOTATIONS,
    TRACKING_LABELS,
)
from defender_devops.api.parsing import InvalidManifest, parse
from defender_devops.api.rules import Rule, immutable

__all__ = [
    "ConnectorReference",
    "DevOpsOrganization",
    "InvalidManifest",
    "Onboarding",
    "OrganizationSpec",
    "OrganizationStatus",
    "Prerequisite",
    "PrerequisiteCheck",
    "PullRequestAnnotationsOverride",
    "parse_organization",
]

PREREQUISITES_MAX: Final = 16
_ANEW: Final = "create another DevOpsOrganization instead"


class Onboarding(StrEnum):
    """What a DevOpsOrganization decides."""

    ONBOARDED = "Onboarded"
    EXCLUDED = "Excluded"
    INHERIT = "Inherit"


class PrerequisiteCheck(StrEnum):
    """What Defender for Cloud needs of an organization."""

    TENANT_MATCHES = "TenantMatches"
    PROJECT_COLLECTION_ADMINISTRATOR = "ProjectCollectionAdministrator"
    ACCESS_LEVEL = "AccessLevel"
    THIRD_PARTY_OAUTH_ENABLED = "ThirdPartyOAuthEnabled"
    CONTAINER_MAPPING_EXTENSION = "ContainerMappingExtension"


class ConnectorReference(ApiModel):
    """An AzureDevOpsConnector in the same namespace."""

    name: Annotated[
        str,
        Field(max_length=CONNECTOR_NAME_MAX_LENGTH),
        OBJECT_NAME,
        immutable("connectorRef.name", _ANEW),
    ]
    """Name of an AzureDevOpsConnector in the same namespace. Immutable."""


class PullRequestAnnotationsOverride(ApiModel):
    """Comments by Defender for Cloud in pull requests of this organization."""

    mode: Mode
    """Whether Defender for Cloud comments on findings in pull requests of this organization."""

    minimum_severity: Severity | None = None
    """Findings below this severity are not commented on. Absent: the connector's, or Medium."""

    def desired(self, inherited: PullRequestAnnotations | None) -> Annotations:
        """The same in Azure's terms.

        Args:
            inherited: the connector's own choice, if it has one.
        """
        fallback = inherited or PullRequestAnnotations(mode=self.mode)
        return PullRequestAnnotations(
            mode=self.mode, minimum_severity=self.minimum_severity or fallback.minimum_severity
        ).desired()


class OrganizationSpec(ApiModel):
    """What is decided for one organization."""

    connector_ref: ConnectorReference
    """Connector through which Defender for Cloud reaches the organization."""

    organization: Annotated[OrganizationName, immutable("organization", _ANEW)]
    """Name of the Azure DevOps organization, in any case. Immutable."""

    onboarding: Onboarding | None = None
    """Onboarded: covered, whatever the connector's mode. Excluded: left out. Inherit, or absent: as the connector
    says."""

    pull_request_annotations: PullRequestAnnotationsOverride | None = None
    """Comments by Defender for Cloud in pull requests of this organization. Absent: as the connector says."""


class Prerequisite(ApiModel):
    """Outcome of one check."""

    check: Annotated[str, Field(min_length=1, max_length=64)]
    """What was checked: TenantMatches, ProjectCollectionAdministrator, AccessLevel, ThirdPartyOAuthEnabled or
    ContainerMappingExtension."""

    status: Status
    """True: met. False: not met, and the message says what to do. Unknown: it could not be told."""

    reason: Annotated[str, Field(max_length=128)] | None = None
    """Why, as one word; each is explained in the documentation with its cause and its cure."""

    message: Annotated[str, Field(max_length=1024)] | None = None
    """Why, for people, and what to do about it."""


class OrganizationStatus(ApiModel):
    """What the operator observed last."""

    observed_generation: Generation = -1
    """metadata.generation that this status is about; -1 until the operator has seen the resource."""

    conditions: ConditionList = ()
    """Observations, one for each type; Ready sums them up."""

    organization_id: ResourceId | None = None
    """Azure resource id of the organization below the security connector."""

    onboarding_state: Annotated[str, Field(max_length=64)] | None = None
    """Defender's own word: Onboarded, NotOnboarded, OnboardedByOtherConnector or NotApplicable."""

    conflicting_connector: ResourceId | None = None
    """Azure resource id of the connector that holds the organization instead, as far as this connector's identity may
    see it."""

    prerequisites: Annotated[
        tuple[Prerequisite, ...],
        Field(
            max_length=PREREQUISITES_MAX,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["check"]},
        ),
    ] = ()
    """What Defender for Cloud needs of the organization, check by check."""

    projects: Progress | None = None
    """Numbers of projects."""

    repositories: Progress | None = None
    """Numbers of repositories."""


class DevOpsOrganization(ApiModel):
    """One Azure DevOps organization behind a connector: generated for each one found, or declared to decide."""

    api_version: str = API_VERSION
    """Version of this schema."""

    kind: str = ORGANIZATION.kind
    """Kind of this resource."""

    metadata: Annotated[ObjectMeta, Field(default_factory=ObjectMeta)]
    """Standard metadata."""

    spec: OrganizationSpec
    """What is decided for one organization."""

    status: Annotated[
        OrganizationStatus,
        Field(default_factory=OrganizationStatus, json_schema_extra={"default": {"observedGeneration": -1}}),
    ]
    """What the operator observed last. Written by the operator only."""

    rules: ClassVar[tuple[Rule, ...]] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by: connector and organization (in lower case), never its name."""
        return self.spec.connector_ref.name, self.spec.organization.lower()

    @property
    def onboarding(self) -> Onboarding:
        """What it decides; absent means Inherit."""
        return self.spec.onboarding or Onboarding.INHERIT

    @property
    def is_generated(self) -> bool:
        """Whether the operator made it and may delete it."""
        return self.metadata.labels.get(LABEL_GENERATED) == "true"

    @property
    def is_owned_by_connector(self) -> bool:
        """Whether garbage collection deletes it with a connector, and Argo CD leaves its pruning to that."""
        return any(each.is_connector for each in self.metadata.owner_references)

    @property
    def has_user_decision(self) -> bool:
        """Whether somebody wrote into its spec what the operator never writes: from then on it is theirs."""
        return self.spec.onboarding is not None or self.spec.pull_request_annotations is not None

    @property
    def is_gitops_tracked(self) -> bool:
        """Whether it carries the mark of a GitOps tool."""
        return not (
            TRACKING_ANNOTATIONS.isdisjoint(self.metadata.annotations)
            and TRACKING_LABELS.isdisjoint(self.metadata.labels)
        )

    @property
    def precedence(self) -> tuple[bool, datetime, str]:
        """Sort key by which the first of several for the same organization wins: declared ones, then older ones."""
        created = self.metadata.creation_timestamp or datetime.max.replace(tzinfo=UTC)
        return self.is_generated, created, self.metadata.uid


def parse_organization(body: Mapping[str, Any]) -> DevOpsOrganization:
    """Read an organization from the API server or from a manifest.

    Raises:
        InvalidManifest: it breaks the schema; its message is one sentence that names the field.
    """
    return parse(DevOpsOrganization, body)
