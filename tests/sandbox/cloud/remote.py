"""The simulated cloud over TLS, and third-party clients configured for it."""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from azure.core.pipeline.transport import AioHttpTransport, RequestsTransport
from azure.identity import ClientSecretCredential
from azure.identity.aio import ClientSecretCredential as AsyncClientSecretCredential

from sandbox.cloud.control.client import ControlClient
from tests.sandbox.cloud.direct import ACCOUNT, APP_ID, TENANT

PASSWORD = "sandbox-password"
ARM_SCOPE = "https://management.azure.com/.default"


class PatientTransport(RequestsTransport):
    """Advances the simulated clock where a client would sleep."""

    def __init__(self, control: ControlClient, ca: Path) -> None:
        super().__init__(connection_verify=str(ca))
        self._control = control

    def sleep(self, duration: float) -> None:
        self._control.move(duration, wall=duration)


class AsyncPatientTransport(AioHttpTransport):
    """The same for asyncio."""

    def __init__(self, control: ControlClient, ca: Path) -> None:
        super().__init__(connection_verify=str(ca))
        self._control = control

    async def sleep(self, duration: float) -> None:
        await asyncio.to_thread(self._control.move, duration, wall=duration)


@dataclass
class Remote:
    """A running cloud.

    Attributes:
        endpoints: the JSON that it printed when it was ready.
        ca: its certificate authority; `context` trusts it.
        control: its control interface.
    """

    endpoints: dict[str, Any]
    ca: Path
    control: ControlClient
    context: ssl.SSLContext

    @property
    def arm(self) -> str:
        return str(self.endpoints["arm"])

    @property
    def authority(self) -> str:
        return str(self.endpoints["authority"])

    def credential(self) -> ClientSecretCredential:
        """Return an azure-identity credential with the default application's secret."""
        return ClientSecretCredential(TENANT, APP_ID, "sandbox-secret", **self.identity_options())

    def async_credential(self) -> AsyncClientSecretCredential:
        """The same for asyncio."""
        return AsyncClientSecretCredential(TENANT, APP_ID, "sandbox-secret", **self.identity_options())

    def identity_options(self) -> dict[str, Any]:
        """Return the options of azure-identity for this Entra."""
        return {
            "authority": self.authority,
            "disable_instance_discovery": True,
            "connection_verify": str(self.ca),
        }

    def client_options(self) -> dict[str, Any]:
        """Return the options of a management client for this Resource Manager, waiting without sleeping."""
        transport = PatientTransport(self.control, self.ca)
        return {"base_url": self.arm, "credential_scopes": [ARM_SCOPE], "transport": transport}

    def async_client_options(self) -> dict[str, Any]:
        """The same for asyncio."""
        transport = AsyncPatientTransport(self.control, self.ca)
        return {"base_url": self.arm, "credential_scopes": [ARM_SCOPE], "transport": transport}

    def http(self, base_url: str = "") -> httpx.Client:
        """Return a plain HTTP client."""
        return httpx.Client(base_url=base_url, verify=self.context, trust_env=False, follow_redirects=False)


class Person:
    """A browser that fills in forms and follows no redirects by itself."""

    def __init__(self, remote: Remote, account: str = ACCOUNT) -> None:
        self._http = remote.http(remote.authority)
        self._account = account

    def close(self) -> None:
        self._http.close()

    def open(self, address: str) -> httpx.Response:
        """Open a page."""
        return self._http.get(address)

    def submit(self, page: httpx.Response, **fields: str) -> httpx.Response:
        """Fill in the form of a page and send it."""
        action = re.search(r'action="([^"]+)"', page.text)
        context = re.search(r'name="ctx" value="([^"]+)"', page.text)
        assert action is not None, f"there is no form on the page: {page.text}"
        hidden = {} if context is None else {"ctx": context.group(1)}
        return self._http.post(action.group(1), data={**hidden, **fields})

    def sign_in(self, page: httpx.Response) -> httpx.Response:
        """Enter name and password."""
        return self.submit(page, loginfmt=self._account, passwd=PASSWORD)

    def accept(self, page: httpx.Response) -> httpx.Response:
        """Accept the permissions."""
        assert "Permissions requested" in page.text
        return self.submit(page, decision="accept")

    def sign_in_and_accept(self, address: str) -> dict[str, str]:
        """Sign in and consent; return the parameters sent to the application."""
        return returned(self.accept(self.sign_in(self.open(address))))


def returned(response: httpx.Response) -> dict[str, str]:
    """Return the parameters of a redirect."""
    assert response.status_code == 302, response.text
    parts = urlsplit(response.headers["Location"])
    return {name: values[0] for name, values in parse_qs(parts.query or parts.fragment).items()}
