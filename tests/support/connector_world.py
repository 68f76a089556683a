"""The world of the connectors' tests: the sandbox's default one, and the identities that teams bring with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from sandbox.cloud.world.load import DEFAULT_WORLD
from tests.support.scene import SUBSCRIPTION, TENANT

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
"""Client id of an identity whose secret a team keeps in its namespace."""

TEAM_SECRET: Final = "team-secret"

WORKLOAD: Final = "aaaaaaaa-0000-0000-0000-000000000002"
"""Client id of an identity that trusts the service account SERVICE_ACCOUNT of one namespace."""

SERVICE_ACCOUNT: Final = "contoso-azure"

BY_CERTIFICATE: Final = "aaaaaaaa-0000-0000-0000-000000000003"
"""Client id of an identity that signs with the key of `key_and_certificate`."""


@cache
def key_and_certificate() -> str:
    """A private key and its self-signed certificate, as PEM: made once, as keys are slow to make."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "by-certificate")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (private + certificate.public_bytes(Encoding.PEM)).decode()


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
