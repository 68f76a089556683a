"""Connectors, time and an assembled sign-in for unit tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from defender_devops.api.connector import AzureDevOpsConnector, parse_connector
from defender_devops.http_client import open_http_client
from defender_devops.settings import Settings
from defender_devops.signin.assembly import SignInPackage, open_sign_in
from defender_devops.signin.ports import FederatedTokens
from defender_devops.signin.sessions.sign_ins import SignIns
from tests.support.fakes.entra import ACCOUNT, CLIENT_ID, FakeEntra
from tests.support.fakes.secret_store import MemorySecrets
from tests.support.manifests import connector as manifest

NAMESPACE = "security"
UID = "aaaaaaaa-0000-4000-8000-000000000001"
TOKENS = "contoso-azure-devops-token"
BASE = "http://127.0.0.1:1"


@dataclass
class FakeClock:
    """A clock that only tests and `sleep` advance.

    Attributes:
        longest_step: upper bound in seconds by which a sleep advances it, for waits on something that takes real time.
    """

    now: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)
    sleeps: list[float] = field(default_factory=list)
    longest_step: float = float("inf")

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **duration: float) -> None:
        self.now += timedelta(**duration)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.forward(seconds=min(seconds, self.longest_step))
        await asyncio.sleep(0)


def connector(sign_in: dict[str, Any] | None = None, **changes: object) -> AzureDevOpsConnector:
    """Return a connector with method AuthorizationCode and a client secret, changed by `sign_in`."""
    uid, name, namespace = changes.pop("uid", UID), changes.pop("name", "contoso"), changes.pop("namespace", NAMESPACE)
    body = manifest()
    body["metadata"] |= {"uid": uid, "name": name, "namespace": namespace}
    body["spec"]["signIn"] = {
        "method": "AuthorizationCode",
        "account": ACCOUNT,
        "client": {"id": CLIENT_ID, "type": "Secret", "secretRef": {"name": "signin-app", "key": "client-secret"}},
        **(sign_in or {}),
    }
    body["spec"]["signIn"] = {key: value for key, value in body["spec"]["signIn"].items() if value is not None}
    if body["spec"]["signIn"].get("method") == "None":
        del body["spec"]["signIn"]
    body["spec"] |= changes
    return parse_connector(body)


SERVICE_PRINCIPAL = {"method": "ServicePrincipal", "account": None}
DEVICE_CODE = {"method": "DeviceCode", "client": {"id": CLIENT_ID}}
REFRESH_TOKEN = {"method": "RefreshToken", "refreshTokenSecretRef": {"name": "handed-in", "key": "token"}}


@dataclass
class SignInSetup:
    """An assembled sign-in with its fakes.

    Attributes:
        requeued: keys of the connectors that the sign-in requeued.
    """

    time: FakeClock
    entra: FakeEntra
    secrets: MemorySecrets
    package: SignInPackage
    requeued: list[tuple[str, str]]

    @property
    def sign_ins(self) -> SignIns:
        return self.package.sign_ins

    def stored(self, key: str, name: str = TOKENS) -> str | None:
        return self.secrets.text(NAMESPACE, name, key)


@asynccontextmanager
async def assemble_sign_in(
    entra: FakeEntra,
    time: FakeClock,
    secrets: MemorySecrets | None = None,
    assertions: FederatedTokens | None = None,
    **settings: object,
) -> AsyncIterator[SignInSetup]:
    """Assemble a sign-in that uses the fake Entra ID."""
    http = open_http_client()
    secrets = secrets or MemorySecrets()
    if (NAMESPACE, "signin-app") not in secrets.stored:
        secrets.add(NAMESPACE, "signin-app", client_secret="app-secret-value")
    requeued: list[tuple[str, str]] = []
    chosen = Settings(**{"authority_host": entra.url, "signin_url": BASE, **settings})
    package = await open_sign_in(
        chosen, http, secrets, assertions, lambda *key: requeued.append(key), clock=time, sleep=time.sleep
    )
    package.sign_ins.random_share = lambda: 0.0
    try:
        yield SignInSetup(time, entra, secrets, package, requeued)
    finally:
        await http.aclose()
