"""The portal: the steps of a person in a browser, with the same actions as the control interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from sandbox.cloud.control.actions import ActionError, Actions
from sandbox.cloud.control.bodies import (
    AccessBody,
    AccountBody,
    AssessmentBody,
    ConnectorBody,
    ConnectorChange,
    OrganizationBody,
    OrganizationChange,
)
from sandbox.cloud.defender.authorizations import code_lifetime
from sandbox.cloud.portal import pages
from sandbox.cloud.simulation import Simulation
from sandbox.cloud.transport.message import Reply, Request
from sandbox.cloud.world.load import add_assessment
from sandbox.cloud.world.principals import UnknownName

__all__ = ["Portal"]

_HTML = {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"}
_Form = dict[str, str]


class Portal:
    """The page at `/portal`."""

    name = "portal"

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._actions = Actions(simulation)
        self._posts: dict[str, Callable[[_Form], Reply]] = {
            "authorize": self._authorize,
            "code": self._code,
            "access": self._access,
            "block": self._block,
            "policy": self._policy,
            "organization": self._add_organization,
            "environment": self._add_environment,
            "assessment": self._add_assessment,
            "resolve": self._resolve_assessment,
        }

    async def handle(self, request: Request) -> Reply:
        """Answer a request."""
        segments = request.segments
        if segments[:1] != ["portal"]:
            return Reply(302, headers={"Location": "/portal"}) if not segments else Reply(404)
        if request.method == "GET" and len(segments) == 1:
            assessments = self._actions.assessments(limit=pages.MOST_ASSESSMENTS + 1)
            page = pages.portal(self._actions.summary(), assessments, request.query.get("problem"))
            return Reply(200, page, dict(_HTML))
        try:
            if request.method == "GET" and segments[1:] == ["authorize"]:
                return self._dialog(request.query.get("account", ""))
            post = self._posts.get(segments[1]) if request.method == "POST" else None
            if post is None:
                return Reply(404)
            request.operation = f"Portal_{segments[1]}"
            return post(request.form())
        except (UnknownName, ActionError, ValidationError) as error:
            return _back(str(error))

    def _dialog(self, account: str) -> Reply:
        self._actions.account(account)
        connectors = [connector.id for connector in self._simulation.world.connectors.values()]
        return Reply(200, pages.dialog(account, connectors), dict(_HTML))

    def _authorize(self, form: _Form) -> Reply:
        connector = self._simulation.world.connectors.get(form.get("connector", "").lower())
        if connector is None:
            raise UnknownName("this connector does not exist any more")
        self._actions.change_connector(connector, ConnectorChange(authorization=form.get("account", "")))
        return _back()

    def _code(self, form: _Form) -> Reply:
        account = form.get("account", "")
        issued = self._actions.issue_code(account)
        page = pages.show_code(
            account, issued["code"], issued["sha256"], int(code_lifetime(self._simulation.world) // 60)
        )
        return Reply(200, page, dict(_HTML))

    def _access(self, form: _Form) -> Reply:
        self._actions.change_access(form.get("account", ""), AccessBody(access=form.get("access") == "true"))
        return _back()

    def _block(self, form: _Form) -> Reply:
        account = self._actions.account(form.get("account", ""))
        self._actions.change_account(account.user_principal_name, AccountBody(blocked=not account.blocked))
        return _back()

    def _policy(self, form: _Form) -> Reply:
        organization = self._actions.organization(form.get("organization", ""))
        change = OrganizationChange(third_party_oauth=not organization.third_party_oauth)
        self._actions.change_organization(organization.name, change)
        return _back()

    def _add_organization(self, form: _Form) -> Reply:
        spec: dict[str, Any] = {
            "name": form.get("name"),
            "tenant": form.get("tenant"),
            "extensions": [{}],
            "members": [{"account": form.get("account"), "administrator": True}],
            "projects": [{"name": form.get("project") or "first-project", "generate": form.get("repositories") or 0}],
        }
        self._actions.add_organization(OrganizationBody.model_validate(spec))
        return _back()

    def _add_environment(self, form: _Form) -> Reply:
        """Create and authorize a connector, as "Add environment" does; without names for all organizations."""
        names = form.get("organizations", "").replace(",", " ").split()
        group = form.get("resourceGroup", "")
        subscription = self._simulation.world.subscription(form.get("subscription", ""))
        if subscription is not None and group.lower() not in subscription.resource_groups:
            raise UnknownName(f"there is no resource group {group!r} in subscription {subscription.name!r}")
        spec: dict[str, Any] = {
            "name": form.get("name") or None,
            "subscription": form.get("subscription"),
            "resourceGroup": group,
            "location": form.get("location") or "westeurope",
            "account": form.get("account"),
            "organizations": names or None,
            "autoDiscovery": "Disabled" if names else "Enabled",
        }
        self._actions.add_connector(ConnectorBody.model_validate(spec))
        return _back()

    def _add_assessment(self, form: _Form) -> Reply:
        spec = {name: value for name, value in form.items() if value}
        add_assessment(self._simulation.world, AssessmentBody.model_validate(spec))
        return _back()

    def _resolve_assessment(self, form: _Form) -> Reply:
        self._actions.resolve_assessment(form.get("key", ""), resolved=form.get("resolved") == "true")
        return _back()


def _back(problem: str | None = None) -> Reply:
    location = "/portal" if problem is None else f"/portal?problem={quote(problem)}"
    return Reply(303, headers={"Location": location})
