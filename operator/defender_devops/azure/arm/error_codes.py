"""The meaning of Azure's error codes: one function for each meaning, and one table of all codes.

Sources: https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors and the
responses of Microsoft.Security.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from defender_devops.azure.arm.error_body import ErrorDetail
from defender_devops.errors import (
    WILL_RETRY,
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
    "ErrorBuilder",
    "RequestContext",
    "conflict",
    "describe",
    "is_token_exchange_failure",
    "throttled",
    "token_exchange_failed",
    "token_rejected",
    "unavailable",
]

_PROVIDER: Final = "Microsoft.Security"


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The request that failed, for the message of its error.

    Attributes:
        operation: the request as a verb phrase, such as `create connector`.
        identity: the identity in words, such as `client 1111…`.
        subscription: id of the subscription of the request, or None.
    """

    operation: str
    identity: str = "the operator's identity"
    subscription: str | None = None


ErrorBuilder = Callable[[ErrorDetail, RequestContext], AzureError]


def throttled(_detail: ErrorDetail, context: RequestContext) -> AzureError:
    """The service's rate limit is exhausted."""
    return Throttled(f"Azure is throttling the requests of {context.identity} to {context.operation}. {WILL_RETRY}")


def unavailable(detail: ErrorDetail, context: RequestContext) -> AzureError:
    """The service itself failed."""
    return AzureUnavailable(f"Azure failed to {context.operation}{describe(detail)}. {WILL_RETRY}")


def conflict(detail: ErrorDetail, context: RequestContext) -> AzureError:
    """Another operation on the same resource is in progress."""
    return AzureUnavailable(f"Azure cannot {context.operation} at the moment{describe(detail)}. {WILL_RETRY}")


def token_rejected(detail: ErrorDetail, context: RequestContext) -> AzureError:
    """Azure Resource Manager rejected a token that Entra ID issued."""
    return Forbidden(
        f"Azure rejected the access token of {context.identity}{describe(detail)}. Check that the identity still "
        "exists, is enabled and belongs to the tenant in spec.azure.tenantId."
    )


def describe(detail: ErrorDetail) -> str:
    """Return `: code: message` with the available parts; the message of a nested error where the outer has none."""
    source = next((error for error in detail.walk() if error.message), detail)
    text = ": ".join(part for part in (source.code or detail.code, source.message.rstrip(" .")) if part)
    return f": {text}" if text else ""


def _authorization_failed(detail: ErrorDetail, context: RequestContext) -> AzureError:
    message = detail.message
    action = _quoted(message, r"perform action\(s\)", "perform action") or "of the request"
    scope = _quoted(message, r"linked scope\(s\)", "over scope")
    client, principal = _quoted(message, "client"), _quoted(message, "object id")
    identity = f"client {client}" + (f" (object id {principal})" if principal else "") if client else context.identity
    # The smallest built-in role with that action (https://learn.microsoft.com/azure/role-based-access-control/built-in-roles).
    if action.lower().startswith("microsoft.authorization/"):
        role = "Role Based Access Control Administrator"
    else:
        role = "Security Reader" if action.lower().endswith("/read") else "Security Admin"
    assignable = re.match(r"/subscriptions/[^/]+(/resourceGroups/[^/]+)?", scope, re.IGNORECASE)
    return Forbidden(
        f"Azure denied {identity} the action {action}{f' over {scope}' if scope else ''}. Assign a role with that "
        f"action, for example: az role assignment create --assignee-object-id {principal or '<object id>'} "
        f"--assignee-principal-type ServicePrincipal --role '{role}' "
        f"--scope {assignable[0] if assignable else '<subscription or resource group>'} "
        "(a new role assignment takes some minutes to take effect)."
    )


