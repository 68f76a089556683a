"""Which namespace may act in Azure with which identity.

The operator has access to identities that are worth more than the right to write a connector: its own, those of its
node, and the tokens of service accounts that it can request. Connectors of a namespace may use one only where an
administrator granted it; outside the operator's own namespace nothing is granted by default. A client secret or a
certificate needs no grant: it is in the connector's own namespace, so someone with the secret stored it there.
"""

from __future__ import annotations

from dataclasses import dataclass

from defender_devops.api.connector import Azure, Identity, IdentityType
from defender_devops.errors import CredentialsMissing
from defender_devops.settings import IdentityGrant

__all__ = ["Grants"]

_OPERATOR = "the operator itself"
_SYSTEM_ASSIGNED = "the node's system-assigned identity"


@dataclass(frozen=True, slots=True)
class Grants:
    """The grants of this installation.

    Attributes:
        operator_namespace: may use every identity.
        identity_grants: as the administrator configured them.
        operator_client_id: client id of the operator's own identity; a connector with it uses the operator's identity.
    """

    operator_namespace: str
    identity_grants: tuple[IdentityGrant, ...] = ()
    operator_client_id: str | None = None

    def require(self, namespace: str, azure: Azure) -> None:
        """Require that a connector of a namespace may use the identity of its spec.

        Raises:
            CredentialsMissing: it is not granted; the message says which grant to ask the administrator for.
        """
        identity = azure.identity
        if namespace == self.operator_namespace or (identity is not None and _is_in_namespace(identity)):
            return
        account = identity.service_account_ref.name if identity and identity.service_account_ref else None
        client = self._client(identity.client_id, _SYSTEM_ASSIGNED) if identity is not None else _OPERATOR
        self.require_client(namespace, azure, client, account)

    def require_client(self, namespace: str, azure: Azure, client_id: str | None, account: str | None = None) -> None:
        """Require that a namespace may act as a client for a connector in a resource group.

        Args:
            namespace: of the resource.
            azure: its `spec.azure`, with tenant, subscription and resource group of the connector.
            client_id: the client; None for the operator itself.
            account: service account whose token authenticates the client, or None for the operator's own means.

        Raises:
            CredentialsMissing: it is not granted.
        """
        if namespace == self.operator_namespace:
            return
        client, group = self._client(client_id, _OPERATOR), azure.resource_group.lower()
        request = (namespace, azure.tenant_id.lower(), azure.subscription_id.lower(), client, account)
        grants = [grant for grant in self.identity_grants if self._granted(grant) == request]
        if any(grant.resource_groups is None or group in map(str.lower, grant.resource_groups) for grant in grants):
            return
        if account is not None:
            permission = f"to act by tokens of the service account {account}"
        else:
            name = client if client in (_OPERATOR, _SYSTEM_ASSIGNED) else f"the client {client}"
            permission = f"to act as {name}"
        fields = {
            "namespace": namespace,
            "tenantId": azure.tenant_id,
            "subscriptionId": azure.subscription_id,
            "clientId": None if client in (_OPERATOR, _SYSTEM_ASSIGNED) else client,
            "serviceAccountName": account,
            # Other groups are granted already, so the administrator narrowed the grant on purpose.
            "resourceGroups": f"[{azure.resource_group}]" if grants else None,
        }
        grant_text = ", ".join(f"{name} {value}" for name, value in fields.items() if value is not None)
        scope = f"resource group {azure.resource_group} of subscription" if grants else "subscription"
        raise CredentialsMissing(
            f"Namespace {namespace} is not granted {permission} in {scope} {azure.subscription_id}. Name an identity "
            "of your own in spec.azure.identity, or ask the operator's administrator to add to the chart's "
            f"identityGrants: {grant_text}."
        )

    def _granted(self, grant: IdentityGrant) -> tuple[str, str, str, str, str | None]:
        """The request that a grant permits, apart from its resource groups."""
        return (
            grant.namespace,
            grant.tenant_id.lower(),
            grant.subscription_id.lower(),
            self._client(grant.client_id, _OPERATOR),
            grant.service_account_name,
        )

    def _client(self, client_id: str | None, default: str) -> str:
        """The client in its canonical form: the operator's own client id is the operator itself."""
        if client_id is None or client_id in (_OPERATOR, _SYSTEM_ASSIGNED):
            return client_id or default
        is_operator = client_id.lower() == (self.operator_client_id or "").lower()
        return _OPERATOR if is_operator else client_id.lower()


def _is_in_namespace(identity: Identity) -> bool:
    """Whether the credential itself is in the connector's namespace."""
    return identity.type in (IdentityType.CLIENT_SECRET, IdentityType.CLIENT_CERTIFICATE)
