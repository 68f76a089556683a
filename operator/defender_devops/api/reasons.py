"""Every condition and every reason, with its cause and its cure. The page of the documentation is made from this file.

A reason is a promise like a field's name: alerts, health checks and scripts match it. It is never renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Self


class ConditionType(StrEnum):
    """Types of conditions in the order in which they are listed, each with what True means."""

    _value_: str
    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> Self:
        """Make the member a string that knows its meaning."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    READY = (
        "Ready",
        (
            "The connector is provisioned and authorized, and every organization that was asked for by name is "
            "available; of an organization: Defender for Cloud treats it as wanted. Discovery, prerequisites and the "
            "operator's own sign-in do not count."
        ),
    )
    RECONCILING = (
        "Reconciling",
        (
            "The operator is at work, or waits for something that comes by itself or for the first authorization. "
            "Absent otherwise (kstatus: InProgress)."
        ),
    )
    STALLED = (
        "Stalled",
        "The resource is not ready and only a person can mend that. Absent otherwise (kstatus: Failed).",
    )
    PROVISIONED = (
        "Provisioned",
        "The security connector and its DevOps configuration exist in Azure and agree with the spec.",
    )
    AUTHORIZED = ("Authorized", "Defender for Cloud holds an authorization to Azure DevOps that works.")
    SIGNED_IN = (
        "SignedIn",
        "The operator's own sign-in into Azure DevOps works and is the expected account's. Absent without a sign-in.",
    )
    REAUTH_REQUIRED = (
        "ReauthRequired",
        (
            "Something that worked has stopped, and a person must authorize or sign in again; the message says who, "
            "where, and what stands still until then."
        ),
    )
    PREREQUISITES_MET = (
        "PrerequisitesMet",
        "Every organization that was checked meets all of Defender's prerequisites.",
    )
    ORGANIZATIONS_AVAILABLE = (
        "OrganizationsAvailable",
        "No organization that is wanted is missing or held by another connector.",
    )
    DISCOVERED = ("Discovered", "Defender for Cloud has reported all that Azure DevOps holds.")
    ONBOARDED = ("Onboarded", "Defender for Cloud covers the organization through this connector.")


