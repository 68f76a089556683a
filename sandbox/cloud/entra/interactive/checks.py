"""Checks of accounts: at a sign-in, and whenever a token is issued for it later."""

from __future__ import annotations

import json

from sandbox.cloud.entra.errors import EntraError
from sandbox.cloud.entra.sessions import SignIn
from sandbox.cloud.world.directory import Account, Application, ConditionalAccess, Tenant
from sandbox.cloud.world.world import World

__all__ = [
    "authenticate_account",
    "check_account",
    "check_consent",
    "check_grant_is_valid",
    "check_policies",
    "has_consent",
]


def authenticate_account(world: World, tenant: Tenant | None, name: str, password: str) -> Account:
    """Return the account with a name and password.

    Args:
        world: has the directory.
        tenant: the tenant of the account; None for any (`common`).
        name: user principal name.
        password: as entered.

    Raises:
        EntraError: no such account, account of another tenant, or it may not sign in.
    """
    accounts = [
        candidate
        for candidate in world.directory.accounts.values()
        if candidate.user_principal_name.lower() == name.strip().lower() and not candidate.deleted
    ]
    if not accounts:
        message = f"The user account '{name}' does not exist in the directory."
        raise EntraError("invalid_grant", 50034, message)
    account = next((candidate for candidate in accounts if tenant is None or candidate.tenant_id == tenant.id), None)
    if account is None:
        place = "" if tenant is None else tenant.name
        message = (
            f"User account '{name}' from identity provider 'https://sts.windows.net/{accounts[0].tenant_id}/' does "
            f"not exist in tenant '{place}' and cannot access the application in that tenant. The account needs to be "
            "added as an external user in the tenant first."
        )
        raise EntraError("invalid_grant", 50020, message)
    if account.password != password:
        raise EntraError("invalid_grant", 50126, "Error validating credentials due to invalid username or password.")
    check_account(account)
    if account.password_expired:
        raise EntraError("invalid_grant", 50055, "The password is expired.", suberror="user_password_expired")
    return account


def check_account(account: Account | None) -> Account:
    """Check that the account exists and may sign in.

    Raises:
        EntraError: it is deleted, disabled or locked.
    """
    if account is None or account.deleted:
        raise EntraError("invalid_grant", 50034, "The user account does not exist in the directory.")
    if account.blocked:
        raise EntraError("invalid_grant", 50057, "The user account is disabled.")
    if account.locked:
        message = "The account is locked, you've tried to sign in too many times with an incorrect user ID or password."
        raise EntraError("invalid_grant", 50053, message)
    return account


def check_policies(account: Account, *, mfa: bool, device_code: bool = False) -> None:
    """Check that Conditional Access allows the sign-in.

    Raises:
        EntraError: access is blocked.
    """
    demand = account.conditional_access
    if demand is ConditionalAccess.BLOCK or (device_code and demand is ConditionalAccess.BLOCK_DEVICE_CODE):
        message = (
            "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance."
        )
        raise EntraError("invalid_grant", 53003, message, suberror="message_only", claims=_challenge("capolids"))
    if demand is ConditionalAccess.REQUIRE_COMPLIANT_DEVICE:
        message = (
            "Device is not in required device state: compliant. Conditional Access policy requires a compliant device."
        )
        raise EntraError("invalid_grant", 53000, message, suberror="message_only", claims=_challenge("polids"))
    if demand is ConditionalAccess.REQUIRE_MFA and not mfa:
        message = (
            "Due to a configuration change made by your administrator, or because you moved to a new location, you "
            "must use multi-factor authentication to access the resource."
        )
        raise EntraError("interaction_required", 50076, message, suberror="basic_action", claims=_challenge("polids"))


def _challenge(kind: str) -> str:
    values = {"essential": True, "values": ["6f2b5a1e-8f0e-4a40-9a0c-2a4f8f9d1b11"]}
    return json.dumps({"access_token": {kind: values}}, separators=(",", ":"))


def check_grant_is_valid(
    world: World, account: Account, sign_in: SignIn, *, issued_at: float, confidential: bool
) -> None:
    """Check that a grant of an earlier sign-in is still valid.

    Args:
        world: for the time.
        account: the account that signed in.
        sign_in: the sign-in.
        issued_at: wall time at which the token was issued.
        confidential: whether it was issued to an authenticated client.

    Raises:
        EntraError: revoked, password changed, or sign-in too old.
    """
    if account.sessions_revoked_at and issued_at <= account.sessions_revoked_at:
        message = (
            "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have "
            "changed or reset their password. The grant was issued before the TokensValidFrom date."
        )
        raise EntraError("invalid_grant", 50173, message, suberror="bad_token")
    # Tokens of confidential clients survive a password change.
    if not confidential and account.password_changed_at and issued_at <= account.password_changed_at:
        message = "The provided grant has expired due to it being revoked: the password was changed or reset."
        raise EntraError("invalid_grant", 50173, message, suberror="bad_token")
    frequency = account.sign_in_frequency
    if frequency is not None and world.clock.wall() > sign_in.at + frequency:
        message = (
            "The refresh token has expired or is invalid due to sign-in frequency checks by conditional access. The "
            f"maximum allowed lifetime for this request is {frequency:.0f}."
        )
        raise EntraError("invalid_grant", 70043, message, suberror="bad_token")


def has_consent(application: Application, account: Account) -> bool:
    """Whether the account, or an administrator for all, has consented to the application."""
    return "*" in application.consents or account.id in application.consents


def check_consent(application: Application, account: Account) -> None:
    """Check that consent was given and has not been withdrawn.

    Raises:
        EntraError: no consent.
    """
    if not has_consent(application, account):
        message = (
            "The user or administrator has not consented to use the application with ID "
            f"'{application.client_id}' named '{application.display_name}'. Send an interactive authorization request "
            "for this user and resource."
        )
        raise EntraError("invalid_grant", 65001, message, suberror="consent_required")
