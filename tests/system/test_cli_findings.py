"""`kubectl defender-devops findings` and the counts of `status`, against a real API server and the simulated cloud."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from defender_devops.cli.exit_codes import ExitCode
from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.binaries import binary
from sandbox.stack import Cloud, Operator
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from tests.support.command_line import CommandResult, RunCommand, command_line
from tests.support.scenarios.scenario import ACCOUNT, GROUP, KIND, SUBSCRIPTION, TENANT, Scenario

NAMESPACE = "findings"
CONNECTOR = f"{NAMESPACE}/contoso"
EVIDENCE = "finding-evidence"
HOSTILE = "=HYPERLINK(1)\x1b[31m\u202e"

_WORLD = Path(__file__).parents[2] / "sandbox/cloud/worlds/default.yaml"
_BIN = Path(sys.executable).parent


def _finding(title: str, severity: str, category: str, repository: str, **more: str) -> dict[str, Any]:
    return {
        "organization": "contoso",
        "project": "webshop",
        "repository": repository,
        "title": title,
        "severity": severity,
        "category": category,
        "additionalData": {"Snippet": f"key = {EVIDENCE}"},
        **more,
    }


ASSESSMENTS = [
    _finding("Exposed key", "Critical", "ExposedSecrets", "checkout"),
    _finding("Old package", "High", "SoftwareUpdate", "checkout"),
    _finding(HOSTILE, "High", "CodeVulnerabilities", "storefront"),
    _finding("Solved", "High", "CodeVulnerabilities", "storefront", status="Healthy"),
    {"organization": "contoso", "project": "webshop", "title": "Classic pipelines", "severity": "Low"},
]


AUDITOR: dict[str, Any] = {
    "name": "auditor",
    "clientId": "99999999-9999-9999-9999-999999999999",
    "objectId": "99999999-9999-9999-9999-000000000001",
    "tenant": "contoso.com",
    "secrets": [{"value": "auditor-secret"}],
}


def _world(folder: Path) -> Path:
    """The default world with these assessments and no others."""
    world = yaml.safe_load(_WORLD.read_text())
    world.pop("generateAssessments", None)
    world["assessments"] = ASSESSMENTS
    world["applications"].append(AUDITOR)
    file = folder / "world.yaml"
    file.write_text(yaml.safe_dump(world))
    return file


@pytest.fixture(scope="module")
def cloud(start_cloud: Callable[..., Cloud], tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    return start_cloud("--speed", "3600", "--world", _world(tmp_path_factory.mktemp("world")))


@pytest.fixture(scope="module")
def scenario(
    cluster: Cluster, kube: KubernetesClient, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scenario]:
    """An adopted connector whose only organization has been evaluated, and an operator that counts."""
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    grant = {"namespace": NAMESPACE, "tenantId": TENANT, "subscriptionId": SUBSCRIPTION}
    environment = {
        "KUBECONFIG": str(cluster.kubeconfig),
        **cloud.environment(),
        **CLIENT_SECRET_IDENTITY,
        "DEFENDER_DEVOPS_NAMESPACES": json.dumps([NAMESPACE]),
        "DEFENDER_DEVOPS_IDENTITY_GRANTS": json.dumps([grant]),
        "DEFENDER_DEVOPS_REFRESH_INTERVAL": "2",
        "DEFENDER_DEVOPS_POSTURE_INTERVAL": "2",
        "DEFENDER_DEVOPS_MIN_REQUEUE_INTERVAL": "0.2",
    }
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    with Operator.start(log, environment), ControlClient(cloud.control) as control:
        control.add_connector(
            name="contoso",
            account=ACCOUNT,
            organizations=["contoso"],
            subscription=SUBSCRIPTION,
            resourceGroup=GROUP,
            location="westeurope",
        )
        scenario = Scenario(kube, control, NAMESPACE)
        adopted: dict[str, Any] = {
            "authorization": {"method": "Adopt", "codeSecretRef": None, "account": ACCOUNT},
            "organizations": {"mode": "Selected", "names": ["contoso"]},
        }
        scenario.apply(scenario.manifest(**adopted))
        scenario.wait("PostureAvailable", "True")
        scenario.wait_until(lambda body: body["status"]["posture"]["recommendations"].get("low") == 1)
        yield scenario
        for body in kube.list_all(KIND, NAMESPACE):
            kube.delete(KIND, body["metadata"]["name"], NAMESPACE)


@pytest.fixture
def environment(scenario: Scenario, cloud: Cloud, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment of a user's shell: a kubeconfig, and a sign-in to Azure."""
    for name, value in {**cloud.environment(), **CLIENT_SECRET_IDENTITY}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))


