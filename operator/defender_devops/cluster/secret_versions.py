"""Watch which Secrets change without reading their data.

Secrets are listed and watched as PartialObjectMetadata, so the API server leaves the data out. (RBAC makes no such
difference: whoever may list Secrets may read them.) Annotations are dropped on arrival, because kubectl's last-applied
annotation contains the data of a Secret that was applied with kubectl.

A watch must request `as=PartialObjectMetadata`: with the list's media type the server answers 200 and sends no event.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

from defender_devops.backoff import Backoff
from defender_devops.cluster.client import Body, KubernetesClient, api_path, path_with_query
from defender_devops.cluster.watch import Change, Listing, ListWatch
from defender_devops.supervision import OnFailure, contain_exceptions

__all__ = ["SecretWatch"]

ChangeCallback = Callable[[str, str, str | None], None]
"""Called with namespace, name and new resourceVersion of a Secret; the version is None for a deleted one."""

_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_EVENT: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

_NO_HELM_RELEASES: Final = "type!=helm.sh/release.v1"
"""Field selector. Helm keeps every revision of a release in a Secret: many large objects that no spec refers to."""


class SecretWatch:
    """The resourceVersions of the Secrets of one namespace, or of all.

    Args:
        client: Kubernetes API client.
        namespace: None for all namespaces (needs a ClusterRole).
        on_change: called for each change after the first list.
        on_failure: counts an unexpected exception, which concerns one Secret only.
        backoff: delays between failed attempts.
        chance: source of random numbers in [0, 1), for jitter.
    """

    def __init__(
        self,
        client: KubernetesClient,
        namespace: str | None,
        on_change: ChangeCallback,
        *,
        on_failure: OnFailure = lambda _: None,
        backoff: Backoff = Backoff(initial=1.0, maximum=30.0),  # noqa: B008 - frozen
        chance: Callable[[], float] = random.random,
    ) -> None:
        url = path_with_query(api_path("v1", "secrets", namespace), fieldSelector=_NO_HELM_RELEASES)
        self._watch = ListWatch(
            client,
            url,
            self._convert,
            list_accept=_LIST,
            watch_accept=_EVENT,
            backoff=backoff,
            chance=chance,
            on_failure=on_failure,
        )
        self._on_change = on_change
        self._on_failure = on_failure
        self._versions: dict[tuple[str, str], str] = {}
        self.seconds_since_last_event = self._watch.seconds_since_last_event
        self.synced = asyncio.Event()
        """Set once the first list has arrived."""

    @property
    def error_message(self) -> str | None:
        """Why the API server cannot be read at the moment, or None."""
        return self._watch.error_message

    def version(self, namespace: str, name: str) -> str | None:
        """ResourceVersion of a Secret, empty if it does not exist; None while the cached versions may be outdated."""
        if not self.synced.is_set() or self.error_message is not None:
            return None
        return self._versions.get((namespace, name), "")

    async def run(self) -> None:
        """Watch until cancelled; errors are logged and retried."""
        async for update in self._watch.updates():
            match update:
                case Listing(items):
                    previous, self._versions = self._versions, dict(item for item in items if item is not None)
                    if self.synced.is_set():
                        for key, version in self._versions.items():
                            if previous.get(key) != version:
                                self._notify(key, version)
                        for key in previous.keys() - self._versions.keys():
                            self._notify(key, None)
                    self.synced.set()
                case Change((key, _), is_deletion=True):
                    self._versions.pop(key, None)
                    self._notify(key, None)
                case Change((key, version)) if self._versions.get(key) != version:
                    self._versions[key] = version
                    self._notify(key, version)

    def _convert(self, item: Body) -> tuple[tuple[str, str], str] | None:
        """Return what is kept of a Secret; None after an unexpected exception, which no update matches."""
        with contain_exceptions("secret", self._on_failure):
            return _key_and_version(item)
        return None

    def _notify(self, key: tuple[str, str], version: str | None) -> None:
        namespace, name = key
        with contain_exceptions("secret", self._on_failure, secret_name=f"{namespace}/{name}"):
            self._on_change(namespace, name, version)


def _key_and_version(item: Body) -> tuple[tuple[str, str], str]:
    """Namespace and name, and resourceVersion: all that is kept of a Secret's metadata."""
    metadata = item["metadata"]
    return (metadata["namespace"], metadata["name"]), metadata["resourceVersion"]
