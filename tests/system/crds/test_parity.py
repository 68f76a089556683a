"""The API server and the models agree on manifests that nobody thought of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defender_devops.api.connector import parse_connector
from defender_devops.api.names import API_VERSION, CONNECTOR
from defender_devops.api.schema.parsing import InvalidManifest
from sandbox.cluster import KubernetesClient
from sandbox.cluster.client import ApiError
from tests.support.manifests import connector

GUID = "55555555-5555-5555-5555-555555555555"
guids = st.sampled_from([GUID, GUID.replace("-", ""), GUID[:-1], GUID + "5", f"{{{GUID}}}", "g" + GUID[1:], ""])
names = st.sampled_from(["a", "A", "a-b", "-a", "a.b", "a/b", "", "x" * 50, "x" * 51, "ä"])
references = st.fixed_dictionaries({"name": names, "key": st.sampled_from(["k", "K_.-9", "", "a/b"])})
accounts = st.sampled_from(["a@b.c", "a@b@c", "a b@c", "@", "a@", "a", ""])


def block(required: dict[str, Any] | None = None, **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(required or {}, optional=optional)


specs = block(
    azure=block(
        tenantId=guids,
        resourceGroup=names | st.sampled_from(["rg.", "r g", "(rg)_1", "数"]),
        location=st.sampled_from(["eastus", "East US", "", "x" * 64]),
        connectorName=names,
        tags=st.dictionaries(
            st.sampled_from(["a", "A", "b", "", "a/b", "a\\b", "azure", "AZUREx", "x" * 512, "x" * 513]),
            st.sampled_from(["", "x" * 256]),
            max_size=3,
        ),
        identity=block(
            {"type": st.sampled_from(["WorkloadIdentity", "ManagedIdentity", "ClientSecret", "ClientCertificate"])},
            clientId=guids,
            serviceAccountRef=st.fixed_dictionaries({"name": names}),
            secretRef=references,
        ),
    ),
    organizations=block(
        {"mode": st.sampled_from(["All", "AllAndFuture", "Selected", "selected"])},
        names=st.lists(names, max_size=3, unique=True),
        exclude=st.lists(names, max_size=3, unique=True),
    ),
    authorization=block(method=st.sampled_from(["Adopt", "Code"]), codeSecretRef=references, account=accounts),
    signIn=block(
        {"method": st.sampled_from(["AuthorizationCode", "DeviceCode", "ServicePrincipal", "RefreshToken", "None"])},
        account=accounts,
        client=block(
            {"id": guids}, type=st.sampled_from(["Public", "Secret", "Certificate", "Federated"]), secretRef=references
        ),
        refreshTokenSecretRef=references,
        tokenSecretName=names,
    ),
    agentlessScanning=block(
        {"mode": st.sampled_from(["Enabled", "Disabled"])},
        inventory=st.sampled_from(["Inclusion", "Exclusion"]),
        scope=st.lists(block({"organization": names}, project=names, repository=names), max_size=2),
    ),
    discovery=block(
        deadline=st.sampled_from(["8h", "15m", "14m59s", "168h", "168h1s", "8", "h", "1.5h", "-8h", "1d", "", "99999h"])
        | st.from_regex(r"[0-9]{1,6}[hms]([0-9]{1,2}[hms]){0,4}", fullmatch=True)
    ),
    adoptionPolicy=st.sampled_from(["Never", "IfUnmanaged", "Always"]),
)


def one_at_a_time(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Each block over a valid manifest, so that one fault does not hide another, and all of them together."""
    return [{key: value} for key, value in spec.items()] + [spec]


@given(specs)
@settings(max_examples=60)
def test_the_api_server_and_the_models_accept_the_same(kube: KubernetesClient, spec: dict[str, Any]) -> None:
    for patch in one_at_a_time(spec):
        body = connector(name="parity")
        body["spec"] |= patch | {"azure": body["spec"]["azure"] | patch.get("azure", {})}
        assert accepted_by_api_server(kube, body) == accepted_by_models(body), body["spec"]


def accepted_by_api_server(kube: KubernetesClient, body: dict[str, Any]) -> bool:
    path = f"/apis/{API_VERSION}/namespaces/default/{CONNECTOR.plural}"
    try:
        kube.request("POST", path, body=body, dryRun="All")
    except ApiError as refusal:
        if refusal.reason == "Invalid":
            return False
        pytest.fail(f"refused for another reason: {refusal}")
    return True


def accepted_by_models(body: dict[str, Any]) -> bool:
    try:
        parse_connector(body)
    except InvalidManifest:
        return False
    return True
