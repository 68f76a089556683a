"""The newest body of every AzureDevOpsConnector and DevOpsOrganization, as the watches and our own writes bring them.

Bodies are kept as compact JSON: 6,000 of them as Python objects would weigh more than the rest of the operator.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from pydantic_core import from_json, to_json

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.api.model import ObjectMeta
from defender_devops.api.names import (
    ANNOTATION_RECONCILE_REQUESTED_AT,
    CONNECTOR,
    LABEL_GENERATED,
    ORGANIZATION,
    TRACKING_ANNOTATIONS,
    TRACKING_LABELS,
)
from defender_devops.authorization_code.used_codes import used_code_hashes_in_body

__all__ = ["Key", "ResourceCache"]

Body = Mapping[str, Any]


class Key(NamedTuple):
    """A connector's name: what reconciles are queued by, since a finalizer keeps two of one name apart."""

    namespace: str
    name: str

    @classmethod
    def from_body(cls, body: Body) -> Key:
        """The name of a resource by its body."""
        metadata = body["metadata"]
        return cls(metadata["namespace"], metadata["name"])

    @classmethod
    def from_metadata(cls, metadata: ObjectMeta) -> Key:
        """The name of a resource that was read."""
        return cls(metadata.namespace, metadata.name)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One body.

    Attributes:
        uid: tells a new object from an old one of the same name.
        version: metadata.resourceVersion; the API server's versions compare as numbers (Kubernetes 1.35 and later
            promise it, etcd has always done so).
        digest: of all that a reconcile depends on, without what the operator itself writes.
        body: JSON without managedFields.
    """

    uid: str
    version: int
    digest: int
    body: bytes


class MetricsSink(Protocol):
    """Where every resource is shown as its newest body has it: metrics."""

    def put(self, body: Body) -> None:
        """A body has become the newest."""

    def drop(self, kind: str, namespace: str, name: str) -> None:
        """A resource is gone."""


class ResourceCache:
    """Cache of both resources. `put_*` say whether something changed that a reconcile depends on.

    Args:
        shown: told of each newest body.
    """

    def __init__(self, shown: MetricsSink | None = None) -> None:
        self._shown = shown
        self._connectors: dict[Key, _Entry] = {}
        self._organizations: dict[Key, _Entry] = {}
        self._children: defaultdict[Key, set[str]] = defaultdict(set)
        self._holders: defaultdict[str, set[Key]] = defaultdict(set)
        self._refs: dict[Key, str] = {}
        self._by_ref: defaultdict[str, set[Key]] = defaultdict(set)
        self._secrets: dict[Key, frozenset[Key]] = {}
        self._by_secret: defaultdict[Key, set[Key]] = defaultdict(set)
        self._names: defaultdict[str, set[str]] = defaultdict(set)
        self._uids: frozenset[str] | None = None

    def upsert_connector(self, body: Body) -> bool:
        """Keep a connector's body unless a newer one is known."""
        changed = self._keep(self._connectors, body)
        if changed:
            self._uids = None
            self._note_secrets(Key.from_body(body), body)
            self._note_ref(Key.from_body(body), _ref(body))
        return changed

    def remove_connector(self, key: Key, uid: str) -> None:
        """Forget a connector that is gone."""
        if self._lose(self._connectors, CONNECTOR.kind, key, uid):
            self._uids = None
            self._note_secrets(key, {})
            self._note_ref(key, None)

    def is_current(self, body: Body) -> bool:
        """Whether what a body of either kind tells is known, or something newer under its name."""
        known = self._connectors if body["kind"] == CONNECTOR.kind else self._organizations
        return _supersedes(known.get(Key.from_body(body)), body["metadata"])

    def remove_unlisted_connectors(self, namespace: str | None, uids: Container[str], version: int) -> list[Key]:
        """Forget the connectors that a list of that version does not hold; gives them.

        Args:
            namespace: that was listed, or None for all.
            uids: what the list holds.
            version: its resourceVersion: what is younger cannot be on it.
        """
        missing = _missing(self._connectors, namespace, uids, version)
        for key, entry in missing:
            self.remove_connector(key, entry.uid)
        return [key for key, _ in missing]

    def by_secret(self, namespace: str, name: str) -> frozenset[Key]:
        """Connectors whose spec names a Secret."""
        return frozenset(self._by_secret.get(Key(namespace, name), ()))

    def code_used_by(self, key: Key, secret: str, digest: str) -> Key | None:
        """Another connector that names the same Secret and has handed the code with this hash over."""
        others = self.by_secret(key.namespace, secret) - {key}
        return next(
            (other for other in sorted(others) if digest in used_code_hashes_in_body(self.connector(other) or {})), None
        )

    def connector(self, key: Key) -> dict[str, Any] | None:
        """The newest body of a connector."""
        return _body(self._connectors.get(key))

    def is_referenced(self, key: Key) -> bool:
        """Whether there is a connector of that name, or an organization that refers to one."""
        return key in self._connectors or key in self._children

    def connectors(self) -> Iterator[Key]:
        """Every connector that is known."""
        yield from list(self._connectors)

    def missing_connectors(self) -> frozenset[Key]:
        """Connectors that organizations refer to and that are not known."""
        return frozenset(self._children.keys() - self._connectors.keys())

    def connector_uids(self) -> frozenset[str]:
        """Uids of every connector that is known."""
        if self._uids is None:
            self._uids = frozenset(entry.uid for entry in self._connectors.values())
        return self._uids

    def upsert_organization(self, body: Body) -> Key | None:
        """Keep an organization's body; gives its connector where that has to look at the change."""
        key, connector = Key.from_body(body), _connector_of(body)
        changed = self._keep(self._organizations, body)
        self._children[connector].add(key.name)
        self._names[key.namespace].add(key.name)
        self._note_holder(connector, body)
        return connector if changed else None

    def remove_organization(self, body: Body) -> Key | None:
        """Forget an organization that is gone; gives its connector."""
        key, connector = Key.from_body(body), _connector_of(body)
        if not self._lose(self._organizations, ORGANIZATION.kind, key, body["metadata"].get("uid", "")):
            return None
        self._children[connector].discard(key.name)
        self._names[key.namespace].discard(key.name)
        if not self._children[connector]:
            del self._children[connector]
        self._holders[_organization_of(body)].discard(connector)
        return connector

    def remove_unlisted_organizations(self, namespace: str | None, uids: Container[str], version: int) -> list[Key]:
        """Forget the organizations that a list of that version does not hold; gives their connectors.

        Args:
            namespace: that was listed, or None for all.
            uids: what the list holds.
            version: its resourceVersion: what is younger cannot be on it.
        """
        missing = [from_json(entry.body) for _, entry in _missing(self._organizations, namespace, uids, version)]
        dropped = (self.remove_organization(body) for body in missing)
        return [connector for connector in dropped if connector is not None]

    def organizations(self, connector: Key) -> list[dict[str, Any]]:
        """Bodies of the organizations that refer to a connector."""
        found = (
            _body(self._organizations.get(Key(connector.namespace, name))) for name in self._children.get(connector, ())
        )
        return [body for body in found if body is not None]

    def organization(self, key: Key) -> dict[str, Any] | None:
        """The newest body of an organization."""
        return _body(self._organizations.get(key))

    def has_organization(self, key: Key) -> bool:
        """Whether there is an organization of that name."""
        return key in self._organizations

    def organization_names(self, namespace: str) -> AbstractSet[str]:
        """Names of all organizations in a namespace. Not a copy, which may have thousands: it changes with them."""
        return self._names[namespace]

    def onboarded_by(self, organization: str) -> frozenset[Key]:
        """Connectors of this cluster that have onboarded an organization (its name in lower case)."""
        return frozenset(self._holders.get(organization, ()))

    def by_connector_id(self, connector_id: str) -> frozenset[Key]:
        """Resources of this cluster that are about a connector in Azure, by its id in any case."""
        return frozenset(self._by_ref.get(connector_id.lower(), ()))

    def _note_ref(self, key: Key, ref: ConnectorRef | None) -> None:
        before = self._refs.pop(key, None)
        if before is not None:
            _discard(self._by_ref, before, key)
        if ref is not None:
            self._refs[key] = ref.key
            self._by_ref[ref.key].add(key)

    def _note_secrets(self, key: Key, body: Body) -> None:
        for secret in self._secrets.pop(key, frozenset()):
            _discard(self._by_secret, secret, key)
        named = frozenset(Key(key.namespace, name) for name in _secret_names(body.get("spec") or {}))
        if named:
            self._secrets[key] = named
        for secret in named:
            self._by_secret[secret].add(key)

    def _note_holder(self, connector: Key, body: Body) -> None:
        holders = self._holders[_organization_of(body)]
        if (body.get("status") or {}).get("onboardingState") == "Onboarded":
            holders.add(connector)
        else:
            holders.discard(connector)

    def _keep(self, entries: dict[Key, _Entry], body: Body) -> bool:
        metadata, key = body["metadata"], Key.from_body(body)
        before = entries.get(key)
        if _supersedes(before, metadata):
            return False
        kept = {**body, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}
        version = int(metadata["resourceVersion"])
        entry = _Entry(metadata["uid"], version, _digest(body), to_json(kept))
        entries[key] = entry
        if self._shown is not None:
            self._shown.put(body)
        return before is None or before.uid != entry.uid or before.digest != entry.digest

    def _lose(self, entries: dict[Key, _Entry], kind: str, key: Key, uid: str) -> bool:
        entry = entries.get(key)
        if entry is None or entry.uid != uid:
            return False
        del entries[key]
        if self._shown is not None:
            self._shown.drop(kind, key.namespace, key.name)
        return True


