"""Evidence Secrets that somebody else has written: whoever may write Secrets in the connector's namespace."""

from __future__ import annotations

import tracemalloc
import zlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from pydantic import SecretBytes

from defender_devops.api.connector import AzureDevOpsConnector, parse_connector
from defender_devops.api.pipelines.evidence import Repository
from defender_devops.errors import KubernetesConflict
from defender_devops.reconcile.observe.pipelines.evidence_store import (
    EVIDENCE_KEY,
    SIGNATURE_KEY,
    EvidenceStore,
    encode_state,
)
from defender_devops.reconcile.observe.pipelines.sweep_state import SweepState
from defender_devops.signin.pages.sealing import Sealer
from defender_devops.signin.ports import StoredSecret
from tests.support.manifests import connector as connector_manifest

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SEALER = Sealer(SecretBytes(b"k" * 32), lambda: NOW)
OTHER_KEY = Sealer(SecretBytes(b"x" * 32), lambda: NOW)
STATE = SweepState(repositories=(Repository("1", "app", "p", "Shop", None),), started_at=NOW, finished_at=NOW)
FOREVER = replace(STATE, started_at=NOW + timedelta(days=36_500), finished_at=NOW + timedelta(days=36_500))
BOMB = zlib.compress(
    b'{"policies":{"a":['
    + b",".join([b'{"project_id":"","pipeline_id":1,"repository_id":"","ref":"","match_kind":""}'] * 400_000)
    + b"]}}"
)


@dataclass
class FakeSecrets:
    """Secrets of the namespace."""

    secrets: dict[str, StoredSecret] = field(default_factory=dict)

    async def read(self, _namespace: str, name: str) -> StoredSecret | None:
        return self.secrets.get(name)

    async def create(self, secret: StoredSecret) -> StoredSecret:
        self.secrets[secret.name] = secret
        return secret

    async def replace(self, secret: StoredSecret) -> StoredSecret:
        return await self.create(secret)

    def data(self) -> dict[str, SecretBytes]:
        """Return the data of the only Secret."""
        (secret,) = self.secrets.values()
        return dict(secret.data)

    def overwrite(self, **data: bytes | SecretBytes | None) -> None:
        """Replace or remove keys of the only Secret. Its type and its owner stay."""
        ((name, secret),) = self.secrets.items()
        values = {**secret.data, **data}
        present = {key: SecretBytes(value) if isinstance(value, bytes) else value for key, value in values.items()}
        self.secrets[name] = replace(secret, data={key: value for key, value in present.items() if value is not None})


def connector(uid: str = "uid-1") -> AzureDevOpsConnector:
    return parse_connector(connector_manifest("{}", uid=uid, namespace="security"))


async def stored() -> tuple[EvidenceStore, FakeSecrets]:
    secrets = FakeSecrets()
    store = EvidenceStore(secrets, SEALER.sign)
    await store.save(connector(), "contoso", STATE)
    return store, secrets


async def test_what_the_operator_has_stored_is_loaded() -> None:
    store, _ = await stored()
    assert await store.load(connector(), "Contoso") == STATE


async def signed_by(sealer: Sealer, uid: str, organization: str) -> dict[str, SecretBytes]:
    """Return the data of a Secret that an operator with this key has written."""
    secrets = FakeSecrets()
    await EvidenceStore(secrets, sealer.sign).save(connector(uid), organization, FOREVER)
    return secrets.data()


@pytest.mark.parametrize(
    ("sealer", "uid", "organization"),
    [(OTHER_KEY, "uid-1", "contoso"), (SEALER, "uid-2", "contoso"), (SEALER, "uid-1", "fabrikam")],
    ids=["other key", "other connector", "other organization"],
)
async def test_evidence_that_was_signed_for_something_else_is_not_believed(
    sealer: Sealer, uid: str, organization: str
) -> None:
    store, secrets = await stored()
    secrets.overwrite(**await signed_by(sealer, uid, organization))
    assert await store.load(connector(), "contoso") is None


@pytest.mark.parametrize(
    "data",
    [
        {EVIDENCE_KEY: encode_state(FOREVER)},
        {EVIDENCE_KEY: encode_state(FOREVER), SIGNATURE_KEY: None},
        {EVIDENCE_KEY: encode_state(FOREVER), SIGNATURE_KEY: b""},
        {SIGNATURE_KEY: bytes(range(128, 256))},
        {SIGNATURE_KEY: None},
        {EVIDENCE_KEY: None},
        {EVIDENCE_KEY: None, SIGNATURE_KEY: None},
    ],
)
async def test_forged_evidence_is_not_believed_and_is_replaced(data: dict[str, bytes | None]) -> None:
    store, secrets = await stored()
    secrets.overwrite(**data)
    with structlog.testing.capture_logs() as lines:
        assert await store.load(connector(), "contoso") is None
    assert [(line["log_level"], line["organization"]) for line in lines] == [("warning", "contoso")]
    await store.save(connector(), "contoso", STATE)
    assert await store.load(connector(), "contoso") == STATE


async def test_a_decompression_bomb_is_not_decompressed() -> None:
    store, secrets = await stored()
    assert len(BOMB) < 200_000
    secrets.overwrite(**{EVIDENCE_KEY: b"1\n" + BOMB})
    tracemalloc.start()
    assert await store.load(connector(), "contoso") is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


async def test_every_changed_byte_makes_the_evidence_void() -> None:
    store, secrets = await stored()
    for key, value in secrets.data().items():
        data = value.get_secret_value()
        for index in range(len(data)):
            secrets.overwrite(**{key: data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]})
            assert await store.load(connector(), "contoso") is None
        secrets.overwrite(**{key: data})
    assert await store.load(connector(), "contoso") == STATE


@pytest.mark.parametrize("change", ["type", "owner"])
async def test_a_secret_of_another_type_or_owner_is_neither_read_nor_written(change: str) -> None:
    store, secrets = await stored()
    ((name, secret),) = secrets.secrets.items()
    secrets.secrets[name] = replace(secret, type="Opaque") if change == "type" else replace(secret, owners=())
    before = secrets.secrets[name]
    with pytest.raises(KubernetesConflict):
        await store.load(connector(), "contoso")
    with pytest.raises(KubernetesConflict):
        await store.save(connector(), "contoso", STATE)
    assert secrets.secrets[name] == before
