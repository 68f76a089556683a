"""The hosts of Azure DevOps: dev.azure.com and the others, each on an address of its own."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from sandbox.cloud.devops.call import DevOpsCall, api_version, listing
from sandbox.cloud.devops.errors import DevOpsError, not_authorized, organization_missing, repository_missing
from sandbox.cloud.devops.identities import Identities, Person
from sandbox.cloud.devops.locations import resource_areas, resource_locations
from sandbox.cloud.devops.routes import Route, find_routes
from sandbox.cloud.devops.sign_in_page import page, refuse
from sandbox.cloud.entra.state import EntraState
from sandbox.cloud.entra.tokens import AccessToken
from sandbox.cloud.transport.message import Reply, Request, json_reply
from sandbox.cloud.world.devops import License, Organization
from sandbox.cloud.world.world import World

__all__ = ["HOSTS", "DevOpsHost"]

HOSTS = ("devAzure", "profile", "identity", "entitlement", "extension", "search", "advancedSecurity")

_INCLUDED_IN = {"vso.build": ("vso.build_execute",)}
"""Permissions that include another one."""

_OLDEST_VERSION, _NEWEST_VERSION = 1.0, 7.2


class DevOpsHost:
    """One host.

    Args:
        name: one of `HOSTS`.
        entra: issuer of the accepted tokens.
        world: returns the current world.
        addresses: base URL of each host by name, for the resource areas.
    """

    def __init__(
        self, name: str, entra: EntraState, world: Callable[[], World], addresses: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._addresses = {} if addresses is None else addresses
        self._entra = entra
        self._world = world

    async def handle(self, request: Request) -> Reply:
        """Answer a request."""
        if request.segments[:1] == ["_signin"]:
            return page()
        try:
            return self._answer(request)
        except DevOpsError as error:
            return error.reply()

    def _answer(self, request: Request) -> Reply:
        world, segments = self._world(), request.segments
        matches = find_routes(self.name, segments)
        organization = None
        # Only the profile host is not below an organization.
        if self.name != "profile":
            organization = world.organization(segments[0]) if segments else None
            if organization is None:
                raise organization_missing(segments[0] if segments else "")
        token = self._entra.access_tokens.bearer(request.headers.get("Authorization"))
        tenant = None if organization is None else organization.tenant_id
        match = next((match for match in matches if match[0].method == request.method), None)
        if matches:
            request.operation = (match or matches[0])[0].operation
        # The tenant of the organization is in the response even without a token: clients find their authority by it.
        accepted = token is not None and token.resource == "devops" and token.expires_at > world.clock.wall()
        if accepted or world.variants.is_chosen("resourceAreas", "open"):
            discovery = self._discover(request, segments if organization is None else segments[1:])
            if discovery is not None:
                return discovery
        if token is None or not accepted:
            return refuse(request, tenant)
        request.principal = token.principal.name
        if not matches:
            message = f"The controller for path '{request.path}' was not found or does not implement IController."
            raise DevOpsError(404, "HttpException", message)
        if match is None:
            message = f"The requested resource does not support http method '{request.method}'."
            allowed = {"Allow": ", ".join(route.method for route, _ in matches)}
            raise DevOpsError(405, "VssRequestMethodNotSupportedException", message, headers=allowed)
        return self._serve(world, request, token, organization, match)

    def _discover(self, request: Request, path: list[str]) -> Reply | None:
        """Answer the requests by which Microsoft's clients find paths and hosts; they need no token."""
        lowered = [segment.lower() for segment in path]
        if request.method == "OPTIONS" and lowered == ["_apis"]:
            request.operation = "Options"
            return listing(resource_locations(self.name))
        if request.method == "GET" and self.name == "devAzure" and lowered[:2] == ["_apis", "resourceareas"]:
            request.operation = "ResourceAreas_List"
            _check_version(request, preview=True)
            areas = resource_areas(request.segments[0], request.base, self._addresses)
            if len(lowered) == 2:  # noqa: PLR2004 - /_apis/resourceAreas without an id
                return listing(areas)
            area = next((area for area in areas if area["id"] == lowered[2]), None)
            return Reply(204) if area is None else json_reply(area)
        return None

    def _serve(
        self,
        world: World,
        request: Request,
        token: AccessToken,
        organization: Organization | None,
        match: tuple[Route, dict[str, str]],
    ) -> Reply:
        route, names = match
        if route.operation == "Tasks_Get" and world.variants.is_chosen("taskScope", "agentPools"):
            route = replace(route, permission="vso.agentpools")
        challenge = _continuous_access_challenge(world, token)
        if challenge is not None:
            return challenge
        person = _person(world, token, organization)
        if organization is not None:
            _check_membership(organization, person)
        if not _is_permitted(token, route):
            return _permission_missing(world, request, organization, route, person)
        _check_version(request, preview=route.preview)
        wall = world.clock.wall()
        if world.settings.throttling and world.usage.blocked(person.object_id, wall):
            raise _blocked(world.usage.headers(person.object_id, wall))
        factor = world.settings.azure_devops_cost_factor
        factor *= _HIGH_COST if world.variants.is_chosen("usageCosts", "high") else 1
        world.usage.charge(person.object_id, route.units * factor, wall)
        call = DevOpsCall(request, world, person, organization, names)
        has_usage = world.settings.throttling
        try:
            if route.reads_code:
                _check_access_level(call)
            reply = route.answer(call)
        except DevOpsError as error:
            reply = error.reply()
            has_usage = has_usage and world.variants.is_chosen("rateLimitHeaders", "everywhere")
        tenant = organization.tenant_id if organization is not None else None
        tenant_header = {"X-VSS-ResourceTenant": tenant} if tenant else {}
        reply.headers.update({**tenant_header, "X-TFS-ProcessId": "sandbox", "Cache-Control": "no-cache"})
        if has_usage:
            reply.headers.update(world.usage.headers(person.object_id, wall))
        return reply


