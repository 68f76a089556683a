"""What the operator is measured beside: a plain kopf operator that calls no Azure.

    python -m benchmarks.yardstick PORT

For each AzureDevOpsConnector it makes a DevOpsOrganization for each name in `spec.organizations.names`, writes every
status once, as the operator leaves it when all is well, and posts one event: kopf's change handlers with the
asynchronous client of the official library, as kopf's documentation shows them. It decides nothing, remembers nothing
and repairs nothing, so that its time is what kopf, the API server and that many writes cost. PORT answers /healthz once
it watches.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import kopf
from kubernetes.aio import client, config

GROUP, VERSION, KIND = "defender-devops.io", "v1alpha1", "AzureDevOpsConnector"
ORGANIZATIONS = "devopsorganizations"


@kopf.on.startup()
async def connect(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:  # noqa: ANN401 - kopf's
    """Sign in; keep kopf from posting two events more for each handler that succeeds."""
    settings.posting.level = logging.WARNING
    await config.load_kube_config()  # type: ignore[no-untyped-call]
    memo.api = client.CustomObjectsApi(client.ApiClient())


@kopf.on.cleanup()
async def disconnect(memo: kopf.Memo, **_: Any) -> None:  # noqa: ANN401 - kopf's
    """Close the connections."""
    await memo.api.api_client.close()


@kopf.on.create(GROUP, VERSION, KIND)
async def create(
    spec: Mapping[str, Any],
    meta: kopf.Meta,
    body: kopf.Body,
    patch: kopf.Patch,
    memo: kopf.Memo,
    **_: Any,  # noqa: ANN401 - kopf's
) -> None:
    """Make the organizations, write their statuses and the connector's own."""
    connector_id = _connector_id(spec, str(meta.name))
    names: list[str] = spec["organizations"]["names"]
    for organization in names:
        manifest: dict[str, Any] = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "DevOpsOrganization",
            "metadata": {"name": f"{meta.name}-{organization}"},
            "spec": {"connectorRef": {"name": meta.name}, "organization": organization},
        }
        kopf.adopt(manifest)
        created = await memo.api.create_namespaced_custom_object(
            GROUP, VERSION, meta.namespace, ORGANIZATIONS, manifest
        )
        await memo.api.patch_namespaced_custom_object_status(
            GROUP,
            VERSION,
            meta.namespace,
            ORGANIZATIONS,
            manifest["metadata"]["name"],
            {"status": _organization_status(created["metadata"]["generation"], connector_id, organization)},
            _content_type="application/merge-patch+json",
        )
    patch.status.update(_connector_status(meta["generation"], connector_id, len(names)))
    kopf.event(body, type="Normal", reason="Ready", message="The connector is provisioned and authorized.")


@kopf.on.update(GROUP, VERSION, KIND)
async def update(spec: Mapping[str, Any], meta: kopf.Meta, patch: kopf.Patch, **_: Any) -> None:  # noqa: ANN401 - kopf's
    """Say that the newest spec was seen."""
    connector_id = _connector_id(spec, str(meta.name))
    patch.status.update(_connector_status(meta["generation"], connector_id, len(spec["organizations"]["names"])))


@kopf.on.delete(GROUP, VERSION, KIND)
async def delete(**_: Any) -> None:  # noqa: ANN401 - kopf's
    """Let it go; that there is such a handler is why kopf puts a finalizer on, as the operator does."""


def _connector_id(spec: Mapping[str, Any], name: str) -> str:
    azure = spec["azure"]
    group = f"/subscriptions/{azure['subscriptionId']}/resourceGroups/{azure['resourceGroup']}"
    return f"{group}/providers/Microsoft.Security/securityConnectors/{name}"


def _connector_status(generation: int, connector_id: str, organizations: int) -> dict[str, Any]:
    return {
        "observedGeneration": generation,
        "conditions": [
            _condition(generation, "Ready", "True", "Ready", "The connector is provisioned and authorized."),
            _condition(generation, "Provisioned", "True", "Provisioned", "Azure agrees with the spec."),
            _condition(generation, "Authorized", "True", "Authorized", "Defender for Cloud reaches Azure DevOps."),
            _condition(generation, "ReauthRequired", "False", "NotRequired", "No authorization has to be renewed."),
            _condition(generation, "OrganizationsAvailable", "True", "Available", "Every organization is available."),
            _condition(generation, "Discovered", "False", "Discovering", "0 projects and 0 repositories so far."),
        ],
        "connectorId": connector_id,
        "authorization": {"codeHash": "0" * 64, "lastAuthorizedAt": _now(), "spentCodeHashes": []},
        "azure": {"created": True, "managedTagKeys": [], "organizationsMode": "Selected", "securityReaders": []},
        "discovery": {
            "organizations": {"available": organizations, "onboarded": organizations, "conflicting": 0},
            "projects": {"discovered": 0},
            "repositories": {"discovered": 0},
            "startedAt": _now(),
            "countsChangedAt": _now(),
            "deadline": _now(),
        },
    }


def _organization_status(generation: int, connector_id: str, organization: str) -> dict[str, Any]:
    return {
        "observedGeneration": generation,
        "conditions": [
            _condition(generation, "Ready", "True", "Onboarded", f"Defender for Cloud covers {organization}."),
            _condition(generation, "Discovered", "False", "Discovering", "Defender for Cloud is listing projects."),
            _condition(generation, "Onboarded", "True", "Onboarded", "Defender for Cloud covers the organization."),
        ],
        "organizationId": f"{connector_id}/devops/default/azureDevOpsOrgs/{organization}",
        "onboardingState": "Onboarded",
        "prerequisites": [],
    }


def _condition(generation: int, kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": _now(),
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    kopf.run(clusterwide=True, liveness_endpoint=f"http://127.0.0.1:{int(sys.argv[1])}/healthz", standalone=True)
