"""The chart in other charts: as a dependency, with null for any value, and with values that clash with its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.chart.helm import CHART, NAMESPACE, RELEASE, ROOT, HelmRefused, Manifest, helm, render

DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())

FEATURES: dict[str, Any] = {
    "replicaCount": 2,
    "workloadIdentity": {"enabled": True, "clientId": "11111111-1111-1111-1111-111111111111"},
    "signIn": {
        "enabled": True,
        "ingress": {"enabled": True, "host": "defender.contoso.com", "tls": {"enabled": True}},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "gateway"}], "hostnames": ["defender.contoso.com"]},
    },
    "metrics": {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    },
    "networkPolicy": {"enabled": True},
    "caBundle": {"configMapName": "ca"},
}
"""Values that enable everything, with only what each feature requires."""

REQUIRED = {
    "serviceAccount": "serviceAccount.name is required",
    "signIn.ingress.host": "signIn.ingress.host",
    "signIn.httpRoute.hostnames": "signIn.httpRoute.hostnames",
}
"""Values without which there is no object: null is rejected, and the message has the path."""


def rendered(tmp_path: Path, values: dict[str, Any]) -> list[Manifest]:
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.yaml"
    path.write_text(json.dumps(values))
    # Without the CRDs, which are most of the text, unless a test is about them.
    return render("--values", path, *(() if "crds" in values else ("--set", "crds.enabled=false")))


def nulls(value: object, path: str = "") -> Iterator[str]:
    """Paths of null in a manifest."""
    if value is None:
        yield path
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from nulls(child, f"{path}.{key}")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from nulls(child, f"{path}[{index}]")


def pod_of(manifests: list[Manifest]) -> Manifest:
    spec: Manifest = next(m for m in manifests if m["kind"] == "Deployment")["spec"]["template"]["spec"]
    return spec


def blocks(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Paths of all top-level values, and of all maps below."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if not prefix or isinstance(value, dict):
            yield path
        if isinstance(value, dict):
            yield from blocks(value, f"{path}.")


def with_value(path: str, value: object) -> dict[str, Any]:
    """FEATURES with another value at a path."""
    values: dict[str, Any] = json.loads(json.dumps(FEATURES))
    parent = values
    *parents, key = path.split(".")
    for name in parents:
        parent = parent.setdefault(name, {})
    parent[key] = value
    return values


@pytest.mark.parametrize("path", sorted({*blocks(DEFAULTS), *REQUIRED}))
def test_null_removes_a_value_or_block(tmp_path: Path, path: str) -> None:
    values = with_value(path, None)
    if path in REQUIRED:
        with pytest.raises(HelmRefused, match=REQUIRED[path]):
            rendered(tmp_path, values)
        return
    manifests = rendered(tmp_path, values)
    assert [sign for sign in ("<nil>", "<no value>", "%!") if sign in json.dumps(manifests)] == []
    assert [missing for manifest in manifests for missing in nulls(manifest)] == []
    assert pod_of(manifests)["containers"][0]["image"].startswith("defender-devops-operator:")


def test_null_for_every_single_value_at_once_renders(tmp_path: Path) -> None:
    def nothing(values: dict[str, Any], features: dict[str, Any]) -> dict[str, Any]:
        """Null for every leaf that is not a feature's."""
        return {
            key: nothing(value, features.get(key, {})) if isinstance(value, dict) and value else features.get(key)
            for key, value in values.items()
        }

    features = {**FEATURES, "serviceAccount": {"create": True}}
    manifests = rendered(tmp_path, nothing(DEFAULTS, features))
    pod = pod_of(manifests)
    assert pod["securityContext"] == {}
    assert pod["containers"][0]["ports"] == [
        {"name": "metrics", "containerPort": 8080},
        {"name": "sign-in", "containerPort": 8081},
    ]
    assert "livenessProbe" not in pod["containers"][0]


@pytest.fixture(scope="module")
def umbrella(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chart that includes the operator's with a condition, as `helm dependency build` would leave it."""
    folder = tmp_path_factory.mktemp("umbrella")
    (folder / "charts").mkdir()
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    helm("package", CHART, "--destination", folder / "charts")
    dependency = {
        "name": RELEASE,
        "version": version,
        "repository": "https://charts.contoso.com",
        "condition": f"{RELEASE}.enabled",
    }
    chart = {"apiVersion": "v2", "name": "platform", "version": "1.0.0", "dependencies": [dependency]}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(chart))
    return folder


