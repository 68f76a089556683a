"""An object that is older than a rule stays editable, but cannot get worse.

Our CRD under another kind, first without its rules, stands for a version that came before them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from defender_devops.api.crds import custom_resource_definitions
from defender_devops.api.names import GROUP, VERSION
from sandbox.cluster import KubernetesClient
from sandbox.cluster.client import ApiError
from tests.support.manifests import connector

PLURAL = "elderconnectors"
PATH = f"/apis/{GROUP}/{VERSION}/namespaces/default/{PLURAL}"
SPEC = "{azure: {location: West Europe}, organizations: {names: [a, A]}, discovery: {deadline: 1s}}"


def crd() -> dict[str, Any]:
    definition = custom_resource_definitions()[0]
    definition["metadata"]["name"] = f"{PLURAL}.{GROUP}"
    definition["spec"]["names"] = {"kind": "ElderConnector", "plural": PLURAL}
    return definition


def without_rules(node: Any) -> Any:  # noqa: ANN401 - any JSON
    """The same without x-kubernetes-validations."""
    if isinstance(node, dict):
        return {key: without_rules(value) for key, value in node.items() if key != "x-kubernetes-validations"}
    return [without_rules(item) for item in node] if isinstance(node, list) else node


@pytest.fixture(scope="module")
def elder(kube: KubernetesClient) -> Iterator[str]:
    """An object that breaks four rules which came after it."""
    body = {**connector(SPEC, name="elder"), "kind": "ElderConnector"}
    kube.apply_all([without_rules(crd())])
    kube.request("POST", PATH, body=body)
    kube.apply_all([crd()])
    wait_until_enforced(kube, {**body, "metadata": {"name": "probe"}})
    yield "elder"
    kube.delete("CustomResourceDefinition", f"{PLURAL}.{GROUP}")
    kube.wait_deleted("CustomResourceDefinition", f"{PLURAL}.{GROUP}")


def wait_until_enforced(kube: KubernetesClient, body: dict[str, Any]) -> None:
    """The API server takes a moment to put an update of a CRD into force."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            kube.request("POST", PATH, body=body, dryRun="All")
        except ApiError as refusal:
            if refusal.reason == "Invalid":
                return
        time.sleep(0.1)
    raise TimeoutError("the API server does not enforce the rules")


def patch(kube: KubernetesClient, name: str, spec: dict[str, Any]) -> None:
    merge = "application/merge-patch+json"
    kube.request("PATCH", f"{PATH}/{name}", body={"spec": spec}, content_type=merge, dryRun="All")


def test_what_is_not_touched_does_not_stand_in_the_way(kube: KubernetesClient, elder: str) -> None:
    patch(kube, elder, {"suspend": True, "azure": {"tags": {"owner": "me"}}})


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"azure": {"location": "North Europe"}}, "location is the short name of a region"),
        ({"organizations": {"names": ["b", "B"]}}, "names lists b more than once"),
        ({"organizations": {"exclude": ["b"]}}, "names is for mode Selected only"),
        ({"discovery": {"deadline": "2s"}}, "deadline must be a duration between 15m and 168h"),
    ],
    ids=["location", "names", "exclude", "deadline"],
)
def test_what_is_touched_must_be_right(kube: KubernetesClient, elder: str, spec: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ApiError, match=sentence):
        patch(kube, elder, spec)


def test_what_is_wrong_can_be_put_right(kube: KubernetesClient, elder: str) -> None:
    mended = {"organizations": {"mode": "Selected", "names": ["a"]}, "discovery": {"deadline": "8h"}}
    patch(kube, elder, mended)
