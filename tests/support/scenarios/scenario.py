"""The namespace of one test, and the actions of a user in it and in the simulated cloud."""

from __future__ import annotations

import base64
import copy
import time
from collections.abc import Callable, Mapping
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

_CONTROLLER_OBJECTS = {"default", "kube-root-ca.crt"}
"""Names of the objects that Kubernetes' controllers create in each namespace."""

_POLL_SECONDS = 0.1
_TIMEOUT = 20


def wait_for(holds: Callable[[], object], failure: str, timeout: float = _TIMEOUT) -> None:
    """Wait until a condition holds, such as one in Azure; `failure` is the message if it does not."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, failure
        time.sleep(_POLL_SECONDS)


@dataclass
class Scenario:
    """A namespace of one test, with a connector where the test creates one.

    Attributes:
        kube: the API of the cluster, as administrator.
        control: the control interface of the simulated cloud.
        namespace: used by no other test at the same time.
    """

    kube: KubernetesClient
    control: ControlClient
    namespace: str

    def enter(self) -> None:
        """Create the namespace if it does not exist: an earlier test may have deleted it."""
        existing = self.kube.get("Namespace", self.namespace)
        if existing is not None and existing["metadata"].get("deletionTimestamp"):
            self.kube.wait_deleted("Namespace", self.namespace)
        self.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})

    def leave(self) -> None:
        """Delete all objects and faults, so that the next test starts with an empty namespace and no pending work."""
        self.control.clear_faults()
        names = [connector["metadata"]["name"] for connector in self.kube.list_all(KIND, self.namespace)]
        for name in names:
            # The operator releases a suspended connector without a request to Azure, whatever the test did to Azure.
            self.kube.patch(KIND, name, {"spec": {"suspend": True}}, self.namespace)
        self.delete_all()
        for name in names:
            self.kube.wait_deleted(KIND, name, self.namespace)

    def delete_all(self) -> None:
        """Request the deletion of all objects that tests create."""
        for kind in (KIND, ORGANIZATION, "Secret", "ServiceAccount", "ConfigMap"):
            for body in self.kube.list_all(kind, self.namespace):
                if body["metadata"]["name"] not in _CONTROLLER_OBJECTS:
                    self.kube.delete(kind, body["metadata"]["name"], self.namespace)

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
        """Write a new one-time code into the Secret of that name."""
        self.secret(name, code=self.control.issue_code(ACCOUNT))

    def manifest(self, name: str = "contoso", **spec: object) -> Manifest:
        """Return a connector with method Code and the organizations contoso and fabrikam, changed by `spec`."""
        return connector_manifest(self.namespace, spec, name=name)

    def apply(self, manifest: Manifest) -> Manifest:
        """Apply on the server side, as the owner of the manifest."""
        return self.kube.apply(manifest, manager="team")

    def ready(self, name: str = "contoso", *, code: str = "code", **spec: object) -> Manifest:
        """Apply a connector with a new code in the Secret `code`, wait until it is Ready and return it."""
        self.new_code(code)
        self.apply(self.manifest(name, **_merged({"authorization": {"codeSecretRef": {"name": code}}}, spec)))
        return self.wait("Ready", "True", name=name)

    def declare(
        self, organization: str, *, name: str | None = None, connector: str = "contoso", **spec: object
    ) -> Manifest:
        """Apply a DevOpsOrganization, as a user does to configure one organization."""
        return self.apply(self.organization_manifest(organization, name=name, connector=connector, **spec))

    def organization_manifest(
        self, organization: str, *, name: str | None = None, connector: str = "contoso", **spec: object
    ) -> Manifest:
        """Return a DevOpsOrganization as a user declares it."""
        return {
            "apiVersion": "defender-devops.io/v1alpha1",
            "kind": ORGANIZATION,
            "metadata": {"name": name or organization, "namespace": self.namespace},
            "spec": {"connectorRef": {"name": connector}, "organization": organization, **spec},
        }

    def connector(self, name: str = "contoso") -> Manifest:
        """Return the current resource."""
        connector = self.kube.get(KIND, name, self.namespace)
        assert connector is not None
        return connector

    def wait(
        self, kind: str, status: str, reason: str | None = None, *, name: str = "contoso", timeout: float = 30
    ) -> Manifest:
        """Wait for a condition of a connector that refers to its newest spec; return the resource."""
        return self.kube.wait(
            KIND, name, self.namespace, until=lambda body: _has_condition(body, kind, status, reason), timeout=timeout
        )

    def wait_until(
        self, holds: Callable[[Manifest], object], *, name: str = "contoso", timeout: float = 30
    ) -> Manifest:
        """Wait until a predicate holds for a connector; return the resource."""
        return self.kube.wait(KIND, name, self.namespace, until=holds, timeout=timeout)

    def wait_organization(
        self, name: str, kind: str, status: str, reason: str | None = None, *, timeout: float = 30
    ) -> Manifest:
        """Wait for a condition of a DevOpsOrganization, by the resource's name; return the resource."""
        return self.kube.wait(
            ORGANIZATION,
            name,
            self.namespace,
            until=lambda body: _has_condition(body, kind, status, reason),
            timeout=timeout,
        )

    def organizations(self) -> dict[str, Manifest]:
        """Return the DevOpsOrganizations by the name of their organization."""
        return {
            organization["spec"]["organization"]: organization
            for organization in self.kube.list_all(ORGANIZATION, self.namespace)
        }

    def in_portal(self, name: str = "contoso", **connector: object) -> str:
        """Create an authorized connector, as a user does in the portal; return its id."""
        base = {"subscription": SUBSCRIPTION, "resourceGroup": GROUP, "account": ACCOUNT}
        return self.control.add_connector(name=name, **base | connector)

    def change_in_portal(self, name: str = "contoso", **changes: object) -> None:
        """Change a connector out of band; the fields are those of the control interface's `ConnectorChange`."""
        self.control.change_connector(SUBSCRIPTION, GROUP, name, **changes)

    def delete_in_portal(self, name: str = "contoso") -> None:
        """Delete a connector out of band."""
        self.control.delete_connector(SUBSCRIPTION, GROUP, name)

    def wait_observed(self) -> None:
        """Wait until the operator has polled Resource Graph and probed the authorization once more.

        Raises:
            TimeoutError: it did not.
        """
        self.wait_request("Resources_Query")
        self.wait_request("AzureDevOpsOrgs_ListAvailable")

    def onboarded(self, connector: str = "contoso") -> set[str]:
        """Return the organizations that are onboarded in Azure's connector of that name."""
        connector_ = self.in_azure(connector)
        return (
            set(connector_["configuration"]["organizations"]) if connector_ and connector_["configuration"] else set()
        )

    def in_azure(self, connector: str = "contoso") -> dict[str, Any] | None:
        """Return Azure's connector of that name from the simulated cloud's own state; None where there is none."""
        matches = [
            connector_
            for connector_ in self.control.world()["connectors"]
            if connector_["id"].endswith(f"/{connector}")
        ]
        return matches[0] if matches else None

    def wait_onboarded(self, *organizations: str, connector: str = "contoso", timeout: float = 30) -> None:
        """Wait until exactly these organizations are onboarded in Azure's connector.

        Raises:
            TimeoutError: others were onboarded until the end.
        """
        deadline = time.monotonic() + timeout
        while (onboarded := self.onboarded(connector)) != set(organizations):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{connector} has {sorted(onboarded)} onboarded after {timeout} s")
            time.sleep(_POLL_SECONDS)

    def wait_request(self, operation: str | None = None, *, times: int = 1, path: str | None = None) -> None:
        """Wait for requests that end after this call.

        Args:
            operation: name of the operation; requests that a fault responded to have none.
            times: number of requests.
            path: regular expression for the path.

        Raises:
            TimeoutError: there were fewer.
        """
        filters = {name: value for name, value in (("operation", operation), ("path", path)) if value is not None}
        for _ in range(times):
            if not self.control.journal(since=self.control.last(), wait=_TIMEOUT, **filters):
                raise TimeoutError(f"no {operation or path} within {_TIMEOUT} s")

    def writes(self, since: int = 0) -> list[str]:
        """Return the operations of the requests that changed something in Azure."""
        return [entry["operation"] for entry in self.control.journal(since=since, service="arm", effective="true")]


def connector_manifest(namespace: str, change: Mapping[str, Any], *, name: str = "contoso") -> Manifest:
    """Return a connector with method Code and the organizations contoso and fabrikam.

    Args:
        namespace: its namespace.
        change: change of its spec, as a JSON merge patch.
        name: its name.
    """
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
        "metadata": {"name": name, "namespace": namespace},
        "spec": _merged(base, change),
    }


def message(body: Manifest, kind: str) -> str:
    """Return the message of a condition."""
    return str(condition(body, kind).get("message", ""))


def _has_condition(body: Manifest, kind: str, status: str, reason: str | None) -> bool:
    reported = condition(body, kind)
    return (
        body.get("status", {}).get("observedGeneration") == body["metadata"]["generation"]
        and reported.get("status") == status
        and reason in {None, reported.get("reason")}
    )


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Merge as a JSON merge patch does: None removes a key."""
    merged = copy.deepcopy(dict(base))
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = value
    return merged
