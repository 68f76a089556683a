"""Secrets that are read as credentials."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretBytes

from defender_devops.cluster.secrets import Secrets
from defender_devops.errors import CredentialsMissing


def secrets_with(secret_type: str, **more: object) -> Secrets:
    async def get(url: str) -> dict[str, Any]:
        metadata = {"name": url.rpartition("/")[2], "uid": "u", "resourceVersion": "7", **more}
        data = {"token": base64.b64encode(b"canary").decode()}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": secret_type, "data": data}

    return Secrets(SimpleNamespace(get=get))  # type: ignore[arg-type]


async def test_a_token_of_a_service_account_is_not_read_as_a_credential_that_is_sent() -> None:
    secrets = secrets_with("kubernetes.io/service-account-token")
    with pytest.raises(CredentialsMissing, match=r"type kubernetes\.io/service-account-token") as caught:
        await secrets.read_credential("team", "robot", "token", is_sent=True)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(("secret_type", "is_sent"), [("Opaque", True), ("kubernetes.io/tls", False)])
async def test_a_credential_of_a_fitting_secret_is_read(secret_type: str, is_sent: bool) -> None:
    value = await secrets_with(secret_type).read_credential("team", "app", "token", is_sent=is_sent)
    assert value == SecretBytes(b"canary")
    assert await secrets_with(secret_type).read_credential("team", "app", "other", is_sent=is_sent) is None


DATA, LABELS = {"f:data": {"f:token": {}}}, {"f:metadata": {"f:labels": {}}}


@pytest.mark.parametrize(
    ("metadata", "day"),
    [
        ({"creationTimestamp": "2026-03-01T00:00:00Z"}, 1),
        (
            {
                "creationTimestamp": "2026-03-01T00:00:00Z",
                "managedFields": [
                    {"time": "2026-03-03T00:00:00Z", "fieldsV1": DATA},
                    {"time": "2026-03-02T00:00:00Z", "fieldsV1": DATA},
                    {"time": "2026-03-09T00:00:00Z", "fieldsV1": LABELS},
                ],
            },
            3,
        ),
        ({}, None),
        ({"creationTimestamp": "soon"}, None),
        ({"managedFields": [{"fieldsV1": DATA}]}, None),
    ],
)
async def test_the_time_of_the_last_write_of_the_data_is_read(metadata: dict[str, Any], day: int | None) -> None:
    typed = await secrets_with("Opaque", **metadata).read_typed_key("team", "app", "token")
    assert typed is not None
    assert typed.changed_at == (None if day is None else datetime(2026, 3, day, tzinfo=UTC))
