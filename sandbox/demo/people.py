"""The steps of people in the demo: in the portal, in Azure DevOps, in applied Secrets."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster.client import Manifest
from sandbox.demo.browser import Browser, PageError

__all__ = ["People", "account_of"]

_WORLD = Path(__file__).parents[1] / "cloud" / "worlds" / "default.yaml"


class People:
    """The steps that no operator can do: Defender's dialog requires a person."""

    def __init__(self, control: ControlClient) -> None:
        self._control = control
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
            secrets.append((authorization["codeSecretRef"], self._control.issue_code(account_of(connector))))
        else:
            self._authorize_in_portal(connector)
        identity = spec["azure"].get("identity", {})
        if "secretRef" in identity:
            secrets.append((identity["secretRef"], self._client_secrets[identity["clientId"]]))
        client = spec.get("signIn", {}).get("client", {})
        if "secretRef" in client:
            secrets.append((client["secretRef"], self._client_secrets[client["id"]]))
        namespace = connector["metadata"]["namespace"]
        return [_secret(namespace, reference["name"], reference["key"], value) for reference, value in secrets]

    def sign_in(self, address: str, account: str, ca: Path) -> None:
        """Open the operator's page, sign in at Entra ID, consent and return.

        Raises:
            PageError: an unexpected page.
        """
        with Browser(ca) as browser:
            browser.open(address)
            browser.press("Sign in with Microsoft")
            browser.press("Sign in", loginfmt=account, passwd=self._passwords[account])
            browser.press("Accept")
            browser.press("Submit")  # returns to the operator; a browser with scripts submits it automatically
            if f"Signed in as {account}" not in browser.text:
                raise PageError(f"sign-in failed; the page shows: {browser.text}")

    def _authorize_in_portal(self, connector: Manifest) -> None:
        azure = connector["spec"]["azure"]
        self._control.add_connector(
            name=azure.get("connectorName", connector["metadata"]["name"]),
            subscription=azure["subscriptionId"],
            resourceGroup=azure["resourceGroup"],
            location=azure["location"],
            account=account_of(connector),
            organizations=connector["spec"]["organizations"].get("names"),
        )

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
    """Return the account that authorizes Defender for a connector."""
    spec: dict[str, Any] = connector["spec"]
    return str(spec.get("authorization", {}).get("account") or spec["signIn"]["account"])


def _secret(namespace: str, name: str, key: str, value: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "data": {key: base64.b64encode(value.encode()).decode()},
    }