def _missing(
    entries: Mapping[Key, _Entry], namespace: str | None, uids: Container[str], version: int
) -> list[tuple[Key, _Entry]]:
    return [
        (key, entry)
        for key, entry in entries.items()
        if namespace in {None, key.namespace} and entry.version <= version and entry.uid not in uids
    ]


def _supersedes(entry: _Entry | None, metadata: Mapping[str, Any]) -> bool:
    """Whether what is kept under a name is as new as a body, or newer; be it of another object of that name."""
    return entry is not None and entry.version >= int(metadata["resourceVersion"])


def _body(entry: _Entry | None) -> dict[str, Any] | None:
    return from_json(entry.body) if entry is not None else None


def _digest(body: Body) -> int:
    """Of what somebody else decides: spec, deletion, and the marks on the object that rules speak of."""
    metadata = body["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    return hash(
        (
            to_json(body.get("spec")),  # the API server sorts the names of fields
            metadata.get("deletionTimestamp"),
            labels.get(LABEL_GENERATED),
            annotations.get(ANNOTATION_RECONCILE_REQUESTED_AT),
            tuple(sorted(TRACKING_LABELS & labels.keys())),
            tuple(sorted(TRACKING_ANNOTATIONS & annotations.keys())),
        )
    )


def _secret_names(part: Mapping[str, Any]) -> Iterator[str]:
    """Names of Secrets that a spec refers to, wherever: every reference to a key of one ends in `SecretRef`."""
    for name, value in part.items():
        if isinstance(value, Mapping):
            if name.lower().endswith("secretref") and "name" in value:
                yield str(value["name"])
            yield from _secret_names(value)


def _discard(index: defaultdict[Any, set[Key]], entry: object, key: Key) -> None:
    """Take a key out of an index, and the entry with the last one."""
    index[entry].discard(key)
    if not index[entry]:
        del index[entry]


def _ref(body: Body) -> ConnectorRef:
    azure = body["spec"]["azure"]
    name = azure.get("connectorName") or body["metadata"]["name"]
    return ConnectorRef(azure["subscriptionId"], azure["resourceGroup"], name)


def _connector_of(body: Body) -> Key:
    return Key(body["metadata"]["namespace"], body["spec"]["connectorRef"]["name"])


def _organization_of(body: Body) -> str:
    return str(body["spec"]["organization"]).lower()
