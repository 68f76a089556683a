"""GET organizations, projects and repositories below `devops/default`, ten to a page. The service has no DELETE."""

from __future__ import annotations

from typing import Any

from sandbox.cloud.arm.api_versions import filter_properties
from sandbox.cloud.arm.call import Call
from sandbox.cloud.arm.errors import ArmError, not_found
from sandbox.cloud.arm.paging import next_link, page, position_of
from sandbox.cloud.arm.security import remediation
from sandbox.cloud.arm.security.configurations import require_configuration
from sandbox.cloud.clock import short_time
from sandbox.cloud.defender.authorizations import ExchangeFailed, authorization_problem
from sandbox.cloud.defender.model import Configuration, Connector, OnboardedOrganization, OnboardedProject
from sandbox.cloud.defender.onboarding import available_organizations, onboarding_state, owning_connector_key
from sandbox.cloud.transport.message import Reply, json_reply
from sandbox.cloud.world.devops import Organization, Project, Repository, repository_url

__all__ = [
    "find_organization",
    "find_project",
    "find_repository",
    "get_organization",
    "get_project",
    "get_repository",
    "list_available",
    "list_organizations",
    "list_projects",
    "list_repositories",
]

_PAGE_SIZES = {"ten": 10, "hundred": 100, "all": 1_000_000}
_TYPE = "Microsoft.Security/securityConnectors/devops/azureDevOpsOrgs"


def _stamp(call: Call, moment: float) -> str:
    return short_time(call.world.clock.wall_of(moment))


def _page_size(call: Call) -> int:
    return _PAGE_SIZES[call.world.variants["listPages"]]


def _collection(call: Call) -> str:
    """Return the URL path of the collection."""
    return call.path.id.rpartition("/")[0] if call.path.is_item else call.path.id


# --- organizations


def render_organization(call: Call, identifier: str, organization: OnboardedOrganization) -> dict[str, Any]:
    """Return an onboarded organization as the API shows it."""
    return {
        "properties": {
            "onboardingState": onboarding_state(call.world, organization),
            "actionableRemediation": remediation.organization_setting(organization),
            "provisioningStatusMessage": organization.status_message,
            "provisioningStatusUpdateTimeUtc": _stamp(call, organization.updated_at),
            "provisioningState": organization.provisioning_state,
        },
        "id": identifier,
        "name": organization.name,
        "type": _TYPE,
    }


def list_organizations(call: Call) -> Reply:
    """GET: the organizations onboarded by this connector."""
    _, configuration = require_configuration(call)
    organizations = list(configuration.organizations.values())
    part, following = page(call.request, organizations, _page_size(call))
    base = _collection(call)
    return json_reply(
        {
            "value": [render_organization(call, f"{base}/{organization.name}", organization) for organization in part],
            **following,
        }
    )


def find_organization(call: Call) -> OnboardedOrganization:
    """The organization of the path.

    Raises:
        ArmError: 404: not onboarded by this connector.
    """
    _, configuration = require_configuration(call)
    name = call.path.names[2]
    organization = configuration.organizations.get(name.lower())
    if organization is None:
        raise not_found(f"{_TYPE}/{name}", call.path.group)
    return organization


def get_organization(call: Call) -> Reply:
    """GET one."""
    return json_reply(render_organization(call, call.path.id, find_organization(call)))


_REFUSALS = {
    "badRequest": (400, "BadRequest", "The authorization of the connector cannot be used."),
    "unauthorized": (401, "Unauthorized", "TF400813: The user is not authorized to access this resource."),
    "forbidden": (403, "Forbidden", "The authorizing account has no access."),
    "serverError": (500, "InternalServerError", "The server encountered an internal error. Please retry."),
}


def _available(call: Call, connector: Connector, configuration: Configuration) -> list[Organization]:
    """Return the organizations that the authorization can access, in the form that the variants choose."""
    problem = authorization_problem(call.world, configuration.authorization)
    organizations = available_organizations(call.world, connector)
    if problem is not None:
        choice = call.world.variants["listAvailableWithoutAuthorization"]
    elif not organizations:
        choice = call.world.variants["listAvailableWithoutOrganizations"]
    else:
        return organizations
    if choice in ("empty", "stale"):
        return organizations if choice == "stale" else []
    failure = problem or ExchangeFailed("access_denied", "The account is in no organization.")
    status, code, message = _REFUSALS.get(choice, (400, failure.code, str(failure)))
    raise ArmError(status, code, message)


def list_available(call: Call) -> Reply:
    """POST: all organizations that the authorization can access, onboarded or not; not paged."""
    connector, configuration = require_configuration(call)
    organizations = _available(call, connector, configuration)
    tenant = call.world.tenant_of(connector)
    base = f"{call.path.ancestor(2)}/azureDevOpsOrgs"
    items = []
    for organization in organizations:
        onboarded = configuration.organizations.get(organization.name.lower())
        identifier = f"{base}/{organization.name}"
        if onboarded is not None:
            items.append(render_organization(call, identifier, onboarded))
            continue
        # Ownership is per tenant: a connector of another tenant does not count.
        has_other_owner = owning_connector_key(call.world, tenant, organization.name) is not None
        state = "OnboardedByOtherConnector" if has_other_owner else "NotOnboarded"
        properties = {"onboardingState": state, "actionableRemediation": {"state": "None"}}
        items.append({"properties": properties, "id": identifier, "name": organization.name, "type": _TYPE})
    return json_reply({"value": items})


