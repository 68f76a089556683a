"""The watches of Secrets: one for each watched namespace, or one for all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from defender_devops.cluster.client import KubernetesClient
from defender_devops.cluster.secret_versions import SecretWatch
from defender_devops.supervision import OnFailure

__all__ = ["SecretWatches"]


class SecretWatches:
    """Knows the resourceVersion of every watched Secret, and never its content.

    Args:
        client: the Kubernetes API.
        namespaces: watched namespaces; an empty tuple means all.
        on_changed: called with namespace, name and resourceVersion (None if it is deleted) of a changed Secret.
        on_failure: counts an unexpected exception, which concerns one Secret only.
    """

    def __init__(
        self,
        client: KubernetesClient,
        namespaces: tuple[str, ...],
        on_changed: Callable[[str, str, str | None], None],
        on_failure: OnFailure,
    ) -> None:
        self._watches: dict[str | None, SecretWatch] = {
            namespace: SecretWatch(client, namespace, on_changed, on_failure=on_failure)
            for namespace in namespaces or (None,)
        }

    def background(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the tasks to run, by name."""
        return {f"secrets {namespace or ''}".strip(): watch.run for namespace, watch in self._watches.items()}

    def version(self, namespace: str, name: str) -> str | None:
        """Return the resourceVersion of a Secret, empty if there is none, or None while it is unknown."""
        watch = self._watches.get(namespace) or self._watches.get(None)
        return watch.version(namespace, name) if watch is not None else None

    def failing(self) -> dict[str, bool]:
        """Return whether each watch fails at the moment, for example because a permission is missing."""
        return {
            f"secrets {namespace or ''}".strip(): watch.error_message is not None
            for namespace, watch in self._watches.items()
        }

    def silence(self) -> dict[str, float]:
        """Return the seconds since the last event of each watch that has been in sync at least once."""
        return {
            f"secrets {namespace or ''}".strip(): watch.seconds_since_last_event()
            for namespace, watch in self._watches.items()
            if watch.synced.is_set()
        }
