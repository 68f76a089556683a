"""The account that authorizes Defender, as a member of one organization, and its groups there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from defender_devops.azuredevops.client import AzureDevOpsClient, azure_devops_list, quote_path_segment
from defender_devops.errors import AzureDevOpsError, AzureDevOpsUnavailable, SignInExpired

__all__ = ["Account", "Member", "find_member", "is_administrator"]

GRAPH_VERSION: Final = "7.1-preview.1"

ADMINISTRATORS: Final = "Project Collection Administrators"
_ADMINISTRATORS_DESCRIPTOR: Final = (
    "Microsoft.TeamFoundation.Identity;S-1-9-1551374245-1204400969-2402986413-2179408616-0-0-0-0-1"
)
"""Well-known descriptor of the group in the requested organization (observed, not documented)."""

_GROUPS_MAX: Final = 500
"""Groups that are followed upwards from one account; more would be a loop or an abuse."""


@dataclass(frozen=True)
class Account:
    """The account to check.

    Attributes:
        name: user principal name.
        id: id in Azure DevOps where it is the signed-in account; None for another account.
    """

    name: str
    id: str | None


@dataclass(frozen=True)
class Member:
    """The account within one organization.

    Attributes:
        id: its id.
        subject: its subject descriptor in the Graph API; empty where the response has none.
        groups: descriptors (in lower case) of all its groups, indirect ones included; None where the response has none.
    """

    id: str
    subject: str
    groups: frozenset[str] | None


async def find_member(client: AzureDevOpsClient, organization: str, account: Account) -> Member | None:
    """Return the account in an organization, or None where it is not a member.

    Raises:
        AzureDevOpsError: it cannot be determined.
    """
    selector = {"identityIds": account.id} if account.id else {"searchFilter": "General", "filterValue": account.name}
    identities = await _identities(client, organization, {**selector, "queryMembership": "expandedUp"})
    active = [identity for identity in identities if identity.get("isActive") is not False]
    if not active:
        return None
    if len(active) > 1:
        raise AzureDevOpsUnavailable(f"Azure DevOps has several accounts with the name {account.name}.")
    identity = active[0]
    identifier, subject, member_of = (identity.get(key) for key in ("id", "subjectDescriptor", "memberOf"))
    if not isinstance(identifier, str) or not identifier:
        raise AzureDevOpsUnavailable(f"The response of Azure DevOps has no id of the account {account.name}.")
    return Member(
        id=identifier,
        subject=subject if isinstance(subject, str) else "",
        groups=frozenset(str(group).lower() for group in member_of) if isinstance(member_of, list) else None,
    )


async def is_administrator(client: AzureDevOpsClient, organization: str, member: Member) -> bool:
    """Whether the account is a Project Collection Administrator, directly or through any depth of groups.

    There are two ways to determine it. The quick one relies on an undocumented descriptor: its No is final only where
    the Graph API does not say Yes.

    Raises:
        AzureDevOpsError: both ways failed.
    """
    by_identity = await _is_administrator_by_identity(client, organization, member)
    if by_identity:
        return True
    try:
        return await _is_administrator_by_graph(client, organization, member)
    except SignInExpired:  # a new token may make both ways work
        raise
    except AzureDevOpsError:
        # The Graph API is closed to some accounts: the No of the other way remains, if there is one.
        if by_identity is None:
            raise
        return False


async def _is_administrator_by_identity(client: AzureDevOpsClient, organization: str, member: Member) -> bool | None:
    """By the groups of the identity; None where they, or the identity of the administrators' group, are not known."""
    try:
        groups = await _identities(client, organization, {"descriptors": _ADMINISTRATORS_DESCRIPTOR})
    except (SignInExpired, AzureDevOpsUnavailable):
        raise
    except AzureDevOpsError:  # the descriptor is unknown to this organization
        return None
    descriptors = {str(group.get("descriptor") or "").lower() for group in groups} - {""}
    return bool(descriptors & member.groups) if descriptors and member.groups is not None else None


async def _is_administrator_by_graph(client: AzureDevOpsClient, organization: str, member: Member) -> bool:
    """By following memberships upwards, one level at a time."""
    administrators = await _administrators_group(client, organization)
    subject = member.subject
    if not subject:
        body = await client.get(_graph_url(client, organization, "descriptors", member.id), api_version=GRAPH_VERSION)
        if not isinstance(body, dict) or not body.get("value"):
            raise AzureDevOpsUnavailable("The response of Azure DevOps does not name the account's descriptor.")
        subject = str(body["value"])
    pending = [subject]
    visited = set(pending)
    while pending and len(visited) <= _GROUPS_MAX:
        url = _graph_url(client, organization, "memberships", pending.pop())
        for membership in azure_devops_list(await client.get(url, {"direction": "up"}, GRAPH_VERSION)):
            container = membership.get("containerDescriptor")
            if not isinstance(container, str) or not container:
                raise AzureDevOpsUnavailable("A membership in the response of Azure DevOps names no group.")
            if container == administrators:
                return True
            if container not in visited:
                visited.add(container)
                pending.append(container)
    return False


async def _administrators_group(client: AzureDevOpsClient, organization: str) -> str:
    principal_name = f"[{organization}]\\{ADMINISTRATORS}".lower()
    url = _graph_url(client, organization, "groups")
    async for page in client.pages(url, {}, GRAPH_VERSION):
        for group in page:
            descriptor = group.get("descriptor")
            if str(group.get("principalName", "")).lower() == principal_name and isinstance(descriptor, str):
                return descriptor
    raise AzureDevOpsUnavailable(f"Azure DevOps does not list the group {ADMINISTRATORS} of the organization.")


async def _identities(client: AzureDevOpsClient, organization: str, query: dict[str, str]) -> list[dict[str, Any]]:
    url = f"{client.endpoints.identity}/{quote_path_segment(organization)}/_apis/identities"
    body = await client.get(url, query)
    # The service returns null for an identity that it does not find.
    value = body.get("value") if isinstance(body, dict) else None
    return azure_devops_list([item for item in value if item is not None] if isinstance(value, list) else body)


def _graph_url(client: AzureDevOpsClient, organization: str, *path: str) -> str:
    segments = "/".join(quote_path_segment(segment) for segment in (organization, "_apis", "graph", *path))
    return f"{client.endpoints.identity}/{segments}"
