"""The Azure client over TLS against the simulated cloud: the real transport, azure-identity, the real queries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretBytes, SecretStr

import sandbox.cloud
from defender_devops.api.azure_types import (
    Annotations,
    AutoDiscovery,
    Configuration,
    ConnectorRef,
    OnboardingState,
    ProvisioningState,
)
from defender_devops.api.connector import Azure
from defender_devops.api.posture import Category, Severity
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.arm.session import ArmSession
from defender_devops.azure.identity.clients import ArmClients
from defender_devops.azure.identity.grants import Grants
from defender_devops.azure.identity.operator_identity import OperatorIdentity
from defender_devops.azure.resource_graph.poller import Changes, ResourceGraphPoller
from defender_devops.azure.resource_graph.posture_poller import PosturePoller
from defender_devops.azure.resources.pricings import is_defender_cspm_enabled
from defender_devops.azure.resources.role_assignments import SECURITY_READER, RoleAssignments
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.errors import (
    AzureUnavailable,
    CredentialsMissing,
    CredentialsRejected,
    Forbidden,
    InvalidRequest,
    PolicyDenied,
    ProviderNotRegistered,
    RegionNotSupported,
    ScopeNotFound,
    Throttled,
    WrongTenant,
)
from defender_devops.reconcile.cache.posture_observations import PostureObservations
from defender_devops.reconcile.cache.resource_cache import Key
from defender_devops.reconcile.facts.posture import PostureObservation
from sandbox.cloud.control.client import ControlClient
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY, Cloud
from tests.support.certificates import self_signed

TENANT = "11111111-1111-1111-1111-111111111111"
SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
READERS_GROUP = "88888888-8888-8888-8888-888888888888"
OPERATOR_CLIENT = "66666666-6666-6666-6666-666666666666"
GROUP = "rg-devops-security"
ACCOUNT = "mdc-devops-connector@contoso.com"
REF = ConnectorRef(SUBSCRIPTION, GROUP, "contoso")
HIERARCHY = "4a8eb7f1-f533-48c5-b102-9b09e90906b7"
HOME = "defender-devops"

DEFAULT_WORLD = Path(sandbox.cloud.__file__).parent / "worlds" / "default.yaml"

StartCloud = Callable[..., Cloud]


@pytest.fixture(scope="module")
def certificate() -> bytes:
    """A certificate with its key, in PEM."""
    return b"".join(self_signed("operator"))


@pytest.fixture(scope="module")
def shared_cloud(start_cloud: StartCloud, certificate: bytes, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    """One cloud for this file, whose time stands still: the default world, and a certificate of its first app."""
    world = yaml.safe_load(DEFAULT_WORLD.read_text())
    world["applications"][0]["certificates"] = [certificate[certificate.index(b"-----BEGIN CERT") :].decode()]
    file = tmp_path_factory.mktemp("world") / "world.yaml"
    file.write_text(yaml.safe_dump(world))
    return start_cloud("--speed", "0", "--world", file)


@pytest.fixture
def control(shared_cloud: Cloud) -> Iterator[ControlClient]:
    """Its control interface, with the world as it was in the beginning."""
    with ControlClient(shared_cloud.control) as client:
        client.clear_faults()
        client.reset()
        client.call("DELETE", "/journal")
        yield client


@dataclass
class Client:
    """What a reconcile has in its hands."""

    identities: ArmClients
    secrets: dict[tuple[str, str, str], bytes]
    assertion: Callable[[], str]

    async def arm(self, azure: Azure | None = None, namespace: str = HOME, user: str = "uid") -> ArmClient:
        return await self.identities.client(user, namespace, azure or spec())


def spec(identity: dict[str, Any] | None = None, tenant: str = TENANT) -> Azure:
    azure = {"tenantId": tenant, "subscriptionId": SUBSCRIPTION, "resourceGroup": GROUP, "location": "westeurope"}
    return Azure.model_validate(azure if identity is None else azure | {"identity": identity})


@pytest.fixture
async def client(shared_cloud: Cloud, control: ControlClient, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """Identities as the operator wires them, with the service principal of the default world as its own."""
    environment = shared_cloud.environment()
    for name in ("SSL_CERT_FILE", "AZURE_AUTHORITY_HOST"):
        monkeypatch.setenv(name, environment[name])
    session = ArmSession.open(environment["DEFENDER_DEVOPS_ARM_ENDPOINT"])
    secrets: dict[tuple[str, str, str], bytes] = {}
    client = Client.__new__(Client)

    async def read(namespace: str, name: str, key: str, *, is_sent: bool = False) -> SecretBytes | None:
        value = secrets.get((namespace, name, key))
        return None if value is None else SecretBytes(value)

    async def token(_namespace: str, _name: str, _audience: str) -> SecretStr:
        return SecretStr(client.assertion())

    identities = ArmClients(
        session,
        grants=Grants(HOME),
        operator_identity=OperatorIdentity(CLIENT_SECRET_IDENTITY),
        secrets=read,
        tokens=token,
    )
    client.__init__(identities, secrets, lambda: "no assertion")  # type: ignore[misc]
    yield client
    await identities.close()
    await session.close()


async def finished_configuration(connectors: SecurityConnectors, control: ControlClient) -> Configuration:
    """Advance time until the operation on the DevOps configuration has completed; returns the configuration."""
    for _ in range(50):
        configuration = await connectors.get_configuration(REF)
        assert configuration is not None
        if configuration.provisioning_state not in (ProvisioningState.PENDING, ProvisioningState.PENDING_DELETION):
            return configuration
        control.move(20)
    raise AssertionError("the operation does not complete")


async def onboarded(
    connectors: SecurityConnectors, control: ControlClient, inventory: tuple[str, ...] | None = None
) -> None:
    """A connector that is authorized with a code."""
    await connectors.create(REF, location="westeurope", tags={"owner": "tests"}, hierarchy_identifier=HIERARCHY)
    operation = await connectors.create_configuration(
        REF, code=SecretStr(control.issue_code(ACCOUNT)), auto_discovery=AutoDiscovery.DISABLED, inventory=inventory
    )
    assert operation is not None
    configuration = await finished_configuration(connectors, control)
    assert configuration.provisioning_state is ProvisioningState.SUCCEEDED


async def test_a_connector_from_nothing_to_its_counts_and_away_again(client: Client, control: ControlClient) -> None:
    connectors = SecurityConnectors(await client.arm())
    assert await connectors.get(REF) is None
    await onboarded(connectors, control, ("contoso", "fabrikam"))

    connector = await connectors.get(REF)
    assert connector is not None
    assert connector.id.lower() == REF.key
    assert connector.hierarchy_identifier == HIERARCHY
    assert connector.tags == {"owner": "tests"}
    configuration = await connectors.get_configuration(REF)
    assert configuration is not None
    assert configuration.provisioning_state is ProvisioningState.SUCCEEDED
    assert configuration.auto_discovery is AutoDiscovery.DISABLED

    organizations = {organization.name: organization for organization in await connectors.organizations(REF)}
    assert organizations["contoso"].onboarding_state is OnboardingState.ONBOARDED
    available = {organization.name for organization in await connectors.available_organizations(REF)}
    assert {"contoso", "fabrikam", "tailspin"} <= available

    control.move(9 * 3600)
    # By hand: webshop 6 of 7 (one is disabled), data-platform 24, infrastructure 3; TFVC is not Defender's.
    counts = await connectors.count(REF, "contoso")
    assert counts is not None
    assert counts.projects >= 3
    assert counts.repositories > 30

    operation = await connectors.set_annotations(REF, "contoso", Annotations(True, "Medium"))
    assert operation is not None
    control.move(120)
    organizations = {organization.name: organization for organization in await connectors.organizations(REF)}
    assert organizations["contoso"].annotations == Annotations(True, "Medium")

    operation = await connectors.update_configuration(REF, inventory=("contoso",))
    assert operation is not None
    await finished_configuration(connectors, control)
    organizations = {organization.name: organization for organization in await connectors.organizations(REF)}
    assert (
        "fabrikam" not in organizations or organizations["fabrikam"].onboarding_state is not OnboardingState.ONBOARDED
    )

    assert (await connectors.set_tags(REF, {"owner": "nobody"})).tags == {"owner": "nobody"}
    await connectors.delete(REF)
    await connectors.delete(REF)
    assert await connectors.get(REF) is None
    assert await connectors.get_configuration(REF) is None


async def test_a_spent_code_fails_and_leaves_the_configuration_failed(client: Client, control: ControlClient) -> None:
    connectors = SecurityConnectors(await client.arm())
    await connectors.create(REF, location="westeurope", tags={}, hierarchy_identifier=HIERARCHY)
    operation = await connectors.create_configuration(
        REF, code=SecretStr("eyJ.spent.code"), auto_discovery=AutoDiscovery.ENABLED
    )
    assert operation is not None
    configuration = await finished_configuration(connectors, control)
    assert configuration.provisioning_state is ProvisioningState.FAILED
    assert "oken exchange failed" in configuration.status_message
    assert len(control.journal(method="PUT", path="devops/default$")) == 1


async def test_whose_answer_to_a_code_was_cut_is_not_sent_again(client: Client, control: ControlClient) -> None:
    connectors = SecurityConnectors(await client.arm())
    await connectors.create(REF, location="westeurope", tags={}, hierarchy_identifier=HIERARCHY)
    control.fault(service="arm", method="PUT", path="devops/default$", cut="after")
    with pytest.raises(AzureUnavailable):
        await connectors.create_configuration(
            REF, code=SecretStr(control.issue_code(ACCOUNT)), auto_discovery=AutoDiscovery.ENABLED
        )
    (put,) = control.journal(method="PUT", path="devops/default$")
    assert len(put["codes"]) == 1


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_write_that_may_be_repeated_survives_a_cut_connection(
    client: Client, control: ControlClient, cut: str
) -> None:
    connectors = SecurityConnectors(await client.arm())
    control.fault(service="arm", method="PUT", path="securityConnectors/contoso$", cut=cut, times=2)
    created = await connectors.create(REF, location="westeurope", tags={"a": "b"}, hierarchy_identifier=HIERARCHY)
    assert created.tags == {"a": "b"}
    assert len(control.journal(method="PUT")) == 3


async def test_a_gateway_that_fails_twice_is_borne(client: Client, control: ControlClient) -> None:
    connectors = SecurityConnectors(await client.arm())
    control.fault(service="arm", method="GET", status=502, headers={"x-ms-failure-cause": "gateway"}, times=2)
    assert await connectors.get(REF) is None


async def test_a_token_that_ends_on_the_way_is_replaced(client: Client, control: ControlClient) -> None:
    connectors = SecurityConnectors(await client.arm())
    await connectors.get(REF)
    assert control.expire_tokens() >= 1
    assert await connectors.get(REF) is None
    statuses = [entry["status"] for entry in control.journal(service="arm")]
    assert statuses == [404, 401, 404]


async def test_a_throttled_request_says_when_to_come_back(client: Client, control: ControlClient) -> None:
    connectors = SecurityConnectors(await client.arm())
    control.fault(
        service="arm",
        status=429,
        headers={"Retry-After": "60"},
        body={"error": {"code": "SubscriptionRequestsThrottled", "message": "Too many."}},
        times=None,
    )
    with pytest.raises(Throttled) as refused:
        await connectors.get(REF)
    assert refused.value.retry_after == pytest.approx(60, abs=1)
    assert len(control.journal(service="arm")) == 1


# --- what people get wrong


@pytest.mark.parametrize(
    ("ref", "kind", "phrase"),
    [
        (ConnectorRef("77777777-7777-7777-7777-777777777777", GROUP, "x"), ScopeNotFound, "spec.azure.subscriptionId"),
        (replace(REF, resource_group="rg-x"), ScopeNotFound, "az group create --name rg-x"),
    ],
)
async def test_an_unknown_scope_is_named(
    client: Client, control: ControlClient, ref: ConnectorRef, kind: type[Exception], phrase: str
) -> None:
    connectors = SecurityConnectors(await client.arm())
    with pytest.raises(kind, match=phrase):
        await connectors.get(ref)


async def test_a_region_without_defender_is_named(client: Client, control: ControlClient) -> None:
    connectors = SecurityConnectors(await client.arm())
    with pytest.raises(RegionNotSupported, match=r"brazilsouth.*westeurope"):
        await connectors.create(REF, location="brazilsouth", tags={}, hierarchy_identifier=HIERARCHY)


async def test_missing_rights_are_named_with_the_command_that_gives_them(
    client: Client, control: ControlClient
) -> None:
    control.unassign_role("Contributor", "defender-devops-sandbox", f"/subscriptions/{SUBSCRIPTION}")
    connectors = SecurityConnectors(await client.arm())
    with pytest.raises(Forbidden) as refused:
        await connectors.create(REF, location="westeurope", tags={}, hierarchy_identifier=HIERARCHY)
    assert "Microsoft.Security/securityConnectors/write" in refused.value.message
    assert (
        "az role assignment create --assignee-object-id 55555555-5555-5555-5555-000000000001" in refused.value.message
    )


@pytest.mark.parametrize(
    ("error", "kind", "phrase"),
    [
        (
            {
                "code": "RequestDisallowedByPolicy",
                "message": "Resource 'contoso' was disallowed by policy.",
                "additionalInfo": [
                    {"type": "PolicyViolation", "info": {"policyDefinitionDisplayName": "Allowed resource types"}}
                ],
            },
            PolicyDenied,
            "Allowed resource types",
        ),
        (
            {
                "code": "MissingSubscriptionRegistration",
                "message": "The subscription is not registered to use namespace 'Microsoft.Security'.",
                "details": [{"code": "MissingSubscriptionRegistration", "target": "Microsoft.Security"}],
            },
            ProviderNotRegistered,
            f"az provider register --namespace Microsoft.Security --subscription {SUBSCRIPTION}",
        ),
    ],
)
async def test_refusals_of_the_platform_are_named(
    client: Client, control: ControlClient, error: dict[str, Any], kind: type[Exception], phrase: str
) -> None:
    control.fault(
        service="arm", method="PUT", status=403, body={"error": error}, headers={"Content-Type": "application/json"}
    )
    connectors = SecurityConnectors(await client.arm())
    with pytest.raises(kind, match=phrase):
        await connectors.create(REF, location="westeurope", tags={}, hierarchy_identifier=HIERARCHY)


async def test_an_identifier_that_is_no_guid_is_refused_in_the_connectors_own_shape(
    client: Client, control: ControlClient
) -> None:
    connectors = SecurityConnectors(await client.arm())
    with pytest.raises(InvalidRequest):
        await connectors.create(REF, location="westeurope", tags={}, hierarchy_identifier="no guid")


# --- identities


async def test_a_wrong_secret_is_named_by_its_number_and_the_right_one_works_at_once(
    client: Client, control: ControlClient
) -> None:
    identity = {
        "type": "ClientSecret",
        "clientId": CLIENT_SECRET_IDENTITY["AZURE_CLIENT_ID"],
        "secretRef": {"name": "arm", "key": "secret"},
    }
    with pytest.raises(CredentialsMissing, match="team-a/arm"):
        await client.arm(spec(identity), "team-a")
    client.secrets["team-a", "arm", "secret"] = b"wrong"
    with pytest.raises(CredentialsRejected, match="AADSTS7000215"):
        await SecurityConnectors(await client.arm(spec(identity), "team-a")).get(REF)
    client.secrets["team-a", "arm", "secret"] = b"sandbox-secret\n"
    assert await SecurityConnectors(await client.arm(spec(identity), "team-a")).get(REF) is None


async def test_a_certificate_is_proof_enough_and_another_one_is_not(
    client: Client, control: ControlClient, certificate: bytes, issuer_key: rsa.RSAPrivateKey
) -> None:
    identity = {
        "type": "ClientCertificate",
        "clientId": CLIENT_SECRET_IDENTITY["AZURE_CLIENT_ID"],
        "secretRef": {"name": "arm", "key": "certificate"},
    }
    client.secrets[HOME, "arm", "certificate"] = certificate
    assert await SecurityConnectors(await client.arm(spec(identity))).get(REF) is None
    another = issuer_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    client.secrets[HOME, "arm", "certificate"] = another + certificate[certificate.index(b"-----BEGIN CERT") :]
    with pytest.raises(CredentialsMissing, match="belongs to another certificate"):
        await SecurityConnectors(await client.arm(spec(identity))).get(REF)
    client.secrets[HOME, "arm", "certificate"] = b"".join(self_signed("operator", issuer_key))
    with pytest.raises(CredentialsRejected, match="AADSTS700027"):
        await SecurityConnectors(await client.arm(spec(identity))).get(REF)


async def test_an_unknown_client_and_an_unknown_tenant_are_named(client: Client, control: ControlClient) -> None:
    client.secrets[HOME, "arm", "secret"] = b"x"
    identity = {
        "type": "ClientSecret",
        "clientId": "12345678-1234-1234-1234-123456789012",
        "secretRef": {"name": "arm", "key": "secret"},
    }
    with pytest.raises(CredentialsRejected, match="AADSTS700016"):
        await SecurityConnectors(await client.arm(spec(identity))).get(REF)
    with pytest.raises(CredentialsRejected, match="AADSTS90002"):
        await SecurityConnectors(await client.arm(spec(identity, tenant="12345678-1234-1234-1234-123456789012"))).get(
            REF
        )


async def test_a_token_of_another_tenant_is_named(client: Client, control: ControlClient) -> None:
    control.fault(
        service="arm",
        status=401,
        times=None,
        headers={"Content-Type": "application/json"},
        body={
            "error": {
                "code": "InvalidAuthenticationTokenTenant",
                "message": "The access token is from the wrong issuer 'https://sts.windows.net/"
                f"99999999-9999-9999-9999-999999999999/'. It must match the tenant 'https://sts.windows.net/{TENANT}/'.",
            }
        },
    )
    with pytest.raises(WrongTenant, match=TENANT):
        await SecurityConnectors(await client.arm()).get(REF)
    assert len(control.journal(service="arm")) == 1


async def test_entra_that_fails_for_a_moment_is_borne(client: Client, control: ControlClient) -> None:
    control.fault(service="authority", status=503, times=1)
    assert await SecurityConnectors(await client.arm()).get(REF) is None


# --- tokens of service accounts


@pytest.fixture(scope="module")
def issuer_key() -> rsa.RSAPrivateKey:
    """The key with which a cluster signs tokens of its service accounts."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def service_account_token(control: ControlClient, issuer_key: rsa.RSAPrivateKey) -> Callable[..., str]:
    """Tokens of a cluster whose keys Entra knows."""
    issuer = "https://cluster.example"
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(issuer_key.public_key(), as_dict=True)
    control.register_issuer(issuer, jwks={"keys": [{**jwk, "kid": "1", "use": "sig", "alg": "RS256"}]})

    def make(account: str = "defender-devops-operator", audience: str = "api://AzureADTokenExchange") -> str:
        now = int(time.time())
        claims = {
            "iss": issuer,
            "sub": f"system:serviceaccount:{HOME}:{account}",
            "aud": [audience],
            "iat": now,
            "nbf": now - 5,
            "exp": now + 3600,
        }
        return jwt.encode(claims, issuer_key, algorithm="RS256", headers={"kid": "1"})

    return make


