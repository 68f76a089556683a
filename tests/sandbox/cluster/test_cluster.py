"""The cluster: its services, and that it leaves nothing behind."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jwt
import psutil
import pytest
import yaml

from sandbox.cluster import Cluster, KubernetesClient, ProcessFailed, binary
from sandbox.cluster import cluster as module
from sandbox.cluster.binaries import Binaries
from sandbox.cluster.client import ApiError
from sandbox.cluster.ports import free_ports

ROOT = Path(module.__file__).parents[2]
ENTRA = "api://AzureADTokenExchange"


def service_account(kube: KubernetesClient, namespace: str) -> str:
    kube.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": namespace}})
    return "robot"


def test_a_token_for_entra_is_signed_with_the_published_keys(
    cluster: Cluster, kube: KubernetesClient, namespace: str
) -> None:
    token = kube.service_account_token(service_account(kube, namespace), namespace, [ENTRA], seconds=600)
    keys = {key["kid"]: jwt.PyJWK(key) for key in json.loads(cluster.jwks.read_text())["keys"]}
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, keys[header["kid"]].key, algorithms=["RS256"], audience=ENTRA, issuer=cluster.issuer)
    assert claims["sub"] == f"system:serviceaccount:{namespace}:robot"
    assert claims["exp"] - claims["iat"] == 600


def test_a_token_for_entra_is_refused_by_the_api_itself(
    cluster: Cluster, kube: KubernetesClient, namespace: str
) -> None:
    token = kube.service_account_token(service_account(kube, namespace), namespace, [ENTRA])
    with KubernetesClient(cluster.server, cluster.ca, token) as robot, pytest.raises(ApiError) as refusal:
        robot.request("GET", f"/api/v1/namespaces/{namespace}/secrets")
    assert refusal.value.status == 401


def test_a_service_account_may_do_what_its_role_says_and_no_more(
    cluster: Cluster, kube: KubernetesClient, namespace: str
) -> None:
    name = service_account(kube, namespace)
    kube.apply_all(
        yaml.safe_load_all(f"""
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: reader, namespace: {namespace}}}
rules: [{{apiGroups: [""], resources: [configmaps], verbs: [list]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: reader, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}}
subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]
""")
    )
    with KubernetesClient(cluster.server, cluster.ca, kube.service_account_token(name, namespace)) as robot:
        robot.request("GET", f"/api/v1/namespaces/{namespace}/configmaps")
        with pytest.raises(ApiError, match="cannot list resource") as refusal:
            robot.request("GET", f"/api/v1/namespaces/{namespace}/secrets")
    assert refusal.value.reason == "Forbidden"


def test_the_garbage_collector_deletes_objects_without_owner(kube: KubernetesClient, namespace: str) -> None:
    def config_map(name: str, **metadata: object) -> dict[str, object]:
        metadata = {"name": name, "namespace": namespace, **metadata}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}

    owner = kube.create(config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    kube.create(config_map("child", ownerReferences=[reference]))
    kube.delete("ConfigMap", "owner", namespace)
    kube.wait_deleted("ConfigMap", "child", namespace)


def test_a_deleted_namespace_is_removed_with_its_objects(kube: KubernetesClient, namespace: str) -> None:
    service_account(kube, namespace)
    kube.delete("Namespace", namespace)
    kube.wait_deleted("Namespace", namespace)


def test_kubectl_works_with_the_kubeconfig(cluster: Cluster) -> None:
    result = subprocess.run(
        [binary("kubectl"), "--kubeconfig", cluster.kubeconfig, "get", "namespace", "default", "--output=name"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "namespace/default"


def test_keys_and_tokens_are_readable_by_their_owner_only(cluster: Cluster) -> None:
    secret = ["kubeconfig", "tokens.csv", "service-account.key", "controller-manager.kubeconfig"]
    assert cluster.folder.stat().st_mode & 0o077 == 0
    assert [name for name in secret if (cluster.folder / name).stat().st_mode & 0o077] == []


PARENT = """
import sys, time
from pathlib import Path
from sandbox.cluster import Cluster
cluster = Cluster.start(Path(sys.argv[1]))
print("ready", flush=True)
time.sleep(600)
"""


@dataclass(frozen=True)
class KilledParent:
    """A process that started a cluster and was killed.

    Attributes:
        folder: the cluster's folder.
        children: names of the processes that it had started.
        survivors: those that have not ended.
    """

    folder: Path
    children: set[str]
    survivors: list[psutil.Process]


@pytest.fixture(scope="module")
def killed_parent(tmp_path_factory: pytest.TempPathFactory) -> KilledParent:
    folder = tmp_path_factory.mktemp("killed") / "cluster"
    command = [sys.executable, "-c", PARENT, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        names = {child.name() for child in children}
        parent.kill()
    _, survivors = psutil.wait_procs(children, timeout=15)
    return KilledParent(folder, names, survivors)


@dataclass(frozen=True)
class SecondCluster:
    """A cluster beside the shared one, with an audit policy.

    Attributes:
        cluster: the cluster; its folder was another one's before.
        bound_port: the port that it was to use first, which another process has bound.
        unused_offers: ports that were prepared for its starts and not used.
    """

    cluster: Cluster
    bound_port: int
    unused_offers: list[list[int]]


@pytest.fixture(scope="module")
def second(killed_parent: KilledParent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecondCluster]:
    policy = tmp_path_factory.mktemp("second") / "policy.yaml"
    rule = {"level": "Metadata", "verbs": ["create"], "resources": [{"resources": ["configmaps"]}]}
    policy.write_text(
        yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [rule, {"level": "None"}]})
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port: int = listener.getsockname()[1]
        offers = iter([[port, *free_ports(2)], free_ports(3)])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "free_ports", lambda count: next(offers))
            started = Cluster.start(killed_parent.folder, audit_policy=policy)
        with started as cluster:
            yield SecondCluster(cluster, port, list(offers))


def test_the_audit_log_holds_what_the_policy_selects_and_two_clusters_run_side_by_side(
    cluster: Cluster, kube: KubernetesClient, second: SecondCluster
) -> None:
    assert second.cluster.server != cluster.server
    with second.cluster.client() as client:
        client.create(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "only-here", "namespace": "default"}}
        )
    assert kube.get("ConfigMap", "only-here", "default") is None
    events = [json.loads(line) for line in second.cluster.audit_log.read_text().splitlines()]
    assert {"only-here"} <= {event["objectRef"].get("name") for event in events}
    assert {event["verb"] for event in events} == {"create"}


def test_all_processes_end_with_a_killed_parent_and_its_folder_can_be_reused(
    killed_parent: KilledParent, second: SecondCluster
) -> None:
    assert {"etcd", "kube-apiserver", "kube-controller-manager"} <= killed_parent.children
    assert killed_parent.survivors == []
    assert second.cluster.folder == killed_parent.folder
    with second.cluster.client() as client:
        assert client.request("GET", "/readyz") == "ok"


def test_a_component_that_ends_is_reported_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "etcd"
    broken.write_text("#!/bin/sh\necho the disk is on fire >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(Binaries, "find", lambda: Binaries(broken, broken, broken))
    with pytest.raises(
        ProcessFailed, match=r"etcd ended with status 3; the end of .*etcd\.log:\n  the disk is on fire"
    ):
        Cluster.start(tmp_path / "cluster")


def test_other_ports_are_used_if_one_was_bound_in_between(second: SecondCluster) -> None:
    assert f":{second.bound_port}" not in second.cluster.server
    assert second.unused_offers == []
    with second.cluster.client() as client:
        assert client.request("GET", "/readyz") == "ok"
