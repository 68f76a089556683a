"""What the operator's own sign-in shows of Azure DevOps, as findings for a snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.organization import Prerequisite, PrerequisiteCheck
from defender_devops.azuredevops.checker import PrerequisiteChecker
from defender_devops.reconcile.snapshot import ExpectedCounts, SignIn
from defender_devops.signin.sign_in_state import SignInState
from defender_devops.signin.sign_ins import SignIns

__all__ = ["SignInFindings", "SignInView"]

Checks = Mapping[str, tuple[Prerequisite, ...]]


@dataclass(frozen=True, slots=True)
class SignInFindings:
    """What the operator's own sign-in brings to a snapshot; by organization in lower case."""

    sign_in: SignIn | None = None
    prerequisites: Checks = field(default_factory=dict)
    expected: Mapping[str, ExpectedCounts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignInView:
    """Looks at Azure DevOps as the account that is signed in."""

    sign_ins: SignIns
    checker: PrerequisiteChecker

    def forget(self, uid: str) -> None:
        """The connector is gone."""
        self.sign_ins.forget(uid)
        self.checker.forget(uid)

    async def look(self, connector: AzureDevOpsConnector, organizations: Mapping[str, str]) -> SignInFindings:
        """How the sign-in stands, and what it shows. Never raises: what cannot be told is unknown.

        Args:
            connector: whose sign-in.
            organizations: names of what is wanted, by name in lower case.
        """
        state = await self.sign_ins.state(connector)
        if state.signed_in is not True:
            return SignInFindings(_sign_in(state, None))
        names = tuple(organizations.values())
        made = await asyncio.gather(*(self.checker.check(connector, name) for name in names))
        counts = await asyncio.gather(*(self.checker.expected_counts(connector, name) for name in names))
        checks = dict(zip(organizations, made, strict=True))
        return SignInFindings(
            _sign_in(state, _lost(connector, checks)),
            checks,
            {
                key: ExpectedCounts(each.projects, each.repositories)
                for key, each in zip(organizations, counts, strict=True)
                if each is not None
            },
        )


def _sign_in(state: SignInState, lost: str | None) -> SignIn:
    return SignIn(
        signed_in=state.signed_in,
        reason=state.reason,
        message=state.message,
        account=state.account,
        tenant_id=state.tenant_id,
        url=state.url,
        expires_at=state.refresh_token_expires_at,
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
