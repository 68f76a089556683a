"""All failures that the operator distinguishes, in one tree.

A client converts the responses of a service, and the exceptions of a library, into these errors where they occur: code
that uses the client sees no HTTP statuses. Each error carries the `reason` of the condition that it causes, a `message`
that says what to do and is safe to publish (no token, code, secret or signed URL), whether only a person can fix it
(`terminal`), and what it is about (`category`).

    OperatorError
    ├── AzureError                      Azure Resource Manager, Resource Graph
    │   ├── AzureUnavailable            5xx, cut connection, time-out: retried with back-off
    │   ├── Throttled                   429: retried after `retry_after`
    │   ├── AzureNotFound               the resource itself does not exist (callers mostly turn it into None)
    │   ├── ScopeNotFound               subscription or resource group does not exist          (terminal)
    │   ├── Forbidden                   AuthorizationFailed: action and scope                  (terminal)
    │   ├── WrongTenant                 token of another tenant than the subscription's        (terminal)
    │   ├── PolicyDenied                RequestDisallowedByPolicy, with the policy's name      (terminal)
    │   ├── ProviderNotRegistered       MissingSubscriptionRegistration                        (terminal)
    │   ├── RegionNotSupported          LocationNotAvailableForResourceType                    (terminal)
    │   ├── TokenExchangeFailed         Defender could not redeem the one-time code            (terminal)
    │   ├── AuthorizationCheckDenied    401 or 403 that is none of Resource Manager's own      (terminal)
    │   ├── DeletionInProgress          a part has to be deleted first, which Azure has begun
    │   └── InvalidRequest              any other 4xx: Azure rejects what the manifest demands (terminal)
    ├── CredentialsError                there is no ARM token
    │   ├── CredentialsMissing          Secret, key, service account or grant is missing       (terminal)
    │   ├── CredentialsRejected         Entra ID rejects the identity                          (terminal)
    │   └── CredentialsUnavailable      Entra ID or the metadata service does not respond
    ├── KubernetesError                 the API server
    │   ├── KubernetesUnavailable       5xx, 429, cut connection, time-out
    │   ├── KubernetesNotFound
    │   ├── KubernetesConflict          409: a concurrent write
    │   ├── KubernetesRefused           any other 4xx: rights, validation                      (terminal)
    │   └── LeadershipLost              another replica leads, or may: this one must not write
    └── AzureDevOpsError                dev.azure.com and its other hosts
        ├── AzureDevOpsUnavailable      5xx, 429, cut connection, time-out
        ├── AzureDevOpsDenied           401, 403, TF400813, TF401444
        ├── AzureDevOpsNotFound         no such organization
        └── SignInExpired               the sign-in page came back instead of a response

The errors of the sign-in flows are in `signin.oauth.errors`, below this tree's `OperatorError`.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, Final

from defender_devops.text import printable

WILL_RETRY: Final = "The operator will retry."
"""The sentence of all messages about a failure that passes. Commands, which run once, replace it."""


class ErrorCategory(Enum):
    """What a failure is about."""

    AUTHORIZATION = "Defender's authorization"
    """Defender for Cloud's own authorization at Azure DevOps is lost or was not accepted: authorize again."""

    ACCESS = "the operator's access"
    """The operator's identity, its rights or its scope. It says nothing about Defender's authorization."""

    DENIAL = "Defender's authorization or the operator's access"
    """A denial of the request that uses Defender's authorization, which does not show whose access is missing."""

    REQUEST = "the request"
    """The service rejects the request itself: the manifest, or the operator's own request, has to change."""

    TRANSIENT = "transient"
    """It passes by itself."""

    ABSENT = "absent"
    """The resource does not exist, which callers expect."""

    UNKNOWN = "unknown"
    """Not classified: nothing can be concluded from it."""


class OperatorError(Exception):
    """Base class: a failure with a reason, a message that says what to do, and the time of the next attempt.

    Args:
        message: what happened and what to do about it; published in conditions and events, so never a secret.
        retry_after: seconds that the service demands to wait, or None.
    """

    reason: ClassVar[str] = "InternalError"
    terminal: ClassVar[bool] = False
    category: ClassVar[ErrorCategory] = ErrorCategory.UNKNOWN

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        message = printable(message)  # it can contain the text of a service
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    @property
    def concerns_defender_authorization(self) -> bool:
        """Whether it shows that Defender's authorization is lost; no other failure does."""
        return self.category is ErrorCategory.AUTHORIZATION