# --- projects


def render_project(
    call: Call, identifier: str, organization: OnboardedOrganization, project: OnboardedProject
) -> dict[str, Any]:
    """Return a discovered project as the API shows it."""
    return {
        "properties": {
            "parentOrgName": organization.name,
            "projectId": project.project_id,
            "onboardingState": "Onboarded",
            "actionableRemediation": remediation.project_setting(organization, project),
            "provisioningStatusMessage": "OK",
            "provisioningStatusUpdateTimeUtc": _stamp(call, project.appears),
            "provisioningState": "Succeeded",
        },
        "id": identifier,
        "name": project.name,
        "type": f"{_TYPE}/projects",
    }


def list_projects(call: Call) -> Reply:
    """GET: the projects reported by now."""
    organization = find_organization(call)
    part, following = page(call.request, organization.discovered(call.now), _page_size(call))
    base = _collection(call)
    items = [render_project(call, f"{base}/{project.name}", organization, project) for project in part]
    return json_reply({"value": items, **following})


def find_project(call: Call) -> tuple[OnboardedOrganization, OnboardedProject]:
    """The project of the path.

    Raises:
        ArmError: 404: discovery has not reported it.
    """
    organization = find_organization(call)
    name = call.path.names[3]
    project = organization.projects.get(name.lower())
    if project is None or project.appears > call.now:
        raise not_found(f"{_TYPE}/projects/{organization.name}/{name}", call.path.group)
    return organization, project


def get_project(call: Call) -> Reply:
    """GET one."""
    return json_reply(render_project(call, call.path.id, *find_project(call)))


# --- repositories


def render_repository(
    call: Call,
    identifier: str,
    organization: OnboardedOrganization,
    project: OnboardedProject,
    *,
    repository: Repository,
    visibility: str,
) -> dict[str, Any]:
    """Return a discovered repository as the API shows it."""
    properties = {
        "parentOrgName": organization.name,
        "parentProjectName": project.name,
        "repoId": repository.id,
        "repoUrl": repository_url(organization.name, project.name, repository.name),
        "visibility": visibility,
        "onboardingState": "Onboarded",
        "actionableRemediation": remediation.repository_setting(organization, project, repository.name),
        "provisioningStatusMessage": "OK",
        "provisioningStatusUpdateTimeUtc": _stamp(call, project.appears),
        "provisioningState": "Succeeded",
    }
    return {
        "properties": filter_properties(properties, call.api_version),
        "id": identifier,
        "name": repository.name,
        "type": f"{_TYPE}/projects/repos",
    }


def _source(call: Call, organization: OnboardedOrganization, project: OnboardedProject) -> Project | None:
    source = call.world.organization(organization.name)
    return None if source is None else source.project(project.name)


def _is_hidden(call: Call, repository: Repository) -> bool:
    """Whether discovery does not report a repository."""
    return repository.disabled or (repository.empty and call.world.variants.is_chosen("emptyRepositories", "missing"))


def list_repositories(call: Call) -> Reply:
    """GET: the repositories reported by now. The continuation token is a position: every page costs the same."""
    organization, project = find_project(call)
    source = _source(call, organization, project)
    if source is None:
        return json_reply({"value": []})
    position, reported = position_of(call.request), min(project.positions(call.now), len(source.repositories))
    base, size = _collection(call), _page_size(call)
    items: list[dict[str, Any]] = []
    # Positions of disabled and deleted repositories are skipped, so that a page may need more positions than items.
    while position < reported and len(items) < size:
        repository = source.repositories[position]
        position += 1
        if not _is_hidden(call, repository) and repository.name.lower() not in source.repositories.removed:
            identifier = f"{base}/{repository.name}"
            items.append(
                render_repository(
                    call, identifier, organization, project, repository=repository, visibility=source.visibility
                )
            )
    more = {"nextLink": next_link(call.request, position)} if position < reported else {}
    return json_reply({"value": items, **more})


def find_repository(call: Call) -> tuple[OnboardedOrganization, OnboardedProject, Repository, str]:
    """The repository of the path, and its visibility.

    Raises:
        ArmError: 404: discovery has not reported it.
    """
    organization, project = find_project(call)
    source = _source(call, organization, project)
    name = call.path.names[4]
    position = None if source is None else source.repositories.position(name)
    if source is not None and position is not None and position < project.positions(call.now):
        repository = source.repositories[position]
        if not _is_hidden(call, repository):
            return organization, project, repository, source.visibility
    raise not_found(f"{_TYPE}/projects/repos/{organization.name}/{project.name}/{name}", call.path.group)


def get_repository(call: Call) -> Reply:
    """GET one."""
    organization, project, repository, visibility = find_repository(call)
    body = render_repository(call, call.path.id, organization, project, repository=repository, visibility=visibility)
    return json_reply(body)
