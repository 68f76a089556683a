"""Onboarding: an organization belongs to at most one connector of a tenant."""

from __future__ import annotations

from collections.abc import Collection

from sandbox.cloud.defender.authorizations import (
    ExchangeFailed,
    accessible_organizations,
    authorization_problem,
    is_accessible,
)
from sandbox.cloud.defender.discovery import FIRST_RESULT, RUN_INTERVAL, scan
from sandbox.cloud.defender.evaluations import update_evaluations
from sandbox.cloud.defender.model import SUCCEEDED_MESSAGE, Configuration, Connector, OnboardedOrganization
from sandbox.cloud.world.devops import CONTAINER_MAPPING_EXTENSION, Extension, Organization
from sandbox.cloud.world.history import freeze
from sandbox.cloud.world.world import World

__all__ = [
    "apply_inventory",
    "available_organizations",
    "delete_connector",
    "offboard",
    "offboard_all",
    "onboard",
    "onboarding_state",
    "owning_connector_key",
    "schedule_discovery",
]

_EXTENSION_SECONDS = {"minutes": 300.0, "day": 86_400.0}
"""Inner time after which Defender has installed its extension in an onboarded organization, by variant."""

_FIRST_RESULTS = {"quarterHour": FIRST_RESULT, "sixHours": 6 * 3600.0}
"""Seconds until the first project of a scan is reported, by variant."""

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
    """Apply the selection of the configuration: onboard selected organizations, offboard all that are not."""
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
    if configuration is None or (
        world.variants.is_chosen("organizationsWithoutAdministrator", "missing")
        and not _is_administered(configuration, organization)
    ):
        return
    # The first connector of the tenant claims the organization; later ones are ignored.
    if world.claims.setdefault(claim, connector.key) != connector.key:
        return
    onboarded = configuration.organizations.get(claim[1])
    if onboarded is None:
        onboarded = OnboardedOrganization(organization.name, now, now)
        if world.variants.is_chosen("annotationsDefault", "none"):
            onboarded.annotations_default = "None"
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

    delay = _EXTENSION_SECONDS.get(world.variants["extensionInstallation"])
    if delay is not None and not organization.has_container_mapping():
        world.timers.at(now + delay, install)


def _scan(
    world: World, configuration: Configuration, onboarded: OnboardedOrganization, organization: Organization, now: float
) -> None:
    """Scan an organization, charged to the authorizing account's throughput."""
    if onboarded.projects and world.variants.is_chosen("discoveryCounts", "falling"):
        onboarded.recount = (now, now + FIRST_RESULT)
    scan(configuration, onboarded, organization, now, _FIRST_RESULTS[world.variants["discoveryStart"]])
    if configuration.authorization is not None:
        units = _UNITS_PER_PROJECT * len(organization.projects)
        world.usage.charge(configuration.authorization.account_id, units, world.clock.wall_of(now))


def _update_provisioning_state(
    configuration: Configuration, onboarded: OnboardedOrganization, organization: Organization, now: float
) -> None:
    """Set the provisioning state: Failed unless the authorizing account administers the organization."""
    able = _is_administered(configuration, organization)
    state = "Succeeded" if able else "Failed"
    if onboarded.provisioning_state != state:
        onboarded.provisioning_state, onboarded.updated_at = state, now
        onboarded.status_message = "OK" if able else NOT_ADMINISTRATOR.format(organization.name)


def _is_administered(configuration: Configuration, organization: Organization) -> bool:
    """Whether the authorizing account administers an organization."""
    authorization = configuration.authorization
    return authorization is not None and organization.is_administrator(authorization.account_id)


def onboarding_state(world: World, organization: OnboardedOrganization) -> str:
    """Return the onboarding state of an organization of a connector."""
    failed = organization.provisioning_state == "Failed"
    if failed and world.variants.is_chosen("organizationsWithoutAdministrator", "notOnboarded"):
        return "NotOnboarded"
    return "Onboarded"


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


def delete_connector(world: World, connector: Connector, now: float) -> None:
    """Delete a connector with its configuration, unless it is gone already."""
    if not world.contains(connector):
        return
    if world.variants.is_chosen("graphDeletions", "linger"):
        world.deleted_connectors[connector.key] = (now, freeze(connector))
    offboard_all(world, connector)
    del world.connectors[connector.key]
    world.record_change(connector.key, now)


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


def _report_loss(world: World, configuration: Configuration, problem: ExchangeFailed, now: float) -> None:
    """Show that the authorization does not work, in the form that the variant chooses."""
    if world.variants.is_chosen("provisioningAfterLoss", "failed"):
        configuration.provisioning_state, configuration.status_message = (
            "Failed",
            problem.status_message(world.variants["tokenExchangeMessage"]),
        )
    elif world.variants.is_chosen("provisioningAfterLoss", "refreshed"):
        for organization in configuration.organizations.values():
            organization.updated_at = now


def run_discovery(world: World, connector: Connector, configuration: Configuration, now: float) -> None:
    """Run discovery: check the authorization, onboard new organizations with autoDiscovery, scan all."""
    update_evaluations(world, [connector], now)
    problem = authorization_problem(world, configuration.authorization)
    if problem is not None:
        _report_loss(world, configuration, problem, now)
        return
    if configuration.provisioning_state == "Failed":
        configuration.provisioning_state, configuration.status_message = "Succeeded", SUCCEEDED_MESSAGE
    if configuration.auto_discovery == "Enabled":
        apply_inventory(world, connector, now)
    for organization in available_organizations(world, connector, set(configuration.organizations)):
        onboarded = configuration.organizations[organization.name.lower()]
        _update_provisioning_state(configuration, onboarded, organization, now)
        _scan(world, configuration, onboarded, organization, now)
