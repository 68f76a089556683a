"""The operator as the chart's service account: what the chart gives is enough, and what it gives is used.

The API server's audit log tells every request of the account and its answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.client import Manifest, condition
from sandbox.demo.people import People, account_of
from sandbox.stack import Cloud, Operator
from sandbox.stack.chart import Release, render
from sandbox.stack.service_account import ProjectedTokens
from tests.support.helm import NAMESPACE, RELEASE, ROOT
from tests.support.rights import Right, rights_of

ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": [ACCOUNT]}, {"level": "None"}],
}
VALUES = {
    "workloadIdentity": {
        "enabled": True,
        "webhook": False,
        "clientId": "66666666-6666-6666-6666-666666666666",
        "tenantId": "11111111-1111-1111-1111-111111111111",
    },
    "settings": {"refreshInterval": 1, "checkInterval": 2},
}

UNSEEN = {
    "create defender-devops.io/devopsorganizations": "asked within a server-side apply, which the log calls patch",
    "update secrets": "when a sign-in renews its tokens",
}
"""Rights that this workload does not use, each with when it is."""


@dataclass(frozen=True)
class Request:
    """One line of the audit log."""

    right: Right
    status: int

    @classmethod
    def of(cls, event: dict[str, object]) -> Request | None:
        """What an event says, or None where it is not about a resource."""
        ref, answer = event.get("objectRef"), event.get("responseStatus")
        if not isinstance(ref, dict) or not isinstance(answer, dict):
            return None
        resource = ref["resource"] + (f"/{ref['subresource']}" if "subresource" in ref else "")
        return cls(Right(str(event["verb"]), ref.get("apiGroup", ""), resource), int(answer["code"]))


@dataclass(frozen=True)
class Stage:
    """Cluster with an audit log, cloud, chart and operator."""

    cluster: Cluster
    kube: KubernetesClient
    control: ControlClient
    release: Release

    def requests(self) -> list[Request]:
        """All requests of the operator so far."""
        events = (json.loads(line) for line in self.cluster.audit_log.read_text().splitlines())
        return [request for event in events if (request := Request.of(event))]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("rights")
    policy = folder / "policy.yaml"
    policy.write_text(yaml.safe_dump(POLICY))
    with Cluster.start(folder / "cluster", audit_policy=policy) as cluster:
        federation = ("--federation-issuer", cluster.issuer, "--federation-jwks", cluster.jwks)
        with (
            cluster.client() as kube,
            Cloud.start(folder / "cloud", "--speed", "600", *federation) as cloud,
            ControlClient(cloud.control) as control,
        ):
            release = render(NAMESPACE, VALUES)
            release.install(kube)
            with ProjectedTokens(cluster, NAMESPACE, release.service_account, folder / "pod") as tokens:
                variables = {**release.environment(), **tokens.environment(), **cloud.environment()}
                del variables["DEFENDER_DEVOPS_METRICS_PORT"]
                with Operator.start(folder / "operator.log", variables):
                    yield Stage(cluster, kube, control, release)


def connector(name: str) -> Manifest:
    """A connector of examples/, in the operator's own namespace, which needs no grant."""
    manifest = yaml.safe_load((ROOT / "examples" / f"{name}.yaml").read_text())
    assert isinstance(manifest, dict)
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": NAMESPACE}}


def ready(found: Manifest) -> bool:
    return condition(found, "Ready").get("status") == "True"


def needs_a_person(found: Manifest) -> bool:
    return condition(found, "ReauthRequired").get("status") == "True"


def generated(kube: KubernetesClient) -> list[Manifest]:
    return kube.list_all("DevOpsOrganization", NAMESPACE, labels="defender-devops.io/generated=true")


@pytest.fixture(scope="module")
def life(stage: Stage) -> Stage:
    """After a connector's life: made, with an organization declared by hand, twice lost and restored, deleted."""
    contoso = connector("contoso")
    people = People(stage.control)
    for secret in people.prepare(contoso):
        stage.kube.apply(secret)
    stage.kube.apply(contoso)
    stage.kube.wait("AzureDevOpsConnector", "contoso", NAMESPACE, until=ready, timeout=60)
    organization = generated(stage.kube)[0]
    spec = {**organization["spec"], "onboarding": "Onboarded"}
    stage.kube.create({**organization, "metadata": {"name": "decided", "namespace": NAMESPACE}, "spec": spec})
    stage.kube.wait_gone("DevOpsOrganization", organization["metadata"]["name"], NAMESPACE)
    for _ in range(2):
        people.take_access_away(account_of(contoso))
        stage.kube.wait("AzureDevOpsConnector", "contoso", NAMESPACE, until=needs_a_person, timeout=60)
        people.give_access_back(account_of(contoso))
        stage.kube.wait("AzureDevOpsConnector", "contoso", NAMESPACE, until=ready, timeout=60)
    stage.kube.delete("AzureDevOpsConnector", "contoso", NAMESPACE)
    stage.kube.wait_gone("AzureDevOpsConnector", "contoso", NAMESPACE, timeout=60)
    return stage


def test_nothing_is_refused_to_the_operator(life: Stage) -> None:
    assert {request.right for request in life.requests() if request.status == 403} == set()


def test_every_right_is_used(life: Stage) -> None:
    given = rights_of(life.release.manifests, RELEASE)
    used = {request.right for request in life.requests()}
    assert {str(right) for right in given - used} - UNSEEN.keys() == set()


def test_reasons_for_what_is_not_seen_here_are_about_rights_that_are_given(life: Stage) -> None:
    assert UNSEEN.keys() <= {str(right) for right in rights_of(life.release.manifests, RELEASE)}
