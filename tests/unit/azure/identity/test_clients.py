from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from pydantic import SecretBytes, SecretStr

from defender_devops.azure.arm.client import ArmRequest
from defender_devops.azure.identity import credentials
from defender_devops.azure.identity.clients import ArmClients
from defender_devops.azure.identity.grants import Grants
from defender_devops.azure.identity.operator_identity import OperatorIdentity
from defender_devops.entra.authority import DEFAULT_AUTHORITY_HOST
from defender_devops.errors import CredentialsMissing, KubernetesNotFound, KubernetesRefused, KubernetesUnavailable
from tests.unit.azure.fakes import answer, azure_with
from tests.unit.azure.identity.test_grants import CLIENT, FEDERATED, OTHER, OWN, SUB, TENANT, azure

SECRET = {"type": "ClientSecret", "clientId": CLIENT, "secretRef": {"name": "arm", "key": "secret"}}
CERTIFICATE = SECRET | {"type": "ClientCertificate"}
HOME = "defender-devops"
CALL = ArmRequest("read connector", "GET", path="/x", subscription=SUB)


class Cluster:
    """Secrets and service accounts, as far as identities ask for them."""

    def __init__(self) -> None:
        self.secrets: dict[tuple[str, str, str], bytes] = {}
        self.failure: Exception | None = None
        self.sent: list[bool] = []
        self.asked_tokens: list[tuple[str, str, str]] = []

    async def secret(self, namespace: str, name: str, key: str, *, is_sent: bool = False) -> SecretBytes | None:
        self.sent.append(is_sent)
        if self.failure:
            raise self.failure
        value = self.secrets.get((namespace, name, key))
        return None if value is None else SecretBytes(value)

    async def token(self, namespace: str, name: str, audience: str) -> SecretStr:
        self.asked_tokens.append((namespace, name, audience))
        if self.failure:
            raise self.failure
        return SecretStr("assertion")


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def identities(cluster: Cluster, environment: dict[str, str] | None = None, grants: Grants | None = None) -> ArmClients:
    return ArmClients(
        azure_with(answer(200, {})).session,
        grants=grants or Grants(HOME),
        operator_identity=OperatorIdentity(environment or {}),
        secrets=cluster.secret,
        tokens=cluster.token,
    )


class Sdk:
    """All credentials of azure-identity in one class, which records its arguments."""

    created: ClassVar[list[tuple[str, tuple[Any, ...], dict[str, Any]]]] = []
    certificates: ClassVar[list[tuple[bytes, bytes | None]]] = []

    def __init__(self, kind: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        self.args, self.closed = args, False
        # A managed identity has no authority: its endpoint is on the node.
        assert options.get("authority") == (None if kind == "ManagedIdentity" else DEFAULT_AUTHORITY_HOST)
        pipeline = {"transport", "authority", *credentials._PIPELINE, *credentials._NO_RESPONSE_RETRIES}
        options = {key: value for key, value in options.items() if key not in pipeline}
        self.created.append((kind, tuple(arg for arg in args if not callable(arg)), options))

    async def get_token_info(self, *_scopes: str, options: object = None) -> SimpleNamespace:
        return SimpleNamespace(token="t", expires_on=4_000_000_000, refresh_on=None)

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """The credentials of azure-identity that were created; any value is accepted as a certificate."""

    async def load(data: bytes, password: bytes | None, **_: object) -> None:
        Sdk.certificates.append((data, password))

    Sdk.created, Sdk.certificates = [], []
    monkeypatch.setattr(credentials, "load_client_certificate", load)
    for kind in ("ClientSecret", "Certificate", "ClientAssertion", "WorkloadIdentity", "ManagedIdentity"):
        monkeypatch.setattr(
            f"azure.identity.aio.{kind}Credential",
            lambda *args, kind=kind, **options: Sdk(kind, args, options),
        )
    return Sdk.created


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ("ManagedIdentity", (), {"client_id": None, "_exclude_workload_identity_credential": True})),
        (
            {"AZURE_CLIENT_ID": OWN},
            ("ManagedIdentity", (), {"client_id": OWN, "_exclude_workload_identity_credential": True}),
        ),
        (
            {"AZURE_CLIENT_ID": OWN, "AZURE_FEDERATED_TOKEN_FILE": "/token", "AZURE_CLIENT_SECRET": "ignored"},
            ("WorkloadIdentity", (), {"tenant_id": TENANT, "client_id": OWN, "token_file_path": "/token"}),
        ),
        ({"AZURE_CLIENT_ID": OWN, "AZURE_CLIENT_SECRET": "s"}, ("ClientSecret", (TENANT, OWN, "s"), {})),
    ],
)
async def test_the_operator_identity_follows_the_environment(
    cluster: Cluster, created: list[Any], environment: dict[str, str], expected: object
) -> None:
    arm = await identities(cluster, environment).client("uid", HOME, azure(None))
    await arm.send(CALL)
    assert created == [expected]
    assert arm.principal == f"{TENANT}/{environment.get('AZURE_CLIENT_ID', 'system-assigned')}"


