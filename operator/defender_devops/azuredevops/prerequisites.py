"""The prerequisites of Defender for Cloud in an organization: one function for each.

A check is False only where a response of Azure DevOps says so. A failed request, above all to an undocumented API,
makes it Unknown.
"""

from __future__ import annotations

from typing import Any, Final

from defender_devops.api.organization import Prerequisite, PrerequisiteCheck
from defender_devops.api.reasons import Reason
from defender_devops.azuredevops.client import AzureDevOpsClient, azure_devops_list, quote_path_segment
from defender_devops.azuredevops.members import ADMINISTRATORS, Account, Member, is_administrator
from defender_devops.azuredevops.organizations import NO_TENANT, organization_tenant
from defender_devops.errors import AzureDevOpsNotFound, AzureDevOpsUnavailable

__all__ = [
    "check_access_level",
    "check_container_mapping_extension",
    "check_project_collection_administrator",
    "check_tenant",
    "check_third_party_oauth",
    "unknown_prerequisite",
]

_EXTENSION: Final = ("ms-securitydevops", "ms-dfd-code-to-cloud")
_EXTENSION_VERSION: Final = "7.1-preview.1"
_POLICY_VERSION: Final = "5.0-preview.1"
_SUFFICIENT_LICENSES: Final = frozenset({"express", "advanced", "professional", "earlyadopter"})
"""accountLicenseType of Basic, Basic + Test Plans, and what Visual Studio subscribers had before."""

_BROKEN_FLAGS: Final = frozenset({"disabled", "error", "needsreauthorization", "nonexistent"})
_MESSAGE_MAX: Final = 1024


async def check_tenant(client: AzureDevOpsClient, organization: str, tenant_id: str) -> Prerequisite:
    """Whether the organization is connected to the tenant of the subscription.

    Raises:
        AzureDevOpsError: it cannot be determined.
    """
    check = PrerequisiteCheck.TENANT_MATCHES
    tenant = await organization_tenant(client, organization)
    if tenant == tenant_id.lower():
        return _met(check)
    state = "to no Entra tenant" if tenant == NO_TENANT else f"to tenant {tenant}"
    return _not_met(
        check,
        Reason.TENANT_DIFFERS,
        f"{organization} is connected {state}, the subscription to {tenant_id}. Connect it to that tenant in its "
        f"settings under Microsoft Entra ({_settings_url(client, organization, 'organizationAad')}).",
    )


async def check_project_collection_administrator(
    client: AzureDevOpsClient, organization: str, account: Account, member: Member | None
) -> Prerequisite:
    """Whether the authorizing account is a Project Collection Administrator.

    Raises:
        AzureDevOpsError: it cannot be determined.
    """
    check = PrerequisiteCheck.PROJECT_COLLECTION_ADMINISTRATOR
    if member is not None and await is_administrator(client, organization, member):
        return _met(check)
    membership = (
        f"is not a member of {ADMINISTRATORS} of {organization}, either directly or through a group"
        if member
        else f"is not a member of {organization}, so it cannot be a member of {ADMINISTRATORS}"
    )
    return _not_met(
        check,
        Reason.NOT_A_MEMBER,
        f"{account.name} {membership}. An administrator can add it under Permissions "
        f"({_settings_url(client, organization, 'groups')}).",
    )


async def check_access_level(
    client: AzureDevOpsClient, organization: str, account: Account, member: Member | None
) -> Prerequisite:
    """Whether the authorizing account has an active access level of Basic or higher.

    Raises:
        AzureDevOpsError: it cannot be determined.
    """
    check = PrerequisiteCheck.ACCESS_LEVEL
    level = await _access_level(client, organization, member)
    url = _settings_url(client, organization, "users")
    if level is None:
        return _not_met(
            check,
            Reason.INSUFFICIENT_ACCESS_LEVEL,
            f"{account.name} has no access level in {organization}. Add it with Basic under Users ({url}).",
        )
    license_type, source, subscription, status = (
        str(level.get(name) or "").lower()
        for name in ("accountLicenseType", "licensingSource", "msdnLicenseType", "status")
    )
    if status and status != "active":
        return _not_met(
            check,
            Reason.INSUFFICIENT_ACCESS_LEVEL,
            f"The access of {account.name} to {organization} is {status}. Sign in there with the account, or assign "
            f"Basic again under Users ({url}).",
        )
    if license_type in _SUFFICIENT_LICENSES or (source == "msdn" and subscription not in {"", "none"}):
        return _met(check)
    if license_type in {"stakeholder", "none"}:
        return _not_met(
            check,
            Reason.INSUFFICIENT_ACCESS_LEVEL,
            f"{account.name} has the access level {license_type.capitalize()} in {organization}, which is not enough. "
            f"Assign Basic under Users ({url}).",
        )
    message = f"The response of Azure DevOps has an unknown access level: {license_type!r}."
    return unknown_prerequisite(check, Reason.CHECK_UNAVAILABLE, message)


