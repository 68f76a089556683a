"""What the cluster knows that a plan depends on: the resources, whose they are, and the one-time codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from defender_devops.app.secret_store import ClusterSecretStore
from defender_devops.authorization_code.pasted_codes import PastedCodes
from defender_devops.cli.cluster_access import Cluster
from defender_devops.cluster.client import Body
from defender_devops.cluster.namespaces import cluster_uid
from defender_devops.cluster.secrets import Secrets
from defender_devops.errors import KubernetesRefused
from defender_devops.reconcile.cache.resource_cache import ResourceCache
from defender_devops.reconcile.observe.one_time_code import OneTimeCodes
from defender_devops.signin.tokens.token_store import TokenStore

__all__ = ["Surroundings", "look_around"]

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the cluster knows; empty where there is none to ask.

    Attributes:
        connectors: by namespace and name.
        organizations: by namespace and name.
        cluster_id: of the owner tag, or None where it may not be read.
        sees_all: whether the connectors are those of all namespaces.
        cluster: to ask further, or None.
    """

    connectors: Mapping[Key, Body] = field(default_factory=dict)
    organizations: Mapping[Key, Body] = field(default_factory=dict)
    cluster_id: str | None = None
    sees_all: bool = False
    cluster: Cluster | None = None

    @property
    def codes(self) -> OneTimeCodes | None:
        """One-time codes in the cluster's Secrets."""
        if self.cluster is None:
            return None
        secrets, resources = Secrets(self.cluster.client), ResourceCache()
        for body in self.connectors.values():
            resources.upsert_connector(body)
        return OneTimeCodes(secrets, resources, PastedCodes(TokenStore(ClusterSecretStore(secrets))))

    @property
    def existing_owner_uids(self) -> frozenset[str] | None:
        """Uids of the cluster's connectors, or None where not all are known."""
        return frozenset(body["metadata"]["uid"] for body in self.connectors.values()) if self.sees_all else None


async def look_around(cluster: Cluster, namespaces: Iterable[str]) -> Surroundings:
    """Read what is known in these namespaces, and who owns connectors in the others as far as that is allowed.

    Raises:
        KubernetesError: the namespaces cannot be read.
    """
    wanted = sorted(set(namespaces))
    try:
        connectors, sees_all = await cluster.connectors(None), True
    except KubernetesRefused:
        connectors, sees_all = [body for each in wanted for body in await cluster.connectors(each)], False
    organizations = [body for each in wanted for body in await cluster.organizations(each)]
    try:
        cluster_id = await cluster_uid(cluster.client)
    except KubernetesRefused:
        cluster_id = None
    return Surroundings(_by_key(connectors), _by_key(organizations), cluster_id, sees_all, cluster)


def _by_key(bodies: Iterable[Body]) -> dict[Key, Body]:
    return {(body["metadata"]["namespace"], body["metadata"]["name"]): body for body in bodies}
