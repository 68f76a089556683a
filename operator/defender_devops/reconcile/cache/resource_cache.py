"""The newest body of every AzureDevOpsConnector and DevOpsOrganization, from the watches and from our own writes.

Bodies are kept as compact JSON: 6,000 of them as Python objects would need more memory than the rest of the operator.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from pydantic_core import from_json, to_json

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.api.names import (
    ANNOTATION_RECONCILE_REQUESTED_AT,
    CONNECTOR,
    FINALIZER,
    LABEL_GENERATED,
    ORGANIZATION,
    TRACKING_ANNOTATIONS,
    TRACKING_LABELS,
)
from defender_devops.api.schema.model import ObjectMeta
from defender_devops.authorization_code.used_codes import used_code_hashes_in_body

__all__ = ["Body", "Key", "MetricsSink", "ResourceCache", "connector_ref_of"]

Body = Mapping[str, Any]
V = TypeVar("V", bound=Hashable)

_REMOVED_UIDS_MAX: Final = 1000
"""Uids of removed objects that are remembered: many more than requests can be under way when an object is deleted."""


class Key(NamedTuple):
    """Namespace and name of a resource.

    Reconciles are queued by it rather than by uid: the finalizer keeps a resource and its successor of the same name
    from existing at the same time.
    """

    namespace: str
    name: str

    @classmethod
    def from_body(cls, body: Body) -> Key:
        """Return the key of a resource by its body."""
        return cls(body["metadata"]["namespace"], body["metadata"]["name"])

    @classmethod
    def from_metadata(cls, metadata: ObjectMeta) -> Key:
        """Return the key of a parsed resource."""
        return cls(metadata.namespace, metadata.name)


class MetricsSink(Protocol):
    """Receives the newest body of each resource, for metrics."""

    def upsert(self, body: Body) -> None:
        """A body has become the newest of its resource."""

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """A resource is deleted."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One body.

    Attributes:
        uid: distinguishes a new object from an old one of the same name.
        version: metadata.resourceVersion; versions of the API server compare as numbers (Kubernetes 1.35 and later
            guarantee it, etcd has always worked so).
        digest: hash of all that a reconcile depends on, without what the operator itself writes.
        has_finalizer: whether our finalizer is on it.
        body: JSON without managedFields.
    """

    uid: str
    version: int
    digest: int
    has_finalizer: bool
    body: bytes

    def parse(self) -> dict[str, Any]:
        body: dict[str, Any] = from_json(self.body)
        return body


class _Index(Generic[V]):
    """Which connectors refer to a value."""

    def __init__(self) -> None:
        self._values: dict[Key, tuple[V, ...]] = {}
        self._keys: defaultdict[V, set[Key]] = defaultdict(set)

    def set(self, key: Key, values: Iterable[V]) -> None:
        """Replace the values of a connector."""
        for value in self._values.pop(key, ()):
            self._keys[value].discard(key)
            if not self._keys[value]:
                del self._keys[value]
        if current := tuple(dict.fromkeys(values)):
            self._values[key] = current
        for value in current:
            self._keys[value].add(key)

    def values(self, key: Key) -> tuple[V, ...]:
        """Return the values that a connector refers to."""
        return self._values.get(key, ())

    def keys(self, value: V) -> frozenset[Key]:
        """Return the connectors that refer to a value."""
        return frozenset(self._keys.get(value, ()))


class ResourceCache:
    """Cache of both kinds. Methods that store report whether something changed that a reconcile depends on.

    Args:
        metrics: receives each newest body.
    """

    def __init__(self, metrics: MetricsSink | None = None) -> None:
        self._metrics = metrics
        self._connectors: dict[Key, _Entry] = {}
        self._organizations: dict[Key, _Entry] = {}
        self._removed_uids: OrderedDict[str, None] = OrderedDict()
        self._by_connector_id: _Index[str] = _Index()
        self._by_secret: _Index[Key] = _Index()
        # Names of the organizations of each connector and of each namespace; connectors by onboarded organization.
        self._children: defaultdict[Key, set[str]] = defaultdict(set)
        self._names: defaultdict[str, set[str]] = defaultdict(set)
        self._onboarded_by: defaultdict[str, set[Key]] = defaultdict(set)
        self._connector_uids: set[str] = set()
        self._deleting_uids: set[str] = set()

    def is_current(self, body: Body) -> bool:
        """Whether the cache holds this body of either kind, or a newer one under its name."""
        entries = self._connectors if body["kind"] == CONNECTOR.kind else self._organizations
        return _is_superseded(entries.get(Key.from_body(body)), body)

    def is_removed(self, uid: str) -> bool:
        """Whether an object was removed lately, so that an answer to an earlier request must not bring it back."""
        return uid in self._removed_uids

    def upsert_connector(self, body: Body) -> bool:
        """Store a connector's body unless the cache holds a newer one. Returns whether it has to be reconciled."""
        key, ref, uid = Key.from_body(body), connector_ref_of(body), body["metadata"]["uid"]
        previous_uid = self.connector_uid(key)
        if not self._store(self._connectors, body):
            return False
        if previous_uid is not None and previous_uid != uid:
            # The event of its deletion was not seen.
            self._connector_uids.discard(previous_uid)
            self._deleting_uids.discard(previous_uid)
        self._connector_uids.add(uid)
        if "deletionTimestamp" in body["metadata"]:
            self._deleting_uids.add(uid)
        self._by_connector_id.set(key, (ref.key,))
        self._by_secret.set(key, (Key(key.namespace, name) for name in _secret_names(body["spec"])))
        return True

    def remove_connector(self, key: Key, uid: str) -> None:
        """Remove a deleted connector."""
        if self._remove(self._connectors, CONNECTOR.kind, key, uid):
            self._connector_uids.discard(uid)
            self._deleting_uids.discard(uid)
            self._by_connector_id.set(key, ())
            self._by_secret.set(key, ())

    def remove_unlisted_connectors(self, namespace: str | None, uids: Container[str], version: int) -> list[Key]:
        """Remove the connectors that are missing from a list, and return them.

        Args:
            namespace: namespace that was listed, or None for all.
            uids: uids in the list.
            version: resourceVersion of the list; younger objects cannot be in it, so they stay.
        """
        missing = _missing(self._connectors, namespace, uids, version)
        for key, entry in missing:
            self.remove_connector(key, entry.uid)
        return [key for key, _ in missing]

    def connector(self, key: Key) -> dict[str, Any] | None:
        """Return the newest body of a connector."""
        entry = self._connectors.get(key)
        return entry.parse() if entry is not None else None

    def connector_uid(self, key: Key) -> str | None:
        """Return the uid of a connector, without parsing its body."""
        entry = self._connectors.get(key)
        return entry.uid if entry is not None else None

    def connector_version(self, key: Key) -> int | None:
        """Return the resourceVersion of a connector's newest body, without parsing it."""
        entry = self._connectors.get(key)
        return entry.version if entry is not None else None

    def organization_version(self, key: Key) -> int | None:
        """Return the resourceVersion of an organization's newest body, without parsing it."""
        entry = self._organizations.get(key)
        return entry.version if entry is not None else None

    def connectors(self) -> list[Key]:
        """Return every connector."""
        return list(self._connectors)

    def connector_uids(self) -> AbstractSet[str]:
        """Return the uids of all connectors: the live set, since a copy for each reconcile costs more with each."""
        return self._connector_uids

    def removed_uids(self) -> AbstractSet[str]:
        """Return the uids of objects that were removed lately: the live set, since a copy may have thousands."""
        return self._removed_uids.keys()

    def deleting_connector_uids(self) -> frozenset[str]:
        """Return the uids of the connectors that are being deleted."""
        return frozenset(self._deleting_uids)

    def missing_connectors(self) -> frozenset[Key]:
        """Return the connectors that organizations refer to and that do not exist."""
        return frozenset(self._children.keys() - self._connectors.keys())

    def is_referenced(self, key: Key) -> bool:
        """Whether there is a connector of that name, or an organization that refers to one."""
        return key in self._connectors or key in self._children

    def by_secret(self, namespace: str, name: str) -> frozenset[Key]:
        """Return the connectors whose spec refers to a Secret."""
        return self._by_secret.keys(Key(namespace, name))

    def by_connector_id(self, connector_id: str) -> frozenset[Key]:
        """Return the connectors that manage a connector in Azure, by its resource id in any case."""
        return self._by_connector_id.keys(connector_id.lower())

    def with_equal_connector_id(self, key: Key) -> list[dict[str, Any]]:
        """Return the bodies of the other connectors that manage the same connector in Azure."""
        ids = self._by_connector_id.values(key)
        keys = {other for connector_id in ids for other in self.by_connector_id(connector_id)} - {key}
        return [self._connectors[other].parse() for other in keys]

    def code_used_by(self, key: Key, secret: str, digest: str) -> Key | None:
        """Return another connector that refers to the same Secret and has sent the code with this hash, if any."""
        for other in sorted(self.by_secret(key.namespace, secret) - {key}):
            if digest in used_code_hashes_in_body(self.connector(other) or {}):
                return other
        return None

    def upsert_organization(self, body: Body) -> Key | None:
        """Store an organization's body. Returns its connector if that has to be reconciled."""
        key, connector, organization = Key.from_body(body), _connector_of(body), _organization_of(body)
        previous = self._organizations.get(key)
        if _is_superseded(previous, body):
            return None
        if previous is not None and previous.uid != body["metadata"]["uid"]:
            # The event of its deletion was not seen. Both fields are immutable, but the new object may have others.
            self._remove_from_indexes(previous.parse())
        is_changed = self._store(self._organizations, body)
        self._children[connector].add(key.name)
        self._names[key.namespace].add(key.name)
        if (body.get("status") or {}).get("onboardingState") == "Onboarded":
            self._onboarded_by[organization].add(connector)
        elif organization in self._onboarded_by:
            self._onboarded_by[organization].discard(connector)
        return connector if is_changed else None

    def remove_organization(self, body: Body) -> Key | None:
        """Remove a deleted organization. Returns its connector if the organization was in the cache."""
        key = Key.from_body(body)
        if not self._remove(self._organizations, ORGANIZATION.kind, key, body["metadata"].get("uid", "")):
            return None
        self._remove_from_indexes(body)
        return _connector_of(body)

    def _remove_from_indexes(self, body: Body) -> None:
        key, connector = Key.from_body(body), _connector_of(body)
        self._children[connector].discard(key.name)
        if not self._children[connector]:
            del self._children[connector]
        self._names[key.namespace].discard(key.name)
        self._onboarded_by[_organization_of(body)].discard(connector)

    def remove_unlisted_organizations(self, namespace: str | None, uids: Container[str], version: int) -> list[Key]:
        """Remove the organizations that are missing from a list, and return their connectors.

        Args:
            namespace: namespace that was listed, or None for all.
            uids: uids in the list.
            version: resourceVersion of the list; younger objects cannot be in it, so they stay.
        """
        missing = _missing(self._organizations, namespace, uids, version)
        connectors = (self.remove_organization(entry.parse()) for _, entry in missing)
        return [connector for connector in connectors if connector is not None]

    def organization(self, key: Key) -> dict[str, Any] | None:
        """Return the newest body of an organization."""
        entry = self._organizations.get(key)
        return entry.parse() if entry is not None else None

    def organizations(self, connector: Key) -> list[dict[str, Any]]:
        """Return the bodies of the organizations that refer to a connector."""
        names = self._children.get(connector, ())
        entries = (self._organizations.get(Key(connector.namespace, name)) for name in names)
        return [entry.parse() for entry in entries if entry is not None]

    def has_organization(self, key: Key) -> bool:
        """Whether there is an organization of that name."""
        return key in self._organizations

    def organization_names(self, namespace: str) -> AbstractSet[str]:
        """Return the names of all organizations in a namespace: the live set, since a copy may have thousands."""
        return self._names[namespace]

    def onboarded_by(self, organization: str) -> frozenset[Key]:
        """Return the connectors of this cluster that have onboarded an organization (its name in lower case)."""
        return frozenset(self._onboarded_by.get(organization, ()))

    def _store(self, entries: dict[Key, _Entry], body: Body) -> bool:
        metadata, key = body["metadata"], Key.from_body(body)
        previous = entries.get(key)
        if _is_superseded(previous, body):
            return False
        stored = {**body, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}
        has_finalizer = FINALIZER in (metadata.get("finalizers") or ())
        version = int(metadata["resourceVersion"])
        entry = _Entry(metadata["uid"], version, _digest(body), has_finalizer, to_json(stored))
        entries[key] = entry
        if self._metrics is not None:
            self._metrics.upsert(body)
        if previous is None or (previous.uid, previous.digest) != (entry.uid, entry.digest):
            return True
        # `kubectl replace` and restores drop finalizers without another change. Without it a deletion would leave the
        # connector in Azure with our owner tags. Adding it is our own write and needs no reconcile.
        return previous.has_finalizer and not entry.has_finalizer

    def _remove(self, entries: dict[Key, _Entry], kind: str, key: Key, uid: str) -> bool:
        # Also where the cache does not hold it: the answer to its creation may still be on its way.
        self._removed_uids[uid] = None
        if len(self._removed_uids) > _REMOVED_UIDS_MAX:
            self._removed_uids.popitem(last=False)
        entry = entries.get(key)
        if entry is None or entry.uid != uid:
            return False
        del entries[key]
        if self._metrics is not None:
            self._metrics.remove(kind, key.namespace, key.name)
        return True


