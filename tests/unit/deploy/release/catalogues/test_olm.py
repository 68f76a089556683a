"""The bundle for OperatorHub is made of the chart, and the rules find what is wrong with one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from deploy.release.catalogues import olm
from deploy.release.catalogues.olm_rules import violations
from deploy.release.version import Version
from tests.support.chart.helm import CHART, ROOT, render

VERSION = Version.parse("0.2.0")
IMAGE = "registry.test/defender-devops-operator:0.2.0"
CSV = "manifests/defender-devops-operator.clusterserviceversion.yaml"


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return olm.bundle(ROOT, VERSION, IMAGE, 1_700_000_000)


@pytest.fixture(scope="module")
def csv(files: dict[str, str]) -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load(files[CSV])
    return manifest


def test_the_bundle_keeps_the_rules(files: dict[str, str]) -> None:
    assert violations(files, VERSION) == []


def test_the_pod_is_that_of_the_chart(csv: dict[str, Any]) -> None:
    (deployment,) = (manifest for manifest in render() if manifest["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    pod["containers"][0]["image"] = IMAGE
    assert csv["spec"]["install"]["spec"]["deployments"][0]["spec"]["template"]["spec"] == pod


def test_the_permissions_are_those_of_the_chart(csv: dict[str, Any]) -> None:
    def key(rule: dict[str, Any]) -> str:
        return json.dumps(rule, sort_keys=True)

    roles = [manifest for manifest in render() if manifest["kind"] in {"Role", "ClusterRole"}]
    own = [role for role in roles if role["metadata"]["name"].rpartition(":")[2] not in {"view", "edit"}]
    expected = sorted(key(rule) for role in own for rule in role["rules"])
    install = csv["spec"]["install"]["spec"]
    permissions = [
        rule for part in ("permissions", "clusterPermissions") for entry in install[part] for rule in entry["rules"]
    ]
    assert sorted(map(key, permissions)) == expected
    (secrets,) = (
        rule for rule in install["permissions"][0]["rules"] if "get" in rule["verbs"] and "secrets" in rule["resources"]
    )
    assert secrets["resourceNames"] == ["defender-devops-signin-key"]


def test_the_crds_and_users_roles_are_in_the_bundle(files: dict[str, str]) -> None:
    for path in (ROOT / "deploy/crds").glob("*.yaml"):
        assert files[f"manifests/{path.name}"] == path.read_text()
    roles = [yaml.safe_load(text) for path, text in files.items() if path.endswith("_clusterrole.yaml")]
    assert sorted(role["metadata"]["name"].rpartition(":")[2] for role in roles) == ["edit", "view"]


def test_the_texts_are_those_of_the_chart(csv: dict[str, Any]) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert csv["metadata"]["annotations"]["description"] == chart["description"]
    assert csv["spec"]["icon"][0]["base64data"] in chart["icon"]
    assert csv["spec"]["minKubeVersion"] == "1.33.0"
    assert csv["metadata"]["annotations"]["createdAt"] == "2023-11-14T22:13:20Z"


def change_csv(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, str]], None]:
    def apply(files: dict[str, str]) -> None:
        manifest = yaml.safe_load(files[CSV])
        change(manifest)
        files[CSV] = yaml.safe_dump(manifest)

    return apply


def replace(path: str, old: str, new: str) -> Callable[[dict[str, str]], None]:
    def apply(files: dict[str, str]) -> None:
        assert old in files[path]
        files[path] = files[path].replace(old, new)

    return apply


def container(manifest: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = manifest["spec"]["install"]["spec"]["deployments"][0]["spec"]["template"]["spec"][
        "containers"
    ][0]
    return first


BROKEN: dict[str, tuple[Callable[[dict[str, str]], Any], str]] = {
    "no CSV": (lambda files: files.pop(CSV), "0 ClusterServiceVersions, not one"),
    "name": (change_csv(lambda m: m["metadata"].update(name="defender.v0.1.0")), "metadata.name is defender.v0.1.0"),
    "version": (change_csv(lambda m: m["spec"].update(version="0.1.0")), "spec.version is 0.1.0, not 0.2.0"),
    "no CRD": (lambda files: files.pop("manifests/devopsorganizations.yaml"), "owned without a CRD"),
    "not owned": (
        change_csv(lambda m: m["spec"]["customresourcedefinitions"]["owned"].pop()),
        "CRDs that are not owned",
    ),
    "no example": (
        change_csv(lambda m: m["metadata"]["annotations"].update({"alm-examples": "[]"})),
        "owned without an example",
    ),
    "foreign example": (
        change_csv(
            lambda m: m["metadata"]["annotations"].update({"alm-examples": '[{"apiVersion": "a/v1", "kind": "A"}]'})
        ),
        "examples that are not owned",
    ),
    "capabilities": (
        change_csv(lambda m: m["metadata"]["annotations"].update(capabilities="Magic")),
        "capabilities Magic",
    ),
    "categories": (
        change_csv(lambda m: m["metadata"]["annotations"].update(categories="Security, Fun")),
        "categories ['Fun']",
    ),
    "icon": (change_csv(lambda m: m["spec"].update(icon=[])), "spec.icon is not one picture"),
    "provider": (change_csv(lambda m: m["spec"].update(provider={})), "spec.provider has no name"),
    "maintainer": (
        change_csv(lambda m: m["spec"].update(maintainers=[{"name": "A"}])),
        "a maintainer has no name or no email",
    ),
    "link": (change_csv(lambda m: m["spec"].update(links=[{"name": "A", "url": "nowhere"}])), "a link has no name"),
    "modes": (
        change_csv(lambda m: m["spec"].update(installModes=[])),
        "spec.installModes has duplicates, or supports none",
    ),
    "requests": (change_csv(lambda m: container(m).pop("resources")), "container operator requests no cpu"),
    "account": (
        change_csv(lambda m: m["spec"]["install"]["spec"]["permissions"][0].update(serviceAccountName="another")),
        "permissions are for ['another', 'defender-devops-operator']",
    ),
    "deployments": (
        change_csv(lambda m: m["spec"]["install"]["spec"]["deployments"].clear()),
        "0 deployments, not one",
    ),
    "kind": (
        replace("manifests/devopsorganizations.yaml", "kind: CustomResourceDefinition", "kind: Namespace"),
        "must not have",
    ),
    "namespace": (
        lambda files: files.update({"manifests/s.yaml": "kind: Service\nmetadata: {name: s, namespace: n}\n"}),
        "Service s has a namespace",
    ),
    "labels": (
        replace("bundle.Dockerfile", "stable-v1alpha1", "fast"),
        "bundle.Dockerfile and metadata/annotations.yaml differ",
    ),
    "channel": (
        replace("metadata/annotations.yaml", "channel.default.v1: stable-v1alpha1", "channel.default.v1: fast"),
        "the default channel is none of the channels",
    ),
}


@pytest.mark.parametrize(("break_bundle", "violation"), list(BROKEN.values()), ids=list(BROKEN))
def test_a_broken_bundle_is_refused(
    files: dict[str, str], break_bundle: Callable[[dict[str, str]], Any], violation: str
) -> None:
    broken = dict(files)
    break_bundle(broken)
    assert any(violation in text for text in violations(broken, VERSION)), violations(broken, VERSION)
