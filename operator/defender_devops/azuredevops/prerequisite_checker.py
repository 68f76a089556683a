"""Checks and counts of every connector's organizations, kept for a check interval: the facade for reconciles and pages.

Each account has one pace, whichever connector asks as it. Those who ask for the same at once share one answer.
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

__all__ = ["AccessTokens", "PrerequisiteChecker"]

Value = TypeVar("Value")
_Ask = Callable[[AzureDevOpsClient], Awaitable[Value]]


class AccessTokens(Protocol):
    """Where tokens of a connector's sign-in come from."""

    async def access_token(
        self, connector: AzureDevOpsConnector, *, rejected: SecretStr | None = None, claims: str | None = None
    ) -> SecretStr:
        """A token for Azure DevOps; a new one where `rejected` was refused.

        Raises:
            OperatorError: there is none; the message says what to do.
        """
        ...


@dataclass
class PrerequisiteChecker:
    """Asks Azure DevOps as the connector's own sign-in.

    Args:
        tokens: sign-ins.
        http: shared connections.
        endpoints: hosts of Azure DevOps.
        check_interval: seconds for which an answer is good.
        monotonic: seconds that never jump.
        observe: told of every request.
    """

    tokens: AccessTokens
    http: httpx.AsyncClient
    endpoints: Endpoints
    check_interval: float
    monotonic: Callable[[], float] = time.monotonic
    observe: RequestObserver = ignore_request
    _paces: dict[Hashable, RateLimiter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the memories."""
        self._checks = ResponseCache[tuple[Prerequisite, ...]](self.check_interval, self.monotonic, _retry_checks)
        self._counts = ResponseCache[Counts](self.check_interval, self.monotonic, lambda _: None)
        self._organizations = ResponseCache[tuple[str, ...]](self.check_interval, self.monotonic, lambda _: None)

    async def check(self, connector: AzureDevOpsConnector, organization: str) -> tuple[Prerequisite, ...]:
        """All prerequisites of one organization. What cannot be told is Unknown, with the reason."""
        key = (connector.metadata.uid, _basis(connector), organization.lower())
        return await self._checks.get(key, lambda: self._check(connector, organization))

    async def expected_counts(self, connector: AzureDevOpsConnector, organization: str) -> Counts | None:
        """How much Defender should find in an organization; None without a sign-in, or where it cannot be told now."""
        if connector.spec.sign_in_method == SignInMethod.NONE:
            return None
        key = (connector.metadata.uid, _basis(connector), organization.lower())
        try:
            return await self._counts.get(key, lambda: self._count(connector, organization))
        except OperatorError:
            return None

    async def organizations(self, connector: AzureDevOpsConnector) -> tuple[str, ...]:
        """Names of the organizations that the signed-in account sees; always empty for an app.

        Raises:
            OperatorError: they cannot be listed.
        """
        key = (connector.metadata.uid, _basis(connector))
        return await self._organizations.get(key, lambda: self._list(connector))

    def forget(self, uid: str) -> None:
        """Drop what is kept of a connector: it is gone, or its sign-in has changed."""
        for memory in (self._checks, self._counts, self._organizations):
            memory.forget(uid)

    async def _check(self, connector: AzureDevOpsConnector, organization: str) -> tuple[Prerequisite, ...]:
        tenant = await self._tenant(connector, organization)
        try:
            rest = await self._as_account(connector, lambda client: _checks(client, connector, organization))
        except OperatorError as error:
            rest = tuple(_not_made(check, error) for check in _SIGNED_IN_CHECKS)
        return (tenant, *rest)

    async def _tenant(self, connector: AzureDevOpsConnector, organization: str) -> Prerequisite:
        nobody = self._client(None, self._pace(None))
        try:
            return await prerequisites.tenant_matches(nobody, organization, connector.spec.azure.tenant_id)
        except OperatorError as error:
            return _not_made(PrerequisiteCheck.TENANT_MATCHES, error)

    async def _count(self, connector: AzureDevOpsConnector, organization: str) -> Counts:
        return await self._as_account(connector, lambda client: counts.expected_counts(client, organization))

    async def _list(self, connector: AzureDevOpsConnector) -> tuple[str, ...]:
        async def ask(client: AzureDevOpsClient) -> tuple[str, ...]:
            return await organizations.organizations(client, (await organizations.profile(client)).id)

        return await self._as_account(connector, ask)

    async def _as_account(self, connector: AzureDevOpsConnector, ask: _Ask[Value]) -> Value:
        """Ask with the connector's token; once more with a new one where Azure DevOps does not take it.

        Raises:
            OperatorError: there is no token, or the call fails.
        """
        token = await self.tokens.access_token(connector)
        client = self._client(token, self._pace(connector))
        try:
            return await ask(client)
        except SignInExpired as error:
            claims = error.claims if isinstance(error, ClaimsRequired) else None
        token = await self.tokens.access_token(connector, rejected=token, claims=claims)
        return await ask(self._client(token, client.pace))

    def _client(self, token: SecretStr | None, pace: RateLimiter) -> AzureDevOpsClient:
        return AzureDevOpsClient(self.http, self.endpoints, token, pace, self.observe)

    def _pace(self, connector: AzureDevOpsConnector | None) -> RateLimiter:
        """The pace of the account that a connector signs in as; nobody has one too."""
        sign_in = connector.spec.sign_in if connector else None
        if connector is None or sign_in is None:
            identity: Hashable = None
        else:
            who = sign_in.account or (sign_in.client.id if sign_in.client else connector.metadata.uid)
            identity = (connector.spec.azure.tenant_id.lower(), who.lower())
        return self._paces.setdefault(identity, RateLimiter(monotonic=self.monotonic))


_SIGNED_IN_CHECKS: Final = (
    PrerequisiteCheck.PROJECT_COLLECTION_ADMINISTRATOR,
    PrerequisiteCheck.ACCESS_LEVEL,
    PrerequisiteCheck.THIRD_PARTY_OAUTH_ENABLED,
    PrerequisiteCheck.CONTAINER_MAPPING_EXTENSION,
)
_ACCOUNT_CHECKS: Final = _SIGNED_IN_CHECKS[:2]


_OF_AZURE_DEVOPS: Final = frozenset(
    {
        Reason.CHECK_UNAVAILABLE,
        Reason.AZURE_DEVOPS_UNAVAILABLE,
        Reason.AZURE_DEVOPS_DENIED,
        Reason.ORGANIZATION_NOT_FOUND,
    }
)
"""Reasons of checks that Azure DevOps itself left open; any other says that there was no token to ask with."""


async def _checks(
    client: AzureDevOpsClient, connector: AzureDevOpsConnector, organization: str
) -> tuple[Prerequisite, ...]:
    """The checks that need a sign-in, in their order.

    Raises:
        SignInExpired: the token is not accepted; with another one all of it is asked again.
    """
    of_account = await _account_checks(client, connector, organization)
    of_organization = (
        await _made(
            PrerequisiteCheck.THIRD_PARTY_OAUTH_ENABLED,
            prerequisites.third_party_oauth_enabled(client, organization),
        ),
        await _made(
            PrerequisiteCheck.CONTAINER_MAPPING_EXTENSION,
            prerequisites.container_mapping_extension(client, organization),
        ),
    )
    return (*of_account, *of_organization)


async def _account_checks(
    client: AzureDevOpsClient, connector: AzureDevOpsConnector, organization: str
) -> tuple[Prerequisite, ...]:
    name = connector.spec.authorizing_account
    if name is None:
        message = "Name the account that authorizes Defender in spec.authorization.account, so that it can be checked."
        return tuple(prerequisites.unknown(check, Reason.NOT_CHECKED, message) for check in _ACCOUNT_CHECKS)
    try:
        account, member = await _member(client, connector, organization, name)
    except SignInExpired:
        raise
    except AzureDevOpsError as error:
        return tuple(_not_made(check, error) for check in _ACCOUNT_CHECKS)
    administrator, level = _ACCOUNT_CHECKS
    return (
        await _made(
            administrator, prerequisites.project_collection_administrator(client, organization, account, member)
        ),
        await _made(level, prerequisites.access_level(client, organization, account, member)),
    )


async def _member(
    client: AzureDevOpsClient, connector: AzureDevOpsConnector, organization: str, name: str
) -> tuple[Account, Member | None]:
    """The authorizing account in an organization.

    Where it is the one that is signed in, being refused entry says that it is no member; another account that is
    refused entry says nothing about it.
    """
    sign_in = connector.spec.sign_in
    if sign_in is None or (sign_in.account or "").lower() != name.lower():
        account = Account(name, None)
        return account, await find_member(client, organization, account)
    account = Account(name, (await organizations.profile(client)).id)
    try:
        return account, await find_member(client, organization, account)
    except AzureDevOpsDenied:
        return account, None


async def _made(check: PrerequisiteCheck, made: Awaitable[Prerequisite]) -> Prerequisite:
    try:
        return await made
    except SignInExpired:
        raise
    except AzureDevOpsError as error:
        return _not_made(check, error)


def _not_made(check: PrerequisiteCheck, error: OperatorError) -> Prerequisite:
    return prerequisites.unknown(check, str(error.reason), error.message)


def _retry_checks(found: tuple[Prerequisite, ...]) -> float | None:
    """Soon where there was no token, later where Azure DevOps did not say, and None where all is told."""
    reasons = {each.reason for each in found if each.status == "Unknown"} - {Reason.NOT_CHECKED}
    if not reasons:
        return None
    return RETRY_SECONDS if reasons <= _OF_AZURE_DEVOPS else SIGN_IN_SECONDS


def _basis(connector: AzureDevOpsConnector) -> Hashable:
    """What of the manifest an answer rests on."""
    sign_in = connector.spec.sign_in
    client = sign_in.client.id if sign_in and sign_in.client else None
    return connector.spec.azure.tenant_id, connector.spec.authorizing_account, sign_in and sign_in.account, client
