from __future__ import annotations

from types import SimpleNamespace

import azure.identity.aio
import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.identity import CredentialUnavailableError

from defender_devops.azure.identity.local_developer import local_azure_devops_token
from defender_devops.errors import CredentialsError, CredentialsMissing, CredentialsRejected, CredentialsUnavailable

TENANT, RESOURCE = "11111111-1111-1111-1111-111111111111", "499b84ac-1321-427f-aa17-267ca6975798"


class Default:
    """In place of DefaultAzureCredential."""

    failure: Exception | None = None
    requests: list[tuple[str, object]]
    closed: int

    def __init__(self, **_: object) -> None:
        self.credentials: tuple[object, ...] = ()

    async def get_token_info(self, *scopes: str, options: object = None) -> SimpleNamespace:
        type(self).requests.append((scopes[0], options))
        if self.failure is not None:
            raise self.failure
        return SimpleNamespace(token="token", expires_on=1000, refresh_on=None)

    async def close(self) -> None:
        type(self).closed += 1


@pytest.fixture
def default(monkeypatch: pytest.MonkeyPatch) -> type[Default]:
    fake = type("Default", (Default,), {"requests": [], "closed": 0})
    monkeypatch.setattr(azure.identity.aio, "DefaultAzureCredential", fake)
    return fake


async def test_a_token_is_requested_in_the_tenant_of_the_manifest(default: type[Default]) -> None:
    token = await local_azure_devops_token(RESOURCE, TENANT)
    assert token.get_secret_value() == "token"
    assert default.requests == [(f"{RESOURCE}/.default", {"enable_cae": True, "tenant_id": TENANT})]
    assert default.closed == 1


FAILURES = [
    (
        ClientAuthenticationError("DefaultAzureCredential failed to retrieve a token from the included credentials."),
        CredentialsMissing,
        f"Nobody is signed in to Azure on this machine: run `az login --tenant {TENANT}`",
    ),
    (
        ClientAuthenticationError(f"The current credential is not configured to acquire tokens for tenant {TENANT}"),
        CredentialsRejected,
        f"You are signed in to another tenant than {TENANT}: run `az login --tenant {TENANT}`",
    ),
    (
        ClientAuthenticationError("EnvironmentCredential: (invalid_client) AADSTS7000215: Invalid client secret."),
        CredentialsRejected,
        "The client secret is wrong",
    ),
    (
        ClientAuthenticationError("EnvironmentCredential: (unauthorized_client) AADSTS700016: Application not found."),
        CredentialsRejected,
        "az ad sp create --id CLIENT_ID",  # the application is known to azure-identity alone
    ),
    (ServiceRequestError("no route"), CredentialsUnavailable, "Entra ID cannot be reached"),
]


@pytest.mark.parametrize(("failure", "kind", "phrases"), FAILURES)
async def test_a_failed_local_sign_in_says_what_to_do(
    default: type[Default], failure: Exception, kind: type[CredentialsError], phrases: str
) -> None:
    default.failure = failure
    with pytest.raises(kind) as caught:
        await local_azure_devops_token(RESOURCE, TENANT)
    assert phrases in caught.value.message


class Attempt:
    """One credential in the chain of the real DefaultAzureCredential."""

    def __init__(self, failure: Exception) -> None:
        self.failure = failure

    async def get_token_info(self, *_: str, options: object = None) -> SimpleNamespace:
        raise self.failure

    async def close(self) -> None:
        pass


CHAINS = [
    (
        [CredentialUnavailableError("not configured")],
        CredentialsMissing,
        "Nobody is signed in to Azure on this machine",
    ),
    (
        [CredentialUnavailableError("not configured"), ServiceRequestError("Cannot connect to host")],
        CredentialsUnavailable,
        "Entra ID cannot be reached",
    ),
    (
        [ClientAuthenticationError("ERROR: the sign-in has expired")],
        CredentialsRejected,
        "Your sign-in to Azure returned no token (ERROR: the sign-in has expired)",
    ),
]


@pytest.mark.parametrize(("failures", "kind", "message"), CHAINS)
async def test_a_failed_sign_in_is_not_called_a_missing_one(
    monkeypatch: pytest.MonkeyPatch, failures: list[Exception], kind: type[CredentialsError], message: str
) -> None:
    class Chain(azure.identity.aio.ChainedTokenCredential):
        def __init__(self, **_: object) -> None:
            super().__init__(*(Attempt(failure) for failure in failures))

    monkeypatch.setattr(azure.identity.aio, "DefaultAzureCredential", Chain)
    with pytest.raises(kind) as caught:
        await local_azure_devops_token(RESOURCE, TENANT)
    assert message in caught.value.message
