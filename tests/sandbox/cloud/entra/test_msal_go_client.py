"""MSAL for Go gets a token by client credentials; it always sends the scopes of OpenID Connect too."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from sandbox.cluster.build import ensure_built, find_go
from sandbox.cluster.programs import MSAL, BinaryError
from tests.sandbox.cloud.direct import APP_ID, TENANT
from tests.sandbox.cloud.remote import ARM_SCOPE, Remote


@pytest.fixture(scope="module")
def program() -> Path:
    if not MSAL.cached.exists():
        try:
            find_go(MSAL.module)
        except BinaryError as error:
            pytest.skip(f"the program with MSAL for Go needs Go: {error}")
    return ensure_built(MSAL)


def run(program: Path, remote: Remote, secret: str) -> subprocess.CompletedProcess[str]:
    environment = {"SSL_CERT_FILE": str(remote.ca), "AZURE_CLIENT_SECRET": secret, "HOME": "/nonexistent"}
    command = [program, f"{remote.authority}/{TENANT}", APP_ID, ARM_SCOPE]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_a_token_of_msal_for_go_is_accepted_by_resource_manager(program: Path, remote: Remote) -> None:
    result = run(program, remote, "sandbox-secret")
    assert result.returncode == 0, result.stderr
    token = json.loads(result.stdout)
    assert token["cached"] is True
    with remote.http(remote.arm) as http:
        headers = {"Authorization": f"Bearer {token['accessToken']}"}
        assert http.get("/subscriptions?api-version=2022-12-01", headers=headers).json()["count"]["value"] == 2


def test_msal_for_go_reports_a_wrong_secret(program: Path, remote: Remote) -> None:
    result = run(program, remote, "wröng")
    assert result.returncode == 1
    assert "AADSTS7000215" in result.stderr
