"""Who may act in Azure as whom.

The operator holds identities that are worth more than the right to write a connector: its own, those of its node, and
the tokens of service accounts that it can ask for. Each may be used by connectors of a namespace only where an
administrator granted it; nothing is granted by default, outside the operator's own namespace. A client secret or a
certificate needs no grant: it lies in the connector's own namespace, where somebody put it who knew it.
"""

from __future__ import annotations

from dataclasses import dataclass

from defender_devops.api.connector import Azure, Identity, IdentityType
from defender_devops.errors import CredentialsMissing
from defender_devops.settings import IdentityGrant

__all__ = ["Grants"]

_SELF = "the operator itself"
_SYSTEM = "the node's system-assigned identity"


@dataclass(frozen=True, slots=True)
class Grants:
    """The grants of this installation.

    Attributes:
        operator_namespace: may use everything.
        given: by the administrator.
        own_client_id: of the operator's own identity; whoever names it means the operator itself.
    """

    operator_namespace: str
    given: tuple[IdentityGrant, ...] = ()
    own_client_id: str | None = None

    def require(self, namespace: str, azure: Azure) -> None:
        """Let a connector of that namespace use the identity that it names, or refuse it.

        Raises:
            CredentialsMissing: it is not granted; the message says to whom to turn for what.
        """
        identity = azure.identity
        if namespace == self.operator_namespace or (identity is not None and _is_its_own(identity)):
            return
        account = identity.service_account_ref.name if identity and identity.service_account_ref else None
        wanted = self._client(identity.client_id, _SYSTEM) if identity is not None else _SELF
        self.require_client(namespace, azure.tenant_id, azure.subscription_id, wanted, account)

    def require_client(
        self, namespace: str, tenant_id: str, subscription_id: str, client_id: str | None, account: str | None = None
    ) -> None:
        """Let a namespace act as a client in a subscription, or refuse it.

        Args:
            namespace: of whoever asks.
            tenant_id: where it wants to act.
            subscription_id: where it wants to act.
            client_id: as whom; None for the operator itself.
            account: service account whose token is to stand for the client, or None for what the operator holds.

        Raises:
            CredentialsMissing: it is not granted.
        """
        wanted = self._client(client_id, _SELF)
        asked = (namespace, tenant_id.lower(), subscription_id.lower(), wanted, account)
        if namespace == self.operator_namespace or any(self._given(grant) == asked for grant in self.given):
            return
        client = "" if wanted in (_SELF, _SYSTEM) else f", clientId {wanted}"
        raise CredentialsMissing(
            f"Namespace {namespace} is not granted {_as_whom(wanted, account)} in subscription {subscription_id}. Name "
            "an identity of your own in spec.azure.identity, or ask the operator's administrator to add to the chart's "
            f"identityGrants: namespace {namespace}, tenantId {tenant_id}, subscriptionId {subscription_id}{client}"
            f"{f', serviceAccountName {account}' if account else ''}."
        )

    def _given(self, grant: IdentityGrant) -> tuple[str, str, str, str, str | None]:
        return (
            grant.namespace,
            grant.tenant_id.lower(),
            grant.subscription_id.lower(),
            self._client(grant.client_id, _SELF),
            grant.service_account_name,
        )

    def _client(self, client_id: str | None, absent: str) -> str:
        if client_id is None or client_id in (_SELF, _SYSTEM):
            return client_id or absent
        own = (self.own_client_id or "").lower()
        return _SELF if client_id.lower() == own else client_id.lower()


def _is_its_own(identity: Identity) -> bool:
    return identity.type in (IdentityType.CLIENT_SECRET, IdentityType.CLIENT_CERTIFICATE)


def _as_whom(client: str, account: str | None) -> str:
    if account is not None:
        return f"to act by tokens of the service account {account}"
    return f"to act as {client if client in (_SELF, _SYSTEM) else f'the client {client}'}"
