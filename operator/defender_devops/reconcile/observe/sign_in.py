"""What the operator's own sign-in shows of Azure DevOps, as findings for a snapshot.

Where nobody can look, the statuses say what was found last: no finding goes away because a service is silent, and a
process that has just begun knows as much as the one before it.
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
from defender_devops.azuredevops.prerequisite_checker import PrerequisiteChecker
from defender_devops.reconcile.facts.snapshot import SignIn
from defender_devops.signin.sessions.sign_ins import SignIns
from defender_devops.signin.sessions.state import SignInState

__all__ = ["SignInFindings", "SignInObserver"]

Checks = Mapping[str, tuple[Prerequisite, ...]]

_PASSING: Final = frozenset(
    {Reason.AZURE_DEVOPS_UNAVAILABLE, Reason.TOKEN_SERVICE_UNAVAILABLE, Reason.KUBERNETES_UNAVAILABLE}
)
"""Reasons of checks that could not be made this time and come again by themselves."""


@dataclass(frozen=True, slots=True)
class SignInFindings:
    """What the operator's own sign-in brings to a snapshot; by organization in lower case."""

    sign_in: SignIn | None = None
    prerequisites: Checks = field(default_factory=dict)
    expected: Mapping[str, Counts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignInObserver:
    """Looks at Azure DevOps as the account that is signed in."""

    sign_ins: SignIns
    checker: PrerequisiteChecker

    def forget(self, uid: str) -> None:
        """The connector is gone."""
        self.sign_ins.forget(uid)
        self.checker.invalidate(uid)

    async def look(
        self,
        connector: AzureDevOpsConnector,
        organizations: Mapping[str, str],
        resources: Iterable[DevOpsOrganization] = (),
        *,
        anew: bool = False,
    ) -> SignInFindings:
        """How the sign-in stands, and what it shows. Never raises: what cannot be told is unknown.

        Args:
            connector: whose sign-in.
            organizations: names of what is wanted, by name in lower case.
            resources: the connector's DevOpsOrganizations, whose statuses say what was found last.
            anew: somebody asks for a look now: nothing that was found lately will do.
        """
        if anew:
            self.sign_ins.request_check(connector)
            self.checker.invalidate(connector.metadata.uid)
        state = await self.sign_ins.state(connector)
        told = _told(resources, organizations)
        if state.signed_in:
            checks, expected = await self._ask(connector, organizations, told)
        elif state.signed_in is None:
            checks, expected = told.prerequisites, told.expected
        else:
            checks, expected = _unproved(told.prerequisites, state), {}
        return SignInFindings(_sign_in(state, _lost(connector, checks)), checks, expected)

    async def _ask(
        self, connector: AzureDevOpsConnector, organizations: Mapping[str, str], told: SignInFindings
    ) -> tuple[Checks, Mapping[str, Counts]]:
        """Ask Azure DevOps; what it does not answer this time is as it was told before."""
        names = tuple(organizations.values())
        made = await asyncio.gather(*(self.checker.check(connector, name) for name in names))
        counts = await asyncio.gather(*(self.checker.expected_counts(connector, name) for name in names))
        before = told.prerequisites
        checks = {key: _over(before.get(key, ()), each) for key, each in zip(organizations, made, strict=True)}
        known = {key: each for key, each in zip(organizations, counts, strict=True) if each is not None}
        return checks, {**told.expected, **known}


def _told(resources: Iterable[DevOpsOrganization], organizations: Mapping[str, str]) -> SignInFindings:
    """What the statuses say of the wanted organizations."""
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


def _over(told: tuple[Prerequisite, ...], made: tuple[Prerequisite, ...]) -> tuple[Prerequisite, ...]:
    """New outcomes; what a person must do does not go away because a service is silent."""
    unmet = {each.check: each for each in told if each.status == "False"}
    return tuple(
        unmet.get(each.check, each) if each.status == "Unknown" and each.reason in _PASSING else each for each in made
    )


def _unproved(told: Checks, state: SignInState) -> Checks:
    """Without a sign-in nobody can say any more that something is met."""
    message = "The operator's own sign-in has stopped, and this check with it: see the connector."
    return {
        key: tuple(
            Prerequisite(check=each.check, status="Unknown", reason=str(state.reason), message=message)
            if each.status == "True"
            else each
            for each in made
        )
        for key, made in told.items()
    }


def _sign_in(state: SignInState, lost: str | None) -> SignIn:
    return SignIn(
        signed_in=state.signed_in,
        reason=state.reason,
        message=state.message,
        account=state.account,
        tenant_id=state.tenant_id,
        url=state.url,
        expires_at=state.refresh_token_expires_at,
        is_lost=state.is_lost,
        authorizing_account_lost=lost,
    )


def _lost(connector: AzureDevOpsConnector, checks: Checks) -> str | None:
    """Why the authorizing account can do nothing for Defender any more: it is an administrator nowhere."""
    found = [
        each
        for made in checks.values()
        for each in made
        if each.check == PrerequisiteCheck.PROJECT_COLLECTION_ADMINISTRATOR
    ]
    if not found or any(each.status != "False" for each in found):
        return None
    account = connector.spec.authorizing_account
    return f"the account {account} is a Project Collection Administrator in none of the organizations any more"
