"""The operator's own federated token, for sign-ins of namespaces that are granted its client."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr

from defender_devops.api.connector import Azure
from defender_devops.azure.identity.grants import Grants
from defender_devops.azure.identity.operator_identity import OperatorIdentity

__all__ = ["OperatorFederatedTokens"]


@dataclass(frozen=True, slots=True)
class OperatorFederatedTokens:
    """Implements `signin.ports.FederatedTokens`."""

    identity: OperatorIdentity
    grants: Grants

    async def token(self, namespace: str, azure: Azure, client_id: str) -> SecretStr:
        """Return a token of the operator's service account for Entra ID.

        Raises:
            CredentialsMissing: the namespace is not granted that client, or the pod has no such token.
        """
        self.grants.require_client(namespace, azure, client_id)
        return self.identity.assertion()
