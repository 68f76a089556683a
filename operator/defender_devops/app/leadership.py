"""Leader election: at most one replica works, and its pod has the label that the sign-in Service selects."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from defender_devops.api.names import LABEL_ROLE, ROLE_LEADER
from defender_devops.cluster.client import KubernetesClient, RequestObserver
from defender_devops.cluster.kubeconfig.credentials import CredentialsLoader
from defender_devops.cluster.lease import LeaderElection
from defender_devops.cluster.pods import label_pod
from defender_devops.errors import KubernetesError
from defender_devops.settings import Settings

__all__ = ["Leadership"]

_REQUEST_SECONDS: Final = 5.0
"""Longest duration of a request about the lease: two must fit into the time for which a leader trusts its lease."""

_log: Final = structlog.get_logger(__name__)


class Leadership:
    """Waits until this replica leads, works while it leads, and releases the lease.

    Args:
        settings: names of the namespace, the lease and the pod.
        credentials_loader: for the API server; the client of the lease is separate so that it never queues.
        observe: called with each of those requests.
        on_lost: called at once when the lease is lost.
    """

    def __init__(
        self,
        settings: Settings,
        credentials_loader: CredentialsLoader,
        observe: RequestObserver,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = KubernetesClient(
            credentials_loader, observe, timeout=_REQUEST_SECONDS, max_concurrent_requests=4
        )
        self._namespace = settings.namespace
        self._pod = settings.pod_name
        # Unlike the pod's name it differs after a restart of the container, whose predecessor may have left requests.
        identity = f"{settings.pod_name or socket.gethostname()}_{uuid.uuid4()}"
        self._election = LeaderElection(
            self._client, settings.namespace, settings.lease_name, identity, on_lost=on_lost
        )
        self._works = False
        self.is_leader = self._election.is_leader
        self.fence = self._election.fence

    @property
    def is_standby(self) -> bool:
        """Whether another replica is the leader, as far as this one knows."""
        return self._election.is_standby

    async def run(self, work: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        """Work as soon as this replica leads, until the work ends, which it does once `stop` is set.

        Raises:
            LeadershipLost: the lease was lost, and the work was cancelled.
            KubernetesRefused: a right to the lease is missing.
        """
        await self._label(leader=False)  # a predecessor in this pod may have left it
        leading = asyncio.ensure_future(self._election.lead(lambda: self._work(work)))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({leading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if self._works or leading.done():
                await leading
        finally:
            for task in (stopping, leading):
                task.cancel()
            await asyncio.wait({stopping, leading})

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _work(self, work: Callable[[], Awaitable[None]]) -> None:
        self._works = True
        await self._label(leader=True)
        try:
            await work()
        finally:
            if self.is_leader():
                await self._label(leader=False)

    async def _label(self, *, leader: bool) -> None:
        """Label the own pod if its name is configured; only the Service of the sign-in pages depends on it."""
        if self._pod is None:
            return
        try:
            await label_pod(self._client, self._namespace, self._pod, {LABEL_ROLE: ROLE_LEADER if leader else None})
        except KubernetesError as error:
            _log.error("labelling the pod failed, so the sign-in pages may be unreachable", message=error.message)