def connector_ref_of(body: Body) -> ConnectorRef:
    """Return the address of a resource's connector in Azure, by its body."""
    azure, name = body["spec"]["azure"], body["metadata"]["name"]
    return ConnectorRef(azure["subscriptionId"], azure["resourceGroup"], azure.get("connectorName") or name)


def _missing(
    entries: Mapping[Key, _Entry], namespace: str | None, uids: Container[str], version: int
) -> list[tuple[Key, _Entry]]:
    return [
        (key, entry)
        for key, entry in entries.items()
        if namespace in {None, key.namespace} and entry.version <= version and entry.uid not in uids
    ]


def _is_superseded(entry: _Entry | None, body: Body) -> bool:
    """Whether the entry under a name is as new as a body or newer, even if it is of another object of that name."""
    return entry is not None and entry.version >= int(body["metadata"]["resourceVersion"])


def _digest(body: Body) -> int:
    """Hash what others decide: spec, deletion, and the labels and annotations that have an effect."""
    metadata = body["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    return hash(
        (
            to_json(body.get("spec")),  # the API server sorts the names of fields
            metadata.get("deletionTimestamp"),
            labels.get(LABEL_GENERATED),
            # Of a connector this is never ours; a generated organization must not lose its owner.
            to_json(metadata.get("ownerReferences")),
            annotations.get(ANNOTATION_RECONCILE_REQUESTED_AT),
            tuple(sorted(TRACKING_LABELS & labels.keys())),
            tuple(sorted(TRACKING_ANNOTATIONS & annotations.keys())),
        )
    )


def _secret_names(spec: Body) -> Iterator[str]:
    """Yield the names of Secrets that a spec refers to: every reference to a key of a Secret ends in `SecretRef`."""
    for name, value in spec.items():
        if isinstance(value, Mapping):
            if name.lower().endswith("secretref") and "name" in value:
                yield str(value["name"])
            yield from _secret_names(value)


def _connector_of(body: Body) -> Key:
    return Key(body["metadata"]["namespace"], body["spec"]["connectorRef"]["name"])


def _organization_of(body: Body) -> str:
    return str(body["spec"]["organization"]).lower()
