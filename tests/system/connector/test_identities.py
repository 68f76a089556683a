"""As whom the operator works in Azure: what is granted, what a team brings with it, and what nobody can borrow."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from sandbox.cluster.client import ApiError, condition
from sandbox.stack import Operator
from tests.support.scenarios.azure_world import (
    BY_CERTIFICATE,
    OPERATOR,
    SERVICE_ACCOUNT,
    TEAM,
    TEAM_SECRET,
    WORKLOAD,
    key_and_certificate,
)
from tests.support.scenarios.scenario import KIND, SUBSCRIPTION, Scenario, message

Run = Callable[..., Operator]

OTHER_SUBSCRIPTION = "33333333-3333-3333-3333-333333333333"
OTHER_TENANT = "99999999-9999-9999-9999-999999999999"
OPERATORS_CLIENT = "55555555-5555-5555-5555-555555555555"


def identity(kind: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - a piece of a manifest
    """`spec.azure` with an identity of its own."""
    return {"azure": {"identity": {"type": kind, **more}}}


def with_password(pem: str) -> str:
    """The same key and certificate, with a password on the key."""
    key = load_pem_private_key(pem.encode(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw")).decode()
    return encrypted + pem[pem.index("-----BEGIN CERTIFICATE-----") :]


def client_secret(client: str = TEAM, *, within: str = "azure") -> dict[str, Any]:
    """An identity by client secret."""
    return identity("ClientSecret", clientId=client, secretRef={"name": within, "key": "client-secret"})


def service_account(name: str = SERVICE_ACCOUNT) -> dict[str, Any]:
    """An identity by the tokens of a service account."""
    return identity("WorkloadIdentity", clientId=WORKLOAD, serviceAccountRef={"name": name})


def create_service_account(scenario: Scenario, name: str = SERVICE_ACCOUNT) -> None:
    """Make a service account in the scene's namespace."""
    scenario.kube.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": scenario.namespace}}
    )


def callers(scenario: Scenario, since: int = 0) -> set[str]:
    """Who has asked Azure Resource Manager about the connector, and was known to it.

    The cloud forgets its tokens when it begins anew for a test: what the operator still holds is refused as nobody's.
    """
    requests = scenario.control.journal(since=since, service="arm", path="/contoso")
    return {entry["principal"] for entry in requests if entry["status"] != HTTPStatus.UNAUTHORIZED}


@pytest.mark.parametrize(
    ("spec", "subject"),
    [
        ({}, "the operator itself"),
        (identity("ManagedIdentity"), "the node's system-assigned identity"),
        (identity("ManagedIdentity", clientId=OPERATORS_CLIENT), "the operator itself"),
        (identity("ManagedIdentity", clientId=TEAM), f"the client {TEAM}"),
        (service_account(), f"the service account {SERVICE_ACCOUNT}"),
        (
            identity("WorkloadIdentity", clientId=OPERATORS_CLIENT, serviceAccountRef={"name": "default"}),
            "the service account default",
        ),
    ],
    ids=["own", "the node's", "own by its id", "a managed one", "a service account", "own by a service account"],
)
def test_without_a_grant_nobody_acts_as_more_than_they_brought(
    ungranted_scenario: Scenario, spec: dict[str, Any], subject: str
) -> None:
    scenario = ungranted_scenario
    create_service_account(scenario)
    scenario.new_code()
    scenario.apply(scenario.manifest(**spec))
    denied = scenario.wait("Provisioned", "False", "CredentialsMissing")
    for part in (subject, "identityGrants", f"namespace {scenario.namespace}", f"subscriptionId {SUBSCRIPTION}"):
        assert part in message(denied, "Provisioned")
    assert condition(denied, "Stalled")["reason"] == "CredentialsMissing"
    assert callers(scenario) == set()


@pytest.mark.parametrize("azure", [{"subscriptionId": OTHER_SUBSCRIPTION}, {"tenantId": OTHER_TENANT}], ids=str)
def test_a_grant_is_for_one_subscription_of_one_tenant(scenario: Scenario, azure: dict[str, str]) -> None:
    scenario.new_code()
    scenario.apply(scenario.manifest(azure=azure))
    denied = scenario.wait("Provisioned", "False", "CredentialsMissing")
    assert next(iter(azure.values())) in message(denied, "Provisioned")
    assert callers(scenario) == set()


