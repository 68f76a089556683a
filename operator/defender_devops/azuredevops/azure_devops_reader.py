"""The prerequisites, counts and organizations of connectors, cached for a check interval. Reconciles and pages use it.

Each account has one rate limiter, which all connectors with that account share. Concurrent callers share a request.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import httpx
from pydantic import SecretStr

from defender_devops.api.azure_types import Counts
from defender_devops.api.connector import AzureDevOpsConnector, SignInMethod
from defender_devops.api.organization import Prerequisite, PrerequisiteCheck
from defender_devops.api.reasons import Reason
from defender_devops.azuredevops import counts, organizations, prerequisites
from defender_devops.azuredevops.client import AzureDevOpsClient, Endpoints, RequestObserver, ignore_request
from defender_devops.azuredevops.errors import ClaimsRequired
from defender_devops.azuredevops.members import Account, Member, find_member
from defender_devops.azuredevops.rate_limiter import RateLimiter
from defender_devops.azuredevops.response_cache import RETRY_SECONDS, SIGN_IN_SECONDS, ResponseCache
from defender_devops.errors import AzureDevOpsDenied, AzureDevOpsError, OperatorError, SignInExpired

__all__ = ["AccessTokens", "AzureDevOpsReader"]

Value = TypeVar("Value")
_Request = Callable[[AzureDevOpsClient], Awaitable[Value]]


class AccessTokens(Protocol):
    """Provides the tokens of a connector's sign-in."""

    async def access_token(
        self, connector: AzureDevOpsConnector, *, rejected: SecretStr | None = None, claims: str | None = None
    ) -> SecretStr:
        """Return a token for Azure DevOps; a new one where `rejected` was rejected.

        Raises:
            OperatorError: there is none; the message says what to do.
        """
        ...


