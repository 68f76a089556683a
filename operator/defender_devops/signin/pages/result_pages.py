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
from defender_devops.signin.ports import AzureDevOpsReader, ConnectorOrganizations

__all__ = ["OrganizationRow", "Problem", "ResultPages", "ResultView"]

_WAIT_SECONDS: Final = 1.0
"""Seconds that the page waits for new results. Whatever is missing then is shown as it was last reported."""

_REFRESH_SECONDS: Final = 3
"""Seconds until a page that waits for results loads again; it does so without a script."""

_CHECK_TITLES: Final = {
    PrerequisiteCheck.TENANT_MATCHES: "Connected to the subscription's tenant",
    PrerequisiteCheck.PROJECT_COLLECTION_ADMINISTRATOR: "Account is a Project Collection Administrator",
    PrerequisiteCheck.ACCESS_LEVEL: "Account has access level Basic or higher",
    PrerequisiteCheck.THIRD_PARTY_OAUTH_ENABLED: "Third-party access via OAuth is on",
    PrerequisiteCheck.CONTAINER_MAPPING_EXTENSION: "Container mapping extension works",
    PrerequisiteCheck.SECURITY_DEVOPS_EXTENSION: "Extension Microsoft Security DevOps works",
}


@dataclass(frozen=True)
class OrganizationRow:
    """One organization that the connector selects.

    Attributes:
        name: of the organization.
        is_visible: whether the signed-in account sees it; always False for an app, which cannot list organizations.
        checks: the latest results; empty if there are none yet.
        is_pending: whether new results are awaited: `checks` are those of an earlier check.
    """

    name: str
    is_visible: bool
    checks: tuple[Prerequisite, ...] = ()
    is_pending: bool = False

    @property
    def is_met(self) -> bool:
        """Whether every prerequisite is met."""
        return bool(self.checks) and all(check.status == "True" for check in self.checks)


@dataclass(frozen=True)
class Problem:
    """A check that is not met, or Unknown, in some organizations.

    Attributes:
        check: the check.
        status: False or Unknown.
        organizations: each organization's name with its result.
    """

    check: str
    status: str
    organizations: tuple[tuple[str, Prerequisite], ...]


@dataclass(frozen=True)
class ResultView:
    """Everything that the page shows of Azure DevOps.

    Attributes:
        rows: organizations that the connector selects.
        unselected: names of the other organizations that the account sees.
        problem: why the account's organizations could not be listed.
        is_listed: whether the account's organizations were listed; False too while their list is awaited.
    """

    rows: tuple[OrganizationRow, ...] = ()
    unselected: tuple[str, ...] = ()
    problem: str | None = None
    is_listed: bool = True

    @property
    def unmet(self) -> int:
        """Number of checks that are not met."""
        return sum(check.status == "False" for row in self.rows for check in row.checks)

    @property
    def met(self) -> tuple[OrganizationRow, ...]:
        """Organizations that meet all prerequisites."""
        return tuple(row for row in self.rows if row.is_met)

    @property
    def pending(self) -> int:
        """Number of organizations whose new results are awaited."""
        return sum(row.is_pending for row in self.rows)

    @property
    def is_complete(self) -> bool:
        """Whether no result is awaited any more."""
        return not self.pending and (self.is_listed or self.problem is not None)

    @property
    def invisible(self) -> tuple[str, ...]:
        """Names of the selected organizations that the account is not a member of."""
        return tuple(row.name for row in self.rows if not row.is_visible) if self.is_listed else ()

    @property
    def all_met(self) -> bool:
        """Whether every check of every organization is finished and met."""
        return bool(self.rows) and not self.pending and len(self.met) == len(self.rows)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Checks that are not met, then Unknown ones, each with all of its organizations."""
        groups = {
            (status, check): tuple(
                (row.name, result)
                for row in self.rows
                for result in row.checks
                if (result.status, result.check) == (status, check)
            )
            for status in ("False", "Unknown")
            for check in dict.fromkeys(result.check for row in self.rows for result in row.checks)
        }
        return tuple(Problem(check, status, results) for (status, check), results in groups.items() if results)


@dataclass(frozen=True)
class ResultPages:
    """Handler.

    Attributes:
        context: connectors and templates.
        reader: lists and checks organizations of Azure DevOps.
        organizations: which organizations a connector selects, and what was last reported of them.
    """

    context: PageContext
    reader: AzureDevOpsReader
    organizations: ConnectorOrganizations

    async def show(self, request: web.Request) -> web.Response:
        """Show account, organizations and prerequisites."""
        connector = self.context.connector(request)
        state = await self.context.sign_ins.state(connector)
        view = await self._view(connector) if state.signed_in else ResultView()
        return self.context.render_page(
            "result.html",
            connector,
            state=state,
            view=view,
            titles=_CHECK_TITLES,
            needs_code=needs_code(connector),
            refresh=None if view.is_complete else _REFRESH_SECONDS,
        )

    async def _view(self, connector: AzureDevOpsConnector) -> ResultView:
        """Return what is known after a short wait: new results, and the reported ones where none has arrived."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _WAIT_SECONDS
        problem, visible = None, None
        try:
            async with asyncio.timeout_at(deadline):
                visible = await self.reader.organizations(connector)
        except TimeoutError:  # the request goes on, and the next load of the page has its answer
            is_listed = False
        except OperatorError as error:
            is_listed, problem = True, error.message
        else:
            is_listed = True
        selected = self.organizations.selected(connector, visible)
        results = await self._checks(connector, selected, deadline)
        reported = self.organizations.reported_checks(connector)
        visible_keys = {name.lower() for name in visible or ()}
        selected_keys = {name.lower() for name in selected}
        unselected = {name.lower(): name for name in visible or () if name.lower() not in selected_keys}
        return ResultView(
            rows=tuple(
                OrganizationRow(
                    name,
                    is_visible=name.lower() in visible_keys,
                    checks=results.get(name, reported.get(name.lower(), ())),
                    is_pending=name not in results,
                )
                for name in selected
            ),
            unselected=tuple(unselected.values()),
            problem=problem,
            is_listed=is_listed and problem is None,
        )

    async def _checks(
        self, connector: AzureDevOpsConnector, names: Sequence[str], deadline: float
    ) -> dict[str, tuple[Prerequisite, ...]]:
        """Return the checks that finish by a time of the event loop, by organization.

        The requests of the others go on, and their answers are cached for the next load of the page.
        """
        tasks = {name: asyncio.ensure_future(self.reader.check(connector, name)) for name in names}
        if tasks:
            # At least one turn of the loop, so that cached answers count after a slow list of organizations too.
            await asyncio.wait(tasks.values(), timeout=max(0.05, deadline - asyncio.get_running_loop().time()))
        results = {name: task.result() for name, task in tasks.items() if task.done()}
        for name in tasks.keys() - results.keys():
            tasks[name].cancel()
        return results
