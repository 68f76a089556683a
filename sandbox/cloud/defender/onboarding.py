"""Which organizations a connector holds: one connector for an organization in a tenant."""

from __future__ import annotations

from collections.abc import Collection

from sandbox.cloud.defender.authorizations import accessible_organizations, is_accessible, problem_of
from sandbox.cloud.defender.discovery import RUN_INTERVAL, scan
from sandbox.cloud.defender.model import SUCCEEDED_MESSAGE, Configuration, Connector, OnboardedOrganization
from sandbox.cloud.world.devops import Organization
from sandbox.cloud.world.world import World

__all__ = ["apply_inventory", "available", "holder", "onboard", "release", "release_all", "schedule_runs"]

_UNITS_PER_PROJECT = 0.2
"""Throughput units of Azure DevOps that a scan spends on a project; the service gives no number."""

NOT_ADMINISTRATOR = "The authorizing account is not a member of Project Collection Administrators in organization '{}'."


def holder(world: World, tenant_id: str, organization: str) -> str | None:
    """Key of the connector that holds an organization."""
    return world.claims.get((tenant_id, organization.lower()))


def available(world: World, connector: Connector, wanted: Collection[str] | None = None) -> list[Organization]:
    """Organizations that the connector's authorization can see; none where it does not work.

    Args:
        world: where they are.
        connector: whose authorization it is.
        wanted: names in lower case, where only some are asked for.
    """
    configuration = connector.configuration
    if configuration is None or configuration.authorization is None:
        return []
    tenant, account = world.tenant_of(connector), configuration.authorization.account_id
    if wanted is None:
        return accessible_organizations(world, tenant, account)
    named = (world.organizations[name] for name in sorted(world.organizations.keys() & set(wanted)))
    return [organization for organization in named if is_accessible(organization, tenant, account)]


def apply_inventory(world: World, connector: Connector, now: float) -> None:
    """Bring what is onboarded in line with the choice of the configuration: onboard, and let go what left a list."""
    configuration = connector.configuration
    if configuration is None:
        return
    wanted = _wanted(configuration)
    for organization in available(world, connector, wanted):
        onboard(world, connector, organization, now)
    if wanted is not None:
        for name in [name for name in configuration.organizations if name not in wanted]:
            release(world, connector, name)


def _wanted(configuration: Configuration) -> set[str] | None:
    if configuration.auto_discovery == "Enabled" or configuration.inventory is None:
        return None
    return {name.lower() for name in configuration.inventory}


def onboard(world: World, connector: Connector, organization: Organization, now: float) -> None:
    """Take an organization in, unless another connector holds it, and start its discovery."""
    configuration = connector.configuration
    claim = (world.tenant_of(connector), organization.name.lower())
    if configuration is None or world.claims.setdefault(claim, connector.key) != connector.key:
        return
    held = configuration.organizations.get(claim[1])
    if held is None:
        held = OnboardedOrganization(organization.name, now, now)
        configuration.organizations[claim[1]] = held
    _judge(configuration, held, organization, now)
    if held.provisioning_state == "Succeeded":
        _scan(world, configuration, held, organization, now)


def _scan(
    world: World, configuration: Configuration, held: OnboardedOrganization, organization: Organization, now: float
) -> None:
    """Scan, at the expense of the authorizing account's throughput."""
    scan(configuration, held, organization, now)
    if configuration.authorization is not None:
        units = _UNITS_PER_PROJECT * len(organization.projects)
        world.usage.charge(configuration.authorization.account_id, units, world.clock.wall_of(now))


def _judge(configuration: Configuration, held: OnboardedOrganization, organization: Organization, now: float) -> None:
    """Whether Defender can work in the organization: the authorizing account has to administer it."""
    authorization = configuration.authorization
    able = authorization is not None and organization.is_administrator(authorization.account_id)
    state = "Succeeded" if able else "Failed"
    if held.provisioning_state != state:
        held.provisioning_state, held.updated_at = state, now
        held.status_message = "OK" if able else NOT_ADMINISTRATOR.format(organization.name)


def release(world: World, connector: Connector, name: str) -> None:
    """Let an organization go."""
    if connector.configuration is not None:
        connector.configuration.organizations.pop(name, None)
    claim = (world.tenant_of(connector), name)
    if world.claims.get(claim) == connector.key:
        del world.claims[claim]


def release_all(world: World, connector: Connector) -> None:
    """Let all organizations go, as when the configuration or the connector is deleted."""
    if connector.configuration is not None:
        for name in list(connector.configuration.organizations):
            release(world, connector, name)


def schedule_runs(world: World, connector: Connector) -> None:
    """Let discovery run every eight hours from the creation of the configuration, while that very one exists."""
    configuration = connector.configuration

    def run(moment: float) -> None:
        if configuration is None or connector.configuration is not configuration or not world.holds(connector):
            return
        run_discovery(world, connector, configuration, moment)
        world.changed(connector.key, moment)
        world.agenda.at(moment + RUN_INTERVAL, run)

    if configuration is not None:
        world.agenda.at(configuration.created_at + RUN_INTERVAL, run)


def run_discovery(world: World, connector: Connector, configuration: Configuration, now: float) -> None:
    """One periodic run: check the authorization, take in new organizations if asked to, scan all."""
    problem = problem_of(world, configuration.authorization)
    if problem is not None:
        configuration.provisioning_state, configuration.status_message = "Failed", str(problem)
        return
    if configuration.provisioning_state == "Failed":
        configuration.provisioning_state, configuration.status_message = "Succeeded", SUCCEEDED_MESSAGE
    if configuration.auto_discovery == "Enabled":
        apply_inventory(world, connector, now)
    for organization in available(world, connector, set(configuration.organizations)):
        held = configuration.organizations[organization.name.lower()]
        _judge(configuration, held, organization, now)
        _scan(world, configuration, held, organization, now)