async def test_a_certificate_of_the_environment_is_read_from_its_file(
    cluster: Cluster, created: list[Any], tmp_path: Path
) -> None:
    file = tmp_path / "certificate.pem"
    file.write_bytes(b"pem")
    environment = {
        "AZURE_CLIENT_ID": OWN,
        "AZURE_CLIENT_CERTIFICATE_PATH": str(file),
        "AZURE_CLIENT_CERTIFICATE_PASSWORD": "p",
    }
    await (await identities(cluster, environment).client("uid", HOME, azure(None))).send(CALL)
    assert created == [("ClientAssertion", (TENANT, OWN), {})]
    assert Sdk.certificates == [(b"pem", b"p")]


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        (SECRET, ("ClientSecret", (TENANT, CLIENT, "s3cret"), {})),
        (CERTIFICATE, ("ClientAssertion", (TENANT, CLIENT), {})),
        (FEDERATED, ("ClientAssertion", (TENANT, CLIENT), {})),
        (
            {"type": "ManagedIdentity", "clientId": CLIENT.upper()},
            ("ManagedIdentity", (), {"client_id": CLIENT, "_exclude_workload_identity_credential": True}),
        ),
    ],
)
async def test_a_connector_uses_the_identity_of_its_spec(
    cluster: Cluster, created: list[Any], identity: dict[str, Any], expected: object
) -> None:
    cluster.secrets[HOME, "arm", "secret"] = b"s3cret\n"
    arm = await identities(cluster).client("uid", HOME, azure(identity))
    await arm.send(CALL)
    assert created == [expected]
    assert Sdk.certificates == ([(b"s3cret\n", None)] if identity is CERTIFICATE else [])
    assert arm.principal == f"{TENANT}/{CLIENT}"


async def test_a_service_account_token_is_requested_in_the_connectors_namespace(
    cluster: Cluster, created: list[Any]
) -> None:
    await (await identities(cluster).client("uid", HOME, azure(FEDERATED))).send(CALL)
    assert cluster.asked_tokens == [(HOME, "azure", "api://AzureADTokenExchange")]


@pytest.mark.parametrize(
    ("failure", "kind", "phrases"),
    [
        (KubernetesNotFound("no"), CredentialsMissing, "no service account azure"),
        (KubernetesRefused("no"), CredentialsMissing, "identityGrants"),
        (KubernetesUnavailable("no"), KubernetesUnavailable, "no"),
    ],
)
async def test_a_service_account_without_a_token_says_why(
    cluster: Cluster, created: list[Any], failure: Exception, kind: type[Exception], phrases: str
) -> None:
    cluster.failure = failure
    arm = await identities(cluster).client("uid", HOME, azure(FEDERATED))
    with pytest.raises(kind, match=phrases):
        await arm.send(CALL)


async def test_connectors_of_the_same_identity_share_a_client(cluster: Cluster) -> None:
    cluster.secrets["a", "arm", "secret"] = cluster.secrets["b", "arm", "secret"] = b"same"
    shared = identities(cluster)
    first = await shared.client("1", "a", azure(SECRET))
    assert await shared.client("2", "a", azure(SECRET)) is first
    assert await shared.client("3", "b", azure(SECRET)) is first, "who knows the secret is who it says"
    assert await shared.client("4", HOME, azure(None)) is not first
    assert await shared.client("5", "a", azure(SECRET, tenant=OTHER)) is not first


async def test_a_new_secret_takes_effect_at_once_and_the_old_client_is_closed(
    cluster: Cluster, created: list[Any]
) -> None:
    cluster.secrets[HOME, "arm", "secret"] = b"old"
    shared = identities(cluster)
    old = await shared.client("1", HOME, azure(SECRET))
    await shared.client("2", HOME, azure(SECRET))
    await old.send(CALL)
    sdk = old._tokens._credential._credential  # type: ignore[attr-defined]
    cluster.secrets[HOME, "arm", "secret"] = b"new"
    new = await shared.client("1", HOME, azure(SECRET))
    assert new is not old
    assert not sdk.closed, "the other connector has not looked yet"
    assert await shared.client("2", HOME, azure(SECRET)) is new
    assert sdk.closed
    await new.send(CALL)
    assert [args[-1] for _, args, _ in created] == ["old", "new"]


async def test_the_client_of_a_deleted_resource_is_closed(cluster: Cluster, created: list[Any]) -> None:
    cluster.secrets[HOME, "arm", "secret"] = b"s"
    shared = identities(cluster)
    arm = await shared.client("1", HOME, azure(SECRET))
    await arm.send(CALL)
    sdk = arm._tokens._credential._credential  # type: ignore[attr-defined]
    await shared.release("unknown")
    await shared.release("1")
    assert sdk.closed
    assert await shared.client("1", HOME, azure(SECRET)) is not arm
    await shared.close()


