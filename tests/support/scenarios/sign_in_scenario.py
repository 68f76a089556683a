"""One test's namespace with a connector that somebody signs in for, and that person at a browser."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page

from sandbox.demo.browser import Browser
from tests.support.scenarios.scenario import ACCOUNT, KIND, Scenario

APP = "77777777-7777-7777-7777-777777777777"
PASSWORD = "sandbox-password"
TOKENS = "contoso-azure-devops-token"
PICTURES = Path(__file__).parents[3] / "docs" / "images"

Window = Callable[..., Page]
"""Opens a window with cookies of its own."""


@dataclass
class SignInScenario(Scenario):
    """A scene with a connector that somebody has to sign in for.

    Attributes:
        ca: certificate authority of the cloud.
        log: the operator's log.
        app_secret: client secret of the app that people sign in to.
        is_in_portal: whether the connector was added in the portal.
        organizations_of_connector: the organizations of the connector.
        connector_age: seconds since the connector was added in the portal.
    """

    ca: Path
    log: Path

    app_secret: str = "sandbox-sign-in-secret"
    is_in_portal: bool = False
    organizations_of_connector: tuple[str, ...] = ("contoso", "fabrikam")
    connector_age: float = 0.0

    def connect(self, sign_in: dict[str, Any] | None = None, **spec: object) -> None:
        """Apply a connector that adopts an authorization given in the portal, with a sign-in by browser."""
        self.secret("signin-app", client_secret=self.app_secret)
        if not self.is_in_portal:
            self.is_in_portal = True
            self.control.add_connector(
                name="contoso",
                subscription="22222222-2222-2222-2222-222222222222",
                resourceGroup="rg-devops-security",
                location="westeurope",
                account=ACCOUNT,
                organizations=list(self.organizations_of_connector),
                age=self.connector_age,
            )
        method: dict[str, Any] = {
            "method": "AuthorizationCode",
            "account": ACCOUNT,
            "client": {"id": APP, "type": "Secret", "secretRef": {"name": "signin-app", "key": "client-secret"}},
        }
        chosen = {key: value for key, value in (method | (sign_in or {})).items() if value is not None}
        adopt = {"method": "Adopt", "codeSecretRef": None, "account": ACCOUNT}
        organizations = {"mode": "Selected", "names": list(self.organizations_of_connector)}
        self.apply(self.manifest(**{"authorization": adopt, "signIn": chosen, "organizations": organizations, **spec}))

    def sign_in(self, account: str = ACCOUNT, *, name: str = "contoso") -> str:
        """Sign in on the page, with a browser that has no screen; gives what the last page says."""
        with Browser(self.ca) as browser:
            browser.open(self.address(name))
            browser.press("Sign in with Microsoft")
            browser.press("Sign in", loginfmt=account, passwd=PASSWORD)
            if "Accept" in browser.text:
                browser.press("Accept")
            browser.press("Submit")
            return browser.text

    def sign_in_by_device(self, name: str = "contoso", account: str = ACCOUNT) -> str:
        """Ask for a device code as the command line does, and use it on another machine; gives the user code."""
        answer = httpx.post(
            f"{self.address(name)}/device", headers={"Accept": "application/json"}, trust_env=False, timeout=30
        )
        device_code = answer.json()
        with Browser(self.ca) as telephone:
            telephone.open(device_code["verificationUri"])
            telephone.press("Next", otc=device_code["userCode"])
            telephone.press("Sign in", loginfmt=account, passwd=PASSWORD)
            if "Accept" in telephone.text:
                telephone.press("Accept")
        return str(device_code["userCode"])

    def only_sign_in(self, name: str, sign_in: dict[str, Any]) -> None:
        """Apply a connector that has nothing to do in Azure but to wait for somebody to authorize it."""
        adopt = {"method": "Adopt", "codeSecretRef": None, "account": ACCOUNT}
        self.apply(self.manifest(name, authorization=adopt, signIn=sign_in))

    def address(self, name: str = "contoso") -> str:
        """The connector's page, from its status."""
        body = self.kube.wait(
            KIND, name, self.namespace, until=lambda body: body.get("status", {}).get("signIn", {}).get("url")
        )
        return str(body["status"]["signIn"]["url"])

    def tokens(self, name: str = TOKENS) -> dict[str, str]:
        """What a token Secret holds."""
        secret = self.kube.get("Secret", name, self.namespace) or {}
        return {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()}

    def status(self) -> dict[str, Any]:
        """Status of the connector."""
        status: dict[str, Any] = self.connector().get("status", {})
        return status


def at_entra(page: Page, account: str = ACCOUNT) -> None:
    """What a person does on Entra's pages: choose or name the account, the password, consent where it is asked for."""
    another = page.get_by_role("button", name="Use another account")
    if another.count():
        another.click()
    page.fill("input[name=loginfmt]", account)
    page.fill("input[name=passwd]", PASSWORD)
    page.click("button[value=signin]")
    accept = page.get_by_role("button", name="Accept")
    if accept.count():
        accept.click()
    go_back(page)


def go_back(page: Page) -> None:
    """Entra's page posts the answer by itself where scripts run; without them a person presses its button."""
    submit = page.get_by_role("button", name="Submit")
    if submit.count():
        submit.click()
