"""`spec.azure` of a connector: its place in Azure, and the identity with which the operator works there."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from defender_devops.api.schema.fields import Guid, SecretKeyRef, ServiceAccountRef, Tags, azure_name
from defender_devops.api.schema.model import ApiModel
from defender_devops.api.schema.rules import Rule, pattern_rule


class IdentityType(StrEnum):
    """How the operator authenticates to Entra ID."""

    WORKLOAD_IDENTITY = "WorkloadIdentity"
    MANAGED_IDENTITY = "ManagedIdentity"
    CLIENT_SECRET = "ClientSecret"  # noqa: S105 - the name of a method
    CLIENT_CERTIFICATE = "ClientCertificate"


_WITH_SECRET: Final = frozenset({IdentityType.CLIENT_SECRET, IdentityType.CLIENT_CERTIFICATE})


class Identity(ApiModel):
    """An identity in Entra ID for Azure Resource Manager."""

    type: IdentityType
    """How the operator authenticates. WorkloadIdentity: with a token of the service account in serviceAccountRef,
    which a federated credential of the app or managed identity trusts. ManagedIdentity: with an identity of the node,
    if this namespace is granted it. ClientSecret, ClientCertificate: with the Secret in secretRef."""

    client_id: Guid | None = None
    """Application (client) id. Optional with ManagedIdentity only; absent: the system-assigned identity."""

    service_account_ref: ServiceAccountRef | None = None
    """Service account whose token is exchanged for an Azure token. With WorkloadIdentity only."""

    secret_ref: SecretKeyRef | None = None
    """Secret with the client secret, or with the certificate and its private key in PEM. With ClientSecret and
    ClientCertificate only."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.type == 'ManagedIdentity' || has(self.clientId)",
            message="clientId is required with this type: add the application (client) id",
            holds=lambda identity: identity.type is IdentityType.MANAGED_IDENTITY or identity.client_id is not None,
            field=".clientId",
            reason="FieldValueRequired",
        ),
        Rule(
            cel="(self.type == 'WorkloadIdentity') == has(self.serviceAccountRef)",
            message="serviceAccountRef belongs to type WorkloadIdentity, which requires it: name a service account, or"
            " remove serviceAccountRef",
            holds=lambda identity: (
                (identity.type is IdentityType.WORKLOAD_IDENTITY) == (identity.service_account_ref is not None)
            ),
            field=".serviceAccountRef",
        ),
        Rule(
            cel="(self.type in ['ClientSecret', 'ClientCertificate']) == has(self.secretRef)",
            message="secretRef belongs to types ClientSecret and ClientCertificate, which require it: name a Secret, or"
            " remove secretRef",
            holds=lambda identity: (identity.type in _WITH_SECRET) == (identity.secret_ref is not None),
            field=".secretRef",
        ),
    )


class Azure(ApiModel):
    """Place of the security connector in Azure. After it is created or adopted, only tags and identity can change."""

    tenant_id: Guid
    """Entra tenant of the subscription. The organizations must be connected to the same tenant. Immutable once the
    operator has created or adopted the connector."""

    subscription_id: Guid
    """Subscription that holds the security connector and whose Defender plans apply. Immutable like tenantId."""

    resource_group: Annotated[str, Field(max_length=90), azure_name("resourceGroup")]
    """Resource group that holds the security connector; it must exist. Immutable like tenantId."""

    location: Annotated[
        str,
        Field(max_length=64),
        pattern_rule("[a-z0-9]+", "location is the short name of a region: write westeurope, not West Europe"),
    ]
    """Azure region of the connector's data, in short form such as westeurope. DevOps security is offered in
    australiaeast, canadacentral, centralus, eastasia, eastus, northeurope, swedencentral, uksouth and westeurope, and
    in regions that Azure adds to these. Immutable like tenantId."""

    connector_name: Annotated[str, Field(max_length=260), azure_name("connectorName")] | None = None
    """Name of the security connector in Azure. Absent: the name of this resource. Immutable like tenantId, but
    adding the present name is allowed."""

    tags: Tags = Field(default_factory=dict)
    """Tags of the connector in Azure. Tags that others set are not changed; two more identify the owner."""

    identity: Identity | None = None
    """Identity with which the operator works in Azure for this connector. Absent: the operator's own, which its
    administrator must have granted to this namespace."""
