"""One connector with the real work queue, reconciler and Azure client, in simulated time.

Azure is a small model that stays in a given state; Kubernetes is a dictionary of bodies.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import httpx

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.names import FINALIZER, TAG_OWNER, TAG_RESOURCE
from defender_devops.app.timings import timings_from_settings
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.resource_graph.pollers import ResourceGraphPollers
from defender_devops.backoff import Backoff
from defender_devops.clock import Clock
from defender_devops.errors import OperatorError
from defender_devops.handlers.events import EventReceiver
from defender_devops.reconcile.actions.executor import Executor
from defender_devops.reconcile.cache.connector_cache import ConnectorCaches
from defender_devops.reconcile.cache.drift_notifications import DriftNotifications
from defender_devops.reconcile.cache.posture_observations import PostureObservations
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.cache.write_through import WriteThrough
from defender_devops.reconcile.facts.snapshot import AuthorizationCode
from defender_devops.reconcile.observe.cspm_plans import CspmPlans
from defender_devops.reconcile.observe.gatherer import Gatherer
from defender_devops.reconcile.observe.operator_claims import Installation, OperatorClaims
from defender_devops.reconcile.reconciler import Reconciler
from defender_devops.reconcile.status_writer import StatusWriter
from defender_devops.settings import Settings
from defender_devops.workqueue.queue import WorkQueue
from tests.support.manifests import connector as connector_manifest
from tests.support.manifests import merge
from tests.unit.azure.fakes import NOW, REF, FakeAzure, answer

KEY, OTHER = Key("security", "contoso"), Key("security", "northwind")
UIDS = {"contoso": "77777777-7777-7777-7777-777777777777", "northwind": "66666666-6666-6666-6666-666666666666"}
CLUSTER = "cluster-1"
INSTALLATION = Installation("defender-devops/operator", "defender-devops/operator")
START = datetime.fromtimestamp(NOW, UTC)

Override = Callable[[str, str], "httpx.Response | Exception | None"]
"""Returns the answer to a request by method and path below the connector, or None for the usual one."""


class LoopTime:
    """The event loop's time as a clock."""

    @property
    def clock(self) -> Clock:
        return Clock(wall=lambda: NOW + asyncio.get_running_loop().time())


class AzureModel:
    """A connector that works, unless the override of a test answers first.

    Attributes:
        rows: what Resource Graph has indexed; None: everything as it is.
    """

    def __init__(self, override: Override = lambda _method, _path: None) -> None:
        self.override = override
        self.configuration: dict[str, Any] = {"provisioningState": "Succeeded", "autoDiscovery": "Enabled"}
        self.plan = answer(200, {"name": "CloudPosture", "properties": {"pricingTier": "Standard"}})
        self.organization: dict[str, Any] = {"provisioningState": "Succeeded", "onboardingState": "Onboarded"}
        self.rows: httpx.Response | Exception | None = None

    def answer(self, request: httpx.Request) -> httpx.Response | Exception:
        path = request.url.path
        if path.endswith("/Microsoft.ResourceGraph/resources"):
            return self.rows or self.index()
        if path.endswith("/pricings/CloudPosture"):
            return self.plan
        name, _, rest = path.partition("/securityConnectors/")[2].partition("/")
        below = f"/{rest}" if rest else ""
        special = self.override(request.method, below)
        if special is not None:
            return special
        organization = {"name": name, "properties": self.organization}
        bodies: dict[str, object] = {
            "": self._connector(path, name),
            "/devops/default": {"name": "default", "properties": self.configuration},
            "/devops/default/azureDevOpsOrgs": {"value": [organization]},
            "/devops/default/listAvailableAzureDevOpsOrgs": {"value": [organization]},
            f"/devops/default/azureDevOpsOrgs/{name}": organization,
        }
        return answer(200, bodies.get(below, {"value": []}))

    def index(self) -> httpx.Response:
        """Return the rows of Resource Graph for the connector as it is now."""
        body = self._connector(REF.id, REF.name)
        children = [
            {"organization": "", "name": "default", "properties": self.configuration, "counts": {}},
            {
                "organization": REF.name,
                "name": REF.name,
                "properties": self.organization,
                "counts": {"projects": 1, "repositories": 1},
            },
        ]
        row = {
            "id": REF.key,
            "location": body["location"],
            "tags": body["tags"],
            "hierarchyIdentifier": body["properties"]["hierarchyIdentifier"],
            "children": children,
        }
        return answer(200, {"data": [row], "totalRecords": 1})

    @staticmethod
    def _connector(path: str, name: str) -> dict[str, Any]:
        properties = {
            "hierarchyIdentifier": UIDS[name],
            "environmentName": "AzureDevOps",
            "offerings": [{"offeringType": "CspmMonitorAzureDevOps"}],
            "environmentData": {"environmentType": "AzureDevOpsScope"},
        }
        tags = {TAG_OWNER: f"{CLUSTER}/{UIDS[name]}", TAG_RESOURCE: f"security/{name}"}
        return {"id": path, "name": name, "location": "westeurope", "tags": tags, "properties": properties}


