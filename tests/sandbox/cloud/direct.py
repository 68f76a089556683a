"""The simulated cloud without sockets, with a stopped clock: requests go directly to its services."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from multidict import CIMultiDict

from sandbox.cloud.clock import Clock
from sandbox.cloud.control.service import Control
from sandbox.cloud.entra.tokens import DEVOPS_RESOURCE, AccessToken
from sandbox.cloud.simulation import Simulation
from sandbox.cloud.transport.message import Reply, Request
from sandbox.cloud.world.directory import Principal
from sandbox.cloud.world.load import DEFAULT_WORLD, read_world_file
from sandbox.cloud.world.principals import principal_id
from sandbox.cloud.world.schema import GenerateSpec, WorldFile
from sandbox.cloud.world.world import World

TENANT = "11111111-1111-1111-1111-111111111111"
OTHER_TENANT = "99999999-9999-9999-9999-999999999999"
SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
GROUP = "rg-devops-security"
ACCOUNT = "mdc-devops-connector@contoso.com"
APP = "defender-devops-sandbox"
APP_ID = "55555555-5555-5555-5555-555555555555"
SIGN_IN_APP_ID = "77777777-7777-7777-7777-777777777777"
DEVOPS_SCOPE = f"{DEVOPS_RESOURCE}/.default offline_access openid profile"
REDIRECT = "http://localhost:8081/signin/callback"

GROUP_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
CONNECTORS = f"{GROUP_ID}/providers/Microsoft.Security/securityConnectors"
CONNECTOR = f"{CONNECTORS}/contoso"
CONFIGURATION = f"{CONNECTOR}/devops/default"
ORGANIZATIONS = f"{CONFIGURATION}/azureDevOpsOrgs"

CONNECTOR_VERSION = "2024-08-01-preview"
DEVOPS_VERSION = "2025-03-01"

CONNECTOR_BODY = {
    "location": "westeurope",
    "tags": {"owner": "platform"},
    "properties": {
        "hierarchyIdentifier": "7e2d2e56-5c4e-4f68-9e62-1f5f6b1d5a01",
        "environmentName": "AzureDevOps",
        "environmentData": {"environmentType": "AzureDevOpsScope"},
        "offerings": [{"offeringType": "CspmMonitorAzureDevOps"}],
    },
}

LONG_ENOUGH = 60.0
"""Seconds after which every operation has ended."""


@dataclass
class Answer:
    """A decoded response."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.content)

    @property
    def text(self) -> str:
        return self.content.decode()

    @property
    def code(self) -> str:
        """Error code of Resource Manager."""
        return str(self.json["error"]["code"])


@cache
def _default_world() -> WorldFile:
    return read_world_file(DEFAULT_WORLD)


def larger_world(**generated: int) -> WorldFile:
    """Return the default world plus a generated one: see `GenerateSpec`."""
    spec = read_world_file(DEFAULT_WORLD)
    spec.generate = GenerateSpec(
        tenant="contoso.com", account=ACCOUNT, subscription=SUBSCRIPTION, resource_group=GROUP, **generated
    )
    return spec


