"""Install, upgrade and uninstall with helm on an empty cluster: no connector is ever lost."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.cluster import Cluster, KubernetesClient, binary
from sandbox.cluster.client import Manifest, condition
from sandbox.stack.chart import package_chart
from tests.support.chart.helm import CHART, NAMESPACE, RELEASE, ROOT
from tests.support.scenarios.scenario import KIND, SUBSCRIPTION, TENANT, Scenario
from tests.system.chart.conftest import (
    CRDS,
    OPERATING,
    TEAM,
    Install,
    Operate,
    crds,
    persistent_parts,
    wait_crds_deleted,
)

PREVIOUS = ROOT / "tests/data/chart/previous/defender-devops-operator-0.0.9.tgz"
"""The packaged previous chart, whose CRDs and permissions differ from the present ones."""

OWNER_TAGS = {"defender-devops-owner", "defender-devops-resource"}


def connector_of_notes(notes: str) -> Manifest:
    """The connector that NOTES.txt suggests, with its placeholders replaced."""
    text = re.search(r"<<'END'\n(.*?)\nEND\n", notes, re.DOTALL)
    assert text is not None
    placeholders = {
        "<tenant>": TENANT,
        "<subscription>": SUBSCRIPTION,
        "<resource group>": "rg-devops-security",
        "<region of the connector>": "westeurope",
    }
    filled = re.sub("|".join(map(re.escape, placeholders)), lambda match: placeholders[match[0]], text[1])
    manifest: Manifest = yaml.safe_load(filled)
    return manifest


def release_objects(api: KubernetesClient) -> list[str]:
    """Cluster-scoped objects of the release, except CRDs."""
    labels = f"app.kubernetes.io/instance={RELEASE}"
    return [
        f"{kind}/{body['metadata']['name']}"
        for kind in ("ClusterRole", "ClusterRoleBinding")
        for body in api.list_all(kind, labels=labels)
    ]


def test_the_first_kubectl_after_the_installation_has_the_category(
    empty_cluster: Cluster, install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sandbox's helm does not leave kubectl a list of the API's resources from before the CRDs."""
    monkeypatch.setenv("KUBECACHEDIR", str(tmp_path / "kubectl"))
    install()
    command = [str(binary("kubectl")), "get", "defender", "-A", "--kubeconfig", str(empty_cluster.kubeconfig)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr.strip()) == (0, "No resources found")


def test_connectors_survive_upgrade_uninstall_and_the_next_install(
    api: KubernetesClient, install: Install, tmp_path: Path
) -> None:
    release = install()
    manifest = connector_of_notes(release.notes)
    api.create({**manifest, "metadata": {"name": "contoso", "namespace": NAMESPACE}})

    def uid() -> str:
        connector = api.get(KIND, "contoso", NAMESPACE)
        assert connector is not None
        value: str = connector["metadata"]["uid"]
        return value

    first, next_version = uid(), package_chart(tmp_path, version="0.2.0")
    upgraded = install(next_version, replicaCount=2)
    assert uid() == first
    labelled = api.list_all("CustomResourceDefinition", labels="helm.sh/chart=defender-devops-operator-0.2.0")
    assert [crd["metadata"]["name"] for crd in labelled] == [*CRDS]
    upgraded.uninstall()
    assert uid() == first
    assert api.get("ServiceAccount", RELEASE, NAMESPACE) is None
    assert release_objects(api) == []
    install(next_version)
    assert uid() == first


def test_uninstall_deletes_the_crds_unless_they_are_kept(api: KubernetesClient, install: Install) -> None:
    release = install(crds={"keep": False})
    assert crds(api) == [*CRDS]
    release.uninstall()
    wait_crds_deleted(api)
    assert release_objects(api) == []


def test_a_chart_without_crds_installs_without_them(api: KubernetesClient, install: Install) -> None:
    install(crds={"enabled": False})
    assert crds(api) == []
    assert api.get("ServiceAccount", RELEASE, NAMESPACE) is not None


def test_examples_that_the_chart_publishes_are_valid(api: KubernetesClient, install: Install) -> None:
    install()
    annotations = yaml.safe_load((CHART / "Chart.yaml").read_text())["annotations"]
    examples = yaml.safe_load(annotations["artifacthub.io/crdsExamples"])
    for example in examples:
        example["metadata"]["namespace"] = NAMESPACE
        api.apply(example, dry_run=True)
    assert {example["kind"] for example in examples} == {KIND, "DevOpsOrganization"}
    published = [crd["name"] for crd in yaml.safe_load(annotations["artifacthub.io/crds"])]
    assert published == [*CRDS]


def served_schema(api: KubernetesClient) -> list[Any]:
    definitions = [api.get("CustomResourceDefinition", name) for name in CRDS]
    return [crd["spec"]["versions"][0]["schema"] for crd in definitions if crd]


