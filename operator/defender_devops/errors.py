"""Every failure that the operator can name, in one tree.

A client converts what a service or a library says into one of these at its own edge, once. Above the edge nobody
looks at HTTP statuses. Each error carries the `reason` of the condition it ends in, a `message` that says what to do
and is safe to show (no token, code, secret or signed address), and whether only a person can mend it (`terminal`).

    OperatorError
    ├── AzureError                      Azure Resource Manager, Resource Graph
    │   ├── AzureUnavailable            5xx, cut connection, time-out: tried again with back-off
    │   ├── Throttled                   429: not before `retry_after`
    │   ├── AzureNotFound               the resource itself is not there (callers mostly turn it into None)
    │   ├── ScopeNotFound               subscription or resource group does not exist          (terminal)
    │   ├── Forbidden                   AuthorizationFailed: which action over which scope     (terminal)
    │   ├── WrongTenant                 token of another tenant than the subscription's        (terminal)
    │   ├── PolicyDenied                RequestDisallowedByPolicy, with the policy's name      (terminal)
    │   ├── ProviderNotRegistered       MissingSubscriptionRegistration                        (terminal)
    │   ├── RegionNotSupported          LocationNotAvailableForResourceType                    (terminal)
    │   ├── TokenExchangeFailed         Defender could not redeem the one-time code            (terminal)
    │   └── InvalidRequest              any other 4xx: Azure refuses what the manifest asks    (terminal)
    ├── CredentialsError                no ARM token to be had
    │   ├── CredentialsMissing          Secret, key, service account or grant is not there     (terminal)
    │   ├── CredentialsRejected         Entra refuses the identity                             (terminal)
    │   └── CredentialsUnavailable      Entra or the metadata service does not answer
    ├── KubernetesError                 the API server
    │   ├── KubernetesUnavailable       5xx, 429, cut connection, time-out
    │   ├── KubernetesNotFound
    │   ├── KubernetesConflict          409: somebody wrote in between
    │   ├── KubernetesRefused           any other 4xx: rights, validation                      (terminal)
    │   └── LeadershipLost              another replica leads, or may: this one writes no more
    └── AzureDevOpsError                dev.azure.com and its neighbours
        ├── AzureDevOpsUnavailable      5xx, 429, cut connection, time-out
        ├── AzureDevOpsDenied           401, 403, TF400813, TF401444
        ├── AzureDevOpsNotFound         no such organization
        └── SignInExpired               the sign-in page came back instead of an answer

The sign-in flows have their own classes of Entra errors in `signin.errors`, below this tree's `OperatorError`.
"""

from __future__ import annotations

from typing import ClassVar


class OperatorError(Exception):
    """Base of all: a failure with a reason, words that say what to do, and a hint when to try again.

    Args:
        message: what happened and what to do about it; shown in conditions and events, so never a secret.
        retry_after: seconds that the service asked to wait, or None.
    """

    reason: ClassVar[str] = "InternalError"
    terminal: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class AzureError(OperatorError):
    """Azure Resource Manager or Resource Graph refused or failed.

    Args:
        code: the service's own error code, such as `AuthorizationFailed`.
        status: HTTP status, or None where there was no answer.
    """

    reason = "AzureUnavailable"

    def __init__(
        self, message: str, *, retry_after: float | None = None, code: str | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.code = code
        self.status = status


class AzureUnavailable(AzureError):
    """Azure did not answer, or answered 5xx."""

    reason = "AzureUnavailable"


class Throttled(AzureError):
    """Azure's request limit is reached; `retry_after` says for how long."""

    reason = "Throttled"


class AzureNotFound(AzureError):
    """The resource asked for does not exist."""

    reason = "ConnectorNotFound"


class ScopeNotFound(AzureError):
    """The subscription or the resource group does not exist, or the identity cannot see it."""

    reason = "InvalidSpec"
    terminal = True


class Forbidden(AzureError):
    """The identity lacks a right; the message names the action and the scope."""

    reason = "Forbidden"
    terminal = True


class WrongTenant(AzureError):
    """The token is of another tenant than the subscription's."""

    reason = "InvalidSpec"
    terminal = True


class PolicyDenied(AzureError):
    """An Azure Policy forbids the request; the message names it."""

    reason = "PolicyDenied"
    terminal = True


class ProviderNotRegistered(AzureError):
    """The subscription has not registered Microsoft.Security."""

    reason = "ProviderNotRegistered"
    terminal = True


class RegionNotSupported(AzureError):
    """Defender for Cloud's DevOps security is not offered in that region."""

    reason = "RegionNotSupported"
    terminal = True


class TokenExchangeFailed(AzureError):
    """Defender could not exchange the one-time code; that code is spent for good."""

    reason = "TokenExchangeFailed"
    terminal = True


class InvalidRequest(AzureError):
    """Azure refuses what the manifest asks for."""

    reason = "InvalidSpec"
    terminal = True


class CredentialsError(OperatorError):
    """There is no ARM token for this connector's identity."""

    reason = "CredentialsMissing"


class CredentialsMissing(CredentialsError):
    """A Secret, key, service account or grant that the identity needs is not there."""

    terminal = True


class CredentialsRejected(CredentialsError):
    """Entra ID refuses the identity: wrong or expired secret, unknown client, no federated credential."""

    terminal = True


class CredentialsUnavailable(CredentialsError):
    """Entra ID or the metadata service does not answer."""

    reason = "AzureUnavailable"


class KubernetesError(OperatorError):
    """The Kubernetes API server refused or failed."""

    reason = "KubernetesUnavailable"

    def __init__(self, message: str, *, retry_after: float | None = None, status: int | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status


class KubernetesUnavailable(KubernetesError):
    """The API server did not answer, or answered 5xx or 429."""


class KubernetesNotFound(KubernetesError):
    """The object does not exist."""


class KubernetesConflict(KubernetesError):
    """Somebody wrote the object in between, or it exists already."""


class KubernetesRefused(KubernetesError):
    """The API server refuses: missing rights or an invalid object."""

    reason = "KubernetesRefused"
    terminal = True


class LeadershipLost(KubernetesError):
    """Another replica holds the lease, or may hold it by now: this one must not write anything any more."""


class AzureDevOpsError(OperatorError):
    """Azure DevOps refused or failed."""

    reason = "AzureDevOpsUnavailable"


class AzureDevOpsUnavailable(AzureDevOpsError):
    """Azure DevOps did not answer, or answered 5xx or 429."""


class AzureDevOpsDenied(AzureDevOpsError):
    """The signed-in account may not do that in the organization."""

    reason = "AzureDevOpsDenied"


class AzureDevOpsNotFound(AzureDevOpsError):
    """There is no such organization or resource."""

    reason = "OrganizationNotFound"


class SignInExpired(AzureDevOpsError):
    """Azure DevOps answered with its sign-in page: the token is wrong or expired."""

    reason = "SignInRequired"
