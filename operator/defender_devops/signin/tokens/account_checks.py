"""Checks that a sign-in belongs to the account, the tenant and the app that the manifest names."""

from __future__ import annotations

from defender_devops.api.connector import AzureDevOpsConnector, SignIn
from defender_devops.signin.oauth.errors import SignInRequired, WrongAccount, WrongTenant
from defender_devops.signin.oauth.id_tokens import Identity
from defender_devops.signin.tokens.record import TokenRecord

__all__ = ["check_signed_in_account", "check_token_record", "nobody_signed_in"]


def check_signed_in_account(identity: Identity, sign_in: SignIn) -> None:
    """Check that the person is the one whom the manifest names.

    Raises:
        WrongAccount: it is another account; the message names both.
    """
    if sign_in.account and identity.account.lower() != sign_in.account.lower():
        raise WrongAccount(
            f"{identity.account} signed in, but spec.signIn.account is {sign_in.account}. That sign-in was not stored: "
            f"sign in as {sign_in.account}, or correct the manifest."
        )


def check_token_record(record: TokenRecord, connector: AzureDevOpsConnector, sign_in: SignIn) -> None:
    """Check, without asking Entra ID, that the stored sign-in is of the account, tenant and app that the spec names.

    Raises:
        SignInError: it is not, or there is none.
    """
    if record.refresh_token is None:
        raise SignInRequired(nobody_signed_in(sign_in))
    if record.account and record.tenant_id and record.object_id:
        check_signed_in_account(Identity(record.account, record.tenant_id, record.object_id), sign_in)
    if record.tenant_id and record.tenant_id.lower() != connector.spec.azure.tenant_id.lower():
        raise WrongTenant(
            f"The stored sign-in belongs to tenant {record.tenant_id}, the connector to "
            f"{connector.spec.azure.tenant_id}. Sign in again with an account of the connector's tenant."
        )
    if record.client_id and sign_in.client and record.client_id.lower() != sign_in.client.id.lower():
        raise SignInRequired(
            "spec.signIn.client names another app registration than the one of the stored sign-in. Sign in again."
        )


def nobody_signed_in(sign_in: SignIn) -> str:
    """Return the message for a connector that nobody has signed in to."""
    account = f" as {sign_in.account}" if sign_in.account else ""
    return f"Nobody has signed in yet: open the connector's page and sign in{account}."
