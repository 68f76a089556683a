"""Another user of Azure: a script with a service principal that calls Azure Resource Manager."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from sandbox.stack import Cloud
from tests.support.scenarios.azure_world import TEAM, TEAM_SECRET
from tests.support.scenarios.scenario import GROUP, SUBSCRIPTION, TENANT

__all__ = ["AzureUser"]

_CONNECTOR_VERSION = "2024-08-01-preview"
_DEVOPS_VERSION = "2025-03-01"
_ROLES_VERSION = "2022-04-01"
_SECURITY_READER = "39bc4728-0917-49c7-9d2c-d95423bc2eb4"


class AzureUser:
    """Reads the connector `contoso` and changes its child resources; blocking."""

    def __init__(self, http: httpx.Client, cloud: Cloud) -> None:
        self._http = http
        self._cloud = cloud
        self._arm = str(cloud.endpoints["arm"])
        self._token: str | None = None
        self._id = (
            f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Security"
            "/securityConnectors/contoso"
        )

    @classmethod
    @contextmanager
    def sign_in(cls, cloud: Cloud) -> Iterator[AzureUser]:
        """Sign in with the team's client secret."""
        context = ssl.create_default_context(cafile=str(cloud.ca))
        with httpx.Client(verify=context, trust_env=False, timeout=30) as http:
            yield cls(http, cloud)

    def set_annotations(self, organization: str, *, state: str, severity: str = "High") -> None:
        """Enable or disable the pull request annotations of an organization."""
        category = {"category": "IaC", "minimumSeverityLevel": severity}
        change = {"state": state, "categoryConfigurations": [category]}
        self._call(f"/devops/default/azureDevOpsOrgs/{organization}", "PATCH", {"actionableRemediation": change})

    def annotations(self, organization: str) -> dict[str, Any]:
        """Return `actionableRemediation` of an organization."""
        body = self._call(f"/devops/default/azureDevOpsOrgs/{organization}", "GET")
        annotations: dict[str, Any] = body["properties"]["actionableRemediation"]
        return annotations

    def severity(self, organization: str) -> str | None:
        """Return the minimum severity of an organization's annotations; None where they are disabled."""
        try:
            setting = self.annotations(organization)
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return None
            raise
        return setting["categoryConfigurations"][0]["minimumSeverityLevel"] if setting["state"] == "Enabled" else None

    def readers(self) -> set[str]:
        """Return the principals with Security Reader on the connector, also after its deletion."""
        path = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleAssignments"
        assignments = (assignment["properties"] for assignment in self._send("GET", path, _ROLES_VERSION)["value"])
        return {
            assignment["principalId"]
            for assignment in assignments
            if assignment["scope"].lower() == self._id.lower()
            and assignment["roleDefinitionId"].endswith(_SECURITY_READER)
        }

    def configuration(self) -> dict[str, Any]:
        """Return the properties of the DevOps configuration."""
        properties: dict[str, Any] = self._call("/devops/default", "GET")["properties"]
        return properties

    def delete_configuration(self) -> None:
        """Delete the DevOps configuration, not the connector."""
        self._call("/devops/default", "DELETE")

    def _call(self, below: str, method: str, properties: dict[str, Any] | None = None) -> dict[str, Any]:
        body = None if properties is None else {"properties": properties}
        return self._send(method, f"{self._id}{below}", _DEVOPS_VERSION if below else _CONNECTOR_VERSION, body)

    def _send(self, method: str, path: str, version: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self._send_once(method, path, version, body)
        if answer.status_code == httpx.codes.UNAUTHORIZED:  # the cloud was reset since the token was issued
            self._token = None
            answer = self._send_once(method, path, version, body)
        content: dict[str, Any] = answer.raise_for_status().json() if answer.content else {}
        return content

    def _send_once(self, method: str, path: str, version: str, body: dict[str, Any] | None) -> httpx.Response:
        self._token = self._token or self._new_token()
        headers = {"Authorization": f"Bearer {self._token}"}
        return self._http.request(
            method, f"{self._arm}{path}", params={"api-version": version}, headers=headers, json=body
        )

    def _new_token(self) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": TEAM,
            "client_secret": TEAM_SECRET,
            "scope": "https://management.azure.com/.default",
        }
        answer = self._http.post(f"{self._cloud.endpoints['authority']}/{TENANT}/oauth2/v2.0/token", data=form)
        return str(answer.raise_for_status().json()["access_token"])
