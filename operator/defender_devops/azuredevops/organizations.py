"""The signed-in account, its organizations, and the tenant of an organization."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from defender_devops.azuredevops.client import AzureDevOpsClient, azure_devops_list, quote_path_segment
from defender_devops.errors import AzureDevOpsUnavailable

__all__ = ["NO_TENANT", "Profile", "list_organizations", "organization_tenant", "read_profile"]

NO_TENANT: Final = "00000000-0000-0000-0000-000000000000"
"""The tenant of an organization that is not connected to an Entra tenant."""

_TENANT_HEADER: Final = "X-VSS-ResourceTenant"
_AUTHORIZATION_URI: Final = re.compile(
    r"authorization_uri=\"?https://[^/\s,\"]+/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE
)
_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class Profile:
    """The signed-in account.

    Attributes:
        id: its id in Azure DevOps, the same in every organization.
        account: e-mail address, mostly the user principal name.
    """

    id: str
    account: str


async def read_profile(client: AzureDevOpsClient) -> Profile:
    """Return the signed-in account.

    Raises:
        AzureDevOpsError: it cannot be read.
    """
    body = await client.get(f"{client.endpoints.profile}/_apis/profile/profiles/me")
    identifier = _text(body, "id") or _text(body, "publicAlias")
    if not identifier:
        raise AzureDevOpsUnavailable("The response of Azure DevOps does not name the signed-in account.")
    return Profile(identifier, _text(body, "emailAddress"))


async def list_organizations(client: AzureDevOpsClient, member_id: str) -> tuple[str, ...]:
    """Return the names of the organizations that a person is a member of, sorted. Always empty for an app.

    Raises:
        AzureDevOpsError: they cannot be listed.
    """
    body = await client.get(f"{client.endpoints.profile}/_apis/accounts", {"memberId": member_id})
    names = {_text(account, "accountName") for account in azure_devops_list(body)}
    if "" in names:
        raise AzureDevOpsUnavailable("An organization in the response of Azure DevOps has no name.")
    return tuple(sorted(names, key=str.lower))


async def organization_tenant(client: AzureDevOpsClient, organization: str) -> str:
    """Return the Entra tenant of an organization, or `NO_TENANT`. The tenant is public, so no token is sent.

    Raises:
        AzureDevOpsNotFound: there is no such organization.
        AzureDevOpsUnavailable: the response does not name the tenant.
    """
    anonymous = replace(client, token=None)
    url = f"{client.endpoints.dev_azure}/{quote_path_segment(organization)}/_apis/connectionData"
    headers = await anonymous.headers_of(url)
    tenant = str(headers.get(_TENANT_HEADER, "")).strip()
    if _GUID.fullmatch(tenant):
        return tenant.lower()
    match = _AUTHORIZATION_URI.search(str(headers.get("WWW-Authenticate", "")))
    if match is None:
        raise AzureDevOpsUnavailable("The response of Azure DevOps does not name the organization's tenant.")
    return match.group(1).lower()


def _text(body: Any, key: str) -> str:  # noqa: ANN401 - JSON
    value = body.get(key) if isinstance(body, dict) else None
    return value if isinstance(value, str) else ""
