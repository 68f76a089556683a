"""Probe `azure-devops`: tokens, versions, identities and policies of Azure DevOps."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from acceptance.checks import Check, Cost, Observation, Probe, agreement
from acceptance.session.answer import Answer, Inconclusive, text_of
from acceptance.tenant import Tenant

__all__ = ["PROBE"]

_ADMINISTRATORS: Final = "Microsoft.TeamFoundation.Identity;S-1-9-1551374245-1204400969-2402986413-2179408616-0-0-0-0-1"
_OAUTH_POLICY: Final = "/_apis/OrganizationPolicy/Policies/Policy.DisallowOAuthAuthentication"
_PREVIEW: Final = "7.1-preview.1"
_MISSING_PROJECT: Final = "acceptance-kit-has-no-such-project"
_OK: Final = 200
_BAD_REQUEST: Final = 400
_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404
_SIGN_IN: Final = {203, 302, _UNAUTHORIZED}


def _organization(tenant: Tenant) -> str:
    return f"/{quote(tenant.file.organization, safe='')}"


def _error(answer: Answer) -> str:
    """Return the type of an error of Azure DevOps; empty where it is none."""
    try:
        return text_of(answer.json(), "typeKey")
    except Inconclusive:
        return ""


async def _lists(tenant: Tenant) -> Observation:
    answers = [
        await tenant.azure_devops("/_apis/projects", {"stateFilter": "wellFormed"}),
        await tenant.azure_devops("/_apis/git/repositories"),
        await tenant.azure_devops("/_apis/extensionmanagement/installedextensions", host="extension", version=_PREVIEW),
    ]
    counts = [len(answer.values()) for answer in answers]
    return agreement(holds=True, evidence=f"{counts[0]} projects, {counts[1]} repositories, {counts[2]} extensions")


async def _resource_areas(tenant: Tenant) -> Observation:
    answer = await tenant.session.get(
        "devAzure", f"{_organization(tenant)}/_apis/resourceAreas", {"api-version": _PREVIEW}, token=None
    )
    if answer.status in _SIGN_IN and "www-authenticate" in answer.headers:
        return Observation("guarded", f"HTTP {answer.status} without a token")
    return Observation("open", f"{len(answer.values())} areas without a token")


async def _version_in_accept(tenant: Tenant) -> Observation:
    path = f"{_organization(tenant)}/_apis/projects"
    right, wrong = [
        await tenant.session.get("devAzure", path, accept=f"application/json;api-version={version}")
        for version in ("7.1", "99.0")
    ]
    right.values()
    if not _error(wrong) and not wrong.is_success:
        raise Inconclusive(f"HTTP {wrong.status} without an error of Azure DevOps")
    return agreement(wrong.status == _BAD_REQUEST, f"an impossible version is answered with {wrong.status}")


async def _preview_versions(tenant: Tenant) -> Observation:
    path = "/_apis/extensionmanagement/installedextensions"
    answer = await tenant.azure_devops(path, host="extension", version="7.1")
    if not _error(answer) and not answer.is_success:
        raise Inconclusive(f"HTTP {answer.status} without an error of Azure DevOps")
    if answer.is_success:
        answer.values()
    return agreement(answer.status == _BAD_REQUEST, f"without -preview HTTP {answer.status}")


async def _oauth_policy(tenant: Tenant) -> Observation:
    answer = await tenant.azure_devops(_OAUTH_POLICY, {"defaultValue": "false"}, version="5.0-preview.1")
    body = answer.object()
    holds = isinstance(body.get("value"), bool) and isinstance(body.get("effectiveValue"), bool)
    return agreement(holds, "value and effectiveValue are true or false" if holds else "there is no value")


async def _administrators(tenant: Tenant) -> Observation:
    answer = await tenant.azure_devops("/_apis/identities", {"descriptors": _ADMINISTRATORS}, host="identity")
    groups = answer.values()
    holds = any(text_of(group, "providerDisplayName").endswith("Project Collection Administrators") for group in groups)
    return agreement(holds, "the group has this descriptor" if holds else "another group, or none")


async def _accounts(tenant: Tenant) -> Observation:
    profile = (await tenant.session.get("profile", "/_apis/profile/profiles/me", {"api-version": "7.1"})).object()
    identifier = text_of(profile, "id")
    if not identifier:
        raise Inconclusive("the profile has no id")
    answers = [
        await tenant.session.get("profile", "/_apis/accounts", {"memberId": identifier, **version})
        for version in ({"api-version": "7.1"}, {})
    ]
    counts = [len(answer.values()) for answer in answers]
    is_array = isinstance(answers[1].json(), list)
    evidence = f"{counts[0]} organizations; without api-version {'an array' if is_array else 'an object'}"
    return agreement(is_array and not isinstance(answers[0].json(), list), evidence)


async def _anonymous(tenant: Tenant) -> Observation:
    answer = await tenant.session.get("devAzure", f"{_organization(tenant)}/_apis/connectionData", token=None)
    resource_tenant = answer.headers.get("x-vss-resourcetenant", "")
    if not resource_tenant and "www-authenticate" not in answer.headers:
        raise Inconclusive(f"HTTP {answer.status} without either header")
    holds = resource_tenant.lower() == tenant.file.tenant.lower() and "www-authenticate" in answer.headers
    return agreement(holds, f"HTTP {answer.status}")


async def _wrong_token(tenant: Tenant) -> Observation:
    path, query = f"{_organization(tenant)}/_apis/projects", {"api-version": "7.1"}
    page = await tenant.session.get("devAzure", path, query, token="not-a-token", suppress_redirect=False)  # noqa: S106
    error = await tenant.session.get("devAzure", path, query, token="not-a-token")  # noqa: S106 - meant to be refused
    if {page.status, error.status} - _SIGN_IN - {_OK} or (page.status, error.status) == (_OK, _OK):
        raise Inconclusive(f"HTTP {page.status} and {error.status}")
    holds = (page.status, error.status) == (203, _UNAUTHORIZED) and bool(_error(error))
    return agreement(holds, f"HTTP {page.status}, and {error.status} where redirects are suppressed")


async def _errors(tenant: Tenant) -> Observation:
    answer = await tenant.azure_devops(f"/_apis/projects/{_MISSING_PROJECT}")
    if answer.is_success or not _error(answer):
        raise Inconclusive(f"HTTP {answer.status} for a missing project, without an error of Azure DevOps")
    body = answer.json()
    holds = answer.status == _NOT_FOUND and {"message", "typeKey", "errorCode"} <= body.keys()
    return agreement(holds, f"HTTP {answer.status} for a missing project")


PROBE: Final = Probe(
    "azure-devops",
    "projects, repositories, extensions and one policy of the organization; the signed-in identity",
    Cost(azure_devops=18),
    (
        Check("profile, accounts, connectionData, identities", _lists),
        Check("`OPTIONS {organization}/_apis`", _resource_areas, "resourceAreas"),
        Check("the api-version may be a parameter of the Accept header", _version_in_accept),
        Check("the URL of the OAuth policy", _oauth_policy),
        Check("the well-known descriptor of Project Collection Administrators", _administrators),
        Check("accounts: empty for service principals", _accounts),
        Check("X-VSS-ResourceTenant and WWW-Authenticate", _anonymous),
        Check("an expired token: 203", _wrong_token),
        Check("TF400813, TF401444", _errors),
        Check("preview versions require `-preview`", _preview_versions),
    ),
    requirements=(Tenant.require_azure_devops,),
)
