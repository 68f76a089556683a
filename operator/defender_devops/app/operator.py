"""Puts the parts together and runs them side by side until told to stop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import kopf
import structlog

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.app.federated_tokens import OperatorFederatedTokens
from defender_devops.app.leadership import Leadership
from defender_devops.app.secret_store import ClusterSecretStore
from defender_devops.azure.arm.session import ArmSession
from defender_devops.azure.identity.clients import ArmClients
from defender_devops.azure.identity.grants import Grants
from defender_devops.azure.identity.operator_identity import OperatorIdentity
from defender_devops.azure.resource_graph.pollers import ResourceGraphPollers
from defender_devops.azuredevops.client import Endpoints
from defender_devops.azuredevops.prerequisite_checker import PrerequisiteChecker
from defender_devops.backoff import Backoff
from defender_devops.cluster.client import KubernetesClient
from defender_devops.cluster.connectors import Connectors
from defender_devops.cluster.events import Events
from defender_devops.cluster.kubeconfig import CredentialsLoader
from defender_devops.cluster.namespaces import cluster_uid
from defender_devops.cluster.organizations import Organizations
from defender_devops.cluster.secret_versions import SecretWatch
from defender_devops.cluster.secrets import Secrets
from defender_devops.cluster.service_accounts import ServiceAccounts
from defender_devops.handlers.events import EventReceiver
from defender_devops.handlers.watches import watch
from defender_devops.http_client import open_http_client
from defender_devops.reconcile.actions.executor import Executor
from defender_devops.reconcile.cache.connector_cache import ConnectorCaches
from defender_devops.reconcile.cache.drift_notifications import DriftNotifications
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.cache.resync import Resync
from defender_devops.reconcile.cache.write_through import WriteThrough
from defender_devops.reconcile.facts.snapshot import Timings
from defender_devops.reconcile.observe.gatherer import Gatherer
from defender_devops.reconcile.observe.one_time_code import OneTimeCodes
from defender_devops.reconcile.observe.sign_in import SignInObserver
from defender_devops.reconcile.reconciler import Reconciler
from defender_devops.settings import Settings
from defender_devops.signin.assembly import SignInPackage, open_sign_in
from defender_devops.signin.sessions.sign_ins import SignIns
from defender_devops.telemetry.http_server import Probes, WebServer
from defender_devops.telemetry.metrics import Metrics
from defender_devops.telemetry.requests import Requests
from defender_devops.telemetry.traces import open_traces
from defender_devops.workqueue.queue import WorkQueue
from defender_devops.workqueue.result import Result

__all__ = ["Operator"]

_log: Final = structlog.get_logger(__name__)

_WATCH_STALE_SECONDS: Final = 900.0
"""Seconds without a word of the API server after which the process is restarted: the watches' own time-outs are a
tenth of that, so something is wrong with the process and not with the network."""


def _now() -> datetime:
    """The moment, to whole seconds as Kubernetes keeps them: what is reported reads back equal."""
    return datetime.now(UTC).replace(microsecond=0)


class Operator:
    """The whole operator, from its settings."""

    def __init__(self, settings: Settings, install_signal_handlers: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._install_signal_handlers = install_signal_handlers
        self._metrics = Metrics()
        self._traces = open_traces(settings.traces)
        self._requests = Requests(self._metrics, self._traces)
        self._resources = ResourceCache(self._metrics.resources)
        self._connector_caches = ConnectorCaches()
        self._queue: WorkQueue[Key] = WorkQueue(
            self._reconcile,
            concurrency=settings.concurrency,
            backoff=Backoff(initial=settings.backoff_initial, maximum=settings.backoff_maximum),
            group_of=self._subscription_of,
            # A subscription whose budget is used up holds its reconciles until the rate limiter's timeout: some
            # places are left to the others meanwhile.
            concurrency_per_group=max(1, settings.concurrency * 3 // 4),
            observer=self._metrics,
        )
        self._drift_notifications = DriftNotifications(self._connector_caches, self._queue.enqueue)
        self._pollers = ResourceGraphPollers(
            interval=settings.refresh_interval,
            on_changes=self._drift_notifications.take,
            indexing_lag=settings.resource_graph_lag,
        )
        self._credentials_loader = CredentialsLoader()
        self._leadership = Leadership(
            settings, self._credentials_loader, self._requests.kubernetes, on_lost=lambda: self._queue.stop(grace=0)
        )
        self._client = KubernetesClient(
            self._credentials_loader, self._requests.kubernetes, fence=self._leadership.fence
        )
        self._connectors = Connectors(self._client)
        self._organizations = Organizations(self._client)
        self._secrets = Secrets(self._client)
        self._events = Events(self._client, socket.gethostname(), self._metrics.event_lost)
        self._secret_watches = [
            SecretWatch(self._client, namespace, self._secret_changed) for namespace in settings.namespaces or (None,)
        ]
        self._metrics.set_leader_callback(self._leadership.is_leader)
        self._metrics.set_queue_callback(self._queue.depth)
        self._metrics.set_watch_silence_callback(self._watch_silence)
        self._sign_ins: SignIns | None = None
        self._reconciler: Reconciler | None = None
        self._synced = False

    async def run(self, stop: asyncio.Event) -> None:
        """Wait until this replica leads, then work until `stop` is set.

        Raises:
            ExceptionGroup: of OperatorErrors, where something failed without which there is no going on.
            OperatorError: likewise; LeadershipLost where another replica may lead by now.
        """
        settings = self._settings
        async with AsyncExitStack() as stack:
            probes = Probes(live={"watches": self._stale_watches}, ready={"work": self._not_ready})
            server = WebServer(settings.metrics_host, settings.metrics_port, probes, self._metrics.exposition)
            await server.start()
            stack.push_async_callback(server.close)
            stack.push_async_callback(asyncio.to_thread, self._traces.close)
            stack.push_async_callback(self._leadership.close)
            stack.push_async_callback(self._client.close)
            await self._leadership.run(lambda: self._work(stop), stop)
            _log.info("stopped")

    async def _work(self, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            background = await self._assemble(stack)
            await self._sync()
            await self._run_side_by_side(stop, *background, self._watch())

    async def _run_side_by_side(self, stop: asyncio.Event, *background: Coroutine[Any, Any, None]) -> None:
        """Run all until `stop` is set or one of them fails; reconciles under way may end before the rest does."""
        async with asyncio.TaskGroup() as group:
            reconciling = group.create_task(self._queue.run())
            tasks = [group.create_task(each) for each in background]
            await stop.wait()
            self._queue.stop()
            await reconciling
            for task in tasks:
                task.cancel()

    async def _assemble(self, stack: AsyncExitStack) -> list[Coroutine[Any, Any, None]]:
        """Make what needs the network or the event loop; gives what has to run beside the watches."""
        settings = self._settings
        identity = OperatorIdentity(os.environ)
        grants = Grants(settings.namespace, settings.identity_grants, identity.client_id)
        session = ArmSession.open(
            str(settings.arm_endpoint), observe=self._requests.azure, fence=self._leadership.fence
        )
        self._metrics.set_rate_limiter_callback(lambda: _rate_limits(session))
        stack.push_async_callback(session.close)
        identities = ArmClients(
            session,
            grants=grants,
            operator_identity=identity,
            secrets=self._secrets.read_key,
            tokens=ServiceAccounts(self._client).token,
        )
        stack.push_async_callback(identities.close)
        sign_in, checker = await self._open_sign_in(stack, OperatorFederatedTokens(identity, grants))
        timings = Timings(
            check_interval=timedelta(seconds=settings.check_interval),
            poll_interval=timedelta(seconds=settings.operation_poll_interval),
            settle_interval=timedelta(seconds=settings.discovery_settle_interval),
        )
        gatherer = Gatherer(
            resources=self._resources,
            clients=identities,
            pollers=self._pollers,
            drift_notifications=self._drift_notifications,
            codes=OneTimeCodes(self._secrets, self._resources, sign_in.codes, self._secret_version),
            sign_ins=SignInObserver(sign_in.sign_ins, checker),
            cluster_id=settings.cluster_id or await cluster_uid(self._client),
            namespaces=frozenset(settings.namespaces) or None,
            timings=timings,
            refresh_interval=timedelta(seconds=settings.refresh_interval),
            clock=_now,
        )
        written = WriteThrough(self._resources, self._queue.enqueue)
        self._reconciler = Reconciler(
            resources=self._resources,
            written=written,
            connector_caches=self._connector_caches,
            gatherer=gatherer,
            executor=Executor(self._resources, written, self._connectors, self._organizations, _now),
            connectors=self._connectors,
            organizations=self._organizations,
            events=self._events,
            clock=_now,
        )
        watches = [watch.run() for watch in self._secret_watches]
        resync = Resync(
            self._client,
            self._resources,
            settings.namespaces,
            self._queue.enqueue,
            interval=settings.refresh_interval,
        )
        return [self._pollers.run(), self._events.run(), sign_in.sign_ins.run(), resync.run(), *watches]

    async def _open_sign_in(
        self, stack: AsyncExitStack, assertions: OperatorFederatedTokens
    ) -> tuple[SignInPackage, PrerequisiteChecker]:
        settings = self._settings
        http = open_http_client()
        stack.push_async_callback(http.aclose)
        package = await open_sign_in(
            settings, http, ClusterSecretStore(self._secrets), assertions, self._sign_in_changed
        )
        checker = PrerequisiteChecker(
            package.sign_ins,
            http,
            Endpoints.from_settings(settings),
            settings.check_interval,
            observe=self._requests.azure_devops,
        )
        server = package.server(settings, checker)
        if server is not None:
            await server.start()
            stack.push_async_callback(server.close)
        self._sign_ins = package.sign_ins
        package.sign_ins.on_sign_in = lambda connector: self._signed_in(connector, checker)
        return package, checker

    async def _sync(self) -> None:
        """List both resources before anything is decided: a plan must know every declared organization."""
        for namespace in self._settings.namespaces or (None,):
            async for body in self._organizations.items(namespace):
                self._resources.upsert_organization(body)
            async for body in self._connectors.items(namespace):
                self._resources.upsert_connector(body)
        for key in self._resources.connectors():
            self._queue.enqueue(key)
        for key in self._resources.missing_connectors():
            self._queue.enqueue(key)
        self._synced = True
        _log.info("synced", connectors=sum(1 for _ in self._resources.connectors()))

    async def _watch(self) -> None:
        inbox = EventReceiver(self._resources, self._queue.enqueue)
        await watch(inbox, self._login, self._settings.namespaces, self._install_signal_handlers)

    async def _login(self) -> kopf.ConnectionInfo:
        credentials = await self._credentials_loader.credentials(refused=True)
        return kopf.ConnectionInfo(
            server=credentials.server,
            ca_path=credentials.ca_file,
            insecure=credentials.insecure,
            token=credentials.token.get_secret_value() if credentials.token else None,
            certificate_path=credentials.certificate_file,
            private_key_path=credentials.key_file,
        )

    async def _reconcile(self, key: Key) -> Result:
        if self._reconciler is None:
            raise RuntimeError("the scheduler runs only once all is assembled")
        with self._traces.reconcile(key.namespace, key.name) as span:
            outcome = await self._reconciler.reconcile(key)
            if outcome.failed:
                span.failed()
        if not self._resources.is_referenced(key):
            self._queue.forget(key)
        return outcome

    def _subscription_of(self, key: Key) -> str:
        body = self._resources.connector(key)
        return str(body["spec"]["azure"]["subscriptionId"]).lower() if body else ""

    def _stale_watches(self) -> str | None:
        """Which watch fell silent: only that is mended by a restart, not an API server that never was heard of."""
        silent = [name for name, seconds in self._watch_silence().items() if seconds > _WATCH_STALE_SECONDS]
        return f"nothing heard for {_WATCH_STALE_SECONDS:.0f} s: {', '.join(silent)}" if silent else None

    def _not_ready(self) -> str | None:
        """What is missing before work: nothing for a standby, or no rollout would ever end."""
        if self._synced or self._leadership.is_standby:
            return None
        return "the resources are not listed yet" if self._leadership.is_leader() else "it is not known yet who leads"

    def _watch_silence(self) -> dict[str, float]:
        """Seconds since each watch of Secrets that ever heard something last did."""
        namespaces = self._settings.namespaces or ("",)
        watches = zip(namespaces, self._secret_watches, strict=True)
        return {
            f"secrets {name}".strip(): watch.seconds_since_last_event()
            for name, watch in watches
            if watch.synced.is_set()
        }

    def _secret_version(self, namespace: str, name: str) -> str | None:
        """As the watch has it that looks there; None while it is not known."""
        places = self._settings.namespaces or (namespace,)
        watches = zip(places, self._secret_watches, strict=True)
        return next((watch.version(namespace, name) for place, watch in watches if place == namespace), None)

    def _secret_changed(self, namespace: str, name: str, version: str | None) -> None:
        touched = self._sign_ins.secret_changed(namespace, name, version or "") if self._sign_ins else ()
        for connector in touched:
            self._queue.enqueue(Key.from_metadata(connector.metadata))
        for key in self._resources.by_secret(namespace, name):
            self._queue.enqueue(key)

    def _sign_in_changed(self, namespace: str, name: str) -> None:
        self._queue.enqueue(Key(namespace, name))

    def _signed_in(self, connector: AzureDevOpsConnector, checker: PrerequisiteChecker) -> None:
        """A person has just signed in, perhaps to mend something: look at all that it may have mended."""
        key = Key.from_metadata(connector.metadata)
        checker.invalidate(connector.metadata.uid)
        self._connector_caches.mark_stale(key)
        self._queue.enqueue(key)


def _rate_limits(session: ArmSession) -> list[tuple[str, str, str, float]]:
    return [
        (state.key.principal, state.key.subscription, state.key.kind.value, state.available)
        for state in session.rate_limiter.states()
    ]
