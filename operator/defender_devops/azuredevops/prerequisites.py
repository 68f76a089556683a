"""What Defender for Cloud needs of an organization: one function for each check.

A check says False only where Azure DevOps said so. A call that failed, above all an undocumented one, makes it Unknown.
"""

from __future__ import annotations

from typing import Any, Final

from defender_devops.api.organization import Prerequisite, PrerequisiteCheck
from defender_devops.api.reasons import Reason
from defender_devops.azuredevops.client import AzureDevOpsClient, list_items, path_segment
from defender_devops.azuredevops.members import ADMINISTRATORS, Account, Member, is_administrator
from defender_devops.azuredevops.organizations import NO_TENANT, organization_tenant
from defender_devops.errors import AzureDevOpsNotFound

__all__ = [
    "access_level",
    "container_mapping_extension",
    "project_collection_administrator",
    "tenant_matches",
    "third_party_oauth_enabled",
    "unknown",
]

_EXTENSION: Final = ("ms-securitydevops", "ms-dfd-code-to-cloud")
_EXTENSION_VERSION: Final = "7.1-preview.1"
_POLICY_VERSION: Final = "5.0-preview.1"
_ENOUGH: Final = frozenset({"express", "advanced", "professional", "earlyadopter"})
"""accountLicenseType of Basic, Basic + Test Plans, and what Visual Studio subscribers had before."""

_BROKEN_FLAGS: Final = frozenset({"disabled", "error", "needsreauthorization", "nonexistent"})


