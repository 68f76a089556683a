from __future__ import annotations

from types import SimpleNamespace

import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError, ServiceResponseError
from azure.identity import CredentialUnavailableError

from defender_devops.azure.identity.credential_errors import IdentityContext, credentials_error
from defender_devops.errors import CredentialsError, CredentialsRejected, CredentialsUnavailable

CLIENT, TENANT = "aaaaaaaa-0000-0000-0000-00000000000a", "11111111-1111-1111-1111-111111111111"
SUBJECT = "system:serviceaccount:security:contoso-azure"
CONTEXT = IdentityContext(f"client {CLIENT}", CLIENT, TENANT, SUBJECT)
TAIL = (
    "Trace ID: 0e2b8c2e-f9a5-4f0b-8d4b-1a2b3c4d5e6f Correlation ID: 1f2b8c2e-f9a5-4f0b-8d4b-1a2b3c4d5e6f "
    "Timestamp: 2024-02-24 00:31:19Z"
)


def refusal(error: str, description: str, status: int = 401) -> Exception:
    """What azure-identity makes of an answer of Entra ID."""
    raised = ClientAuthenticationError(message=f"Microsoft Entra ID error '({error}) {description} {TAIL}'")
    raised.status_code = status
    return raised


CASES = {
    "wrong secret": (
        refusal("invalid_client", "AADSTS7000215: Invalid client secret provided."),
        CredentialsRejected,
        ["AADSTS7000215", "secret is wrong"],
    ),
    "expired secret": (
        refusal("invalid_client", "AADSTS7000222: The provided client secret keys are expired."),
        CredentialsRejected,
        ["AADSTS7000222", f"az ad app credential reset --id {CLIENT}"],
    ),
    "unknown client": (
        refusal("unauthorized_client", "AADSTS700016: Application not found in the directory.", 400),
        CredentialsRejected,
        [
            "AADSTS700016",
            "application does not exist in the tenant",
            f"tenantId {TENANT}",
            f"az ad sp create --id {CLIENT}",
        ],
    ),
    "unknown tenant": (
        refusal("invalid_request", "AADSTS90002: Tenant not found.", 400),
        CredentialsRejected,
        ["AADSTS90002", "tenant does not exist", f"tenantId {TENANT}"],
    ),
    "no federated credential": (
        refusal("invalid_client", "AADSTS700213: No matching federated identity record found."),
        CredentialsRejected,
        ["AADSTS700213", SUBJECT, "api://AzureADTokenExchange"],
    ),
    "certificate": (
        refusal("invalid_client", "AADSTS700027: The certificate is not registered."),
        CredentialsRejected,
        ["AADSTS700027", "Upload"],
    ),
    "blocked": (
        refusal("access_denied", "AADSTS53003: Access has been blocked by Conditional Access policies.", 400),
        CredentialsRejected,
        ["AADSTS53003", "Conditional Access"],
    ),
    "a number without words of ours": (
        refusal("invalid_client", "AADSTS7000999: Something new is wrong with it.", 400),
        CredentialsRejected,
        ["AADSTS7000999", "Something new is wrong with it"],
    ),
    "an error without a number": (
        refusal("invalid_client", "Nope.", 400),
        CredentialsRejected,
        ["invalid_client", "Check clientId"],
    ),
    "entra is busy": (
        refusal("temporarily_unavailable", "AADSTS90033: A transient error.", 400),
        CredentialsUnavailable,
        ["AADSTS90033"],
    ),
    "entra fails": (refusal("server_error", "Oops.", 400), CredentialsUnavailable, []),
    "entra says 503": (refusal("unknown", "Oops.", 503), CredentialsUnavailable, []),
    "entra says 429": (
        refusal("invalid_request", "AADSTS90055: Too many.", 429),
        CredentialsUnavailable,
        ["AADSTS90055"],
    ),
    "we loop": (refusal("invalid_grant", "AADSTS50196: Loop detected.", 400), CredentialsUnavailable, ["AADSTS50196"]),
    "no connection": (ServiceRequestError("Cannot connect"), CredentialsUnavailable, ["ServiceRequestError", "DNS"]),
    "cut connection": (ServiceResponseError("Cut"), CredentialsUnavailable, []),
    "no metadata service": (
        CredentialUnavailableError(
            "ManagedIdentityCredential authentication unavailable, no response from the IMDS endpoint."
        ),
        CredentialsUnavailable,
        ["169.254.169.254"],
    ),
    "not assigned": (
        CredentialUnavailableError("The requested identity has not been assigned to this resource."),
        CredentialsRejected,
        ["not assigned to the node"],
    ),
    "none assigned": (
        CredentialUnavailableError("No identity has been assigned to this resource. Error: x"),
        CredentialsRejected,
        ["not assigned to the node"],
    ),
}


@pytest.mark.parametrize(("raised", "kind", "phrases"), CASES.values(), ids=CASES.keys())
def test_each_failure_says_what_to_do_and_names_its_code(
    raised: Exception, kind: type[CredentialsError], phrases: list[str]
) -> None:
    error = credentials_error(raised, CONTEXT)
    assert type(error) is kind
    for word in phrases:
        assert word in error.message


@pytest.mark.parametrize("raised", [case[0] for case in CASES.values()], ids=CASES.keys())
def test_no_message_contains_request_ids_or_times(raised: Exception) -> None:
    message = credentials_error(raised, CONTEXT).message
    assert "Trace ID" not in message
    assert "2024-" not in message
    assert len(message) <= 1024


def test_a_response_without_a_status_is_classified_by_its_oauth_error() -> None:
    raised = ClientAuthenticationError(
        message="(invalid_client) AADSTS7000215: x", response=SimpleNamespace(status_code=None, reason="", headers={})
    )
    assert isinstance(credentials_error(raised, CONTEXT), CredentialsRejected)