@pytest.mark.parametrize("value", [None, b"", b" \n"])
async def test_a_secret_that_is_missing_or_empty_is_named(cluster: Cluster, value: bytes | None) -> None:
    if value is not None:
        cluster.secrets[HOME, "arm", "secret"] = value
    with pytest.raises(CredentialsMissing, match=r"Secret defender-devops/arm.*key secret"):
        await identities(cluster).client("1", HOME, azure(SECRET))


async def test_a_secret_that_is_not_text_is_named(cluster: Cluster) -> None:
    cluster.secrets[HOME, "arm", "secret"] = b"\xff\xfe"
    with pytest.raises(CredentialsMissing, match="not text in UTF-8"):
        await identities(cluster).client("1", HOME, azure(SECRET))


async def test_a_secret_that_holds_something_else_is_not_sent(cluster: Cluster, created: list[Any]) -> None:
    cluster.secrets[HOME, "arm", "secret"] = b'{"canary": "x"}'
    with pytest.raises(
        CredentialsMissing, match=r"defender-devops/arm, key secret,.*a JSON document, so it was not sent"
    ):
        await identities(cluster).client("1", HOME, azure(SECRET))
    assert created == []


async def test_the_operators_own_variable_with_something_else_is_not_sent(created: list[Any]) -> None:
    variables = {"AZURE_CLIENT_ID": CLIENT, "AZURE_CLIENT_SECRET": "ghp_canary"}
    with pytest.raises(CredentialsMissing, match="AZURE_CLIENT_SECRET cannot be used: it is an access token of a Git"):
        OperatorIdentity(variables).resolve(TENANT).build()
    assert created == []


async def test_a_secret_that_cannot_be_read_is_not_reported_as_missing(cluster: Cluster) -> None:
    cluster.failure = KubernetesUnavailable("down")
    with pytest.raises(KubernetesUnavailable):
        await identities(cluster).client("1", HOME, azure(SECRET))


async def test_a_resource_being_deleted_keeps_its_client_after_its_secret_is_deleted(cluster: Cluster) -> None:
    cluster.secrets[HOME, "arm", "secret"] = b"s"
    shared = identities(cluster)
    arm = await shared.client("1", HOME, azure(SECRET))
    cluster.secrets.clear()
    with pytest.raises(CredentialsMissing):
        await shared.client("1", HOME, azure(SECRET))
    assert await shared.client("1", HOME, azure(SECRET), is_deleting=True) is arm
    with pytest.raises(CredentialsMissing):
        await shared.client("2", HOME, azure(SECRET), is_deleting=True)


async def test_an_identity_without_a_grant_has_no_client_even_during_deletion(cluster: Cluster) -> None:
    for identity in (None, FEDERATED, {"type": "ManagedIdentity"}):
        for is_deleting in (False, True):
            with pytest.raises(CredentialsMissing, match="not granted"):
                await identities(cluster).client("1", "team-a", azure(identity), is_deleting=is_deleting)


async def test_a_secret_of_another_namespace_is_never_read(cluster: Cluster) -> None:
    cluster.secrets["team-a", "arm", "secret"] = b"s"
    with pytest.raises(CredentialsMissing, match="team-b/arm"):
        await identities(cluster).client("1", "team-b", azure(SECRET))


def test_the_token_of_the_operators_own_service_account_is_read_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    operator_identity = OperatorIdentity({"AZURE_FEDERATED_TOKEN_FILE": str(file)})
    with pytest.raises(CredentialsMissing, match="workload identity"):
        operator_identity.assertion()
    file.write_text("first\n")
    assert operator_identity.assertion().get_secret_value() == "first"
    file.write_text("second")
    assert operator_identity.assertion().get_secret_value() == "second"


def test_without_workload_identity_there_is_no_service_account_token() -> None:
    with pytest.raises(CredentialsMissing):
        OperatorIdentity({}).assertion()


async def test_no_identity_shows_its_secret(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    cluster.secrets[HOME, "arm", "secret"] = b"s3cret"
    with caplog.at_level("DEBUG"):
        arm = await identities(cluster).client("1", HOME, azure(SECRET))
    assert "s3cret" not in f"{arm.identity_name} {arm.principal} {arm!r} {caplog.text}"


@pytest.mark.parametrize(("identity", "is_sent"), [(SECRET, True), (CERTIFICATE, False)])
async def test_only_a_client_secret_is_read_as_a_value_that_is_sent(
    cluster: Cluster, identity: dict[str, Any], is_sent: bool
) -> None:
    cluster.secrets[HOME, "arm", "secret"] = b"value"
    await identities(cluster).client("uid", HOME, azure(identity=identity))
    assert cluster.sent == [is_sent]
