"""The operator: waits for leadership, then runs the work queue, the watches and the background tasks side by side."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

import structlog

from defender_devops.api.names import CONNECTOR, GROUP, ORGANIZATION, ResourceNames
from defender_devops.app.assembly import Assembler, Assembly
from defender_devops.app.health import Health
from defender_devops.app.leadership import Leadership
from defender_devops.app.secret_watches import SecretWatches
from defender_devops.backoff import Backoff
from defender_devops.cluster.client import Body, KubernetesClient
from defender_devops.cluster.connectors import Connectors
from defender_devops.cluster.kubeconfig.credentials import CredentialsLoader
from defender_devops.cluster.organizations import Organizations
from defender_devops.errors import KubernetesNotFound
from defender_devops.handlers.events import EventReceiver
from defender_devops.handlers.watches import watch_resources
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.settings import Settings
from defender_devops.supervision import contain_exceptions, run_supervised
from defender_devops.telemetry.http_server import WebServer
from defender_devops.telemetry.metrics import Metrics
from defender_devops.telemetry.requests import Requests
from defender_devops.telemetry.traces import open_traces
from defender_devops.workqueue.queue import WorkQueue
from defender_devops.workqueue.result import Result

__all__ = ["Operator"]

_CRD_INTERVAL: Final = 5.0
"""Seconds between two attempts to list resources whose CRD is missing."""

_List = Callable[[str | None], AsyncIterator[Body]]
_Receive = Callable[[str | None, Body], None]

_log: Final = structlog.get_logger(__name__)


class Operator:
    """The whole operator, from its settings.

    Args:
        settings: of the operator.
        install_signal_handlers: called once the watches have started, since kopf installs handlers of its own.
    """

    def __init__(self, settings: Settings, install_signal_handlers: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._install_signal_handlers = install_signal_handlers
        self._metrics = Metrics()
        self._traces = open_traces(settings.traces)
        requests = Requests(self._metrics, self._traces)
        self._resources = ResourceCache(self._metrics.resources)
        self._queue: WorkQueue[Key] = WorkQueue(
            self._reconcile,
            concurrency=settings.concurrency,
            backoff=Backoff(initial=settings.backoff_initial, maximum=settings.backoff_maximum),
            group_of=self._subscription_of,
            # Reconciles of a subscription whose request limit is reached wait for it while they hold a slot: some slots
            # are reserved for other subscriptions.
            concurrency_per_group=max(1, settings.concurrency * 3 // 4),
            min_requeue_interval=settings.min_requeue_interval,
            terminal_retry_interval=settings.terminal_retry_interval,
            observer=self._metrics,
        )
        self._receiver = EventReceiver(self._resources, self._queue.enqueue, self._metrics.internal_error)
        self._credentials_loader = CredentialsLoader()
        self._leadership = Leadership(
            settings, self._credentials_loader, requests.kubernetes, on_lost=lambda: self._queue.stop(grace=0)
        )
        self._client = KubernetesClient(self._credentials_loader, requests.kubernetes, fence=self._leadership.fence)
        secret_watches = SecretWatches(
            self._client, settings.namespaces, self._on_secret_changed, self._metrics.internal_error
        )
        self._assembler = Assembler(
            settings=settings,
            metrics=self._metrics,
            requests=requests,
            client=self._client,
            fence=self._leadership.fence,
            resources=self._resources,
            secret_watches=secret_watches,
            enqueue=self._queue.enqueue,
        )
        self._assembly: Assembly | None = None
        self._health = Health(self._leadership, secret_watches)
        self._metrics.set_leader_callback(self._leadership.is_leader)
        self._metrics.set_queue_callback(self._queue.depth)
        self._metrics.set_watch_silence_callback(secret_watches.silence)
        self._metrics.set_watch_failing_callback(secret_watches.failing)

    async def run(self, stop: asyncio.Event) -> None:
        """Wait until this replica leads, then work until `stop` is set.

        Raises:
            ExceptionGroup: of OperatorErrors that the operator cannot continue after.
            OperatorError: likewise; LeadershipLost if another replica may lead by now.
        """
        settings = self._settings
        async with AsyncExitStack() as stack:
            server = WebServer(
                settings.metrics_host,
                settings.metrics_port,
                self._health.probes(),
                self._metrics.exposition,
                self._metrics.internal_error,
            )
            await server.start()
            stack.push_async_callback(server.close)
            stack.push_async_callback(asyncio.to_thread, self._traces.close)
            stack.push_async_callback(self._leadership.close)
            stack.push_async_callback(self._client.close)
            await self._leadership.run(lambda: self._work(stop), stop)
            _log.info("stopped")

    async def _work(self, stop: asyncio.Event) -> None:
        """Work as the leader until `stop` is set or something fails that nothing can go on without."""
        async with AsyncExitStack() as stack:
            self._assembly = await self._assembler.assemble(stack)
            await self._wait_for_resources(stop)
            if stop.is_set():
                return
            background: list[Coroutine[Any, Any, None]] = [
                run_supervised(name, run, self._metrics.internal_error)
                for name, run in self._assembly.background.items()
            ]
            background.append(
                watch_resources(
                    self._receiver, self._credentials_loader, self._settings.namespaces, self._install_signal_handlers
                )
            )
            async with asyncio.TaskGroup() as group:
                queue = group.create_task(self._queue.run())
                tasks = [group.create_task(task) for task in background]
                await stop.wait()
                # Reconciles under way may end before the tasks that they use are cancelled.
                self._queue.stop()
                await queue
                for task in tasks:
                    task.cancel()

    async def _wait_for_resources(self, stop: asyncio.Event) -> None:
        """List both kinds before anything is planned: a plan must know every declared organization.

        GitOps tools and charts with `crds.install: false` may install the CRDs after the operator: it waits for them.
        """
        while not stop.is_set():
            missing = await self._list_resources()
            if missing is None:
                _log.info("synced", connectors=len(self._resources.connectors()))
                self._health.is_synced, self._health.missing_crd = True, None
                return
            if missing != self._health.missing_crd:
                _log.error(
                    "a CustomResourceDefinition is missing, and nothing is done until it is installed",
                    name=missing,
                    fix="Install the CRDs with the chart (crds.install: true), or apply its folder files/crds.",
                )
                self._health.missing_crd = missing
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _CRD_INTERVAL)

    async def _list_resources(self) -> str | None:
        """List both kinds; return the name of the CRD that is missing, if one is."""
        connectors, organizations = Connectors(self._client), Organizations(self._client)
        lists: tuple[tuple[ResourceNames, _List, _Receive], ...] = (
            (ORGANIZATION, organizations.items, self._receiver.organization),
            (CONNECTOR, connectors.items, self._receiver.connector),
        )
        for names, items, receive in lists:
            try:
                for namespace in self._settings.namespaces or (None,):
                    async for body in items(namespace):
                        receive(None, body)
            except KubernetesNotFound:
                return f"{names.plural}.{GROUP}"
        return None

    async def _reconcile(self, key: Key) -> Result:
        if self._assembly is None:
            raise RuntimeError("the work queue runs only after the assembly")
        with self._traces.reconcile(key.namespace, key.name) as span:
            result = await self._assembly.reconciler.reconcile(key)
            if result.failed:
                span.failed()
        if not self._resources.is_referenced(key):
            self._queue.forget(key)
        return result

    def _subscription_of(self, key: Key) -> str:
        azure = ((self._resources.connector(key) or {}).get("spec") or {}).get("azure") or {}
        return str(azure.get("subscriptionId") or "").lower()

    def _on_secret_changed(self, namespace: str, name: str, version: str | None) -> None:
        """Enqueue the connectors that use a Secret, for their sign-in or in their spec."""
        keys = set(self._resources.by_secret(namespace, name))
        with contain_exceptions("secret", self._metrics.internal_error, secret_name=f"{namespace}/{name}"):
            if self._assembly is not None:
                connectors = self._assembly.sign_ins.secret_changed(namespace, name, version or "")
                keys |= {Key.from_metadata(connector.metadata) for connector in connectors}
        for key in keys:
            self._queue.enqueue(key)
