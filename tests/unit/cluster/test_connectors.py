"""The finalizer is added by one installation only: whoever finds it there has planned on an older state."""

from __future__ import annotations

from typing import Any, cast

import pytest

from defender_devops.api.names import FINALIZER
from defender_devops.cluster.client import KubernetesClient
from defender_devops.cluster.connectors import Connectors
from defender_devops.errors import KubernetesConflict


class Client:
    """A client that records patches."""

    def __init__(self) -> None:
        self.patches: list[Any] = []

    async def patch(self, path: str, body: object, content_type: str) -> dict[str, Any]:
        self.patches.append(body)
        metadata = {**live(FINALIZER)["metadata"], "resourceVersion": "2"}
        return {"apiVersion": "defender-devops.io/v1alpha1", "kind": "AzureDevOpsConnector", "metadata": metadata}


def live(*finalizers: str) -> dict[str, Any]:
    return {"metadata": {"name": "contoso", "namespace": "team", "uid": "1", "finalizers": list(finalizers)}}


async def test_a_finalizer_that_another_installation_has_added_is_a_conflict() -> None:
    client = Client()
    with pytest.raises(KubernetesConflict, match="planned again"):
        await Connectors(cast("KubernetesClient", client)).add_finalizer(live("example.com/x", FINALIZER))
    assert client.patches == []


async def test_the_finalizer_is_added_beside_others() -> None:
    client = Client()
    await Connectors(cast("KubernetesClient", client)).add_finalizer(live("example.com/x"))
    (patch,) = client.patches
    assert {"op": "test", "path": "/metadata/finalizers", "value": ["example.com/x"]} in patch
    assert {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/x", FINALIZER]} in patch
