"""The command line against a real API server, the simulated cloud and the whole operator."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from defender_devops.cli.exit_codes import ExitCode
from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.binaries import binary
from sandbox.cluster.credentials import kubeconfig
from sandbox.cluster.ports import free_ports
from sandbox.stack import Cloud, Operator
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from tests.support.command_line import RunCommand, command_line
from tests.support.scenarios.scenario import ACCOUNT, GROUP, KIND, SUBSCRIPTION, TENANT, Scenario

NAMESPACE = "command-line"
OTHER_SUBSCRIPTION = "33333333-3333-3333-3333-333333333333"
APP_SECRET = "sandbox-sign-in-secret"
SIGN_IN = {
    "method": "AuthorizationCode",
    "account": ACCOUNT,
    "client": {
        "id": "77777777-7777-7777-7777-777777777777",
        "type": "Secret",
        "secretRef": {"name": "sign-in-app", "key": "client-secret"},
    },
}
CLOSED = "wingtip-toys"
"""An organization whose policy blocks Defender."""

_WORLD = Path(__file__).parents[2] / "sandbox/cloud/worlds/default.yaml"
_BIN = Path(sys.executable).parent


def _world(folder: Path) -> Path:
    """The default world, in which whoever runs the command line is a member of organizations, one of them closed."""
    world = yaml.safe_load(_WORLD.read_text())
    for organization in world["organizations"]:
        if organization["name"] in {"contoso", "fabrikam", CLOSED}:
            organization["members"].append({"account": "defender-devops-sandbox", "administrator": True})
        if organization["name"] == CLOSED:
            organization["thirdPartyOauth"] = False
    file = folder / "world.yaml"
    file.write_text(yaml.safe_dump(world))
    return file


@pytest.fixture(scope="module")
def cloud(start_cloud: Callable[..., Cloud], tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    return start_cloud("--speed", "360", "--world", _world(tmp_path_factory.mktemp("world")))


@pytest.fixture(scope="module")
def operator(
    cluster: Cluster, kube: KubernetesClient, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operator]:
    """An operator with sign-in pages that watches one namespace."""
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    (port,) = free_ports(1)
    grants = [
        {"namespace": NAMESPACE, "tenantId": TENANT, "subscriptionId": subscription}
        for subscription in (SUBSCRIPTION, OTHER_SUBSCRIPTION)
    ]
    environment = {
        "KUBECONFIG": str(cluster.kubeconfig),
        **cloud.environment(),
        **CLIENT_SECRET_IDENTITY,
        "DEFENDER_DEVOPS_NAMESPACES": json.dumps([NAMESPACE]),
        "DEFENDER_DEVOPS_IDENTITY_GRANTS": json.dumps(grants),
        "DEFENDER_DEVOPS_REFRESH_INTERVAL": "2",
        "DEFENDER_DEVOPS_CHECK_INTERVAL": "4",
        "DEFENDER_DEVOPS_OPERATION_POLL_INTERVAL": "0.5",
        "DEFENDER_DEVOPS_TERMINAL_RETRY_INTERVAL": "4",
        "DEFENDER_DEVOPS_MIN_REQUEUE_INTERVAL": "0.2",
        "DEFENDER_DEVOPS_SIGNIN_HOST": "127.0.0.1",
        "DEFENDER_DEVOPS_SIGNIN_PORT": str(port),
        "DEFENDER_DEVOPS_SIGNIN_URL": f"http://localhost:{port}/signin",
    }
    with Operator.start(tmp_path_factory.mktemp("operator") / "operator.log", environment) as running:
        yield running


@pytest.fixture(scope="module")
def scenario(kube: KubernetesClient, cloud: Cloud, operator: Operator) -> Iterator[Scenario]:
    """A connector `contoso` with the organizations contoso and fabrikam, adopted and ready."""
    with ControlClient(cloud.control) as control:
        scenario = Scenario(kube, control, NAMESPACE)
        place = {"subscription": SUBSCRIPTION, "resourceGroup": GROUP, "location": "westeurope"}
        control.add_connector(name="contoso", account=ACCOUNT, organizations=["contoso", "fabrikam"], **place)
        scenario.secret("sign-in-app", client_secret=APP_SECRET)
        scenario.apply(scenario.manifest(**ADOPTED))
        scenario.wait("Ready", "True")
        yield scenario
        for body in kube.list_all(KIND, NAMESPACE):
            kube.delete(KIND, body["metadata"]["name"], NAMESPACE)


ADOPTED: dict[str, Any] = {
    "authorization": {"method": "Adopt", "codeSecretRef": None, "account": ACCOUNT},
    "signIn": SIGN_IN,
}


@pytest.fixture
def environment(scenario: Scenario, cloud: Cloud, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment of a user's shell: a kubeconfig, and a sign-in to Azure."""
    for name, value in {**cloud.environment(), **CLIENT_SECRET_IDENTITY}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))