def test_a_resource_that_may_not_act_cannot_harm_anothers_connector_by_being_deleted(
    scenario: Scenario, ungranted_scenario: Scenario
) -> None:
    scenario.ready()
    since = scenario.control.last()
    ungranted_scenario.apply(ungranted_scenario.manifest(deletionPolicy="Delete", adoptionPolicy="Always"))
    ungranted_scenario.wait("Provisioned", "False", "CredentialsMissing")
    ungranted_scenario.kube.delete(KIND, "contoso", ungranted_scenario.namespace)
    blocked = ungranted_scenario.wait("Ready", "False", "DeletionBlocked")
    assert "identityGrants" in message(blocked, "Ready")
    assert scenario.writes(since) == []
    assert scenario.onboarded() == {"contoso", "fabrikam"}


def test_a_client_secret_in_the_namespace_needs_no_grant_and_is_all_that_is_used(ungranted_scenario: Scenario) -> None:
    scenario = ungranted_scenario
    scenario.secret("azure", client_secret=TEAM_SECRET)
    scenario.ready(**client_secret())
    assert callers(scenario) == {"team"}


def test_a_certificate_in_the_namespace_needs_no_grant(ungranted_scenario: Scenario) -> None:
    scenario = ungranted_scenario
    scenario.secret("azure", tls_pem=key_and_certificate())
    reference = {"name": "azure", "key": "tls-pem"}
    scenario.ready(**identity("ClientCertificate", clientId=BY_CERTIFICATE, secretRef=reference))
    assert callers(scenario) == {"by-certificate"}


def test_a_certificate_whose_key_has_a_password_stalls_its_connector_and_not_the_operator(
    ungranted_scenario: Scenario,
) -> None:
    scenario = ungranted_scenario
    reference = {"name": "azure", "key": "tls-pem"}
    scenario.secret("azure", tls_pem=with_password(key_and_certificate()))
    scenario.new_code()
    scenario.apply(scenario.manifest(**identity("ClientCertificate", clientId=BY_CERTIFICATE, secretRef=reference)))
    stalled = scenario.wait("Provisioned", "False", "CredentialsMissing")
    assert "its private key has a password" in message(stalled, "Provisioned")
    scenario.secret("azure", tls_pem=key_and_certificate())
    scenario.wait("Ready", "True")


def test_another_namespaces_secret_cannot_be_named(ungranted_scenario: Scenario, neighbour: Scenario) -> None:
    neighbour.secret("azure", client_secret=TEAM_SECRET)
    scenario = ungranted_scenario
    scenario.new_code()
    for name in (f"../{neighbour.namespace}/azure", f"{neighbour.namespace}/azure", "azure/../../secrets/azure"):
        with pytest.raises(ApiError, match=r"secretRef\.name"):
            scenario.apply(scenario.manifest(**client_secret(within=name)))
    scenario.apply(scenario.manifest(**client_secret()))
    missing = scenario.wait("Provisioned", "False", "CredentialsMissing")
    assert f"Secret {scenario.namespace}/azure" in message(missing, "Provisioned")
    assert callers(scenario) == set()


def test_anothers_client_id_with_a_wrong_secret_shows_nothing_of_theirs(
    scenario: Scenario, ungranted_scenario: Scenario
) -> None:
    scenario.secret("azure", client_secret=TEAM_SECRET)
    scenario.ready(**client_secret())
    thief = ungranted_scenario
    thief.secret("azure", client_secret="a guess")
    thief.apply(thief.manifest(**client_secret(), managementPolicy="Observe"))
    refused = thief.wait("Provisioned", "False", "CredentialsMissing")
    assert "AADSTS7000215" in message(refused, "Provisioned")
    assert "connectorId" not in refused["status"]
    assert thief.organizations() == {}


def test_a_service_account_acts_where_it_is_granted_and_trusted(trusted_scenario: Scenario) -> None:
    scenario = trusted_scenario
    scenario.new_code()
    scenario.apply(scenario.manifest(**service_account()))
    missing = scenario.wait("Provisioned", "False", "CredentialsMissing")
    assert f"no service account {SERVICE_ACCOUNT} in namespace {scenario.namespace}" in message(missing, "Provisioned")
    create_service_account(scenario)
    scenario.wait("Ready", "True")
    assert callers(scenario) == {"workload"}