@pytest.fixture
def run(environment: None, capsys: pytest.CaptureFixture[str]) -> Iterator[RunCommand]:
    with command_line(capsys) as start:
        yield start


def _names(result: CommandResult) -> list[str]:
    return [finding["name"] for finding in json.loads(result.out)["findings"]]


def test_the_repositories_with_a_critical_finding_are_listed(run: RunCommand) -> None:
    result = run("findings", "-n", NAMESPACE, "--severity", "critical")
    assert result.exit_code == ExitCode.OK
    head, row = result.out.splitlines()
    assert head.split() == ["REPOSITORY", "SEVERITY", "CATEGORY", "SINCE", "FINDING"]
    place, severity, category, since, *name = row.split()
    assert (place, severity, category, name) == ("contoso/webshop/checkout", "critical", "secrets", ["Exposed", "key"])
    assert len(since) == len("2026-10-01")
    assert result.err.startswith("1 finding (1 critical) in 1 repository.\n")


FILTERS = [
    ((), ["Exposed key", HOSTILE, "Old package", "Classic pipelines"]),
    (("--severity", "HIGH"), [HOSTILE, "Old package"]),
    (("--severity", "critical", "--severity", "low"), ["Exposed key", "Classic pipelines"]),
    (("--category", "dependencies"), ["Old package"]),
    (("--category", "configuration"), ["Classic pipelines"]),
    (("--category", "api"), []),
    (("--organization", "Contoso", "--category", "secrets"), ["Exposed key"]),
]


@pytest.mark.parametrize(("arguments", "names"), FILTERS)
def test_findings_are_filtered(run: RunCommand, arguments: tuple[str, ...], names: list[str]) -> None:
    result = run("findings", CONNECTOR, *arguments, "-o", "json")
    assert result.exit_code == ExitCode.OK
    assert sorted(_names(result)) == sorted(names)
    assert json.loads(result.out)["connectors"][0]["results"] == len(ASSESSMENTS)


VARIANTS = [
    {"assessmentIds": "lowerCase"},
    {"assessmentIds": "percentEncoded"},
    {"assessmentIds": "lowerCasePercentEncoded"},
    {"assessmentResourceDetails": "lowerCase"},
    {"assessmentResourceDetails": "absent"},
    {"assessmentSeverity": "lowerCase"},
    {"assessmentStatus": "lowerCase"},
    {"assessmentStatus": "unfamiliar"},
]


@pytest.fixture
def control(scenario: Scenario) -> Iterator[ControlClient]:
    """The control interface; variants, faults and page sizes are as before at the end."""
    before = scenario.control.variants()
    yield scenario.control
    scenario.control.variants(**before)
    scenario.control.clear_faults()
    scenario.control.settings(resourceGraphPageSize=1000)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_shape_of_azure_s_answer_gives_the_same_list(
    run: RunCommand, control: ControlClient, variant: dict[str, str]
) -> None:
    arguments = ("findings", CONNECTOR, "-o", "csv")
    expected = run(*arguments)
    control.variants(**variant)
    result = run(*arguments)
    assert (result.exit_code, result.out) == (ExitCode.OK, expected.out)


