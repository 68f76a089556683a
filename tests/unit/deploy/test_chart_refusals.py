"""Invalid values are rejected before anything is installed, with a message that names their path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.chart.helm import CHART, HelmRefused, helm, render

GUID = "11111111-1111-1111-1111-111111111111"
GRANT = {"namespace": "security", "tenantId": GUID, "subscriptionId": GUID}

REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"replicas": 2}, "additional properties 'replicas' not allowed"),
    ({"replicaCount": "two"}, "/replicaCount"),
    ({"replicaCount": -1}, "/replicaCount"),
    ({"image": {"repository": ""}}, "/image/repository"),
    ({"image": {"digest": "sha256:123"}}, "/image/digest"),
    ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ({"watchNamespaces": "security"}, "/watchNamespaces"),
    ({"watchNamespaces": ["Security"]}, "/watchNamespaces/0"),
    ({"watchNamespaces": ["a", "a"]}, "/watchNamespaces"),
    ({"serviceAccount": {"create": False}}, "/serviceAccount/name"),
    ({"workloadIdentity": {"clientId": "contoso"}}, "/workloadIdentity/clientId"),
    ({"workloadIdentity": {"enabled": True}}, "/workloadIdentity/clientId"),
    ({"workloadIdentity": {"enabled": True, "webhook": False, "clientId": GUID}}, "/workloadIdentity/tenantId"),
    ({"identityGrants": [{"namespace": "security"}]}, "/identityGrants/0"),
    ({"identityGrants": [{**GRANT, "namespace": "*"}]}, "/identityGrants/0/namespace"),
    ({"identityGrants": [{**GRANT, "serviceAccountName": "contoso-azure"}]}, "/identityGrants/0"),
    ({"identityGrants": [{**GRANT, "resourceGroups": []}]}, "/identityGrants/0/resourceGroups"),
    ({"signIn": {"url": "http://defender.contoso.com"}}, "/signIn/url"),
    ({"signIn": {"url": "https://defender.contoso.com/path"}}, "/signIn/url"),
    ({"signIn": {"ingress": {"enabled": True}}}, "/signIn/ingress/host"),
    ({"signIn": {"httpRoute": {"enabled": True, "hostnames": ["x"]}}}, "/signIn/httpRoute/parentRefs"),
    ({"settings": {"refreshIntervall": 60}}, "/settings"),
    ({"settings": {"refreshInterval": 0}}, "/settings/refreshInterval"),
    ({"settings": {"logLevel": "loud"}}, "/settings/logLevel"),
    ({"caBundle": {"key": "ca.crt"}}, "/caBundle"),
    ({"metrics": {"port": 70000}}, "/metrics/port"),
    ({"metrics": {"serviceMonitor": {"interval": "30"}}}, "/metrics/serviceMonitor/interval"),
    ({"metrics": {"serviceMonitor": {"renderMode": "maybe"}}}, "/metrics/serviceMonitor/renderMode"),
    ({"metrics": {"prometheusRule": {"disabled": ["Nothing"]}}}, "/metrics/prometheusRule/disabled/0"),
    ({"networkPolicy": {"egressPorts": []}}, "/networkPolicy/egressPorts"),
    ({"podDisruptionBudget": {"maxUnavailable": "half"}}, "/podDisruptionBudget/maxUnavailable"),
    ({"podLabels": {"scan": True}}, "/podLabels/scan"),
    ({"extraEnv": [{"value": "x"}]}, "/extraEnv/0"),
    ({"livenessProbe": {"periodSeconds": 0}}, "/livenessProbe/periodSeconds"),
]


@pytest.mark.parametrize(("values", "path"), REFUSALS, ids=[json.dumps(values) for values, _ in REFUSALS])
def test_the_error_names_the_path(values: dict[str, Any], path: str) -> None:
    arguments = [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]
    with pytest.raises(HelmRefused) as rejection:
        helm("template", CHART, *arguments)
    lines = [line for line in str(rejection.value).splitlines() if line.startswith("- ")]
    assert any(path in line for line in lines), rejection.value


def test_a_monitor_without_its_api_is_rejected_with_the_solution() -> None:
    with pytest.raises(HelmRefused, match=r"set metrics\.serviceMonitor\.renderMode to skipIfMissing"):
        render("--set", "metrics.serviceMonitor.enabled=true", apis=())


@pytest.mark.parametrize(("mode", "is_rendered"), [("skipIfMissing", False), ("alwaysRender", True)])
def test_render_mode_skips_or_renders_a_monitor_without_its_api(mode: str, is_rendered: bool) -> None:
    arguments = ["--set", "metrics.serviceMonitor.enabled=true", "--set", f"metrics.serviceMonitor.renderMode={mode}"]
    assert ("ServiceMonitor" in {manifest["kind"] for manifest in render(*arguments, apis=())}) is is_rendered
