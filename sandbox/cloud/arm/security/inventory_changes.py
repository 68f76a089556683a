"""PUT and PATCH of organizations, projects and repositories: long-running, with a minimal response body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.cloud.arm.call import Call
from sandbox.cloud.arm.errors import ArmError, not_found
from sandbox.cloud.arm.security import remediation
from sandbox.cloud.arm.security.configurations import check_no_operation, require_configuration
from sandbox.cloud.arm.security.inventory import find_organization, find_project, find_repository
from sandbox.cloud.arm.security.operations import accepted_headers
from sandbox.cloud.arm.security.validation import bad_request, check_choice
from sandbox.cloud.defender.authorizations import authorization_problem
from sandbox.cloud.defender.onboarding import available_organizations, onboard, owning_connector_key
from sandbox.cloud.defender.operations import UPDATE_CHILD, Failure, start_operation
from sandbox.cloud.transport.message import Reply, json_reply

__all__ = [
    "create_organization",
    "create_project",
    "create_repository",
    "update_organization",
    "update_project",
    "update_repository",
]

_STATES = ("NotApplicable", "OnboardedByOtherConnector", "Onboarded", "NotOnboarded")


def _requested(call: Call) -> tuple[dict[str, Any], dict[str, Any] | None]:
    properties = call.body().get("properties", {})
    if not isinstance(properties, dict):
        raise bad_request("properties", "must be an object")
    check_choice("properties.onboardingState", properties.get("onboardingState"), _STATES)
    value = properties.get("actionableRemediation")
    return properties, None if value is None else remediation.normalize(value)


def _accept(
    call: Call, finish: Callable[[float], Failure | None], setting: dict[str, Any] | None, status: int
) -> Reply:
    """Start the operation. The body has neither id nor name nor type nor provisioningState."""
    _, configuration = require_configuration(call)
    check_no_operation(call, configuration)
    operation = start_operation(
        call.world,
        f"{call.path.ancestor(1)}/devops/default",
        UPDATE_CHILD,
        finish,
        api_version=call.api_version,
        fault=call.operation_fault,
    )
    properties: dict[str, Any] = {"onboardingState": "NotApplicable"}
    if setting is not None:
        properties["actionableRemediation"] = setting
    return json_reply({"properties": properties}, status, accepted_headers(call, operation))


def _authorization_failure(call: Call) -> Failure | None:
    """Return the failure of an operation whose authorization no longer works; None if it works."""
    _, configuration = require_configuration(call)
    problem = authorization_problem(call.world, configuration.authorization)
    return None if problem is None else Failure(problem.code, problem.summary)


def update_organization(call: Call) -> Reply:
    """PATCH: 202."""
    return _set_organization(call, 202)


def _set_organization(call: Call, status: int) -> Reply:
    organization = find_organization(call)
    _, setting = _requested(call)
    # Checked when the request is accepted; the operation fails with it when it ends.
    failure = _authorization_failure(call)

    def finish(moment: float) -> Failure | None:
        if failure is None and setting is not None:
            organization.remediation, organization.updated_at = setting, moment
        return failure

    call.request.effect("organization.update", id=call.path.id.lower(), actionableRemediation=setting)
    return _accept(call, finish, setting, status)


def create_organization(call: Call) -> Reply:
    """PUT: 201 onboards an available organization, 200 changes an onboarded one.

    Raises:
        ArmError: 405 by variant, 404 if the authorization cannot access it, 409 if another connector has onboarded it.
    """
    if call.world.variants.is_chosen("organizationPut", "refused"):
        raise ArmError(405, "MethodNotAllowed", "The requested resource does not support http method 'PUT'.")
    connector, configuration = require_configuration(call)
    name = call.path.names[2]
    if name.lower() in configuration.organizations:
        return _set_organization(call, 200)
    _, setting = _requested(call)
    source = next(
        (
            organization
            for organization in available_organizations(call.world, connector)
            if organization.name.lower() == name.lower()
        ),
        None,
    )
    if source is None:
        raise not_found(f"Microsoft.Security/securityConnectors/devops/azureDevOpsOrgs/{name}", call.path.group)
    if owning_connector_key(call.world, call.world.tenant_of(connector), name) is not None:
        raise ArmError(409, "Conflict", f"Organization '{name}' is onboarded by another connector of this tenant.")
    organization, failure = source, _authorization_failure(call)

    def finish(moment: float) -> Failure | None:
        if failure is None and connector.configuration is configuration and call.world.contains(connector):
            onboard(call.world, connector, organization, moment)
            onboarded = configuration.organizations.get(organization.name.lower())
            if onboarded is not None and setting is not None:
                onboarded.remediation = setting
        return failure

    call.request.effect("organization.create", id=call.path.id.lower())
    return _accept(call, finish, setting, 201)


def update_project(call: Call) -> Reply:
    """PATCH: 202."""
    return _set_project(call, 202)


def create_project(call: Call) -> Reply:
    """PUT of a project that discovery has reported: 200."""
    return _set_project(call, 200)


def _set_project(call: Call, status: int) -> Reply:
    _, project = find_project(call)
    _, setting = _requested(call)
    failure = _authorization_failure(call)

    def finish(moment: float) -> Failure | None:
        del moment
        if failure is None and setting is not None:
            project.remediation = None if setting["inheritFromParentState"] == "Enabled" else setting
        return failure

    call.request.effect("project.update", id=call.path.id.lower(), actionableRemediation=setting)
    return _accept(call, finish, setting, status)


def update_repository(call: Call) -> Reply:
    """PATCH: 202."""
    return _set_repository(call, 202)


def create_repository(call: Call) -> Reply:
    """PUT of a repository that discovery has reported: 200."""
    return _set_repository(call, 200)


def _set_repository(call: Call, status: int) -> Reply:
    _, project, repository, _ = find_repository(call)
    _, setting = _requested(call)
    failure = _authorization_failure(call)
    key = repository.name.lower()

    def finish(moment: float) -> Failure | None:
        del moment
        if failure is None and setting is not None:
            if setting["inheritFromParentState"] == "Enabled":
                project.repositories.pop(key, None)
            else:
                project.repositories[key] = setting
        return failure

    call.request.effect("repository.update", id=call.path.id.lower(), actionableRemediation=setting)
    return _accept(call, finish, setting, status)
