"""What the sign-in needs from the rest of the operator, as small protocols.

The composition root (`app`) implements and passes them, so that nothing in this package imports the cluster's client,
the Azure clients or the reconciler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pydantic import SecretBytes, SecretStr

from defender_devops.api.connector import Azure, AzureDevOpsConnector
from defender_devops.api.organization import Prerequisite
from defender_devops.api.schema.model import OwnerReference

__all__ = [
    "AzureDevOpsReader",
    "Clock",
    "ConnectorOrganizations",
    "FederatedTokens",
    "OnChange",
    "OnSignIn",
    "SecretStore",
    "StoredSecret",
]

Clock = Callable[[], datetime]
"""Returns the current time, with its time zone."""

OnChange = Callable[[str, str], None]
"""Called with namespace and name of a connector whose sign-in changed, to reconcile it now."""

OnSignIn = Callable[[AzureDevOpsConnector], None]
"""Called with a connector for which a person has just signed in: cached results of checks are obsolete from then on."""


@dataclass(frozen=True)
class StoredSecret:
    """A Kubernetes Secret, reduced to what the sign-in reads and writes.

    Attributes:
        resource_version: as it was read; empty for one that is to be created.
        type: the Secret's type, which is immutable in Kubernetes.
        owners: ownerReferences.
        data: decoded values by key.
    """

    namespace: str
    name: str
    type: str
    resource_version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    owners: Sequence[OwnerReference] = ()
    data: Mapping[str, SecretBytes] = field(default_factory=dict)


class SecretStore(Protocol):
    """Secrets of the cluster, one at a time. Failures are `errors.KubernetesError`s."""

    async def read(self, namespace: str, name: str) -> StoredSecret | None:
        """Return the Secret, or None if it does not exist."""
        ...

    async def create(self, secret: StoredSecret) -> StoredSecret:
        """Create the Secret.

        Raises:
            KubernetesConflict: a Secret of that name exists already.
        """
        ...

    async def replace(self, secret: StoredSecret) -> StoredSecret:
        """Write labels, owners and data, if the Secret is still at `resource_version`.

        Raises:
            KubernetesConflict: another client wrote in between.
            KubernetesNotFound: the Secret was deleted.
        """
        ...


class FederatedTokens(Protocol):
    """Tokens of the operator's own service account, for an app registration that trusts them (RFC 7523)."""

    async def token(self, namespace: str, azure: Azure, client_id: str) -> SecretStr:
        """Return a token for Entra ID (audience api://AzureADTokenExchange).

        Raises:
            CredentialsMissing: the namespace is not granted that client, or the pod has no such token.
        """
        ...


class AzureDevOpsReader(Protocol):
    """What the signed-in account can read from Azure DevOps, for the page after the sign-in."""

    async def organizations(self, connector: AzureDevOpsConnector) -> tuple[str, ...]:
        """Return the names of the organizations that the account is a member of.

        Raises:
            OperatorError: they cannot be listed.
        """
        ...

    async def check(self, connector: AzureDevOpsConnector, organization: str) -> tuple[Prerequisite, ...]:
        """Check the prerequisites of one organization; a check without a result is Unknown."""
        ...


class ConnectorOrganizations(Protocol):
    """The organizations of a connector, for the page after the sign-in."""

    def selected(self, connector: AzureDevOpsConnector, visible: Sequence[str] | None) -> Sequence[str]:
        """Return the names of the organizations that a connector selects, sorted.

        Args:
            connector: the connector.
            visible: names of the organizations that the signed-in account sees; None while they are not listed.
        """
        ...

    def reported_checks(self, connector: AzureDevOpsConnector) -> Mapping[str, tuple[Prerequisite, ...]]:
        """Return the prerequisites that the statuses report, by organization in lower case."""
        ...
