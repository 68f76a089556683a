from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from defender_devops.api.connector import Azure
from defender_devops.azure.identity.grants import Grants
from defender_devops.errors import CredentialsMissing
from defender_devops.settings import IdentityGrant, Settings

Identity = Mapping[str, object] | None

TENANT, SUB = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
OTHER = "99999999-9999-9999-9999-999999999999"
OWN, CLIENT = "aaaaaaaa-0000-0000-0000-00000000000a", "bbbbbbbb-0000-0000-0000-00000000000b"

SELF_GRANT = {"namespace": "team-a", "tenantId": TENANT, "subscriptionId": SUB}
CLIENT_GRANT = SELF_GRANT | {"clientId": CLIENT}
ACCOUNT_GRANT = CLIENT_GRANT | {"serviceAccountName": "azure"}

OPERATOR = None
MANAGED = {"type": "ManagedIdentity", "clientId": CLIENT}
MANAGED_OWN = {"type": "ManagedIdentity", "clientId": OWN.upper()}
SYSTEM = {"type": "ManagedIdentity"}
FEDERATED = {"type": "WorkloadIdentity", "clientId": CLIENT, "serviceAccountRef": {"name": "azure"}}
FEDERATED_OTHER = FEDERATED | {"serviceAccountRef": {"name": "other"}}
FEDERATED_OWN = FEDERATED | {"clientId": OWN}
SECRET = {"type": "ClientSecret", "clientId": OWN, "secretRef": {"name": "s", "key": "k"}}
CERTIFICATE = {"type": "ClientCertificate", "clientId": OWN, "secretRef": {"name": "s", "key": "k"}}


def azure(identity: Identity, tenant: str = TENANT, subscription: str = SUB, group: str = "rg") -> Azure:
    spec = {"tenantId": tenant, "subscriptionId": subscription, "resourceGroup": group, "location": "westeurope"}
    return Azure.model_validate(spec if identity is None else {**spec, "identity": identity})


def grants(*granted: dict[str, Any], operator_identity: str | None = OWN) -> Grants:
    return Grants("defender-devops", tuple(IdentityGrant.model_validate(grant) for grant in granted), operator_identity)


def allowed(granted: Grants, namespace: str, azure_spec: Azure) -> bool:
    try:
        granted.require(namespace, azure_spec)
    except CredentialsMissing:
        return False
    return True


ALL = [OPERATOR, MANAGED, MANAGED_OWN, SYSTEM, FEDERATED, FEDERATED_OTHER, FEDERATED_OWN]


@pytest.mark.parametrize("identity", ALL)
def test_the_operators_own_namespace_may_use_everything(identity: Identity) -> None:
    assert allowed(grants(), "defender-devops", azure(identity))


@pytest.mark.parametrize("identity", ALL)
def test_without_a_grant_no_other_namespace_may_use_an_identity_of_the_operator(identity: Identity) -> None:
    assert not allowed(grants(), "team-a", azure(identity))


@pytest.mark.parametrize("identity", [SECRET, CERTIFICATE])
def test_a_credential_in_the_namespace_itself_needs_no_grant(identity: Identity) -> None:
    assert allowed(grants(), "team-a", azure(identity))


@pytest.mark.parametrize(
    ("grant", "may"),
    [
        (SELF_GRANT, [OPERATOR, MANAGED_OWN]),
        (SELF_GRANT | {"clientId": OWN}, [OPERATOR, MANAGED_OWN]),
        (CLIENT_GRANT, [MANAGED]),
        (ACCOUNT_GRANT, [FEDERATED]),
        (SELF_GRANT | {"clientId": OWN, "serviceAccountName": "azure"}, [FEDERATED_OWN]),
    ],
)
def test_a_grant_permits_only_its_own_identity(grant: dict[str, str], may: list[Identity]) -> None:
    granted = grants(grant)
    assert [identity for identity in ALL if allowed(granted, "team-a", azure(identity))] == may


@pytest.mark.parametrize(
    ("grant", "identity"), [(SELF_GRANT, OPERATOR), (CLIENT_GRANT, MANAGED), (ACCOUNT_GRANT, FEDERATED)]
)
def test_a_grant_holds_for_its_namespace_tenant_and_subscription_only(
    grant: dict[str, str], identity: Identity
) -> None:
    granted = grants(grant)
    assert allowed(granted, "team-a", azure(identity))
    assert not allowed(granted, "team-b", azure(identity))
    assert not allowed(granted, "team-a2", azure(identity))
    assert not allowed(granted, "TEAM-A", azure(identity))
    assert not allowed(granted, "team-a", azure(identity, tenant=OTHER))
    assert not allowed(granted, "team-a", azure(identity, subscription=OTHER))


