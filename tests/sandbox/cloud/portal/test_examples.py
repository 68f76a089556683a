"""The manual steps of every file in examples/ can be done on the portal's pages, as they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from sandbox.demo.people import People, account_of
from sandbox.stack.cloud import Cloud
from tests.sandbox.cloud.direct import CONNECTOR_VERSION, DEVOPS_VERSION
from tests.sandbox.cloud.remote import ARM_SCOPE, Remote

EXAMPLES = Path(__file__).parents[4] / "examples"
CONNECTORS = {
    str(path.relative_to(EXAMPLES)): manifest
    for path in sorted(EXAMPLES.rglob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    if manifest["kind"] == "AzureDevOpsConnector"
}


def test_the_examples_are_found() -> None:
    assert {"contoso.yaml", "northwind.yaml", "quickstart/connector.yaml"} <= CONNECTORS.keys()


@pytest.mark.parametrize("manifest", CONNECTORS.values(), ids=CONNECTORS.keys())
def test_the_manual_steps_of_an_example_work_in_the_portal(remote: Remote, manifest: dict[str, Any]) -> None:
    manifest = {**manifest, "metadata": {"namespace": "security", **manifest["metadata"]}}
    people = People(remote.control, cast("Cloud", remote))  # has the endpoints and the CA of one
    secrets = people.prepare(manifest)
    spec, azure = manifest["spec"], manifest["spec"]["azure"]
    name = azure.get("connectorName", manifest["metadata"]["name"])
    connector = (
        f"/subscriptions/{azure['subscriptionId']}/resourceGroups/{azure['resourceGroup']}"
        f"/providers/Microsoft.Security/securityConnectors/{name}"
    )
    with remote.credential() as credential, remote.http(remote.arm) as http:
        http.headers["Authorization"] = f"Bearer {credential.get_token(ARM_SCOPE).token}"
        if "codeSecretRef" in spec.get("authorization", {}):
            assert spec["authorization"]["codeSecretRef"]["name"] in {secret["metadata"]["name"] for secret in secrets}
            assert http.get(f"{connector}?api-version={CONNECTOR_VERSION}").status_code == 404, (
                "the operator creates it"
            )
            return
        assert http.get(f"{connector}?api-version={CONNECTOR_VERSION}").json()["location"] == azure["location"]
        url = f"{connector}/devops/default/azureDevOpsOrgs?api-version={DEVOPS_VERSION}"
        names = {item["name"] for item in http.get(url).json()["value"]}
        assert names == set(spec["organizations"].get("names", names))
        assert names
    (created,) = remote.control.world()["connectors"]
    assert created["configuration"]["authorizedBy"] == account_of(manifest)
