"""Actions of the control interface and the portal on the world."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any

from sandbox.cloud.control.bodies import (
    AccessBody,
    AccountBody,
    ApplicationChange,
    ConnectorBody,
    ConnectorChange,
    FederationBody,
    OrganizationBody,
    OrganizationChange,
    RepositoryBody,
    RoleBody,
    SettingsBody,
    SubscriptionBody,
    SubscriptionChange,
)
from sandbox.cloud.defender.assessments import Result
from sandbox.cloud.defender.authorizations import ExchangeFailed, accessible_organizations, issue_code
from sandbox.cloud.defender.configurations import Change, authorize
from sandbox.cloud.defender.evaluations import connector_results, discovered_organizations, update_evaluations
from sandbox.cloud.defender.model import Connector
from sandbox.cloud.defender.onboarding import apply_inventory, delete_connector
from sandbox.cloud.entra.token_endpoint.federation import KeySource
from sandbox.cloud.simulation import Simulation
from sandbox.cloud.transport.message import sha256
from sandbox.cloud.world.azure import ROLE_DEFINITIONS, Policy, ResourceGroup
from sandbox.cloud.world.devops import Extension, Organization, Project
from sandbox.cloud.world.directory import Account, AppSecret, ConditionalAccess
from sandbox.cloud.world.load import add_connector, add_organization, add_subscription, assign_role, make_repository
from sandbox.cloud.world.principals import UnknownName, principal_id

__all__ = ["ActionError", "Actions"]


class ActionError(Exception):
    """The action is not possible in this world."""


class Actions:
    """Actions of a person, an administrator or a test that do not go through the services."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    # --- lookup

    def account(self, name: str) -> Account:
        """Return an account by user principal name or object id."""
        account = self._simulation.world.directory.account(name)
        if account is None:
            raise UnknownName(f"there is no account {name!r}")
        return account

    def organization(self, name: str) -> Organization:
        """Return an organization by name."""
        organization = self._simulation.world.organization(name)
        if organization is None:
            raise UnknownName(f"there is no organization {name!r}")
        return organization

    def project(self, organization: str, name: str) -> Project:
        """Return a project by name."""
        project = self.organization(organization).project(name)
        if project is None:
            raise UnknownName(f"there is no project {name!r} in {organization!r}")
        return project

    def connector(self, subscription: str, group: str, name: str) -> Connector:
        """Return a connector by the parts of its id."""
        key = (
            f"/subscriptions/{subscription}/resourcegroups/{group}"
            f"/providers/microsoft.security/securityconnectors/{name}"
        )
        connector = self._simulation.world.connectors.get(key.lower())
        if connector is None:
            raise UnknownName(f"there is no connector {name!r} in resource group {group!r}")
        return connector

    # --- accounts

    def issue_code(self, account_name: str) -> dict[str, Any]:
        """Issue a one-time code for Defender, as the portal's dialog does."""
        try:
            code = issue_code(self._simulation.world, self.account(account_name))
        except ExchangeFailed as problem:
            raise ActionError(str(problem)) from problem
        return {"code": code, "sha256": sha256(code)}

    def change_account(self, name: str, body: AccountBody) -> None:
        """Block or delete an account, change its password, revoke its sessions or authorization."""
        world, account = self._simulation.world, self.account(name)
        changed = body.model_dump(
            exclude={"revoke_sessions", "revoke_defender", "withdraw_consent", "conditional_access"}, exclude_none=True
        )
        for attribute, value in changed.items():
            setattr(account, attribute, value)
        if body.conditional_access is not None:
            account.conditional_access = ConditionalAccess(body.conditional_access)
        wall = world.clock.wall()
        if body.password is not None:
            account.password_changed_at = wall
        if body.revoke_sessions:
            account.sessions_revoked_at = wall
        if body.revoke_defender:
            world.revoked[account.id] = wall
        if body.withdraw_consent:
            for application in world.directory.applications.values():
                application.consents.discard(account.id)
        self._update_evaluations()

    def _update_evaluations(self) -> None:
        """Let the change of access have its effect on assessments from now on."""
        world = self._simulation.world
        update_evaluations(world, world.connectors.values(), world.clock.now())

    def change_access(self, name: str, body: AccessBody) -> list[str]:
        """Remove an account from organizations, or restore its memberships; return the affected organizations."""
        world, account = self._simulation.world, self.account(name)
        names = None if body.organizations is None else {self.organization(name).name for name in body.organizations}
        changed = []
        for organization in world.organizations.values():
            if names is not None and organization.name not in names:
                continue
            key = (organization.id, account.id)
            if body.access and key in world.removed:
                organization.members[account.id] = world.removed.pop(key)
                changed.append(organization.name)
            elif not body.access and account.id in organization.members:
                world.removed[key] = organization.members.pop(account.id)
                changed.append(organization.name)
        self._update_evaluations()
        return changed

    # --- Azure DevOps

    def add_organization(self, body: OrganizationBody) -> Organization:
        """Create an organization."""
        if self._simulation.world.organization(body.name) is not None:
            raise ActionError(f"there is an organization {body.name!r} already")
        return add_organization(self._simulation.world, body)

    def change_organization(self, name: str, body: OrganizationChange) -> None:
        """Change policies and extensions of an organization, move it to another tenant, delete it."""
        world, organization = self._simulation.world, self.organization(name)
        simple = {"third_party_oauth", "blocked_for_usage", "search_info_code"}
        for attribute, value in body.model_dump(include=simple, exclude_none=True).items():
            setattr(organization, attribute, value)
        if body.extension_flags is not None:
            for extension in organization.extensions:
                extension.flags = body.extension_flags
        for name_of_extension, flags in (body.extensions or {}).items():
            _change_extension(organization, name_of_extension, flags)
        if body.decorator_steps is not None:
            organization.decorator_steps = tuple(body.decorator_steps)
        if body.tenant is not None:
            tenant = world.directory.tenant(body.tenant)
            if tenant is None:
                raise UnknownName(f"there is no tenant {body.tenant!r}")
            organization.tenant_id = tenant.id
        if body.deleted:
            del world.organizations[organization.name.lower()]
        self._update_evaluations()

    def add_repository(self, organization: str, project: str, body: RepositoryBody) -> None:
        """Create a repository."""
        home = self.project(organization, project)
        repositories = home.repositories
        if repositories.position(body.name) is not None:
            raise ActionError(f"there is a repository {body.name!r} already")
        repositories.removed.discard(body.name.lower())
        repositories.explicit.append(make_repository(home, body))

    def remove_repository(self, organization: str, project: str, name: str) -> None:
        """Delete a repository."""
        repositories = self.project(organization, project).repositories
        if repositories.position(name) is None:
            raise UnknownName(f"there is no repository {name!r} in {project!r}")
        repositories.removed.add(name.lower())
        repositories.removed_at[name.lower()] = self._simulation.clock.now()

    def remove_project(self, organization: str, name: str) -> None:
        """Delete a project."""
        project = self.project(organization, name)
        del self.organization(organization).projects[project.name.lower()]

    # --- Azure, outside of the operator

    def add_connector(self, body: ConnectorBody) -> Connector:
        """Create a connector as a person does in the portal; with an account it is authorized.

        Raises:
            ActionError: it exists, or the account cannot authorize.
            UnknownName: the subscription or the account does not exist.
        """
        world = self._simulation.world
        if world.subscription(body.subscription) is None:
            raise UnknownName(f"there is no subscription {body.subscription!r}")
        try:
            existing = self.connector(body.subscription, body.resource_group, body.name)
        except UnknownName:
            existing = None
        if existing is not None:
            raise ActionError(f"there is a connector {body.name!r} in resource group {body.resource_group!r} already")
        try:
            return add_connector(world, body)
        except (ExchangeFailed, UnknownName) as problem:
            self.delete_connector(self.connector(body.subscription, body.resource_group, body.name))
            raise ActionError(str(problem)) from problem

    def change_connector(self, connector: Connector, body: ConnectorChange) -> None:
        """Change a connector as a person does in the portal."""
        self._change_connector(connector, body)
        self._simulation.world.record_change(connector.key, self._simulation.clock.now())

    def _change_connector(self, connector: Connector, body: ConnectorChange) -> None:
        if body.tags is not None:
            connector.tags = dict(body.tags)
        for tag in body.remove_tags:
            connector.tags.pop(tag, None)
        configuration = connector.configuration
        if body.authorization is not None:
            change = Change(None, body.auto_discovery, body.organizations, None)
            account = principal_id(self._simulation.world, body.authorization)
            try:
                authorize(self._simulation.world, connector, account, change)
            except ExchangeFailed as problem:
                raise ActionError(str(problem)) from problem
            return
        if configuration is not None:
            names = {"auto_discovery", "provisioning_state", "status_message", "agentless"}
            for attribute, value in body.model_dump(include=names, exclude_none=True).items():
                setattr(configuration, attribute, value)
            if body.organizations is not None:
                configuration.inventory = list(body.organizations)
                apply_inventory(self._simulation.world, connector, self._simulation.clock.now())

    def delete_connector(self, connector: Connector) -> None:
        """Delete a connector with its configuration."""
        delete_connector(self._simulation.world, connector, self._simulation.clock.now())

    def change_application(self, name: str, body: ApplicationChange) -> None:
        """Replace an application's secrets or permissions, or disable it."""
        directory, wall = self._simulation.world.directory, self._simulation.clock.wall()
        key = name.lower()
        matches = [
            application
            for application in directory.applications.values()
            if key in (application.client_id, application.display_name.lower())
        ]
        if not matches:
            raise UnknownName(f"there is no application {name!r}")
        if body.secrets is not None:
            matches[0].secrets = [
                AppSecret(secret.value, None if secret.expires_in is None else wall + secret.expires_in)
                for secret in body.secrets
            ]
        if body.permissions is not None:
            matches[0].change_permissions(tuple(body.permissions), consent=body.consent)
        if body.disabled is not None:
            matches[0].disabled = body.disabled

    def add_subscription(self, body: SubscriptionBody) -> None:
        """Create a subscription."""
        if self._simulation.world.subscription(body.id) is not None:
            raise ActionError(f"there is a subscription {body.id!r} already")
        add_subscription(self._simulation.world, body)

    def change_subscription(self, identifier: str, body: SubscriptionChange) -> None:
        """Set registered providers, policies, resource groups and the plan Defender CSPM."""
        subscription = self._simulation.world.subscription(identifier)
        if subscription is None:
            raise UnknownName(f"there is no subscription {identifier!r}")
        if body.providers is not None:
            subscription.providers = {provider.lower() for provider in body.providers}
        if body.policies is not None:
            scope = f"/subscriptions/{subscription.id}"
            subscription.policies = [
                Policy(policy.name, policy.display_name, scope, policy.locations, policy.required_tags)
                for policy in body.policies
            ]
        if body.resource_groups is not None:
            subscription.resource_groups = {
                group.name.lower(): ResourceGroup(group.name, group.location, dict(group.tags))
                for group in body.resource_groups
            }
        if body.defender_cspm is not None:
            subscription.defender_cspm = body.defender_cspm
            subscription.cspm_enabled_at = self._simulation.clock.now()
        if body.cspm_extensions is not None:
            subscription.cspm_extensions = set(body.cspm_extensions)

    def change_role(self, body: RoleBody) -> None:
        """Assign or remove a role."""
        world = self._simulation.world
        if body.assigned:
            assign_role(world, body.role, body.principal, body.scope)
            return
        object_id = principal_id(world, body.principal)
        for assignment in list(world.role_assignments):
            role = ROLE_DEFINITIONS[assignment.role_definition_id].name
            same_scope = assignment.scope.lower() == body.scope.lower()
            if role == body.role and assignment.principal_id == object_id and same_scope:
                world.unassign_role(assignment)

    # --- assessments

    def assessments(
        self, organization: str | None = None, status: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return assessments of all connectors, without their `additionalData`."""
        stamp = self._simulation.world.clock.stamp
        matches = (
            (connector, name, result)
            for connector, name, result in self._results()
            if organization in (None, name) and status in (None, result.status)
        )
        return [
            {
                "key": result.handle,
                "connector": connector.id,
                "organization": name,
                "project": result.project,
                "repository": result.repository,
                "title": result.title,
                "severity": result.severity,
                "category": result.category,
                "status": result.status,
                "changed": stamp(result.status_change),
            }
            for connector, name, result in islice(matches, limit)
        ]

    def _results(self) -> Iterator[tuple[Connector, str, Result]]:
        """Return all assessments, each with its connector and the name of its organization."""
        world, now = self._simulation.world, self._simulation.clock.now()
        for connector in world.connectors.values():
            organizations = discovered_organizations(world, connector, now)
            for name, results in connector_results(world, connector, organizations, now):
                for result in results:
                    yield connector, name, result

    def resolve_assessment(self, key: str, *, resolved: bool) -> None:
        """Resolve an assessment now, or take that back; generated ones are identified by their key too."""
        assessments, now = self._simulation.world.assessments, self._simulation.clock.now()
        explicit = assessments.find(key)
        if explicit is not None:
            explicit.resolved_at = now if resolved else None
        elif not resolved:
            assessments.resolution_times.pop(key, None)
        elif any(result.handle == key for _, _, result in self._results()):
            assessments.resolution_times[key] = now
        else:
            raise UnknownName(f"there is no assessment {key!r}")

    # --- the cloud itself

    def change_settings(self, body: SettingsBody) -> None:
        """Change settings of the world."""
        for attribute, value in body.model_dump(exclude_none=True).items():
            setattr(self._simulation.world.settings, attribute, value)
        self._simulation.world.update_history_retention()

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        settings = self._simulation.world.settings
        return {field.name: getattr(settings, field.name) for field in fields(settings)}

    def usage(self) -> dict[str, Any]:
        """Return the usage of Azure DevOps by name of the account or application."""
        world = self._simulation.world
        names = {account.id: account.user_principal_name for account in world.directory.accounts.values()}
        names |= {
            application.object_id: application.display_name for application in world.directory.applications.values()
        }
        wall = world.clock.wall()
        return {
            names.get(identity, identity): {
                "used": round(world.usage.used(identity, wall), 6),
                "peak": round(world.usage.peak(identity), 6),
            }
            for identity in world.usage.identities()
        }

    def register_issuer(self, body: FederationBody) -> None:
        """Register an issuer with its keys."""
        keys = body.jwks
        if body.jwks_file is not None:
            keys = json.loads(Path(body.jwks_file).read_text(encoding="utf-8"))
        if keys is None and body.jwks_url is None:
            raise ActionError("one of jwks, jwksFile and jwksUrl is needed")
        self._simulation.entra.federation.register(
            KeySource(
                body.issuer,
                keys,
                body.jwks_url,
                body.bearer_token,
                None if body.bearer_token_file is None else Path(body.bearer_token_file),
                None if body.ca_file is None else Path(body.ca_file),
            )
        )

    def summary(self) -> dict[str, Any]:
        """Return a summary of the world without secrets."""
        world = self._simulation.world
        return {
            "tenants": [{"id": tenant.id, "domain": tenant.domain} for tenant in world.directory.tenants.values()],
            "subscriptions": [
                {
                    "id": subscription.id,
                    "name": subscription.name,
                    "resourceGroups": [group.name for group in subscription.resource_groups.values()],
                }
                for subscription in world.subscriptions.values()
            ],
            "accounts": [self._account(account) for account in world.directory.accounts.values()],
            "applications": [
                {"name": application.display_name, "clientId": application.client_id}
                for application in world.directory.applications.values()
            ],
            "organizations": [
                {
                    "name": organization.name,
                    "projects": len(organization.projects),
                    "thirdPartyOAuth": organization.third_party_oauth,
                }
                for organization in world.organizations.values()
            ],
            "connectors": [self._connector(connector) for connector in world.connectors.values()],
        }

    def _account(self, account: Account) -> dict[str, Any]:
        world = self._simulation.world
        accessible = accessible_organizations(world, account.tenant_id, account.id)
        return {
            "userPrincipalName": account.user_principal_name,
            "id": account.id,
            "blocked": account.blocked,
            "deleted": account.deleted,
            "organizations": [organization.name for organization in accessible],
        }

    def _connector(self, connector: Connector) -> dict[str, Any]:
        now, configuration = self._simulation.clock.now(), connector.configuration
        body: dict[str, Any] = {"id": connector.id, "tags": connector.tags, "configuration": None}
        if configuration is not None:
            authorization = configuration.authorization
            account = (
                None if authorization is None else self._simulation.world.directory.account(authorization.account_id)
            )
            body["configuration"] = {
                "provisioningState": configuration.provisioning_state,
                "message": configuration.status_message,
                "autoDiscovery": configuration.auto_discovery,
                "authorizedBy": None if account is None else account.user_principal_name,
                "organizations": {
                    organization.name: {
                        "projects": len(organization.discovered(now)),
                        "state": organization.provisioning_state,
                    }
                    for organization in configuration.organizations.values()
                },
            }
        return body


def _change_extension(organization: Organization, name: str, flags: str | None) -> None:
    """Install an extension (`publisher.extension`), change its flags, or remove it."""
    publisher, _, identifier = name.partition(".")
    extension = organization.extension((publisher.lower(), identifier.lower()))
    if not identifier:
        raise ActionError(f"{name!r} is no extension: give publisher.extension")
    if flags is None:
        organization.extensions = [other for other in organization.extensions if other is not extension]
    elif extension is None:
        organization.extensions.append(Extension(publisher, identifier, flags))
    else:
        extension.flags = flags
