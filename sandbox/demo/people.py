"""The steps of people in the demo: in the portal, in Azure DevOps, in applied Secrets."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster.client import Manifest
from sandbox.demo.browser import Browser, PageError
from sandbox.stack.cloud import Cloud

__all__ = ["People", "account_of"]

_CODE = re.compile(r"\b[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}")
_DEDICATED_ACCOUNT = "mdc-devops-connector@contoso.com"
_WORLD = Path(__file__).parents[1] / "cloud" / "worlds" / "default.yaml"


class People:
    """The steps that no operator can do: Defender's dialog requires a person."""

    def __init__(self, control: ControlClient, cloud: Cloud) -> None:
        self._control = control
        self._portal = f"{cloud.endpoints['portal']}/portal"
        self._ca = cloud.ca
        world = yaml.safe_load(_WORLD.read_text())
        self._client_secrets = {
            application["clientId"]: application["secrets"][0]["value"]
            for application in world["applications"]
            if application.get("secrets")
        }
        self._passwords = {account["userPrincipalName"]: account["password"] for account in world["accounts"]}

    def prepare(self, connector: Manifest) -> list[Manifest]:
        """Do the manual steps that a connector's manifest requires, and return its Secrets."""
        spec: dict[str, Any] = connector["spec"]
        secrets = []
        authorization = spec.get("authorization", {})
        if "codeSecretRef" in authorization:
            secrets.append((authorization["codeSecretRef"], self.issue_code(account_of(connector))))
        else:
            self.add_environment(connector)
        identity = spec["azure"].get("identity", {})
        if "secretRef" in identity:
            secrets.append((identity["secretRef"], self._client_secrets[identity["clientId"]]))
        client = spec.get("signIn", {}).get("client", {})
        if "secretRef" in client:
            secrets.append((client["secretRef"], self._client_secrets[client["id"]]))
        namespace = connector["metadata"]["namespace"]
        return [_secret(namespace, reference["name"], reference["key"], value) for reference, value in secrets]

    def issue_code(self, account: str) -> str:
        """Authorize Defender in the portal, and return the one-time code that it shows.

        Raises:
            PageError: the portal shows no code.
        """
        with Browser(self._ca) as browser:
            browser.open(f"{self._portal}/authorize?account={quote(account)}")
            browser.press("Accept, and show the code")
            code = _CODE.search(browser.text)
            if code is None:
                raise PageError(f"the portal shows no code: {browser.text}")
            return code.group()

    def add_environment(self, connector: Manifest) -> None:
        """Add the Azure DevOps environment of a manifest in the portal, authorized by its account.

        Raises:
            PageError: the portal does not accept it.
        """
        azure, organizations = connector["spec"]["azure"], connector["spec"].get("organizations", {})
        name = azure.get("connectorName", connector["metadata"]["name"])
        with Browser(self._ca) as browser:
            browser.open(self._portal)
            browser.press(
                "Add environment",
                name=name,
                subscription=azure["subscriptionId"],
                resourceGroup=azure["resourceGroup"],
                location=azure["location"],
                account=account_of(connector),
                organizations=" ".join(organizations.get("names", [])),
            )
            if f"/securityConnectors/{name}" not in browser.text:
                raise PageError(f"the portal did not add {name}: {browser.text}")

    def sign_in(self, address: str, account: str) -> None:
        """Open the operator's page, sign in at Entra ID, consent and return.

        Raises:
            PageError: an unexpected page.
        """
        with Browser(self._ca) as browser:
            browser.open(address)
            browser.press("Sign in with Microsoft")
            browser.press("Sign in", loginfmt=account, passwd=self._passwords[account])
            browser.press("Accept")
            browser.press("Submit")  # returns to the operator; a browser with scripts submits it automatically
            if f"Signed in as {account}" not in browser.text:
                raise PageError(f"sign-in failed; the page shows: {browser.text}")

    def remove_access(self, account: str) -> None:
        """Remove the account from every organization."""
        self._control.remove_access(account)

    def restore_access(self, account: str) -> None:
        """Restore the removed memberships."""
        self._control.restore_access(account)

    def connectors_in_azure(self) -> set[str]:
        """Ids of all security connectors, in lower case, as the portal lists them."""
        return {str(connector["id"]).lower() for connector in self._control.world()["connectors"]}


def account_of(connector: Manifest) -> str:
    """Return the account that authorizes Defender for a connector; the dedicated one if the manifest has none."""
    spec: dict[str, Any] = connector["spec"]
    account = spec.get("authorization", {}).get("account") or spec.get("signIn", {}).get("account")
    return str(account or _DEDICATED_ACCOUNT)


def _secret(namespace: str, name: str, key: str, value: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "data": {key: base64.b64encode(value.encode()).decode()},
    }