def federated(account: str = "defender-devops-operator") -> Azure:
    return spec({"type": "WorkloadIdentity", "clientId": OPERATOR_CLIENT, "serviceAccountRef": {"name": account}})


async def test_a_service_accounts_token_is_exchanged_for_azures(
    client: Client, control: ControlClient, service_account_token: Callable[..., str]
) -> None:
    client.assertion = service_account_token
    assert await SecurityConnectors(await client.arm(federated())).get(REF) is None
    (entry,) = control.journal(service="arm")
    assert entry["principal"] == "defender-devops-operator"


@pytest.mark.parametrize(
    ("wrong", "subject"),
    [
        ({"account": "another"}, "system:serviceaccount:defender-devops:defender-devops-operator"),
        ({"audience": "https://kubernetes.default.svc"}, "api://AzureADTokenExchange"),
    ],
)
async def test_a_service_account_that_entra_does_not_trust_is_told_what_is_missing(
    client: Client, service_account_token: Callable[..., str], wrong: dict[str, str], subject: str
) -> None:
    client.assertion = lambda: service_account_token(**wrong)
    with pytest.raises(CredentialsRejected, match=subject):
        await SecurityConnectors(await client.arm(federated())).get(REF)


async def test_the_operators_own_projected_token_is_exchanged_too(
    client: Client, control: ControlClient, service_account_token: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(service_account_token())
    client.identities._operator_identity = OperatorIdentity(
        {"AZURE_CLIENT_ID": OPERATOR_CLIENT, "AZURE_FEDERATED_TOKEN_FILE": str(file)}
    )
    assert await SecurityConnectors(await client.arm()).get(REF) is None


# --- role assignments


async def test_a_reader_is_assigned_seen_and_removed(client: Client, control: ControlClient) -> None:
    arm = await client.arm()
    await SecurityConnectors(arm).create(REF, location="westeurope", tags={}, hierarchy_identifier=HIERARCHY)
    roles, name = RoleAssignments(arm), "aaaaaaaa-0000-0000-0000-000000000001"
    assert await roles.list_at(REF) == ()
    await roles.create(REF, name, READERS_GROUP, "Group")
    await roles.create(REF, name, READERS_GROUP, "Group")
    await roles.create(REF, "aaaaaaaa-0000-0000-0000-000000000002", READERS_GROUP, "Group")
    (assignment,) = await roles.list_at(REF)
    assert (assignment.name, assignment.principal_id) == (name, READERS_GROUP)
    assert assignment.role_definition_id.lower().endswith(SECURITY_READER)
    await roles.delete(REF, name)
    await roles.delete(REF, name)
    assert await roles.list_at(REF) == ()


# --- the watcher


@dataclass
class PolledGraph:
    """A poller, and the changes that it reported."""

    poller: ResourceGraphPoller
    changes: list[Changes]

    async def poll(self) -> Changes:
        look = await self.poller.poll()
        assert look.error is None, look.error
        return look.changes


@pytest.fixture
async def polled_graph(client: Client, control: ControlClient) -> PolledGraph:
    """A watcher that trusts every row, over a Resource Graph without delay."""
    control.settings(resourceGraphLag=0)
    changes: list[Changes] = []
    return PolledGraph(
        ResourceGraphPoller(await client.arm(), interval=300, on_changes=changes.append, indexing_lag=0), changes
    )


async def test_one_query_shows_connector_configuration_organizations_and_counts(
    client: Client, control: ControlClient, polled_graph: PolledGraph
) -> None:
    connectors = SecurityConnectors(await client.arm())
    await onboarded(connectors, control, ("contoso", "fabrikam"))
    control.move(9 * 3600)
    polled_graph.poller.track(REF)
    assert await polled_graph.poll() == Changes(differing=frozenset({REF.key}))
    assert len(control.journal(path="Microsoft.ResourceGraph")) == 1

    view = polled_graph.poller.current_view(REF)
    assert view is not None
    connector, configuration = await connectors.get(REF), await connectors.get_configuration(REF)
    assert connector is not None
    assert view.contradictions(connector, configuration, await connectors.organizations(REF)) == ()
    assert view.configuration is not None
    assert {organization.name for organization in view.organizations} >= {"contoso", "fabrikam"}
    for organization in ("contoso", "fabrikam"):
        listed = await connectors.count(REF, organization)
        assert view.inventory.by_organization[organization] == listed, "as many as a listing finds"
        assert listed is not None
        assert listed.repositories > 10


async def test_nothing_changed_is_nothing_told(
    client: Client, control: ControlClient, polled_graph: PolledGraph
) -> None:
    await onboarded(SecurityConnectors(await client.arm()), control)
    polled_graph.poller.track(REF)
    await polled_graph.poll()
    for _ in range(3):
        control.move(60)
        assert await polled_graph.poll() == Changes()


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        ({"tags": {"owner": "somebody else"}}, "tags"),
        ({"autoDiscovery": "Enabled"}, "autoDiscovery"),
        ({"provisioningState": "Failed", "statusMessage": "token exchange failed"}, "provisioningState"),
    ],
)
async def test_what_somebody_changes_behind_our_back_is_told_and_named(
    client: Client, control: ControlClient, polled_graph: PolledGraph, change: dict[str, Any], subject: str
) -> None:
    connectors = SecurityConnectors(await client.arm())
    await onboarded(connectors, control)
    previous = await connectors.get(REF), await connectors.get_configuration(REF), await connectors.organizations(REF)
    polled_graph.poller.track(REF)
    await polled_graph.poll()
    control.change_connector(SUBSCRIPTION, GROUP, "contoso", **change)
    assert await polled_graph.poll() == Changes(differing=frozenset({REF.key}))
    view = polled_graph.poller.current_view(REF)
    assert view is not None
    assert previous[0] is not None
    assert view.contradictions(previous[0], previous[1], previous[2]) == (subject,)