@pytest.mark.parametrize(
    ("grant", "identity"), [(SELF_GRANT, OPERATOR), (CLIENT_GRANT, MANAGED), (ACCOUNT_GRANT, FEDERATED)]
)
def test_a_grant_with_resource_groups_holds_only_for_these(grant: dict[str, str], identity: Identity) -> None:
    granted = grants({**grant, "resourceGroups": ["RG-One", "rg-two"]})
    assert allowed(granted, "team-a", azure(identity, group="rg-one"))
    assert allowed(granted, "team-a", azure(identity, group="RG-TWO"))
    assert not allowed(granted, "team-a", azure(identity, group="rg-three"))
    assert not allowed(granted, "team-b", azure(identity, group="rg-one"))
    with pytest.raises(CredentialsMissing, match=r"resourceGroups \[rg-three\]") as refused:
        granted.require("team-a", azure(identity, group="rg-three"))
    assert "rg-two" not in refused.value.message.lower(), "which other groups are granted is not the team's business"


def test_grants_of_several_resource_groups_add_up() -> None:
    granted = grants({**SELF_GRANT, "resourceGroups": ["rg-one"]}, {**SELF_GRANT, "resourceGroups": ["rg-two"]})
    assert allowed(granted, "team-a", azure(OPERATOR, group="rg-one"))
    assert allowed(granted, "team-a", azure(OPERATOR, group="rg-two"))
    assert not allowed(granted, "team-a", azure(OPERATOR))
    assert allowed(grants({**SELF_GRANT, "resourceGroups": ["rg-one"]}, SELF_GRANT), "team-a", azure(OPERATOR))


def test_ids_are_compared_without_regard_to_case() -> None:
    upper = {key: value if key == "namespace" else value.upper() for key, value in CLIENT_GRANT.items()}
    assert allowed(grants(upper), "team-a", azure(MANAGED))


def test_the_nodes_own_identity_is_not_the_operators_where_that_has_none() -> None:
    granted = grants(SELF_GRANT, operator_identity=None)
    assert allowed(granted, "team-a", azure(OPERATOR))
    assert not allowed(granted, "team-a", azure(SYSTEM))


@pytest.mark.parametrize(
    ("identity", "phrases"),
    [
        (OPERATOR, ["act as the operator itself", f"namespace team-a, tenantId {TENANT}, subscriptionId {SUB}."]),
        (MANAGED, [f"the client {CLIENT}", f"subscriptionId {SUB}, clientId {CLIENT}."]),
        (FEDERATED, ["service account azure", f"clientId {CLIENT}, serviceAccountName azure."]),
    ],
)
def test_a_refusal_names_the_grant_to_request(identity: Identity, phrases: list[str]) -> None:
    with pytest.raises(CredentialsMissing) as refused:
        grants().require("team-a", azure(identity))
    for word in phrases:
        assert word in refused.value.message
    assert "spec.azure.identity" in refused.value.message


def test_the_sign_in_names_the_operators_client_by_its_id() -> None:
    grants(SELF_GRANT).require_client("team-a", azure(OPERATOR), OWN)
    with pytest.raises(CredentialsMissing):
        grants(SELF_GRANT).require_client("team-a", azure(OPERATOR), CLIENT)
    with pytest.raises(CredentialsMissing):
        grants({**SELF_GRANT, "resourceGroups": ["other"]}).require_client("team-a", azure(OPERATOR), OWN)
    grants().require_client("defender-devops", azure(OPERATOR), CLIENT)


def test_grants_come_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "DEFENDER_DEVOPS_IDENTITY_GRANTS",
        f'[{{"namespace": "team-a", "tenantId": "{TENANT}", "subscriptionId": "{SUB}", "clientId": "{CLIENT}"}}]',
    )
    assert grants(CLIENT_GRANT).identity_grants == Settings().identity_grants


@pytest.mark.parametrize(
    "wrong",
    [
        '[{"namespace": "a"}]',
        '[{"namespace": "a", "tenantID": "x", "subscriptionId": "y"}]',
        '[{"namespace": "a", "tenantId": "x", "subscriptionId": "y", "resourceGroups": []}]',
    ],
)
def test_an_incomplete_or_unknown_grant_field_stops_the_operator(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("DEFENDER_DEVOPS_IDENTITY_GRANTS", wrong)
    with pytest.raises(ValueError, match=r"(?i)tenant|resourceGroups"):
        Settings()