class FakeKubernetes:
    """Both kinds of resources; `refuses` makes every write fail.

    Attributes:
        writes: number of writes that were tried.
        reads: names of the connectors that were read.
    """

    def __init__(self, on_event: Callable[[str, dict[str, Any]], None]) -> None:
        self.writes = 0
        self.reads: list[str] = []
        self.refuses: OperatorError | None = None
        self._bodies: dict[Key, dict[str, Any]] = {}
        self._version = 1
        self._on_event = on_event

    def apply(self, body: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
        """Merge a patch into a body, and send the event of the change."""
        self.writes += 1
        if self.refuses is not None:
            raise self.refuses
        key = Key.from_body(body)
        current = self._bodies.get(key, dict(body))
        self._version += 1
        changed: dict[str, Any] = merge(current, patch)
        changed["metadata"] = {**changed["metadata"], "resourceVersion": str(self._version)}
        self._bodies[key] = changed
        self._on_event("MODIFIED", changed)
        return changed

    # What Connectors and Organizations offer. Names of organizations never collide with that of the connector.

    async def patch_status(
        self, namespace: str, name: str, patch: Mapping[str, Any], *, resource_version: str | None = None
    ) -> dict[str, Any]:
        del resource_version
        return self.apply(self._bodies[Key(namespace, name)], {"status": patch})

    async def get(self, namespace: str, name: str) -> dict[str, Any]:
        self.reads.append(name)
        return self._bodies[Key(namespace, name)]

    async def add_finalizer(self, live: Mapping[str, Any]) -> dict[str, Any]:
        return self.apply(live, {"metadata": {"finalizers": [FINALIZER]}})

    async def remove_finalizer(self, live: Mapping[str, Any]) -> dict[str, Any]:
        return self.apply(live, {"metadata": {"finalizers": []}})

    async def create(
        self, namespace: str, name: str, connector: AzureDevOpsConnector, organization: str
    ) -> dict[str, Any]:
        metadata = {"namespace": namespace, "name": name, "uid": name, "generation": 1}
        spec = {"connectorRef": {"name": connector.metadata.name}, "organization": organization}
        return self.apply({"kind": "DevOpsOrganization", "metadata": metadata, "spec": spec}, {})


class World:
    """A connector that is managed by a real work queue.

    Args:
        model: Azure.
        settings: of the operator.
        spec: of the connector, as YAML.
        has_resource_graph: whether Resource Graph is polled; without it what changes is only noticed by reads.
    """

    def __init__(
        self, model: AzureModel, settings: Settings, spec: str = "", *, has_resource_graph: bool = False
    ) -> None:
        self.model = model
        self.azure = FakeAzure([model.answer], time=cast("Any", LoopTime()))
        self.kubernetes = FakeKubernetes(self._on_event)
        self.resources = ResourceCache()
        self.reconciles: list[float] = []
        self.internal_errors: list[str] = []
        self.settings = settings
        self.queue: WorkQueue[Key] = WorkQueue(
            self._reconcile,
            backoff=Backoff(initial=settings.backoff_initial, maximum=settings.backoff_maximum),
            min_requeue_interval=settings.min_requeue_interval,
            terminal_retry_interval=settings.terminal_retry_interval,
            chance=lambda: 0.0,
            grace=0.0,
        )
        self.receiver = EventReceiver(self.resources, self.queue.enqueue, self.internal_errors.append)
        self.arm: Any = self.azure.arm
        self._has_resource_graph = has_resource_graph
        self.start()
        self.spec = spec
        self.add_connector(KEY)

    def start(self) -> None:
        """Create the reconciler, with nothing of Azure in memory, and enqueue every connector."""
        settings = self.settings
        write_through = WriteThrough(self.resources, self.queue.enqueue)
        kubernetes = cast("Any", self.kubernetes)
        caches = ConnectorCaches()
        drift = DriftNotifications(caches, self.queue.enqueue, self.internal_errors.append)
        self.pollers: Any = _NoResourceGraph(self.arm)
        if self._has_resource_graph:
            self.pollers = ResourceGraphPollers(
                interval=settings.refresh_interval,
                on_changes=drift.on_changes,
                indexing_lag=settings.resource_graph_lag,
                on_failure=self.internal_errors.append,
            )
        self.reconciler = Reconciler(
            resources=self.resources,
            connector_caches=caches,
            gatherer=Gatherer(
                resources=self.resources,
                clients=cast("Any", SimpleNamespace(client=self._client, release=self._release)),
                pollers=self.pollers,
                drift_notifications=drift,
                posture=PostureObservations(self.queue.enqueue, self.now, self.internal_errors.append),
                cspm_plans=CspmPlans(timedelta(seconds=settings.check_interval), self.now),
                codes=cast("Any", SimpleNamespace(read=self._read_code, forget=lambda _uid: None)),
                sign_ins=cast("Any", SimpleNamespace(forget=lambda _uid: None)),
                pipelines=cast("Any", SimpleNamespace(forget=lambda _uid: None, observe=lambda *_: {})),
                cluster_id=CLUSTER,
                namespaces=None,
                timings=timings_from_settings(settings),
                refresh_interval=timedelta(seconds=settings.refresh_interval),
                clock=self.now,
                on_failure=self.internal_errors.append,
            ),
            claims=OperatorClaims(INSTALLATION, kubernetes, cast("Any", None), write_through),
            executor=Executor(self.resources, write_through, kubernetes, kubernetes, self.now),
            connectors=kubernetes,
            status_writer=StatusWriter(
                self.resources,
                write_through,
                kubernetes,
                kubernetes,
                cast("Any", SimpleNamespace(emit=lambda *_: None)),
            ),
            on_failure=self.internal_errors.append,
            clock=self.now,
        )
        for key in self.resources.connectors():
            self.queue.enqueue(key)

    def add_connector(self, key: Key) -> None:
        """Create an AzureDevOpsConnector."""
        body = connector_manifest(self.spec, namespace=key.namespace, uid=UIDS[key.name], generation=1)
        metadata = {"name": key.name, "creationTimestamp": START.isoformat(), "finalizers": [FINALIZER]}
        status = {"operator": {"name": INSTALLATION.name, "lease": INSTALLATION.lease}}
        self.kubernetes.apply(merge(body, {"metadata": metadata, "status": status}), {})
        self.kubernetes.writes = 0

    def status(self, key: Key = KEY) -> dict[str, Any]:
        """Return the status of a connector or an organization."""
        body = self.resources.connector(key) or self.resources.organization(key) or {}
        return dict(body.get("status") or {})

    def condition(self, kind: str, key: Key = KEY) -> tuple[str, str]:
        """Return status and reason of a condition."""
        conditions = {condition["type"]: condition for condition in self.status(key).get("conditions", ())}
        condition = conditions.get(kind, {"status": "missing", "reason": ""})
        return condition["status"], condition["reason"]

    def now(self) -> datetime:
        return START + timedelta(seconds=int(asyncio.get_running_loop().time()))

    def edit(self, spec: Mapping[str, Any]) -> None:
        """Change the spec as a person does."""
        live = self.resources.connector(KEY) or {}
        generation = live["metadata"]["generation"] + 1
        self.kubernetes.apply(live, {"spec": spec, "metadata": {"generation": generation}})

    def remember_older(self, spec: Mapping[str, Any]) -> None:
        """Let the cache hold an older version of the connector, as the list of an API server that lags behind does."""
        live = self.resources.connector(KEY) or {}
        self.resources.remove_connector(KEY, live["metadata"]["uid"])
        self.resources.upsert_connector(merge(live, {"spec": spec, "metadata": {"resourceVersion": "1"}}))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.queue.run())
        pollers = asyncio.create_task(self.pollers.run())
        try:
            yield
        finally:
            pollers.cancel()
            await asyncio.gather(pollers, return_exceptions=True)
            self.queue.stop()
            await task

    @contextlib.asynccontextmanager
    async def restarted(self) -> AsyncIterator[None]:
        """Start the operator again while `running`: its memory is lost, and resources stay."""
        self.start()
        pollers = asyncio.create_task(self.pollers.run())
        try:
            yield
        finally:
            pollers.cancel()
            await asyncio.gather(pollers, return_exceptions=True)

    def _on_event(self, event_type: str, body: dict[str, Any]) -> None:
        handle = self.receiver.organization if body.get("kind") == "DevOpsOrganization" else self.receiver.connector
        handle(event_type, json.loads(json.dumps(body)))

    async def _reconcile(self, key: Key) -> Any:  # noqa: ANN401 - the queue's result
        self.reconciles.append(asyncio.get_running_loop().time())
        return await self.reconciler.reconcile(key)

    async def _client(self, *_: object, **_options: object) -> Any:  # noqa: ANN401 - an ArmClient
        return self.arm

    async def _release(self, _uid: str) -> None:
        pass

    async def _read_code(self, _connector: object) -> tuple[AuthorizationCode, None]:
        return AuthorizationCode(), None


class _NoResourceGraph:
    """Pollers that never see a row: what changes is only noticed by reads."""

    def __init__(self, arm: ArmClient) -> None:
        self.arm = arm

    def track(self, *_: object, **_options: object) -> _NoResourceGraph:
        return self

    async def run(self) -> None:
        pass

    def has_polled(self, _ref: ConnectorRef) -> bool:
        return True

    def current_view(self, _ref: ConnectorRef) -> None:
        return None

    def acknowledge(self, _ref: ConnectorRef) -> None:
        pass

    def posture(self, _uid: str) -> None:
        return None

    def record_write(self, _ref: ConnectorRef) -> None:
        pass

    def untrack(self, _uid: str) -> None:
        pass

    async def onboarding_connectors(self, _organizations: object) -> dict[str, str]:
        return {}
