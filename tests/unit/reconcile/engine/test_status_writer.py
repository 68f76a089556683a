"""The claim that the first status of a connector makes is never written over that of another installation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.cache.write_through import WriteThrough
from defender_devops.reconcile.status_writer import StatusWriter
from tests.support.manifests import connector as connector_manifest
from tests.support.manifests import merge

KEY = Key("security", "contoso")
OWN, OTHER = {"name": "own", "lease": "security/own"}, {"name": "other", "lease": "security/other"}


async def written(status: dict[str, Any], version: str | None = None) -> tuple[dict[str, Any], str | None]:
    """Write a status over one that the cache holds; return the patch and the version that it has to replace."""
    writes: list[tuple[dict[str, Any], str | None]] = []
    metadata = {"namespace": "security", "name": "contoso", "uid": "u", "resourceVersion": "7", "generation": 1}
    body = merge(connector_manifest(), {"metadata": metadata, "status": status})

    async def patch_status(
        _namespace: str, _name: str, patch: dict[str, Any], *, resource_version: str | None
    ) -> dict[str, Any]:
        writes.append((patch, resource_version))
        return merge(body, {"status": patch, "metadata": {"resourceVersion": "8"}})

    resources = ResourceCache()
    resources.upsert_connector(body)
    connectors = cast("Any", SimpleNamespace(patch_status=patch_status))
    events = cast("Any", SimpleNamespace(emit=lambda *_: None))
    write_through = WriteThrough(resources, lambda _: None)
    writer = StatusWriter(resources, write_through, connectors, cast("Any", None), events, OWN)
    await writer.write_connector(KEY, {"observedGeneration": 1}, version=version)
    return writes[0]


async def test_the_first_status_claims_the_connector_only_over_the_version_without_a_claim() -> None:
    patch, version = await written({})
    assert (patch["operator"], version) == (OWN, "7")


@pytest.mark.parametrize("claim", [OWN, OTHER], ids=["own", "other"])
async def test_a_later_status_leaves_the_claim_alone_and_replaces_any_version(claim: dict[str, str]) -> None:
    patch, version = await written({"operator": claim})
    assert ("operator" in patch, version) == (False, None)


async def test_a_status_that_rests_on_a_version_keeps_it() -> None:
    assert (await written({}, "6"))[1] == "6"
