"""Carrying a plan out: what is told to whom, and where it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

import httpx
import pytest

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.azure.resource_graph.poller import ResourceGraphPoller
from defender_devops.azure.resources.role_assignments import RoleAssignments
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.cluster.connectors import Connectors
from defender_devops.cluster.organizations import Organizations
from defender_devops.reconcile.actions.action import Action
from defender_devops.reconcile.actions.azure import DeleteConnector, RemoveOwnerTags, SetTags
from defender_devops.reconcile.actions.executor import ExecutionContext, ExecutionResult, Executor
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.cache.write_through import WriteThrough
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot
from defender_devops.reconcile.observe.azure_access import AzureAccess
from tests.unit.azure.fakes import FakeAzure, answer, arm_error
from tests.unit.reconcile.builder import CONNECTOR_ID, NOW, cloud_of, snapshot

TAGGED = answer(200, {"id": CONNECTOR_ID, "name": "contoso", "location": "westeurope", "tags": {"a": "b"}})
STEP = SetTags({"a": "b"}, ("a",))


@dataclass
class Bench:
    """An executor on a scripted Azure.

    Attributes:
        noted: connectors that were told to be written, and how many requests had been sent by then.
    """

    azure: FakeAzure
    noted: list[tuple[str, int]] = field(default_factory=list)

    async def execute(self, *steps: Action) -> ExecutionResult:
        """Carry steps out on the connector of the default world."""
        resources, arm = ResourceCache(), self.azure.arm
        nobody = cast("Connectors", None), cast("Organizations", None)  # steps for Azure need no Kubernetes
        executor = Executor(resources, WriteThrough(resources, lambda _: None), *nobody, lambda: NOW)
        poller = ResourceGraphPoller(arm, interval=300, on_changes=lambda _: None)
        access = AzureAccess(SecurityConnectors(arm), RoleAssignments(arm), poller, self._note)
        persist_code_hash = cast("Callable[[ConnectorSnapshot], Awaitable[None]]", None)
        context = ExecutionContext(Key("security", "contoso"), access, None, persist_code_hash)
        return await executor.execute(steps, snapshot(), context)

    def _note(self, ref: ConnectorRef) -> None:
        self.noted.append((ref.name, len(self.azure.requests)))


@pytest.mark.parametrize(
    "given", [TAGGED, arm_error(403, "AuthorizationFailed", "No."), httpx.ReadError("cut")], ids=["done", "no", "cut"]
)
async def test_every_watcher_hears_of_a_write_before_it_and_after_it(given: httpx.Response | Exception) -> None:
    context = Bench(FakeAzure([given]))
    await context.execute(STEP)
    (first, sent_before), (last, sent_after) = context.noted
    assert first == last == "contoso"
    assert sent_before == 0
    assert sent_after == len(context.azure.requests) >= 1


async def test_the_first_step_that_fails_ends_the_plan_and_those_before_it_count() -> None:
    context = Bench(FakeAzure([TAGGED, arm_error(403, "AuthorizationFailed", "No.")]))
    done = await context.execute(STEP, DeleteConnector(CONNECTOR_ID), SetTags({}, ()))
    assert done.steps == (STEP,)
    assert done.failure is not None
    assert done.failure.reason == "Forbidden"
    connector = cloud_of(done.snapshot).connector
    assert connector is not None
    assert connector.tags == {"a": "b"}


async def test_a_courtesy_that_fails_is_left_out_and_the_next_step_follows() -> None:
    context = Bench(FakeAzure([arm_error(403, "AuthorizationFailed", "No."), TAGGED]))
    done = await context.execute(RemoveOwnerTags({}, ()), STEP)
    assert done.steps == (STEP,)
    assert done.failure is None