OTHERS: list[tuple[dict[str, str], tuple[str, ...], int]] = [
    ({"assessmentSeverity": "absent"}, ("--severity", "other"), 4),
    ({"assessmentSeverity": "unfamiliar"}, ("--severity", "other"), 4),
    ({"assessmentCategory": "unfamiliar"}, ("--category", "other"), 3),
    ({"assessmentCategory": "absent"}, ("--category", "configuration"), 4),
    ({"postureCategory": "unknown"}, ("--category", "configuration"), 1),
    ({"assessmentResource": "project"}, ("--organization", "contoso"), 4),
    ({"assessmentResource": "unknown"}, ("--organization", "contoso"), 4),
]


@pytest.mark.parametrize(("variant", "arguments", "number"), OTHERS, ids=str)
def test_what_is_not_understood_is_listed_all_the_same(
    run: RunCommand, control: ControlClient, variant: dict[str, str], arguments: tuple[str, ...], number: int
) -> None:
    control.variants(**variant)
    assert len(_names(run("findings", CONNECTOR, *arguments, "-o", "json"))) == number
    assert len(_names(run("findings", CONNECTOR, "-o", "json"))) == 4


def test_a_list_of_several_pages_is_complete(run: RunCommand, control: ControlClient) -> None:
    expected = run("findings", CONNECTOR, "-o", "csv")
    control.settings(resourceGraphPageSize=1)
    assert run("findings", CONNECTOR, "-o", "csv").out == expected.out


def test_a_truncated_answer_gives_no_list(run: RunCommand, control: ControlClient) -> None:
    control.settings(resourceGraphPageSize=1)
    control.variants(resourceGraphPages="truncated")
    result = run("findings", CONNECTOR)
    assert (result.exit_code, result.out) == (ExitCode.AZURE, "")
    assert result.err.startswith(f"error: {CONNECTOR}: Resource Graph ")


def test_a_refusal_is_reported_with_the_connector(run: RunCommand, control: ControlClient) -> None:
    error = {"error": {"code": "AuthorizationFailed", "message": "The client may not query."}}
    control.fault(service="arm", path="Microsoft.ResourceGraph", status=403, body=error, times=None)
    result = run("findings", CONNECTOR, "-o", "json")
    assert result.exit_code == ExitCode.AZURE
    assert result.err.startswith(f"error: {CONNECTOR}: ")
    document = json.loads(result.out)
    assert document["findings"] == []
    assert "error" in document["connectors"][0]


def test_no_row_is_no_result_yet(run: RunCommand, control: ControlClient) -> None:
    control.variants(assessmentRows="absent")
    result = run("findings", CONNECTOR)
    assert (result.exit_code, result.out) == (ExitCode.NOT_OK, "")
    assert "No results, so there may be findings." in result.err
    assert f"{CONNECTOR}: Defender for Cloud has no results yet" in result.err


def test_an_unknown_organization_is_named(run: RunCommand) -> None:
    result = run("findings", CONNECTOR, "--organization", "contosoo")
    assert (result.exit_code, result.out) == (ExitCode.USAGE, "")
    assert "No selected connector has an organization contosoo." in result.err
    assert "contoso" in result.err.partition("Existing organizations: ")[2]


def test_an_organization_that_is_not_onboarded_has_no_results(run: RunCommand, kube: KubernetesClient) -> None:
    excluded = {
        "apiVersion": "defender-devops.io/v1alpha1",
        "kind": "DevOpsOrganization",
        "metadata": {"name": "fabrikam", "namespace": NAMESPACE},
        "spec": {"connectorRef": {"name": "contoso"}, "organization": "fabrikam", "onboarding": "Excluded"},
    }
    kube.apply(excluded)
    try:
        result = run("findings", CONNECTOR, "--organization", "fabrikam", "-o", "csv")
    finally:
        kube.delete("DevOpsOrganization", "fabrikam", NAMESPACE)
    assert result.exit_code == ExitCode.NOT_OK
    assert len(result.out.splitlines()) == 1
    assert "no results of fabrikam: none of these connectors has onboarded it" in result.err
    assert "has no results yet" not in result.err


