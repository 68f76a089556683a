"""The operator with the service account of the installed chart: its permissions are sufficient, and all are used.

The API server's audit log contains every request of the account with its response status.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

import pytest
import yaml

from defender_devops.api.names import FINALIZER
from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.client import Manifest, condition
from sandbox.demo.people import People, account_of
from sandbox.stack import Cloud
from sandbox.stack.chart import Release, package_chart
from tests.support.chart.audit_log import Request, requests, write_policy
from tests.support.chart.helm import NAMESPACE, RELEASE, ROOT
from tests.support.chart.installed_operator import OPERATOR_IDENTITY, run_installed_operator
from tests.support.chart.rbac import rights_of
from tests.support.scenarios.azure_world import SERVICE_ACCOUNT, WORKLOAD, write_world

pytestmark = pytest.mark.early

ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
TENANT, SUBSCRIPTION = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
GRANTED = "platform"
"""A namespace with a service account whose tokens an identity in Azure trusts."""

VALUES = {
    "replicaCount": 2,
    "workloadIdentity": OPERATOR_IDENTITY,
    "identityGrants": [
        {
            "namespace": GRANTED,
            "tenantId": TENANT,
            "subscriptionId": SUBSCRIPTION,
            "clientId": WORKLOAD,
            "serviceAccountName": SERVICE_ACCOUNT,
        }
    ],
    "settings": {"refreshInterval": 1, "checkInterval": 2},
}


@dataclass(frozen=True)
class Stage:
    """Cluster with an audit log, cloud, chart and operator."""

    cluster: Cluster
    kube: KubernetesClient
    control: ControlClient
    cloud: Cloud
    release: Release

    def requests(self) -> list[Request]:
        """All requests of the operator so far."""
        return requests(self.cluster.audit_log)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("rights")
    policy = write_policy(folder / "policy.yaml", ACCOUNT)
    world = write_world(folder / "world.yaml", trusted_namespace=GRANTED)
    with Cluster.start(folder / "cluster", audit_policy=policy) as cluster:
        federation = ("--federation-issuer", cluster.issuer, "--federation-jwks", cluster.jwks)
        with (
            cluster.client() as kube,
            Cloud.start(folder / "cloud", "--speed", "600", "--world", world, *federation) as cloud,
            ControlClient(cloud.control) as control,
        ):
            kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": GRANTED}})
            release = Release.install(cluster, NAMESPACE, package_chart(folder / "chart"), VALUES)
            with run_installed_operator(cluster, kube, cloud, release, folder / "pod"):
                yield Stage(cluster, kube, control, cloud, release)


def example(name: str) -> Manifest:
    """A connector of examples/, in the operator's own namespace, which needs no grant."""
    manifest = yaml.safe_load((ROOT / "examples" / f"{name}.yaml").read_text())
    assert isinstance(manifest, dict)
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": NAMESPACE}}


def service_account_connector() -> Manifest:
    """A connector of a team, with an identity that trusts the team's service account."""
    azure = {
        "tenantId": TENANT,
        "subscriptionId": SUBSCRIPTION,
        "resourceGroup": "rg-devops-security",
        "location": "westeurope",
        "identity": {
            "type": "WorkloadIdentity",
            "clientId": WORKLOAD,
            "serviceAccountRef": {"name": SERVICE_ACCOUNT},
        },
    }
    return {
        "apiVersion": "defender-devops.io/v1alpha1",
        "kind": "AzureDevOpsConnector",
        "metadata": {"name": "northwind", "namespace": GRANTED},
        "spec": {
            "azure": azure,
            "organizations": {"mode": "Selected", "names": ["northwind"]},
            "authorization": {"method": "Adopt", "account": "mdc-devops-connector@contoso.com"},
        },
    }


def is_true(type_: str, body: Manifest) -> bool:
    return condition(body, type_).get("status") == "True"


