"""Creates what needs the network or a running event loop, once this replica leads, and connects it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.app.federated_tokens import OperatorFederatedTokens
from defender_devops.app.secret_store import ClusterSecretStore
from defender_devops.app.secret_watches import SecretWatches
from defender_devops.app.sign_in_organizations import SelectedOrganizations
from defender_devops.app.timings import timings_from_settings
from defender_devops.azure.arm.session import ArmSession
from defender_devops.azure.identity.clients import ArmClients
from defender_devops.azure.identity.grants import Grants
from defender_devops.azure.identity.operator_identity import OperatorIdentity
from defender_devops.azure.resource_graph.pollers import ResourceGraphPollers
from defender_devops.azuredevops.azure_devops_reader import AzureDevOpsReader
from defender_devops.azuredevops.client import Endpoints
from defender_devops.azuredevops.pipelines.pace import Paces
from defender_devops.cluster.client import KubernetesClient
from defender_devops.cluster.cluster_uid import cluster_uid
from defender_devops.cluster.connectors import Connectors
from defender_devops.cluster.events import Events
from defender_devops.cluster.lease import Leases
from defender_devops.cluster.organizations import Organizations
from defender_devops.cluster.secrets import Secrets
from defender_devops.cluster.service_accounts import ServiceAccounts
from defender_devops.http_client import open_http_client
from defender_devops.reconcile.actions.executor import Executor
from defender_devops.reconcile.cache.connector_cache import ConnectorCaches
from defender_devops.reconcile.cache.drift_notifications import DriftNotifications
from defender_devops.reconcile.cache.posture_observations import PostureObservations
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.cache.resync import Resync
from defender_devops.reconcile.cache.write_through import WriteThrough
from defender_devops.reconcile.observe.cspm_plans import CspmPlans
from defender_devops.reconcile.observe.gatherer import Gatherer
from defender_devops.reconcile.observe.one_time_code import OneTimeCodes
from defender_devops.reconcile.observe.operator_claims import Installation, OperatorClaims
from defender_devops.reconcile.observe.pipelines.evidence_store import EvidenceStore
from defender_devops.reconcile.observe.pipelines.observer import PipelineObserver
from defender_devops.reconcile.observe.sign_in import SignInObserver
from defender_devops.reconcile.reconciler import Reconciler
from defender_devops.reconcile.status_writer import StatusWriter
from defender_devops.settings import Settings
from defender_devops.signin.assembly import SignInPackage, open_sign_in
from defender_devops.signin.sessions.sign_ins import SignIns
from defender_devops.telemetry.metrics import Metrics
from defender_devops.telemetry.requests import Requests

__all__ = ["Assembler", "Assembly"]


def _now() -> datetime:
    """Return the current time to whole seconds, as Kubernetes keeps it, so that a status reads back equal."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Assembly:
    """What works while this replica leads.

    Attributes:
        reconciler: reconciles one connector.
        sign_ins: the sign-ins of all connectors.
        background: tasks that run beside the work queue and the watches, by name.
    """

    reconciler: Reconciler
    sign_ins: SignIns
    background: dict[str, Callable[[], Awaitable[None]]]