@pytest.fixture
def run(environment: None, capsys: pytest.CaptureFixture[str]) -> Iterator[RunCommand]:
    with command_line(capsys) as start:
        yield start


def _file(folder: Path, manifest: dict[str, Any], **patch: object) -> Path:
    """A manifest in a file, its spec changed by a shallow patch."""
    file = folder / "manifest.yaml"
    file.write_text(yaml.safe_dump({**manifest, "spec": {**manifest["spec"], **patch}}))
    return file


def test_status_shows_the_connector_and_each_organization(run: RunCommand) -> None:
    result = run("status", "-n", NAMESPACE)
    assert result.exit_code == ExitCode.OK
    assert f"{NAMESPACE}/contoso: Ready; 2 of 5 organizations onboarded" in result.out
    assert f"{NAMESPACE}/contoso/fabrikam: Ready (Onboarded)" in result.out
    assert f"{NAMESPACE}/contoso: SignedIn=False SignInRequired: " in result.out


def test_status_as_json_has_the_fields_of_the_resources(run: RunCommand) -> None:
    (document,) = json.loads(run("status", f"{NAMESPACE}/contoso", "-o", "json").out)["connectors"]
    assert document["status"]["connectorId"].endswith("/contoso")
    assert {body["spec"]["organization"] for body in document["organizations"]} >= {"contoso", "fabrikam"}


def test_status_as_a_table_has_one_row(run: RunCommand) -> None:
    head, row = run("status", "-n", NAMESPACE, "-o", "table").out.splitlines()
    assert head.split()[:7] == ["CONNECTOR", "READY", "AUTHORIZED", "ORGS", "REPOS", "FOUND", "REASON"]
    assert row.split()[:4] == [f"{NAMESPACE}/contoso", "True", "True", "2"]


def test_an_empty_namespace_is_noted_with_a_hint(run: RunCommand, namespace: str) -> None:
    result = run("status", "-n", namespace)
    assert (result.exit_code, result.out) == (ExitCode.OK, "")
    assert result.err == f"There are no connectors in namespace {namespace}. Use -A for all namespaces.\n"


WRONG_NAMES = [
    (("contsoo", "-n", NAMESPACE), "Did you mean contoso?"),
    (("contoso", "-n", "default"), f"but there is one in {NAMESPACE}: add -n {NAMESPACE}."),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_NAMES)
@pytest.mark.parametrize(
    "command", ["status", "findings", "plan", "check", "authorize", "reconcile", "suspend", "resume"]
)
def test_an_unknown_name_gets_a_suggestion(
    run: RunCommand, command: str, arguments: tuple[str, ...], message: str
) -> None:
    result = run(command, *arguments)
    assert (result.exit_code, result.out) == (ExitCode.USAGE, "")
    assert result.err.startswith("error: There is no connector ")
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.fixture
def azure_user(kube: KubernetesClient, cluster: Cluster, scenario: Scenario, tmp_path: Path) -> Path:
    """The kubeconfig of a user without permissions."""
    kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "somebody", "namespace": NAMESPACE}})
    token = kube.service_account_token("somebody", NAMESPACE)
    file = tmp_path / "kubeconfig"
    file.write_text(kubeconfig(cluster.server, cluster.ca, token=token))
    return file


