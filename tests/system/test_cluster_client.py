"""The cluster client against a real API server, whose behavior it depends on."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.organization import DevOpsOrganization
from defender_devops.cluster.client import KubernetesClient, api_path, path_with_query
from defender_devops.cluster.cluster_uid import cluster_uid
from defender_devops.cluster.connectors import Connectors
from defender_devops.cluster.events import Events
from defender_devops.cluster.kubeconfig.credentials import CredentialsLoader
from defender_devops.cluster.organizations import Organizations
from defender_devops.cluster.secret_versions import SecretWatch
from defender_devops.cluster.secrets import Secrets
from defender_devops.cluster.service_accounts import ServiceAccounts
from defender_devops.errors import KubernetesConflict, KubernetesNotFound, KubernetesRefused, KubernetesUnavailable
from sandbox.cluster import Cluster
from sandbox.cluster import KubernetesClient as Administrator
from tests.support.scenarios.clusters import start_prepared_cluster

FINALIZER = "defender-devops.io/finalizer"
MANAGER = "defender-devops-operator"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster without an operator, so that nothing else changes its objects."""
    with start_prepared_cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture(scope="module")
def kube(cluster: Cluster) -> Iterator[Administrator]:
    """Its administrator."""
    with cluster.client() as client:
        yield client


@pytest.fixture
async def client(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KubernetesClient]:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    client = KubernetesClient(CredentialsLoader())
    yield client
    await client.close()


@pytest.fixture
def connector(kube: Administrator, namespace: str) -> dict[str, Any]:
    """A connector as a user has made it."""
    return kube.create(
        {
            "apiVersion": "defender-devops.io/v1alpha1",
            "kind": "AzureDevOpsConnector",
            "metadata": {"name": "contoso", "namespace": namespace, "finalizers": ["other.example/finalizer"]},
            "spec": {
                "azure": {
                    "tenantId": "11111111-1111-1111-1111-111111111111",
                    "subscriptionId": "22222222-2222-2222-2222-222222222222",
                    "resourceGroup": "rg",
                    "location": "westeurope",
                },
                "organizations": {"mode": "AllAndFuture"},
                "authorization": {"method": "Adopt"},
            },
        }
    )


async def _until(condition: Callable[[], Awaitable[bool]], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.05)


class TestConnectors:
    async def test_the_finalizer_is_added_and_removed_beside_others(
        self, client: KubernetesClient, connector: dict[str, Any]
    ) -> None:
        connectors = Connectors(client)
        added = await connectors.add_finalizer(connector)
        assert added["metadata"]["finalizers"] == ["other.example/finalizer", FINALIZER]
        with pytest.raises(KubernetesConflict, match="planned again"):
            await connectors.add_finalizer(added)
        removed = await connectors.remove_finalizer(added)
        assert removed["metadata"]["finalizers"] == ["other.example/finalizer"]

    async def test_the_first_finalizer_of_an_object_is_added_too(
        self, client: KubernetesClient, kube: Administrator, connector: dict[str, Any], namespace: str
    ) -> None:
        bare = kube.patch("AzureDevOpsConnector", "contoso", {"metadata": {"finalizers": None}}, namespace)
        added = await Connectors(client).add_finalizer(bare)
        assert added["metadata"]["finalizers"] == [FINALIZER]
        removed = await Connectors(client).remove_finalizer(added)
        assert not removed["metadata"].get("finalizers")

    async def test_finalizers_that_changed_meanwhile_are_a_conflict_and_are_kept(
        self, client: KubernetesClient, kube: Administrator, connector: dict[str, Any], namespace: str
    ) -> None:
        kube.patch("AzureDevOpsConnector", "contoso", {"metadata": {"finalizers": ["new.example/one"]}}, namespace)
        with pytest.raises(KubernetesConflict):
            await Connectors(client).add_finalizer(connector)
        live = kube.get("AzureDevOpsConnector", "contoso", namespace)
        assert live["metadata"]["finalizers"] == ["new.example/one"]

    async def test_a_finalizer_is_not_put_on_another_object_of_the_same_name(
        self, client: KubernetesClient, connector: dict[str, Any]
    ) -> None:
        other = {**connector, "metadata": {**connector["metadata"], "uid": "00000000-0000-0000-0000-000000000000"}}
        with pytest.raises(KubernetesConflict):
            await Connectors(client).add_finalizer(other)

    async def test_a_write_of_the_status_does_not_prevent_a_finalizer(
        self, client: KubernetesClient, connector: dict[str, Any], namespace: str
    ) -> None:
        await Connectors(client).patch_status(namespace, "contoso", {"connectorId": "/subscriptions/x"})
        await Connectors(client).add_finalizer(connector)

    async def test_a_status_patch_changes_only_its_fields(
        self, client: KubernetesClient, connector: dict[str, Any], namespace: str
    ) -> None:
        connectors = Connectors(client)
        await connectors.patch_status(
            namespace, "contoso", {"connectorId": "/subscriptions/x", "observedGeneration": 1}
        )
        updated = await connectors.patch_status(namespace, "contoso", {"connectorId": None})
        assert "connectorId" not in updated["status"]
        assert updated["status"]["observedGeneration"] == 1
        assert updated["metadata"]["generation"] == connector["metadata"]["generation"]

    async def test_a_status_patch_may_require_a_resource_version(
        self, client: KubernetesClient, connector: dict[str, Any], namespace: str
    ) -> None:
        connectors, version = Connectors(client), connector["metadata"]["resourceVersion"]
        await connectors.patch_status(namespace, "contoso", {"connectorId": "/a"}, resource_version=version)
        with pytest.raises(KubernetesConflict):
            await connectors.patch_status(namespace, "contoso", {"connectorId": "/b"}, resource_version=version)

    async def test_a_status_that_breaks_the_schema_is_refused_with_its_field(
        self, client: KubernetesClient, connector: dict[str, Any], namespace: str
    ) -> None:
        with pytest.raises(KubernetesRefused, match="observedGeneration"):
            await Connectors(client).patch_status(namespace, "contoso", {"observedGeneration": "many"})

    async def test_the_status_of_a_deleted_object_is_not_found(self, client: KubernetesClient, namespace: str) -> None:
        with pytest.raises(KubernetesNotFound):
            await Connectors(client).patch_status(namespace, "nobody", {})

    async def test_items_are_whole_bodies(
        self, client: KubernetesClient, connector: dict[str, Any], namespace: str
    ) -> None:
        (item,) = [body async for body in Connectors(client).items(namespace)]
        assert (item["kind"], item["metadata"]["uid"]) == ("AzureDevOpsConnector", connector["metadata"]["uid"])