async def test_a_connector_deleted_behind_our_back_is_told_to_be_gone(
    client: Client, control: ControlClient, polled_graph: PolledGraph
) -> None:
    await onboarded(SecurityConnectors(await client.arm()), control)
    polled_graph.poller.track(REF)
    await polled_graph.poll()
    control.delete_connector(SUBSCRIPTION, GROUP, "contoso")
    assert await polled_graph.poll() == Changes(vanished=frozenset({REF.key}))
    assert polled_graph.poller.current_view(REF) is None


async def test_children_that_resource_graph_does_not_know_are_unknown_and_not_zero(
    client: Client, control: ControlClient, polled_graph: PolledGraph
) -> None:
    control.settings(resourceGraphChildren=False)
    await onboarded(SecurityConnectors(await client.arm()), control)
    control.move(9 * 3600)
    polled_graph.poller.track(REF)
    await polled_graph.poll()
    view = polled_graph.poller.current_view(REF)
    assert view is not None
    assert view.inventory.by_organization == {}


async def test_role_assignments_are_seen_in_the_same_look(
    client: Client, control: ControlClient, polled_graph: PolledGraph
) -> None:
    arm = await client.arm()
    await onboarded(SecurityConnectors(arm), control)
    await RoleAssignments(arm).create(REF, "aaaaaaaa-0000-0000-0000-000000000001", READERS_GROUP, "Group")
    polled_graph.poller.track(REF, readers=True)
    await polled_graph.poll()
    view = polled_graph.poller.current_view(REF)
    assert view is not None
    assert view.readers is not None
    listed = await RoleAssignments(arm).list_at(REF)
    assert [(reader.name, reader.principal_id) for reader in view.readers] == [
        (reader.name, reader.principal_id) for reader in listed
    ]
    assert view.readers[0].role_definition_id.endswith(SECURITY_READER), "without the subscription, in Resource Graph"


