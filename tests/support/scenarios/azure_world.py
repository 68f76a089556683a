"""The simulated cloud's content for tests of connectors: the default one, and identities that teams own."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.cloud.world.load import DEFAULT_WORLD
from tests.support.certificates import self_signed
from tests.support.scenarios.scenario import SUBSCRIPTION, TENANT

__all__ = [
    "BY_CERTIFICATE",
    "OPERATOR",
    "SERVICE_ACCOUNT",
    "TEAM",
    "TEAM_SECRET",
    "WORKLOAD",
    "key_and_certificate",
    "write_world",
]

OPERATOR: Final = "defender-devops-sandbox"
"""The operator's own application in these tests."""

TEAM: Final = "aaaaaaaa-0000-0000-0000-000000000001"
"""Client id of an identity whose secret is in a team's namespace."""

TEAM_SECRET: Final = "team-secret"

WORKLOAD: Final = "aaaaaaaa-0000-0000-0000-000000000002"
"""Client id of an identity that trusts the service account SERVICE_ACCOUNT of one namespace."""

SERVICE_ACCOUNT: Final = "contoso-azure"

BY_CERTIFICATE: Final = "aaaaaaaa-0000-0000-0000-000000000003"
"""Client id of an identity that signs with the key of `key_and_certificate`."""


@cache
def key_and_certificate() -> str:
    """Return a private key and its self-signed certificate as PEM; cached, as generating a key takes 0.1 s."""
    return b"".join(self_signed("by-certificate")).decode()


def write_world(file: Path, *, trusted_namespace: str, has_assessments: bool = True) -> Path:
    """Write the world file.

    Args:
        file: its path.
        trusted_namespace: the namespace whose service account the identity WORKLOAD trusts.
        has_assessments: whether Defender finds what the default world has; otherwise only what a test adds.
    """
    world: dict[str, Any] = yaml.safe_load(DEFAULT_WORLD.read_text(encoding="utf-8"))
    if not has_assessments:
        del world["assessments"], world["generateAssessments"]
    subject = f"system:serviceaccount:{trusted_namespace}:{SERVICE_ACCOUNT}"
    world["applications"] += [
        {"name": "team", "clientId": TEAM, "tenant": TENANT, "secrets": [{"value": TEAM_SECRET}]},
        {"name": "workload", "clientId": WORKLOAD, "tenant": TENANT, "federatedCredentials": [{"subject": subject}]},
        {
            "name": "by-certificate",
            "clientId": BY_CERTIFICATE,
            "tenant": TENANT,
            "certificates": [key_and_certificate().partition("-----END PRIVATE KEY-----\n")[2]],
        },
    ]
    world["roleAssignments"] += [
        {"role": "Contributor", "principal": name, "scope": f"/subscriptions/{SUBSCRIPTION}"}
        for name in ("team", "workload", "by-certificate")
    ]
    file.write_text(yaml.safe_dump(world), encoding="utf-8")
    return file