def _wrong_tenant(detail: ErrorDetail, context: RequestContext) -> AzureError:
    tenants = re.findall(r"sts\.windows\.net/([0-9a-fA-F-]{36})", detail.message)
    token_tenant, subscription_tenant = tenants[:2] if len(tenants) > 1 else ("another tenant", "its own")
    subscription = f"subscription {context.subscription}" if context.subscription else "the subscription"
    return WrongTenant(
        f"The token of {context.identity} is of tenant {token_tenant}, but {subscription} belongs to tenant "
        f"{subscription_tenant}: correct spec.azure.tenantId or spec.azure.subscriptionId, and use an identity of that "
        "tenant."
    )


def _policy_denied(detail: ErrorDetail, context: RequestContext) -> AzureError:
    policies = "; ".join(list(dict.fromkeys(_policies(detail)))[:3]) or "a policy that the response does not name"
    return PolicyDenied(
        f"Azure Policy denied the request to {context.operation}: {policies}. Change the manifest so that it complies, "
        "or ask the owner of the policy for an exemption."
    )


def _policies(detail: ErrorDetail) -> Iterator[str]:
    infos = [info for error in detail.walk() for info in error.policies]
    for info in infos:
        yield _policy(
            _first_value(info, "policyDefinitionDisplayName", "policyDefinitionName"),
            _first_value(info, "policyAssignmentDisplayName", "policyAssignmentName"),
            _first_value(info, "policyAssignmentScope"),
        )
    if not infos:  # the message then has the names as JSON within its text
        for assignment, definition in _POLICY_IN_MESSAGE.findall(detail.message):
            yield _policy(definition, assignment, "")


_POLICY_IN_MESSAGE: Final = re.compile(
    r'"policyAssignment":\s*\{"name":\s*"([^"]*)"[^{}]*\},\s*"policyDefinition":\s*\{"name":\s*"([^"]*)"'
)


def _policy(definition: str, assignment: str, scope: str) -> str:
    parts = (f"assigned as '{assignment}'" if assignment else "", f"at {scope}" if scope else "")
    assigned = " ".join(part for part in parts if part)
    return f"policy '{definition or assignment}'" + (f" ({assigned})" if assigned else "")


def _first_value(info: Mapping[str, Any], *keys: str) -> str:
    return next((str(info[key]) for key in keys if info.get(key)), "")


def _subscription_not_found(detail: ErrorDetail, context: RequestContext) -> AzureError:
    subscription = _quoted(detail.message, "subscription", "subscription identifier") or context.subscription or ""
    return ScopeNotFound(
        f"The subscription {subscription} does not exist, or {context.identity} has no access to it: check "
        "spec.azure.subscriptionId and spec.azure.tenantId, and assign the identity a role there."
    )


def _group_not_found(detail: ErrorDetail, context: RequestContext) -> AzureError:
    group = _quoted(detail.message, "resource group") or "of the manifest"
    return ScopeNotFound(
        f"The resource group {group} does not exist: check spec.azure.resourceGroup, or create it with "
        f"az group create --name {group} --location <region>{_subscription_option(context)}"
    )


def _group_being_deleted(detail: ErrorDetail, context: RequestContext) -> AzureError:
    return ScopeNotFound(
        f"The resource group is being deleted, so Azure rejected the request to {context.operation}{describe(detail)}."
    )


def _not_registered(detail: ErrorDetail, context: RequestContext) -> AzureError:
    target = next((error.target for error in detail.walk() if error.target), "")
    namespace = target or _quoted(detail.message, "namespace") or _PROVIDER
    return ProviderNotRegistered(
        f"The subscription has not registered the resource provider {namespace}. Register it once, with: "
        f"az provider register --namespace {namespace}{_subscription_option(context)}"
    )


def _subscription_option(context: RequestContext) -> str:
    return f" --subscription {context.subscription}" if context.subscription else ""


def _api_version_not_offered(detail: ErrorDetail, context: RequestContext) -> AzureError:
    return InvalidRequest(
        f"Azure does not offer the API version with which this operator would {context.operation}{describe(detail)}. "
        "Check that the subscription is in Azure's commercial cloud, and upgrade the operator."
    )


def _token_expired(_detail: ErrorDetail, context: RequestContext) -> AzureError:
    return AzureUnavailable(
        f"Azure rejected a new access token of {context.identity} as expired. {WILL_RETRY} If the problem persists, "
        "check the clock of the operator's node."
    )


