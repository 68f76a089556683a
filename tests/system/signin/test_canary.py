"""Recognizable secrets wherever a secret can be, every flow with faults, all at debug level: none of them comes out.

The services behave here as the worst of them do: their error messages repeat the request.
"""

from __future__ import annotations

import json
import os
import signal
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
import yaml

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.ports import free_ports
from sandbox.demo.browser import Browser
from sandbox.stack import Cloud, Operator
from sandbox.stack.operator import NAMESPACE
from tests.support.command_line import RunCommand, command_line
from tests.support.leak_search import find_leaks
from tests.support.scenarios.azure_world import (
    BY_CERTIFICATE,
    SERVICE_ACCOUNT,
    TEAM,
    WORKLOAD,
    key_and_certificate,
    write_world,
)
from tests.support.scenarios.scenario import ACCOUNT, KIND, SUBSCRIPTION, TENANT
from tests.support.scenarios.sign_in_scenario import APP, PASSWORD, TOKENS, SignInScenario

OWN_ACCOUNT = "defender-devops-operator"
OWN_APP = "66666666-6666-6666-6666-666666666666"
SECRETS = {
    "sign-in app": "Canary+sign-in/=& ?%secret1",
    "team": "Canary+team/=& ?%secret2",
    "operator": "Canary+operator/=& ?%secret3",
    "kubeconfig": "Canary-kubeconfig-token-4",
    "forged code": "1.AXkACanaryForgedCode" + "x" * 60,
    "pasted code of Entra": "1.AXkACanaryPastedCode" + "y" * 60,
}
CERTIFICATE = {"name": "certificate", "key": "tls-pem"}
FINDING = "Canary title of a finding 5"
EVIDENCE = {"Canary place of a finding 6": "Canary content of a finding 7"}
"""Texts of a recommendation that the operator must not even read."""

KEY_LINE = 40
"""Characters; a shorter last line of a key says nothing."""

PROOFS = {"certified": {"type": "Certificate", "secretRef": CERTIFICATE}, "federated": {"type": "Federated"}}
"""How an app proves itself in a sign-in by browser, beside its client secret."""

CONNECTORS = ("contoso", "device", "by-code", "pasted", "handed-in", *PROOFS)
TOKEN_ENDPOINT = {"service": "authority", "path": "oauth2/v2.0/token"}
KINDS = (KIND, "DevOpsOrganization", "Event", "ConfigMap", "ServiceAccount", "Secret", "coordination.k8s.io/v1/Lease")


@dataclass
class CanarySetup:
    """Where the secrets were put, and where they are searched.

    Attributes:
        environment: the operator's variables.
        planted: secret values by kind; flows add more.
    """

    scenario: SignInScenario
    operator: Operator
    environment: Mapping[str, str]
    planted: dict[str, list[str]] = field(default_factory=dict)

    def plant(self, kind: str, *values: str) -> None:
        """Record secrets."""
        self.planted.setdefault(kind, []).extend(values)

    def plant_tokens(self, secret: str) -> dict[str, str]:
        """Record the present content of a token Secret."""
        tokens = self.scenario.tokens(secret)
        self.plant("stored", *(tokens[key] for key in ("refresh-token", "access-token") if key in tokens))
        return tokens

    def cluster_objects(self) -> str:
        """Return all objects of both namespaces as text; Secrets without their values."""
        objects = [
            item
            for kind in KINDS
            for namespace in (self.scenario.namespace, NAMESPACE)
            for item in self.scenario.kube.list_all(kind, namespace)
        ]
        for item in objects:
            if item["kind"] == "Secret":
                item.pop("data", None)
        return json.dumps(objects, ensure_ascii=False)


