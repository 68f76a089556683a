"""What the operator's own sign-in shows of Azure DevOps, as part of a snapshot.

While Azure DevOps or the token service is unavailable, the latest results are read from the statuses: a result does not
disappear because a service does not answer, and a restarted process has the same results as the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from defender_devops.api.azure_types import Counts
from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.organization import DevOpsOrganization, Prerequisite, PrerequisiteCheck
from defender_devops.api.reasons import Reason
from defender_devops.azuredevops.azure_devops_reader import AzureDevOpsReader
from defender_devops.reconcile.facts.snapshot import SignIn
from defender_devops.signin.sessions.sign_ins import SignIns
from defender_devops.signin.sessions.state import SignInState
from defender_devops.supervision import OnFailure, contain_exceptions

__all__ = ["SignInFindings", "SignInObserver"]

Checks = Mapping[str, tuple[Prerequisite, ...]]

_TRANSIENT_REASONS: Final = frozenset(
    {Reason.AZURE_DEVOPS_UNAVAILABLE, Reason.TOKEN_SERVICE_UNAVAILABLE, Reason.KUBERNETES_UNAVAILABLE}
)
"""Reasons of checks that could not be made this time and are repeated without anybody's action."""


@dataclass(frozen=True, slots=True)
class SignInFindings:
    """What the operator's own sign-in contributes to a snapshot; by organization in lower case.

    Attributes:
        sign_in: state of the sign-in; None with the method None.
        prerequisites: results of the checks.
        expected: counts of projects and repositories in Azure DevOps.
    """

    sign_in: SignIn | None = None
    prerequisites: Checks = field(default_factory=dict)
    expected: Mapping[str, Counts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignInObserver:
    """Reads from Azure DevOps as the account that is signed in.

    Attributes:
        sign_ins: the sign-ins of all connectors.
        reader: reads from Azure DevOps.
        on_failure: counts an unexpected exception, which concerns one organization only.
    """

    sign_ins: SignIns
    reader: AzureDevOpsReader
    on_failure: OnFailure = lambda _: None

    def forget(self, uid: str) -> None:
        """Drop everything about a deleted connector."""
        self.sign_ins.forget(uid)
        self.reader.invalidate(uid)

    async def observe(
        self,
        connector: AzureDevOpsConnector,
        organizations: Mapping[str, str],
        resources: Iterable[DevOpsOrganization] = (),
        *,
        refresh: bool = False,
    ) -> SignInFindings:
        """Return the state of the sign-in and what it shows. What cannot be read is unknown.

        Args:
            connector: the connector.
            organizations: names of the organizations to check, by name in lower case.
            resources: its DevOpsOrganizations, whose statuses hold the latest results.
            refresh: ignore cached results, because a reconcile was requested.
        """
        if refresh:
            self.sign_ins.request_check(connector)
            self.reader.invalidate(connector.metadata.uid)
        state = await self.sign_ins.state(connector)
        reported = _reported_findings(resources, organizations)
        checks, expected = reported.prerequisites, reported.expected
        if state.signed_in:
            names = tuple(organizations.values())
            new_checks = await asyncio.gather(*(self._check(connector, name) for name in names))
            counts = await asyncio.gather(*(self._expected_counts(connector, name) for name in names))
            checks = {
                key: _keep_unmet(reported.prerequisites.get(key, ()), results)
                for key, results in zip(organizations, new_checks, strict=True)
            }
            new_counts = zip(organizations, counts, strict=True)
            expected = {**reported.expected, **{key: count for key, count in new_counts if count is not None}}
        elif state.signed_in is not None:
            checks, expected = _unproven(reported.prerequisites, state), {}
        sign_in = SignIn(
            signed_in=state.signed_in,
            reason=state.reason,
            message=state.message,
            account=state.account,
            tenant_id=state.tenant_id,
            url=state.url,
            expires_at=state.refresh_token_expires_at,
            is_lost=state.is_lost,
            authorizing_account_lost=_authorizing_account_problem(connector, checks),
        )
        return SignInFindings(sign_in, checks, expected)

    async def _check(self, connector: AzureDevOpsConnector, organization: str) -> tuple[Prerequisite, ...]:
        """Return the prerequisites of one organization; all are Unknown after an unexpected exception."""
        with contain_exceptions("prerequisites", self.on_failure, organization=organization):
            return await self.reader.check(connector, organization)
        message = "An unexpected error occurred in the operator. Its cause is in the operator's log; it is retried."
        return tuple(
            Prerequisite(check=check, status="Unknown", reason=Reason.CHECK_UNAVAILABLE, message=message)
            for check in PrerequisiteCheck
        )

    async def _expected_counts(self, connector: AzureDevOpsConnector, organization: str) -> Counts | None:
        """Return the counts of one organization, or None if they cannot be read."""
        with contain_exceptions("prerequisites", self.on_failure, organization=organization):
            return await self.reader.expected_counts(connector, organization)
        return None


def _reported_findings(resources: Iterable[DevOpsOrganization], organizations: Mapping[str, str]) -> SignInFindings:
    """Return the latest results from the statuses of the organizations."""
    checks: dict[str, tuple[Prerequisite, ...]] = {}
    expected: dict[str, Counts] = {}
    for resource in resources:
        key, status = resource.spec.organization.lower(), resource.status
        if key not in organizations:
            continue
        if status.prerequisites:
            checks[key] = status.prerequisites
        projects, repositories = status.projects, status.repositories
        if projects and repositories and projects.expected is not None and repositories.expected is not None:
            expected[key] = Counts(projects.expected, repositories.expected)
    return SignInFindings(None, checks, expected)


def _keep_unmet(previous: tuple[Prerequisite, ...], results: tuple[Prerequisite, ...]) -> tuple[Prerequisite, ...]:
    """Return the new results; an unmet prerequisite stays unmet while its check gets no answer."""
    unmet = {check.check: check for check in previous if check.status == "False"}
    return tuple(
        unmet.get(check.check, check) if check.status == "Unknown" and check.reason in _TRANSIENT_REASONS else check
        for check in results
    )


def _unproven(previous: Checks, state: SignInState) -> Checks:
    """Return the results without a sign-in: nothing can be shown to be met any more."""
    message = "The operator's own sign-in has stopped, and this check with it: see the connector."
    return {
        key: tuple(
            Prerequisite(check=check.check, status="Unknown", reason=str(state.reason), message=message)
            if check.status == "True"
            else check
            for check in checks
        )
        for key, checks in previous.items()
    }


def _authorizing_account_problem(connector: AzureDevOpsConnector, checks: Checks) -> str | None:
    """Return why the authorizing account is of no more use to Defender: it is an administrator of no organization."""
    administrator_checks = [
        check
        for organization_checks in checks.values()
        for check in organization_checks
        if check.check == PrerequisiteCheck.PROJECT_COLLECTION_ADMINISTRATOR
    ]
    if not administrator_checks or any(check.status != "False" for check in administrator_checks):
        return None
    account = connector.spec.authorizing_account
    return f"the account {account} is a Project Collection Administrator in none of the organizations any more"