def wait(stage: Stage, name: str, type_: str, namespace: str = NAMESPACE) -> Manifest:
    """Wait until a condition of a connector is True."""
    kind = "AzureDevOpsConnector"
    return stage.kube.wait(kind, name, namespace, until=lambda body: is_true(type_, body), timeout=60)


@pytest.fixture(scope="module")
def life(stage: Stage) -> Stage:
    """The stage after the life of two connectors: sign-in, declared organizations, two losses and repairs, deletion."""
    contoso, people = example("contoso"), People(stage.control, stage.cloud)
    for secret in people.prepare(contoso):
        stage.kube.apply(secret)
    stage.kube.apply(contoso)
    claim_by_a_former_release(stage)
    page = wait(stage, "contoso", "Ready")["status"]["signIn"]["url"]
    people.sign_in(page, account_of(contoso))
    wait(stage, "contoso", "SignedIn")
    adopt_as_service_account(stage, people)
    declare_organizations(stage)
    for _ in range(2):
        people.remove_access(account_of(contoso))
        wait(stage, "contoso", "ReauthRequired")
        people.restore_access(account_of(contoso))
        wait(stage, "contoso", "Ready")
    stage.kube.delete("AzureDevOpsConnector", "contoso", NAMESPACE)
    stage.kube.wait_deleted("AzureDevOpsConnector", "contoso", NAMESPACE, timeout=60)
    return stage


def claim_by_a_former_release(stage: Stage) -> None:
    """Have the operator find a connector of a release that no longer exists: it reads that release's lease."""
    claim = {"name": "former/operator", "lease": "former/operator"}
    kind, metadata = "AzureDevOpsConnector", {"name": "former", "namespace": NAMESPACE}
    manifest = example("contoso")
    stage.kube.apply({**manifest, "metadata": metadata, "spec": {**manifest["spec"], "suspend": True}})
    stage.kube.patch(kind, "former", {"status": {"operator": claim}}, NAMESPACE, subresource="status")
    stage.kube.wait(kind, "former", NAMESPACE, until=lambda body: body["status"]["operator"]["name"] != claim["name"])
    stage.kube.delete(kind, "former", NAMESPACE)


def adopt_as_service_account(stage: Stage, people: People) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    stage.kube.apply({**account, "metadata": {"name": SERVICE_ACCOUNT, "namespace": GRANTED}})
    manifest = service_account_connector()
    people.prepare(manifest)
    # As after a start of the operator, which reads a connector of its own once more before it changes Azure.
    manifest["metadata"]["finalizers"] = [FINALIZER]
    stage.kube.apply(manifest)
    wait(stage, "northwind", "Ready", GRANTED)


def declare_organizations(stage: Stage) -> None:
    """Edit a generated organization, which the operator releases, and declare one that replaces a generated one."""
    kind, onboarding = "DevOpsOrganization", {"onboarding": "Onboarded"}
    stage.kube.patch(kind, "contoso-contoso", {"spec": onboarding}, NAMESPACE)
    stage.kube.wait(kind, "contoso-contoso", NAMESPACE, until=lambda body: not body["metadata"].get("ownerReferences"))
    replaced = stage.kube.get(kind, "contoso-fabrikam", NAMESPACE) or {}
    metadata = {"name": "declared", "namespace": NAMESPACE}
    stage.kube.create({**replaced, "metadata": metadata, "spec": {**replaced["spec"], **onboarding}})
    stage.kube.wait_deleted(kind, "contoso-fabrikam", NAMESPACE)


def test_no_request_of_the_operator_is_forbidden(life: Stage) -> None:
    assert {str(request) for request in life.requests() if request.status == HTTPStatus.FORBIDDEN} == set()


def test_every_permission_is_used(life: Stage) -> None:
    granted = rights_of(life.release.manifests, RELEASE)
    used = {request.right for request in life.requests()}
    assert {str(right) for right in granted - used} == set()