@dataclass
class AzureDevOpsReader:
    """Sends requests to Azure DevOps with the connector's own sign-in.

    Args:
        tokens: sign-ins.
        http: shared connections.
        endpoints: base URLs of Azure DevOps.
        check_interval: seconds for which a response is valid.
        monotonic: seconds that never jump.
        observe: called after every request.
    """

    tokens: AccessTokens
    http: httpx.AsyncClient
    endpoints: Endpoints
    check_interval: float
    monotonic: Callable[[], float] = time.monotonic
    observe: RequestObserver = ignore_request
    _rate_limiters: dict[Hashable, RateLimiter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Create the caches."""
        self._checks = ResponseCache[tuple[Prerequisite, ...]](self.check_interval, self.monotonic, _retry_seconds)
        self._counts = ResponseCache[Counts](self.check_interval, self.monotonic, lambda _: None)
        self._organizations = ResponseCache[tuple[str, ...]](self.check_interval, self.monotonic, lambda _: None)

    async def check(self, connector: AzureDevOpsConnector, organization: str) -> tuple[Prerequisite, ...]:
        """Return all prerequisites of one organization. One that cannot be determined is Unknown, with the reason."""

        async def request() -> tuple[Prerequisite, ...]:
            anonymous = self._client(None, None)
            try:
                tenant = await prerequisites.check_tenant(anonymous, organization, connector.spec.azure.tenant_id)
            except OperatorError as error:
                tenant = _unknown(PrerequisiteCheck.TENANT_MATCHES, error)
            try:
                checks = await self.with_sign_in(
                    connector, lambda client: _signed_in_checks(client, connector, organization)
                )
            except OperatorError as error:
                checks = tuple(_unknown(check, error) for check in _SIGNED_IN_CHECKS)
            return (tenant, *checks)

        key = (connector.metadata.uid, _fingerprint(connector), organization.lower())
        return await self._checks.get(key, request)

    async def expected_counts(self, connector: AzureDevOpsConnector, organization: str) -> Counts | None:
        """Return the counts that Defender should reach; None without a sign-in, or where they cannot be read."""
        if connector.spec.sign_in_method == SignInMethod.NONE:
            return None

        async def request() -> Counts:
            return await self.with_sign_in(connector, lambda client: counts.expected_counts(client, organization))

        key = (connector.metadata.uid, _fingerprint(connector), organization.lower())
        try:
            return await self._counts.get(key, request)
        except OperatorError:
            return None

    async def organizations(self, connector: AzureDevOpsConnector) -> tuple[str, ...]:
        """Return the names of the signed-in account's organizations; always empty for an app.

        Raises:
            OperatorError: they cannot be listed.
        """

        async def list_organizations(client: AzureDevOpsClient) -> tuple[str, ...]:
            return await organizations.list_organizations(client, (await organizations.read_profile(client)).id)

        key = (connector.metadata.uid, _fingerprint(connector))
        return await self._organizations.get(key, lambda: self.with_sign_in(connector, list_organizations))

    def invalidate(self, uid: str) -> None:
        """Drop the cached responses of a connector that was deleted, or whose sign-in has changed."""
        for cache in (self._checks, self._counts, self._organizations):
            cache.invalidate(uid)

    async def with_sign_in(self, connector: AzureDevOpsConnector, request: _Request[Value]) -> Value:
        """Call `request` with the connector's token, and again with a new one where Azure DevOps rejects it.

        Raises:
            OperatorError: there is no token, or the request fails.
        """
        token = await self.tokens.access_token(connector)
        try:
            return await request(self._client(token, connector))
        except SignInExpired as error:
            claims = error.claims if isinstance(error, ClaimsRequired) else None
        token = await self.tokens.access_token(connector, rejected=token, claims=claims)
        return await request(self._client(token, connector))

    def _client(self, token: SecretStr | None, connector: AzureDevOpsConnector | None) -> AzureDevOpsClient:
        """A client with the rate limiter of the connector's account; anonymous requests share one, too."""
        sign_in = connector.spec.sign_in if connector else None
        if connector is None or sign_in is None:
            account: Hashable = None
        else:
            name = sign_in.account or (sign_in.client.id if sign_in.client else connector.metadata.uid)
            account = (connector.spec.azure.tenant_id.lower(), name.lower())
        rate_limiter = self._rate_limiters.setdefault(account, RateLimiter(monotonic=self.monotonic))
        return AzureDevOpsClient(self.http, self.endpoints, token, rate_limiter, self.observe)


_SIGNED_IN_CHECKS: Final = (
    PrerequisiteCheck.PROJECT_COLLECTION_ADMINISTRATOR,
    PrerequisiteCheck.ACCESS_LEVEL,
    PrerequisiteCheck.THIRD_PARTY_OAUTH_ENABLED,
    PrerequisiteCheck.CONTAINER_MAPPING_EXTENSION,
)
_ACCOUNT_CHECKS: Final = _SIGNED_IN_CHECKS[:2]


_AZURE_DEVOPS_REASONS: Final = frozenset(
    {
        Reason.CHECK_UNAVAILABLE,
        Reason.AZURE_DEVOPS_UNAVAILABLE,
        Reason.AZURE_DEVOPS_DENIED,
        Reason.ORGANIZATION_NOT_FOUND,
    }
)
"""Reasons of Unknown checks for which Azure DevOps is the cause; with any other reason there was no token."""


async def _signed_in_checks(
    client: AzureDevOpsClient, connector: AzureDevOpsConnector, organization: str
) -> tuple[Prerequisite, ...]:
    """The checks that need a sign-in, in the order of `_SIGNED_IN_CHECKS`.

    Raises:
        SignInExpired: the token is rejected; all checks are repeated with another one.
    """
    _, _, oauth, extension = _SIGNED_IN_CHECKS
    return (
        *await _account_checks(client, connector, organization),
        await _run(oauth, prerequisites.check_third_party_oauth(client, organization)),
        await _run(extension, prerequisites.check_container_mapping_extension(client, organization)),
    )


async def _account_checks(
    client: AzureDevOpsClient, connector: AzureDevOpsConnector, organization: str
) -> tuple[Prerequisite, ...]:
    name = connector.spec.authorizing_account
    if name is None:
        message = "Name the account that authorizes Defender in spec.authorization.account, so that it can be checked."
        return tuple(
            prerequisites.unknown_prerequisite(check, Reason.NOT_CHECKED, message) for check in _ACCOUNT_CHECKS
        )
    try:
        account, member = await _member(client, connector, organization, name)
    except SignInExpired:
        raise
    except AzureDevOpsError as error:
        return tuple(_unknown(check, error) for check in _ACCOUNT_CHECKS)
    administrator, level = _ACCOUNT_CHECKS
    return (
        await _run(
            administrator, prerequisites.check_project_collection_administrator(client, organization, account, member)
        ),
        await _run(level, prerequisites.check_access_level(client, organization, account, member)),
    )


async def _member(
    client: AzureDevOpsClient, connector: AzureDevOpsConnector, organization: str, name: str
) -> tuple[Account, Member | None]:
    """The authorizing account in an organization.

    Where it is the signed-in account, a denial of access means that it is not a member. A denial of another signed-in
    account says nothing about it.
    """
    sign_in = connector.spec.sign_in
    if sign_in is None or (sign_in.account or "").lower() != name.lower():
        account = Account(name, None)
        return account, await find_member(client, organization, account)
    account = Account(name, (await organizations.read_profile(client)).id)
    try:
        return account, await find_member(client, organization, account)
    except AzureDevOpsDenied:
        return account, None


async def _run(check: PrerequisiteCheck, result: Awaitable[Prerequisite]) -> Prerequisite:
    try:
        return await result
    except SignInExpired:  # all checks are repeated with another token
        raise
    except AzureDevOpsError as error:
        return _unknown(check, error)


def _unknown(check: PrerequisiteCheck, error: OperatorError) -> Prerequisite:
    return prerequisites.unknown_prerequisite(check, str(error.reason), error.message)


def _retry_seconds(checks: tuple[Prerequisite, ...]) -> float | None:
    """Seconds until incomplete checks are repeated: few without a token, more where Azure DevOps failed."""
    reasons = {check.reason for check in checks if check.status == "Unknown"} - {Reason.NOT_CHECKED}
    if not reasons:
        return None
    return RETRY_SECONDS if reasons <= _AZURE_DEVOPS_REASONS else SIGN_IN_SECONDS


def _fingerprint(connector: AzureDevOpsConnector) -> Hashable:
    """The values of the manifest that a response depends on."""
    sign_in = connector.spec.sign_in
    client = sign_in.client.id if sign_in and sign_in.client else None
    return connector.spec.azure.tenant_id, connector.spec.authorizing_account, sign_in and sign_in.account, client
