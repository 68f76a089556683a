"""The meaning of Azure's error codes: one table, whose rules have the class of an error and its message.

Sources: https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors and the
responses of Microsoft.Security and Resource Graph. docs/reference/errors.md is generated from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from defender_devops.azure.arm.error_body import ErrorDetail, describe_arm_error
from defender_devops.errors import (
    WILL_RETRY,
    AuthorizationCheckDenied,
    AzureError,
    AzureNotFound,
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

__all__ = ["BY_CODE", "BY_STATUS", "ErrorRule", "RequestContext", "rule_for_error_code", "rule_for_http_status"]

_PROVIDER: Final = "Microsoft.Security"
_CLIENT_ERROR: Final = 400
_DENIALS: Final = frozenset({401, 403})
_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The request that failed, for the message of its error.

    Attributes:
        operation: the request as a verb phrase, such as `create connector`.
        identity: the identity in words, such as `client 1111…`.
        subscription: id of the subscription of the request, or None.
        from_manifest: whether the manifest decides about the request's content; a read is the operator's own.
        checks_authorization: whether a denial can also be about Defender's own authorization at Azure DevOps.
    """

    operation: str
    identity: str = "the operator's identity"
    subscription: str | None = None
    from_manifest: bool = True
    checks_authorization: bool = False


MessageBuilder = Callable[[ErrorDetail, RequestContext], str]


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """The meaning of an error code or HTTP status.

    Attributes:
        error: class of the error.
        message: function that returns the message, or a template with the fields `operation`, `identity`, `status` and
            `detail` (`: code: message` of the innermost error with a cause, or nothing).
    """

    error: type[AzureError]
    message: str | MessageBuilder

    def build(self, detail: ErrorDetail, outer: ErrorDetail, context: RequestContext, status: int) -> AzureError:
        """Return the error.

        Args:
            detail: the error that has the code.
            outer: the whole body, which contains `detail`.
            context: the request.
            status: HTTP status.
        """
        if callable(self.message):
            return self.error(self.message(detail, context))
        fields = {"operation": context.operation, "identity": context.identity, "status": status}
        return self.error(self.message.format(**fields, detail=describe_arm_error(outer)))


def _authorization_failed(detail: ErrorDetail, context: RequestContext) -> str:
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
    return (
        f"Azure denied {identity} the action {action}{f' over {scope}' if scope else ''}. Assign a role with that "
        f"action, for example: az role assignment create --assignee-object-id {principal or '<object id>'} "
        f"--assignee-principal-type ServicePrincipal --role '{role}' "
        f"--scope {assignable[0] if assignable else '<subscription or resource group>'} "
        "(a new role assignment takes some minutes to take effect)."
    )


def _wrong_tenant(detail: ErrorDetail, context: RequestContext) -> str:
    tenants = re.findall(r"sts\.windows\.net/([0-9a-fA-F-]{36})", detail.message)
    token_tenant, subscription_tenant = tenants[:2] if len(tenants) > 1 else ("another tenant", "its own")
    subscription = f"subscription {context.subscription}" if context.subscription else "the subscription"
    return (
        f"The token of {context.identity} is of tenant {token_tenant}, but {subscription} belongs to tenant "
        f"{subscription_tenant}: correct spec.azure.tenantId or spec.azure.subscriptionId, and use an identity of that "
        "tenant."
    )