@pytest.mark.long
def test_an_upgrade_from_the_previous_chart_does_not_change_live_connectors(
    api: KubernetesClient, install: Install, operate: Operate, scenario: Scenario
) -> None:
    release = install(PREVIOUS, **OPERATING)
    previous_schema = served_schema(api)
    with operate(release):
        ready, organizations = scenario.ready(), scenario.organizations()
    since = scenario.control.last()
    release = install(**OPERATING)
    assert served_schema(api) != previous_schema
    with operate(release):
        scenario.wait_observed()
        assert persistent_parts(scenario.connector(), ready) == persistent_parts(ready, ready)
        current = scenario.organizations()
        assert current.keys() == organizations.keys()
        for name, body in organizations.items():
            assert persistent_parts(current[name], body) == persistent_parts(body, body)
        assert scenario.writes(since) == []
        scenario.apply(scenario.manifest(azure={"tags": {"upgraded": "yes"}}))
        scenario.wait("Ready", "True")
        assert (scenario.in_azure() or {})["tags"]["upgraded"] == "yes"
        scenario.kube.delete(KIND, "contoso", TEAM)
        scenario.kube.wait_deleted(KIND, "contoso", TEAM)
    assert scenario.control.world()["connectors"] == []


@pytest.mark.long
def test_deleting_connectors_first_and_the_operator_last_leaves_no_object(
    api: KubernetesClient, install: Install, operate: Operate, scenario: Scenario
) -> None:
    release = install(**OPERATING)
    with operate(release):
        scenario.ready()
        scenario.kube.delete(KIND, "contoso", TEAM)
        scenario.kube.wait_deleted(KIND, "contoso", TEAM)
    release.uninstall()
    assert scenario.control.world()["connectors"] == []
    for name in CRDS:
        api.delete("CustomResourceDefinition", name)
    for name in (NAMESPACE, TEAM):
        api.delete("Namespace", name)
    wait_crds_deleted(api)
    for name in (NAMESPACE, TEAM):
        api.wait_deleted("Namespace", name)


@pytest.mark.long
def test_uninstalling_the_operator_first_loses_nothing_and_the_next_install_completes_deletions(
    install: Install, operate: Operate, scenario: Scenario
) -> None:
    release = install(**OPERATING)
    with operate(release):
        ready = scenario.ready()
    since = scenario.control.last()
    release.uninstall()
    assert scenario.connector() == ready
    scenario.kube.delete(KIND, "contoso", TEAM)
    assert scenario.connector()["metadata"]["finalizers"] == ["defender-devops.io/finalizer"]
    assert scenario.writes(since) == []
    with operate(install(**OPERATING)):
        scenario.kube.wait_deleted(KIND, "contoso", TEAM)
    assert scenario.control.world()["connectors"] == []


def shell(cluster: Cluster, heading: str) -> None:
    """Run the first commands of a section of docs/uninstall.md."""
    page = (ROOT / "docs/uninstall.md").read_text()
    commands = re.search(rf"^## {heading}\n.*?```sh\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    assert commands is not None
    path = f"{binary('kubectl').parent}:{binary('helm').parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(cluster.kubeconfig)}
    subprocess.run(["bash", "-euo", "pipefail", "-c", commands[1]], env=environment, check=True)


@pytest.mark.long
def test_the_documented_command_removes_a_stuck_finalizer_without_changing_azure(
    empty_cluster: Cluster, api: KubernetesClient, install: Install, operate: Operate, scenario: Scenario
) -> None:
    release = install(**{**OPERATING, "crds": {"keep": False}})
    with operate(release):
        scenario.ready()
    azure_connector = in_azure(scenario)
    release.uninstall()
    api.wait("CustomResourceDefinition", CRDS[0], until=terminating)
    scenario.wait_until(lambda body: body["metadata"].get("deletionTimestamp"))
    shell(empty_cluster, "If the operator was uninstalled first")
    wait_crds_deleted(api)
    assert in_azure(scenario) == azure_connector
    assert azure_connector["tags"].keys() >= OWNER_TAGS


def in_azure(scenario: Scenario) -> dict[str, Any]:
    """The connector in Azure, without the counts that change during discovery."""
    (connector,) = scenario.control.world()["connectors"]
    return {
        "id": connector["id"],
        "tags": connector["tags"],
        "organizations": set(connector["configuration"]["organizations"]),
    }


def terminating(crd: Manifest) -> bool:
    return condition(crd, "Terminating").get("status") == "True"


@pytest.mark.long
def test_the_documented_steps_detach_connectors_and_remove_only_the_owner_tags(
    empty_cluster: Cluster, api: KubernetesClient, install: Install, operate: Operate, scenario: Scenario
) -> None:
    with operate(install(**OPERATING)):
        scenario.ready()
        shell(empty_cluster, "1. Decide what happens in Azure")
        shell(empty_cluster, "2. Delete the connectors")
    shell(empty_cluster, "3. Uninstall the operator")
    assert release_objects(api) == []
    azure_connector = in_azure(scenario)
    assert azure_connector["organizations"] == {"contoso", "fabrikam"}
    assert not OWNER_TAGS & azure_connector["tags"].keys()
