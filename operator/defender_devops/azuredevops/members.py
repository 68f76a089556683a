"""The account that authorizes Defender, as one organization knows it, and the groups that it is in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from defender_devops.azuredevops.client import AzureDevOpsClient, list_items, path_segment
from defender_devops.errors import AzureDevOpsError, AzureDevOpsUnavailable, SignInExpired

__all__ = ["Account", "Member", "find_member", "is_administrator"]

GRAPH_VERSION: Final = "7.1-preview.1"

ADMINISTRATORS: Final = "Project Collection Administrators"
_ADMINISTRATORS_DESCRIPTOR: Final = (
    "Microsoft.TeamFoundation.Identity;S-1-9-1551374245-1204400969-2402986413-2179408616-0-0-0-0-1"
)
"""Well-known descriptor of the group in whichever organization is asked (known from practice, not documented)."""

_GROUPS_MAX: Final = 500
"""Groups that are followed upwards from one account; more would be a loop or an abuse."""


@dataclass(frozen=True)
class Account:
    """Whom the checks are about.

    Attributes:
        name: user principal name.
        id: id in Azure DevOps where the account is the one that is signed in; None where it is another.
    """

    name: str
    id: str | None


@dataclass(frozen=True)
class Member:
    """The account within one organization.

    Attributes:
        id: its id.
        subject: subject descriptor, by which the graph knows it; empty where it was not given.
        groups: descriptors (in lower case) of all groups that it is in, through others too.
    """

    id: str
    subject: str
    groups: frozenset[str]


async def find_member(client: AzureDevOpsClient, organization: str, account: Account) -> Member | None:
    """The account in an organization, or None where it is not in it.

    Raises:
        AzureDevOpsError: it cannot be told.
    """
    who = {"identityIds": account.id} if account.id else {"searchFilter": "General", "filterValue": account.name}
    found = await _identities(client, organization, {**who, "queryMembership": "expandedUp"})
    active = [identity for identity in found if identity.get("isActive") is not False]
    if not active:
        return None
    if len(active) > 1:
        raise AzureDevOpsUnavailable(f"Azure DevOps knows several accounts as {account.name}.")
    identity = active[0]
    member_of = identity.get("memberOf")
    return Member(
        id=str(identity.get("id") or ""),
        subject=str(identity.get("subjectDescriptor") or ""),
        groups=frozenset(str(group).lower() for group in member_of) if isinstance(member_of, list) else frozenset(),
    )


async def is_administrator(client: AzureDevOpsClient, organization: str, member: Member) -> bool:
    """Whether the account is a Project Collection Administrator, directly or through any depth of groups.

    Asked in two ways, as the quick one rests on a descriptor that is not documented: a No holds only where the graph
    does not say Yes.

    Raises:
        AzureDevOpsError: neither way gives an answer.
    """
    by_identity = await _by_identity(client, organization, member)
    if by_identity:
        return True
    try:
        return await _by_graph(client, organization, member)
    except SignInExpired:
        raise
    except AzureDevOpsError:
        if by_identity is None:
            raise
        return False


async def _by_identity(client: AzureDevOpsClient, organization: str, member: Member) -> bool | None:
    """By the groups that came with the identity; None where the administrators' group is not found that way."""
    try:
        groups = await _identities(client, organization, {"descriptors": _ADMINISTRATORS_DESCRIPTOR})
    except (SignInExpired, AzureDevOpsUnavailable):
        raise
    except AzureDevOpsError:
        return None
    descriptors = {str(group.get("descriptor") or "").lower() for group in groups} - {""}
    return bool(descriptors & member.groups) if descriptors else None


async def _by_graph(client: AzureDevOpsClient, organization: str, member: Member) -> bool:
    """By following memberships upwards, one level at a time."""
    group = await _administrators_group(client, organization)
    pending = [member.subject or await _subject_descriptor(client, organization, member)]
    seen = set(pending)
    while pending and len(seen) <= _GROUPS_MAX:
        for container in await _containers(client, organization, pending.pop()):
            if container == group:
                return True
            if container not in seen:
                seen.add(container)
                pending.append(container)
    return False


async def _administrators_group(client: AzureDevOpsClient, organization: str) -> str:
    wanted = f"[{organization}]\\{ADMINISTRATORS}".lower()
    url = _graph(client, organization, "groups")
    async for page in client.pages(url, {}, GRAPH_VERSION):
        for group in page:
            if isinstance(group, dict) and str(group.get("principalName", "")).lower() == wanted:
                return str(group.get("descriptor", ""))
    raise AzureDevOpsUnavailable(f"Azure DevOps does not list the group {ADMINISTRATORS} of the organization.")


async def _subject_descriptor(client: AzureDevOpsClient, organization: str, member: Member) -> str:
    body = await client.get(_graph(client, organization, "descriptors", member.id), api_version=GRAPH_VERSION)
    if not isinstance(body, dict) or not body.get("value"):
        raise AzureDevOpsUnavailable("Azure DevOps did not name the account's descriptor.")
    return str(body["value"])


async def _containers(client: AzureDevOpsClient, organization: str, subject: str) -> list[str]:
    url = _graph(client, organization, "memberships", subject)
    memberships = list_items(await client.get(url, {"direction": "up"}, GRAPH_VERSION))
    return [
        str(each["containerDescriptor"])
        for each in memberships
        if isinstance(each, dict) and "containerDescriptor" in each
    ]


async def _identities(client: AzureDevOpsClient, organization: str, query: dict[str, str]) -> list[dict[str, Any]]:
    url = f"{client.endpoints.identity}/{path_segment(organization)}/_apis/identities"
    return [identity for identity in list_items(await client.get(url, query)) if isinstance(identity, dict)]


def _graph(client: AzureDevOpsClient, organization: str, *path: str) -> str:
    steps = "/".join(path_segment(step) for step in (organization, "_apis", "graph", *path))
    return f"{client.endpoints.identity}/{steps}"
