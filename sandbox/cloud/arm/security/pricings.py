"""GET the plan Defender CSPM of a subscription: `Microsoft.Security/pricings/CloudPosture`."""

from __future__ import annotations

from typing import Any

from sandbox.cloud.arm.call import Call
from sandbox.cloud.arm.errors import ArmError, not_found
from sandbox.cloud.clock import azure_time
from sandbox.cloud.transport.message import Reply, json_reply
from sandbox.cloud.world.azure import CSPM_EXTENSIONS

__all__ = ["get", "list_all"]

_TYPE = "Microsoft.Security/pricings"
_PLAN = "CloudPosture"
_OTHER_PLANS = ("VirtualMachines", "SqlServers", "AppServices", "StorageAccounts", "KeyVaults", "Arm", "Containers")
_EXTENSIONS_SINCE = "2023-01-01"
_COVERAGE_SINCE = "2024-01-01"


def get(call: Call) -> Reply:
    """GET one.

    Raises:
        ArmError: 404: another plan, or the subscription is not registered.
    """
    _check_scope(call)
    has_others = call.world.variants.is_chosen("otherPlans", "present")
    plan = next((name for name in _OTHER_PLANS if has_others and name.lower() == call.name.lower()), None)
    if plan is not None:
        return json_reply(_render_free(call, plan))
    if call.name.lower() != _PLAN.lower():
        raise not_found(f"{_TYPE}/{call.name}", call.path.group)
    return json_reply(_render(call))


def list_all(call: Call) -> Reply:
    """GET the collection.

    Raises:
        ArmError: 404: the subscription is not registered.
    """
    _check_scope(call)
    plans = [_render(call)]
    if call.world.variants.is_chosen("otherPlans", "present"):
        plans += [_render_free(call, name) for name in _OTHER_PLANS]
    return json_reply({"value": plans})


def _is_registered(call: Call) -> bool:
    return "microsoft.security" in call.subscription.providers


def _check_scope(call: Call) -> None:
    if call.path.scope.count("/") != len(("", "subscriptions", "id")) - 1:
        raise not_found(f"{_TYPE}/{_PLAN}", call.path.group)
    choice = call.world.variants["unregisteredPlans"]
    if _is_registered(call) or choice == "free":
        return
    if choice == "conflict":
        message = "The subscription is not registered to use namespace 'Microsoft.Security'."
        raise ArmError(409, "MissingSubscriptionRegistration", message)
    message = "Please register to Microsoft.Security in order to view your security status"
    raise ArmError(404, "Subscription Not Registered", message)


def _render_free(call: Call, plan: str) -> dict[str, Any]:
    """Return a plan that is off."""
    identifier = f"/subscriptions/{call.subscription.id}/providers/{_TYPE}/{plan}"
    properties = {"pricingTier": "Free", "freeTrialRemainingTime": "P30D"}
    return {"id": identifier, "name": plan, "type": _TYPE, "properties": properties}


def _render(call: Call) -> dict[str, Any]:
    subscription = call.subscription
    enabled = subscription.defender_cspm and _is_registered(call)
    properties: dict[str, Any] = {
        "pricingTier": "Standard" if enabled else "Free",
        "freeTrialRemainingTime": "PT0S",
    }
    choice = call.world.variants["planExtensions"]
    if call.api_version >= _EXTENSIONS_SINCE and choice != "absent":
        enabled_names = sorted(subscription.cspm_extensions) if enabled else []
        names = dict.fromkeys(enabled_names if choice == "enabled" else (*CSPM_EXTENSIONS, *enabled_names))
        properties["extensions"] = [
            {"name": name, "isEnabled": str(enabled and name in subscription.cspm_extensions)} for name in names
        ]
    if call.api_version >= _COVERAGE_SINCE:
        properties["enforce"] = "False"
        properties["resourcesCoverageStatus"] = "FullyCovered" if enabled else "NotCovered"
        if enabled:
            wall = call.world.clock.wall_of(subscription.cspm_enabled_at)
            properties["enablementTime"] = azure_time(wall)
    identifier = f"/subscriptions/{subscription.id}/providers/{_TYPE}/{_PLAN}"
    return {"id": identifier, "name": _PLAN, "type": _TYPE, "properties": properties}
