from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretBytes, SecretStr

from defender_devops.azure.identity import credentials
from defender_devops.azure.identity.credential_errors import IdentityContext
from defender_devops.azure.identity.credentials import (
    EntraCredential,
    certificate_credential,
    federated_credential,
    federated_file_credential,
    managed_identity_credential,
)
from defender_devops.errors import CredentialsMissing, CredentialsRejected, CredentialsUnavailable, KubernetesNotFound
from tests.support.certificates import DEFECTIVE, self_signed

TENANT, CLIENT = "11111111-1111-1111-1111-111111111111", "aaaaaaaa-0000-0000-0000-00000000000a"
CONTEXT = IdentityContext("client c", CLIENT, TENANT)


class Sdk:
    """In place of a credential of azure-identity."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.options: list[object] = []
        self.closed = False

    async def get_token_info(self, *scopes: str, options: object = None) -> SimpleNamespace:
        assert scopes == ("https://management.azure.com/.default",)
        self.options.append(options)
        if self.failure:
            raise self.failure
        return SimpleNamespace(token="t", expires_on=1000, refresh_on=500)

    async def close(self) -> None:
        self.closed = True


def built(*sdks: Sdk) -> Callable[[], Any]:
    waiting = list(sdks)
    return lambda: waiting.pop(0)


async def test_a_token_is_requested_with_continuous_access_evaluation() -> None:
    sdk = Sdk()
    token = await EntraCredential(built(sdk), CONTEXT).token(claims=None, force_refresh=False)
    assert (token.value.get_secret_value(), token.expires_at, token.refresh_at) == ("t", 1000.0, 500.0)
    assert sdk.options == [{"enable_cae": True}]


async def test_claims_are_passed_on() -> None:
    sdk = Sdk()
    await EntraCredential(built(sdk), CONTEXT).token(claims='{"x":1}', force_refresh=True)
    assert sdk.options == [{"enable_cae": True, "claims": '{"x":1}'}]


async def test_a_forced_refresh_uses_a_new_credential() -> None:
    first, second = Sdk(), Sdk()
    credential = EntraCredential(built(first, second), CONTEXT)
    await credential.token(claims=None, force_refresh=False)
    await credential.token(claims=None, force_refresh=False)
    assert len(first.options) == 2
    await credential.token(claims=None, force_refresh=True)
    assert first.closed
    assert len(second.options) == 1
    await credential.close()
    assert second.closed


async def test_an_exception_of_the_library_becomes_an_operator_error() -> None:
    failing = Sdk(ClientAuthenticationError(message="(invalid_client) AADSTS7000215: x"))
    with pytest.raises(CredentialsRejected, match="AADSTS7000215"):
        await EntraCredential(built(failing), CONTEXT).token(claims=None, force_refresh=False)


async def test_a_programming_error_is_not_converted() -> None:
    with pytest.raises(TypeError):
        await EntraCredential(built(Sdk(TypeError("a defect"))), CONTEXT).token(claims=None, force_refresh=False)


@pytest.mark.looptime
async def test_a_token_request_without_a_response_times_out() -> None:
    class Silent(Sdk):
        async def get_token_info(self, *scopes: str, options: object = None) -> SimpleNamespace:
            await asyncio.sleep(10_000)
            return SimpleNamespace()

    with pytest.raises(CredentialsUnavailable, match="does not respond"):
        await EntraCredential(built(Silent()), CONTEXT).token(claims=None, force_refresh=False)
    assert asyncio.get_running_loop().time() <= 60


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return b"".join(self_signed("operator", key))


@pytest.mark.parametrize(("data", "phrase"), DEFECTIVE.values(), ids=DEFECTIVE.keys())
async def test_an_unusable_certificate_is_missing_credentials_without_its_content(data: bytes, phrase: str) -> None:
    credential = certificate_credential(
        TENANT, CLIENT, lambda: SecretBytes(data), source="Secret security/azure, key tls.pem"
    )
    with pytest.raises(CredentialsMissing, match="in Secret security") as refused:
        await credential.token(claims=None, force_refresh=False)
    assert phrase in refused.value.message
    assert "BEGIN" not in refused.value.message
    assert "canary" not in refused.value.message


async def test_a_usable_certificate_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pem(rsa.generate_private_key(65537, 2048))
    credential = certificate_credential(TENANT, CLIENT, lambda: SecretBytes(data))
    monkeypatch.setitem(credentials._PIPELINE, "retry_total", 0)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://127.0.0.1:9")
    with pytest.raises(CredentialsUnavailable, match="cannot be reached"):
        await credential.token(claims=None, force_refresh=False)
    await credential.close()


async def test_a_missing_projected_token_file_is_named_as_the_cause(tmp_path: Path) -> None:
    credential = federated_file_credential(TENANT, CLIENT, str(tmp_path / "missing"))
    with pytest.raises(CredentialsMissing, match="volume"):
        await credential.token(claims=None, force_refresh=False)
    await credential.close()


async def test_a_service_account_token_is_requested_for_each_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assertions: list[str] = []

    class Assertion(Sdk):
        def __init__(self, tenant: str, client: str, func: Callable[[], str], **_options: object) -> None:
            super().__init__()
            self.func = func

        async def get_token_info(self, *scopes: str, options: object = None) -> SimpleNamespace:
            assertions.append(self.func())
            return await super().get_token_info(*scopes, options=options)

    monkeypatch.setattr("azure.identity.aio.ClientAssertionCredential", Assertion)
    tokens = iter(["first", "second"])

    async def assertion() -> SecretStr:
        return SecretStr(next(tokens))

    credential = federated_credential(TENANT, CLIENT, "system:serviceaccount:a:b", assertion)
    await credential.token(claims=None, force_refresh=False)
    await credential.token(claims=None, force_refresh=False)
    assert assertions == ["first", "second"]


async def test_a_missing_service_account_is_not_reported_as_an_outage() -> None:
    async def assertion() -> SecretStr:
        raise KubernetesNotFound("no such service account")

    with pytest.raises(KubernetesNotFound):
        await federated_credential(TENANT, CLIENT, "s", assertion).token(claims=None, force_refresh=False)


async def test_a_managed_identity_never_becomes_the_operators_identity(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("the operator's own token")
    for name, value in {
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_FEDERATED_TOKEN_FILE": str(token),
    }.items():
        monkeypatch.setenv(name, value)
    built = managed_identity_credential(TENANT, "bbbbbbbb-0000-0000-0000-00000000000b")._build()
    assert type(built._credential).__name__ == "ImdsCredential"  # type: ignore[attr-defined]
    await built.close()


def test_azure_identity_is_not_loaded_before_a_token_is_needed() -> None:
    program = (
        "import sys, defender_devops.azure.identity.clients, defender_devops.azure.resource_graph.pollers;"
        "sys.exit(any(name.startswith(('azure.', 'msal')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