async def test_the_connector_that_holds_an_organization_elsewhere_is_found(
    client: Client, control: ControlClient, polled_graph: PolledGraph
) -> None:
    other = "33333333-3333-3333-3333-333333333333"
    control.add_connector(
        subscription=other, resourceGroup=GROUP, name="theirs", account=ACCOUNT, organizations=["fabrikam"]
    )
    polled_graph.poller.track(REF)
    await polled_graph.poll()
    onboarding = await polled_graph.poller.onboarding_connectors(["Fabrikam", "nobodys"])
    assert onboarding == {"fabrikam": ConnectorRef(other, GROUP, "theirs").key}


# --- limits


async def burst(client: Client, subscription: str, count: int) -> None:
    """So many reads, as many at once as there are reconciles; all must succeed in the end."""
    connectors = SecurityConnectors(await client.arm())
    reconciles = asyncio.Semaphore(32)

    async def read(number: int) -> object:
        async with reconciles:
            return await connectors.get(ConnectorRef(subscription, GROUP, f"c{number}"))

    assert await asyncio.gather(*(read(number) for number in range(count))) == [None] * count


def refused(control: ControlClient) -> int:
    """How many requests Azure refused with 429."""
    return sum(entry["status"] == 429 for entry in control.journal(service="arm"))