def test_a_connector_without_the_selected_organization_has_no_part_in_the_answer(
    run: RunCommand, kube: KubernetesClient, scenario: Scenario
) -> None:
    manifest = scenario.manifest(
        authorization={"method": "Adopt", "codeSecretRef": None, "account": ACCOUNT},
        azure={**scenario.manifest()["spec"]["azure"], "connectorName": "elsewhere"},
    )
    manifest["metadata"]["name"] = "elsewhere"
    kube.apply(manifest)
    try:
        result = run("findings", "-n", NAMESPACE, "--organization", "contoso", "-o", "json")
        assert run("findings", "-n", NAMESPACE).exit_code == ExitCode.AZURE, "the connector is missing in Azure"
    finally:
        kube.delete(KIND, "elsewhere", NAMESPACE)
    assert result.exit_code == ExitCode.OK
    assert [item["connector"] for item in json.loads(result.out)["connectors"]] == [CONNECTOR]


@pytest.mark.parametrize("output", ["table", "json", "yaml", "csv"])
def test_no_form_of_output_has_details_or_control_characters(run: RunCommand, output: str) -> None:
    result = run("findings", CONNECTOR, "-o", output)
    assert "Exposed key" in result.out
    assert EVIDENCE not in result.out + result.err
    assert not {"\x1b", "\u202e"} & set(result.out)
    if output != "table":
        assert result.out.count("https://portal.azure.com/#") == 4


def test_a_spreadsheet_gets_no_formula(run: RunCommand) -> None:
    rows = list(csv.DictReader(io.StringIO(run("findings", CONNECTOR, "-o", "csv").out)))
    assert [row["name"] for row in rows if "HYPERLINK" in row["name"]] == ["'=HYPERLINK(1)\\x1b[31m\\u202e"]


def test_a_security_reader_of_the_connector_alone_may_list_its_findings(
    run: RunCommand, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run("findings", CONNECTOR, "-o", "csv")
    monkeypatch.setenv("AZURE_CLIENT_ID", AUDITOR["clientId"])
    monkeypatch.setenv("AZURE_CLIENT_SECRET", AUDITOR["secrets"][0]["value"])
    denied = run("findings", CONNECTOR)
    assert (denied.exit_code, denied.out) == (ExitCode.AZURE, "")
    assert denied.err.startswith(f"error: {CONNECTOR}: ")
    scope = scenario.connector()["status"]["connectorId"]
    marker = scenario.control.last()
    scenario.control.assign_role("Security Reader", AUDITOR["name"], scope)
    result = run("findings", CONNECTOR, "-o", "csv")
    scenario.control.unassign_role("Security Reader", AUDITOR["name"], scope)
    assert (result.exit_code, result.out) == (ExitCode.OK, expected.out)
    assert scenario.writes(marker) == []


def test_status_shows_the_counts(run: RunCommand) -> None:
    lines = run("status", CONNECTOR).out.splitlines()
    assert any("1 critical, 2 high, 1 low findings in 2 repositories" in line for line in lines)
    head, row = run("status", CONNECTOR, "-o", "table").out.splitlines()
    assert head.split()[-1] == "FINDINGS"
    assert row.endswith("1C 2H 1L")
    (document,) = json.loads(run("status", CONNECTOR, "-o", "json").out)["connectors"]
    assert document["status"]["posture"]["recommendations"]["critical"] == 1


@pytest.fixture
def shell(environment: None) -> dict[str, str]:
    """Variables of a shell in which kubectl finds the plugin."""
    return {**os.environ, "PATH": f"{_BIN}:{binary('kubectl').parent}:{os.environ['PATH']}"}


COMPLETIONS = [
    (("--organization", "con"), "contoso"),
    (("--severity", "crit"), "critical"),
    (("--category", "infra"), "infrastructureAsCode"),
    (("con",), "contoso"),
]


@pytest.mark.parametrize(("words", "completion"), COMPLETIONS)
def test_kubectl_completes_organizations_severities_and_kinds(
    shell: dict[str, str], words: tuple[str, ...], completion: str
) -> None:
    command = [str(binary("kubectl")), "__complete", "defender-devops", "findings", "-n", NAMESPACE, *words]
    result = subprocess.run(command, env=shell, capture_output=True, text=True, check=False, timeout=120)
    assert result.stdout == f"{completion}\n:4\n"
