"""Defender's own access to Azure DevOps: one-time codes of the legacy OAuth service and authorizations.

A code is issued by the portal's dialog only, is valid for minutes and once, and becomes invalid with the account's
access.
"""

from __future__ import annotations

import base64
import json
import secrets
import uuid

from sandbox.cloud.defender.model import Authorization, LegacyCode
from sandbox.cloud.transport.message import sha256
from sandbox.cloud.world.devops import Organization
from sandbox.cloud.world.directory import Account
from sandbox.cloud.world.world import World

__all__ = [
    "ExchangeFailed",
    "accessible_organizations",
    "authorization_problem",
    "code_lifetime",
    "exchange",
    "is_accessible",
    "issue_code",
]

_CODE_LIFETIMES = {"oneMinute": 60.0, "tenMinutes": 600.0, "oneHour": 3600.0}
"""Seconds (wall time) that a code can be redeemed, by variant; the service says "minutes" and no number."""

_TOKEN_ENDPOINT = "https://app.vssps.visualstudio.com/oauth2/token"


class ExchangeFailed(Exception):
    """A code or an authorization is not valid.

    Args:
        error: OAuth error of the legacy token endpoint, such as `unauthorized_client`.
        description: its description.

    Attributes:
        summary: message of the long-running operation, as recorded.
    """

    code = "TokenExchangeFailed"
    summary = "AzureDevOps OAuth token exchange failed"

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{self.summary}: {error}: {description}")
        self.error = error
        self.description = description

    def status_message(self, form: str = "quoted") -> str:
        """Return provisioningStatusMessage, which quotes the failed request with its id.

        Args:
            form: value of the variant `tokenExchangeMessage`.
        """
        if form != "quoted":
            return self.code if form == "plain" else ""
        request = f"POST {_TOKEN_ENDPOINT} x-vss-e2eid: {uuid.uuid4()}"
        return f"AzureDevOps token exchange failed: InvalidOAuthCode, {request} => {self.error}: {self.description}"


def code_lifetime(world: World) -> float:
    """Return the seconds (wall time) that a code can be redeemed."""
    return _CODE_LIFETIMES[world.variants["codeLifetime"]]


def issue_code(world: World, account: Account) -> str:
    """Issue a code for an account, as the portal's dialog does: a JWT of three parts that only Defender reads.

    Raises:
        ExchangeFailed: the account is blocked, deleted or in no organization.
    """
    if not account.alive or not accessible_organizations(world, account.tenant_id, account.id):
        raise ExchangeFailed("access_denied", f"{account.user_principal_name} cannot authorize.")
    issued = world.clock.wall()
    claims = {
        "aui": secrets.token_hex(16),
        "nameid": account.id,
        "scp": "vso.code vso.project vso.extension_manage vso.build",
        "iss": "app.vstoken.visualstudio.com",
        "aud": "app.vstoken.visualstudio.com",
        "nbf": int(issued),
        "exp": int(issued + code_lifetime(world)),
    }
    parts = ({"typ": "JWT", "alg": "RS256", "kid": "sandbox"}, claims)
    code = ".".join((*(_segment(json.dumps(part).encode()) for part in parts), _segment(secrets.token_bytes(256))))
    world.codes[sha256(code)] = LegacyCode(account.id, issued)
    return code


def _segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def exchange(world: World, code: str) -> Authorization:
    """Redeem a code, once.

    Raises:
        ExchangeFailed: of another app, unknown, already redeemed, expired, or its account has no access any more.
    """
    issued = world.codes.get(sha256(code))
    if issued is None:
        raise ExchangeFailed("unauthorized_client", "Failed to deserialize the JsonWebToken object.")
    # Every attempt uses the code up, failed ones included.
    issued.redeemed += 1
    if issued.redeemed > 1:
        raise ExchangeFailed("invalid_grant", "The authorization code was already redeemed.")
    if world.clock.wall() > issued.issued_at + code_lifetime(world):
        raise ExchangeFailed("invalid_grant", "The authorization code has expired.")
    authorization = Authorization(issued.account_id, world.clock.wall())
    if world.variants.is_chosen("codeAfterLoss", "valid"):
        return authorization
    problem = authorization_problem(world, authorization)
    if problem is not None:
        raise problem
    account = world.directory.accounts[issued.account_id]
    if not accessible_organizations(world, account.tenant_id, account.id):
        raise ExchangeFailed("access_denied", "The account is in no organization with third-party access.")
    return authorization


def authorization_problem(world: World, authorization: Authorization | None) -> ExchangeFailed | None:
    """Return why an authorization does not work; None if it works."""
    if authorization is None:
        return ExchangeFailed("invalid_grant", "There is no authorization.")
    account = world.directory.account(authorization.account_id)
    if account is None or account.deleted:
        return ExchangeFailed("invalid_grant", "The account no longer exists.")
    if account.blocked:
        return ExchangeFailed("unauthorized_client", "The account is blocked.")
    # An authorization granted after the revocation works again.
    if world.revoked.get(account.id, 0.0) >= authorization.granted_at:
        return ExchangeFailed("invalid_grant", "The authorization was revoked.")
    return None


def accessible_organizations(world: World, tenant_id: str, account_id: str) -> list[Organization]:
    """Return the organizations of the tenant that an account can access through OAuth."""
    # Membership first: of thousands of organizations an account is a member of a few.
    member_of = (organization for organization in world.organizations.values() if account_id in organization.members)
    return [organization for organization in member_of if is_accessible(organization, tenant_id, account_id)]


def is_accessible(organization: Organization, tenant_id: str, account_id: str) -> bool:
    """Whether an account can access an organization of the tenant through OAuth."""
    if organization.tenant_id != tenant_id or not organization.third_party_oauth:
        return False
    member = organization.members.get(account_id)
    return member is not None and member.access_status == "active"