async def check_third_party_oauth(client: AzureDevOpsClient, organization: str) -> Prerequisite:
    """Whether third-party applications have access through OAuth. Undocumented, and the value is inverted.

    Raises:
        AzureDevOpsError: it cannot be determined.
    """
    check = PrerequisiteCheck.THIRD_PARTY_OAUTH_ENABLED
    url = (
        f"{client.endpoints.dev_azure}/{quote_path_segment(organization)}"
        "/_apis/OrganizationPolicy/Policies/Policy.DisallowOAuthAuthentication"
    )
    body = await client.get(url, {"defaultValue": "false"}, _POLICY_VERSION)
    policy = body if isinstance(body, dict) else {}
    is_disallowed = policy.get("effectiveValue", policy.get("value"))
    if not isinstance(is_disallowed, bool):
        return unknown_prerequisite(
            check, Reason.CHECK_UNAVAILABLE, "The response of Azure DevOps has no value of the policy."
        )
    if not is_disallowed:
        return _met(check)
    return _not_met(
        check,
        Reason.OAUTH_DISABLED,
        f"{organization} denies third-party applications access through OAuth, so Defender for Cloud cannot work "
        f"there. Enable it under Policies ({_settings_url(client, organization, 'policy')}).",
    )


async def check_container_mapping_extension(client: AzureDevOpsClient, organization: str) -> Prerequisite:
    """Whether the extension that maps containers to code is installed and works.

    Raises:
        AzureDevOpsError: it cannot be determined.
    """
    check = PrerequisiteCheck.CONTAINER_MAPPING_EXTENSION
    url = (
        f"{client.endpoints.extension}/{quote_path_segment(organization)}/_apis/extensionmanagement/installedextensions"
    )
    extensions = azure_devops_list(await client.get(url, {"includeDisabledExtensions": "true"}, _EXTENSION_VERSION))
    if not all(isinstance(extension.get("extensionId"), str) for extension in extensions):
        raise AzureDevOpsUnavailable("An extension in the response of Azure DevOps has no id.")
    settings_url = _settings_url(client, organization, "extensions")
    for extension in extensions:
        if (
            isinstance(extension, dict)
            and (
                str(extension.get("publisherId", "")).lower(),
                str(extension.get("extensionId", "")).lower(),
            )
            == _EXTENSION
        ):
            break
    else:
        return _not_met(
            check,
            Reason.EXTENSION_MISSING,
            f"The extension that maps containers to code is not installed in {organization}. Defender for Cloud "
            f"installs it at onboarding; if it is missing after a day, install {'.'.join(_EXTENSION)} "
            f"({settings_url}).",
        )
    # Flags are separated by commas, such as "trusted, needsReauthorization".
    state = extension.get("installState")
    flags = str(state.get("flags", "")) if isinstance(state, dict) else ""
    broken = {flag.strip().lower() for flag in flags.split(",")} & _BROKEN_FLAGS
    if not broken:
        return _met(check)
    return _not_met(
        check,
        Reason.EXTENSION_DISABLED,
        f"The extension that maps containers to code does not work in {organization} ({', '.join(sorted(broken))}). "
        f"Enable or approve it under Extensions ({settings_url}).",
    )


def unknown_prerequisite(check: PrerequisiteCheck, reason: str, message: str) -> Prerequisite:
    """Return a check whose result could not be determined."""
    return Prerequisite(check=check, status="Unknown", reason=reason, message=message[:_MESSAGE_MAX])


async def _access_level(client: AzureDevOpsClient, organization: str, member: Member | None) -> dict[str, Any] | None:
    """The entitlement's accessLevel, or None where the account has no entitlement.

    Raises:
        AzureDevOpsError: it cannot be read.
    """
    if member is None:
        return None
    path = f"{quote_path_segment(organization)}/_apis/userentitlements/{quote_path_segment(member.id)}"
    try:
        body = await client.get(f"{client.endpoints.entitlement}/{path}")
    except AzureDevOpsNotFound:
        return None
    level = body.get("accessLevel") if isinstance(body, dict) else None
    return level if isinstance(level, dict) else {}


def _settings_url(client: AzureDevOpsClient, organization: str, page: str) -> str:
    return f"{client.endpoints.dev_azure}/{quote_path_segment(organization)}/_settings/{page}"


def _met(check: PrerequisiteCheck) -> Prerequisite:
    return Prerequisite(check=check, status="True")


def _not_met(check: PrerequisiteCheck, reason: Reason, message: str) -> Prerequisite:
    return Prerequisite(check=check, status="False", reason=reason, message=message[:_MESSAGE_MAX])
