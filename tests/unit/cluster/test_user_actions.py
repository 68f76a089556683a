"""Actions of a person on connectors, against a scripted API server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from defender_devops.cluster.client import KubernetesClient
from defender_devops.cluster.user_actions import MANAGER, UserActions
from tests.support.fakes.kubernetes_api import FakeKubernetesApi

PLACE = "/apis/defender-devops.io/v1alpha1/namespaces/security/azuredevopsconnectors"
MANIFEST = {"kind": "AzureDevOpsConnector", "metadata": {"name": "contoso", "namespace": "security"}, "spec": {"a": 1}}

STORED = {
    "apiVersion": "defender-devops.io/v1alpha1",
    "kind": "AzureDevOpsConnector",
    "metadata": {"name": "contoso", "namespace": "security", "uid": "1", "resourceVersion": "2"},
    "spec": {"a": 1},
}


@pytest.fixture
async def user_actions(client: KubernetesClient) -> AsyncIterator[UserActions]:
    user_client = KubernetesClient(client.credentials_loader, field_manager=MANAGER)
    yield UserActions(user_client)
    await user_client.close()


async def test_a_reconcile_is_requested_by_an_annotation_and_nothing_else(
    user_actions: UserActions, server: FakeKubernetesApi
) -> None:
    server.respond(200, STORED)
    await user_actions.request_reconcile("security", "contoso", "now")
    (request,) = server.requests
    assert (request.method, request.path) == ("PATCH", f"{PLACE}/contoso")
    assert request.body == {"metadata": {"annotations": {"defender-devops.io/reconcile-requested-at": "now"}}}
    assert request.headers["Content-Type"] == "application/merge-patch+json"


async def test_a_person_has_another_field_manager_than_the_operator(
    user_actions: UserActions, server: FakeKubernetesApi
) -> None:
    server.respond(200, STORED)
    await user_actions.suspend("security", "contoso")
    (request,) = server.requests
    assert request.body == {"spec": {"suspend": True}}
    assert request.query == {"fieldManager": "kubectl-defender-devops"}
    assert request.headers["User-Agent"] == "kubectl-defender-devops"


async def test_resuming_removes_the_field_from_the_spec(user_actions: UserActions, server: FakeKubernetesApi) -> None:
    server.respond(200, STORED)
    await user_actions.resume("security", "contoso")
    assert server.requests[0].body == {"spec": {"suspend": None}}


async def test_a_new_manifest_is_validated_by_a_create_with_dry_run(
    user_actions: UserActions, server: FakeKubernetesApi
) -> None:
    await user_actions.dry_run(MANIFEST, None)
    (request,) = server.requests
    assert (request.method, request.path, request.body) == ("POST", PLACE, MANIFEST)
    assert (request.query["dryRun"], request.query["fieldValidation"]) == ("All", "Strict")


async def test_a_changed_manifest_is_validated_as_a_replacement_of_the_whole_spec(
    user_actions: UserActions, server: FakeKubernetesApi
) -> None:
    live = {**MANIFEST, "metadata": {**MANIFEST["metadata"], "resourceVersion": "7"}, "spec": {"a": 0, "old": True}}  # type: ignore[dict-item]
    await user_actions.dry_run(MANIFEST, live)
    (request,) = server.requests
    assert (request.method, request.path, request.query["dryRun"]) == ("PUT", f"{PLACE}/contoso", "All")
    assert request.body["spec"] == {"a": 1}
    assert request.body["metadata"]["resourceVersion"] == "7"
