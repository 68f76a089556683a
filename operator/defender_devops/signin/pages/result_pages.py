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
from defender_devops.signin.pages.desk import Desk
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
    """One organization.

    Attributes:
        name: of the organization.
        is_wanted: whether the connector asks for it.
        is_visible: whether the signed-in account sees it; an app is never told.
        checks: None where they are not done yet.
    """

    name: str
    is_wanted: bool
    is_visible: bool
    checks: tuple[Prerequisite, ...] | None = None


@dataclass(frozen=True)
class Found:
    """All that the page shows of Azure DevOps.

    Attributes:
        rows: organizations.
        problem: why the account's organizations could not be listed.
        left_out: how many organizations are not among the rows.
    """

    rows: tuple[Row, ...] = ()
    problem: str | None = None
    left_out: int = 0


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
        rows = _rows(connector, visible)
        shown = rows[:_SHOWN]
        checks = await self._checks(connector, [row.name for row in shown if row.is_wanted])
        checked = (Row(row.name, row.is_wanted, row.is_visible, checks.get(row.name)) for row in shown)
        return Found(tuple(checked), problem, len(rows) - len(shown))

    async def _checks(self, connector: AzureDevOpsConnector, names: list[str]) -> dict[str, tuple[Prerequisite, ...]]:
        """Checks by organization, as far as they are done in time; the others go on and are there at the next look."""
        tasks = {name: asyncio.ensure_future(self.findings.check(connector, name)) for name in names}
        if tasks:
            await asyncio.wait(tasks.values(), timeout=_PATIENCE)
        done = {name: task.result() for name, task in tasks.items() if task.done()}
        for name in tasks.keys() - done.keys():
            tasks[name].cancel()
        return done


def _rows(connector: AzureDevOpsConnector, visible: Iterable[str]) -> list[Row]:
    """Organizations that the account sees or the manifest names, by name. The wanted ones come first."""
    organizations = connector.spec.organizations
    seen = {name.lower(): name for name in visible}
    if organizations.mode is OrganizationsMode.SELECTED:
        wanted = {name.lower(): name for name in organizations.names}
    else:
        excluded = {name.lower() for name in organizations.exclude}
        wanted = {key: name for key, name in seen.items() if key not in excluded}
    rows = [Row(name, key in wanted, key in seen) for key, name in sorted((wanted | seen).items())]
    return sorted(rows, key=lambda row: not row.is_wanted)
