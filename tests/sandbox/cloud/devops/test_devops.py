"""Azure DevOps: all checks of the operator, with the peculiarities of the service."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from sandbox.cloud.devops.identities import WELL_KNOWN_ADMINISTRATORS, identity_id
from sandbox.cloud.world.devops import License, Member
from tests.sandbox.cloud.direct import ACCOUNT, ORGANIZATIONS, OTHER_TENANT, TENANT, Direct

ME = identity_id("44444444-4444-4444-4444-444444444444")
V = "api-version=7.1"
PREVIEW = "api-version=7.1-preview.1"
PROJECTS = f"/contoso/_apis/projects?{V}"
SERVICE = "defender-devops-sandbox"
GRAPH = "/providers/Microsoft.ResourceGraph/resources"


async def get(direct: Direct, host: str, url: str, token: str | None = None) -> Any:  # noqa: ANN401 - JSON
    answer = await direct.devops(host, url, token=token)
    assert answer.status == 200, answer.text
    return answer.json


def member(direct: Direct) -> Member:
    return direct.world.organizations["contoso"].members["44444444-4444-4444-4444-444444444444"]


# --- profile and organizations


async def test_the_profile_gives_the_services_own_id(direct: Direct) -> None:
    profile = await get(direct, "profile", f"/_apis/profile/profiles/me?{V}")
    assert profile["id"] == profile["publicAlias"] == ME
    assert profile["emailAddress"] == ACCOUNT


async def test_accounts_are_the_persons_organizations_and_none_of_a_service_principals(direct: Direct) -> None:
    accounts = await get(direct, "profile", f"/_apis/accounts?memberId={ME}&{V}")
    assert {item["accountName"] for item in accounts["value"]} == {
        "contoso",
        "fabrikam",
        "adventure-works",
        "northwind",
        "wingtip-toys",
        "tailspin",
    }
    bare = await get(direct, "profile", f"/_apis/accounts?memberId={ME}")
    assert isinstance(bare, list)
    service = direct.token(SERVICE, "devops")
    profile = await get(direct, "profile", f"/_apis/profile/profiles/me?{V}", service)
    assert await get(direct, "profile", f"/_apis/accounts?memberId={profile['id']}&{V}", service) == {
        "count": 0,
        "value": [],
    }
    assert (await direct.devops("profile", f"/_apis/accounts?{V}")).status == 400


@pytest.mark.parametrize(
    ("tenant", "header"),
    [("contoso.com", TENANT), ("litware.com", OTHER_TENANT), (None, "00000000-0000-0000-0000-000000000000")],
)
async def test_the_tenant_of_an_organization_is_public(direct: Direct, tenant: str | None, header: str) -> None:
    await direct.control("POST", "/organizations", name="somewhere", tenant=tenant)
    answer = await direct.devops("devAzure", "/somewhere/_apis/connectionData", token="")
    assert answer.headers["X-VSS-ResourceTenant"] == header
    assert (header in answer.headers["WWW-Authenticate"]) == (tenant is not None)
    mine = await get(direct, "devAzure", "/contoso/_apis/connectionData")
    assert mine["authenticatedUser"]["id"] == ME


# --- tokens


async def test_an_expired_token_gets_the_sign_in_page_with_203(direct: Direct) -> None:
    token = direct.token(ACCOUNT, "devops")
    direct.move(0, wall=3601)
    for bad in (token, "nonsense", direct.token(SERVICE, "arm")):
        answer = await direct.devops("devAzure", PROJECTS, token=bad, Accept="application/json")
        assert answer.status == 203
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "Sign In" in answer.text


async def test_401_is_returned_only_if_the_client_suppresses_the_redirect_and_accepts_json(direct: Direct) -> None:
    suppress = {"X_TFS_FedAuthRedirect": "Suppress"}
    answer = await direct.devops("devAzure", PROJECTS, token="", Accept="application/json", **suppress)
    assert answer.status == 401
    assert answer.json["typeKey"] == "UnauthorizedRequestException"
    assert (await direct.devops("devAzure", PROJECTS, token="", **suppress)).status == 203


async def test_a_browser_without_token_is_sent_to_the_sign_in_page(direct: Direct) -> None:
    answer = await direct.devops("devAzure", PROJECTS, token="", Accept="text/html")
    assert answer.status == 302
    assert "/_signin?" in answer.headers["Location"]
    assert (await direct.devops("devAzure", "/_signin", token="")).status == 200


async def test_revoked_sessions_get_insufficient_claims(direct: Direct) -> None:
    token = direct.token(ACCOUNT, "devops")
    await direct.control("PATCH", f"/accounts/{ACCOUNT}", revokeSessions=True)
    answer = await direct.devops("devAzure", PROJECTS, token=token)
    assert answer.status == 401
    challenge = answer.headers["WWW-Authenticate"]
    assert 'error="insufficient_claims"' in challenge
    claims = challenge.partition('claims="')[2].partition('"')[0]
    assert "nbf" in json.loads(base64.b64decode(claims))["access_token"]
    direct.move(0, wall=1)
    assert (await direct.devops("devAzure", PROJECTS)).status == 200


async def test_a_token_may_do_what_was_consented_to(direct: Direct) -> None:
    narrow = direct.token(ACCOUNT, "devops", ("vso.project",))
    assert (await direct.devops("devAzure", PROJECTS, token=narrow)).status == 200
    refused = await direct.devops("devAzure", f"/contoso/_apis/git/repositories?{V}", token=narrow)
    assert refused.status == 403
    assert "vso.code" in refused.json["message"]


# --- errors


async def test_a_non_member_is_rejected(direct: Direct) -> None:
    await direct.control("POST", f"/accounts/{ACCOUNT}/access", access=False, organizations=["contoso"])
    answer = await direct.devops("devAzure", PROJECTS)
    assert answer.status == 401
    assert answer.json["message"].startswith("TF400813")
    assert {"message", "typeKey", "errorCode"} <= set(answer.json)
    assert (await direct.devops("devAzure", f"/fabrikam/_apis/projects?{V}")).status == 200


async def test_a_member_has_to_sign_in_once_before_using_the_api(direct: Direct) -> None:
    member(direct).signed_in = False
    answer = await direct.devops("devAzure", PROJECTS)
    assert answer.json["message"].startswith("TF401444")


async def test_another_tenants_account_is_refused(direct: Direct) -> None:
    answer = await direct.devops("devAzure", PROJECTS, token=direct.token("megan@litware.com", "devops"))
    assert answer.json["message"].startswith("TF400813")


async def test_an_unknown_organization_is_404(direct: Direct) -> None:
    answer = await direct.devops("devAzure", f"/nobody/_apis/projects?{V}")
    assert answer.status == 404
    assert (await direct.devops("devAzure", "/contoso/_apis/nothing")).status == 404


async def test_blocked_for_usage_is_429_with_its_number(direct: Direct) -> None:
    await direct.control("PATCH", "/organizations/contoso", blockedForUsage=True)
    answer = await direct.devops("devAzure", PROJECTS)
    assert answer.status == 429
    assert answer.json["message"].startswith("TF400733")
    assert answer.headers["Retry-After"]


@pytest.mark.parametrize(
    ("version", "key"),
    [
        ("nonsense", "VssInvalidApiVersionException"),
        ("99.0", "VssVersionOutOfRangeException"),
        ("7.1", "VssInvalidPreviewVersionException"),
    ],
)
async def test_a_wrong_api_version_is_refused(direct: Direct, version: str, key: str) -> None:
    answer = await direct.devops("identity", f"/contoso/_apis/graph/groups?api-version={version}")
    assert (answer.status, answer.json["typeKey"]) == (400, key)


VERSIONS = [
    ("application/json;api-version=7.1", 200),
    ("application/json; api-version=7.1-preview.4", 200),
    ("text/html, application/json;api-version=99.0", 400),
    ("application/json;api-version=x", 400),
]


@pytest.mark.parametrize(("accept", "status"), VERSIONS)
async def test_the_api_version_may_be_in_the_accept_header(direct: Direct, accept: str, status: int) -> None:
    assert (await direct.devops("devAzure", "/contoso/_apis/projects", Accept=accept)).status == status
    preview = await direct.devops("identity", "/contoso/_apis/graph/users", Accept="application/json;api-version=7.1")
    assert (preview.status, preview.json["typeKey"]) == (400, "VssInvalidPreviewVersionException")
    listing = await direct.devops("profile", f"/_apis/accounts?memberId={ME}", Accept="a/b;api-version=7.1")
    assert listing.json["count"] == 6


async def test_addresses_of_a_repository_are_percent_encoded(direct: Direct) -> None:
    await direct.control(
        "POST", "/organizations/contoso/projects", name="My Team's project", repositories=["a b#1?", "größe"]
    )
    project = "My%20Team%27s%20project"
    path = "/contoso/My Team's project/_apis/git/repositories"
    repositories = (await get(direct, "devAzure", f"{path}?{V}"))["value"]
    assert [item["webUrl"] for item in repositories] == [
        f"https://dev.azure.com/contoso/{project}/_git/{name}" for name in ("a%20b%231%3F", "gr%C3%B6%C3%9Fe")
    ]
    assert {(item["remoteUrl"] + item["sshUrl"] + item["url"]).count(" ") for item in repositories} == {0}
    await direct.connect(topLevelInventoryList=["contoso"])
    direct.move(3600)
    listing = (await direct.arm("GET", f"{ORGANIZATIONS}/contoso/projects/My Team's project/repos")).json["value"]
    expected = [item["webUrl"] for item in repositories]
    assert [item["properties"]["repoUrl"] for item in listing] == expected
    query = "securityresources | where type endswith '/repos' | project url = tostring(properties.repoUrl)"
    rows = (await direct.arm("POST", GRAPH, {"query": query, "options": {"$top": 1000}}, version="2022-10-01")).json
    assert set(expected) <= {row["url"] for row in rows["data"]}


async def test_write_methods_are_not_allowed(direct: Direct) -> None:
    headers = {"Authorization": f"Bearer {direct.token(ACCOUNT, 'devops')}"}
    answer = await direct.send("devAzure", "POST", PROJECTS, b"{}", headers)
    assert answer is not None
    assert answer.status == 405


# --- usage


async def test_beyond_the_limit_retry_after_is_sent_with_a_successful_response(direct: Direct) -> None:
    token = direct.token(ACCOUNT, "devops")
    wall = direct.clock.wall()
    direct.world.usage.charge("44444444-4444-4444-4444-444444444444", 150, wall)
    assert "X-RateLimit-Limit" not in (await direct.devops("devAzure", PROJECTS, token=token)).headers
    direct.world.usage.charge("44444444-4444-4444-4444-444444444444", 20, wall)
    warned = await direct.devops("devAzure", PROJECTS, token=token)
    assert warned.headers["X-RateLimit-Limit"] == "200"
    assert "Retry-After" not in warned.headers
    direct.world.usage.charge("44444444-4444-4444-4444-444444444444", 40, wall)
    slowed = await direct.devops("devAzure", PROJECTS, token=token)
    assert (slowed.status, slowed.headers["X-RateLimit-Remaining"]) == (200, "0")
    assert int(slowed.headers["Retry-After"]) > 0
    direct.world.usage.charge("44444444-4444-4444-4444-444444444444", 400, wall)
    assert (await direct.devops("devAzure", PROJECTS, token=token)).status == 429
    direct.move(0, wall=301)
    assert (await direct.devops("devAzure", PROJECTS, token=token)).status == 200


async def test_scans_by_defender_are_charged_to_the_same_account(direct: Direct) -> None:
    many = [{"name": f"p{number}"} for number in range(1200)]
    someone = {"account": ACCOUNT, "administrator": True}
    await direct.control("POST", "/organizations", name="huge", tenant="contoso.com", members=[someone], projects=many)
    await direct.connect(topLevelInventoryList=["huge"])
    answer = await direct.devops("devAzure", PROJECTS)
    assert answer.headers["Retry-After"]


# --- prerequisites


async def administrators(direct: Direct, organization: str) -> bool:
    """The documented way: the memberships of the identity, compared with the well-known group."""
    query = f"identityIds={ME}&queryMembership=expandedUp&{V}"
    (identity,) = (await get(direct, "identity", f"/{organization}/_apis/identities?{query}"))["value"]
    well_known = f"descriptors={WELL_KNOWN_ADMINISTRATORS}&{V}"
    (group,) = (await get(direct, "identity", f"/{organization}/_apis/identities?{well_known}"))["value"]
    assert group["providerDisplayName"] == f"[{organization}]\\Project Collection Administrators"
    return group["descriptor"] in identity["memberOf"]


async def administrators_by_graph(direct: Direct, organization: str) -> bool:
    """The other way: memberships, one level at a time."""
    groups = (await get(direct, "identity", f"/{organization}/_apis/graph/groups?{PREVIEW}"))["value"]
    group_name = f"[{organization}]\\Project Collection Administrators"
    goal = next(group["descriptor"] for group in groups if group["principalName"] == group_name)
    start = (await get(direct, "identity", f"/{organization}/_apis/graph/descriptors/{ME}?{PREVIEW}"))["value"]
    pending, visited = [start], set[str]()
    while pending:
        subject = pending.pop()
        visited.add(subject)
        url = f"/{organization}/_apis/graph/memberships/{subject}?direction=up&{PREVIEW}"
        containers = [item["containerDescriptor"] for item in (await get(direct, "identity", url))["value"]]
        pending += [container for container in containers if container not in visited]
    return goal in visited


@pytest.mark.parametrize(("organization", "is_one"), [("contoso", True), ("fabrikam", True), ("guests", False)])
async def test_an_administrator_is_one_directly_or_through_nested_groups(
    direct: Direct, organization: str, is_one: bool
) -> None:
    someone = {"account": ACCOUNT}
    await direct.control("POST", "/organizations", name="guests", tenant="contoso.com", members=[someone])
    assert await administrators(direct, organization) == is_one
    assert await administrators_by_graph(direct, organization) == is_one


async def test_groups_show_their_members_downwards_too(direct: Direct) -> None:
    groups = (await get(direct, "identity", f"/fabrikam/_apis/graph/groups?{PREVIEW}"))["value"]
    owners = next(group["descriptor"] for group in groups if group["displayName"] == "Organization Owners")
    url = f"/fabrikam/_apis/graph/memberships/{owners}?direction=down&{PREVIEW}"
    (inner,) = (await get(direct, "identity", url))["value"]
    team = next(group["descriptor"] for group in groups if group["displayName"] == "Platform Team")
    assert inner == {"containerDescriptor": owners, "memberDescriptor": team}
    users = (await get(direct, "identity", f"/fabrikam/_apis/graph/users?{PREVIEW}"))["value"]
    assert [user["principalName"] for user in users] == [ACCOUNT]


async def test_identities_are_found_by_name_and_an_unknown_one_is_null(direct: Direct) -> None:
    search = f"searchFilter=General&filterValue={ACCOUNT}&{V}"
    (identity,) = (await get(direct, "identity", f"/contoso/_apis/identities?{search}"))["value"]
    assert identity["id"] == ME
    by_descriptor = f"descriptors={identity['descriptor']}&{V}"
    assert (await get(direct, "identity", f"/contoso/_apis/identities?{by_descriptor}"))["value"][0]["id"] == ME
    unknown = "identityIds=00000000-0000-0000-0000-000000000001"
    assert (await get(direct, "identity", f"/contoso/_apis/identities?{unknown}&{V}"))["value"] == [None]
    assert (await direct.devops("identity", f"/contoso/_apis/identities?{V}")).status == 400


LEVELS = {
    License.EXPRESS: ("express", "account", "none"),
    License.ADVANCED: ("advanced", "account", "none"),
    License.STAKEHOLDER: ("stakeholder", "account", "none"),
    License.MSDN: ("none", "msdn", "enterprise"),
}


@pytest.mark.parametrize("license", LEVELS)
async def test_an_access_level_is_shown_as_the_service_does(direct: Direct, license: License) -> None:  # noqa: A002 - its name
    member(direct).license = license
    member(direct).access_status = "active"
    level = (await get(direct, "entitlement", f"/contoso/_apis/userentitlements/{ME}?{V}"))["accessLevel"]
    assert (level["accountLicenseType"], level["licensingSource"], level["msdnLicenseType"]) == LEVELS[license]
    assert level["status"] == "active"


async def test_a_service_principal_has_an_entitlement_of_its_own_kind(direct: Direct) -> None:
    object_id = "55555555-5555-5555-5555-000000000001"
    direct.world.organizations["contoso"].members[object_id] = Member(object_id)
    identifier = identity_id(object_id)
    token = direct.token(SERVICE, "devops")
    url = f"/contoso/_apis/serviceprincipalentitlements/{identifier}?{V}"
    assert (await get(direct, "entitlement", url, token))["servicePrincipal"]["subjectKind"] == "servicePrincipal"
    assert (await direct.devops("entitlement", f"/contoso/_apis/userentitlements/{identifier}?{V}")).status == 404


@pytest.mark.parametrize("enabled", [True, False])
async def test_the_value_of_the_oauth_policy_is_inverted(direct: Direct, enabled: bool) -> None:
    await direct.control("PATCH", "/organizations/contoso", thirdPartyOauth=enabled)
    name = "Policy.DisallowOAuthAuthentication"
    url = f"/contoso/_apis/OrganizationPolicy/Policies/{name}?defaultValue=false&api-version=5.0-preview.1"
    policy = await get(direct, "devAzure", url)
    assert (policy["value"], policy["effectiveValue"]) == (not enabled, not enabled)
    unknown_policy = url.replace(name, "Policy.Unheard")
    assert (await direct.devops("devAzure", unknown_policy)).status == 404


async def test_the_extension_shows_its_state(direct: Direct) -> None:
    url = f"/contoso/_apis/extensionmanagement/installedextensions?{PREVIEW}&includeDisabledExtensions="
    (extension,) = (await get(direct, "extension", f"{url}true"))["value"]
    assert (extension["publisherId"], extension["extensionId"]) == ("ms-securitydevops", "ms-dfd-code-to-cloud")
    assert extension["installState"]["flags"] == "none"
    await direct.control("PATCH", "/organizations/contoso", extensionFlags="disabled")
    (extension,) = (await get(direct, "extension", f"{url}true"))["value"]
    assert extension["installState"]["flags"] == "disabled"
    assert (await get(direct, "extension", f"{url}false"))["value"] == []


# --- counts


async def test_projects_come_in_pages_with_the_token_in_a_header(direct: Direct) -> None:
    many = [{"name": f"p{number:03}"} for number in range(250)]
    someone = {"account": ACCOUNT}
    await direct.control("POST", "/organizations", name="large", tenant="contoso.com", members=[someone], projects=many)
    names, token = [], ""
    for _ in range(3):
        url = f"/large/_apis/projects?stateFilter=wellFormed&$top=100&continuationToken={token}&{V}"
        page = await direct.devops("devAzure", url)
        names += [item["name"] for item in page.json["value"]]
        token = page.headers.get("x-ms-continuationtoken", "")
    assert token == ""
    assert names == [item["name"] for item in many]
    assert (await direct.devops("devAzure", f"/large/_apis/projects?$top=x&{V}")).status == 400
    assert (
        (await direct.devops("devAzure", f"/large/_apis/projects/nothing?{V}")).json["message"].startswith("TF200016")
    )
    assert (await get(direct, "devAzure", f"/large/_apis/projects/P007?{V}"))["name"] == "p007"


async def test_repositories_are_not_paged_and_include_disabled_ones(direct: Direct) -> None:
    webshop = (await get(direct, "devAzure", f"/contoso/webshop/_apis/git/repositories?{V}"))["value"]
    assert {item["name"] for item in webshop if item["isDisabled"]} == {"legacy"}
    generated = (await get(direct, "devAzure", f"/contoso/data-platform/_apis/git/repositories?{V}"))["value"]
    assert len(generated) == 24
    assert (await get(direct, "devAzure", f"/contoso/back-office/_apis/git/repositories?{V}"))["count"] == 0
    infrastructure = await get(direct, "devAzure", f"/contoso/infrastructure/_apis/git/repositories?{V}")
    empty = next(item for item in infrastructure["value"] if item["name"] == "empty")
    assert empty["size"] == 0
    assert "defaultBranch" not in empty
    every = await get(direct, "devAzure", f"/contoso/_apis/git/repositories?{V}")
    assert every["count"] == 7 + 24 + 3