class Reason(StrEnum):
    """Reasons of conditions and of prerequisites: cause and cure, one sentence each."""

    _value_: str
    cause: str
    cure: str

    def __new__(cls, value: str, cause: str = "", cure: str = "") -> Self:
        """Make the member a string that knows its cause and its cure."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.cause = cause
        member.cure = cure
        return member

    # All is well
    READY = ("Ready", "All that was asked for is in place.", "Nothing is to be done.")
    PROVISIONED = ("Provisioned", "Azure agrees with the spec.", "Nothing is to be done.")
    AUTHORIZED = ("Authorized", "Defender for Cloud reaches Azure DevOps.", "Nothing is to be done.")
    SIGNED_IN = ("SignedIn", "The operator's sign-in works.", "Nothing is to be done.")
    NOT_REQUIRED = ("NotRequired", "No authorization or sign-in has to be renewed.", "Nothing is to be done.")
    PREREQUISITES_MET = ("PrerequisitesMet", "Every check was passed.", "Nothing is to be done.")
    AVAILABLE = ("Available", "Every organization that is wanted can be onboarded.", "Nothing is to be done.")
    DISCOVERED = (
        "Discovered",
        "Defender for Cloud has reported every project and repository.",
        "Nothing is to be done.",
    )
    ONBOARDED = ("Onboarded", "Defender for Cloud covers the organization.", "Nothing is to be done.")
    EXCLUDED = (
        "Excluded",
        "The organization is kept out, as its DevOpsOrganization or the connector's `exclude` says.",
        "Nothing is to be done; set `onboarding: Onboarded`, or take it out of `exclude`, to have it covered.",
    )
    NOT_INCLUDED = (
        "NotIncluded",
        (
            "Nobody asked for the organization: it is not among the connector's `names`, or it came up after mode "
            "`All` was carried out."
        ),
        "Nothing is to be done; to have it covered set `onboarding: Onboarded`, or use mode `AllAndFuture`.",
    )
    SUSPENDED = (
        "Suspended",
        "`spec.suspend` is true, so the operator neither reads nor changes anything in Azure.",
        "Set `spec.suspend: false` to go on.",
    )

    # Under way
    PROVISIONING = (
        "Provisioning",
        "Azure is creating or changing the connector.",
        "Wait: it takes seconds to minutes, and the operator looks again when Azure says so.",
    )
    ONBOARDING = (
        "Onboarding",
        "Defender for Cloud has been asked to cover the organization and has not done so yet.",
        "Wait: it takes seconds to minutes.",
    )
    DISCOVERING = (
        "Discovering",
        "Defender for Cloud is still listing projects and repositories, about 100 projects an hour.",
        "Wait: first counts come after about 15 minutes; `status.discovery` shows the progress and an estimate.",
    )
    DELETING = ("Deleting", "The resource is being deleted and Azure is being cleaned up.", "Wait: it takes seconds.")
    NOT_CHECKED = (
        "NotChecked",
        "The check has not been made, because what it needs (a sign-in, an authorization, a connector) is not there.",
        "See to the condition that comes before it; the check then follows by itself.",
    )

    # Azure Resource Manager
    AZURE_UNAVAILABLE = (
        "AzureUnavailable",
        "Azure or Entra ID does not answer, or answers with a server error.",
        "Wait: the operator tries again with growing pauses; look at azure.status.microsoft if it lasts.",
    )
    THROTTLED = (
        "Throttled",
        "Azure's limit on requests of this subscription and identity is reached.",
        "Wait: the operator goes on when Azure allows; give busy subscriptions identities of their own.",
    )
    FORBIDDEN = (
        "Forbidden",
        "The ARM identity lacks a right; the message names the action and the scope.",
        "Grant the identity Contributor or Security Admin on the resource group; the operator tries again by itself.",
    )
    INVALID_SPEC = (
        "InvalidSpec",
        "The spec cannot be carried out as it stands; the message names the field.",
        "Correct that field.",
    )
    REGION_NOT_SUPPORTED = (
        "RegionNotSupported",
        "Defender for Cloud does not offer DevOps security in `spec.azure.location`.",
        "Create the resource anew with a region from the message; the location of a connector cannot be changed.",
    )
    POLICY_DENIED = (
        "PolicyDenied",
        "An Azure Policy forbids the request; the message names it.",
        "Change the manifest so that the policy is met (often tags or the location), or have an exemption granted.",
    )
    PROVIDER_NOT_REGISTERED = (
        "ProviderNotRegistered",
        "The subscription has not registered the resource provider Microsoft.Security.",
        "Run `az provider register --namespace Microsoft.Security --subscription <id>`.",
    )
    CREDENTIALS_MISSING = (
        "CredentialsMissing",
        (
            "A Secret, a key in it, a service account or a grant that the identity needs is not there, or Entra ID "
            "refuses it."
        ),
        "Create or correct what the message names; the operator notices at once.",
    )
    CONNECTOR_NOT_FOUND = (
        "ConnectorNotFound",
        (
            "The security connector does not exist in Azure; of an organization: no AzureDevOpsConnector of that "
            "name is in its namespace."
        ),
        (
            "With Adopt, authorize a connector of that name in the Defender portal; if it was deleted, its "
            "authorization went with it, so authorize again or provide a new code. Of an organization: correct "
            "`connectorRef.name`."
        ),
    )
    NOT_ADOPTED = (
        "NotAdopted",
        (
            "The connector exists in Azure and `adoptionPolicy` does not let this resource take it over; the message "
            "says whose it is."
        ),
        (
            "Choose another `connectorName`, or remove the other owner, or set `adoptionPolicy: Always` to take it "
            "over once."
        ),
    )
    OWNERSHIP_LOST = (
        "OwnershipLost",
        "Another owner took the connector back after this resource had taken it over.",
        "Decide who manages it and delete the other resource with `deletionPolicy: Detach`.",
    )
    DRIFT_DETECTED = (
        "DriftDetected",
        (
            "Azure differs from the spec and `managementPolicy: Observe` forbids to put it right; the message says "
            "in what."
        ),
        "Set `managementPolicy: Manage`, or change the spec or Azure so that they agree.",
    )

    # Defender's authorization
    AWAITING_AUTHORIZATION = (
        "AwaitingAuthorization",
        "Nobody has authorized Defender for Cloud to reach Azure DevOps yet.",
        (
            "With Adopt, authorize in the Defender portal; with Code, put a fresh code into the Secret or paste it "
            "on the page in `status.signIn.url`."
        ),
    )
    TOKEN_EXCHANGE_FAILED = (
        "TokenExchangeFailed",
        "Defender for Cloud could not redeem the one-time code: it was expired, spent, or of another app.",
        "Get a new code and put it into the Secret within minutes; that one is never sent again.",
    )
    AUTHORIZATION_CODE_INVALID = (
        "AuthorizationCodeInvalid",
        (
            "The code in the Secret is not one of Defender's, so it was not sent; a code works once and only if it "
            "has the right shape."
        ),
        "Get a code from Defender's own authorization dialog and put it into the Secret.",
    )
    AUTHORIZATION_LOST = (
        "AuthorizationLost",
        "Defender's authorization worked and has stopped: the account was removed, blocked or has lost its rights.",
        "Restore the account, or have another person authorize again where the message says.",
    )

    # The operator's own sign-in
    SIGN_IN_REQUIRED = (
        "SignInRequired",
        "Nobody has signed in for the operator, or the sign-in has expired or was revoked.",
        "Open the address in `status.signIn.url` and sign in as the account that the message names.",
    )
    WRONG_ACCOUNT = (
        "WrongAccount",
        "Somebody signed in with another account than `spec.signIn.account`; that sign-in was not kept.",
        "Sign in again as the account that the message names, or correct `spec.signIn.account`.",
    )
    WRONG_TENANT = (
        "WrongTenant",
        "The account that signed in belongs to another tenant than `spec.azure.tenantId`; that sign-in was not kept.",
        "Sign in with an account of the tenant that the message names.",
    )
    CONSENT_REQUIRED = (
        "ConsentRequired",
        "Consent to the app's permissions was never given, was declined or was withdrawn.",
        "Sign in again and accept, or have an administrator consent to the app that the message names.",
    )
    ACCOUNT_BLOCKED = (
        "AccountBlocked",
        "Entra ID refuses the account: it is disabled, locked, deleted, or barred by Conditional Access.",
        "Have an administrator release the account, then sign in again.",
    )
    OAUTH_APP_MISCONFIGURED = (
        "OAuthAppMisconfigured",
        "Entra ID refuses the app: its secret is wrong or expired, or its reply address or permissions are not set.",
        "Correct the app registration or `spec.signIn.client` as the message says.",
    )
    TOKEN_SERVICE_UNAVAILABLE = (
        "TokenServiceUnavailable",
        "Entra ID does not answer; the stored sign-in is kept.",
        "Wait: the operator tries again by itself.",
    )

    # Prerequisites of an organization
    PREREQUISITES_NOT_MET = (
        "PrerequisitesNotMet",
        "At least one organization fails a check; the message names up to three.",
        "Do what `status.prerequisites` of the organization says.",
    )
    TENANT_DIFFERS = (
        "TenantDiffers",
        "The organization is connected to another Entra tenant than the subscription, or to none.",
        "Connect the organization to the subscription's tenant, or use a subscription of the organization's tenant.",
    )
    NOT_A_MEMBER = (
        "NotAMember",
        "The authorizing account is not in Project Collection Administrators, neither directly nor through a group.",
        "Add the account to Project Collection Administrators in the organization's settings.",
    )
    INSUFFICIENT_ACCESS_LEVEL = (
        "InsufficientAccessLevel",
        "The authorizing account has no active access level of Basic or higher; Stakeholder is not enough.",
        "Assign Basic to the account in the organization's settings under Users.",
    )
    OAUTH_DISABLED = (
        "OAuthDisabled",
        "The organization's policy does not allow third-party applications access through OAuth.",
        "Switch on Third-party application access via OAuth in the organization's settings under Policies.",
    )
    EXTENSION_MISSING = (
        "ExtensionMissing",
        "The extension that maps containers to code is not installed; Defender for Cloud installs it at onboarding.",
        (
            "Wait for onboarding; for connectors from before 15 November 2023 install "
            "ms-securitydevops.ms-dfd-code-to-cloud."
        ),
    )
    EXTENSION_DISABLED = (
        "ExtensionDisabled",
        "The extension that maps containers to code is installed but disabled, failing, or waits for approval.",
        "Enable or approve it in the organization's settings under Extensions.",
    )
    CHECK_UNAVAILABLE = (
        "CheckUnavailable",
        "Azure DevOps did not answer the check, or answered in a way that says neither yes nor no.",
        "Wait: it is made again within the hour; look at the organization's settings yourself if it lasts.",
    )
    AZURE_DEVOPS_UNAVAILABLE = (
        "AzureDevOpsUnavailable",
        "Azure DevOps does not answer, answers with a server error or asks to slow down.",
        "Wait: the operator tries again by itself; look at status.dev.azure.com if it lasts.",
    )
    AZURE_DEVOPS_DENIED = (
        "AzureDevOpsDenied",
        "The account that is signed in may not read this in the organization.",
        "Add the account to the organization and let it sign in there once in a browser.",
    )

    # Organizations
    NO_ORGANIZATIONS = (
        "NoOrganizations",
        "The authorizing account sees no Azure DevOps organization.",
        "Add the account to the organizations, or authorize as another account.",
    )
    ORGANIZATION_NOT_FOUND = (
        "OrganizationNotFound",
        "The authorizing account sees no organization of that name.",
        "Correct the name, or add the account to the organization.",
    )
    ORGANIZATION_CONFLICT = (
        "OrganizationConflict",
        "An organization that is wanted is held by another connector of the tenant; the message names both.",
        "Exclude it here, or take it out of the other connector.",
    )
    HELD_BY_OTHER_CONNECTOR = (
        "HeldByOtherConnector",
        "Another connector of the tenant has onboarded this organization; `status.conflictingConnector` names it.",
        "Take it out of the other connector, or set `onboarding: Excluded` here.",
    )
    CONFLICT = (
        "Conflict",
        "An older DevOpsOrganization of this namespace already decides for the same connector and organization.",
        "Delete one of the two; the message names the other.",
    )
    DEADLINE_EXCEEDED = (
        "DeadlineExceeded",
        "Defender for Cloud has not reported everything within the deadline; the message names who lags.",
        (
            "Check the organization's prerequisites and that its repositories are below 1 GB; raise "
            "`spec.discovery.deadline` for very large organizations."
        ),
    )

    # Deletion and the operator itself
    DELETION_BLOCKED = (
        "DeletionBlocked",
        "The connector cannot be deleted in Azure; the message says why.",
        "Mend the cause, or let go of it with the patch that the message shows (`deletionPolicy: Detach`).",
    )
    KUBERNETES_UNAVAILABLE = (
        "KubernetesUnavailable",
        "The Kubernetes API server does not answer, or answers with a server error.",
        "Wait: the operator tries again by itself.",
    )
    KUBERNETES_REFUSED = (
        "KubernetesRefused",
        "The Kubernetes API server refuses what the operator writes: rights, a quota or an admission rule.",
        "Give the operator's service account the chart's rights, or correct the rule that the message names.",
    )
    INTERNAL_ERROR = (
        "InternalError",
        "The operator met something that it was not made for.",
        "Look at its log for this resource and report it; the operator tries again by itself.",
    )


_AZURE: Final = (
    Reason.AZURE_UNAVAILABLE,
    Reason.THROTTLED,
    Reason.FORBIDDEN,
    Reason.INVALID_SPEC,
    Reason.REGION_NOT_SUPPORTED,
    Reason.POLICY_DENIED,
    Reason.PROVIDER_NOT_REGISTERED,
    Reason.CREDENTIALS_MISSING,
)
_OURSELVES: Final = (Reason.KUBERNETES_UNAVAILABLE, Reason.KUBERNETES_REFUSED, Reason.INTERNAL_ERROR)
_PROVISIONED: Final = (
    Reason.PROVISIONED,
    Reason.PROVISIONING,
    Reason.CONNECTOR_NOT_FOUND,
    *_AZURE,
    Reason.NOT_ADOPTED,
    Reason.OWNERSHIP_LOST,
    Reason.DRIFT_DETECTED,
    Reason.NOT_CHECKED,
)
_AUTHORIZED: Final = (
    Reason.AUTHORIZED,
    Reason.AWAITING_AUTHORIZATION,
    Reason.TOKEN_EXCHANGE_FAILED,
    Reason.AUTHORIZATION_CODE_INVALID,
    Reason.AUTHORIZATION_LOST,
    Reason.NOT_CHECKED,
)
_SIGNED_IN: Final = (
    Reason.SIGNED_IN,
    Reason.SIGN_IN_REQUIRED,
    Reason.WRONG_ACCOUNT,
    Reason.WRONG_TENANT,
    Reason.CONSENT_REQUIRED,
    Reason.ACCOUNT_BLOCKED,
    Reason.OAUTH_APP_MISCONFIGURED,
    Reason.TOKEN_SERVICE_UNAVAILABLE,
    Reason.CREDENTIALS_MISSING,
)
_ORGANIZATIONS: Final = (
    Reason.AVAILABLE,
    Reason.ORGANIZATION_CONFLICT,
    Reason.ORGANIZATION_NOT_FOUND,
    Reason.NO_ORGANIZATIONS,
    Reason.NOT_CHECKED,
)
_ONBOARDED: Final = (
    Reason.ONBOARDED,
    Reason.ONBOARDING,
    Reason.EXCLUDED,
    Reason.NOT_INCLUDED,
    Reason.HELD_BY_OTHER_CONNECTOR,
    Reason.CONFLICT,
    Reason.CONNECTOR_NOT_FOUND,
    Reason.ORGANIZATION_NOT_FOUND,
    Reason.NOT_CHECKED,
)
_SUMMARY: Final = tuple(
    dict.fromkeys(
        (
            Reason.READY,
            *_PROVISIONED[1:],
            *_AUTHORIZED[1:],
            *_ORGANIZATIONS[1:],
            *_ONBOARDED,
            Reason.SUSPENDED,
            Reason.DELETING,
            Reason.DELETION_BLOCKED,
            *_OURSELVES,
        )
    )
)

_UNREADY: Final = tuple(reason for reason in _SUMMARY if reason not in {Reason.READY, Reason.ONBOARDED})

REASONS: Final[Mapping[ConditionType, tuple[Reason, ...]]] = MappingProxyType(
    {
        ConditionType.READY: _SUMMARY,
        ConditionType.RECONCILING: _UNREADY,
        ConditionType.STALLED: _UNREADY,
        ConditionType.PROVISIONED: _PROVISIONED,
        ConditionType.AUTHORIZED: _AUTHORIZED,
        ConditionType.SIGNED_IN: _SIGNED_IN,
        ConditionType.REAUTH_REQUIRED: (
            Reason.NOT_REQUIRED,
            Reason.TOKEN_EXCHANGE_FAILED,
            Reason.AUTHORIZATION_LOST,
            Reason.CONNECTOR_NOT_FOUND,
            Reason.SIGN_IN_REQUIRED,
            Reason.WRONG_ACCOUNT,
            Reason.WRONG_TENANT,
            Reason.CONSENT_REQUIRED,
            Reason.ACCOUNT_BLOCKED,
        ),
        ConditionType.PREREQUISITES_MET: (
            Reason.PREREQUISITES_MET,
            Reason.PREREQUISITES_NOT_MET,
            Reason.NOT_CHECKED,
            Reason.TENANT_DIFFERS,
            Reason.NOT_A_MEMBER,
            Reason.INSUFFICIENT_ACCESS_LEVEL,
            Reason.OAUTH_DISABLED,
            Reason.EXTENSION_MISSING,
            Reason.EXTENSION_DISABLED,
            Reason.CHECK_UNAVAILABLE,
            Reason.AZURE_DEVOPS_UNAVAILABLE,
            Reason.AZURE_DEVOPS_DENIED,
        ),
        ConditionType.ORGANIZATIONS_AVAILABLE: _ORGANIZATIONS,
        ConditionType.DISCOVERED: (
            Reason.DISCOVERED,
            Reason.DISCOVERING,
            Reason.DEADLINE_EXCEEDED,
            Reason.NOT_CHECKED,
        ),
        ConditionType.ONBOARDED: _ONBOARDED,
    }
)
"""The reasons that each condition may give, the good one first."""
