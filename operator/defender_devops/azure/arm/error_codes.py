"""What Azure's error codes mean for a connector: one function for each meaning, one table of all codes.

Sources: https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors and what
Microsoft.Security answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from defender_devops.azure.arm.error_body import ErrorDetail
from defender_devops.errors import (
    AzureError,
    AzureUnavailable,
    Forbidden,
    InvalidRequest,
    PolicyDenied,
    ProviderNotRegistered,
    RegionNotSupported,
    ScopeNotFound,
    Throttled,
    TokenExchangeFailed,
    WrongTenant,
)

__all__ = [
    "BY_CODE",
    "Asked",
    "busy",
    "is_token_exchange",
    "said",
    "throttled",
    "token_exchange_failed",
    "token_refused",
    "unavailable",
]

_PROVIDER: Final = "Microsoft.Security"


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, for the words of an error.

    Attributes:
        what: the request in words, such as `create connector`.
        who: the identity in words, such as `client 1111…`.
        subscription: id of the subscription that it is about, or None.
    """

    what: str
    who: str = "the operator's identity"
    subscription: str | None = None


def throttled(_detail: ErrorDetail, asked: Asked) -> AzureError:
    """The service's limit is reached."""
    return Throttled(f"Azure limits how often {asked.who} may {asked.what}: tried again when the limit has recovered.")


def unavailable(detail: ErrorDetail, asked: Asked) -> AzureError:
    """The service failed by itself."""
    return AzureUnavailable(f"Azure failed to {asked.what}{said(detail)}. It is tried again.")


def busy(detail: ErrorDetail, asked: Asked) -> AzureError:
    """Something else is under way on the same resource."""
    return AzureUnavailable(f"Azure is not ready to {asked.what}{said(detail)}. It is tried again.")


def token_refused(detail: ErrorDetail, asked: Asked) -> AzureError:
    """Resource Manager does not take a token that Entra ID gave."""
    return Forbidden(
        f"Azure does not accept the token of {asked.who}{said(detail)}. Check that the identity still exists, is "
        "enabled and belongs to the tenant in spec.azure.tenantId."
    )


def said(detail: ErrorDetail) -> str:
    """`: code: message`, as much of it as there is, with the first words from beneath where the top has none."""
    spoken = next((each for each in detail.walk() if each.message), detail)
    words = ": ".join(part for part in (spoken.code or detail.code, spoken.message.rstrip(" .")) if part)
    return f": {words}" if words else ""


def _authorization_failed(detail: ErrorDetail, asked: Asked) -> AzureError:
    words = detail.message
    action = _quoted(words, r"perform action\(s\)", "perform action") or "it needs"
    scope = _quoted(words, r"linked scope\(s\)", "over scope")
    client, principal = _quoted(words, "client"), _quoted(words, "object id")
    who = f"the client {client}" + (f" (object id {principal})" if principal else "") if client else asked.who
    where = f" over {scope}" if scope else ""
    return Forbidden(f"Azure forbids {who} the action {action}{where}. {_grant(action, principal, scope)}")


def _grant(action: str, principal: str, scope: str) -> str:
    """The command that gives the right, at the resource group (or subscription) of the scope."""
    at = re.match(r"/subscriptions/[^/]+(/resourceGroups/[^/]+)?", scope, re.IGNORECASE)
    return (
        "Give it the right, for example: az role assignment create "
        f"--assignee-object-id {principal or '<object id>'} --assignee-principal-type ServicePrincipal "
        f"--role '{_role_for(action)}' --scope {at[0] if at else '<subscription or resource group>'} "
        "(a right given a moment ago takes some minutes to work)."
    )


def _role_for(action: str) -> str:
    """The smallest built-in role with that action (https://learn.microsoft.com/azure/role-based-access-control/built-in-roles)."""
    action = action.lower()
    if action.startswith("microsoft.authorization/"):
        return "Role Based Access Control Administrator"
    return "Security Reader" if action.endswith("/read") else "Security Admin"


