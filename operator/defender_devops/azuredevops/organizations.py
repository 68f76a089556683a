"""Who is signed in, which organizations that account sees, and which tenant an organization belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from defender_devops.azuredevops.client import AzureDevOpsClient, list_items, path_segment
from defender_devops.errors import AzureDevOpsUnavailable

__all__ = ["NO_TENANT", "Profile", "organization_tenant", "organizations", "profile"]

NO_TENANT: Final = "00000000-0000-0000-0000-000000000000"
"""What an organization that is connected to no Entra tenant gives as its tenant."""

_TENANT_HEADER: Final = "X-VSS-ResourceTenant"
_AUTHORIZATION_URI: Final = re.compile(
    r"authorization_uri=\"?https://[^/\s,\"]+/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE
)
_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class Profile:
    """The account that is signed in.

    Attributes:
        id: its id in Azure DevOps, the same in every organization.
        account: e-mail address, mostly the user principal name.
        display_name: for people.
    """

    id: str
    account: str
    display_name: str


async def profile(client: AzureDevOpsClient) -> Profile:
    """Who is signed in.

    Raises:
        AzureDevOpsError: it cannot be told.
    """
    body = await client.get(f"{client.endpoints.profile}/_apis/profile/profiles/me")
    identifier = _text(body, "id") or _text(body, "publicAlias")
    if not identifier:
        raise AzureDevOpsUnavailable("Azure DevOps did not say who is signed in.")
    return Profile(identifier, _text(body, "emailAddress"), _text(body, "displayName"))


async def organizations(client: AzureDevOpsClient, member_id: str) -> tuple[str, ...]:
    """Names of the organizations that a person is a member of, sorted. Always empty for an app.

    Raises:
        AzureDevOpsError: they cannot be listed.
    """
    body = await client.get(f"{client.endpoints.profile}/_apis/accounts", {"memberId": member_id})
    names = {_text(account, "accountName") for account in list_items(body)}
    return tuple(sorted(names - {""}, key=str.lower))


async def organization_tenant(client: AzureDevOpsClient, organization: str) -> str:
    """The Entra tenant of an organization, or `NO_TENANT`. Azure DevOps tells it to anybody, so no token is sent.

    Raises:
        AzureDevOpsNotFound: there is no such organization.
        AzureDevOpsUnavailable: it cannot be told.
    """
    nobody = replace(client, token=None)
    headers = await nobody.headers_of(f"{client.endpoints.dev_azure}/{path_segment(organization)}/_apis/connectionData")
    said = str(headers.get(_TENANT_HEADER, "")).strip()
    if _GUID.fullmatch(said):
        return said.lower()
    found = _AUTHORIZATION_URI.search(str(headers.get("WWW-Authenticate", "")))
    if found is None:
        raise AzureDevOpsUnavailable("Azure DevOps did not say which tenant the organization belongs to.")
    return found.group(1).lower()


def _text(body: Any, key: str) -> str:  # noqa: ANN401 - JSON
    value = body.get(key) if isinstance(body, dict) else None
    return value if isinstance(value, str) else ""