class TestOrganizations:
    @staticmethod
    async def _create(client: KubernetesClient, connector: dict[str, Any]) -> dict[str, Any]:
        owner = AzureDevOpsConnector.model_validate(connector)
        namespace = connector["metadata"]["namespace"]
        return await Organizations(client).create(namespace, "contoso-fabrikam", owner, "fabrikam")

    async def test_a_generated_organization_is_owned_by_its_connector(
        self, client: KubernetesClient, connector: dict[str, Any]
    ) -> None:
        created = await self._create(client, connector)
        assert created["spec"] == {"connectorRef": {"name": "contoso"}, "organization": "fabrikam"}
        assert created["metadata"]["labels"]["defender-devops.io/generated"] == "true"
        (owner,) = created["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["blockOwnerDeletion"]) == (connector["metadata"]["uid"], False)
        (field,) = created["metadata"]["managedFields"]
        assert (field["manager"], field["operation"]) == (MANAGER, "Update")

    async def test_a_resource_of_a_user_with_that_name_is_not_changed(
        self, client: KubernetesClient, kube: Administrator, connector: dict[str, Any], namespace: str
    ) -> None:
        foreign = kube.create(
            {
                "apiVersion": "defender-devops.io/v1alpha1",
                "kind": "DevOpsOrganization",
                "metadata": {"name": "contoso-fabrikam", "namespace": namespace},
                "spec": {"connectorRef": {"name": "other"}, "organization": "fabrikam", "onboarding": "Excluded"},
            }
        )
        with pytest.raises(KubernetesConflict):
            await self._create(client, connector)
        assert kube.get("DevOpsOrganization", "contoso-fabrikam", namespace) == foreign

    async def test_creating_it_twice_is_a_conflict_and_writes_nothing(
        self, client: KubernetesClient, kube: Administrator, connector: dict[str, Any], namespace: str
    ) -> None:
        created = await self._create(client, connector)
        with pytest.raises(KubernetesConflict):
            await self._create(client, connector)
        live = kube.get("DevOpsOrganization", "contoso-fabrikam", namespace)
        assert live["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]

    async def test_only_the_version_that_was_read_is_deleted(
        self, client: KubernetesClient, kube: Administrator, connector: dict[str, Any], namespace: str
    ) -> None:
        created = (await self._create(client, connector))["metadata"]
        patch = {"spec": {"onboarding": "Excluded"}}
        now = kube.patch("DevOpsOrganization", "contoso-fabrikam", patch, namespace)["metadata"]
        organizations = Organizations(client)
        for uid, version in ((created["uid"], created["resourceVersion"]), ("0000", now["resourceVersion"])):
            with pytest.raises(KubernetesConflict):
                await organizations.delete(namespace, "contoso-fabrikam", uid, version)
        await organizations.delete(namespace, "contoso-fabrikam", now["uid"], now["resourceVersion"])
        assert kube.get("DevOpsOrganization", "contoso-fabrikam", namespace) is None

    async def test_a_release_removes_only_the_operators_marks(
        self, client: KubernetesClient, kube: Administrator, connector: dict[str, Any], namespace: str
    ) -> None:
        await self._create(client, connector)
        foreign = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u"}
        owner_references = kube.get("DevOpsOrganization", "contoso-fabrikam", namespace)["metadata"]["ownerReferences"]
        taken_over = kube.patch(
            "DevOpsOrganization",
            "contoso-fabrikam",
            {
                "metadata": {"labels": {"team": "platform"}, "ownerReferences": [*owner_references, foreign]},
                "spec": {"onboarding": "Excluded"},
            },
            namespace,
        )
        released = await Organizations(client).release(DevOpsOrganization.model_validate(taken_over))
        assert released["metadata"]["labels"] == {"team": "platform"}
        assert released["metadata"]["ownerReferences"] == [foreign]
        assert released["spec"] == taken_over["spec"]

    async def test_a_release_of_a_changed_resource_is_a_conflict(
        self, client: KubernetesClient, kube: Administrator, connector: dict[str, Any], namespace: str
    ) -> None:
        created = await self._create(client, connector)
        kube.patch("DevOpsOrganization", "contoso-fabrikam", {"metadata": {"labels": {"a": "b"}}}, namespace)
        with pytest.raises(KubernetesConflict):
            await Organizations(client).release(DevOpsOrganization.model_validate(created))

    async def test_the_status_can_be_written(
        self, client: KubernetesClient, connector: dict[str, Any], namespace: str
    ) -> None:
        await self._create(client, connector)
        updated = await Organizations(client).patch_status(namespace, "contoso-fabrikam", {"organizationId": "1"})
        assert updated["status"]["organizationId"] == "1"


def _secret(namespace: str, name: str, value: str, **metadata: object) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "stringData": {"key": value},
    }


class TestSecrets:
    async def test_one_key_is_read_and_hidden_in_repr(
        self, client: KubernetesClient, kube: Administrator, namespace: str
    ) -> None:
        kube.create(_secret(namespace, "a", "väl\nue"))
        value = await Secrets(client).read_key(namespace, "a", "key")
        assert value.get_secret_value().decode() == "väl\nue"
        assert "väl" not in repr(value)
        assert await Secrets(client).read_key(namespace, "a", "other") is None
        assert await Secrets(client).read_key(namespace, "b", "key") is None

    async def test_changes_are_reported_without_the_content(
        self, client: KubernetesClient, kube: Administrator, namespace: str
    ) -> None:
        applied = {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "topsecret"}}
        kube.create(_secret(namespace, "existing", "topsecret", **applied))
        changes: list[tuple[str, str, bool]] = []
        watch = SecretWatch(
            client, namespace, lambda space, name, version: changes.append((space, name, bool(version)))
        )
        task = asyncio.create_task(watch.run())
        await watch.synced.wait()
        assert changes == []
        kube.create(_secret(namespace, "new", "topsecret", **applied))
        kube.patch("Secret", "existing", {"stringData": {"key": "other"}}, namespace)
        kube.create(_secret(namespace, "release", "x") | {"type": "helm.sh/release.v1"})
        kube.delete("Secret", "new", namespace)

        async def all_reported() -> bool:
            return len(changes) >= 3

        await _until(all_reported)
        assert changes == [(namespace, "new", True), (namespace, "existing", True), (namespace, "new", False)]
        assert "topsecret" not in str(vars(watch))
        assert watch.seconds_since_last_event() < 15
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def test_the_server_leaves_the_data_out(
        self, client: KubernetesClient, kube: Administrator, namespace: str
    ) -> None:
        kube.create(_secret(namespace, "a", "topsecret"))
        accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        (page,) = [page async for page in client.pages(api_path("v1", "secrets", namespace), accept=accept)]
        assert page["kind"] == "PartialObjectMetadataList"
        assert all("data" not in item for item in page["items"])
        query = {"watch": "true", "resourceVersion": "0", "timeoutSeconds": "1"}
        accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
        url = path_with_query(api_path("v1", "secrets", namespace), **query)
        events = [event async for event in client.watch(url, accept=accept, idle_timeout=10)]
        assert events
        assert all("data" not in event["object"] for event in events)


