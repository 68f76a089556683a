"""The operator outside of the cluster, with exactly the permissions of the chart's service account."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
import yaml

from sandbox.cluster import Cluster, KubernetesClient, binary
from sandbox.stack import service_account as module
from sandbox.stack.chart import Release, package_chart
from sandbox.stack.service_account import ProjectedTokens

IDENTITY = {
    "enabled": True,
    "webhook": False,
    "clientId": "66666666-6666-6666-6666-666666666666",
    "tenantId": "11111111-1111-1111-1111-111111111111",
}


@pytest.fixture(scope="module")
def release(cluster: Cluster, kube: KubernetesClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    created = kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "account-"}})
    namespace: str = created["metadata"]["name"]
    archive = package_chart(tmp_path_factory.mktemp("chart"))
    installed = Release.install(cluster, namespace, archive, {"workloadIdentity": IDENTITY, "crds": {"enabled": False}})
    yield installed
    installed.uninstall()
    kube.delete("Namespace", namespace)


@pytest.fixture(scope="module")
def tokens(cluster: Cluster, release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectedTokens]:
    folder = tmp_path_factory.mktemp("pod")
    with ProjectedTokens(cluster, release.namespace, release.service_account, folder) as running:
        yield running


def api_token(tokens: ProjectedTokens) -> str:
    user = yaml.safe_load(tokens.kubeconfig.read_text())["users"][0]["user"]
    return Path(user["tokenFile"]).read_text()


def test_the_chart_sets_the_operators_identity_in_azure(release: Release) -> None:
    variables = release.environment()
    assert variables["DEFENDER_DEVOPS_NAMESPACE"] == release.namespace
    assert variables["AZURE_CLIENT_ID"] == IDENTITY["clientId"]
    assert variables["AZURE_TENANT_ID"] == IDENTITY["tenantId"]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (["list", "azuredevopsconnectors.defender-devops.io", "--all-namespaces"], "yes"),
        (["patch", "azuredevopsconnectors.defender-devops.io/status", "--namespace=elsewhere"], "yes"),
        (["list", "nodes"], "no"),
        (["create", "deployments.apps", "--namespace=elsewhere"], "no"),
    ],
    ids=" ".join,
)
def test_the_kubeconfig_has_the_rights_of_the_chart(tokens: ProjectedTokens, question: list[str], answer: str) -> None:
    command = [str(binary("kubectl")), "--kubeconfig", str(tokens.kubeconfig), "auth", "can-i", *question]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == answer, result.stderr


def test_the_token_for_entra_names_the_account_and_is_checked_by_the_published_keys(
    cluster: Cluster, tokens: ProjectedTokens, release: Release
) -> None:
    token = tokens.federated_token.read_text()
    keys = jwt.PyJWKSet.from_dict(json.loads(cluster.jwks.read_text()))
    claims = jwt.decode(
        token,
        keys[jwt.get_unverified_header(token)["kid"]].key,
        algorithms=["RS256"],
        audience="api://AzureADTokenExchange",
        issuer=cluster.issuer,
    )
    assert claims["sub"] == f"system:serviceaccount:{release.namespace}:{release.service_account}"


def test_both_tokens_are_renewed_until_the_end_and_readable_by_their_owner_only(
    cluster: Cluster, release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RENEWAL_SECONDS", 0.05)
    with ProjectedTokens(cluster, release.namespace, release.service_account, tmp_path / "pod") as tokens:
        first = (api_token(tokens), tokens.federated_token.read_text())
        deadline = time.monotonic() + 20
        while tokens.renewals < 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    renewed = (api_token(tokens), tokens.federated_token.read_text())
    assert all(new != old for new, old in zip(renewed, first, strict=True))
    assert tokens.federated_token.stat().st_mode & 0o077 == 0
    with KubernetesClient(cluster.server, cluster.ca, renewed[0]) as operator:
        assert operator.list_all("AzureDevOpsConnector", release.namespace) == []
