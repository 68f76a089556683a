"""The page after the sign-in: who is signed in, which organizations that account sees, and what each one lacks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from defender_devops.api.connector import AzureDevOpsConnector, OrganizationsMode
from defender_devops.api.organization import Prerequisite, PrerequisiteCheck
from defender_devops.errors import OperatorError
from defender_devops.signin.pages.page_context import Desk
from defender_devops.signin.ports import Findings

__all__ = ["Found", "ResultPages", "Row"]

_SHOWN: Final = 25
"""Organizations that the page checks and shows; a person reads no more, and the cluster has them all."""

_PATIENCE: Final = 8.0
"""Seconds that the page waits for the checks."""

_NAMES: Final = {
    PrerequisiteCheck.TENANT_MATCHES: "Connected to the subscription's tenant",
    PrerequisiteCheck.PROJECT_COLLECTION_ADMINISTRATOR: "Account is a Project Collection Administrator",
    PrerequisiteCheck.ACCESS_LEVEL: "Account has access level Basic or higher",
    PrerequisiteCheck.THIRD_PARTY_OAUTH_ENABLED: "Third-party access via OAuth is on",
    PrerequisiteCheck.CONTAINER_MAPPING_EXTENSION: "Container mapping extension works",
}


@dataclass(frozen=True)
class Row:
    """One organization that the connector asks for.

    Attributes:
        name: of the organization.
        is_visible: whether the signed-in account sees it; an app is never told.
        checks: None where they are not done yet.
    """

    name: str
    is_visible: bool
    checks: tuple[Prerequisite, ...] | None = None


@dataclass(frozen=True)
class Found:
    """All that the page shows of Azure DevOps.

    Attributes:
        rows: organizations that the connector asks for.
        others: names of those that the account sees besides.
        problem: why the account's organizations could not be listed.
        left_out: how many organizations are not among the rows.
    """

    rows: tuple[Row, ...] = ()
    others: tuple[str, ...] = ()
    problem: str | None = None
    left_out: int = 0

    @property
    def to_do(self) -> int:
        """How many checks are not met."""
        return sum(check.status == "False" for row in self.rows for check in row.checks or ())

    @property
    def all_met(self) -> bool:
        """Whether every check of every organization was made and is met."""
        checks = [check.status for row in self.rows for check in row.checks or ()]
        return bool(checks) and all(row.checks for row in self.rows) and set(checks) == {"True"} and not self.left_out


@dataclass(frozen=True)
class ResultPages:
    """Handler.

    Args:
        desk: connectors and templates.
        findings: what Azure DevOps says.
    """

    desk: Desk
    findings: Findings

    async def show(self, request: web.Request) -> web.Response:
        """Account, organizations and prerequisites."""
        connector = self.desk.connector(request)
        state = await self.desk.sign_ins.state(connector)
        found = await self._found(connector) if state.signed_in else Found()
        return self.desk.render("result.html", connector, state=state, found=found, names=_NAMES)

    async def _found(self, connector: AzureDevOpsConnector) -> Found:
        problem, visible = None, tuple[str, ...]()
        try:
            visible = await self.findings.organizations(connector)
        except OperatorError as error:
            problem = error.message
        wanted, seen = _wanted(connector, visible), {name.lower() for name in visible}
        shown = wanted[:_SHOWN]
        checks = await self._checks(connector, shown)
        others = {name.lower(): name for name in visible if name.lower() not in {each.lower() for each in wanted}}
        return Found(
            rows=tuple(Row(name, name.lower() in seen, checks.get(name)) for name in shown),
            others=tuple(others.values())[:_SHOWN],
            problem=problem,
            left_out=len(wanted) - len(shown),
        )

    async def _checks(self, connector: AzureDevOpsConnector, names: list[str]) -> dict[str, tuple[Prerequisite, ...]]:
        """Checks by organization, as far as they are done in time; the others go on and are there at the next look."""
        tasks = {name: asyncio.ensure_future(self.findings.check(connector, name)) for name in names}
        if tasks:
            await asyncio.wait(tasks.values(), timeout=_PATIENCE)
        done = {name: task.result() for name, task in tasks.items() if task.done()}
        for name in tasks.keys() - done.keys():
            tasks[name].cancel()
        return done


def _wanted(connector: AzureDevOpsConnector, visible: Iterable[str]) -> list[str]:
    """Organizations that the manifest asks for, by name."""
    organizations = connector.spec.organizations
    if organizations.mode is OrganizationsMode.SELECTED:
        return sorted(organizations.names, key=str.lower)
    excluded = {name.lower() for name in organizations.exclude}
    return [name for name in visible if name.lower() not in excluded]
