"""Every permission that the chart grants to the operator, as a list: a new one needs a line here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from defender_devops.signin.pages.sealing import KEY_SECRET_NAME
from tests.support.chart.helm import NAMESPACE, RELEASE, ROOT, render

API_GROUP = "defender-devops.io"
VALUES = ROOT / "tests/data/chart/values"

WATCHED = {
    f"get,list,watch,patch {API_GROUP}/azuredevopsconnectors",
    f"list,watch,create,patch,delete {API_GROUP}/devopsorganizations",
    f"patch {API_GROUP}/azuredevopsconnectors/status",
    f"patch {API_GROUP}/devopsorganizations/status",
    "get,list,watch secrets",
    "create,patch events.k8s.io/events",
}
TOKEN_STORE = {"create,update secrets"}
OWN = {"create coordination.k8s.io/leases", f"get,update coordination.k8s.io/leases {RELEASE}"}
KEY = {"create secrets", f"get secrets {KEY_SECRET_NAME}"}
CLUSTER_WIDE = {"list,watch apiextensions.k8s.io/customresourcedefinitions", "get coordination.k8s.io/leases"}
CLUSTER_ID = {"get namespaces kube-system"}

CASES = [
    (
        "defaults",
        {"": WATCHED | TOKEN_STORE | CLUSTER_WIDE, NAMESPACE: OWN | KEY, "kube-system": CLUSTER_ID},
    ),
    (
        "namespaced",
        {"security": WATCHED | TOKEN_STORE, "platform": WATCHED | TOKEN_STORE, NAMESPACE: OWN | KEY},
    ),
    (
        "without-sign-in",
        {"": WATCHED | CLUSTER_WIDE, NAMESPACE: OWN | KEY, "kube-system": CLUSTER_ID},
    ),
    (
        "highly-available",
        {
            "": WATCHED | TOKEN_STORE | CLUSTER_WIDE,
            NAMESPACE: OWN | KEY | {"patch pods"},
            "kube-system": CLUSTER_ID,
        },
    ),
    (
        "grants",
        {
            "": WATCHED | TOKEN_STORE | CLUSTER_WIDE,
            NAMESPACE: OWN | KEY,
            "kube-system": CLUSTER_ID,
            "platform": {"create serviceaccounts/token billing-azure contoso-azure"},
        },
    ),
]


def rules(role: dict[str, Any]) -> Iterator[str]:
    """Yield one line for each resource of each rule: verbs, resource, names."""
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                path = f"{group}/{resource}" if group else resource
                yield " ".join([",".join(rule["verbs"]), path, *rule.get("resourceNames", [])])


def rights(manifests: list[dict[str, Any]], account: tuple[str, str]) -> dict[str, set[str]]:
    """Permissions of an account (namespace, name) by namespace; "" is cluster-wide."""
    roles = {
        (m["kind"], m["metadata"].get("namespace", ""), m["metadata"]["name"]): m
        for m in manifests
        if m["kind"] in {"Role", "ClusterRole"}
    }
    permissions: dict[str, set[str]] = {}
    for binding in manifests:
        if binding["kind"] not in {"RoleBinding", "ClusterRoleBinding"}:
            continue
        subjects = {(s["namespace"], s["name"]) for s in binding["subjects"] if s["kind"] == "ServiceAccount"}
        if account in subjects:
            namespace = binding["metadata"].get("namespace", "")
            role = roles[binding["roleRef"]["kind"], namespace, binding["roleRef"]["name"]]
            permissions.setdefault(namespace, set()).update(rules(role))
    return permissions


@pytest.mark.parametrize(("values", "expected"), CASES, ids=[name for name, _ in CASES])
def test_the_operator_has_exactly_these_permissions(values: str, expected: dict[str, set[str]]) -> None:
    manifests = render("--values", VALUES / f"{values}.yaml")
    assert rights(manifests, (NAMESPACE, RELEASE)) == expected


@pytest.mark.parametrize("values", sorted(VALUES.glob("*.yaml")), ids=lambda path: path.stem)
def test_no_role_contains_a_wildcard(values: str) -> None:
    for manifest in render("--values", values):
        for rule in manifest.get("rules") or []:
            assert "*" not in [*rule.get("verbs", []), *rule.get("resources", []), *rule.get("apiGroups", [])]


def test_no_role_is_created_without_rbac() -> None:
    kinds = {manifest["kind"] for manifest in render("--set", "rbac.create=false")}
    assert not kinds & {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}


@pytest.mark.parametrize(
    ("setting", "role", "joins"),
    [
        ("rbac.aggregateToView=true", "view", {"view", "edit", "admin"}),
        ("rbac.aggregateToView=false", "view", set()),
        ("rbac.aggregateToEdit=false", "edit", set()),
        ("rbac.aggregateToEdit=true", "edit", {"edit", "admin"}),
    ],
)
def test_user_roles_are_aggregated_only_if_enabled(setting: str, role: str, joins: set[str]) -> None:
    manifests = render("--set", setting)
    cluster_role = next(m for m in manifests if m["metadata"]["name"] == f"{RELEASE}:{NAMESPACE}:{role}")
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    labels = cluster_role["metadata"]["labels"]
    assert {label.removeprefix(prefix) for label in labels if label.startswith(prefix)} == joins


def test_the_view_role_has_no_write_and_neither_role_has_secrets() -> None:
    people = [m for m in render() if m["kind"] == "ClusterRole" and m["metadata"]["name"].endswith((":view", ":edit"))]
    assert [set(rules(role)) for role in people] == [
        {f"get,list,watch {API_GROUP}/azuredevopsconnectors", f"get,list,watch {API_GROUP}/devopsorganizations"},
        {
            f"get,list,watch,create,update,patch,delete,deletecollection {API_GROUP}/azuredevopsconnectors",
            f"get,list,watch,create,update,patch,delete,deletecollection {API_GROUP}/devopsorganizations",
        },
    ]
