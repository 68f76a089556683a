"""A recording of the acceptance kit, answered by `python -m sandbox.cloud --replay`, brings the operator to Ready."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acceptance.command import PUBLIC_ADDRESSES, all_probes
from acceptance.recording.writing import write_recording
from acceptance.session.answer import text_of
from sandbox.cloud.control.client import ControlClient
from sandbox.cloud.replay.fixtures import Recording, read_recording
from sandbox.cluster import KubernetesClient
from sandbox.cluster.client import condition
from sandbox.stack import Operator
from tests.conftest import StartCloud
from tests.support.scenarios.scenario import KIND
from tests.support.tenant_in_memory import TenantInMemory, world_document


@pytest.fixture
async def recording(tmp_path: Path) -> Path:
    """The folder of a recording of a tenant whose connector works."""
    document: dict[str, Any] = copy.deepcopy(world_document())
    document["connectors"][0]["organizations"] = ["Contoso-Retail", "hollow"]
    tenant = TenantInMemory(document=document)
    await tenant.age()
    run = await tenant.run(probes=all_probes(write=False), organizationNotAdministered=None)
    folder = tmp_path / "recording"
    write_recording(folder, tenant.file(), run.report.exchanges, run.report.redactor, PUBLIC_ADDRESSES)
    return folder


def onboarded(recording: Recording) -> list[str]:
    """Return the names of the organizations that the recorded connector has onboarded."""
    path = f"/securityconnectors/{recording.summary.connector}/devops/default/azuredevopsorgs".lower()
    lists = [
        fixture.answer["value"]
        for fixture in recording.fixtures
        if fixture.path.lower().endswith(path) and fixture.method == "GET" and fixture.status == 200
    ]
    return [text_of(item, "name") for item in lists[0]]


def manifest(recording: Recording, namespace: str) -> dict[str, Any]:
    """Return a connector that adopts the recorded one."""
    summary = recording.summary
    return {
        "apiVersion": "defender-devops.io/v1alpha1",
        "kind": KIND,
        "metadata": {"name": "replayed", "namespace": namespace},
        "spec": {
            "azure": {
                "tenantId": summary.tenant,
                "subscriptionId": summary.subscription,
                "resourceGroup": summary.resource_group,
                "location": "westeurope",
                "connectorName": summary.connector,
            },
            "organizations": {"mode": "Selected", "names": onboarded(recording)},
            "authorization": {"method": "Adopt"},
        },
    }


def test_the_operator_becomes_ready_on_a_recording(
    recording: Path,
    start_cloud: StartCloud,
    start_operator: Callable[..., Operator],
    kube: KubernetesClient,
    namespace: str,
) -> None:
    content = read_recording(recording)
    cloud = start_cloud("--replay", recording)
    grant = {
        "namespace": namespace,
        "tenantId": content.summary.tenant,
        "subscriptionId": content.summary.subscription,
    }
    start_operator(
        cloud,
        {
            "AZURE_TENANT_ID": content.summary.tenant,
            "DEFENDER_DEVOPS_NAMESPACES": f'["{namespace}"]',
            "DEFENDER_DEVOPS_IDENTITY_GRANTS": str([grant]).replace("'", '"'),
            "DEFENDER_DEVOPS_REFRESH_INTERVAL": "1",
            "DEFENDER_DEVOPS_CHECK_INTERVAL": "2",
        },
    )
    kube.apply(manifest(content, namespace), manager="team")
    ready = kube.wait(
        KIND, "replayed", namespace, until=lambda body: condition(body, "Ready").get("status") == "True", timeout=45
    )
    assert condition(ready, "Authorized")["status"] == "True"
    assert condition(ready, "ReauthRequired")["status"] == "False"
    with ControlClient(cloud.control) as control:
        assert control.journal(operation="Replayed")
        unanswered = {(entry["method"], entry["path"]) for entry in control.journal(operation="NotRecorded")}
    assert unanswered == set()