async def test_a_burst_beyond_azures_bucket_is_never_refused(client: Client, control: ControlClient) -> None:
    control.move(0, wall=60)  # the bucket is full
    control.speed(1)  # and is filled by real time
    started = time.monotonic()
    await burst(client, SUBSCRIPTION, 300)
    assert time.monotonic() - started >= 1.9, "more than the bucket holds, at 25 a second"
    assert refused(control) == 0


async def test_a_bucket_that_others_have_emptied_is_learnt_from_what_azure_says(
    client: Client, control: ControlClient
) -> None:
    subscription = "33333333-3333-3333-3333-333333333333"
    await burst(client, subscription, 200)  # while time stands still, so that nothing is filled up again
    client.identities._session.rate_limiter._queues.clear()  # as after a restart: all buckets count as full
    control.speed(1)
    await burst(client, subscription, 150)
    # Connectors answer without the number that is left, so what is under way is refused before we know better.
    assert 1 <= refused(control) <= 64


# --- recommendations


@dataclass
class PolledPosture:
    """A poller of recommendations, and the connectors that its polls reported."""

    poller: PosturePoller
    control: ControlClient

    async def poll(self) -> frozenset[str]:
        return (await self.poller.poll()).changed

    def numbers(self) -> dict[str, int]:
        """All recommendations of each organization."""
        return {name: counts.total for name, counts in self.poller.view(REF).organizations.items()}

    def unhealthy(self, organization: str) -> dict[tuple[Severity, Category], int]:
        return dict(self.poller.view(REF).organizations[organization].unhealthy)

    def add(self, organization: str, project: str, **assessment: str) -> str:
        """Let Defender find something."""
        return self.control.add_assessment(organization=organization, project=project, title="A finding", **assessment)


