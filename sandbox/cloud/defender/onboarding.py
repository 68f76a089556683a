"""Onboarding: an organization belongs to at most one connector of a tenant."""

from __future__ import annotations

from collections.abc import Collection

from sandbox.cloud.defender.authorizations import accessible_organizations, authorization_problem, is_accessible
from sandbox.cloud.defender.discovery import RUN_INTERVAL, scan
from sandbox.cloud.defender.evaluations import update_evaluations
from sandbox.cloud.defender.model import SUCCEEDED_MESSAGE, Configuration, Connector, OnboardedOrganization
from sandbox.cloud.world.devops import CONTAINER_MAPPING_EXTENSION, Extension, Organization
from sandbox.cloud.world.world import World

__all__ = [
    "apply_inventory",
    "available_organizations",
    "offboard",
    "offboard_all",
    "onboard",
    "owning_connector_key",
    "schedule_discovery",
]

EXTENSION_SECONDS = 300.0
"""Inner time after which Defender has installed its extension in an onboarded organization; "some minutes"."""

_UNITS_PER_PROJECT = 0.2
"""Throughput units of Azure DevOps that a scan spends on a project; the service gives no number."""

NOT_ADMINISTRATOR = "The authorizing account is not a member of Project Collection Administrators in organization '{}'."


def owning_connector_key(world: World, tenant_id: str, organization: str) -> str | None:
    """Return the key of the connector that has onboarded an organization."""
    return world.claims.get((tenant_id, organization.lower()))


def available_organizations(
    world: World, connector: Connector, names: Collection[str] | None = None
) -> list[Organization]:
    """Return the organizations that the connector's authorization can access.

    Args:
        world: has the organizations.
        connector: the owner of the authorization.
        names: the only organizations to return, in lower case; None returns all of them.
    """
    configuration = connector.configuration
    if configuration is None or configuration.authorization is None:
        return []
    tenant, account = world.tenant_of(connector), configuration.authorization.account_id
    if names is None:
        return accessible_organizations(world, tenant, account)
    organizations = (world.organizations[name] for name in sorted(world.organizations.keys() & set(names)))
    return [organization for organization in organizations if is_accessible(organization, tenant, account)]


def apply_inventory(world: World, connector: Connector, now: float) -> None:
    """Apply the selection of the configuration: onboard selected organizations, offboard the others."""
    configuration = connector.configuration
    if configuration is None:
        return
    names = None  # all organizations of the account
    if configuration.auto_discovery != "Enabled" and configuration.inventory is not None:
        names = {name.lower() for name in configuration.inventory}
    for organization in available_organizations(world, connector, names):
        onboard(world, connector, organization, now)
    if names is not None:
        for name in [name for name in configuration.organizations if name not in names]:
            offboard(world, connector, name)


def onboard(world: World, connector: Connector, organization: Organization, now: float) -> None:
    """Onboard an organization, unless it belongs to another connector, and start its discovery."""
    configuration = connector.configuration
    claim = (world.tenant_of(connector), organization.name.lower())
    # The first connector of the tenant claims the organization; later ones are ignored.
    if configuration is None or world.claims.setdefault(claim, connector.key) != connector.key:
        return
    onboarded = configuration.organizations.get(claim[1])
    if onboarded is None:
        onboarded = OnboardedOrganization(organization.name, now, now)
        configuration.organizations[claim[1]] = onboarded
    _update_provisioning_state(configuration, onboarded, organization, now)
    if onboarded.provisioning_state == "Succeeded":
        _schedule_extension(world, organization, now)
        _scan(world, configuration, onboarded, organization, now)


def _schedule_extension(world: World, organization: Organization, now: float) -> None:
    """Let Defender install its container mapping extension some minutes from now, unless it is there already."""

    def install(moment: float) -> None:
        del moment
        if not organization.has_container_mapping():
            organization.extensions.append(Extension(*CONTAINER_MAPPING_EXTENSION))

    if not organization.has_container_mapping():
        world.timers.at(now + EXTENSION_SECONDS, install)


def _scan(
    world: World, configuration: Configuration, onboarded: OnboardedOrganization, organization: Organization, now: float
) -> None:
    """Scan an organization, charged to the authorizing account's throughput."""
    scan(configuration, onboarded, organization, now)
    if configuration.authorization is not None:
        units = _UNITS_PER_PROJECT * len(organization.projects)
        world.usage.charge(configuration.authorization.account_id, units, world.clock.wall_of(now))


def _update_provisioning_state(
    configuration: Configuration, onboarded: OnboardedOrganization, organization: Organization, now: float
) -> None:
    """Set the provisioning state: Failed unless the authorizing account administers the organization."""
    authorization = configuration.authorization
    able = authorization is not None and organization.is_administrator(authorization.account_id)
    state = "Succeeded" if able else "Failed"
    if onboarded.provisioning_state != state:
        onboarded.provisioning_state, onboarded.updated_at = state, now
        onboarded.status_message = "OK" if able else NOT_ADMINISTRATOR.format(organization.name)


def offboard(world: World, connector: Connector, name: str) -> None:
    """Offboard an organization."""
    if connector.configuration is not None:
        connector.configuration.organizations.pop(name, None)
    claim = (world.tenant_of(connector), name)
    if world.claims.get(claim) == connector.key:
        del world.claims[claim]


def offboard_all(world: World, connector: Connector) -> None:
    """Offboard all organizations, when the configuration or the connector is deleted."""
    if connector.configuration is not None:
        for name in list(connector.configuration.organizations):
            offboard(world, connector, name)


def schedule_discovery(world: World, connector: Connector) -> None:
    """Schedule discovery every eight hours from the creation of the configuration, as long as it exists."""
    configuration = connector.configuration

    def run(moment: float) -> None:
        # The schedule ends with the configuration; a new one has a schedule of its own.
        if configuration is None or connector.configuration is not configuration or not world.contains(connector):
            return
        run_discovery(world, connector, configuration, moment)
        world.record_change(connector.key, moment)
        world.timers.at(moment + RUN_INTERVAL, run)

    if configuration is not None:
        world.timers.at(configuration.created_at + RUN_INTERVAL, run)


def run_discovery(world: World, connector: Connector, configuration: Configuration, now: float) -> None:
    """Run discovery: check the authorization, onboard new organizations with autoDiscovery, scan all."""
    update_evaluations(world, [connector], now)
    problem = authorization_problem(world, configuration.authorization)
    if problem is not None:
        configuration.provisioning_state, configuration.status_message = "Failed", problem.status_message()
        return
    if configuration.provisioning_state == "Failed":
        configuration.provisioning_state, configuration.status_message = "Succeeded", SUCCEEDED_MESSAGE
    if configuration.auto_discovery == "Enabled":
        apply_inventory(world, connector, now)
    for organization in available_organizations(world, connector, set(configuration.organizations)):
        onboarded = configuration.organizations[organization.name.lower()]
        _update_provisioning_state(configuration, onboarded, organization, now)
        _scan(world, configuration, onboarded, organization, now)