async def tenant_matches(client: AzureDevOpsClient, organization: str, tenant_id: str) -> Prerequisite:
    """Whether the organization is connected to the tenant of the subscription.

    Raises:
        AzureDevOpsError: it cannot be told.
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
        f"settings under Microsoft Entra ({_settings(client, organization, 'organizationAad')}).",
    )


async def project_collection_administrator(
    client: AzureDevOpsClient, organization: str, account: Account, member: Member | None
) -> Prerequisite:
    """Whether the authorizing account is a Project Collection Administrator.

    Raises:
        AzureDevOpsError: it cannot be told.
    """
    check = PrerequisiteCheck.PROJECT_COLLECTION_ADMINISTRATOR
    if member is not None and await is_administrator(client, organization, member):
        return _met(check)
    state = "is not in" if member else "is not a member of the organization, so it cannot be in"
    return _not_met(
        check,
        Reason.NOT_A_MEMBER,
        f"{account.name} {state} {ADMINISTRATORS} of {organization}, neither itself nor through a group. An "
        f"administrator adds it under Permissions ({_settings(client, organization, 'groups')}).",
    )


async def access_level(
    client: AzureDevOpsClient, organization: str, account: Account, member: Member | None
) -> Prerequisite:
    """Whether the authorizing account has an active access level of Basic or higher.

    Raises:
        AzureDevOpsError: it cannot be told.
    """
    check = PrerequisiteCheck.ACCESS_LEVEL
    level = await _access_level(client, organization, member)
    where = _settings(client, organization, "users")
    if level is None:
        return _not_met(
            check,
            Reason.INSUFFICIENT_ACCESS_LEVEL,
            f"{account.name} has no access level in {organization}. Add it with Basic under Users ({where}).",
        )
    licence, source, subscription, state = (
        str(level.get(name) or "").lower()
        for name in ("accountLicenseType", "licensingSource", "msdnLicenseType", "status")
    )
    if state and state != "active":
        return _not_met(
            check,
            Reason.INSUFFICIENT_ACCESS_LEVEL,
            f"The access of {account.name} to {organization} is {state}. Let it sign in there, or assign Basic anew "
            f"under Users ({where}).",
        )
    if licence in _ENOUGH or (source == "msdn" and subscription not in {"", "none"}):
        return _met(check)
    if licence in {"stakeholder", "none"}:
        return _not_met(
            check,
            Reason.INSUFFICIENT_ACCESS_LEVEL,
            f"{account.name} has the access level {licence.capitalize()} in {organization}, which is not enough. "
            f"Assign Basic under Users ({where}).",
        )
    return unknown(
        check, Reason.CHECK_UNAVAILABLE, f"Azure DevOps names an access level that is not known: {licence!r}."
    )


async def third_party_oauth_enabled(client: AzureDevOpsClient, organization: str) -> Prerequisite:
    """Whether third-party applications may come in through OAuth. Undocumented, and the value is inverted.

    Raises:
        AzureDevOpsError: it cannot be told.
    """
    check = PrerequisiteCheck.THIRD_PARTY_OAUTH_ENABLED
    url = (
        f"{client.endpoints.dev_azure}/{path_segment(organization)}"
        "/_apis/OrganizationPolicy/Policies/Policy.DisallowOAuthAuthentication"
    )
    body = await client.get(url, {"defaultValue": "false"}, _POLICY_VERSION)
    given = body if isinstance(body, dict) else {}
    disallowed = given.get("effectiveValue", given.get("value"))
    if not isinstance(disallowed, bool):
        return unknown(check, Reason.CHECK_UNAVAILABLE, "Azure DevOps did not say how the policy is set.")
    if not disallowed:
        return _met(check)
    return _not_met(
        check,
        Reason.OAUTH_DISABLED,
        f"{organization} does not let third-party applications in through OAuth, so Defender for Cloud cannot work "
        f"there. Switch that on under Policies ({_settings(client, organization, 'policy')}).",
    )


async def container_mapping_extension(client: AzureDevOpsClient, organization: str) -> Prerequisite:
    """Whether the extension that maps containers to code is installed and works.

    Raises:
        AzureDevOpsError: it cannot be told.
    """
    check = PrerequisiteCheck.CONTAINER_MAPPING_EXTENSION
    url = f"{client.endpoints.extension}/{path_segment(organization)}/_apis/extensionmanagement/installedextensions"
    installed = list_items(await client.get(url, {"includeDisabledExtensions": "true"}, _EXTENSION_VERSION))
    ours = next((each for each in installed if isinstance(each, dict) and _is_ours(each)), None)
    where = _settings(client, organization, "extensions")
    if ours is None:
        return _not_met(
            check,
            Reason.EXTENSION_MISSING,
            f"The extension that maps containers to code is not installed in {organization}. Defender for Cloud "
            f"installs it at onboarding; if it is missing after a day, install {'.'.join(_EXTENSION)} ({where}).",
        )
    broken = _flags(ours) & _BROKEN_FLAGS
    if not broken:
        return _met(check)
    return _not_met(
        check,
        Reason.EXTENSION_DISABLED,
        f"The extension that maps containers to code does not work in {organization} ({', '.join(sorted(broken))}). "
        f"Enable or approve it under Extensions ({where}).",
    )


def unknown(check: PrerequisiteCheck, reason: str, message: str) -> Prerequisite:
    """A check that could not be made."""
    return Prerequisite(check=check, status="Unknown", reason=reason, message=message[:1024])


async def _access_level(client: AzureDevOpsClient, organization: str, member: Member | None) -> dict[str, Any] | None:
    """The entitlement's accessLevel, or None where the account has no entitlement.

    Raises:
        AzureDevOpsError: it cannot be read.
    """
    if member is None:
        return None
    url = (
        f"{client.endpoints.entitlement}/{path_segment(organization)}/_apis/userentitlements/{path_segment(member.id)}"
    )
    try:
        body = await client.get(url)
    except AzureDevOpsNotFound:
        return None
    level = body.get("accessLevel") if isinstance(body, dict) else None
    return level if isinstance(level, dict) else {}


def _is_ours(extension: dict[str, Any]) -> bool:
    named = (str(extension.get("publisherId", "")).lower(), str(extension.get("extensionId", "")).lower())
    return named == _EXTENSION


def _flags(extension: dict[str, Any]) -> frozenset[str]:
    state = extension.get("installState")
    flags = str(state.get("flags", "")) if isinstance(state, dict) else ""
    return frozenset(flag.strip().lower() for flag in flags.split(","))


def _settings(client: AzureDevOpsClient, organization: str, page: str) -> str:
    return f"{client.endpoints.dev_azure}/{path_segment(organization)}/_settings/{page}"


def _met(check: PrerequisiteCheck) -> Prerequisite:
    return Prerequisite(check=check, status="True")


def _not_met(check: PrerequisiteCheck, reason: Reason, message: str) -> Prerequisite:
    return Prerequisite(check=check, status="False", reason=reason, message=message[:1024])
