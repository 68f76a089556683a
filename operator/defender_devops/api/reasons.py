"""Every condition type and every reason, with its cause and its cure.

`make generate` writes docs/reference/conditions.md from this module.
A reason is part of the API, like the name of a field: alerts, health checks and scripts match it. It is never renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Self


class ConditionType(StrEnum):
    """Condition types in the order of `status.conditions`, each with the meaning of True."""

    _value_: str
    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> Self:
        """Create the string member with its meaning."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    READY = (
        "Ready",
        (
            "The connector is provisioned and authorized, and every organization that the spec names is available. For"
            " an organization: its onboarding state in Defender for Cloud is the desired one. Discovery, prerequisites"
            " and the operator's own sign-in do not count."
        ),
    )
    RECONCILING = (
        "Reconciling",
        (
            "The operator is working, or waits for an Azure operation, a retry or the first authorization. Absent "
            "otherwise (kstatus: InProgress)."
        ),
    )
    STALLED = (
        "Stalled",
        (
            "The resource is not ready and cannot become ready without action by a person. Absent otherwise (kstatus: "
            "Failed)."
        ),
    )
    PROVISIONED = (
        "Provisioned",
        "The security connector and its DevOps configuration exist in Azure and match the spec.",
    )
    AUTHORIZED = ("Authorized", "Defender for Cloud has a working authorization for Azure DevOps.")
    SIGNED_IN = (
        "SignedIn",
        (
            "The operator's own sign-in to Azure DevOps works and belongs to the expected account. Absent if no sign-"
            "in is configured."
        ),
    )
    REAUTH_REQUIRED = (
        "ReauthRequired",
        (
            "An authorization or sign-in that worked has failed, and a person must renew it. The message names the "
            "account, the place to renew it, and what is interrupted until then."
        ),
    )
    PREREQUISITES_MET = (
        "PrerequisitesMet",
        "Every organization that was checked meets all prerequisites of Defender for Cloud.",
    )
    ORGANIZATIONS_AVAILABLE = (
        "OrganizationsAvailable",
        "No selected organization is missing or onboarded by another connector.",
    )
    DISCOVERED = (
        "Discovered",
        "Defender for Cloud has reported all projects and repositories that Azure DevOps contains.",
    )
    POSTURE_AVAILABLE = (
        "PostureAvailable",
        (
            "The results of Defender for Cloud, its recommendations, were read completely for every organization, and "
            "they are up to date. Absent until they were read for the first time. Ready does not depend on it."
        ),
    )
    ONBOARDED = ("Onboarded", "Defender for Cloud covers the organization through this connector.")
    PIPELINES_CONFIGURED = (
        "PipelinesConfigured",
        (
            "Something scans every repository of the organization that has code: a pipeline with the task Microsoft "
            "Security DevOps, agentless code scanning, or GitHub Advanced Security. Absent unless the connector's "
            "`spec.pipelineChecks.mode` is Enabled. Ready does not depend on it."
        ),
    )
    PIPELINE_EVIDENCE_STORED = (
        "PipelineEvidenceStored",
        (
            "What the pipeline checks have read is stored in the cluster, so that a restart of the operator repeats "
            "nothing and `kubectl defender-devops pipelines` can list it. The numbers in `status.pipelines` do not "
            "depend on it. Absent unless the connector's `spec.pipelineChecks.mode` is Enabled."
        ),
    )
    PULL_REQUEST_ANNOTATIONS_EFFECTIVE = (
        "PullRequestAnnotationsEffective",
        (
            "Pull request annotations have everything that they need: the plan Defender CSPM, the setting in Defender "
            "for Cloud, and a build validation policy with a pipeline that has the task. Absent unless they are "
            "enabled and the connector's `spec.pipelineChecks.mode` is Enabled. Ready does not depend on it."
        ),
    )


