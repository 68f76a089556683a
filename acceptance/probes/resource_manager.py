"""Probe `resource-manager`: versions, errors, counters, plans, and public endpoints."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import quote

from acceptance.checks import Check, Cost, Observation, Probe, agreement
from acceptance.session.answer import Inconclusive, items_of, member, object_of, text_of
from acceptance.session.session import ARM
from acceptance.tenant import CONNECTOR_VERSION, DEVOPS_VERSION, Tenant, required

__all__ = ["PROBE"]

_MISSING_GROUP: Final = "acceptance-kit-has-no-such-group"
_MISSING_CONNECTOR: Final = "acceptance-kit-has-no-such-connector"
_FORBIDDEN: Final = "AuthorizationFailed"
_UNREGISTERED: Final = "MissingSubscriptionRegistration"
_CHECKED_FIRST: Final = {"ResourceGroupNotFound": "group", _UNREGISTERED: "registration"}
"""What is checked before the permissions, by the error code of a request without one."""

_BURST: Final = 10
_ROLES: Final = {
    "Owner",
    "Contributor",
    "Reader",
    "Security Admin",
    "Security Reader",
    "User Access Administrator",
    "Role Based Access Control Administrator",
}
_RESOURCES_VERSION: Final = "2022-09-01"
_ROLES_VERSION: Final = "2022-04-01"
_PRICINGS_VERSION: Final = "2024-01-01"
_PRICINGS_PATH: Final = "/providers/Microsoft.Security/pricings"
_PLAN_EXTENSIONS: Final = 5
_CONFLICT: Final = 409
_NOT_FOUND: Final = 404
_COUNTER: Final = "x-ms-ratelimit-remaining-subscription-resource-requests"
_READS_MAX: Final = 250


async def _unsupported_version(tenant: Tenant) -> Observation:
    code = (await tenant.arm(tenant.connector_path(), DEVOPS_VERSION)).error_code
    values = {"NoRegisteredProviderFound": "byType", "InvalidApiVersionParameter": "invalid"}
    if code not in values:
        raise Inconclusive("the version of another type was answered with another error, or none")
    return Observation(values[code], f"the version of another type is answered with {code}")


async def _check_order(tenant: Tenant) -> Observation:
    subscription = required(tenant.file.forbidden_subscription, "forbiddenSubscription")
    path = f"/subscriptions/{subscription}/resourceGroups/{_MISSING_GROUP}/providers/Microsoft.Security"
    code = (await tenant.arm(f"{path}/securityConnectors", CONNECTOR_VERSION)).error_code
    if code in _CHECKED_FIRST:
        return Observation(_CHECKED_FIRST[code], f"a missing group without a right is answered with {code}")
    if code != _FORBIDDEN:
        raise Inconclusive("a missing group without a right was answered with another error, or none")
    # A read may need no registration: only an action shows whether the registration comes before the permissions.
    action = await _action_code(tenant, subscription, _MISSING_GROUP)
    if action in _CHECKED_FIRST:
        return Observation(_CHECKED_FIRST[action], f"an action without a right is answered with {action}")
    if action == _FORBIDDEN and await _actions_need_registration(tenant):
        return Observation("permissions", f"a read and an action without a right are answered with {_FORBIDDEN}")
    evidence = f"a read without a right is answered with {_FORBIDDEN}; no action shows when the registration is checked"
    return Observation("permissions", evidence, ("registration",))


async def _action_code(tenant: Tenant, subscription: str, group: str) -> str:
    """Return the error code of an action on a connector that does not exist; empty for no error."""
    path = f"/subscriptions/{subscription}/resourceGroups/{quote(group, safe='')}/providers/Microsoft.Security"
    path += f"/securityConnectors/{_MISSING_CONNECTOR}/devops/default/listAvailableAzureDevOpsOrgs"
    return (await tenant.session.send("POST", ARM, path, {"api-version": DEVOPS_VERSION})).error_code


async def _actions_need_registration(tenant: Tenant) -> bool:
    """Whether an action in a subscription without the registration is refused for it, where the identity has a role."""
    subscription = tenant.file.unregistered_subscription
    if not subscription:
        return False
    groups = (await tenant.arm(f"/subscriptions/{subscription}/resourceGroups", _RESOURCES_VERSION)).values()
    name = text_of(groups[0], "name") if groups else ""
    return bool(name) and await _action_code(tenant, subscription, name) == _UNREGISTERED


async def _resource_requests(tenant: Tenant) -> Observation:
    path = tenant.connector_path()
    # At once: a counter that refills a hundred times a second would look constant otherwise.
    answers = await asyncio.gather(*(tenant.arm(path, CONNECTOR_VERSION, fresh=True) for _ in range(_BURST)))
    counts = [answer.headers.get(_COUNTER, "") for answer in answers]
    if not all(count.isdecimal() for count in counts):
        raise Inconclusive("the answers have no counter")
    value = "constant" if len(set(counts)) == 1 else "refills"
    return Observation(value, f"{_BURST} reads at once had between {min(counts, key=int)} and {max(counts, key=int)}")


async def _metadata(tenant: Tenant) -> Observation:
    answer = await tenant.session.get(ARM, "/metadata/endpoints", {"api-version": "2022-09-01"}, token=None)
    body = answer.object()
    if "authentication" not in body or "resourceManager" not in body:
        raise Inconclusive("the answer does not name the endpoints")
    more = body.keys() - {"name", "authentication", "resourceManager"}
    return Observation("full" if more else "few", f"{len(body)} fields, without a token")


async def _plan(tenant: Tenant) -> Observation:
    path = f"{tenant.subscription_path()}{_PRICINGS_PATH}/CloudPosture"
    older, newer = [(await tenant.arm(path, version)).object() for version in ("2022-03-01", _PRICINGS_VERSION)]
    if not text_of(newer, "properties", "pricingTier"):
        raise Inconclusive("the plan has no tier")
    old, new = object_of(older, "properties"), object_of(newer, "properties")
    holds = {"enforce", "resourcesCoverageStatus"} <= new.keys() and "extensions" not in old
    return agreement(holds, f"the tier is {text_of(newer, 'properties', 'pricingTier')}")


async def _plan_extensions(tenant: Tenant) -> Observation:
    path = f"{tenant.subscription_path()}{_PRICINGS_PATH}/CloudPosture"
    plan = (await tenant.arm(path, _PRICINGS_VERSION)).object()
    if not text_of(plan, "properties", "pricingTier"):
        raise Inconclusive("the plan has no tier")
    if not isinstance(member(plan, "properties", "extensions"), list):
        return Observation("absent", "there is no list")
    extensions = items_of(plan, "properties", "extensions")
    enabled = [item for item in extensions if text_of(item, "isEnabled").lower() == "true"]
    evidence = f"{len(extensions)} extensions, {len(enabled)} of them on"
    if len(enabled) < len(extensions):
        return Observation("all", evidence)
    if len(extensions) < _PLAN_EXTENSIONS:
        return Observation("enabled", evidence)
    return Observation("all", evidence, ("enabled",))


async def _other_plans(tenant: Tenant) -> Observation:
    plans = (await tenant.arm(f"{tenant.subscription_path()}{_PRICINGS_PATH}", _PRICINGS_VERSION)).values()
    if not plans:
        raise Inconclusive("the list of plans is empty")
    return Observation("present" if len(plans) > 1 else "absent", f"{len(plans)} plans")


async def _unregistered_plans(tenant: Tenant) -> Observation:
    subscription = required(tenant.file.unregistered_subscription, "unregisteredSubscription")
    answer = await tenant.arm(f"/subscriptions/{subscription}{_PRICINGS_PATH}/CloudPosture", _PRICINGS_VERSION)
    evidence = f"HTTP {answer.status} {answer.error_code}".rstrip()
    if answer.is_success and text_of(answer.object(), "properties", "pricingTier"):
        return Observation("free", evidence)
    values = {_NOT_FOUND: "notFound", _CONFLICT: "conflict"}
    if answer.status not in values or not answer.error_code:
        raise Inconclusive(evidence)
    return Observation(values[answer.status], evidence)


async def _counters(tenant: Tenant) -> Observation:
    answer = await tenant.arm(f"{tenant.connector_path()}/devops/default")
    answer.object()
    count = answer.headers.get("x-ms-ratelimit-remaining-subscription-reads", "")
    return agreement(count.isdecimal() and int(count) <= _READS_MAX, f"{count or 'no number of'} reads remain")


async def _missing_group(tenant: Tenant) -> Observation:
    path = f"{tenant.subscription_path()}/resourceGroups/{_MISSING_GROUP}/providers/Microsoft.Security"
    answer = await tenant.arm(f"{path}/securityConnectors", CONNECTOR_VERSION)
    if not answer.error_code:
        raise Inconclusive(f"HTTP {answer.status} without an error code")
    holds = (answer.status, answer.error_code) == (_NOT_FOUND, "ResourceGroupNotFound")
    return agreement(holds, f"a missing group is answered with {answer.status} {answer.error_code}")


async def _resource_list(tenant: Tenant) -> Observation:
    query = {"$filter": "resourceType eq 'Microsoft.Security/securityConnectors'"}
    resources = (await tenant.arm(f"{tenant.group_path()}/resources", _RESOURCES_VERSION, query)).values()
    names = {text_of(resource, "name").lower() for resource in resources}
    return agreement(tenant.file.connector.lower() in names, f"{len(resources)} connectors in the group's list")


async def _roles(tenant: Tenant) -> Observation:
    path = f"{tenant.subscription_path()}/providers/Microsoft.Authorization/roleDefinitions"
    definitions = await tenant.session.arm_pages(path, {"api-version": _ROLES_VERSION})
    names = {text_of(item, "properties", "roleName") for page in definitions for item in page}
    if not names:
        raise Inconclusive("the list of roles is empty")
    return agreement(names >= _ROLES, f"{len(_ROLES & names)} of the {len(_ROLES)} roles are in the list")


async def _role_assignments(tenant: Tenant) -> Observation:
    path = f"{tenant.connector_path()}/providers/Microsoft.Authorization/roleAssignments"
    assignments = (await tenant.arm(path, _ROLES_VERSION, {"$filter": "atScope()"})).values()
    prefix = f"{tenant.connector_path()}/".lower()
    below = [item for item in assignments if text_of(item, "properties", "scope").lower().startswith(prefix)]
    return agreement(not below, f"{len(assignments)} assignments at the connector and above, {len(below)} below")


PROBE: Final = Probe(
    "resource-manager",
    "the connector, its counters and role assignments; plans, role definitions and resources of the subscription",
    Cost(reads=36, writes=2),
    (
        Check("InvalidApiVersionParameter for a version", _unsupported_version, "unsupportedVersions"),
        Check("order of checks:", _check_order, "checkOrder"),
        Check("`x-ms-ratelimit-remaining-subscription-resource-requests`", _resource_requests, "resourceRequests"),
        Check("`/metadata/endpoints` needs no token", _metadata, "metadataFields"),
        Check("`Microsoft.Security/pricings/CloudPosture` of a subscription", _plan),
        Check("of plans only CloudPosture", _other_plans, "otherPlans"),
        Check("of plans only CloudPosture", _plan_extensions, "planExtensions"),
        Check("404 `Subscription Not Registered`", _unregistered_plans, "unregisteredPlans"),
        Check("token buckets for each subscription", _counters),
        Check("AuthorizationFailed, RequestDisallowedByPolicy", _missing_group),
        Check("`/subscriptions/{id}/providers`", _resource_list),
        Check("built-in roles Owner", _roles),
        Check("role assignments: RoleAssignmentExists", _role_assignments),
    ),
)