class AzureError(OperatorError):
    """Azure Resource Manager or Resource Graph refused or failed.

    Args:
        code: the service's own error code, such as `AuthorizationFailed`.
        status: HTTP status, or None where there was no response.
    """

    reason = "AzureUnavailable"

    def __init__(
        self, message: str, *, retry_after: float | None = None, code: str | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.code = code
        self.status = status


class AzureUnavailable(AzureError):
    """Azure did not respond, or responded with 5xx."""

    reason = "AzureUnavailable"
    category = ErrorCategory.TRANSIENT


class Throttled(AzureError):
    """The rate limit of Azure is exhausted, for `retry_after` seconds."""

    reason = "Throttled"
    category = ErrorCategory.TRANSIENT


class AzureNotFound(AzureError):
    """The requested resource does not exist."""

    reason = "ConnectorNotFound"
    category = ErrorCategory.ABSENT


class ScopeNotFound(AzureError):
    """The subscription or the resource group does not exist, or the identity has no access to it."""

    reason = "InvalidSpec"
    terminal = True
    category = ErrorCategory.ACCESS


class Forbidden(AzureError):
    """The identity lacks a right; the message names the action and the scope."""

    reason = "Forbidden"
    terminal = True
    category = ErrorCategory.ACCESS


class WrongTenant(AzureError):
    """The token was issued by another tenant than the subscription's."""

    reason = "InvalidSpec"
    terminal = True
    category = ErrorCategory.ACCESS


class PolicyDenied(AzureError):
    """Azure Policy denied the request; the message names the policy."""

    reason = "PolicyDenied"
    terminal = True
    category = ErrorCategory.REQUEST


class ProviderNotRegistered(AzureError):
    """The subscription has not registered Microsoft.Security."""

    reason = "ProviderNotRegistered"
    terminal = True
    category = ErrorCategory.ACCESS


class RegionNotSupported(AzureError):
    """Defender for Cloud's DevOps security is not offered in that region."""

    reason = "RegionNotSupported"
    terminal = True
    category = ErrorCategory.REQUEST


class TokenExchangeFailed(AzureError):
    """Defender could not exchange the one-time code, which is used up."""

    reason = "TokenExchangeFailed"
    terminal = True
    category = ErrorCategory.AUTHORIZATION


class AuthorizationCheckDenied(AzureError):
    """The check of Defender's authorization was denied, with a code that Resource Manager does not use for denials."""

    reason = "CheckUnavailable"
    terminal = True
    category = ErrorCategory.DENIAL


class DeletionInProgress(AzureError):
    """A resource can be deleted only once another one below it is, whose deletion is under way."""

    reason = "Deleting"
    category = ErrorCategory.TRANSIENT


class InvalidRequest(AzureError):
    """Azure rejects what the manifest demands."""

    reason = "InvalidSpec"
    terminal = True
    category = ErrorCategory.REQUEST


class CredentialsError(OperatorError):
    """There is no ARM token for this connector's identity."""

    reason = "CredentialsMissing"


class CredentialsMissing(CredentialsError):
    """A Secret, key, service account or grant that the identity needs is missing."""

    terminal = True
    category = ErrorCategory.ACCESS


class CredentialsRejected(CredentialsError):
    """Entra ID rejects the identity: wrong or expired secret, unknown client, no federated credential."""

    terminal = True
    category = ErrorCategory.ACCESS


class CredentialsUnavailable(CredentialsError):
    """Entra ID or the metadata service does not respond."""

    reason = "AzureUnavailable"
    category = ErrorCategory.TRANSIENT


class KubernetesError(OperatorError):
    """The Kubernetes API server refused or failed."""

    reason = "KubernetesUnavailable"

    def __init__(self, message: str, *, retry_after: float | None = None, status: int | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status


class KubernetesUnavailable(KubernetesError):
    """The API server did not respond, or responded with 5xx or 429."""

    category = ErrorCategory.TRANSIENT


class KubernetesNotFound(KubernetesError):
    """The object does not exist."""

    category = ErrorCategory.ABSENT


class KubernetesConflict(KubernetesError):
    """The object was changed concurrently, or exists already."""

    category = ErrorCategory.TRANSIENT


class KubernetesRefused(KubernetesError):
    """The API server rejected the request: missing rights or an invalid object."""

    reason = "KubernetesRefused"
    terminal = True
    category = ErrorCategory.ACCESS


class LeadershipLost(KubernetesError):
    """Another replica holds the lease, or may hold it by now: this one must not write any more."""

    category = ErrorCategory.TRANSIENT


class AzureDevOpsError(OperatorError):
    """Azure DevOps refused or failed."""

    reason = "AzureDevOpsUnavailable"
    category = ErrorCategory.REQUEST


class AzureDevOpsUnavailable(AzureDevOpsError):
    """Azure DevOps did not respond, or responded with 5xx or 429."""

    category = ErrorCategory.TRANSIENT


class AzureDevOpsDenied(AzureDevOpsError):
    """The signed-in account lacks the right in the organization."""

    reason = "AzureDevOpsDenied"
    category = ErrorCategory.ACCESS


class AzureDevOpsNotFound(AzureDevOpsError):
    """There is no such organization or resource."""

    reason = "OrganizationNotFound"
    category = ErrorCategory.ABSENT


class AzureDevOpsResponseTooLarge(AzureDevOpsError):
    """A response has more bytes than are read."""


class SignInExpired(AzureDevOpsError):
    """Azure DevOps responded with its sign-in page: the token is wrong or expired."""

    reason = "SignInRequired"
    category = ErrorCategory.ACCESS