class Direct:
    """A cloud without sockets."""

    def __init__(self, spec: WorldFile | None = None) -> None:
        self.clock = Clock(0)
        self.simulation = Simulation(spec or _default_world(), self.clock)
        self.simulation.set_addresses({"arm": "https://arm.test"})
        self._control = Control(self.simulation)

    @property
    def world(self) -> World:
        return self.simulation.world

    def move(self, seconds: float, wall: float = 0.0) -> None:
        """Advance inner time, and optionally wall time."""
        self.clock.move(seconds, wall)
        self.world.run_due()

    def token(self, principal: str = APP, resource: str = "arm", scopes: tuple[str, ...] = ()) -> str:
        """Issue an access token for an application or account, by name."""
        directory, object_id = self.world.directory, principal_id(self.world, principal)
        account = directory.accounts.get(object_id)
        if account is not None:
            principal = Principal(
                object_id, account.tenant_id, account.user_principal_name, SIGN_IN_APP_ID, is_user=True
            )
            scopes = scopes or ("user_impersonation",)
        else:
            app = next(
                application for application in directory.applications.values() if application.object_id == object_id
            )
            principal = Principal(object_id, app.tenant_id, app.display_name, app.client_id)
        wall = self.clock.wall()
        return self.simulation.entra.access_tokens.issue(
            AccessToken(principal, resource, wall, wall + 3600, frozenset(scopes))
        )

    async def send(
        self, service: str, method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer | None:
        """Send a request to a service through the request pipeline; None is a closed connection."""
        parts = urlsplit(url)
        request = Request(
            service,
            parts._replace(path="", query="").geturl() or f"https://{service}.test",
            method,
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            CIMultiDict(headers or {}),
            body,
        )
        reply = await self.simulation.pipeline.process(self.simulation.services[service], request)
        return None if reply is None else _answer(reply)

    async def arm(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        version: str | None = None,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send a request to Resource Manager as the default application."""
        if version is None:
            version = CONNECTOR_VERSION if path.split("/")[-2:-1] == ["securityConnectors"] else DEVOPS_VERSION
        mark = "&" if "?" in path else "?"
        url = path if "api-version=" in path or not version else f"{path}{mark}api-version={version}"
        request_headers = {"Authorization": f"Bearer {token or self.token()}", **(headers or {})}
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        answer = await self.send("arm", method, url, content, request_headers)
        assert answer is not None, "the connection was cut"
        return answer

    async def devops(
        self, host: str, url: str, *, token: str | None = None, body: object = None, **headers: str
    ) -> Answer:
        """Send GET (POST with a body) to a host of Azure DevOps as the dedicated account; an empty token sends none."""
        request_headers = {name.replace("_", "-"): value for name, value in headers.items()}
        bearer = self.token(ACCOUNT, "devops") if token is None else token
        if bearer:
            request_headers["Authorization"] = f"Bearer {bearer}"
        method, content = ("GET", b"") if body is None else ("POST", json.dumps(body).encode())
        answer = await self.send(host, method, url, content, request_headers)
        assert answer is not None
        return answer

    async def entra(self, path: str, form: dict[str, str], **headers: str) -> Answer:
        """POST a form to Entra."""
        answer = await self.send("authority", "POST", path, urlencode(form).encode(), headers)
        assert answer is not None
        return answer

    async def control(self, method: str, path: str, /, **values: object) -> Any:  # noqa: ANN401 - JSON
        """Call the control interface; it must succeed."""
        answer = await self.try_control(method, path, **values)
        assert answer.status == 200, answer.json
        return answer.json

    async def try_control(self, method: str, path: str, /, **values: object) -> Answer:
        """Call the control interface."""
        query = {name: str(value) for name, value in values.items()} if method == "GET" else {}
        request = Request("control", "http://control.test", method, path, query, {}, json.dumps(values).encode())
        return _answer(await self._control.handle(request))

    # --- common setups

    async def code(self, account: str = ACCOUNT) -> str:
        """Issue a one-time code for Defender."""
        return str((await self.control("POST", "/defender-codes", account=account))["code"])

    async def connect(self, **properties: object) -> None:
        """Create a connector with a configuration, authorized by a code."""
        created = await self.arm("PUT", CONNECTOR, CONNECTOR_BODY)
        assert created.status == 201, created.json
        requested = {"autoDiscovery": "Disabled", **properties}
        body = {"properties": {"authorization": {"code": await self.code()}, **requested}}
        assert (await self.arm("PUT", CONFIGURATION, body)).status == 201
        self.move(LONG_ENOUGH)

    async def configuration(self) -> dict[str, Any]:
        """Return the properties of the configuration."""
        return dict((await self.arm("GET", CONFIGURATION)).json["properties"])

    async def names(self, path: str) -> list[str]:
        """Return the names of a collection, all pages."""
        names: list[str] = []
        url: str | None = path
        while url is not None:
            page = (await self.arm("GET", url)).json
            names += [item["name"] for item in page["value"]]
            url = page.get("nextLink")
        return names


def _answer(reply: Reply) -> Answer:
    return Answer(reply.status, reply.headers, reply.body)
