"""The control interface over plain http, on a port of its own: JSON in, JSON out.

Tests and demos read the journal, move the clock, set faults and change the world outside of the services.
`GET /` lists the endpoints.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sandbox.cloud.control import bodies
from sandbox.cloud.control.actions import ActionError, Actions
from sandbox.cloud.faults import Fault
from sandbox.cloud.journal import Filter
from sandbox.cloud.simulation import Simulation
from sandbox.cloud.transport.message import Reply, Request, json_reply
from sandbox.cloud.variants import VARIANTS
from sandbox.cloud.world.load import UnknownName, add_assessment, add_project, assessment_generator

__all__ = ["Control"]

Body = TypeVar("Body", bound=BaseModel)
_Handler = Callable[..., Awaitable[Any]]

_MOST_ENTRIES = 10_000
_LONGEST_WAIT_SECONDS = 60.0


def _route(method: str, pattern: str) -> Callable[[_Handler], _Handler]:
    """Register a method of `Control` as handler of a method and path; `{name}` becomes a keyword argument."""

    def mark(handler: _Handler) -> _Handler:
        handler.route = (method, pattern)  # type: ignore[attr-defined]
        return handler

    return mark


class Control:
    """The control interface of a simulation."""

    name = "control"

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._actions = Actions(simulation)
        self._routes: list[tuple[str, re.Pattern[str], _Handler, str]] = []
        for name in dir(self):
            # Handlers are the methods that `_route` has marked.
            handler = getattr(self, name)
            route = getattr(handler, "route", None)
            if route is not None:
                expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route[1])
                self._routes.append((route[0], re.compile(expression), handler, route[1]))

    async def handle(self, request: Request) -> Reply:
        """Answer a request; an error response has the reason in `error`."""
        self._simulation.world.run_due()
        for method, pattern, handler, _ in self._routes:
            match = pattern.fullmatch(request.path)
            if match is not None and method == request.method:
                try:
                    return json_reply(await handler(request, **match.groupdict()))
                except ValidationError as error:
                    return json_reply({"error": json.loads(error.json(include_url=False, include_input=False))}, 400)
                except UnknownName as error:
                    return json_reply({"error": str(error)}, 404)
                except (ActionError, ValueError, OSError, re.error) as error:
                    return json_reply({"error": str(error)}, 400)
        return json_reply({"error": f"there is no {request.method} {request.path}"}, 404)

    @staticmethod
    def _body(request: Request, model: type[Body]) -> Body:
        return model.model_validate_json(request.body or b"{}")

    @_route("GET", "/")
    async def index(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """List all endpoints."""
        del request
        return {
            f"{method} {path}": (handler.__doc__ or "").splitlines()[0]
            for method, _, handler, path in sorted(self._routes, key=lambda route: (route[3], route[0]))
        }

    # --- the journal

    @_route("GET", "/journal")
    async def journal(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Requests: ?since=&service=&method=&path=REGEX&operation=&principal=&effective=true&limit=&wait=SECONDS."""
        query = request.query
        filters = Filter(
            since=int(query.get("since", 0)),
            service=query.get("service"),
            method=query.get("method"),
            path=re.compile(query["path"], re.IGNORECASE) if "path" in query else None,
            operation=query.get("operation"),
            principal=query.get("principal"),
            effective=query.get("effective", "").lower() == "true",
        )
        limit = int(query.get("limit", _MOST_ENTRIES))
        wait = min(float(query.get("wait", 0)), _LONGEST_WAIT_SECONDS)
        journal = self._simulation.journal
        entries = await journal.wait(filters, limit, wait) if wait else journal.select(filters, limit)
        return {"last": journal.last, "entries": [entry.as_dict() for entry in entries]}

    @_route("DELETE", "/journal")
    async def clear_journal(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Drop all requests; numbering continues."""
        del request
        self._simulation.journal.clear()
        return {"last": self._simulation.journal.last}

    # --- faults, clock, settings

    @_route("GET", "/faults")
    async def faults(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """All faults, with their number of hits."""
        del request
        return [fault.model_dump(by_alias=True) for fault in self._simulation.faults.all()]

    @_route("POST", "/faults")
    async def add_fault(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Set a fault (see sandbox.cloud.faults.Fault)."""
        return {"id": self._simulation.faults.add(self._body(request, Fault)).id}

    @_route("DELETE", "/faults")
    async def clear_faults(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Remove all faults."""
        del request
        return {"removed": self._simulation.faults.remove()}

    @_route("DELETE", "/faults/{identifier}")
    async def remove_fault(self, request: Request, identifier: str) -> Any:  # noqa: ANN401 - JSON
        """Remove one fault."""
        del request
        return {"removed": self._simulation.faults.remove(identifier)}

    @_route("GET", "/clock")
    async def clock(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Both readings of the clock, in seconds since the epoch, and its speed."""
        del request
        clock = self._simulation.clock
        return {"now": clock.now(), "wall": clock.wall(), "speed": clock.speed}

    @_route("POST", "/clock")
    async def change_clock(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Move the clock forward, or change its speed (0 stops it)."""
        body = self._body(request, bodies.ClockBody)
        if body.speed is not None:
            self._simulation.clock.set_speed(body.speed)
        self._simulation.clock.move(body.move, body.wall)
        self._simulation.world.run_due()
        return await self.clock(request)

    @_route("GET", "/settings")
    async def settings(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Settings of the world."""
        del request
        return self._actions.settings()

    @_route("PATCH", "/settings")
    async def change_settings(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Change settings: throttling, lags, lifetime of access tokens."""
        self._actions.change_settings(self._body(request, bodies.SettingsBody))
        return self._actions.settings()

    @_route("GET", "/variants")
    async def variants(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """All variants with their value, their default and what speaks for each of their forms."""
        del request
        chosen = self._simulation.world.variants
        return {
            name: {
                "behaviour": variant.behaviour,
                "value": chosen[name],
                "default": variant.default,
                "values": dict(variant.values),
            }
            for name, variant in VARIANTS.items()
        }

    @_route("PATCH", "/variants")
    async def choose_variants(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Choose values of variants by name."""
        self._simulation.world.variants.choose(self._body(request, bodies.VariantsBody).root)
        self._simulation.world.update_history_retention()
        return {name: self._simulation.world.variants[name] for name in VARIANTS}

    @_route("POST", "/reset")
    async def reset(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Restore the world of the file; registered issuers are kept."""
        del request
        self._simulation.reset()
        return {}

    # --- identities

    @_route("POST", "/federation")
    async def register_issuer(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Register an issuer whose tokens Entra accepts, with its keys or their URL."""
        self._actions.register_issuer(self._body(request, bodies.FederationBody))
        return {"issuers": self._simulation.entra.federation.issuers()}

    @_route("POST", "/tokens/expire")
    async def expire_tokens(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Expire access tokens now."""
        principal = self._body(request, bodies.TokensBody).principal
        return {"expired": self._simulation.entra.access_tokens.expire(self._simulation.clock.wall(), principal)}

    @_route("GET", "/secrets")
    async def issued_secrets(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Every token and code that Entra has issued, for tests that search logs and files for leaked secrets."""
        del request
        return {"secrets": self._simulation.entra.issued_secrets()}

    @_route("POST", "/defender-codes")
    async def issue_code(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Issue a one-time code for Defender, as the portal's dialog does for an account."""
        return self._actions.issue_code(self._body(request, bodies.CodeBody).account)

    @_route("GET", "/defender-codes")
    async def codes(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """All issued codes by SHA-256, with how often each was redeemed."""
        del request
        return {digest: {"redeemed": code.redeemed} for digest, code in self._simulation.world.codes.items()}

    @_route("PATCH", "/accounts/{account}")
    async def change_account(self, request: Request, account: str) -> Any:  # noqa: ANN401 - JSON
        """Block, delete, change the password, revoke sessions or Defender's authorization, withdraw consent."""
        self._actions.change_account(account, self._body(request, bodies.AccountBody))
        return {}

    @_route("POST", "/accounts/{account}/access")
    async def change_access(self, request: Request, account: str) -> Any:  # noqa: ANN401 - JSON
        """Remove an account from organizations, or restore its memberships."""
        return {"organizations": self._actions.change_access(account, self._body(request, bodies.AccessBody))}

    @_route("PATCH", "/applications/{application}")
    async def change_application(self, request: Request, application: str) -> Any:  # noqa: ANN401 - JSON
        """Replace an application's secrets, or disable it."""
        self._actions.change_application(application, self._body(request, bodies.ApplicationChange))
        return {}

    @_route("POST", "/subscriptions")
    async def add_subscription(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Add a subscription, in the format of the world file."""
        self._actions.add_subscription(self._body(request, bodies.SubscriptionBody))
        return {}

    @_route("PATCH", "/subscriptions/{subscription}")
    async def change_subscription(self, request: Request, subscription: str) -> Any:  # noqa: ANN401 - JSON
        """Set registered providers, policies and resource groups."""
        self._actions.change_subscription(subscription, self._body(request, bodies.SubscriptionChange))
        return {}

    @_route("POST", "/role-assignments")
    async def change_role(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Assign or remove a built-in role."""
        self._actions.change_role(self._body(request, bodies.RoleBody))
        return {}

    # --- resources

    @_route("GET", "/world")
    async def world(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """A summary of the world."""
        del request
        return self._actions.summary()

    @_route("POST", "/organizations")
    async def add_organization(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Add an organization, in the format of the world file."""
        return {"id": self._actions.add_organization(self._body(request, bodies.OrganizationBody)).id}

    @_route("PATCH", "/organizations/{name}")
    async def change_organization(self, request: Request, name: str) -> Any:  # noqa: ANN401 - JSON
        """Change its OAuth policy or extension, move it to another tenant, delete it."""
        self._actions.change_organization(name, self._body(request, bodies.OrganizationChange))
        return {}

    @_route("POST", "/organizations/{name}/projects")
    async def add_project(self, request: Request, name: str) -> Any:  # noqa: ANN401 - JSON
        """Add a project, in the format of the world file."""
        project = add_project(self._actions.organization(name), self._body(request, bodies.ProjectBody))
        return {"id": project.id}

    @_route("DELETE", "/organizations/{name}/projects/{project}")
    async def remove_project(self, request: Request, name: str, project: str) -> Any:  # noqa: ANN401 - JSON
        """Delete a project."""
        del request
        self._actions.remove_project(name, project)
        return {}

    @_route("POST", "/organizations/{name}/projects/{project}/repositories")
    async def add_repository(self, request: Request, name: str, project: str) -> Any:  # noqa: ANN401 - JSON
        """Add a repository."""
        self._actions.add_repository(name, project, self._body(request, bodies.RepositoryBody))
        return {}

    @_route("DELETE", "/organizations/{name}/projects/{project}/repositories/{repository}")
    async def remove_repository(self, request: Request, name: str, project: str, repository: str) -> Any:  # noqa: ANN401
        """Delete a repository."""
        del request
        self._actions.remove_repository(name, project, repository)
        return {}

    # --- assessments

    @_route("GET", "/assessments")
    async def assessments(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Assessments of all connectors: ?organization=&status=&limit=."""
        query = request.query
        limit = int(query.get("limit", _MOST_ENTRIES))
        return self._actions.assessments(query.get("organization"), query.get("status"), limit)

    @_route("POST", "/assessments")
    async def add_assessment(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Add a finding or recommendation, in the format of the world file."""
        return {"key": add_assessment(self._simulation.world, self._body(request, bodies.AssessmentBody)).key}

    @_route("PATCH", "/assessments")
    async def generate_assessments(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Replace what is generated, in the format of the world file."""
        generator = assessment_generator(self._body(request, bodies.AssessmentGeneratorBody))
        self._simulation.world.assessments.generate(generator)
        return {}

    @_route("PATCH", "/assessments/{key}")
    async def resolve_assessment(self, request: Request, key: str) -> Any:  # noqa: ANN401 - JSON
        """Resolve one, or take that back: generated ones too."""
        self._actions.resolve_assessment(key, resolved=self._body(request, bodies.AssessmentChange).resolved)
        return {}

    @_route("DELETE", "/assessments/{key}")
    async def remove_assessment(self, request: Request, key: str) -> Any:  # noqa: ANN401 - JSON
        """Remove an explicit one at once, without a trace."""
        del request
        if not self._simulation.world.assessments.remove(key):
            raise UnknownName(f"there is no explicit assessment {key!r}")
        return {}

    # --- connectors

    @_route("POST", "/connectors")
    async def add_connector(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Create a connector as in the portal; with `account` it is authorized."""
        return {"id": self._actions.add_connector(self._body(request, bodies.ConnectorBody)).id}

    @_route("PATCH", "/connectors/{subscription}/{group}/{name}")
    async def change_connector(self, request: Request, subscription: str, group: str, name: str) -> Any:  # noqa: ANN401
        """Change tags, autoDiscovery, state or authorization outside of the operator."""
        connector = self._actions.connector(subscription, group, name)
        self._actions.change_connector(connector, self._body(request, bodies.ConnectorChange))
        return {}

    @_route("DELETE", "/connectors/{subscription}/{group}/{name}")
    async def delete_connector(self, request: Request, subscription: str, group: str, name: str) -> Any:  # noqa: ANN401
        """Delete a connector outside of the operator."""
        del request
        self._actions.delete_connector(self._actions.connector(subscription, group, name))
        return {}