def changed_world(file: Path, namespace: str) -> Path:
    """Write the connectors' world with secrets that are easy to recognize."""
    world = yaml.safe_load(write_world(file, trusted_namespace=namespace).read_text(encoding="utf-8"))
    secrets = {"defender-devops-sign-in": "sign-in app", "team": "team", "defender-devops-sandbox": "operator"}
    for application in world["applications"]:
        if application["name"] in secrets:
            application["secrets"] = [{"value": SECRETS[secrets[application["name"]]]}]
            application["certificates"] = [key_and_certificate().partition("-----END PRIVATE KEY-----\n")[2]]
    file.write_text(yaml.safe_dump(world), encoding="utf-8")
    return file


@contextmanager
def canary_setup(cluster: Cluster, kube: KubernetesClient, namespace: str, folder: Path) -> Iterator[CanarySetup]:
    """A cloud and an operator of the test's own, with all secrets that come from outside."""
    world = changed_world(folder / "world.yaml", namespace)
    federation = ("--federation-issuer", cluster.issuer, "--federation-jwks", cluster.jwks)
    for name, place in ((OWN_ACCOUNT, NAMESPACE), (SERVICE_ACCOUNT, namespace)):
        kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": place}})
    token = kube.service_account_token(OWN_ACCOUNT, NAMESPACE, ["api://AzureADTokenExchange"])
    (folder / "token").write_text(token)
    with Cloud.start(folder / "cloud", "--speed", "360", "--world", world, *federation) as cloud:
        log, environment = folder / "operator.log", settings(cluster, cloud, namespace, folder)
        with Operator.start(log, environment) as operator, ControlClient(cloud.control) as control:
            scenario = SignInScenario(kube, control, namespace, cloud.ca, log, SECRETS["sign-in app"])
            setup = CanarySetup(scenario, operator, environment)
            setup.plant("supplied", *SECRETS.values(), cluster.admin_token, token)
            key = key_and_certificate().partition("-----END PRIVATE KEY-----")[0].splitlines()[1:]
            setup.plant("private key", *(line for line in key if len(line) > KEY_LINE))
            yield setup


def settings(cluster: Cluster, cloud: Cloud, namespace: str, folder: Path) -> dict[str, str]:
    """Variables of a quick operator that may do anything in its one namespace."""
    (port,) = free_ports(1)
    scope = {"namespace": namespace, "tenantId": TENANT, "subscriptionId": SUBSCRIPTION}
    workload = {**scope, "clientId": WORKLOAD, "serviceAccountName": SERVICE_ACCOUNT}
    return {
        "KUBECONFIG": str(cluster.kubeconfig),
        **cloud.environment(),
        "AZURE_CLIENT_ID": OWN_APP,
        "AZURE_CLIENT_SECRET": SECRETS["operator"],
        "AZURE_FEDERATED_TOKEN_FILE": str(folder / "token"),
        "PYTHONFAULTHANDLER": "1",
        "DEFENDER_DEVOPS_NAMESPACES": json.dumps([namespace]),
        "DEFENDER_DEVOPS_IDENTITY_GRANTS": json.dumps([scope, workload, {**scope, "clientId": APP}]),
        "DEFENDER_DEVOPS_REFRESH_INTERVAL": "1",
        "DEFENDER_DEVOPS_CHECK_INTERVAL": "2",
        "DEFENDER_DEVOPS_POSTURE_INTERVAL": "1",
        "DEFENDER_DEVOPS_OPERATION_POLL_INTERVAL": "0.5",
        "DEFENDER_DEVOPS_BACKOFF_INITIAL": "0.5",
        "DEFENDER_DEVOPS_BACKOFF_MAXIMUM": "2",
        "DEFENDER_DEVOPS_TERMINAL_RETRY_INTERVAL": "2",
        "DEFENDER_DEVOPS_MIN_REQUEUE_INTERVAL": "0.2",
        "DEFENDER_DEVOPS_LOG_LEVEL": "debug",
        "DEFENDER_DEVOPS_SIGNIN_URL": f"http://localhost:{port}/signin",
        "DEFENDER_DEVOPS_SIGNIN_HOST": "127.0.0.1",
        "DEFENDER_DEVOPS_SIGNIN_PORT": str(port),
    }