def _rejected(detail: ErrorDetail, context: RequestContext) -> AzureError:
    return InvalidRequest(f"Azure rejected the request to {context.operation}{describe(detail)}.")


def _region_not_supported(detail: ErrorDetail, _context: RequestContext) -> AzureError:
    location = _quoted(detail.message, "location") or "in the manifest"
    regions = _quoted(detail.message, "supported locations are", "available regions for the resource type is")
    choice = f"one of these: {regions}" if regions else "a region that Defender for Cloud offers for connectors"
    return RegionNotSupported(
        f"Defender for Cloud offers no connectors in the region {location}. A location cannot be changed: delete this "
        f"resource and create it again with spec.azure.location set to {choice}."
    )


def _other_location(detail: ErrorDetail, context: RequestContext) -> AzureError:
    return InvalidRequest(
        f"Azure rejected the request to {context.operation}{describe(detail)}. A connector cannot be moved: delete the "
        "one in Azure, or create this resource again with its location or with another spec.azure.connectorName."
    )


def _locked(detail: ErrorDetail, context: RequestContext) -> AzureError:
    return Forbidden(
        f"A resource lock denied the request to {context.operation}{describe(detail)}. Remove the lock; to list the "
        "locks: az lock list --resource-group <group>"
    )


def _subscription_disabled(detail: ErrorDetail, context: RequestContext) -> AzureError:
    return Forbidden(
        f"The subscription is disabled, so Azure rejected the request to {context.operation}{describe(detail)}. Enable "
        "it again."
    )


def is_token_exchange_failure(detail: ErrorDetail) -> bool:
    """Whether the text is about a one-time code that Defender could not exchange, whatever the error code."""
    text = " ".join(f"{error.code} {error.message}" for error in detail.walk()).lower()
    return "token exchange failed" in text or "invalidoauthcode" in text


def token_exchange_failed(detail: ErrorDetail, _context: RequestContext) -> AzureError:
    """Defender could not exchange the one-time code."""
    return TokenExchangeFailed(
        f"Defender for Cloud could not exchange the one-time code for an authorization{describe(detail)}. "
        "The code cannot be used again: authorize once more to get a new one."
    )


def _quoted(text: str, *prefixes: str) -> str:
    """The text in quotes after one of these prefixes (regular expressions), or an empty string."""
    for prefix in prefixes:
        if match := re.search(rf"{prefix}\s*'([^']*)'", text, re.IGNORECASE):
            return match[1]
    return ""


BY_CODE: Final[Mapping[str, ErrorBuilder]] = {
    "expiredauthenticationtoken": _token_expired,
    "invalidauthenticationtoken": token_rejected,
    "authenticationfailed": token_rejected,
    "invalidauthenticationtokentenant": _wrong_tenant,
    "authorizationfailed": _authorization_failed,
    "linkedauthorizationfailed": _authorization_failed,
    "requestdisallowedbypolicy": _policy_denied,
    "subscriptionnotfound": _subscription_not_found,
    "invalidsubscriptionid": _subscription_not_found,
    "resourcegroupnotfound": _group_not_found,
    "resourcegroupbeingdeleted": _group_being_deleted,
    "missingsubscriptionregistration": _not_registered,
    "subscriptionnotregistered": _not_registered,
    "noregisteredproviderfound": _api_version_not_offered,
    "invalidapiversionparameter": _api_version_not_offered,
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
    "responsepayloadtoolarge": _rejected,
    "roleassignmentupdatenotpermitted": _rejected,
    "tokenexchangefailed": token_exchange_failed,
    "anotheroperationinprogress": conflict,
    "conflictingconcurrentwritenotallowed": conflict,
    "operationpreempted": conflict,
    "servererror": unavailable,
    "internalservererror": unavailable,
    "serviceunavailable": unavailable,
    "servertimeout": unavailable,
    "gatewaytimeout": unavailable,
}
"""By code in lower case."""