def of_umbrella(umbrella: Path, tmp_path: Path, **values: object) -> list[Manifest]:
    path = tmp_path / "values.yaml"
    path.write_text(json.dumps(values))
    without_crds = ("--set", f"{RELEASE}.crds.enabled=false")
    text = helm("template", "platform", umbrella, "--namespace", NAMESPACE, "--values", path, *without_crds)
    return [manifest for manifest in yaml.load_all(text, yaml.CSafeLoader) if manifest]


@pytest.mark.parametrize("enabled", [True, False])
def test_a_dependency_with_a_condition(umbrella: Path, tmp_path: Path, enabled: bool) -> None:
    manifests = of_umbrella(umbrella, tmp_path, **{RELEASE: {"enabled": enabled}})
    assert bool(manifests) is enabled


def test_global_values_apply_and_those_of_the_chart_take_precedence(umbrella: Path, tmp_path: Path) -> None:
    shared = {
        "imageRegistry": "registry.contoso.com/mirror",
        "imagePullSecrets": ["plain", {"name": "mapped"}],
        "nodeSelector": {"pool": "system", "kubernetes.io/os": "windows"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "platform",
        "commonLabels": {"team": "platform", "cost": "1"},
        "somebody": {"elses": True},
    }
    own = {"commonLabels": {"team": "security"}, "imagePullSecrets": [{"name": "own"}, {"name": "mapped"}]}
    manifests = of_umbrella(umbrella, tmp_path, **{"global": shared, RELEASE: own})
    pod = pod_of(manifests)
    assert pod["containers"][0]["image"].startswith("registry.contoso.com/mirror/defender-devops-operator:")
    assert pod["imagePullSecrets"] == [{"name": "own"}, {"name": "mapped"}, {"name": "plain"}]
    assert pod["nodeSelector"] == {"pool": "system", "kubernetes.io/os": "linux"}
    assert (pod["tolerations"], pod["affinity"]) == (shared["tolerations"], shared["affinity"])
    assert pod["priorityClassName"] == "platform"
    assert {(m["metadata"]["labels"]["team"], m["metadata"]["labels"]["cost"]) for m in manifests} == {
        ("security", "1")
    }


def test_an_umbrella_removes_user_and_group_without_null(umbrella: Path, tmp_path: Path) -> None:
    empty = {"podSecurityContext": {"runAsUser": "", "runAsGroup": "", "fsGroup": ""}}
    for values in (empty, {"openshift": {"enabled": True}}):
        pod = pod_of(of_umbrella(umbrella, tmp_path, **{RELEASE: values}))
        assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        assert not {"runAsUser", "runAsGroup"} & pod["containers"][0]["securityContext"].keys()


def test_null_for_blocks_passes_through_an_umbrella(umbrella: Path, tmp_path: Path) -> None:
    paths = ("livenessProbe", "networkPolicy", "caBundle", "podDisruptionBudget", "resources", "settings")
    nested = {"signIn": {"ingress": None, "httpRoute": None}, "metrics": {"prometheusRule": None}}
    pod = pod_of(of_umbrella(umbrella, tmp_path, **{RELEASE: {**dict.fromkeys(paths), **nested}}))
    assert pod["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_values_of_the_previous_chart_render_the_same_pod(tmp_path: Path) -> None:
    """`helm upgrade --reuse-values` takes the defaults of the release's chart, in which newer values are missing."""
    archive = next((ROOT / "tests/data/chart/previous").glob("*.tgz"))
    shutil.unpack_archive(archive, tmp_path / "previous")
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    shutil.copy(tmp_path / "previous" / RELEASE / "values.yaml", chart / "values.yaml")
    reused, current = (
        pod_of(
            [m for m in yaml.load_all(helm("template", RELEASE, path, "--namespace", NAMESPACE), yaml.CSafeLoader) if m]
        )
        for path in (chart, CHART)
    )
    assert current.pop("nodeSelector") == {"kubernetes.io/os": "linux"}
    names = [[variable["name"] for variable in pod["containers"][0].pop("env")] for pod in (reused, current)]
    assert set(names[0]) <= set(names[1])
    assert reused == current


def test_openshift_chooses_user_and_group_whatever_the_values_say(tmp_path: Path) -> None:
    context = {"runAsUser": 1000680000}
    unchanged = pod_of(rendered(tmp_path, {"podSecurityContext": context, "securityContext": context}))
    assert (
        unchanged["securityContext"]["runAsUser"]
        == unchanged["containers"][0]["securityContext"]["runAsUser"]
        == 1000680000
    )
    omitted = {"openshift": {"enabled": True}, "podSecurityContext": context, "securityContext": context}
    assert "runAsUser" not in json.dumps(pod_of(rendered(tmp_path, omitted)))


LABELS = [
    ("commonLabels", "app.kubernetes.io/part-of"),
    ("commonLabels", "app.kubernetes.io/managed-by"),
    ("commonLabels", "app.kubernetes.io/version"),
    ("commonLabels", "helm.sh/chart"),
    ("commonLabels", "contoso.com/team"),
    ("serviceAccount.labels", "app.kubernetes.io/part-of"),
    ("metrics.serviceMonitor.labels", "app.kubernetes.io/part-of"),
    ("metrics.prometheusRule.labels", "app.kubernetes.io/part-of"),
    ("metrics.dashboard.labels", "app.kubernetes.io/part-of"),
    ("podLabels", "app.kubernetes.io/part-of"),
]


class NoDuplicates(yaml.CSafeLoader):
    """Rejects a key that occurs twice, as kustomize and the API server do; PyYAML takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: {sorted(key for key in keys if keys.count(key) > 1)}"
        return super().construct_mapping(node, deep)


@pytest.mark.parametrize(("path", "key"), LABELS)
def test_a_users_label_replaces_the_charts(tmp_path: Path, path: str, key: str) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps(with_value(path, {key: "contoso"})))
    apis = [f"--api-versions=monitoring.coreos.com/v1/{kind}" for kind in ("ServiceMonitor", "PrometheusRule")]
    text = helm("template", RELEASE, CHART, "--namespace", NAMESPACE, *apis, "--values", values)
    manifests = [m for m in yaml.load_all(text, NoDuplicates) if m]
    labels = [m["metadata"].get("labels", {}) for m in manifests]
    labels += [m["spec"]["template"]["metadata"]["labels"] for m in manifests if m["kind"] == "Deployment"]
    changed = [objects for objects in labels if objects.get(key) == "contoso"]
    # helm.sh/chart is not on pods: a new version of the chart alone must not restart them.
    everywhere = len(labels) - (key == "helm.sh/chart")
    assert len(changed) == (everywhere if path == "commonLabels" else 1)


@pytest.mark.parametrize("path", ["commonLabels", "podLabels", "global.commonLabels"])
@pytest.mark.parametrize("key", ["app.kubernetes.io/name", "app.kubernetes.io/instance"])
def test_labels_that_select_the_pods_are_rejected_with_their_path(tmp_path: Path, path: str, key: str) -> None:
    with pytest.raises(HelmRefused, match=rf"{path.removeprefix('global.')}: {key} selects the pods"):
        rendered(tmp_path, with_value(path, {key: "contoso"}))


def test_an_extra_variable_replaces_the_charts(tmp_path: Path) -> None:
    extra = [{"name": "DEFENDER_DEVOPS_LOG_LEVEL", "value": "debug"}, {"name": "SSL_CERT_FILE", "value": "/ca.pem"}]
    env = pod_of(rendered(tmp_path, {**FEATURES, "extraEnv": extra}))["containers"][0]["env"]
    names = [variable["name"] for variable in env]
    assert len(names) == len(set(names))
    assert env[-2:] == extra


def test_an_extra_volume_and_mount_replace_the_charts(tmp_path: Path) -> None:
    volumes = [{"name": "tmp", "emptyDir": {"medium": "Memory"}}, {"name": "more", "emptyDir": {}}]
    mounts = [{"name": "more", "mountPath": "/tmp"}]  # noqa: S108 - a path in the pod
    pod = pod_of(rendered(tmp_path, {"extraVolumes": volumes, "extraVolumeMounts": mounts}))
    assert (pod["volumes"], pod["containers"][0]["volumeMounts"]) == (volumes, mounts)


CLASHES = [
    ({"extraEnv": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, "extraEnv has two entries with name A"),
    ({"extraVolumes": [{"name": "a"}, {"name": "a"}]}, "extraVolumes has two entries with name a"),
    ({"extraContainers": [{"name": "operator"}]}, "extraContainers: the name operator"),
    (
        {"metrics": {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}},
        r"metrics\.podMonitor\.enabled",
    ),
]


@pytest.mark.parametrize(("values", "message"), CLASHES, ids=[message for _, message in CLASHES])
def test_values_that_clash_are_rejected_with_their_path(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(HelmRefused, match=message):
        rendered(tmp_path, values)


def test_the_pages_have_a_port_of_their_own_whichever_the_metrics_use(tmp_path: Path) -> None:
    for port in (8080, 8081, 8082, 443):
        container = pod_of(rendered(tmp_path, {"metrics": {"port": port}}))["containers"][0]
        ports = {entry["name"]: entry["containerPort"] for entry in container["ports"]}
        env = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert ports["metrics"] == port != ports["sign-in"]
        assert env["DEFENDER_DEVOPS_SIGNIN_PORT"] == str(ports["sign-in"])


def test_the_alerts_need_nothing_but_to_be_enabled() -> None:
    manifests = render("--set", "metrics.prometheusRule.enabled=true")
    rule = next(m for m in manifests if m["kind"] == "PrometheusRule")
    assert not any(
        "runbook_url" in alert["annotations"] for group in rule["spec"]["groups"] for alert in group["rules"]
    )


def test_values_that_users_of_other_charts_set(tmp_path: Path) -> None:
    container = {"name": "proxy", "image": "proxy"}
    values = {
        "namespaceOverride": "other",
        "replicaCount": 3,
        "revisionHistoryLimit": 0,
        "deploymentAnnotations": {"reloader.stakater.com/auto": "true"},
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["proxy"]}],
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.0.0.10"]},
        "extraArgs": ["--verbose"],
        "initContainers": [container],
        "extraContainers": [container],
        "crds": {"annotations": {"argocd.argoproj.io/sync-options": "ServerSideApply=true"}},
        "podDisruptionBudget": {"minAvailable": "50%"},
        "startupProbe": {"enabled": False},
        "metrics": {"serviceMonitor": {"enabled": True, "namespace": "monitoring", "annotations": {"a": "b"}}},
    }
    manifests = rendered(tmp_path, values)
    by_kind = {m["kind"]: m for m in manifests}
    deployment, monitor = by_kind["Deployment"], by_kind["ServiceMonitor"]
    pod = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["revisionHistoryLimit"] == 0
    assert deployment["metadata"]["annotations"] == values["deploymentAnnotations"]
    for key in ("hostAliases", "dnsPolicy", "dnsConfig", "initContainers"):
        assert pod[key] == values[key]
    assert pod["containers"][0]["args"] == ["--verbose"]
    assert pod["containers"][1:] == [container]
    assert "startupProbe" not in pod["containers"][0]
    assert "livenessProbe" in pod["containers"][0]
    crd = by_kind["CustomResourceDefinition"]["metadata"]["annotations"]
    assert crd == {"helm.sh/resource-policy": "keep", "argocd.argoproj.io/sync-options": "ServerSideApply=true"}
    budget = by_kind["PodDisruptionBudget"]["spec"]
    assert (budget["minAvailable"], "maxUnavailable" in budget) == ("50%", False)
    assert (monitor["metadata"]["namespace"], monitor["metadata"]["annotations"]) == ("monitoring", {"a": "b"})
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["other"]}
    namespaces = {m["metadata"].get("namespace") for m in manifests if m["kind"] not in {"ServiceMonitor", "Role"}}
    assert namespaces <= {"other", "kube-system", None}


def test_a_pod_monitor_selects_the_pods() -> None:
    manifests = render(
        "--set", "metrics.podMonitor.enabled=true", "--set", "metrics.podMonitor.renderMode=alwaysRender"
    )
    monitor = next(m for m in manifests if m["kind"] == "PodMonitor")
    deployment = next(m for m in manifests if m["kind"] == "Deployment")
    assert monitor["spec"]["selector"] == deployment["spec"]["selector"]
    assert [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == ["metrics"]
