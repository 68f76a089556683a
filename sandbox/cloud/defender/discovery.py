"""Discovery: the reported projects and repositories, as a function of time.

A scan lists the projects of an organization and schedules when each of them is reported: the first after about
15 minutes, then 100 an hour for each connector. Nothing runs in between.
"""

from __future__ import annotations

from sandbox.cloud.defender.model import Configuration, OnboardedOrganization, OnboardedProject
from sandbox.cloud.world.devops import Organization

__all__ = ["FIRST_RESULT", "RUN_INTERVAL", "SECONDS_PER_PROJECT", "scan"]

RUN_INTERVAL = 8 * 3600.0
"""Seconds between two runs."""

FIRST_RESULT = 15 * 60.0
"""Seconds until the first project of a scan is reported."""

SECONDS_PER_PROJECT = 36.0
"""100 projects an hour for each connector."""


def scan(
    configuration: Configuration,
    onboarded: OnboardedOrganization,
    organization: Organization,
    now: float,
    first_result: float = FIRST_RESULT,
) -> None:
    """Scan an organization: schedule new projects, rescan existing ones, drop deleted ones."""
    for key in [key for key in onboarded.projects if key not in organization.projects]:
        del onboarded.projects[key]
    # All organizations of a connector share its 100 projects an hour.
    slot = max(now + first_result, configuration.next_slot)
    for key, project in organization.projects.items():
        positions = 0 if project.tfvc else len(project.repositories)
        previous = onboarded.projects.get(key)
        if previous is None:
            onboarded.projects[key] = OnboardedProject(project.name, project.id, slot, positions)
            slot += SECONDS_PER_PROJECT
            configuration.next_slot = slot
        # Repositories were added or removed: the new count is reported after another scan.
        elif positions != previous.scanned_positions and (previous.rescan is None or previous.rescan[1] != positions):
            previous.rescan = (max(now + FIRST_RESULT, previous.appears), positions)