@pytest.fixture
async def polled_posture(client: Client, control: ControlClient) -> PolledPosture:
    """A poller after a day, in which Defender has evaluated two organizations."""
    control.settings(resourceGraphLag=0)
    connectors = SecurityConnectors(await client.arm())
    await onboarded(connectors, control, ("contoso", "northwind"))
    control.move(24 * 3600)
    poller = PosturePoller(await client.arm(), interval=1800, on_poll=lambda _poller, _changed: None)
    poller.track(REF)
    return PolledPosture(poller, control)


async def test_one_query_counts_the_recommendations_of_all_organizations(polled_posture: PolledPosture) -> None:
    requests = len(polled_posture.control.journal(path="Microsoft.ResourceGraph"))
    assert await polled_posture.poll() == {REF.key}
    assert len(polled_posture.control.journal(path="Microsoft.ResourceGraph")) == requests + 1
    before = polled_posture.numbers().get("northwind", 0)
    polled_posture.add("northwind", "traders", repository="orders", severity="Critical", category="ExposedSecrets")
    assert await polled_posture.poll() == {REF.key}
    assert polled_posture.numbers()["northwind"] == before + 1
    assert polled_posture.unhealthy("northwind")[Severity.CRITICAL, Category.SECRETS] >= 1
    assert await polled_posture.poll() == frozenset()


