"""Secrets that are read as credentials."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretBytes

from defender_devops.cluster.secrets import Secrets
from defender_devops.errors import CredentialsMissing


def secrets_with(secret_type: str) -> Secrets:
    async def get(url: str) -> dict[str, Any]:
        metadata = {"name": url.rpartition("/")[2], "uid": "u", "resourceVersion": "7"}
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
