"""azure-identity gets tokens by secret, certificate and workload identity; invalid ones are rejected as by Entra."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential, ClientSecretCredential, WorkloadIdentityCredential
from azure.identity.aio import WorkloadIdentityCredential as AsyncWorkloadIdentityCredential
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from sandbox.cloud.control.client import ControlClient
from sandbox.cloud.world.load import DEFAULT_WORLD
from tests.conftest import StartCloud
from tests.sandbox.cloud.direct import APP_ID, TENANT
from tests.sandbox.cloud.remote import ARM_SCOPE, Remote
from tests.support.certificates import self_signed

ISSUER = "https://cluster.test"
SUBJECT = "system:serviceaccount:defender-devops:defender-devops-operator"
OPERATOR_ID = "66666666-6666-6666-6666-666666666666"


@dataclass
class Issuer:
    """Issues tokens as a Kubernetes API server does."""

    key: rsa.RSAPrivateKey
    key_id: str = "key-1"

    def key_set(self) -> dict[str, Any]:
        public = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**public, "kid": self.key_id, "use": "sig", "alg": "RS256"}]}

    def token(self, **changes: object) -> str:
        now = int(time.time())
        audience = ["api://AzureADTokenExchange"]
        claims = {"iss": ISSUER, "sub": SUBJECT, "aud": audience, "iat": now, "exp": now + 600, **changes}
        return jwt.encode(claims, self.key, "RS256", headers={"kid": self.key_id})


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def message_of(error: ClientAuthenticationError) -> str:
    return str(error.message)


def test_a_client_secret_gives_a_token(remote: Remote) -> None:
    with remote.credential() as credential:
        token = credential.get_token(ARM_SCOPE)
    assert token.expires_on > time.time() + 3000


@pytest.mark.parametrize(
    ("tenant", "client", "secret", "expected"),
    [
        (TENANT, APP_ID, "wrong", "AADSTS7000215"),
        (TENANT, "00000000-0000-0000-0000-00000000dead", "sandbox-secret", "AADSTS700016"),
        ("99999999-9999-9999-9999-999999999999", APP_ID, "sandbox-secret", "AADSTS700016"),
    ],
)
def test_a_wrong_client_secret_is_refused_with_its_number(
    remote: Remote, tenant: str, client: str, secret: str, expected: str
) -> None:
    with (
        ClientSecretCredential(tenant, client, secret, **remote.identity_options()) as credential,
        pytest.raises(ClientAuthenticationError) as caught,
    ):
        credential.get_token(ARM_SCOPE)
    assert expected in message_of(caught.value)


@pytest.fixture
def token_file(tmp_path: Path, issuer: Issuer) -> Path:
    file = tmp_path / "token"
    file.write_text(issuer.token())
    return file


def workload_identity(remote: Remote, file: Path) -> WorkloadIdentityCredential:
    return WorkloadIdentityCredential(
        tenant_id=TENANT, client_id=OPERATOR_ID, token_file_path=str(file), **remote.identity_options()
    )


def test_a_service_account_token_is_exchanged_once_its_issuer_is_known(
    remote: Remote, issuer: Issuer, token_file: Path
) -> None:
    remote.control.register_issuer(ISSUER, jwks=issuer.key_set())
    with workload_identity(remote, token_file) as credential:
        assert credential.get_token(ARM_SCOPE).token


async def test_the_same_for_asyncio(remote: Remote, issuer: Issuer, token_file: Path) -> None:
    remote.control.register_issuer(ISSUER, jwks=issuer.key_set())
    options = remote.identity_options()
    async with AsyncWorkloadIdentityCredential(
        tenant_id=TENANT, client_id=OPERATOR_ID, token_file_path=str(token_file), **options
    ) as credential:
        assert (await credential.get_token(ARM_SCOPE)).token


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sub": "system:serviceaccount:other:other"}, "AADSTS700213"),
        ({"aud": ["https://kubernetes.default.svc"]}, "AADSTS700212"),
        ({"iss": "https://stranger.test"}, "AADSTS700211"),
        ({"exp": 1_000_000_000, "iat": 999_999_000}, "AADSTS700024"),
    ],
)
def test_a_service_account_token_that_does_not_match_is_refused(
    remote: Remote, issuer: Issuer, tmp_path: Path, changes: dict[str, object], expected: str
) -> None:
    remote.control.register_issuer(ISSUER, jwks=issuer.key_set())
    file = tmp_path / "token"
    file.write_text(issuer.token(**changes))
    with workload_identity(remote, file) as credential, pytest.raises(ClientAuthenticationError) as caught:
        credential.get_token(ARM_SCOPE)
    assert expected in message_of(caught.value)


def test_a_token_with_a_forged_signature_is_refused(remote: Remote, issuer: Issuer, tmp_path: Path) -> None:
    remote.control.register_issuer(ISSUER, jwks=issuer.key_set())
    stranger = Issuer(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    file = tmp_path / "token"
    file.write_text(stranger.token())
    with workload_identity(remote, file) as credential, pytest.raises(ClientAuthenticationError) as caught:
        credential.get_token(ARM_SCOPE)
    assert "AADSTS700027" in message_of(caught.value)


@pytest.fixture
def certificate() -> tuple[bytes, str]:
    """Return a self-signed certificate, with its key and without."""
    private, public = self_signed("sandbox")
    return private + public, public.decode()


@pytest.fixture
def with_certificate(
    start_cloud: StartCloud, tmp_path: Path, certificate: tuple[bytes, str]
) -> Iterator[tuple[Remote, bytes]]:
    """A cloud whose application has a certificate only."""
    world = yaml.safe_load(DEFAULT_WORLD.read_text())
    world["applications"][0] |= {"certificates": [certificate[1]], "secrets": []}
    file = tmp_path / "world.yaml"
    file.write_text(yaml.safe_dump(world))
    cloud = start_cloud("--speed", "0", "--world", file)
    with ControlClient(cloud.control) as control:
        yield Remote(cloud.endpoints, cloud.ca, control, ssl.create_default_context(cafile=cloud.ca)), certificate[0]


def test_a_certificate_gives_a_token_and_an_unknown_one_does_not(
    with_certificate: tuple[Remote, bytes], remote: Remote
) -> None:
    cloud, pem = with_certificate
    with CertificateCredential(TENANT, APP_ID, certificate_data=pem, **cloud.identity_options()) as credential:
        assert credential.get_token(ARM_SCOPE).token
    with (
        CertificateCredential(TENANT, APP_ID, certificate_data=pem, **remote.identity_options()) as credential,
        pytest.raises(ClientAuthenticationError) as caught,
    ):
        credential.get_token(ARM_SCOPE)
    assert "AADSTS700027" in message_of(caught.value)
