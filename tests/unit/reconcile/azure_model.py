"""A small Azure that ends operations at once and does what it was asked for, and the operator's loop around it.

It knows the rules of the real one that planning rests on: a list onboards exactly its members, none means all, one
connector holds an organization, auto-discovery takes in what appears. Nothing else is simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from defender_devops.api.azure_types import (
    AutoDiscovery,
    AzureOrganization,
    Configuration,
    OnboardingState,
    ProvisioningState,
)
from defender_devops.api.organization import DevOpsOrganization, OrganizationStatus
from defender_devops.reconcile.actions.action import Action
from defender_devops.reconcile.actions.azure import Authorize, UpdateConfiguration
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot
from defender_devops.reconcile.plan.diff import drop_fulfilled_requests
from defender_devops.reconcile.plan.plan import plan
from defender_devops.reconcile.report.report import Report, report

STEP = timedelta(seconds=30)


@dataclass(repr=False)
class Azure:
    """Azure and the operator, one reconcile after another.

    Attributes:
        world: what the next plan rests on.
        organizations: those that the authorizing account sees, and whether another connector holds them.
        now: the moment.
        log: every step that was carried out.
    """

    world: ConnectorSnapshot
    organizations: Mapping[str, bool]
    now: datetime

    def __post_init__(self) -> None:
        self.log: list[Action] = []

    @property
    def cloud(self) -> AzureState:
        """What Azure holds."""
        assert self.world.cloud.is_known
        return self.world.cloud

    def reconcile(self) -> tuple[Action, ...]:
        """Plan, act, report, and let Azure end its operations. Gives the steps."""
        steps = plan(Assessment(self.world), self.now).actions
        choice: Authorize | UpdateConfiguration | None = None
        for step in steps:
            self.world = step.effect(self.world, self.now)
            if isinstance(step, Authorize | UpdateConfiguration):
                choice = step
        self.log += steps
        self.write(report(Assessment(self.world), None, self.now))
        self.settle(choice)
        self.now += STEP
        return steps

    def write(self, result: Report) -> None:
        """Store the statuses for the next reconcile."""
        statuses = {resource.metadata.uid: status for resource, status in result.organizations}
        self.world = replace(
            self.world,
            connector=self.world.connector.model_copy(update={"status": result.status}),
            organizations=tuple(_with_status(item, statuses) for item in self.world.organizations),
        )

    def settle(self, choice: Authorize | UpdateConfiguration | None) -> None:
        """End all operations."""
        if self.cloud.configuration is not None:
            onboarded = self._onboarded(self.cloud.configuration, choice)
            previous = {organization.name: organization for organization in self.cloud.organizations}
            below = tuple(_settled(previous.get(name), name) for name in sorted(onboarded))
            other_items = tuple(
                AzureOrganization(
                    name,
                    OnboardingState.ONBOARDED_BY_OTHER_CONNECTOR if is_held else OnboardingState.NOT_ONBOARDED,
                )
                for name, is_held in self.organizations.items()
                if name not in onboarded
            )
            self.world = replace(
                self.world,
                cloud=replace(
                    self.cloud,
                    configuration=replace(self.cloud.configuration, provisioning_state=ProvisioningState.SUCCEEDED),
                    organizations=below,
                    available=(*below, *other_items),
                    probed_at=self.now,
                ),
            )
        self.world = drop_fulfilled_requests(self.world, self.now)

    def _onboarded(self, configuration: Configuration, choice: Authorize | UpdateConfiguration | None) -> set[str]:
        free = {name for name, is_held in self.organizations.items() if not is_held}
        if configuration.auto_discovery is AutoDiscovery.ENABLED:
            return free
        if choice is None or (choice.auto_discovery is None and choice.organizations is None):
            return {organization.name for organization in self.cloud.organizations}
        if choice.organizations is None:
            return free
        listed = {name.lower() for name in choice.organizations}
        return {name for name in free if name.lower() in listed}

    def converge(self, rounds: int = 8) -> None:
        """Reconcile until there is nothing to do and nothing to write, twice over; fails where it goes on and on."""
        for _ in range(rounds):
            previous = self.world
            if not self.reconcile() and _essence(self.world) == _essence(previous):
                return
        raise AssertionError(f"still at it after {rounds} rounds: {[step.describe() for step in self.log]}")


def _essence(world: ConnectorSnapshot) -> object:
    """What is written: nothing of it may move by itself."""
    return world.connector.status.dump(), [
        (condition.metadata.name, condition.status.dump()) for condition in world.organizations
    ]


def _with_status(resource: DevOpsOrganization, statuses: Mapping[str, OrganizationStatus]) -> DevOpsOrganization:
    status = statuses.get(resource.metadata.uid)
    return resource.model_copy(update={"status": status}) if status is not None else resource


def _settled(previous: AzureOrganization | None, name: str) -> AzureOrganization:
    previous = previous or AzureOrganization(name, OnboardingState.ONBOARDED)
    return replace(previous, onboarding_state=OnboardingState.ONBOARDED, provisioning_state=ProvisioningState.SUCCEEDED)