NAMING = ("findings", "plan", "check", "authorize", "reconcile", "suspend", "resume")
COMMANDS = [("status",), ("findings",), ("support",), *((command, "contoso") for command in NAMING)]


@pytest.mark.parametrize("command", COMMANDS)
def test_without_permissions_every_command_names_the_missing_one(
    run: RunCommand, azure_user: Path, command: tuple[str, ...]
) -> None:
    result = run(*command, "-n", NAMESPACE, "--kubeconfig", azure_user)
    assert (result.exit_code, result.out) == (ExitCode.NO_RIGHTS, "")
    assert result.err.startswith("error: Permission denied: ")
    assert "azuredevopsconnectors" in result.err
    assert result.err.count("\n") == 1


def test_rejected_credentials_are_reported(run: RunCommand, cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(kubeconfig(cluster.server, cluster.ca, token="nobody's"))
    result = run("status", "--kubeconfig", file)
    assert (result.exit_code, result.out) == (ExitCode.NO_RIGHTS, "")
    assert result.err.startswith("error: The cluster rejects your credentials")


def test_a_bundle_contains_what_a_reader_may_read(
    run: RunCommand, azure_user: Path, kube: KubernetesClient, tmp_path: Path
) -> None:
    rules = [
        {
            "apiGroups": ["defender-devops.io"],
            "resources": ["azuredevopsconnectors", "devopsorganizations"],
            "verbs": ["get", "list", "watch"],
        }
    ]
    subject = {"kind": "ServiceAccount", "name": "somebody", "namespace": NAMESPACE}
    api, place = "rbac.authorization.k8s.io/v1", {"name": "readers", "namespace": NAMESPACE}
    kube.apply({"apiVersion": api, "kind": "Role", "metadata": place, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "readers"}
    kube.apply(
        {"apiVersion": api, "kind": "RoleBinding", "metadata": place, "roleRef": reference, "subjects": [subject]}
    )
    try:
        result = run("support", "-n", NAMESPACE, "--kubeconfig", azure_user, "--to", tmp_path / "bundle.tar.gz")
    finally:
        kube.delete("RoleBinding", "readers", NAMESPACE)
    assert result.exit_code == ExitCode.OK
    assert "events.yaml is missing: " in result.err
    assert "connectors.yaml" in _members(tmp_path / "bundle.tar.gz")


def test_an_unchanged_manifest_changes_nothing(run: RunCommand, scenario: Scenario, tmp_path: Path) -> None:
    result = run("plan", "-f", _file(tmp_path, scenario.manifest(**ADOPTED)), "--exit-code")
    assert (result.exit_code, result.out) == (ExitCode.OK, f"{NAMESPACE}/contoso: Nothing would change in Azure.\n")


def test_a_changed_manifest_is_planned_and_azure_is_not_changed(
    run: RunCommand, scenario: Scenario, tmp_path: Path
) -> None:
    marker = scenario.control.last()
    annotations = {"mode": "Enabled", "minimumSeverity": "High"}
    changed = _file(tmp_path, scenario.manifest(**ADOPTED), pullRequestAnnotations=annotations)
    result = run("plan", "-f", changed, "--exit-code", "-o", "json")
    assert result.exit_code == ExitCode.CHANGES
    (planned,) = json.loads(result.out)["plans"]
    assert [step["sentence"] for step in planned["steps"]] == [
        "turn pull request annotations on in contoso, from High up",
        "turn pull request annotations on in fabrikam, from High up",
    ]
    assert scenario.writes(marker) == []
    assert "pullRequestAnnotations" not in scenario.connector()["spec"]


def test_a_change_of_an_immutable_field_is_refused_with_the_api_server_s_message(
    run: RunCommand, scenario: Scenario, tmp_path: Path
) -> None:
    relocated = scenario.manifest(azure={"location": "northeurope"}, **ADOPTED)
    result = run("plan", "-f", _file(tmp_path, relocated))
    assert result.exit_code == ExitCode.NOT_OK
    assert "location cannot be changed once the connector exists in Azure, which cannot move it." in result.out


def test_a_new_connector_is_planned_before_its_code_exists(run: RunCommand, scenario: Scenario, tmp_path: Path) -> None:
    marker = scenario.control.last()
    result = run("plan", "-f", _file(tmp_path, scenario.manifest("brand-new")))
    assert result.exit_code == ExitCode.OK
    assert "+ create the connector brand-new in westeurope" in result.out
    assert "Planned as if a new one-time code were in key code of Secret code" in result.out
    assert scenario.writes(marker) == []


def test_the_planned_deletion_of_an_adopted_connector_keeps_it_in_azure(run: RunCommand) -> None:
    result = run("plan", f"{NAMESPACE}/contoso", "--delete")
    assert "remove the owner tags from the connector" in result.out
    assert "The connector stays in Azure" in result.out


def test_without_the_cluster_a_manifest_is_planned_against_azure_alone(
    run: RunCommand, scenario: Scenario, tmp_path: Path
) -> None:
    result = run("plan", "--offline", "-f", _file(tmp_path, scenario.manifest(**ADOPTED)))
    assert result.exit_code == ExitCode.NOT_OK
    assert "set spec.adoptionPolicy to Always" in result.out


def test_without_a_sign_in_the_command_to_sign_in_is_shown(
    run: RunCommand, scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    result = run("plan", "-f", _file(tmp_path, scenario.manifest(**ADOPTED)))
    assert result.exit_code == ExitCode.AZURE
    assert f"az login --tenant {TENANT}" in result.err


def test_a_healthy_connector_passes_every_check(run: RunCommand) -> None:
    result = run("check", f"{NAMESPACE}/contoso")
    assert result.exit_code == ExitCode.OK
    assert result.out.splitlines() == [
        f"{NAMESPACE}/contoso: 15 passed",
        "  ✓ Cluster: Secret/sign-in-app",
        "  ✓ Azure: Readable, Connector, Authorized, OrganizationsAvailable",
        *(
            f"  ✓ {organization}: TenantMatches, ProjectCollectionAdministrator, AccessLevel, ThirdPartyOAuthEnabled, "
            "ContainerMappingExtension"
            for organization in ("contoso", "fabrikam")
        ),
    ]


def test_a_failed_check_passes_after_the_cause_is_fixed(run: RunCommand, scenario: Scenario, tmp_path: Path) -> None:
    scenario.new_code()
    manifest = _file(tmp_path, scenario.manifest("brand-new"), organizations={"mode": "Selected", "names": [CLOSED]})
    result = run("check", "-f", manifest, "-o", "json")
    assert result.exit_code == ExitCode.NOT_OK
    (connector,) = json.loads(result.out)["connectors"]
    (failed,) = (check for check in connector["checks"] if check["status"] != "True")
    assert (failed["subject"], failed["name"], failed["reason"]) == (CLOSED, "ThirdPartyOAuthEnabled", "OAuthDisabled")
    scenario.control.change_organization(CLOSED, thirdPartyOauth=True)
    repeated = run("check", "-f", manifest)
    scenario.control.change_organization(CLOSED, thirdPartyOauth=False)
    assert (repeated.exit_code, repeated.out.splitlines()[0]) == (
        ExitCode.OK,
        f"{NAMESPACE}/brand-new: 8 passed",
    )


def test_a_missing_secret_of_a_new_manifest_is_named(run: RunCommand, scenario: Scenario, tmp_path: Path) -> None:
    missing = {**SIGN_IN, "client": {**SIGN_IN["client"], "secretRef": {"name": "nowhere", "key": "k"}}}  # type: ignore[dict-item]
    result = run("check", "-f", _file(tmp_path, scenario.manifest("brand-new"), signIn=missing))
    assert result.exit_code == ExitCode.NOT_OK
    assert "There is no Secret nowhere in namespace" in result.out


def test_adopting_an_imported_connector_changes_only_the_owner_tags(
    run: RunCommand, scenario: Scenario, tmp_path: Path
) -> None:
    scenario.control.add_connector(
        name="From_Portal",
        subscription=OTHER_SUBSCRIPTION,
        resourceGroup=GROUP,
        location="northeurope",
        account=ACCOUNT,
        organizations=["tailspin", "northwind"],
    )
    marker = scenario.control.last()
    folder = tmp_path / "connectors"
    result = run("import", "-s", OTHER_SUBSCRIPTION, "--to", folder, "-n", NAMESPACE, "--account", ACCOUNT)
    assert (result.exit_code, result.err) == (ExitCode.OK, f"{folder / 'from-portal.yaml'} written.\n")
    assert run("import", "-s", OTHER_SUBSCRIPTION, "--to", folder).exit_code == ExitCode.USAGE
    (planned,) = json.loads(run("plan", "-f", folder, "-o", "json").out)["plans"]
    assert [step["sentence"] for step in planned["steps"]] == [
        "set the connector's tags (defender-devops-owner, defender-devops-resource)"
    ]
    assert scenario.writes(marker) == []
    scenario.apply(yaml.safe_load((folder / "from-portal.yaml").read_text()))
    scenario.wait("Ready", "True", name="from-portal")
    assert scenario.writes(marker) == ["SecurityConnectors_Update"]
    repeated = run("import", "-s", OTHER_SUBSCRIPTION)
    assert repeated.out == ""
    assert f"From_Portal is skipped: {NAMESPACE}/from-portal already manages it" in repeated.err


def test_a_requested_reconcile_is_waited_for(run: RunCommand, scenario: Scenario) -> None:
    result = run("reconcile", f"{NAMESPACE}/contoso", "--wait")
    assert result.exit_code == ExitCode.OK
    assert result.out.startswith(f"{NAMESPACE}/contoso: Ready")
    body = scenario.connector()
    annotation = body["metadata"]["annotations"]["defender-devops.io/reconcile-requested-at"]
    assert body["status"]["lastHandledReconcileAt"] == annotation


def test_a_suspended_connector_is_shown_as_suspended_until_it_is_resumed(run: RunCommand, scenario: Scenario) -> None:
    assert run("suspend", f"{NAMESPACE}/contoso").exit_code == ExitCode.OK
    scenario.kube.wait(KIND, "contoso", NAMESPACE, until=lambda body: body["spec"]["suspend"])
    assert f"{NAMESPACE}/contoso: Suspended" in run("status", f"{NAMESPACE}/contoso").out
    assert run("resume", f"{NAMESPACE}/contoso").exit_code == ExitCode.OK
    assert not scenario.connector()["spec"].get("suspend")


def test_resuming_a_connector_from_git_warns_of_the_next_sync(run: RunCommand, scenario: Scenario) -> None:
    annotations = {"argocd.argoproj.io/tracking-id": "app"}
    scenario.kube.patch(KIND, "contoso", {"metadata": {"annotations": annotations}}, NAMESPACE)
    result = run("resume", f"{NAMESPACE}/contoso")
    scenario.kube.patch(KIND, "contoso", {"metadata": {"annotations": dict.fromkeys(annotations)}}, NAMESPACE)
    assert "is managed by a GitOps tool: set suspend: false in git, too" in result.err


def test_the_address_of_the_sign_in_page_is_printed(run: RunCommand, scenario: Scenario) -> None:
    address = run("authorize", f"{NAMESPACE}/contoso", "--print").out.strip()
    assert address == scenario.connector()["status"]["signIn"]["url"]
    assert address.startswith("http://localhost:")


def _members(file: Path) -> dict[str, str]:
    with tarfile.open(file) as archive:
        files = ((member, archive.extractfile(member)) for member in archive.getmembers())
        return {member.name.rpartition("/")[2]: content.read().decode() for member, content in files if content}


def test_a_bundle_contains_diagnostics_and_no_secret(run: RunCommand, scenario: Scenario, tmp_path: Path) -> None:
    result = run("support", "-n", NAMESPACE, "--to", tmp_path / "bundle.tar.gz")
    assert result.exit_code == ExitCode.OK
    members = _members(tmp_path / "bundle.tar.gz")
    assert set(members) == {
        "bundle.yaml",
        "cluster.yaml",
        "connectors.yaml",
        "crds.yaml",
        "events.yaml",
        "operator.yaml",
        "organizations.yaml",
        "status.txt",
    }
    assert "reason: Ready" in members["events.yaml"]
    assert "kind: AzureDevOpsConnector" in members["connectors.yaml"]
    page = scenario.connector()["status"]["signIn"]["url"]
    secrets = [APP_SECRET, base64.b64encode(APP_SECRET.encode()).decode(), page.rpartition("/")[2], ACCOUNT]
    assert not any(secret in content for content in members.values() for secret in secrets)
    assert (tmp_path / "bundle.tar.gz").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def shell(environment: None) -> dict[str, str]:
    """Variables of a shell in which kubectl finds the plugin."""
    return {**os.environ, "PATH": f"{_BIN}:{binary('kubectl').parent}:{os.environ['PATH']}"}


def _as_plugin(shell: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(binary("kubectl")), *arguments]
    return subprocess.run(command, env=shell, capture_output=True, text=True, check=False, timeout=120)


def test_kubectl_runs_it_as_a_plugin(shell: dict[str, str]) -> None:
    result = _as_plugin(shell, "defender-devops", "status", "-n", NAMESPACE, "-o", "table")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"{NAMESPACE}/contoso" in result.stdout


def test_usage_errors_of_the_plugin_name_the_plugin(shell: dict[str, str]) -> None:
    result = _as_plugin(shell, "defender-devops", "status", "--foo")
    assert result.returncode == ExitCode.USAGE
    assert result.stderr == "error: No such option: --foo. See kubectl defender-devops status --help.\n"


def test_kubectl_completes_names_of_connectors(shell: dict[str, str]) -> None:
    result = _as_plugin(shell, "__complete", "defender-devops", "status", "-n", NAMESPACE, "con")
    assert result.stdout == "contoso\n:4\n"


def _on_terminal(shell: dict[str, str], *arguments: str) -> str:
    """What a terminal of 80 columns shows."""
    controller, terminal = pty.openpty()
    command = [str(_BIN / "defender-devops"), *arguments]
    with subprocess.Popen(command, env={**shell, "COLUMNS": "80"}, stdout=terminal, stderr=terminal) as running:
        os.close(terminal)
        output = b""
        with contextlib.suppress(OSError):  # how the end of a terminal looks
            while chunk := os.read(controller, 4096):
                output += chunk
        running.wait(timeout=60)
    os.close(controller)
    return re.sub(r"\x1b\[[0-9;]*m", "", output.decode()).replace("\r\n", "\n")


def test_a_terminal_shows_a_tree_that_fits(shell: dict[str, str]) -> None:
    output = _on_terminal(shell, "status", f"{NAMESPACE}/contoso").splitlines()
    assert output[0].startswith(f"{NAMESPACE}/contoso  Ready since ")
    assert any(line.startswith("├── ✓ Provisioned  ") for line in output)
    assert any("✓  fabrikam" in line for line in output)
    assert max(map(len, output)) <= 80


def test_on_a_desktop_the_sign_in_page_opens_in_the_browser(
    shell: dict[str, str], scenario: Scenario, tmp_path: Path
) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    output = _on_terminal({**shell, "DISPLAY": ":0", "BROWSER": str(browser)}, "authorize", f"{NAMESPACE}/contoso")
    page = scenario.connector()["status"]["signIn"]["url"]
    assert opened.read_text().strip() == page
    assert output == f"Opening {page}\nSign in as {ACCOUNT}.\n"


def test_watching_shows_changes_until_it_is_interrupted(shell: dict[str, str], scenario: Scenario) -> None:
    command = [_BIN / "defender-devops", "status", "-w", "-n", NAMESPACE]
    with subprocess.Popen(command, env=shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert any(f"{NAMESPACE}/contoso: Ready" in line for line in watching.stdout)
        scenario.kube.patch(KIND, "contoso", {"spec": {"suspend": True}}, NAMESPACE)
        assert any(f"{NAMESPACE}/contoso: Suspended" in line for line in watching.stdout)
        scenario.kube.patch(KIND, "contoso", {"spec": {"suspend": None}}, NAMESPACE)
        watching.send_signal(signal.SIGINT)
        _, err = watching.communicate(timeout=60)
    assert (watching.returncode, err) == (ExitCode.INTERRUPTED, "")
