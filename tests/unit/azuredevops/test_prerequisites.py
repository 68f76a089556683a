"""Prerequisites: True, False with what to do, and never a False for a call that failed."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from defender_devops.api.azure_types import Counts
from defender_devops.azuredevops import counts, organizations, prerequisites
from defender_devops.azuredevops.members import Account, Member, find_member
from defender_devops.errors import AzureDevOpsDenied, AzureDevOpsError, AzureDevOpsNotFound, AzureDevOpsUnavailable
from tests.support.fakes.azure_devops import AzureDevOpsSetup

TENANT = "11111111-1111-1111-1111-111111111111"
OTHER = "99999999-9999-9999-9999-999999999999"
ADMINISTRATORS = "Microsoft.TeamFoundation.Identity;S-1-9-1551374245-1204400969-2402986413-2179408616-0-0-0-0-1"
HERE = "Microsoft.TeamFoundation.Identity;S-1-9-1551374245-777-0-0-0-0-1"
ACCOUNT = Account("mdc@contoso.com", "id-1")
MEMBER = Member("id-1", "aad.subject", frozenset())


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({"X-VSS-ResourceTenant": TENANT}, "True", None),
        ({"X-VSS-ResourceTenant": TENANT.upper()}, "True", None),
        ({"X-VSS-ResourceTenant": OTHER}, "False", "TenantDiffers"),
        ({"X-VSS-ResourceTenant": organizations.NO_TENANT}, "False", "TenantDiffers"),
        ({"WWW-Authenticate": f"Bearer authorization_uri=https://login.microsoftonline.com/{TENANT}"}, "True", None),
        (
            {"WWW-Authenticate": f'Bearer authorization_uri="https://login.windows.net/{OTHER}", Basic'},
            "False",
            "TenantDiffers",
        ),
    ],
)
@pytest.mark.parametrize("answered", [401, 302, 203, 200])
async def test_the_tenant_is_read_from_headers_of_any_response(
    reach: AzureDevOpsSetup, headers: dict[str, str], status: str, reason: str | None, answered: int
) -> None:
    reach.service.responses["/contoso/_apis/connectionData"] = web.Response(status=answered, headers=headers)
    prerequisite = await prerequisites.check_tenant(reach.client, "contoso", TENANT)
    assert (prerequisite.status, prerequisite.reason) == (status, reason)
    assert "Authorization" not in reach.service.requests[0].headers
    if status == "False":
        assert "/contoso/_settings/organizationAad" in str(prerequisite.message)


async def test_a_missing_organization_or_header_is_an_error_and_not_false(reach: AzureDevOpsSetup) -> None:
    with pytest.raises(AzureDevOpsNotFound):
        await prerequisites.check_tenant(reach.client, "nowhere", TENANT)
    reach.service.responses["/quiet/_apis/connectionData"] = web.Response(status=401)
    with pytest.raises(AzureDevOpsUnavailable):
        await prerequisites.check_tenant(reach.client, "quiet", TENANT)


def identities(reach: AzureDevOpsSetup, person: list[Any], group: Any = None) -> None:  # noqa: ANN401 - any answer
    def answer(request: web.Request) -> Any:  # noqa: ANN401
        if "descriptors" in request.query:
            assert request.query["descriptors"] == ADMINISTRATORS
            return group if group is not None else {"value": [{"descriptor": HERE}]}
        assert request.query["queryMembership"] == "expandedUp"
        return {"count": len(person), "value": person}

    reach.service.responses["/contoso/_apis/identities"] = answer


def graph(reach: AzureDevOpsSetup, *edges: tuple[str, str], group: str = "vssgp.administrators") -> None:
    """Memberships as (member, container)."""
    administrators = {"principalName": "[CONTOSO]\\Project Collection Administrators", "descriptor": group}
    reach.service.responses["/contoso/_apis/graph/groups"] = {"value": [{"principalName": "[x]\\y"}, administrators]}
    for member in {node for edge in edges for node in edge} | {"aad.subject"}:
        memberships = [{"containerDescriptor": container} for child, container in edges if child == member]
        reach.service.responses[f"/contoso/_apis/graph/memberships/{member}"] = {"value": memberships}


async def administrator(reach: AzureDevOpsSetup) -> Any:  # noqa: ANN401
    member = await find_member(reach.client, "contoso", ACCOUNT)
    return await prerequisites.check_project_collection_administrator(reach.client, "contoso", ACCOUNT, member)


PERSON = {"id": "id-1", "subjectDescriptor": "aad.subject", "isActive": True}


async def test_an_administrator_through_groups_is_recognized(reach: AzureDevOpsSetup) -> None:
    identities(reach, [PERSON | {"memberOf": ["another", HERE.upper()]}])
    assert (await administrator(reach)).status == "True"
    assert len(reach.service.requests) == 2, "the quick way is enough for a Yes"


async def test_a_no_by_identity_is_verified_by_the_graph(reach: AzureDevOpsSetup) -> None:
    identities(reach, [PERSON | {"memberOf": []}])
    graph(
        reach, ("aad.subject", "vssgp.team"), ("vssgp.team", "vssgp.owners"), ("vssgp.owners", "vssgp.administrators")
    )
    assert (await administrator(reach)).status == "True"


async def test_an_account_that_neither_way_confirms_is_not_an_administrator(reach: AzureDevOpsSetup) -> None:
    identities(reach, [PERSON | {"memberOf": []}])
    graph(reach, ("aad.subject", "vssgp.team"))
    prerequisite = await administrator(reach)
    assert (prerequisite.status, prerequisite.reason) == ("False", "NotAMember")
    assert "mdc@contoso.com is not a member of Project Collection Administrators of contoso" in str(
        prerequisite.message
    )
    assert "/contoso/_settings/groups" in str(prerequisite.message)


async def test_groups_that_contain_each_other_end(reach: AzureDevOpsSetup) -> None:
    identities(reach, [PERSON | {"memberOf": []}])
    graph(reach, ("aad.subject", "vssgp.a"), ("vssgp.a", "vssgp.b"), ("vssgp.b", "vssgp.a"))
    assert (await administrator(reach)).status == "False"


@pytest.mark.parametrize(
    "group",
    [{"value": []}, {"value": [None]}, web.json_response({"message": "no"}, status=400)],
    ids=["none", "null", "400"],
)
async def test_without_the_well_known_descriptor_the_graph_decides(reach: AzureDevOpsSetup, group: Any) -> None:  # noqa: ANN401
    identities(reach, [PERSON | {"memberOf": []}], group)
    graph(reach, ("aad.subject", "vssgp.administrators"))
    assert (await administrator(reach)).status == "True"


async def test_where_both_ways_fail_the_check_is_not_false(reach: AzureDevOpsSetup) -> None:
    identities(reach, [PERSON | {"memberOf": []}], {"value": []})
    with pytest.raises(AzureDevOpsError):
        await administrator(reach)


async def test_where_only_the_identity_is_readable_its_no_is_final(reach: AzureDevOpsSetup) -> None:
    identities(reach, [PERSON | {"memberOf": []}])
    assert (await administrator(reach)).status == "False"


async def test_a_missing_subject_descriptor_is_requested(reach: AzureDevOpsSetup) -> None:
    identities(reach, [{"id": "id-1", "memberOf": []}], {"value": []})
    reach.service.responses["/contoso/_apis/graph/descriptors/id-1"] = {"value": "aad.subject"}
    graph(reach, ("aad.subject", "vssgp.administrators"))
    assert (await administrator(reach)).status == "True"


@pytest.mark.parametrize("person", [[], [None], [PERSON | {"isActive": False}]])
async def test_an_account_that_is_not_a_member_is_not_an_administrator(
    reach: AzureDevOpsSetup, person: list[Any]
) -> None:
    identities(reach, person)
    prerequisite = await administrator(reach)
    assert (prerequisite.status, prerequisite.reason) == ("False", "NotAMember")
    assert "is not a member of contoso, so it cannot be" in str(prerequisite.message)


async def test_another_account_than_the_signed_in_one_is_searched_by_name(reach: AzureDevOpsSetup) -> None:
    identities(reach, [PERSON])
    await find_member(reach.client, "contoso", Account("mdc@contoso.com", None))
    assert reach.service.requests[0].query["filterValue"] == "mdc@contoso.com"


async def test_an_ambiguous_name_is_an_error(reach: AzureDevOpsSetup) -> None:
    identities(reach, [PERSON, PERSON | {"id": "id-2"}])
    with pytest.raises(AzureDevOpsUnavailable, match="several accounts"):
        await find_member(reach.client, "contoso", Account("mdc@contoso.com", None))


LEVELS = [
    ({"accountLicenseType": "express", "status": "active"}, "True"),
    ({"accountLicenseType": "advanced", "licensingSource": "account", "status": "active"}, "True"),
    (
        {"accountLicenseType": "none", "licensingSource": "msdn", "msdnLicenseType": "enterprise", "status": "active"},
        "True",
    ),
    ({"accountLicenseType": "stakeholder", "status": "active"}, "False"),
    ({"accountLicenseType": "none", "licensingSource": "none", "msdnLicenseType": "none", "status": "active"}, "False"),
    ({"accountLicenseType": "express", "status": "disabled"}, "False"),
    ({"accountLicenseType": "express", "status": "pending"}, "False"),
    ({"accountLicenseType": "something new", "status": "active"}, "Unknown"),
    ({}, "Unknown"),
]


@pytest.mark.parametrize(("level", "status"), LEVELS)
async def test_access_levels(reach: AzureDevOpsSetup, level: dict[str, str], status: str) -> None:
    reach.service.responses["/contoso/_apis/userentitlements/id-1"] = {"accessLevel": level}
    prerequisite = await prerequisites.check_access_level(reach.client, "contoso", ACCOUNT, MEMBER)
    assert prerequisite.status == status
    if status == "False":
        assert "/contoso/_settings/users" in str(prerequisite.message)


@pytest.mark.parametrize("member", [None, MEMBER])
async def test_an_account_without_an_entitlement_has_no_access_level(
    reach: AzureDevOpsSetup, member: Member | None
) -> None:
    prerequisite = await prerequisites.check_access_level(reach.client, "contoso", ACCOUNT, member)
    assert (prerequisite.status, prerequisite.reason) == ("False", "InsufficientAccessLevel")


POLICY = "/contoso/_apis/OrganizationPolicy/Policies/Policy.DisallowOAuthAuthentication"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"value": False, "effectiveValue": False}, "True"),
        ({"value": True, "effectiveValue": True}, "False"),
        ({"value": False, "effectiveValue": True}, "False"),
        ({"value": True}, "False"),
        ({"value": None}, "Unknown"),
        ({"value": "true"}, "Unknown"),
        ({}, "Unknown"),
        ([], "Unknown"),
    ],
)
async def test_the_oauth_policy_is_inverted(reach: AzureDevOpsSetup, body: Any, status: str) -> None:  # noqa: ANN401
    reach.service.responses[POLICY] = body
    prerequisite = await prerequisites.check_third_party_oauth(reach.client, "contoso")
    assert prerequisite.status == status
    assert reach.service.requests[0].query["api-version"] == "5.0-preview.1"


@pytest.mark.parametrize("answer", [web.Response(status=404), web.Response(status=403), web.Response(status=500)])
async def test_a_failed_undocumented_request_is_never_false(reach: AzureDevOpsSetup, answer: web.Response) -> None:
    reach.service.responses[POLICY] = answer
    with pytest.raises(AzureDevOpsError):
        await prerequisites.check_third_party_oauth(reach.client, "contoso")


@pytest.mark.parametrize("body", [{}, {"value": None}, {"value": [None]}, {"value": [7]}, [None], 7, None])
async def test_a_defective_list_of_extensions_is_never_false(reach: AzureDevOpsSetup, body: Any) -> None:  # noqa: ANN401
    reach.service.responses["/contoso/_apis/extensionmanagement/installedextensions"] = web.json_response(body)
    with pytest.raises(AzureDevOpsUnavailable):
        await prerequisites.check_container_mapping_extension(reach.client, "contoso")


EXTENSION = {"publisherId": "ms-securitydevops", "extensionId": "ms-dfd-code-to-cloud"}


@pytest.mark.parametrize(
    ("installed", "status", "reason"),
    [
        ([EXTENSION | {"installState": {"flags": "none"}}], "True", None),
        ([EXTENSION | {"installState": {"flags": "trusted, multiVersion"}}], "True", None),
        ([{"publisherId": "MS-SecurityDevOps", "extensionId": "MS-DFD-Code-to-Cloud"}], "True", None),
        ([], "False", "ExtensionMissing"),
        ([{"publisherId": "x", "extensionId": "ms-dfd-code-to-cloud"}], "False", "ExtensionMissing"),
        ([EXTENSION | {"installState": {"flags": "disabled"}}], "False", "ExtensionDisabled"),
        ([EXTENSION | {"installState": {"flags": "trusted, needsReauthorization"}}], "False", "ExtensionDisabled"),
        ([EXTENSION | {"installState": {"flags": "error"}}], "False", "ExtensionDisabled"),
    ],
)
async def test_the_extension(reach: AzureDevOpsSetup, installed: list[Any], status: str, reason: str | None) -> None:
    reach.service.responses["/contoso/_apis/extensionmanagement/installedextensions"] = {"value": installed}
    prerequisite = await prerequisites.check_container_mapping_extension(reach.client, "contoso")
    assert (prerequisite.status, prerequisite.reason) == (status, reason)


async def test_the_profile_and_its_organizations_are_read(reach: AzureDevOpsSetup) -> None:
    reach.service.responses["/_apis/profile/profiles/me"] = {"id": "id-1", "emailAddress": "a@b", "displayName": "A"}
    assert await organizations.read_profile(reach.client) == organizations.Profile("id-1", "a@b")
    names = [{"accountName": "zulu"}, {"accountName": "Alpha"}]
    for body in ({"count": 2, "value": names}, names):
        reach.service.responses["/_apis/accounts"] = body
        assert await organizations.list_organizations(reach.client, "id-1") == ("Alpha", "zulu")
    assert reach.service.requests[-1].query["memberId"] == "id-1"
    reach.service.responses["/_apis/accounts"] = [*names, {"accountId": "nameless"}]
    with pytest.raises(AzureDevOpsUnavailable, match="no name"):
        await organizations.list_organizations(reach.client, "id-1")


@pytest.mark.parametrize("body", [{}, [], {"id": 7}])
async def test_a_profile_without_an_id_is_an_error(reach: AzureDevOpsSetup, body: Any) -> None:  # noqa: ANN401
    reach.service.responses["/_apis/profile/profiles/me"] = body
    with pytest.raises(AzureDevOpsUnavailable):
        await organizations.read_profile(reach.client)


async def test_counts_exclude_disabled_repositories_and_need_one_request_for_all_projects(
    reach: AzureDevOpsSetup,
) -> None:
    reach.service.responses["/contoso/_apis/projects"] = {"value": [{"id": "p1"}, {"id": "p2"}]}
    repositories = [
        {"id": "r1"},
        {"id": "r2", "isDisabled": True},
        {"id": "r3", "size": 0},
        {"id": "r4", "isDisabled": False},
    ]
    reach.service.responses["/contoso/_apis/git/repositories"] = {"value": repositories}
    assert await counts.expected_counts(reach.client, "contoso") == Counts(2, 3)
    assert len(reach.service.requests) == 2
    assert reach.service.requests[0].query["stateFilter"] == "wellFormed"


async def test_without_the_organization_wide_list_each_project_is_requested(reach: AzureDevOpsSetup) -> None:
    reach.service.responses["/contoso/_apis/projects"] = {"value": [{"id": "p1"}, {"id": "p2"}]}
    for project in ("p1", "p2"):
        reach.service.responses[f"/contoso/{project}/_apis/git/repositories"] = {"value": [{"id": project}]}
    assert await counts.expected_counts(reach.client, "contoso") == Counts(2, 2)


async def test_counts_that_cannot_be_read_are_an_error_and_not_zero(reach: AzureDevOpsSetup) -> None:
    denied = {"message": "VS403283: No.", "typeKey": "AccessDeniedException"}
    reach.service.responses["/contoso/_apis/projects"] = web.json_response(denied, status=403)
    with pytest.raises(AzureDevOpsDenied):
        await counts.expected_counts(reach.client, "contoso")