def test_a_service_account_of_the_same_name_elsewhere_is_not_trusted(scenario: Scenario) -> None:
    create_service_account(scenario)
    scenario.new_code()
    scenario.apply(scenario.manifest(**service_account()))
    refused = scenario.wait("Provisioned", "False", "CredentialsMissing")
    for part in ("AADSTS700213", f"system:serviceaccount:{scenario.namespace}:{SERVICE_ACCOUNT}"):
        assert part in message(refused, "Provisioned")
    assert callers(scenario) == set()


def test_a_service_account_that_was_not_granted_gives_no_token(trusted_scenario: Scenario) -> None:
    scenario = trusted_scenario
    create_service_account(scenario, "another")
    scenario.new_code()
    scenario.apply(scenario.manifest(**service_account("another")))
    denied = scenario.wait("Provisioned", "False", "CredentialsMissing")
    assert "serviceAccountName another" in message(denied, "Provisioned")


def test_a_right_secret_takes_effect_at_once_whatever_the_back_off(own_scenario: Scenario, run: Run) -> None:
    scenario = own_scenario
    run(backoff_initial="600", backoff_maximum="600")
    scenario.secret("azure", client_secret="not yet")
    scenario.new_code()
    scenario.apply(scenario.manifest(**client_secret(OPERATORS_CLIENT)))
    refused = scenario.wait("Provisioned", "False", "CredentialsMissing")
    assert "AADSTS7000215" in message(refused, "Provisioned")
    scenario.secret("azure", client_secret="sandbox-secret")
    scenario.wait("Ready", "True", timeout=10)


def test_a_rotated_secret_is_used_at_once_and_the_old_one_no_more(scenario: Scenario) -> None:
    scenario.secret("azure", client_secret=TEAM_SECRET)
    scenario.ready(**client_secret())
    scenario.control.change_application("team", secrets=[{"value": "rotated-secret"}])
    since = scenario.control.last()
    scenario.secret("azure", client_secret="rotated-secret")
    requests = scenario.control.journal(since=since, service="authority", method="POST", wait=20)
    assert requests[0]["status"] == 200
    scenario.control.expire_tokens("team")
    scenario.wait_observed()
    scenario.wait("Ready", "True")
    refused = [entry for entry in scenario.control.journal(since=since, service="authority") if entry["status"] != 200]
    assert refused == []


def test_a_revoked_secret_is_told_and_mended_by_a_new_one(scenario: Scenario) -> None:
    scenario.secret("azure", client_secret=TEAM_SECRET)
    scenario.ready(**client_secret())
    scenario.control.change_application("team", secrets=[{"value": "rotated-secret"}])
    scenario.control.expire_tokens("team")
    refused = scenario.wait("Provisioned", "False", "CredentialsMissing")
    assert "AADSTS7000215" in message(refused, "Provisioned")
    assert condition(refused, "ReauthRequired")["status"] == "False"
    assert condition(refused, "Authorized")["status"] == "True"
    scenario.secret("azure", client_secret="rotated-secret")
    scenario.wait("Ready", "True")


def test_an_identity_is_changed_without_making_the_connector_anew(scenario: Scenario) -> None:
    scenario.ready()
    assert callers(scenario) == {OPERATOR}
    scenario.secret("azure", client_secret=TEAM_SECRET)
    since = scenario.control.last()
    scenario.apply(scenario.manifest(**client_secret()))
    scenario.wait("Ready", "True")
    scenario.apply(scenario.manifest(azure={"identity": client_secret()["azure"]["identity"], "tags": {"by": "team"}}))
    scenario.wait("Ready", "True")
    writes = scenario.control.journal(since=since, service="arm", effective="true")
    assert [(entry["operation"], entry["principal"]) for entry in writes] == [("SecurityConnectors_Update", "team")]


def test_an_identity_that_is_taken_away_from_an_ungranted_namespace_ends_its_access(
    ungranted_scenario: Scenario,
) -> None:
    scenario = ungranted_scenario
    scenario.secret("azure", client_secret=TEAM_SECRET)
    scenario.ready(**client_secret())
    scenario.apply(scenario.manifest())
    denied = scenario.wait("Provisioned", "False", "CredentialsMissing")
    assert "identityGrants" in message(denied, "Provisioned")
    assert callers(scenario) == {"team"}