def secret_client(name: str) -> dict[str, Any]:
    return {"id": APP, "type": "Secret", "secretRef": {"name": name, "key": "client-secret"}}


def sign_in_by_browser(canary_setup: CanarySetup) -> None:
    """Authorization code with a client secret, and once with a forged code; the team's own identity in Azure."""
    scenario = canary_setup.scenario
    scenario.secret("azure", client_secret=SECRETS["team"])
    reference = {"name": "azure", "key": "client-secret"}
    identity = {"type": "ClientSecret", "clientId": TEAM, "secretRef": reference}
    scenario.connect(azure={"identity": identity})
    with httpx.Client(trust_env=False, timeout=30) as browser:
        redirect = browser.post(f"{scenario.address()}/sign-in")
        params = {key: values[0] for key, values in parse_qs(urlsplit(redirect.headers["Location"]).query).items()}
        canary_setup.plant(
            "state", params["state"], params["nonce"], *(str(cookie.value) for cookie in browser.cookies.jar)
        )
        form = {"state": params["state"], "code": SECRETS["forged code"]}
        callback = scenario.address().split("/connectors/")[0] + "/callback"
        response = browser.post(callback, data=form, follow_redirects=True)
        assert response.status_code == 403
        canary_setup.plant("answer in an address", *parse_qs(response.url.query.decode()).get("answer", []))
    scenario.sign_in()
    scenario.wait("SignedIn", "True", timeout=20)


def supply_token(canary_setup: CanarySetup) -> None:
    """Put a refresh token into a Secret."""
    scenario = canary_setup.scenario
    scenario.secret("handed-in", token=canary_setup.plant_tokens(TOKENS)["refresh-token"])
    reference = {"name": "handed-in", "key": "token"}
    sign_in = {"method": "RefreshToken", "account": ACCOUNT, "client": secret_client("signin-app")}
    scenario.only_sign_in("handed-in", {**sign_in, "refreshTokenSecretRef": reference})


def send_codes(canary_setup: CanarySetup) -> None:
    """Defender's codes: two that fail with the code in Azure's message, one that is pasted, and one that works."""
    scenario, control = canary_setup.scenario, canary_setup.scenario.control
    codes = [control.issue_code(ACCOUNT) for _ in range(3)]
    canary_setup.plant("Defender's code", *codes)
    message = "it did not work for {0} (https://x.test/?code={0}&sig=a, {{'code': '{0}'}})"
    put = {"service": "arm", "method": "PUT", "path": "by-code/devops/default"}
    error = {"code": "TokenExchangeFailed", "message": message.format(codes[0]), "target": codes[0]}
    control.fault(**put, status=400, body={"error": error})
    scenario.secret("code", code=codes[0])
    scenario.wait("Authorized", "False", "TokenExchangeFailed", name="by-code", timeout=30)
    control.fault(**put, operation={"outcome": "failed", "message": message.format(codes[1])})
    scenario.secret("code", code=codes[1])
    scenario.wait("Authorized", "True", name="by-code", timeout=30)
    page = scenario.address("pasted")
    with Browser(scenario.ca) as browser:
        browser.open(page)
        browser.press("Sign in with Microsoft")
        browser.press("Sign in", loginfmt=ACCOUNT, passwd=PASSWORD)
        if "Accept" in browser.text:
            browser.press("Accept")
        browser.press("Submit")
        scenario.wait("Authorized", "False", name="pasted", timeout=30)
        browser.open(page)
        browser.press("Send the code", code=SECRETS["pasted code of Entra"])
        assert "a refresh token of Entra ID" in browser.text
        browser.press("Send the code", code=f"https://portal.azure.com/TokenAuthorize?code={codes[2]}&state=x")
        assert "The code was accepted" in browser.text


