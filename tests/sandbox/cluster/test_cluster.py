"""The cluster: its services, and that it leaves nothing behind."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
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


def test_the_audit_log_holds_what_the_policy_selects_and_two_clusters_run_side_by_side(
    cluster: Cluster, kube: KubernetesClient, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    rule = {"level": "Metadata", "verbs": ["create"], "resources": [{"resources": ["configmaps"]}]}
    policy.write_text(
        yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [rule, {"level": "None"}]})
    )
    with Cluster.start(tmp_path / "second", audit_policy=policy) as second, second.client() as second_client:
        assert second.server != cluster.server
        second_client.create(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "only-here", "namespace": "default"}}
        )
        assert kube.get("ConfigMap", "only-here", "default") is None
        events = [json.loads(line) for line in second.audit_log.read_text().splitlines()]
        assert {"only-here"} <= {event["objectRef"].get("name") for event in events}
        assert {event["verb"] for event in events} == {"create"}


PARENT = """
import sys, time
from pathlib import Path
from sandbox.cluster import Cluster
cluster = Cluster.start(Path(sys.argv[1]))
print("ready", flush=True)
time.sleep(600)
"""


def test_all_processes_end_with_a_killed_parent_and_its_folder_can_be_reused(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    command = [sys.executable, "-c", PARENT, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        assert {"etcd", "kube-apiserver", "kube-controller-manager"} <= {child.name() for child in children}
        parent.kill()
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []
    with Cluster.start(folder) as cluster, cluster.client() as client:
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


def test_other_ports_are_used_if_one_was_bound_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port: int = listener.getsockname()[1]
        offers = iter([[port, *free_ports(2)], free_ports(3)])
        monkeypatch.setattr(module, "free_ports", lambda count: next(offers))
        with Cluster.start(tmp_path / "cluster") as cluster, cluster.client() as client:
            assert client.request("GET", "/readyz") == "ok"
    assert next(offers, None) is None