@pytest.mark.parametrize("resolved", ["healthy", "vanishes"])
async def test_a_resolved_finding_is_not_counted_any_more(polled_posture: PolledPosture, resolved: str) -> None:
    polled_posture.control.variants(resolvedAssessments=resolved)
    await polled_posture.poll()
    before = polled_posture.unhealthy("northwind") if "northwind" in polled_posture.numbers() else {}
    key = polled_posture.add("northwind", "traders", repository="orders", severity="Low", category="ApiVulnerabilities")
    await polled_posture.poll()
    assert polled_posture.unhealthy("northwind") != before
    polled_posture.control.resolve_assessment(key)
    assert await polled_posture.poll() == {REF.key}
    after = polled_posture.unhealthy("northwind") if "northwind" in polled_posture.numbers() else {}
    assert after == before


FAULTS: dict[str, dict[str, Any]] = {
    "refused": {"status": 403, "body": {"error": {"code": "AuthorizationFailed", "message": "No."}}, "times": None},
    "out of order": {"status": 503, "times": None},
    "the second page fails": {"status": 503, "after": 1, "times": None},
    "cut off": {"cut": "after", "times": None},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_without_a_complete_answer_the_last_numbers_remain(
    polled_posture: PolledPosture, fault: dict[str, Any]
) -> None:
    control = polled_posture.control
    polled_posture.add("contoso", "webshop", severity="High")
    polled_posture.add("northwind", "traders", severity="High")
    await polled_posture.poll()
    numbers = polled_posture.numbers()
    assert numbers.keys() == {"contoso", "northwind"}
    polled_posture.add("contoso", "webshop", severity="High")
    control.settings(resourceGraphPageSize=1)
    control.fault(path="Microsoft.ResourceGraph", **fault)
    for _ in range(2):  # too few in a row to be reported
        assert await polled_posture.poll() == frozenset()
        assert polled_posture.poller.view(REF).error is None
    assert await polled_posture.poll() == {REF.key}
    view = polled_posture.poller.view(REF)
    assert view.error is not None
    assert polled_posture.numbers() == numbers
    control.clear_faults()
    control.move(120)
    assert await polled_posture.poll() == {REF.key}
    assert polled_posture.poller.view(REF).error is None
    assert polled_posture.numbers() == {**numbers, "contoso": numbers["contoso"] + 1}


async def test_a_truncated_answer_is_no_answer(polled_posture: PolledPosture) -> None:
    polled_posture.add("contoso", "webshop", severity="High")
    polled_posture.add("northwind", "traders", severity="High")
    await polled_posture.poll()
    numbers = polled_posture.numbers()
    polled_posture.control.variants(resourceGraphPages="truncated")
    polled_posture.control.settings(resourceGraphPageSize=1)
    for _ in range(3):
        await polled_posture.poll()
    assert isinstance(polled_posture.poller.view(REF).error, AzureUnavailable)
    assert polled_posture.numbers() == numbers


async def test_silence_is_unknown_and_not_zero(polled_posture: PolledPosture) -> None:
    polled_posture.add("contoso", "webshop", severity="High")
    await polled_posture.poll()
    polled_posture.control.variants(assessmentRows="absent")
    for _ in range(2):  # too few in a row to be reported
        assert await polled_posture.poll() == frozenset()
    assert await polled_posture.poll() == {REF.key}
    assert polled_posture.numbers() == {}
    assert polled_posture.poller.view(REF).error is None


async def test_an_organization_that_defender_cannot_access_any_more_becomes_stale(
    polled_posture: PolledPosture,
) -> None:
    poller, control = polled_posture.poller, polled_posture.control
    control.generate_assessments(perRepository=3, churn=0.5)
    key, now = Key("security", "contoso"), datetime.now(UTC)
    observations = PostureObservations(lambda _key: None, lambda: now)
    observations.register(key, REF, poller)

    async def days(number: int) -> PostureObservation:
        nonlocal now
        for _ in range(number):
            control.move(24 * 3600, wall=24 * 3600)
            now += timedelta(days=1)
            observations.on_poll(poller, (await poller.poll()).changed)
        return observations.observation(key)

    observation = await days(4)
    assert observation.active_organizations == {"contoso", "northwind"}
    control.remove_access(ACCOUNT, "northwind")
    observation = await days(6)
    assert observation.stale_organizations == {"northwind"}
    assert observation.active_organizations == {"contoso"}
    control.restore_access(ACCOUNT, "northwind")
    assert (await days(2)).active_organizations == {"contoso", "northwind"}


async def test_the_plan_of_a_subscription_is_read(client: Client, control: ControlClient) -> None:
    arm = await client.arm()
    assert await is_defender_cspm_enabled(arm, SUBSCRIPTION)
    control.change_subscription(SUBSCRIPTION, defenderCspm=False)
    assert not await is_defender_cspm_enabled(arm, SUBSCRIPTION)
