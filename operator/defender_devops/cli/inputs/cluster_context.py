"""What a plan needs from the cluster: resources, the owner of each connector, and one-time codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.app.secret_store import ClusterSecretStore
from defender_devops.authorization_code.pasted_codes import PastedCodes
from defender_devops.cli.cluster_access import Cluster
from defender_devops.cluster.client import Body
from defender_devops.cluster.cluster_uid import cluster_uid
from defender_devops.cluster.secrets import Secrets
from defender_devops.errors import KubernetesRefused
from defender_devops.reconcile.cache.resource_cache import ResourceCache, connector_ref_of
from defender_devops.reconcile.observe.one_time_code import OneTimeCodes
from defender_devops.signin.tokens.token_store import TokenStore

__all__ = ["ClusterContext", "read_cluster_context"]

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ClusterContext:
    """State of the cluster; empty without a cluster.

    Attributes:
        connectors: bodies by namespace and name.
        organizations: bodies by namespace and name.
        cluster_id: the cluster's part of owner tags, or None if the permission to read it is missing.
        has_all_namespaces: whether `connectors` are those of all namespaces.
        cluster: for further requests, or None.
    """

    connectors: Mapping[Key, Body] = field(default_factory=dict)
    organizations: Mapping[Key, Body] = field(default_factory=dict)
    cluster_id: str | None = None
    has_all_namespaces: bool = False
    cluster: Cluster | None = None

    @property
    def codes(self) -> OneTimeCodes | None:
        """Reader of the one-time codes in the cluster's Secrets."""
        if self.cluster is None:
            return None
        secrets, resources = Secrets(self.cluster.client), ResourceCache()
        for body in self.connectors.values():
            resources.upsert_connector(body)
        return OneTimeCodes(secrets, resources, PastedCodes(TokenStore(ClusterSecretStore(secrets))))

    def with_equal_connector_id(self, connector: AzureDevOpsConnector) -> list[Body]:
        """Return the bodies of the other connectors that manage the same connector in Azure."""
        key, connector_id = (connector.metadata.namespace, connector.metadata.name), connector.connector_ref.key
        return [
            body
            for other, body in self.connectors.items()
            if other != key and connector_ref_of(body).key == connector_id
        ]

    @property
    def existing_owner_uids(self) -> frozenset[str] | None:
        """Uids of all connectors in the cluster, or None if some namespaces could not be read."""
        if not self.has_all_namespaces:
            return None
        return frozenset(body["metadata"]["uid"] for body in self.connectors.values())

    @property
    def deleting_owner_uids(self) -> frozenset[str]:
        """Uids of the connectors that are being deleted."""
        bodies = self.connectors.values()
        return frozenset(body["metadata"]["uid"] for body in bodies if "deletionTimestamp" in body["metadata"])


async def read_cluster_context(cluster: Cluster, namespaces: Iterable[str]) -> ClusterContext:
    """Read these namespaces, and the connectors of the others if that is permitted.

    Raises:
        KubernetesError: the namespaces cannot be read.
    """
    names = sorted(set(namespaces))
    try:
        connectors, has_all_namespaces = await cluster.connectors(None), True
    except KubernetesRefused:
        connectors = [body for namespace in names for body in await cluster.connectors(namespace)]
        has_all_namespaces = False
    organizations = [body for namespace in names for body in await cluster.organizations(namespace)]
    try:
        cluster_id = await cluster_uid(cluster.client)
    except KubernetesRefused:
        cluster_id = None
    return ClusterContext(_by_key(connectors), _by_key(organizations), cluster_id, has_all_namespaces, cluster)


def _by_key(bodies: Iterable[Body]) -> dict[Key, Body]:
    return {(body["metadata"]["namespace"], body["metadata"]["name"]): body for body in bodies}