def _wrong_tenant(detail: ErrorDetail, asked: Asked) -> AzureError:
    tenants = re.findall(r"sts\.windows\.net/([0-9a-fA-F-]{36})", detail.message)
    ours, theirs = (tenants[0], tenants[1]) if len(tenants) > 1 else ("another tenant", "its own")
    subscription = f"subscription {asked.subscription}" if asked.subscription else "the subscription"
    return WrongTenant(
        f"The token of {asked.who} is of tenant {ours}, but {subscription} belongs to tenant {theirs}: correct "
        "spec.azure.tenantId or spec.azure.subscriptionId, and use an identity of that tenant."
    )


def _policy_denied(detail: ErrorDetail, asked: Asked) -> AzureError:
    named = list(dict.fromkeys(_policies(detail)))[:3]
    which = "; ".join(named) or "an Azure Policy that it does not name"
    return PolicyDenied(
        f"Azure Policy forbids to {asked.what}: {which}. Change the manifest so that it complies, or ask the policy's "
        "owner for an exemption."
    )


def _policies(detail: ErrorDetail) -> Iterator[str]:
    for each in detail.walk():
        for info in each.policies:
            yield _policy(
                _first(info, "policyDefinitionDisplayName", "policyDefinitionName"),
                _first(info, "policyAssignmentDisplayName", "policyAssignmentName"),
                _first(info, "policyAssignmentScope"),
            )
    # The message names them too, as JSON within the text: the only place where a body has no additionalInfo.
    if not any(each.policies for each in detail.walk()):
        for assignment, definition in _POLICY_IN_MESSAGE.findall(detail.message):
            yield _policy(definition, assignment, "")


_POLICY_IN_MESSAGE: Final = re.compile(
    r'"policyAssignment":\s*\{"name":\s*"([^"]*)"[^{}]*\},\s*"policyDefinition":\s*\{"name":\s*"([^"]*)"'
)


def _policy(definition: str, assignment: str, scope: str) -> str:
    assigned = " ".join(
        part for part in (f"assigned as '{assignment}'" if assignment else "", scope and f"at {scope}") if part
    )
    return f"policy '{definition or assignment}'" + (f" ({assigned})" if assigned else "")


def _first(info: Mapping[str, Any], *keys: str) -> str:
    return next((str(info[key]) for key in keys if info.get(key)), "")


def _subscription_not_found(detail: ErrorDetail, asked: Asked) -> AzureError:
    subscription = _quoted(detail.message, "subscription", "subscription identifier") or asked.subscription or ""
    return ScopeNotFound(
        f"The subscription {subscription} does not exist, or {asked.who} cannot see it: check "
        "spec.azure.subscriptionId and spec.azure.tenantId, and give the identity a role there."
    )


def _group_not_found(detail: ErrorDetail, asked: Asked) -> AzureError:
    group = _quoted(detail.message, "resource group") or "of the manifest"
    at = f" --subscription {asked.subscription}" if asked.subscription else ""
    return ScopeNotFound(
        f"The resource group {group} does not exist: check spec.azure.resourceGroup, or create it with "
        f"az group create --name {group} --location <region>{at}"
    )


def _group_going(detail: ErrorDetail, asked: Asked) -> AzureError:
    return ScopeNotFound(f"The resource group is being deleted, so Azure refuses to {asked.what}{said(detail)}.")


def _not_registered(detail: ErrorDetail, asked: Asked) -> AzureError:
    named = next((each.target for each in detail.walk() if each.target), "")
    namespace = named or _quoted(detail.message, "namespace") or _PROVIDER
    at = f" --subscription {asked.subscription}" if asked.subscription else ""
    return ProviderNotRegistered(
        f"The subscription has not registered the resource provider {namespace}. Register it once, with: "
        f"az provider register --namespace {namespace}{at}"
    )


def _no_such_version(detail: ErrorDetail, asked: Asked) -> AzureError:
    return InvalidRequest(
        f"Azure does not offer this operator's way to {asked.what}{said(detail)}. Check that the subscription is in "
        "Azure's commercial cloud, and upgrade the operator."
    )


def _token_expired(_detail: ErrorDetail, asked: Asked) -> AzureError:
    return AzureUnavailable(
        f"Azure says that a fresh token of {asked.who} has expired: if this lasts, check the clock of the node that "
        "the operator runs on."
    )


