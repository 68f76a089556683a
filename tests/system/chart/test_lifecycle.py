"""Install, upgrade and uninstall with helm on an empty cluster: no connector is ever lost."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient, binary
from sandbox.cluster.client import Manifest, condition
from sandbox.stack import Cloud, Operator
from sandbox.stack.chart import Release, package_chart
from tests.support.chart.helm import CHART, NAMESPACE, RELEASE, ROOT
from tests.support.chart.installed_operator import OPERATOR_IDENTITY, run_installed_operator
from tests.support.scenarios.scenario import KIND, SUBSCRIPTION, TENANT, Scenario

CRDS = ("azuredevopsconnectors.defender-devops.io", "devopsorganizations.defender-devops.io")
PREVIOUS = ROOT / "tests/data/chart/previous/defender-devops-operator-0.0.9.tgz"
"""The packaged previous chart, whose CRDs and permissions differ from the present ones."""

TEAM = "security"
"""Namespace of the connectors, as in docs/uninstall.md."""

OPERATING: dict[str, Any] = {
    "workloadIdentity": OPERATOR_IDENTITY,
    "identityGrants": [{"namespace": TEAM, "tenantId": TENANT, "subscriptionId": SUBSCRIPTION}],
    "settings": {"refreshInterval": 1, "checkInterval": 2},
}
"""Values for an operator on the sandbox."""

OWNER_TAGS = {"defender-devops-owner", "defender-devops-resource"}

Install = Callable[..., Release]
Operate = Callable[[Release], AbstractContextManager[Operator]]


@pytest.fixture(scope="module")
def empty_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.start(tmp_path_factory.mktemp("empty-cluster")) as started:
        yield started


@pytest.fixture(scope="module")
def api(empty_cluster: Cluster) -> Iterator[KubernetesClient]:
    with empty_cluster.client() as client:
        yield client


@pytest.fixture
def install(empty_cluster: Cluster, api: KubernetesClient, tmp_path: Path) -> Iterator[Install]:
    """Install the packaged chart, or upgrade to it; uninstall it and delete the CRDs after the test."""
    installed: list[Release] = []

    def install(archive: Path | None = None, **values: object) -> Release:
        release = Release.install(empty_cluster, NAMESPACE, archive or package_chart(tmp_path), values)
        installed.append(release)
        return release

    yield install
    if api.get("ServiceAccount", RELEASE, NAMESPACE) is not None:
        installed[-1].uninstall()
    for name in CRDS:
        api.delete("CustomResourceDefinition", name)
    for name in CRDS:
        api.wait_deleted("CustomResourceDefinition", name)


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


def crds(api: KubernetesClient) -> list[str]:
    return [name for name in CRDS if api.get("CustomResourceDefinition", name)]


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
    for name in CRDS:
        api.wait_deleted("CustomResourceDefinition", name)
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
    assert {example["kind"] for example in examples} == {KIND}
    published = [crd["name"] for crd in yaml.safe_load(annotations["artifacthub.io/crds"])]
    assert published == [*CRDS]


@pytest.fixture(scope="module")
def cloud(empty_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud that trusts the cluster's service accounts."""
    federation = ("--federation-issuer", empty_cluster.issuer, "--federation-jwks", empty_cluster.jwks)
    with Cloud.start(tmp_path_factory.mktemp("cloud"), "--speed", "600", *federation) as started:
        yield started


@pytest.fixture
def scenario(api: KubernetesClient, cloud: Cloud) -> Iterator[Scenario]:
    """The team's namespace and a reset cloud. The finalizer of a remaining connector is removed."""
    with ControlClient(cloud.control) as control:
        control.reset()
        scenario = Scenario(api, control, TEAM)
        scenario.enter()
        yield scenario
        if crds(api):
            for body in api.list_all(KIND, TEAM):
                api.patch(KIND, body["metadata"]["name"], {"metadata": {"finalizers": None}}, TEAM)


@pytest.fixture
def operate(empty_cluster: Cluster, api: KubernetesClient, cloud: Cloud, tmp_path: Path) -> Operate:
    """Run the operator as a release's service account."""
    return lambda release: run_installed_operator(empty_cluster, api, cloud, release, tmp_path / "pod")


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


def persistent_parts(body: Manifest, before: Manifest) -> dict[str, Any]:
    """The parts that no upgrade may change: metadata, spec, and the Ready condition with its transition time.

    Of the spec the fields that it had before: the defaults of new fields are added when it is read, without a write,
    which would change the generation.
    """
    metadata = {
        name: body["metadata"].get(name) for name in ("uid", "generation", "labels", "annotations", "finalizers")
    }
    return {**metadata, "spec": common_fields(body["spec"], before["spec"]), "ready": condition(body, "Ready")}


def common_fields(value: Any, before: Any) -> Any:  # noqa: ANN401 - any JSON
    """The value with only those fields, at any depth, that it had before."""
    if isinstance(value, dict) and isinstance(before, dict):
        return {name: common_fields(field, before[name]) for name, field in value.items() if name in before}
    return value


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
    for name in CRDS:
        api.wait_deleted("CustomResourceDefinition", name)
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
    for name in CRDS:
        api.wait_deleted("CustomResourceDefinition", name)
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
