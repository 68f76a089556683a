"""The control interface over plain http, on a port of its own: JSON in, JSON out.

Tests and demos read the journal, move the clock, set faults and change the world outside of the services.
`GET /` lists the endpoints.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import ValidationError

from sandbox.cloud.control import bodies
from sandbox.cloud.control.actions import ActionError, Actions
from sandbox.cloud.control.endpoint import Handler, endpoint, parse_body
from sandbox.cloud.control.pipelines import PipelineEndpoints
from sandbox.cloud.faults import Fault
from sandbox.cloud.journal import Filter
from sandbox.cloud.simulation import Simulation
from sandbox.cloud.transport.message import Reply, Request, json_reply
from sandbox.cloud.variants import VARIANTS
from sandbox.cloud.world.load import add_assessment, add_project, assessment_generator
from sandbox.cloud.world.principals import UnknownName

__all__ = ["Control"]

_MOST_ENTRIES = 10_000
_LONGEST_WAIT_SECONDS = 60.0


class Control(PipelineEndpoints):
    """The control interface of a simulation."""

    name = "control"

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation)
        self._actions = Actions(simulation)
        self._routes: list[tuple[str, re.Pattern[str], Handler, str]] = []
        for name in dir(self):
            # Handlers are the methods that `endpoint` has marked.
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

    @endpoint("GET", "/")
    async def index(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """List all endpoints."""
        del request
        return {
            f"{method} {path}": (handler.__doc__ or "").splitlines()[0]
            for method, _, handler, path in sorted(self._routes, key=lambda route: (route[3], route[0]))
        }

    # --- the journal

    @endpoint("GET", "/journal")
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

    @endpoint("DELETE", "/journal")
    async def clear_journal(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Drop all requests; numbering continues."""
        del request
        self._simulation.journal.clear()
        return {"last": self._simulation.journal.last}

    # --- faults, clock, settings

    @endpoint("GET", "/faults")
    async def faults(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """All faults, with their number of hits."""
        del request
        return [fault.model_dump(by_alias=True) for fault in self._simulation.faults.all()]

    @endpoint("POST", "/faults")
    async def add_fault(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Set a fault (see sandbox.cloud.faults.Fault)."""
        return {"id": self._simulation.faults.add(parse_body(request, Fault)).id}

    @endpoint("DELETE", "/faults")
    async def clear_faults(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Remove all faults."""
        del request
        return {"removed": self._simulation.faults.remove()}

    @endpoint("DELETE", "/faults/{identifier}")
    async def remove_fault(self, request: Request, identifier: str) -> Any:  # noqa: ANN401 - JSON
        """Remove one fault."""
        del request
        return {"removed": self._simulation.faults.remove(identifier)}

    @endpoint("GET", "/clock")
    async def clock(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Both readings of the clock, in seconds since the epoch, and its speed."""
        del request
        clock = self._simulation.clock
        return {"now": clock.now(), "wall": clock.wall(), "speed": clock.speed}

    @endpoint("POST", "/clock")
    async def change_clock(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Move the clock forward, or change its speed (0 stops it)."""
        body = parse_body(request, bodies.ClockBody)
        if body.speed is not None:
            self._simulation.clock.set_speed(body.speed)
        self._simulation.clock.move(body.move, body.wall)
        self._simulation.world.run_due()
        return await self.clock(request)

    @endpoint("GET", "/settings")
    async def settings(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Settings of the world."""
        del request
        return self._actions.settings()

    @endpoint("PATCH", "/settings")
    async def change_settings(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Change settings: throttling, lags, lifetime of access tokens."""
        self._actions.change_settings(parse_body(request, bodies.SettingsBody))
        return self._actions.settings()

    @endpoint("GET", "/variants")
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

    @endpoint("PATCH", "/variants")
    async def choose_variants(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Choose values of variants by name."""
        self._simulation.world.variants.choose(parse_body(request, bodies.VariantsBody).root)
        self._simulation.world.update_history_retention()
        return {name: self._simulation.world.variants[name] for name in VARIANTS}

    @endpoint("POST", "/reset")
    async def reset(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Restore the world of the file; registered issuers are kept."""
        del request
        self._simulation.reset()
        return {}

    @endpoint("GET", "/usage")
    async def usage(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Throughput units of Azure DevOps by account: in the last five minutes, and the most in any five minutes."""
        del request
        return self._actions.usage()

    # --- identities

    @endpoint("POST", "/federation")
    async def register_issuer(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Register an issuer whose tokens Entra accepts, with its keys or their URL."""
        self._actions.register_issuer(parse_body(request, bodies.FederationBody))
        return {"issuers": self._simulation.entra.federation.issuers()}

    @endpoint("POST", "/tokens/expire")
    async def expire_tokens(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Expire access tokens now."""
        principal = parse_body(request, bodies.TokensBody).principal
        return {"expired": self._simulation.entra.access_tokens.expire(self._simulation.clock.wall(), principal)}

    @endpoint("GET", "/secrets")
    async def issued_secrets(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Every token and code that Entra has issued, for tests that search logs and files for leaked secrets."""
        del request
        return {"secrets": self._simulation.entra.issued_secrets()}

    @endpoint("POST", "/defender-codes")
    async def issue_code(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Issue a one-time code for Defender, as the portal's dialog does for an account."""
        return self._actions.issue_code(parse_body(request, bodies.CodeBody).account)

    @endpoint("GET", "/defender-codes")
    async def codes(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """All issued codes by SHA-256, with how often each was redeemed."""
        del request
        return {digest: {"redeemed": code.redeemed} for digest, code in self._simulation.world.codes.items()}

    @endpoint("PATCH", "/accounts/{account}")
    async def change_account(self, request: Request, account: str) -> Any:  # noqa: ANN401 - JSON
        """Block, delete, change the password, revoke sessions or Defender's authorization, withdraw consent."""
        self._actions.change_account(account, parse_body(request, bodies.AccountBody))
        return {}

    @endpoint("POST", "/accounts/{account}/access")
    async def change_access(self, request: Request, account: str) -> Any:  # noqa: ANN401 - JSON
        """Remove an account from organizations, or restore its memberships."""
        return {"organizations": self._actions.change_access(account, parse_body(request, bodies.AccessBody))}

    @endpoint("PATCH", "/applications/{application}")
    async def change_application(self, request: Request, application: str) -> Any:  # noqa: ANN401 - JSON
        """Replace an application's secrets or permissions, or disable it."""
        self._actions.change_application(application, parse_body(request, bodies.ApplicationChange))
        return {}

    @endpoint("POST", "/subscriptions")
    async def add_subscription(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Add a subscription, in the format of the world file."""
        self._actions.add_subscription(parse_body(request, bodies.SubscriptionBody))
        return {}

    @endpoint("PATCH", "/subscriptions/{subscription}")
    async def change_subscription(self, request: Request, subscription: str) -> Any:  # noqa: ANN401 - JSON
        """Set registered providers, policies and resource groups."""
        self._actions.change_subscription(subscription, parse_body(request, bodies.SubscriptionChange))
        return {}

    @endpoint("POST", "/role-assignments")
    async def change_role(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Assign or remove a built-in role."""
        self._actions.change_role(parse_body(request, bodies.RoleBody))
        return {}

    # --- resources

    @endpoint("GET", "/world")
    async def world(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """A summary of the world."""
        del request
        return self._actions.summary()

    @endpoint("POST", "/organizations")
    async def add_organization(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Add an organization, in the format of the world file."""
        return {"id": self._actions.add_organization(parse_body(request, bodies.OrganizationBody)).id}

    @endpoint("PATCH", "/organizations/{name}")
    async def change_organization(self, request: Request, name: str) -> Any:  # noqa: ANN401 - JSON
        """Change its OAuth policy, extensions or code search, move it to another tenant, delete it."""
        self._actions.change_organization(name, parse_body(request, bodies.OrganizationChange))
        return {}

    @endpoint("POST", "/organizations/{name}/projects")
    async def add_project(self, request: Request, name: str) -> Any:  # noqa: ANN401 - JSON
        """Add a project, in the format of the world file."""
        body = parse_body(request, bodies.ProjectBody)
        project = add_project(self._simulation.world, self._actions.organization(name), body)
        return {"id": project.id}

    @endpoint("DELETE", "/organizations/{name}/projects/{project}")
    async def remove_project(self, request: Request, name: str, project: str) -> Any:  # noqa: ANN401 - JSON
        """Delete a project."""
        del request
        self._actions.remove_project(name, project)
        return {}

    @endpoint("POST", "/organizations/{name}/projects/{project}/repositories")
    async def add_repository(self, request: Request, name: str, project: str) -> Any:  # noqa: ANN401 - JSON
        """Add a repository."""
        self._actions.add_repository(name, project, parse_body(request, bodies.RepositoryBody))
        return {}

    @endpoint("DELETE", "/organizations/{name}/projects/{project}/repositories/{repository}")
    async def remove_repository(self, request: Request, name: str, project: str, repository: str) -> Any:  # noqa: ANN401
        """Delete a repository."""
        del request
        self._actions.remove_repository(name, project, repository)
        return {}

    # --- assessments

    @endpoint("GET", "/assessments")
    async def assessments(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Assessments of all connectors: ?organization=&status=&limit=."""
        query = request.query
        limit = int(query.get("limit", _MOST_ENTRIES))
        return self._actions.assessments(query.get("organization"), query.get("status"), limit)

    @endpoint("POST", "/assessments")
    async def add_assessment(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Add a finding or recommendation, in the format of the world file."""
        return {"key": add_assessment(self._simulation.world, parse_body(request, bodies.AssessmentBody)).key}

    @endpoint("PATCH", "/assessments")
    async def generate_assessments(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Replace what is generated, in the format of the world file."""
        generator = assessment_generator(parse_body(request, bodies.AssessmentGeneratorBody))
        self._simulation.world.assessments.generate(generator)
        return {}

    @endpoint("PATCH", "/assessments/{key}")
    async def resolve_assessment(self, request: Request, key: str) -> Any:  # noqa: ANN401 - JSON
        """Resolve one, or take that back: generated ones too."""
        self._actions.resolve_assessment(key, resolved=parse_body(request, bodies.AssessmentChange).resolved)
        return {}

    @endpoint("DELETE", "/assessments/{key}")
    async def remove_assessment(self, request: Request, key: str) -> Any:  # noqa: ANN401 - JSON
        """Remove an explicit one at once, without a trace."""
        del request
        if not self._simulation.world.assessments.remove(key):
            raise UnknownName(f"there is no explicit assessment {key!r}")
        return {}

    # --- connectors

    @endpoint("POST", "/connectors")
    async def add_connector(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Create a connector as in the portal; with `account` it is authorized."""
        return {"id": self._actions.add_connector(parse_body(request, bodies.ConnectorBody)).id}

    @endpoint("PATCH", "/connectors/{subscription}/{group}/{name}")
    async def change_connector(self, request: Request, subscription: str, group: str, name: str) -> Any:  # noqa: ANN401
        """Change tags, autoDiscovery, state or authorization outside of the operator."""
        connector = self._actions.connector(subscription, group, name)
        self._actions.change_connector(connector, parse_body(request, bodies.ConnectorChange))
        return {}

    @endpoint("DELETE", "/connectors/{subscription}/{group}/{name}")
    async def delete_connector(self, request: Request, subscription: str, group: str, name: str) -> Any:  # noqa: ANN401
        """Delete a connector outside of the operator."""
        del request
        self._actions.delete_connector(self._actions.connector(subscription, group, name))
        return {}