def _refused(detail: ErrorDetail, asked: Asked) -> AzureError:
    return InvalidRequest(f"Azure refuses to {asked.what}{said(detail)}.")


def _region_not_supported(detail: ErrorDetail, _asked: Asked) -> AzureError:
    location = _quoted(detail.message, "location") or "in the manifest"
    regions = _quoted(detail.message, *_REGION_LISTS)
    choice = f"one of these: {regions}" if regions else "a region that Defender for Cloud offers for connectors"
    return RegionNotSupported(
        f"Defender for Cloud offers no connectors in the region {location}. A location cannot be changed: delete this "
        f"resource and create it again with spec.azure.location set to {choice}."
    )


_REGION_LISTS: Final = ("supported locations are", "available regions for the resource type is")


def _other_location(detail: ErrorDetail, asked: Asked) -> AzureError:
    return InvalidRequest(
        f"Azure refuses to {asked.what}{said(detail)}. A connector cannot move: delete the one in Azure, or "
        "create this resource again with its location or with another spec.azure.connectorName."
    )


def _locked(detail: ErrorDetail, asked: Asked) -> AzureError:
    return Forbidden(
        f"A lock forbids to {asked.what}{said(detail)}. Remove it: az lock list --resource-group <group> shows it."
    )


def _subscription_disabled(detail: ErrorDetail, asked: Asked) -> AzureError:
    return Forbidden(f"The subscription is disabled, so Azure refuses to {asked.what}{said(detail)}. Enable it again.")


def is_token_exchange(detail: ErrorDetail) -> bool:
    """Whether the words tell of a spent one-time code, with whatever code they come."""
    words = " ".join(f"{each.code} {each.message}" for each in detail.walk()).lower()
    return "token exchange failed" in words or "invalidoauthcode" in words


def token_exchange_failed(detail: ErrorDetail, _asked: Asked) -> AzureError:
    """Defender's own redemption of the one-time code failed."""
    return TokenExchangeFailed(
        f"Defender for Cloud could not exchange the one-time code for an authorization{said(detail)}. "
        "That code is spent: authorize once more and bring a new one."
    )


def _quoted(text: str, *before: str) -> str:
    """What stands in quotes after one of these words, or nothing."""
    for words in before:
        if match := re.search(rf"{words}\s*'([^']*)'", text, re.IGNORECASE):
            return match[1]
    return ""


BY_CODE: Final[Mapping[str, Callable[[ErrorDetail, Asked], AzureError]]] = {
    "expiredauthenticationtoken": _token_expired,
    "invalidauthenticationtoken": token_refused,
    "authenticationfailed": token_refused,
    "invalidauthenticationtokentenant": _wrong_tenant,
    "authorizationfailed": _authorization_failed,
    "linkedauthorizationfailed": _authorization_failed,
    "requestdisallowedbypolicy": _policy_denied,
    "subscriptionnotfound": _subscription_not_found,
    "invalidsubscriptionid": _subscription_not_found,
    "resourcegroupnotfound": _group_not_found,
    "resourcegroupbeingdeleted": _group_going,
    "missingsubscriptionregistration": _not_registered,
    "subscriptionnotregistered": _not_registered,
    "noregisteredproviderfound": _no_such_version,
    "invalidapiversionparameter": _no_such_version,
    "locationnotavailableforresourcetype": _region_not_supported,
    "invalidresourcelocation": _other_location,
    "scopelocked": _locked,
    "readonlydisabledsubscription": _subscription_disabled,
    "disabledsubscription": _subscription_disabled,
    "subscriptionrequeststhrottled": throttled,
    "resourcerequeststhrottled": throttled,
    "resourcecollectionrequeststhrottled": throttled,
    "toomanyrequests": throttled,
    "ratelimiting": throttled,
    "responsepayloadtoolarge": _refused,
    "roleassignmentupdatenotpermitted": _refused,
    "tokenexchangefailed": token_exchange_failed,
    "anotheroperationinprogress": busy,
    "conflictingconcurrentwritenotallowed": busy,
    "operationpreempted": busy,
    "servererror": unavailable,
    "internalservererror": unavailable,
    "serviceunavailable": unavailable,
    "servertimeout": unavailable,
    "gatewaytimeout": unavailable,
}