class Reason(StrEnum):
    """Reasons of conditions and of prerequisites: cause and cure, one sentence each."""

    _value_: str
    cause: str
    cure: str

    def __new__(cls, value: str, cause: str = "", cure: str = "") -> Self:
        """Create the string member with its cause and its cure."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.cause = cause
        member.cure = cure
        return member

    # Desired state reached
    READY = ("Ready", "The resource is in the desired state.", "No action required.")
    PROVISIONED = ("Provisioned", "The configuration in Azure matches the spec.", "No action required.")
    AUTHORIZED = ("Authorized", "Defender for Cloud can access Azure DevOps.", "No action required.")
    SIGNED_IN = ("SignedIn", "The operator's sign-in works.", "No action required.")
    NOT_REQUIRED = ("NotRequired", "No authorization or sign-in needs to be renewed.", "No action required.")
    PREREQUISITES_MET = ("PrerequisitesMet", "Every check passed.", "No action required.")
    AVAILABLE = ("Available", "Every selected organization can be onboarded.", "No action required.")
    DISCOVERED = ("Discovered", "Defender for Cloud has reported every project and repository.", "No action required.")
    ONBOARDED = ("Onboarded", "Defender for Cloud covers the organization.", "No action required.")
    RESULTS_AVAILABLE = (
        "ResultsAvailable",
        "The recommendations of every organization were read completely.",
        "No action required; `status.posture` has the numbers, and which categories are scanned.",
    )
    PIPELINES_CONFIGURED = (
        "PipelinesConfigured",
        "Something scans every repository that has code.",
        "No action required.",
    )
    ANNOTATIONS_EFFECTIVE = (
        "AnnotationsEffective",
        "Pull request annotations can appear in at least one repository.",
        "No action required.",
    )
    EXCLUDED = (
        "Excluded",
        "The organization is excluded by its DevOpsOrganization or by the connector's `exclude`.",
        "No action required; to onboard it, set `onboarding: Onboarded` or remove it from `exclude`.",
    )
    NOT_INCLUDED = (
        "NotIncluded",
        (
            "The organization is not selected: it is not among the connector's `names`, or it appeared after mode "
            "`All` had been applied."
        ),
        "No action required; to onboard it, set `onboarding: Onboarded` or use mode `AllAndFuture`.",
    )
    SUSPENDED = (
        "Suspended",
        "`spec.suspend` is true, so the operator neither reads nor changes anything in Azure.",
        "Set `spec.suspend: false` to resume.",
    )

    # In progress
    PROVISIONING = (
        "Provisioning",
        "Azure is creating or updating the connector.",
        "Wait: it takes seconds to minutes, and the operator polls the operation at the interval that Azure asks for.",
    )
    ONBOARDING = (
        "Onboarding",
        "The operator has requested the onboarding of the organization and Defender for Cloud has not completed it.",
        "Wait: it takes seconds to minutes.",
    )
    DISCOVERING = (
        "Discovering",
        "Defender for Cloud is discovering projects and repositories, about 100 projects an hour.",
        "Wait: the first counts appear after about 15 minutes; `status.discovery` shows the progress and an estimate.",
    )
    DELETING = (
        "Deleting",
        "The resource is being deleted and its Azure resources are being cleaned up.",
        "Wait: it takes seconds.",
    )
    NOT_CHECKED = (
        "NotChecked",
        (
            "The check could not run because something it depends on (a sign-in, an authorization, a connector) is "
            "missing."
        ),
        "Resolve the condition that it depends on; the check then runs automatically.",
    )

    NO_RESULTS_YET = (
        "NoResultsYet",
        (
            "Defender for Cloud has no result of at least one organization yet, which is not the same as no finding; "
            "the message names it."
        ),
        (
            "Wait: first results take up to 24 hours. The operator's identity needs Security Reader on the connector: "
            "Azure answers without it as if there were no results."
        ),
    )

    # Azure Resource Manager
    AZURE_UNAVAILABLE = (
        "AzureUnavailable",
        "Azure or Entra ID does not respond, or responds with a server error.",
        "Wait: the operator retries with exponential back-off; check azure.status.microsoft if it persists.",
    )
    THROTTLED = (
        "Throttled",
        "The request limit of this subscription and identity in Azure is exhausted.",
        "Wait: the operator resumes when Azure allows it; use a separate identity for each busy subscription.",
    )
    FORBIDDEN = (
        "Forbidden",
        "The operator's identity in Azure lacks a permission; the message names the action and the scope.",
        (
            "Assign Contributor or Security Admin on the resource group to the identity; the operator retries "
            "automatically."
        ),
    )
    INVALID_SPEC = ("InvalidSpec", "The spec cannot be applied; the message names the field.", "Correct that field.")
    REGION_NOT_SUPPORTED = (
        "RegionNotSupported",
        "Defender for Cloud does not offer DevOps security in `spec.azure.location`.",
        "Set `spec.azure.location` to a region from the message.",
    )
    POLICY_DENIED = (
        "PolicyDenied",
        "Azure Policy denied the request; the message names the policy.",
        "Change the manifest to comply with the policy (often tags or the location), or request an exemption.",
    )
    PROVIDER_NOT_REGISTERED = (
        "ProviderNotRegistered",
        "The resource provider Microsoft.Security is not registered in the subscription.",
        "Run `az provider register --namespace Microsoft.Security --subscription <id>`.",
    )
    CREDENTIALS_MISSING = (
        "CredentialsMissing",
        (
            "A Secret, one of its keys, a service account or an identity grant is missing, or Entra ID rejected the "
            "credential."
        ),
        "Create or correct what the message names; the operator reacts immediately.",
    )
    CONNECTOR_NOT_FOUND = (
        "ConnectorNotFound",
        (
            "The security connector does not exist in Azure. For an organization: its namespace has no "
            "AzureDevOpsConnector of that name."
        ),
        (
            "With Adopt, authorize a connector of that name in the Azure portal. If it was deleted, its authorization "
            "was deleted too: authorize again, or provide a new code. For an organization: correct "
            "`connectorRef.name`."
        ),
    )
    NOT_ADOPTED = (
        "NotAdopted",
        (
            "The connector exists in Azure and `adoptionPolicy` does not allow this resource to adopt it; the message "
            "names its owner."
        ),
        "Choose another `connectorName`, remove the other owner, or set `adoptionPolicy: Always` to adopt it once.",
    )
    OWNERSHIP_LOST = (
        "OwnershipLost",
        (
            "Another owner took over the connector after this resource had adopted it, or the owner tag names another "
            "cluster because `clusterId` of the chart was changed."
        ),
        (
            "Decide which resource manages it, and delete the other with `deletionPolicy: Detach`. After a change of "
            "`clusterId`, set it back, or give the tag the value in the message."
        ),
    )
    DRIFT_DETECTED = (
        "DriftDetected",
        (
            "Azure differs from the spec, and `managementPolicy: Observe` prevents the operator from correcting it; "
            "the message lists the differences."
        ),
        "Set `managementPolicy: Manage`, or change the spec or Azure so that they match.",
    )

    # Defender's authorization
    AWAITING_AUTHORIZATION = (
        "AwaitingAuthorization",
        "Defender for Cloud has not been authorized to access Azure DevOps yet.",
        (
            "With Adopt, authorize in the Azure portal; with Code, put a new code into the Secret, or sign in on the "
            "page in `status.signIn.url` and enter it there."
        ),
    )
    TOKEN_EXCHANGE_FAILED = (
        "TokenExchangeFailed",
        (
            "Defender for Cloud could not redeem the one-time code: it was expired, already used, or issued for "
            "another app."
        ),
        "Get a new code and put it into the Secret within minutes; the rejected code is never sent again.",
    )
    AUTHORIZATION_CODE_INVALID = (
        "AuthorizationCodeInvalid",
        "The code in the Secret was not issued by Defender's authorization dialog, so it was not sent.",
        "Get a code from Defender's own authorization dialog and put it into the Secret; each code works once.",
    )
    AUTHORIZATION_LOST = (
        "AuthorizationLost",
        "Defender's authorization no longer works: the account was removed or blocked, or lost its permissions.",
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
        (
            "A person signed in with an account other than `spec.signIn.account`, and that sign-in was discarded; or "
            "an account other than `spec.authorization.account` authorized Defender for Cloud."
        ),
        "Sign in or authorize again as the account that the message names, or correct that account in the spec.",
    )
    WRONG_TENANT = (
        "WrongTenant",
        "The account that signed in belongs to a tenant other than `spec.azure.tenantId`; that sign-in was discarded.",
        "Sign in with an account of the tenant that the message names.",
    )
    CONSENT_REQUIRED = (
        "ConsentRequired",
        "Consent to the app's permissions was not granted, was declined or was revoked.",
        "Sign in again and accept, or have an administrator consent to the app that the message names.",
    )
    ACCOUNT_BLOCKED = (
        "AccountBlocked",
        "Entra ID rejects the account: it is disabled, locked, deleted, or blocked by Conditional Access.",
        "Have an administrator unblock the account, then sign in again.",
    )
    OAUTH_APP_MISCONFIGURED = (
        "OAuthAppMisconfigured",
        "Entra ID rejects the app: its secret is wrong or expired, or its redirect URI or permissions are missing.",
        "Correct the app registration or `spec.signIn.client` as the message says.",
    )
    TOKEN_SERVICE_UNAVAILABLE = (
        "TokenServiceUnavailable",
        "Entra ID does not respond; the stored sign-in is kept.",
        "Wait: the operator retries automatically.",
    )

    # Prerequisites of an organization
    PREREQUISITES_NOT_MET = (
        "PrerequisitesNotMet",
        "At least one organization fails a check; the message names up to three.",
        "Follow the messages in `status.prerequisites` of the organization.",
    )
    TENANT_DIFFERS = (
        "TenantDiffers",
        "The organization is connected to an Entra tenant other than the subscription's, or to none.",
        "Connect the organization to the subscription's tenant, or use a subscription of the organization's tenant.",
    )
    NOT_A_MEMBER = (
        "NotAMember",
        "The authorizing account is not a member of Project Collection Administrators, directly or through a group.",
        "Add the account to Project Collection Administrators in the organization's settings.",
    )
    INSUFFICIENT_ACCESS_LEVEL = (
        "InsufficientAccessLevel",
        "The authorizing account has no active access level of Basic or higher; Stakeholder is not sufficient.",
        "Assign Basic to the account in the organization's settings under Users.",
    )
    OAUTH_DISABLED = (
        "OAuthDisabled",
        "The organization's policy blocks third-party application access through OAuth.",
        "Enable Third-party application access via OAuth in the organization's settings under Policies.",
    )
    EXTENSION_MISSING = (
        "ExtensionMissing",
        "The container mapping extension is not installed; Defender for Cloud installs it during onboarding.",
        (
            "Wait for onboarding; for connectors from before 15 November 2023 install ms-securitydevops.ms-dfd-code-"
            "to-cloud."
        ),
    )
    EXTENSION_DISABLED = (
        "ExtensionDisabled",
        "The container mapping extension is installed but disabled, failing, or awaiting approval.",
        "Enable or approve it in the organization's settings under Extensions.",
    )
    CHECK_UNAVAILABLE = (
        "CheckUnavailable",
        "Azure DevOps or Azure did not answer the check, refused it, or its answer was inconclusive.",
        (
            "Wait: the check is repeated within the hour. If it persists, follow the messages in "
            "`status.prerequisites`, or check the organization's settings in the browser."
        ),
    )
    AZURE_DEVOPS_UNAVAILABLE = (
        "AzureDevOpsUnavailable",
        "Azure DevOps does not respond, responds with a server error, or throttles requests.",
        "Wait: the operator retries automatically; check status.dev.azure.com if it persists.",
    )
    AZURE_DEVOPS_DENIED = (
        "AzureDevOpsDenied",
        "The signed-in account does not have permission to read this in the organization.",
        "Add the account to the organization, then sign in to the organization once with that account in a browser.",
    )

    SECURITY_DEVOPS_EXTENSION_MISSING = (
        "SecurityDevOpsExtensionMissing",
        "The extension Microsoft Security DevOps is not installed, so no pipeline can have its task.",
        "Install ms-securitydevops.microsoft-security-devops-azdevops from the Marketplace in the organization.",
    )
    SECURITY_DEVOPS_EXTENSION_DISABLED = (
        "SecurityDevOpsExtensionDisabled",
        "The extension Microsoft Security DevOps is installed but disabled, failing, or awaiting approval.",
        "Enable or approve it in the organization's settings under Extensions.",
    )

    # Pipelines
    REPOSITORIES_NOT_SCANNED = (
        "RepositoriesNotScanned",
        "Nothing scans some repositories; `status.pipelines.examples` names ten of them with the reason.",
        (
            "`kubectl defender-devops pipelines` lists all with what to add; most need the task "
            "MicrosoftSecurityDevOps@1 in a pipeline that runs on the default branch."
        ),
    )
    REPOSITORIES_UNDECIDED = (
        "RepositoriesUndecided",
        "Nothing is known to be missing, but what could be read does not decide it for every repository.",
        "`kubectl defender-devops pipelines` lists them with the reason; most are decided by the next build.",
    )
    PIPELINE_SCOPE_MISSING = (
        "PipelineScopeMissing",
        "The operator's sign-in lacks an OAuth permission that the pipeline checks need; the message names it.",
        "Add the permission to the app registration, grant consent, and sign in again.",
    )
    EVIDENCE_STORED = (
        "EvidenceStored",
        "What the pipeline checks have read is in the organization's Secret.",
        "No action required.",
    )
    EVIDENCE_TOO_LARGE = (
        "EvidenceTooLarge",
        (
            "What the pipeline checks have read of the organization has more than the 1 MB that a Secret may have, so "
            "it is in the operator's memory only, and a restart of the operator reads everything again."
        ),
        (
            "Exclude archived projects from the signed-in account's access, or accept the requests of a first check "
            "after each restart; `kubectl defender-devops pipelines` lists nothing of the organization."
        ),
    )
    EVIDENCE_NOT_STORED = (
        "EvidenceNotStored",
        (
            "The Secret with what the pipeline checks have read cannot be written, so a restart of the operator reads "
            "everything again; the message has the cause."
        ),
        "Grant the operator's service account the chart's permissions for Secrets, or follow the message.",
    )
    ANNOTATIONS_DISABLED = (
        "AnnotationsDisabled",
        "Defender for Cloud has pull request annotations disabled for the organization.",
        "Set `spec.pullRequestAnnotations.mode` to Enabled, or wait until the change is carried out.",
    )
    BUILD_POLICY_MISSING = (
        "BuildPolicyMissing",
        "No default branch has a build validation policy with a pipeline that has the task Microsoft Security DevOps.",
        "Add one in Azure DevOps: project settings, Repositories, Policies, Build Validation.",
    )
    TASK_MISSING = (
        "TaskMissing",
        "Build validation policies exist, but none of their pipelines has the task Microsoft Security DevOps.",
        "Add the task MicrosoftSecurityDevOps@1 to a pipeline of such a policy.",
    )

    # Organizations
    NO_ORGANIZATIONS = (
        "NoOrganizations",
        "The authorizing account has no access to any Azure DevOps organization.",
        "Add the account to the organizations, or authorize as another account.",
    )
    ORGANIZATION_NOT_FOUND = (
        "OrganizationNotFound",
        "The authorizing account has no access to an organization of that name, or it does not exist.",
        "Correct the name, or add the account to the organization.",
    )
    ORGANIZATION_CONFLICT = (
        "OrganizationConflict",
        "Another connector of the tenant has onboarded a selected organization; the message names it if it is known.",
        "Exclude it here, or remove it from the other connector.",
    )
    HELD_BY_OTHER_CONNECTOR = (
        "HeldByOtherConnector",
        "Another connector of the tenant has onboarded this organization; `status.conflictingConnector` names it.",
        "Remove it from the other connector, or set `onboarding: Excluded` here.",
    )
    CONFLICT = (
        "Conflict",
        "An older DevOpsOrganization of this namespace already configures the same organization of the same connector.",
        "Delete one of the two; the message names the other.",
    )
    DEADLINE_EXCEEDED = (
        "DeadlineExceeded",
        (
            "Defender for Cloud has not reported everything within the deadline; the message names the incomplete "
            "organizations."
        ),
        (
            "Check the organization's prerequisites and that its repositories are smaller than 1 GB; raise "
            "`spec.discovery.deadline` for very large organizations."
        ),
    )

    # Results of Defender for Cloud
    QUERY_DENIED = (
        "QueryDenied",
        (
            "Azure rejects the query for the results because of the operator's identity, three times in a row; the "
            "message says why."
        ),
        (
            "Assign Security Reader on the connector or its resource group to the identity (it contains "
            "`Microsoft.Security/assessments/read`), or correct its credentials; the next query is automatic."
        ),
    )
    INCOMPLETE = (
        "Incomplete",
        (
            "The last three answers about the results failed, were cut off, or lack an organization that had results; "
            "the numbers are those of the last complete answer."
        ),
        "Wait: the query is repeated after `settings.postureInterval`; the message says what failed.",
    )
    DISABLED = (
        "Disabled",
        "`settings.postureInterval` is 0, so the operator does not read the results.",
        "Set `settings.postureInterval` to a number of seconds to read them; 1800 is the default.",
    )
    RESULTS_MISSING = (
        "ResultsMissing",
        (
            "An organization has been onboarded and has had repositories for 48 hours, and Defender for Cloud has no "
            "result of it; the message names it."
        ),
        (
            "Check that the operator's identity has Security Reader on the connector, then the organization's "
            "prerequisites and Defender's authorization; if all are in order, open a case with Microsoft Support."
        ),
    )
    STALE_RESULTS = (
        "StaleResults",
        (
            "Results of an organization, which changed regularly, have stopped changing, while those of other "
            "organizations change; the message names it."
        ),
        (
            "Check that the account that authorized Defender for Cloud can still access the organization; if it "
            "cannot, restore its access or authorize again."
        ),
    )
    DEFENDER_PLAN_DISABLED = (
        "DefenderPlanDisabled",
        (
            "Pull request annotations or agentless scanning are enabled, and the subscription does not have the plan "
            "Defender CSPM, which they need."
        ),
        (
            "Run `az security pricing create --name CloudPosture --tier standard --subscription <id>` (the plan is "
            "billed), or disable these features in the spec."
        ),
    )
    DEFENDER_PLAN_UNREADABLE = (
        "DefenderPlanUnreadable",
        "The operator could not read whether the subscription has the plan Defender CSPM; the message says why.",
        (
            "Assign Security Reader on the subscription to the operator's identity (the action is "
            "`Microsoft.Security/pricings/read`), or check the plan in the portal."
        ),
    )

    # Deletion, and the operator itself
    DELETION_BLOCKED = (
        "DeletionBlocked",
        "The connector cannot be deleted in Azure; the message says why.",
        (
            "Resolve the cause, or keep the connector in Azure with the patch that the message shows (`deletionPolicy:"
            " Detach`)."
        ),
    )
    KUBERNETES_UNAVAILABLE = (
        "KubernetesUnavailable",
        "The Kubernetes API server does not respond, or responds with a server error.",
        "Wait: the operator retries automatically.",
    )
    KUBERNETES_REFUSED = (
        "KubernetesRefused",
        "The Kubernetes API server rejects a write of the operator because of RBAC, a quota or an admission policy.",
        "Grant the operator's service account the chart's permissions, or correct the policy that the message names.",
    )
    INTERNAL_ERROR = (
        "InternalError",
        "An unexpected error occurred in the operator.",
        "Report it with the operator's log for this resource; the operator retries automatically.",
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
_OPERATOR: Final = (Reason.KUBERNETES_UNAVAILABLE, Reason.KUBERNETES_REFUSED, Reason.INTERNAL_ERROR)
_CHECKS: Final = (
    Reason.SIGN_IN_REQUIRED,
    Reason.TOKEN_SERVICE_UNAVAILABLE,
    Reason.AZURE_DEVOPS_UNAVAILABLE,
    Reason.AZURE_DEVOPS_DENIED,
    Reason.CHECK_UNAVAILABLE,
    Reason.INTERNAL_ERROR,
)
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
    Reason.WRONG_ACCOUNT,
    Reason.CHECK_UNAVAILABLE,
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
            *_OPERATOR,
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
            Reason.CHECK_UNAVAILABLE,
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
            Reason.DEFENDER_PLAN_DISABLED,
            Reason.DEFENDER_PLAN_UNREADABLE,
            Reason.SECURITY_DEVOPS_EXTENSION_MISSING,
            Reason.SECURITY_DEVOPS_EXTENSION_DISABLED,
        ),
        ConditionType.ORGANIZATIONS_AVAILABLE: _ORGANIZATIONS,
        ConditionType.DISCOVERED: (
            Reason.DISCOVERED,
            Reason.DISCOVERING,
            Reason.DEADLINE_EXCEEDED,
            Reason.NOT_CHECKED,
        ),
        ConditionType.POSTURE_AVAILABLE: (
            Reason.RESULTS_AVAILABLE,
            Reason.NO_RESULTS_YET,
            Reason.QUERY_DENIED,
            Reason.INCOMPLETE,
            Reason.DISABLED,
            Reason.RESULTS_MISSING,
            Reason.STALE_RESULTS,
        ),
        ConditionType.ONBOARDED: _ONBOARDED,
        ConditionType.PIPELINES_CONFIGURED: (
            Reason.PIPELINES_CONFIGURED,
            Reason.REPOSITORIES_NOT_SCANNED,
            Reason.REPOSITORIES_UNDECIDED,
            Reason.PIPELINE_SCOPE_MISSING,
            Reason.NOT_CHECKED,
            *_CHECKS,
        ),
        ConditionType.PIPELINE_EVIDENCE_STORED: (
            Reason.EVIDENCE_STORED,
            Reason.EVIDENCE_TOO_LARGE,
            Reason.EVIDENCE_NOT_STORED,
        ),
        ConditionType.PULL_REQUEST_ANNOTATIONS_EFFECTIVE: (
            Reason.ANNOTATIONS_EFFECTIVE,
            Reason.DEFENDER_PLAN_DISABLED,
            Reason.ANNOTATIONS_DISABLED,
            Reason.BUILD_POLICY_MISSING,
            Reason.TASK_MISSING,
            Reason.NOT_CHECKED,
        ),
    }
)
"""The reasons of each condition type, the one for the desired state first."""