@dataclass(frozen=True, slots=True)
class Assembler:
    """Creates an `Assembly` from what exists before this replica leads.

    Attributes:
        settings: of the operator.
        metrics: of the operator.
        requests: observers of requests, for metrics and traces.
        client: Kubernetes API client.
        fence: raises LeadershipLost when this replica may no longer write.
        resources: cache of both kinds.
        secret_watches: watches of Secrets.
        enqueue: enqueues a connector.
    """

    settings: Settings
    metrics: Metrics
    requests: Requests
    client: KubernetesClient
    fence: Callable[[], None]
    resources: ResourceCache
    secret_watches: SecretWatches
    enqueue: Callable[[Key], None]

    async def assemble(self, stack: AsyncExitStack) -> Assembly:
        """Create everything; the stack closes it.

        Raises:
            OperatorError: something that nothing works without is missing.
        """
        settings = self.settings
        secrets = Secrets(self.client)
        identity = OperatorIdentity(os.environ)
        grants = Grants(settings.namespace, settings.identity_grants, identity.client_id)

        connector_caches = ConnectorCaches()
        drift_notifications = DriftNotifications(connector_caches, self.enqueue, self.metrics.internal_error)
        posture = PostureObservations(self.enqueue, _now, self.metrics.internal_error)
        self.metrics.set_posture_answers_callback(posture.answer_times)
        pollers = self._open_pollers(drift_notifications, posture)
        federated_tokens = OperatorFederatedTokens(identity, grants)
        sign_in, reader, pipelines = await self._open_sign_in(stack, secrets, federated_tokens, connector_caches)
        pipelines.repository_results = pollers.repository_results

        events = Events(self.client, socket.gethostname(), self.metrics.event_lost)
        gatherer = Gatherer(
            resources=self.resources,
            clients=self._open_arm_clients(stack, grants, identity, secrets),
            pollers=pollers,
            drift_notifications=drift_notifications,
            posture=posture,
            cspm_plans=CspmPlans(timedelta(seconds=settings.check_interval), _now),
            codes=OneTimeCodes(secrets, self.resources, sign_in.codes, self.secret_watches.version),
            sign_ins=SignInObserver(sign_in.sign_ins, reader, self.metrics.internal_error),
            pipelines=pipelines,
            cluster_id=settings.cluster_id or await cluster_uid(self.client),
            namespaces=frozenset(settings.namespaces) or None,
            timings=timings_from_settings(settings),
            refresh_interval=timedelta(seconds=settings.refresh_interval),
            clock=_now,
            on_failure=self.metrics.internal_error,
        )
        reconciler = self._open_reconciler(connector_caches, gatherer, events)
        background = {
            "Resource Graph pollers": pollers.run,
            "events": events.run,
            "sign-ins": sign_in.sign_ins.run,
            "pipeline checks": pipelines.run,
            "resync": self._open_resync().run,
            **self.secret_watches.background(),
        }
        return Assembly(reconciler, sign_in.sign_ins, background)

    def _open_reconciler(self, caches: ConnectorCaches, gatherer: Gatherer, events: Events) -> Reconciler:
        """Create the reconciler, with everything that writes to the cluster."""
        installation = _installation(self.settings)
        connectors, organizations = Connectors(self.client, installation.annotation), Organizations(self.client)
        write_through = WriteThrough(self.resources, self.enqueue)
        return Reconciler(
            resources=self.resources,
            connector_caches=caches,
            gatherer=gatherer,
            claims=self._open_claims(installation, connectors, write_through),
            executor=Executor(self.resources, write_through, connectors, organizations, _now),
            connectors=connectors,
            status_writer=StatusWriter(
                self.resources, write_through, connectors, organizations, events, installation.status()
            ),
            on_failure=self.metrics.internal_error,
            on_findings=lambda key, findings: self.metrics.resources.set_findings(*key, findings),
            clock=_now,
        )

    def _open_resync(self) -> Resync:
        """Create the periodic listing of both resources."""
        interval = self.settings.refresh_interval
        return Resync(self.client, self.resources, self.settings.namespaces, self.enqueue, interval=interval)

    def _open_pollers(self, drift: DriftNotifications, posture: PostureObservations) -> ResourceGraphPollers:
        """Create the pollers of all identities."""
        return ResourceGraphPollers(
            interval=self.settings.refresh_interval,
            on_changes=drift.on_changes,
            posture_interval=self.settings.posture_interval,
            on_posture=posture.on_poll,
            indexing_lag=self.settings.resource_graph_lag,
            on_failure=self.metrics.internal_error,
        )

    def _open_claims(
        self, installation: Installation, connectors: Connectors, write_through: WriteThrough
    ) -> OperatorClaims:
        """Create the claims by which only one of several releases manages a connector."""
        claims = OperatorClaims(installation, connectors, Leases(self.client), write_through)
        self.metrics.set_managed_elsewhere_callback(claims.managed_elsewhere)
        return claims

    def _open_arm_clients(
        self, stack: AsyncExitStack, grants: Grants, identity: OperatorIdentity, secrets: Secrets
    ) -> ArmClients:
        """Create the clients of Azure Resource Manager, which share one session."""
        clients = ArmClients(
            self._open_session(stack),
            grants=grants,
            operator_identity=identity,
            secrets=secrets.read_credential,
            tokens=ServiceAccounts(self.client).token,
        )
        stack.push_async_callback(clients.close)
        return clients

    def _open_session(self, stack: AsyncExitStack) -> ArmSession:
        """Open the connections to Azure Resource Manager, with the metrics of their rate limits."""
        session = ArmSession.open(str(self.settings.arm_endpoint), observe=self.requests.azure, fence=self.fence)
        stack.push_async_callback(session.close)

        def rate_limits() -> list[tuple[str, str, str, float]]:
            return [
                (state.key.principal, state.key.subscription, state.key.kind.value, state.available)
                for state in session.rate_limiter.states()
            ]

        self.metrics.set_rate_limiter_callback(rate_limits)
        return session

    async def _open_sign_in(
        self,
        stack: AsyncExitStack,
        secrets: Secrets,
        federated_tokens: OperatorFederatedTokens,
        connector_caches: ConnectorCaches,
    ) -> tuple[SignInPackage, AzureDevOpsReader, PipelineObserver]:
        """Create the sign-in with its pages, and what uses it: the checks of prerequisites and of pipelines."""
        settings = self.settings
        http = open_http_client()
        stack.push_async_callback(http.aclose)
        package = await open_sign_in(
            settings,
            http,
            ClusterSecretStore(secrets),
            federated_tokens,
            lambda namespace, name: self.enqueue(Key(namespace, name)),
        )
        reader = AzureDevOpsReader(
            package.sign_ins,
            http,
            Endpoints.from_settings(settings),
            settings.check_interval,
            observe=self.requests.azure_devops,
        )
        pipelines = PipelineObserver(
            reader,
            EvidenceStore(ClusterSecretStore(secrets), package.sealer.sign),
            Paces(settings.pipeline_request_interval, settings.pipeline_budget_share),
            lambda namespace, name: self.enqueue(Key(namespace, name)),
            _now,
            time.monotonic,
            preview=settings.pipeline_preview,
            on_failure=self.metrics.internal_error,
        )

        def on_sign_in(connector: AzureDevOpsConnector) -> None:
            """Check everything again that the person who signed in may have corrected."""
            key = Key.from_metadata(connector.metadata)
            reader.invalidate(connector.metadata.uid)
            pipelines.retry(connector.metadata.uid)
            connector_caches.mark_stale(key)
            self.enqueue(key)

        package.sign_ins.on_sign_in = on_sign_in
        package.sign_ins.on_failure = self.metrics.internal_error
        server = package.server(
            settings,
            reader,
            SelectedOrganizations(self.resources),
            self.metrics.sign_in_request_rejected,
            self.metrics.internal_error,
        )
        if server is not None:
            await server.start()
            stack.push_async_callback(server.close)
        return package, reader, pipelines


def _installation(settings: Settings) -> Installation:
    """Return what identifies this release in the claims of connectors."""
    lease = f"{settings.namespace}/{settings.lease_name}"
    return Installation(settings.operator_name or lease, lease)