_HIGH_COST = 10
"""Factor of the cost of a request in the variant in which it is high."""


def _continuous_access_challenge(world: World, token: AccessToken) -> Reply | None:
    """Return 401 insufficient_claims for a person whose sessions were revoked after the token was issued."""
    account = world.directory.accounts.get(token.principal.object_id)
    if account is None or world.variants.is_chosen("revocation", "withExpiry"):
        return None
    if account.alive and not (account.sessions_revoked_at and account.sessions_revoked_at >= token.issued_at):
        return None
    since = {"essential": True, "value": str(int(max(account.sessions_revoked_at, token.issued_at)))}
    claims = base64.b64encode(json.dumps({"access_token": {"nbf": since}}).encode()).decode()
    challenge = (
        f'Bearer realm="", authorization_uri="https://login.microsoftonline.com/{account.tenant_id}/oauth2/authorize", '
        f'error="insufficient_claims", claims="{claims}"'
    )
    return Reply(401, headers={"WWW-Authenticate": challenge, "Content-Type": "text/plain"})


def _person(world: World, token: AccessToken, organization: Organization | None) -> Person:
    principal = token.principal
    no_organization = Organization("", "", None)
    person = Identities(world, organization or no_organization).person(principal.object_id)
    if person is None:
        raise not_authorized(principal.name)
    return person


def _check_membership(organization: Organization, person: Person) -> None:
    member = organization.members.get(person.object_id)
    if organization.blocked_for_usage:
        raise _blocked({"Retry-After": "300"})
    if member is None or organization.tenant_id not in (None, person.tenant_id):
        raise not_authorized(person.name)
    if not member.signed_in:
        message = (
            f"TF401444: Please sign-in at least once as {person.tenant_id}\\{person.tenant_id}\\{person.name} in a web "
            "browser to enable access to the service."
        )
        raise DevOpsError(401, "UnauthorizedRequestException", message)


def _check_access_level(call: DevOpsCall) -> None:
    """Stakeholders have no access to the code of private projects."""
    member = call.current_organization.members[call.person.object_id]
    if member.license is License.STAKEHOLDER and any(project.visibility == "private" for project in call.projects()):
        if call.world.variants.is_chosen("stakeholderAccess", "notFound"):
            raise repository_missing(call.names.get("repository", ""))
        message = (
            "TF401027: You need the Git 'GenericRead' permission to perform this action. Details: identity "
            f"'{call.person.id}', scope 'repository'."
        )
        raise DevOpsError(403, "GitNeedsPermissionException", message)


def _is_permitted(token: AccessToken, route: Route) -> bool:
    """Whether the scopes of a person's token suffice; an application's own token needs none."""
    sufficient = {"user_impersonation", route.permission, *_INCLUDED_IN.get(route.permission, ())}
    return not token.principal.is_user or bool(token.scopes & sufficient)


def _permission_missing(
    world: World, request: Request, organization: Organization | None, route: Route, person: Person
) -> Reply:
    variant = world.variants["missingScope"]
    if variant == "signInPage":
        return refuse(request, None if organization is None else organization.tenant_id)
    if variant == "unauthorized":
        return not_authorized(person.name).reply()
    message = (
        f"VS403403: The token of '{person.name}' lacks the scope '{route.permission}', which is required to access "
        "this resource."
    )
    return DevOpsError(403, "AccessCheckException", message).reply()


def _check_version(request: Request, *, preview: bool) -> None:
    requested = api_version(request)
    if requested is None:
        return
    number, _, stage = requested.partition("-")
    try:
        version = float(number)
    except ValueError as error:
        message = f"A potentially dangerous value was detected in api-version: '{requested}'."
        raise DevOpsError(400, "VssInvalidApiVersionException", message) from error
    if not _OLDEST_VERSION <= version <= _NEWEST_VERSION:
        message = f"The requested REST API version of {number} is out of range for this server."
        raise DevOpsError(400, "VssVersionOutOfRangeException", message)
    if preview and not stage.startswith("preview"):
        message = (
            f'The requested version "{number}" of the resource is under preview. The -preview flag must be supplied in '
            f'the api-version for such requests. For example: "{number}-preview"'
        )
        raise DevOpsError(400, "VssInvalidPreviewVersionException", message)


def _blocked(headers: dict[str, str]) -> DevOpsError:
    message = (
        "TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource 'Concurrency' "
        "in namespace 'User'. For more information on why your request was blocked, see the topic \"Rate limits\" on "
        "the Microsoft Web site."
    )
    return DevOpsError(429, "RequestBlockedException", message, headers=headers)