class TestServiceAccounts:
    async def test_a_token_has_account_and_audience_and_is_cached(
        self, client: KubernetesClient, kube: Administrator, namespace: str
    ) -> None:
        kube.create(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "azure", "namespace": namespace}}
        )
        accounts = ServiceAccounts(client)
        token = await accounts.token(namespace, "azure", "api://AzureADTokenExchange")
        claims = jwt.decode(token.get_secret_value(), options={"verify_signature": False})
        assert claims["sub"] == f"system:serviceaccount:{namespace}:azure"
        assert claims["aud"] == ["api://AzureADTokenExchange"]
        assert claims["exp"] - claims["iat"] == 3600
        assert await accounts.token(namespace, "azure", "api://AzureADTokenExchange") is token
        (cached,) = accounts._tokens.values()
        remaining = cached.renew_at - asyncio.get_running_loop().time()
        assert 2850 < remaining <= 2880

    async def test_a_missing_account_is_not_found(self, client: KubernetesClient, namespace: str) -> None:
        with pytest.raises(KubernetesNotFound, match='serviceaccounts "nobody" not found'):
            await ServiceAccounts(client).token(namespace, "nobody", "x")


class TestEvents:
    async def test_repetitions_increment_one_visible_event(
        self, client: KubernetesClient, kube: Administrator, connector: dict[str, Any], namespace: str
    ) -> None:
        events = Events(client, "pod-1")
        task = asyncio.create_task(events.run())
        events.emit(connector, "Warning", "AuthorizationLost", "Defender's authorization does not work any more.")

        def seen() -> list[dict[str, Any]]:
            return kube.list_all("events.k8s.io/v1/Event", namespace)

        async def written() -> bool:
            return len(await asyncio.to_thread(seen)) == 1

        await _until(written)
        events.emit(connector, "Warning", "AuthorizationLost", "Defender's authorization does not work any more.")

        async def counted() -> bool:
            return (await asyncio.to_thread(seen))[0].get("series", {}).get("count") == 2

        await _until(counted)
        (event,) = seen()
        assert event["regarding"]["uid"] == connector["metadata"]["uid"]
        assert (event["reason"], event["type"], event["reportingController"]) == (
            "AuthorizationLost",
            "Warning",
            MANAGER,
        )
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def test_an_event_for_a_terminating_namespace_is_dropped(
        self, client: KubernetesClient, kube: Administrator
    ) -> None:
        created = kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "going-"}})
        name = created["metadata"]["name"]
        holder = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": name}}
        held = kube.create({**holder, "metadata": {**holder["metadata"], "finalizers": ["test.example/hold"]}})
        kube.delete("Namespace", name)
        dropped = asyncio.Event()
        events = Events(client, "pod-1", dropped.set)
        task = asyncio.create_task(events.run())
        events.emit(held | {"apiVersion": "v1", "kind": "ConfigMap"}, "Normal", "Deleting", "It goes.")
        await asyncio.wait_for(dropped.wait(), 10)
        assert not task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        kube.patch("ConfigMap", "x", {"metadata": {"finalizers": None}}, name)


class TestClient:
    async def test_a_cluster_is_identified_by_the_uid_of_kube_system(
        self, client: KubernetesClient, kube: Administrator
    ) -> None:
        assert await cluster_uid(client) == kube.get("Namespace", "kube-system")["metadata"]["uid"]

    async def test_lists_of_many_pages_are_complete(
        self, client: KubernetesClient, kube: Administrator, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("defender_devops.cluster.client._PAGE", 3)
        for number in range(10):
            kube.create(
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": f"many-{number}", "namespace": namespace},
                }
            )
        names = {item["metadata"]["name"] async for item in client.items(api_path("v1", "configmaps", namespace))}
        assert {f"many-{number}" for number in range(10)} <= names

    async def test_an_invalid_token_is_a_transient_error(
        self, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": "nobody's"}
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        client = KubernetesClient(CredentialsLoader())
        with pytest.raises(KubernetesUnavailable, match="credentials"):
            await client.get("/api/v1/namespaces")
        await client.close()
