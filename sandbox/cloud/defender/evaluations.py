"""Evaluations: which assessments a connector has at a time, and what happens to them without an authorization."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sandbox.cloud.defender.assessments import FIRST_EVALUATION, Result, Timing
from sandbox.cloud.defender.authorizations import authorization_problem, is_accessible
from sandbox.cloud.defender.model import Connector, OnboardedOrganization, OnboardedProject
from sandbox.cloud.world.devops import Project
from sandbox.cloud.world.world import World

__all__ = ["DiscoveredOrganization", "connector_results", "discovered_organizations", "update_evaluations"]

_FIRST_EVALUATIONS = {"halfHour": FIRST_EVALUATION, "day": 24 * 3600.0}
"""Seconds from the discovery of a project to its first assessments, by variant."""

_CLEANUP_SECONDS = 24 * 3600.0
"""Time after which the results of what is deleted or cannot be accessed vanish, in the variants in which they do."""

DiscoveredOrganization = tuple[OnboardedOrganization, list[tuple[OnboardedProject, Project, int]]]
"""An organization with its discovered projects, each with the number of its discovered repositories."""


def discovered_organizations(world: World, connector: Connector, moment: float) -> list[DiscoveredOrganization]:
    """Return the organizations of a connector with what discovery has reported by a moment of inner time."""
    entries: list[DiscoveredOrganization] = []
    configuration = connector.configuration
    for onboarded in [] if configuration is None else list(configuration.organizations.values()):
        organization = world.organization(onboarded.name)
        projects = []
        for project in onboarded.discovered(moment):
            source = None if organization is None else organization.project(project.name)
            if source is not None:
                reported = min(project.positions(moment), len(source.repositories))
                projects.append((project, source, reported))
        entries.append((onboarded, projects))
    return entries


def update_evaluations(world: World, connectors: Iterable[Connector], now: float) -> None:
    """Note which organizations are not evaluated from now on, because Defender cannot access them, or are again."""
    stopped_at = world.assessments.stopped_at
    for connector in connectors:
        configuration = connector.configuration
        if configuration is None:
            continue
        authorization = configuration.authorization
        problem = authorization_problem(world, authorization)
        tenant = world.tenant_of(connector)
        for key in configuration.organizations:
            organization = world.organizations.get(key)
            if (
                problem is None
                and authorization is not None
                and organization is not None
                and is_accessible(organization, tenant, authorization.account_id)
            ):
                stopped_at.pop((connector.key, key), None)
            else:
                stopped_at.setdefault((connector.key, key), now)


def connector_results(
    world: World, connector: Connector, organizations: list[DiscoveredOrganization], moment: float
) -> Iterator[tuple[str, Iterator[Result]]]:
    """Return the assessments of a connector at a moment of inner time, by the name of their organization."""
    assessments, variants = world.assessments, world.variants
    without_authorization = variants["assessmentsWithoutAuthorization"]
    cleanup = _CLEANUP_SECONDS if variants.is_chosen("deletedRepositories", "linger") else 0.0
    timing = Timing(_FIRST_EVALUATIONS[variants["firstAssessments"]], cleanup)
    vanishes = variants.is_chosen("resolvedAssessments", "vanishes")
    for onboarded, projects in organizations:
        evaluation_time = moment
        stop_time = assessments.stopped_at.get((connector.key, onboarded.name.lower()))
        if stop_time is not None and stop_time < moment and without_authorization != "moving":
            if without_authorization == "vanish" and moment >= stop_time + _CLEANUP_SECONDS:
                continue
            evaluation_time = stop_time
        sources = [(project.appears, source, reported) for project, source, reported in projects]
        results = assessments.results(onboarded.name, sources, onboarded.onboarded_at, evaluation_time, timing)
        yield onboarded.name, (result for result in results if not result.is_resolved) if vanishes else results
