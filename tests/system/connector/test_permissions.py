"""An operator whose service account may not read Secrets says so, instead of waiting in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.cluster import Cluster
from sandbox.cluster.credentials import kubeconfig, write_secret
from sandbox.stack import Cloud, Operator
from tests.support.scenarios.scenario import Scenario, message, wait_for

OPERATOR = "restricted-operator"
RULES = [
    {"apiGroups": ["defender-devops.io"], "resources": ["*"], "verbs": ["*"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]},
    {"apiGroups": ["", "events.k8s.io"], "resources": ["events", "namespaces"], "verbs": ["*"]},
    {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["list", "watch"]},
]
SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch", "create", "update"]}


@pytest.fixture
def restricted(own_scenario: Scenario, cluster: Cluster, tmp_path: Path) -> str:
    """A kubeconfig with which Secrets of the scenario's namespace cannot be read."""
    kube, namespace = own_scenario.kube, own_scenario.namespace
    name = f"{OPERATOR}-{namespace}"
    kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": OPERATOR, "namespace": namespace}})
    subject = {"kind": "ServiceAccount", "name": OPERATOR, "namespace": namespace}
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "name": name}
    kube.apply({**rbac, "kind": "ClusterRole", "metadata": {"name": name}, "rules": RULES})
    binding = {"metadata": {"name": name}, "roleRef": {**reference, "kind": "ClusterRole"}, "subjects": [subject]}
    kube.apply({**rbac, "kind": "ClusterRoleBinding", **binding})
    # The operator's own namespace, for the key of its pages.
    own = {"name": name, "namespace": "defender-devops"}
    kube.apply({**rbac, "kind": "Role", "metadata": own, "rules": [SECRETS]})
    binding = {"metadata": own, "roleRef": {**reference, "kind": "Role"}, "subjects": [subject]}
    kube.apply({**rbac, "kind": "RoleBinding", **binding})
    file = tmp_path / "restricted.kubeconfig"
    write_secret(file, kubeconfig(cluster.server, cluster.ca, token=kube.service_account_token(OPERATOR, namespace)))
    return str(file)


def test_a_code_that_may_not_be_read_is_reported_until_it_may(
    own_scenario: Scenario,
    restricted: str,
    cloud: Cloud,
    own_settings: dict[str, str],
    start_operator: Callable[..., Operator],
) -> None:
    scenario = own_scenario
    operator = start_operator(cloud, {**own_settings, "KUBECONFIG": restricted})
    scenario.new_code()
    scenario.apply(scenario.manifest())
    waiting = scenario.wait("Authorized", "False", "AwaitingAuthorization")
    assert waiting["status"]["observedGeneration"] == waiting["metadata"]["generation"]
    for part in ('secrets "contoso-azure-devops-token" is forbidden', "permissions of the operator's service account"):
        assert part in message(waiting, "Authorized")
    wait_for(
        lambda: [event for event in scenario.kube.list_all("Event", scenario.namespace) if "forbidden" in str(event)],
        "no event says that the Secret may not be read",
    )
    assert scenario.in_azure() is None
    operator.stop()
    start_operator(cloud, own_settings)  # as administrator
    scenario.wait("Ready", "True")