def _policy_denied(detail: ErrorDetail, context: RequestContext) -> str:
    policies = "; ".join(list(dict.fromkeys(_policies(detail)))[:3]) or "a policy that the response does not name"
    return (
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


def _subscription_not_found(detail: ErrorDetail, context: RequestContext) -> str:
    subscription = _quoted(detail.message, "subscription", "subscription identifier") or context.subscription or ""
    return (
        f"The subscription {subscription} does not exist, or {context.identity} has no access to it: check "
        "spec.azure.subscriptionId and spec.azure.tenantId, and assign the identity a role there."
    )


def _group_not_found(detail: ErrorDetail, context: RequestContext) -> str:
    group = _quoted(detail.message, "resource group") or "of the manifest"
    return (
        f"The resource group {group} does not exist: check spec.azure.resourceGroup, or create it with "
        f"az group create --name {group} --location <region>{_subscription_option(context)}"
    )


def _not_registered(detail: ErrorDetail, context: RequestContext) -> str:
    target = next((error.target for error in detail.walk() if error.target), "")
    namespace = target or _quoted(detail.message, "namespace") or _PROVIDER
    return (
        f"The subscription has not registered the resource provider {namespace}. Register it once, with: "
        f"az provider register --namespace {namespace}{_subscription_option(context)}"
    )


def _subscription_option(context: RequestContext) -> str:
    return f" --subscription {context.subscription}" if context.subscription else ""


def _region_not_supported(detail: ErrorDetail, _context: RequestContext) -> str:
    location = _quoted(detail.message, "location") or "in the manifest"
    regions = _quoted(detail.message, "supported locations are", "available regions for the resource type is")
    choice = f"one of these: {regions}" if regions else "a region that Defender for Cloud offers for connectors"
    return f"Defender for Cloud offers no connectors in the region {location}. Set spec.azure.location to {choice}."


def _quoted(text: str, *prefixes: str) -> str:
    """The text in quotes after one of these prefixes (regular expressions), or an empty string."""
    for prefix in prefixes:
        if match := re.search(rf"{prefix}\s*'([^']*)'", text, re.IGNORECASE):
            return match[1]
    return ""


_THROTTLED = ErrorRule(Throttled, f"Azure is throttling the requests of {{identity}} to {{operation}}. {WILL_RETRY}")
_UNAVAILABLE = ErrorRule(AzureUnavailable, f"Azure failed to {{operation}}{{detail}}. {WILL_RETRY}")
_CONFLICT = ErrorRule(AzureUnavailable, f"Azure cannot {{operation}} at the moment{{detail}}. {WILL_RETRY}")
_NOT_FOUND = ErrorRule(AzureNotFound, "The resource of the request to {operation} does not exist{detail}.")
_TOKEN_REJECTED = ErrorRule(
    Forbidden,
    "Azure rejected the access token of {identity}{detail}. Check that the identity still exists, is enabled and "
    "belongs to the tenant in spec.azure.tenantId.",
)
_TOKEN_EXPIRED = ErrorRule(
    AzureUnavailable,
    f"Azure rejected a new access token of {{identity}} as expired. {WILL_RETRY} If the problem persists, check the "
    "clock of the operator's node.",
)
_DENIED = ErrorRule(Forbidden, "Azure denied {identity} the request to {operation}{detail}.")
_CHECK_DENIED = ErrorRule(AuthorizationCheckDenied, "Azure denied the request to {operation}{detail} (HTTP {status}).")
_AUTHORIZATION_FAILED = ErrorRule(Forbidden, _authorization_failed)
_LOCKED = ErrorRule(
    Forbidden,
    "A resource lock denied the request to {operation}{detail}. Remove the lock; to list the locks: "
    "az lock list --resource-group <group>",
)
_SUBSCRIPTION_DISABLED = ErrorRule(
    Forbidden,
    "The subscription is disabled, so Azure rejected the request to {operation}{detail}. Enable it again.",
)
_SUBSCRIPTION_NOT_FOUND = ErrorRule(ScopeNotFound, _subscription_not_found)
_NO_READABLE_SUBSCRIPTION = ErrorRule(
    ScopeNotFound,
    "None of the subscriptions exists, or {identity} has no access to them{detail}. Assign the identity a role there.",
)
_PROVIDER_NOT_REGISTERED = ErrorRule(ProviderNotRegistered, _not_registered)
_API_NOT_OFFERED = ErrorRule(
    InvalidRequest,
    "Azure does not offer the API with which this operator would {operation}{detail}. Check that the subscription is "
    "in Azure's commercial cloud, and upgrade the operator.",
)
_REGION_NOT_SUPPORTED = ErrorRule(RegionNotSupported, _region_not_supported)
_REGION_DISALLOWED = ErrorRule(
    RegionNotSupported,
    "Azure does not permit this subscription to create resources in the region of the manifest{detail}. Set "
    "another spec.azure.location, or request access to the region from Azure support.",
)
_OTHER_LOCATION = ErrorRule(
    InvalidRequest,
    "Azure rejected the request to {operation}{detail}. A connector cannot be moved: delete the one in Azure, or "
    "set its location in spec.azure.location, or another spec.azure.connectorName.",
)
_REJECTED = ErrorRule(InvalidRequest, "Azure rejected the request to {operation}{detail}.")
_TOKEN_EXCHANGE_FAILED = ErrorRule(
    TokenExchangeFailed,
    "Defender for Cloud could not exchange the one-time code for an authorization{detail}. The code cannot be used "
    "again: authorize once more to get a new one.",
)
_REDIRECT = ErrorRule(
    AzureUnavailable,
    "The request to {operation} got a redirect (HTTP {status}), which is not followed: check "
    "DEFENDER_DEVOPS_ARM_ENDPOINT and the proxies between the operator and Azure.",
)
_INVALID_MANIFEST = ErrorRule(
    InvalidRequest, "Azure rejected the request to {operation}{detail}. Correct the manifest accordingly."
)
_INVALID_REQUEST = ErrorRule(
    InvalidRequest,
    "Azure rejected the request to {operation}{detail}. The request is the operator's own, not the manifest's: upgrade "
    "the operator, or report this message.",
)

BY_CODE: Final[Mapping[str, ErrorRule]] = {
    # Rate limits
    "SubscriptionRequestsThrottled": _THROTTLED,
    "ResourceRequestsThrottled": _THROTTLED,
    "ResourceCollectionRequestsThrottled": _THROTTLED,
    "TooManyRequests": _THROTTLED,
    "RateLimiting": _THROTTLED,
    # Outages and concurrent operations
    "ServerError": _UNAVAILABLE,
    "InternalError": _UNAVAILABLE,
    "InternalServerError": _UNAVAILABLE,
    "ServiceUnavailable": _UNAVAILABLE,
    "ServerBusy": _UNAVAILABLE,
    "ServerTimeout": _UNAVAILABLE,
    "RequestTimeout": _UNAVAILABLE,
    "BadGateway": _UNAVAILABLE,
    "GatewayTimeout": _UNAVAILABLE,
    "AnotherOperationInProgress": _CONFLICT,
    "ConflictingConcurrentWriteNotAllowed": _CONFLICT,
    "OperationPreempted": _CONFLICT,
    # Defender's authorization
    "TokenExchangeFailed": _TOKEN_EXCHANGE_FAILED,
    "InvalidOAuthCode": _TOKEN_EXCHANGE_FAILED,
    # The operator's token and rights
    "ExpiredAuthenticationToken": _TOKEN_EXPIRED,
    "InvalidAuthenticationToken": _TOKEN_REJECTED,
    "InvalidAuthenticationTokenAudience": _TOKEN_REJECTED,
    "AuthenticationFailed": _TOKEN_REJECTED,
    "AuthenticationFailedMissingToken": _TOKEN_REJECTED,
    "InvalidAuthenticationTokenTenant": ErrorRule(WrongTenant, _wrong_tenant),
    "AuthorizationFailed": _AUTHORIZATION_FAILED,
    "LinkedAuthorizationFailed": _AUTHORIZATION_FAILED,
    "ScopeLocked": _LOCKED,
    "ReadOnlyDisabledSubscription": _SUBSCRIPTION_DISABLED,
    "DisabledSubscription": _SUBSCRIPTION_DISABLED,
    "SubscriptionDisabled": _SUBSCRIPTION_DISABLED,
    # Its scope
    "SubscriptionNotFound": _SUBSCRIPTION_NOT_FOUND,
    "InvalidSubscriptionId": _SUBSCRIPTION_NOT_FOUND,
    "MissingSubscription": _SUBSCRIPTION_NOT_FOUND,
    "NoValidSubscriptionsInQueryRequest": _NO_READABLE_SUBSCRIPTION,
    "ResourceGroupNotFound": ErrorRule(ScopeNotFound, _group_not_found),
    "ResourceGroupBeingDeleted": ErrorRule(
        ScopeNotFound,
        "The resource group is being deleted, so Azure rejected the request to {operation}{detail}.",
    ),
    "MissingSubscriptionRegistration": _PROVIDER_NOT_REGISTERED,
    "SubscriptionNotRegistered": _PROVIDER_NOT_REGISTERED,
    # What Azure permits and offers. The first four would be a missing resource by their status 404.
    "InvalidResourceType": _API_NOT_OFFERED,
    "InvalidResourceNamespace": _API_NOT_OFFERED,
    "ResourceTypeNotFound": _API_NOT_OFFERED,
    "RoleDefinitionDoesNotExist": _REJECTED,
    "NoRegisteredProviderFound": _API_NOT_OFFERED,
    "InvalidApiVersionParameter": _API_NOT_OFFERED,
    "MissingApiVersionParameter": _API_NOT_OFFERED,
    "RequestDisallowedByPolicy": ErrorRule(PolicyDenied, _policy_denied),
    "RequestDisallowedByAzure": _REGION_DISALLOWED,
    "LocationNotAvailableForResourceType": _REGION_NOT_SUPPORTED,
    "InvalidResourceLocation": _OTHER_LOCATION,
    "ResponsePayloadTooLarge": _REJECTED,
    "RoleAssignmentUpdateNotPermitted": _REJECTED,
    "PrincipalNotFound": _REJECTED,
    "UnmatchedPrincipalType": _REJECTED,
}
"""By error code."""

BY_STATUS: Final[Mapping[int, ErrorRule]] = {
    401: _TOKEN_REJECTED,
    403: _DENIED,
    404: _NOT_FOUND,
    408: _UNAVAILABLE,
    409: _CONFLICT,
    412: _CONFLICT,  # the operator sends no precondition, so a concurrent change is the only cause
    429: _THROTTLED,
}
"""By HTTP status, where the code is unknown."""

_BY_LOWER_CODE: Final = {code.lower(): rule for code, rule in BY_CODE.items()}


def rule_for_error_code(code: str) -> ErrorRule | None:
    """Return the rule of a code, in any case."""
    return _BY_LOWER_CODE.get(code.lower())


def rule_for_http_status(status: int, detail: ErrorDetail, context: RequestContext) -> ErrorRule:
    """Return the rule of a response whose code is unknown."""
    # Microsoft.Security names a failed exchange in the text only, with changing codes.
    text = " ".join(f"{error.code} {error.message}" for error in detail.walk()).lower()
    if "token exchange failed" in text or "invalidoauthcode" in text:
        return _TOKEN_EXCHANGE_FAILED
    if context.checks_authorization and status in _DENIALS:
        return _CHECK_DENIED
    if (rule := BY_STATUS.get(status)) is not None:
        return rule
    if status >= _SERVER_ERROR:
        return _UNAVAILABLE
    if status < _CLIENT_ERROR:
        return _REDIRECT
    return _INVALID_MANIFEST if context.from_manifest else _INVALID_REQUEST