def report_findings(canary_setup: CanarySetup) -> None:
    """Let Defender find something in both organizations."""
    scenario, control = canary_setup.scenario, canary_setup.scenario.control
    canary_setup.plant("finding", FINDING, *EVIDENCE, *EVIDENCE.values(), "finding-evidence")
    for organization, category in (("contoso", "ExposedSecrets"), ("fabrikam", "")):
        control.add_assessment(organization=organization, title=FINDING, category=category, additionalData=EVIDENCE)
    scenario.wait("PostureAvailable", "True", timeout=30)
    scenario.wait_until(lambda body: body["status"]["posture"]["recommendations"]["high"] > 1)


def support_bundle(run: RunCommand, canary_setup: CanarySetup, folder: Path) -> str:
    """Return everything in a support bundle."""
    scenario, file = canary_setup.scenario, folder / "bundle.tar.gz"
    kubeconfig = canary_setup.environment["KUBECONFIG"]
    result = run("support", "--namespace", scenario.namespace, "--kubeconfig", kubeconfig, "--to", file)
    assert result.exit_code == 0, result.err
    with tarfile.open(file) as archive:
        members = (archive.extractfile(member) for member in archive.getmembers())
        return "\n".join(content.read().decode() for content in members if content is not None)


def cause_failures(canary_setup: CanarySetup) -> None:
    """Make every service fail once in each way, with messages that repeat the request."""
    control, tokens = canary_setup.scenario.control, canary_setup.plant_tokens(TOKENS)
    form = {"client_secret": SECRETS["sign-in app"], "refresh_token": tokens["refresh-token"], "client_id": APP}
    echo = f"{urlencode(form)} {tokens['access-token']}"
    for number in (7000215, 999999):
        refusal = {"error": "invalid_client", "error_description": f"AADSTS{number}: wrong: {echo}"}
        control.fault(**TOKEN_ENDPOINT, times=3, status=401, body=refusal)
    control.fault(**TOKEN_ENDPOINT, times=2, status=400, body={"error": echo, "error_description": echo})
    control.fault(**TOKEN_ENDPOINT, times=2, status=502, body=f"<html>{echo}</html>")
    control.fault(**TOKEN_ENDPOINT, times=2, cut="after")
    problem = {"message": f"TF400813: Bearer {tokens['access-token']} may not", "typeKey": tokens["access-token"]}
    for status in (400, 403, 500):
        control.fault(service="devAzure", path="_apis/projects", times=2, status=status, body=problem)
    error = {"code": "BadRequest", "message": f"Authorization: Bearer {tokens['access-token']} is refused"}
    control.fault(service="arm", path="azureDevOpsOrgs|listAvailable", times=2, status=400, body={"error": error})
    control.fault(service="arm", times=2, cut="after")
    canary_setup.operator.process.wait_until(
        lambda: all(_is_exhausted(fault) for fault in control.call("GET", "/faults")) or None, timeout=60
    )


def _is_exhausted(fault: Mapping[str, Any]) -> bool:
    return int(fault["hits"]) >= int(fault["times"])


def start_misconfigured(environment: Mapping[str, str], folder: Path) -> dict[Path, Operator]:
    """Start operators with invalid settings that hold secrets; return them by log."""
    (folder / "malformed").write_text(f"users: [{{user: {{token: {SECRETS['kubeconfig']}, : ]", encoding="utf-8")
    variants = {
        "malformed": {"KUBECONFIG": str(folder / "malformed")},
        "grants": {"DEFENDER_DEVOPS_IDENTITY_GRANTS": f'[{{"namespace": "{SECRETS["kubeconfig"]}"'},
    }
    logs = {name: folder / f"{name}.log" for name in variants}
    return {
        logs[name]: Operator.start(logs[name], {**environment, **variables}, ready=False)
        for name, variables in variants.items()
    }


