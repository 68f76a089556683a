"""The simulated cloud over the network: TLS, faults of a connection, signing keys, the control client."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import jwt
import pytest

from sandbox.cloud.control.client import ControlClient, ControlError
from tests.sandbox.cloud.direct import ACCOUNT, APP_ID, CONNECTOR, TENANT
from tests.sandbox.cloud.remote import Remote

SECONDS = 30.0
FORM = {
    "grant_type": "client_credentials",
    "client_id": APP_ID,
    "client_secret": "sandbox-secret",
    "scope": "https://management.azure.com/.default",
}


def test_a_client_has_to_trust_the_certificate_authority(remote: Remote) -> None:
    with (
        httpx.Client(trust_env=False, verify=ssl.create_default_context()) as stranger,
        pytest.raises(httpx.ConnectError),
    ):
        stranger.get(f"{remote.arm}/subscriptions")
    with remote.http() as http:
        assert http.get(f"{remote.arm}/subscriptions?api-version=2022-12-01").status_code == 401


def test_a_connection_is_closed_by_a_fault(remote: Remote) -> None:
    with remote.http() as http:
        token = http.post(f"{remote.authority}/{TENANT}/oauth2/v2.0/token", data=FORM).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        remote.control.fault(service="arm", cut="before")
        url = f"{remote.arm}{CONNECTOR}?api-version=2024-08-01-preview"
        with pytest.raises(httpx.RemoteProtocolError):
            http.get(url)
        assert http.get(url).status_code == 404


def test_keys_of_an_issuer_are_fetched_with_a_token_and_its_own_authority(remote: Remote, tmp_path: Path) -> None:
    """The cloud's own Entra takes the place of an API server: its keys are served by TLS with a private CA."""
    keys = f"{remote.authority}/{TENANT}/discovery/v2.0/keys"
    token = tmp_path / "token"
    token.write_text("a service account's token\n")
    remote.control.register_issuer("https://good.test", jwksUrl=keys, caFile=str(remote.ca), bearerTokenFile=str(token))
    remote.control.register_issuer("https://bad.test", jwksUrl=keys)
    last_entry = remote.control.last()
    with remote.http(remote.authority) as http:
        for issuer, number in (("https://good.test", 700027), ("https://bad.test", 50166)):
            claims = {"iss": issuer, "sub": "system:serviceaccount:defender-devops:defender-devops-operator"}
            answer = http.post(f"/{TENANT}/oauth2/v2.0/token", data=federated(claims))
            assert answer.json()["error_codes"] == [number], answer.text
    fetched = remote.control.journal(since=last_entry, operation="Keys")
    assert len(fetched) == 1


def federated(claims: dict[str, object]) -> dict[str, str]:
    """A token request with an invalid signature."""
    audience = {"aud": "api://AzureADTokenExchange", "exp": 4_000_000_000}
    return {
        "grant_type": "client_credentials",
        "client_id": "66666666-6666-6666-6666-666666666666",
        "scope": "https://management.azure.com/.default",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode({**claims, **audience}, "x" * 32, "HS256", headers={"kid": "unheard"}),
    }


def test_the_control_client_says_why_it_was_refused(remote: Remote) -> None:
    with pytest.raises(ControlError, match="no account 'nobody'"):
        remote.control.issue_code("nobody")
    with ControlClient(remote.endpoints["control"]) as control:
        control.remove_access(ACCOUNT, "contoso")
        assert "contoso" not in control.world()["accounts"][0]["organizations"]
        control.restore_access(ACCOUNT)
        assert "contoso" in control.world()["accounts"][0]["organizations"]
        control.settings(throttling=False)
        control.add_repository("contoso", "webshop", "extra", disabled=True)
        control.change_organization("contoso", thirdPartyOauth=False)
        control.clear_faults()
