"""One test's namespace, with what a person would do in it and in the cloud beside it."""

from __future__ import annotations

import base64
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import KubernetesClient
from sandbox.cluster.client import Manifest, condition

TENANT = "11111111-1111-1111-1111-111111111111"
SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
UNKNOWN_SUBSCRIPTION = "00000000-0000-0000-0000-00000000beef"
GROUP = "rg-devops-security"
ACCOUNT = "mdc-devops-connector@contoso.com"
KIND = "AzureDevOpsConnector"
ORGANIZATION = "DevOpsOrganization"

_EVERY_NAMESPACES = {"default", "kube-root-ca.crt"}
"""What a controller keeps in each namespace."""

_POLL_SECONDS = 0.1
_PATIENCE = 20


def wait_for(holds: Callable[[], object], what: str, timeout: float = _PATIENCE) -> None:
    """Wait until something holds in Azure."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(_POLL_SECONDS)


@dataclass
class Scenario:
    """What a test works with.

    Attributes:
        kube: the API, as administrator.
        control: the cloud's other side.
        namespace: of the test's own.
    """

    kube: KubernetesClient
    control: ControlClient
    namespace: str

    def enter(self) -> None:
        """Make sure that the namespace is there: a test before may have deleted it."""
        found = self.kube.get("Namespace", self.namespace)
        if found is not None and found["metadata"].get("deletionTimestamp"):
            self.kube.wait_deleted("Namespace", self.namespace)
        self.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})

    def leave(self) -> None:
        """Leave an empty namespace, and no work under way in the cloud, to whoever comes next."""
        self.control.clear_faults()
        names = [each["metadata"]["name"] for each in self.kube.list_all(KIND, self.namespace)]
        for name in names:
            # Suspended, so that the operator lets it go without a word to Azure, whatever the test did to that.
            self.kube.patch(KIND, name, {"spec": {"suspend": True}}, self.namespace)
        self.delete_all()
        for name in names:
            self.kube.wait_deleted(KIND, name, self.namespace)

    def delete_all(self) -> None:
        """Ask for the deletion of all that a test leaves behind."""
        for kind in (KIND, ORGANIZATION, "Secret", "ServiceAccount", "ConfigMap"):
            for each in self.kube.list_all(kind, self.namespace):
                if each["metadata"]["name"] not in _EVERY_NAMESPACES:
                    self.kube.delete(kind, each["metadata"]["name"], self.namespace)

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

    def ready(self, name: str = "contoso", *, code: str = "code", **spec: object) -> Manifest:
        """Apply a connector with a fresh code in the Secret `code` and wait until it is Ready; gives the resource."""
        self.new_code(code)
        self.apply(self.manifest(name, **_merged({"authorization": {"codeSecretRef": {"name": code}}}, spec)))
        return self.wait("Ready", "True", name=name)

    def declare(
        self, organization: str, *, name: str | None = None, connector: str = "contoso", **spec: object
    ) -> Manifest:
        """Apply a DevOpsOrganization, as somebody who decides for one."""
        return self.apply(self.organization_manifest(organization, name=name, connector=connector, **spec))

    def organization_manifest(
        self, organization: str, *, name: str | None = None, connector: str = "contoso", **spec: object
    ) -> Manifest:
        """A DevOpsOrganization as it stands in somebody's git."""
        return {
            "apiVersion": "defender-devops.io/v1alpha1",
            "kind": ORGANIZATION,
            "metadata": {"name": name or organization, "namespace": self.namespace},
            "spec": {"connectorRef": {"name": connector}, "organization": organization, **spec},
        }

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

    def wait_until(
        self, holds: Callable[[Manifest], object], *, name: str = "contoso", timeout: float = 30
    ) -> Manifest:
        """Wait until something holds for a connector; gives the resource."""
        return self.kube.wait(KIND, name, self.namespace, until=holds, timeout=timeout)

    def wait_organization(
        self, name: str, kind: str, status: str, reason: str | None = None, *, timeout: float = 30
    ) -> Manifest:
        """Wait for a condition of a DevOpsOrganization, by its own name; gives the resource."""
        return self.kube.wait(
            ORGANIZATION, name, self.namespace, until=lambda body: _says(body, kind, status, reason), timeout=timeout
        )

    def organizations(self) -> dict[str, Manifest]:
        """The DevOpsOrganizations, by organization."""
        return {each["spec"]["organization"]: each for each in self.kube.list_all(ORGANIZATION, self.namespace)}

    def in_portal(self, name: str = "contoso", **connector: object) -> str:
        """Make a connector as a person does in the portal, authorized; gives its id."""
        base = {"subscription": SUBSCRIPTION, "resourceGroup": GROUP, "account": ACCOUNT}
        return self.control.add_connector(name=name, **base | connector)

    def change_in_portal(self, name: str = "contoso", **changes: object) -> None:
        """Change a connector behind the operator's back; see the control interface's `ConnectorChange`."""
        self.control.change_connector(SUBSCRIPTION, GROUP, name, **changes)

    def delete_in_portal(self, name: str = "contoso") -> None:
        """Delete a connector behind the operator's back."""
        self.control.delete_connector(SUBSCRIPTION, GROUP, name)

    def look(self) -> None:
        """Let the operator look at the whole cloud once more, and act on it.

        Raises:
            TimeoutError: it does not look.
        """
        self.wait_request("Resources_Query")
        self.wait_request("AzureDevOpsOrgs_ListAvailable")

    def onboarded(self, connector: str = "contoso") -> set[str]:
        """The organizations that Azure's connector of that name holds."""
        found = self.in_azure(connector)
        return set(found["configuration"]["organizations"]) if found and found["configuration"] else set()

    def in_azure(self, connector: str = "contoso") -> dict[str, Any] | None:
        """Azure's connector of that name, as the cloud itself knows it; None where there is none."""
        found = [each for each in self.control.world()["connectors"] if each["id"].endswith(f"/{connector}")]
        return found[0] if found else None

    def wait_onboarded(self, *organizations: str, connector: str = "contoso", timeout: float = 30) -> None:
        """Wait until Azure's connector holds just these.

        Raises:
            TimeoutError: it does not.
        """
        deadline = time.monotonic() + timeout
        while (held := self.onboarded(connector)) != set(organizations):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{connector} holds {sorted(held)} after {timeout} s")
            time.sleep(_POLL_SECONDS)

    def wait_request(self, operation: str | None = None, *, times: int = 1, path: str | None = None) -> None:
        """Wait for requests that end after this moment.

        Args:
            operation: name of the operation; requests that a fault answered have none.
            times: how many.
            path: regular expression for the path.

        Raises:
            TimeoutError: they did not come.
        """
        wanted = {name: value for name, value in (("operation", operation), ("path", path)) if value is not None}
        for _ in range(times):
            if not self.control.journal(since=self.control.last(), wait=_PATIENCE, **wanted):
                raise TimeoutError(f"no {operation or path} within {_PATIENCE} s")

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
