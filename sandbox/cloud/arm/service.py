"""Request handling of Resource Manager.

Checks run in this order: token, path, api-version, subscription and its tenant, request budget, permissions, resource
group, provider registration.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from http import HTTPStatus

from sandbox.cloud.arm.api_versions import check_api_version
from sandbox.cloud.arm.authorization.rights import Rights
from sandbox.cloud.arm.call import Call
from sandbox.cloud.arm.errors import ArmError, ConnectorError, ServiceError
from sandbox.cloud.arm.metadata import metadata_endpoints
from sandbox.cloud.arm.paths import ResourcePath, parse_path
from sandbox.cloud.arm.resources import Resources
from sandbox.cloud.arm.routes import ROUTES, Route, RouteKey, methods_of, resource_routes
from sandbox.cloud.arm.throttling import RequestBudgets
from sandbox.cloud.arm.unfamiliar import with_unfamiliar_content
from sandbox.cloud.clock import azure_time
from sandbox.cloud.entra.state import EntraState
from sandbox.cloud.entra.tokens import ARM_RESOURCES, AccessToken
from sandbox.cloud.faults import Fault
from sandbox.cloud.graph.endpoint import ResourceGraph
from sandbox.cloud.transport.message import Reply, Request
from sandbox.cloud.world.world import World

__all__ = ["Arm"]

_CONNECTOR_TYPE = "microsoft.security/securityconnectors"
_WRITES = ("PUT", "PATCH", "POST", "DELETE")


class Arm:
    """Resource Manager."""

    name = "arm"

    def __init__(self, entra: EntraState, world: Callable[[], World]) -> None:
        self._entra = entra
        self._world = world
        self._rights = Rights()
        self.reset()

    def reset(self) -> None:
        """Refill all request budgets and drop stored query results."""
        self._request_budgets = RequestBudgets()
        graph = Route(ResourceGraph(self._rights).answer, "Resources_Query", None)
        self._routes = {
            **ROUTES,
            **resource_routes(Resources(self._rights)),
            ("microsoft.resourcegraph/resources", False, "POST"): graph,
        }

    async def handle(self, request: Request) -> Reply:
        """Answer a request."""
        headers: dict[str, str] = {}
        try:
            if request.segments == ["metadata", "endpoints"] and request.method == "GET":
                request.operation = "Metadata_Endpoints"
                reply = metadata_endpoints(
                    request, self._entra, few=self._world().variants.is_chosen("metadataFields", "few")
                )  # public: clients read it before they have a token
            else:
                reply = await self._answer(request, headers)
        except ServiceError as error:
            reply = self._error(error).reply()
        _decorate(request, reply, headers)
        return reply

    def _error(self, error: ServiceError) -> ServiceError:
        """Return an error in the shape of the variant."""
        if isinstance(error, ConnectorError) and self._world().variants.is_chosen("connectorErrors", "arm"):
            return ArmError(error.status, "BadRequest", error.message)
        return error

    async def _answer(self, request: Request, headers: dict[str, str]) -> Reply:
        world = self._world()
        token = self._check_token(world, request)
        request.principal = token.principal.name
        path = parse_path(request.path)
        if path is None:
            message = "The request did not have a subscription or a valid tenant level resource provider."
            raise ArmError(404, "MissingSubscription", message)
        by_type = world.variants.is_chosen("unsupportedVersions", "byType")
        version = check_api_version(path, request.query.get("api-version"), by_type=by_type)
        route = _find_route(self._routes, request, path)
        request.operation = route.operation
        if path.subscription is not None:
            _check_subscription(world, path, token)
            headers.update(
                self._request_budgets.take(
                    world.clock.wall(),
                    path.subscription,
                    token.principal.object_id,
                    request.method,
                    enforce=world.settings.throttling,
                    connector=path.type == _CONNECTOR_TYPE,
                    constant=world.variants.is_chosen("resourceRequests", "constant"),
                )
            )
        call = Call(request, world, world.clock.now(), token.principal, path, version)
        if isinstance(request.fault, Fault):
            call.operation_fault = request.fault.operation
        self._check(call, route)
        answer = route.answer(call)
        reply = answer if isinstance(answer, Reply) else await answer
        if path.type.startswith(_CONNECTOR_TYPE):
            reply = with_unfamiliar_content(reply, world.variants["unfamiliarAnswers"])
        # After the write: the history stores what readers with a lag see later.
        if request.method in _WRITES and path.type.startswith(_CONNECTOR_TYPE):
            world.record_change(path.ancestor(1).lower(), call.now)
        return reply

    def _check(self, call: Call, route: Route) -> None:
        """Check permissions, resource group and registration of the provider, in the order of the variant."""

        def check_permissions(call: Call) -> None:
            if route.action is not None:
                self._rights.check(call.world, call.principal, route.action, call.path.id)

        checks = {"permissions": check_permissions, "group": _check_group, "registration": _check_provider}
        first = call.world.variants["checkOrder"]
        for name in (first, *(check for check in checks if check != first)):
            if name == "permissions" or call.path.subscription is not None:
                checks[name](call)

    def _check_token(self, world: World, request: Request) -> AccessToken:
        header = request.headers.get("Authorization")
        if not header:
            message = "Authentication failed. The 'Authorization' header is missing."
            raise _unauthenticated("AuthenticationFailed", message, "missing 'Authorization' header")
        token = self._entra.access_tokens.bearer(header)
        if token is None:
            raise _unauthenticated("InvalidAuthenticationToken", "The access token is invalid.", "invalid token")
        if token.resource != "arm":
            audiences = ",".join(f"'{resource}/'" for resource in ARM_RESOURCES)
            message = (
                "The access token has been obtained for wrong audience or resource. It should exactly match with one "
                f"of the allowed audiences {audiences}."
            )
            raise _unauthenticated("InvalidAuthenticationTokenAudience", message, "wrong audience")
        wall = world.clock.wall()
        if token.expires_at <= wall:
            expiry, present = azure_time(token.expires_at), azure_time(wall)
            message = f"The access token expiry UTC time '{expiry}' is earlier than current UTC time '{present}'."
            raise _unauthenticated("ExpiredAuthenticationToken", message, "expired token")
        return token


def _check_subscription(world: World, path: ResourcePath, token: AccessToken) -> None:
    identifier = path.subscription or ""
    subscription = world.subscription(identifier)
    if subscription is None:
        try:
            uuid.UUID(identifier)
        except ValueError as error:
            message = f"The provided subscription identifier '{identifier}' is malformed or invalid."
            raise ArmError(400, "InvalidSubscriptionId", message) from error
        raise ArmError(404, "SubscriptionNotFound", f"The subscription '{identifier}' could not be found.")
    if subscription.tenant_id != token.principal.tenant_id:
        message = (
            "The access token is from the wrong issuer "
            f"'https://sts.windows.net/{token.principal.tenant_id}/'. It must match the tenant "
            f"'https://sts.windows.net/{subscription.tenant_id}/' associated with this subscription. Please use "
            f"the authority (URL) 'https://login.windows.net/{subscription.tenant_id}' to get the token. Note, if the "
            "subscription is transferred to another tenant there is no impact to the services, but information "
            "about new tenant could take time to propagate (up to an hour)."
        )
        raise _unauthenticated("InvalidAuthenticationTokenTenant", message, "wrong issuer", subscription.tenant_id)


def _find_route(routes: Mapping[RouteKey, Route], request: Request, path: ResourcePath) -> Route:
    route = routes.get((path.type, path.is_item, request.method))
    if route is not None:
        return route
    methods = methods_of(routes, path.type, path.is_item)
    if methods:
        message = f"The requested resource does not support http method '{request.method}'."
        raise ArmError(405, "MethodNotAllowed", message, headers={"Allow": ", ".join(methods)})
    message = (
        f"The resource type '{path.type_name}' could not be found in the namespace '{path.namespace}' for this request."
    )
    raise ArmError(404, "InvalidResourceType", message)


def _check_group(call: Call) -> None:
    group = call.path.group
    # PUT of the group itself must not require the group.
    creates_it = call.path.type == "microsoft.resources/subscriptions/resourcegroups"
    if group is not None and not creates_it and group.lower() not in call.subscription.resource_groups:
        raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")


def _check_provider(call: Call) -> None:
    namespace = call.path.namespace
    # Reads do not require a registration, and the registration itself cannot.
    writes = call.request.method in _WRITES and call.path.type != "microsoft.security/register"
    if namespace.lower() != "microsoft.security" or not writes:
        return
    if namespace.lower() in call.subscription.providers:
        return
    message = (
        "The subscription is not registered to use namespace 'Microsoft.Security'. See https://aka.ms/rps-not-found "
        "for how to register subscriptions."
    )
    detail = {"code": "MissingSubscriptionRegistration", "target": "Microsoft.Security", "message": message}
    raise ArmError(409, "MissingSubscriptionRegistration", message, details=[detail])


def _unauthenticated(code: str, message: str, reason: str, tenant: str = "") -> ArmError:
    challenge = (
        f'Bearer authorization_uri="https://login.windows.net/{tenant}", error="invalid_token", '
        f'error_description="The authentication failed because of {reason}."'
    )
    return ArmError(401, code, message, headers={"WWW-Authenticate": challenge})


def _decorate(request: Request, reply: Reply, headers: dict[str, str]) -> None:
    """Add the headers that every response of Resource Manager has."""
    identifier = str(uuid.uuid4())
    common = {
        "Cache-Control": "no-cache",
        "Pragma": "no-cache",
        "Expires": "-1",
        "x-ms-request-id": identifier,
        "x-ms-correlation-request-id": request.headers.get("x-ms-correlation-request-id", identifier),
        "x-ms-routing-request-id": f"SANDBOX:{identifier}",
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        "X-Content-Type-Options": "nosniff",
    }
    if reply.status >= HTTPStatus.BAD_REQUEST:
        common["x-ms-failure-cause"] = "gateway"
    if request.headers.get("x-ms-return-client-request-id", "").lower() == "true":
        common["x-ms-client-request-id"] = request.headers.get("x-ms-client-request-id", "")
    reply.headers = {**common, **headers, **reply.headers}
