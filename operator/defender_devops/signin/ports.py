"""What the sign-in needs from the rest of the operator, as small protocols.

The cluster package fulfils `SecretStore`; wiring in main passes the others. Nothing here knows Kubernetes' client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pydantic import SecretBytes, SecretStr

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.model import OwnerReference
from defender_devops.api.organization import Prerequisite

__all__ = ["Clock", "FederatedAssertions", "Findings", "OnChange", "OnSignIn", "SecretStore", "StoredSecret"]

Clock = Callable[[], datetime]
"""Gives the present moment, with its time zone."""

OnChange = Callable[[str, str], None]
"""Called with namespace and name of a connector whose sign-in changed, so that it is looked at now."""


OnSignIn = Callable[[AzureDevOpsConnector], None]
"""Called with a connector for which a person has just signed in: what was known as somebody else, or as the same person
before, is to be asked anew."""


@dataclass(frozen=True)
class StoredSecret:
    """A Kubernetes Secret as far as the sign-in reads and writes it.

    Attributes:
        resource_version: as it was read; empty for one that is to be created.
        type: the Secret's type, which Kubernetes never lets change.
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
        """The Secret, or None where there is none."""
        ...

    async def create(self, secret: StoredSecret) -> StoredSecret:
        """Create it.

        Raises:
            KubernetesConflict: there is one of that name.
        """
        ...

    async def replace(self, secret: StoredSecret) -> StoredSecret:
        """Write labels, owners and data, if the Secret still is at `resource_version`.

        Raises:
            KubernetesConflict: somebody wrote in between.
            KubernetesNotFound: it is gone.
        """
        ...


class FederatedAssertions(Protocol):
    """Tokens of the pod's own service account, for a client that trusts it."""

    async def assertion(self, namespace: str, tenant_id: str, subscription_id: str, client_id: str) -> SecretStr:
        """A token for Entra ID (audience api://AzureADTokenExchange).

        Raises:
            CredentialsMissing: the namespace is not granted that client, or the pod has no such token.
        """
        ...


class Findings(Protocol):
    """What Azure DevOps says to the signed-in account, for the page that a person sees after the sign-in."""

    async def organizations(self, connector: AzureDevOpsConnector) -> tuple[str, ...]:
        """Names of the organizations that the account can see.

        Raises:
            OperatorError: they cannot be listed.
        """
        ...

    async def check(self, connector: AzureDevOpsConnector, organization: str) -> tuple[Prerequisite, ...]:
        """The prerequisites of one organization; what cannot be told is Unknown."""
        ...
