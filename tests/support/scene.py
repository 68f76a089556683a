"""One test's namespace, with what a person would do in it and in the cloud beside it."""

from __future__ import annotations

import base64
import copy
from dataclasses import dataclass
from typing import Any

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import KubernetesClient
from sandbox.cluster.client import Manifest, condition

TENANT = "11111111-1111-1111-1111-111111111111"
SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
GROUP = "rg-devops-security"
ACCOUNT = "mdc-devops-connector@contoso.com"
KIND = "AzureDevOpsConnector"
ORGANIZATION = "DevOpsOrganization"

GRANTED = 38
"""So many namespaces of the pool may use the operator's own identity; the last ones may not."""


@dataclass
class Scene:
    """What a test works with.

    Attributes:
        kube: the API, as administrator.
        control: the cloud's other side.
        namespace: of the test's own.
    """

    kube: KubernetesClient
    control: ControlClient
    namespace: str

    def secret(self, name: str, **values: str) -> None:
        """Write a Secret."""
        data = {key.replace("_", "-"): base64.b64encode(value.encode()).decode() for key, value in values.items()}
        self.kube.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": self.namespace},
                "data": data,
            }
        )

    def new_code(self, name: str = "code") -> None:
        """Put a fresh one-time code into the Secret of that name."""
        self.secret(name, code=self.control.issue_code(ACCOUNT))

    def manifest(self, name: str = "contoso", **spec: object) -> Manifest:
        """A connector with method Code and the organizations contoso and fabrikam, changed by `spec`."""
        base: dict[str, Any] = {
            "azure": {
                "tenantId": TENANT,
                "subscriptionId": SUBSCRIPTION,
                "resourceGroup": GROUP,
                "location": "westeurope",
            },
            "organizations": {"mode": "Selected", "names": ["contoso", "fabrikam"]},
            "authorization": {
                "method": "Code",
                "codeSecretRef": {"name": "code", "key": "code"},
                "account": ACCOUNT,
            },
        }
        return {
            "apiVersion": "defender-devops.io/v1alpha1",
            "kind": KIND,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": _merged(base, spec),
        }

    def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply, as the person who owns the manifest."""
        return self.kube.apply(manifest, manager="team")

    def connector(self, name: str = "contoso") -> Manifest:
        """The resource as it is."""
        found = self.kube.get(KIND, name, self.namespace)
        assert found is not None
        return found

    def wait(
        self, kind: str, status: str, reason: str | None = None, *, name: str = "contoso", timeout: float = 30
    ) -> Manifest:
        """Wait for a condition of a connector, said about its newest spec; gives the resource."""
        return self.kube.wait(
            KIND, name, self.namespace, until=lambda body: _says(body, kind, status, reason), timeout=timeout
        )

    def organizations(self) -> dict[str, Manifest]:
        """The DevOpsOrganizations, by organization."""
        return {each["spec"]["organization"]: each for each in self.kube.list_all(ORGANIZATION, self.namespace)}

    def writes(self, since: int = 0) -> list[str]:
        """What was changed in Azure, one operation for each request with an effect."""
        return [each["operation"] for each in self.control.journal(since=since, service="arm", effective="true")]


def message(body: Manifest, kind: str) -> str:
    """The message of a condition."""
    return str(condition(body, kind).get("message", ""))


def _says(body: Manifest, kind: str, status: str, reason: str | None) -> bool:
    found = condition(body, kind)
    return (
        body.get("status", {}).get("observedGeneration") == body["metadata"]["generation"]
        and found.get("status") == status
        and reason in {None, found.get("reason")}
    )


def _merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Merge as a JSON merge patch does: None removes."""
    merged = copy.deepcopy(base)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = value
    return merged