def crash(canary_setup: CanarySetup, misconfigured: Mapping[Path, Operator]) -> str:
    """Abort the working operator, and return the logs of those with invalid settings."""
    os.kill(canary_setup.operator.process.pid, signal.SIGABRT)
    canary_setup.operator.process.wait(20)
    for log, operator in misconfigured.items():
        operator.process.wait_until(lambda log=log: log.stat().st_size or None, timeout=20)  # type: ignore[misc]
        operator.stop()
    return "\n".join(log.read_text() for log in misconfigured)


def apply_connectors(scenario: SignInScenario) -> None:
    """Create one connector for each way to sign in and for each kind of identity."""
    scenario.secret("certificate", tls_pem=key_and_certificate())
    by_certificate = {"id": BY_CERTIFICATE, "type": "Certificate", "secretRef": CERTIFICATE}
    with_code = {"method": "Code", "codeSecretRef": {"name": "code", "key": "code"}, "account": ACCOUNT}
    scenario.apply(
        scenario.manifest(
            "by-code",
            organizations={"names": ["adventure-works"]},
            authorization=with_code,
            azure={"identity": {"type": "ClientCertificate", "clientId": BY_CERTIFICATE, "secretRef": CERTIFICATE}},
            signIn={"method": "ServicePrincipal", "client": by_certificate},
        )
    )
    account = {"name": SERVICE_ACCOUNT}
    scenario.apply(
        scenario.manifest(
            "pasted",
            organizations={"names": ["northwind"]},
            authorization=with_code | {"codeSecretRef": {"name": "no-code", "key": "code"}},
            azure={"identity": {"type": "WorkloadIdentity", "clientId": WORKLOAD, "serviceAccountRef": account}},
            signIn={"method": "AuthorizationCode", "account": ACCOUNT, "client": {"id": APP, "type": "Federated"}},
        )
    )
    scenario.only_sign_in("device", {"method": "DeviceCode", "account": ACCOUNT, "client": {"id": APP}})
    for name, proof in PROOFS.items():
        sign_in = {"method": "AuthorizationCode", "account": ACCOUNT, "client": {"id": APP, **proof}}
        scenario.only_sign_in(name, sign_in)


@pytest.mark.long
def test_no_secret_comes_out_anywhere(
    cluster: Cluster, kube: KubernetesClient, namespace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with canary_setup(cluster, kube, namespace, tmp_path) as setup, command_line(capsys) as run:
        misconfigured = start_misconfigured(setup.environment, tmp_path)
        scenario = setup.scenario
        apply_connectors(scenario)
        sign_in_by_browser(setup)
        for name in PROOFS:
            scenario.sign_in(name=name)
        setup.plant("user code", scenario.sign_in_by_device("device"))
        supply_token(setup)
        send_codes(setup)
        for name in CONNECTORS:
            scenario.wait("SignedIn", "True", name=name, timeout=30)
        scenario.wait("Authorized", "True", name="pasted", timeout=30)
        report_findings(setup)
        cause_failures(setup)
        for name in CONNECTORS:
            scenario.wait("SignedIn", "True", name=name, timeout=30)
        for name in CONNECTORS:
            setup.plant_tokens(f"{name}-azure-devops-token")
        setup.plant("handed out by Entra", *scenario.control.secrets())
        outputs = {
            "metrics": httpx.get(f"{setup.operator.metrics}/metrics", trust_env=False).text,
            "cluster": setup.cluster_objects(),
            "bundle": support_bundle(run, setup, tmp_path),
            "crash": crash(setup, misconfigured),
            "log": scenario.log.read_text(),
        }
    assert '"level": "debug"' in outputs["log"]
    assert "Fatal Python error: Aborted" in outputs["log"]
    assert f'namespace="{namespace}"' in outputs["metrics"]
    assert "defender_devops_recommendations{" in outputs["metrics"]
    assert "posture" in outputs["bundle"]
    assert len(setup.planted["handed out by Entra"]) > 20
    assert {place: leaks for place, text in outputs.items() if (leaks := find_leaks(text, setup.planted))} == {}
