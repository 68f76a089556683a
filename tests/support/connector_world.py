"""The world of the connectors' tests: the sandbox's default one, and the identities that teams bring with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.cloud.world.load import DEFAULT_WORLD
from tests.support.scene import SUBSCRIPTION, TENANT

__all__ = ["OPERATOR", "SERVICE_ACCOUNT", "TEAM", "TEAM_SECRET", "WORKLOAD", "write_world"]

OPERATOR: Final = "defender-devops-sandbox"
"""The operator's own application in these tests."""

TEAM: Final = "aaaaaaaa-0000-0000-0000-000000000001"
"""Client id of an identity whose secret a team keeps in its namespace."""

TEAM_SECRET: Final = "team-secret"

WORKLOAD: Final = "aaaaaaaa-0000-0000-0000-000000000002"
"""Client id of an identity that trusts the service account SERVICE_ACCOUNT of one namespace."""

SERVICE_ACCOUNT: Final = "contoso-azure"


def write_world(file: Path, *, trusted: str) -> Path:
    """Write the world file.

    Args:
        file: where.
        trusted: the namespace whose service account the identity WORKLOAD trusts.
    """
    world: dict[str, Any] = yaml.safe_load(DEFAULT_WORLD.read_text(encoding="utf-8"))
    subject = f"system:serviceaccount:{trusted}:{SERVICE_ACCOUNT}"
    world["applications"] += [
        {"name": "team", "clientId": TEAM, "tenant": TENANT, "secrets": [{"value": TEAM_SECRET}]},
        {"name": "workload", "clientId": WORKLOAD, "tenant": TENANT, "federatedCredentials": [{"subject": subject}]},
    ]
    world["roleAssignments"] += [
        {"role": "Contributor", "principal": name, "scope": f"/subscriptions/{SUBSCRIPTION}"}
        for name in ("team", "workload")
    ]
    file.write_text(yaml.safe_dump(world), encoding="utf-8")
    return file
