"""The page after the sign-in: the account, the organizations that it sees, and the checks of each organization."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.organization import Prerequisite, PrerequisiteCheck
from defender_devops.authorization_code.requirement import needs_code
from defender_devops.errors import OperatorError
from defender_devops.signin.pages.page_context import PageContext
from defender_devops.signin.ports import AzureDevOpsReader, OrganizationSelector

__all__ = ["OrganizationRow", "ResultPages", "ResultView"]

_ROWS_MAX: Final = 25
"""Organizations that the page checks and shows; the status of the DevOpsOrganizations has all of them."""

_CHECK_TIMEOUT: Final = 8.0
"""Seconds that the page waits for the checks."""

_CHECK_TITLES: Final = {
    PrerequisiteCheck.TENANT_MATCHES: "Connected to the subscription's tenant",
    PrerequisiteCheck.PROJECT_COLLECTION_ADMINISTRATOR: "Account is a Project Collection Administrator",
    PrerequisiteCheck.ACCESS_LEVEL: "Account has access level Basic or higher",
    PrerequisiteCheck.THIRD_PARTY_OAUTH_ENABLED: "Third-party access via OAuth is on",
    PrerequisiteCheck.CONTAINER_MAPPING_EXTENSION: "Container mapping extension works",
}


@dataclass(frozen=True)
class OrganizationRow:
    """One organization that the connector selects.

    Attributes:
        name: of the organization.
        is_visible: whether the signed-in account sees it; always False for an app, which cannot list organizations.
        checks: None if they are not finished yet.
    """

    name: str
    is_visible: bool
    checks: tuple[Prerequisite, ...] | None = None


@dataclass(frozen=True)
class ResultView:
    """Everything that the page shows of Azure DevOps.

    Attributes:
        rows: organizations that the connector selects.
        unselected: names of the other organizations that the account sees.
        problem: why the account's organizations could not be listed.
        hidden: number of selected organizations beyond the rows.
    """

    rows: tuple[OrganizationRow, ...] = ()
    unselected: tuple[str, ...] = ()
    problem: str | None = None
    hidden: int = 0

    @property
    def unmet(self) -> int:
        """Number of checks that are not met."""
        return sum(check.status == "False" for row in self.rows for check in row.checks or ())

    @property
    def all_met(self) -> bool:
        """Whether every check of every organization is finished and met."""
        checks = [check.status for row in self.rows for check in row.checks or ()]
        return bool(checks) and all(row.checks for row in self.rows) and set(checks) == {"True"} and not self.hidden


@dataclass(frozen=True)
class ResultPages:
    """Handler.

    Attributes:
        context: connectors and templates.
        reader: lists and checks organizations of Azure DevOps.
        select_organizations: decides which organizations are checked.
    """

    context: PageContext
    reader: AzureDevOpsReader
    select_organizations: OrganizationSelector

    async def show(self, request: web.Request) -> web.Response:
        """Show account, organizations and prerequisites."""
        connector = self.context.connector(request)
        state = await self.context.sign_ins.state(connector)
        view = await self._view(connector) if state.signed_in else ResultView()
        return self.context.render_page(
            "result.html", connector, state=state, view=view, titles=_CHECK_TITLES, needs_code=needs_code(connector)
        )

    async def _view(self, connector: AzureDevOpsConnector) -> ResultView:
        problem, visible = None, tuple[str, ...]()
        try:
            visible = await self.reader.organizations(connector)
        except OperatorError as error:
            problem = error.message
        selected = self.select_organizations(connector, visible)
        shown_names, visible_keys = selected[:_ROWS_MAX], {name.lower() for name in visible}
        checks = await self._checks(connector, shown_names)
        selected_keys = {name.lower() for name in selected}
        unselected = {name.lower(): name for name in visible if name.lower() not in selected_keys}
        return ResultView(
            rows=tuple(OrganizationRow(name, name.lower() in visible_keys, checks.get(name)) for name in shown_names),
            unselected=tuple(unselected.values())[:_ROWS_MAX],
            problem=problem,
            hidden=len(selected) - len(shown_names),
        )

    async def _checks(
        self, connector: AzureDevOpsConnector, names: Sequence[str]
    ) -> dict[str, tuple[Prerequisite, ...]]:
        """Return the checks that finish in time, by organization.

        The answers to the others' requests are cached, so that they finish when the page is loaded again.
        """
        tasks = {name: asyncio.ensure_future(self.reader.check(connector, name)) for name in names}
        if tasks:
            await asyncio.wait(tasks.values(), timeout=_CHECK_TIMEOUT)
        results = {name: task.result() for name, task in tasks.items() if task.done()}
        for name in tasks.keys() - results.keys():
            tasks[name].cancel()
        return results
