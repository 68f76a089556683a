"""Executing a plan: notifications of writes, and where it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import pytest

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.azure.resource_graph.poller import ResourceGraphPoller
from defender_devops.azure.resources.role_assignments import RoleAssignments
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.cluster.connectors import Connectors
from defender_devops.cluster.organizations import Organizations
from defender_devops.errors import KubernetesRefused, OperatorError
from defender_devops.reconcile.actions.action import Action
from defender_devops.reconcile.actions.azure import (
    AssignReader,
    CreateConnector,
    DeleteConnector,
    RemoveOwnerTags,
    RemoveReader,
    SetTags,
)
from defender_devops.reconcile.actions.executor import ExecutionContext, ExecutionResult, Executor
from defender_devops.reconcile.actions.kubernetes import CreateOrganization
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.cache.write_through import WriteThrough
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot
from defender_devops.reconcile.observe.azure_access import AzureAccess
from tests.unit.azure.fakes import FakeAzure, answer, arm_error
from tests.unit.reconcile.builder import CONNECTOR_ID, NOW, cloud_of, snapshot

TAGGED = answer(
    200,
    {
        "id": CONNECTOR_ID,
        "name": "contoso",
        "location": "westeurope",
        "tags": {"a": "b"},
        "properties": {"environmentName": "AzureDevOps"},
    },
)
ACTION = SetTags({"a": "b"}, ("a",))


@dataclass
class FakeOrganizations:
    """Creates organizations, or raises an error.

    Attributes:
        error: raised by every request.
        created: names of the created ones.
    """

    error: OperatorError | None = None
    created: list[str] = field(default_factory=list)

    async def create(
        self, namespace: str, name: str, connector: AzureDevOpsConnector, organization: str
    ) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        self.created.append(name)
        spec = {"connectorRef": {"name": connector.metadata.name}, "organization": organization}
        metadata = {"name": name, "namespace": namespace, "uid": name, "resourceVersion": "1", "generation": 1}
        return {"kind": "DevOpsOrganization", "metadata": metadata, "spec": spec}


@dataclass
class ExecutorSetup:
    """An executor with a scripted Azure.

    Attributes:
        writes: connectors in notifications of writes, and how many requests had been sent by then.
    """

    azure: FakeAzure
    writes: list[tuple[str, int]] = field(default_factory=list)
    resources: ResourceCache = field(default_factory=ResourceCache)
    organizations: FakeOrganizations = field(default_factory=FakeOrganizations)

    async def execute(self, *actions: Action) -> ExecutionResult:
        """Execute actions on the connector of the default world."""
        resources, arm = self.resources, self.azure.arm
        clients = cast("Connectors", None), cast("Organizations", self.organizations)
        executor = Executor(resources, WriteThrough(resources, lambda _: None), *clients, lambda: NOW)
        poller = ResourceGraphPoller(arm, interval=300, on_changes=lambda _: None)
        access = AzureAccess(SecurityConnectors(arm), RoleAssignments(arm), poller, self._note)
        persist_code_hash = cast("Callable[[ConnectorSnapshot], Awaitable[None]]", None)
        context = ExecutionContext(Key("security", "contoso"), access, None, persist_code_hash)
        return await executor.execute(actions, snapshot(), context)

    def _note(self, ref: ConnectorRef) -> None:
        self.writes.append((ref.name, len(self.azure.requests)))


@pytest.mark.parametrize(
    "response",
    [TAGGED, arm_error(403, "AuthorizationFailed", "No."), httpx.ReadError("cut")],
    ids=["done", "no", "cut"],
)
async def test_pollers_are_notified_of_a_write_before_it_and_after_it(response: httpx.Response | Exception) -> None:
    setup = ExecutorSetup(FakeAzure([response]))
    await setup.execute(ACTION)
    (first, requests_at_first), (last, requests_at_last) = setup.writes
    assert first == last == "contoso"
    assert requests_at_first == 0
    assert requests_at_last == len(setup.azure.requests) >= 1


async def test_the_first_action_that_fails_ends_the_plan_and_those_before_it_count() -> None:
    setup = ExecutorSetup(FakeAzure([TAGGED, arm_error(403, "AuthorizationFailed", "No.")]))
    result = await setup.execute(ACTION, DeleteConnector(CONNECTOR_ID), SetTags({}, ()))
    assert result.actions == (ACTION,)
    assert result.failure is not None
    assert result.failure.reason == "Forbidden"
    connector = cloud_of(result.snapshot).connector
    assert connector is not None
    assert connector.tags == {"a": "b"}


CREATE_ORGANIZATION = CreateOrganization("contoso-fabrikam", "fabrikam")


async def test_organizations_get_their_resources_although_a_write_to_azure_failed() -> None:
    setup = ExecutorSetup(FakeAzure([arm_error(400, "UnmatchedPrincipalType", "No."), TAGGED]))
    result = await setup.execute(AssignReader("name", "principal", "User", "role"), ACTION, CREATE_ORGANIZATION)
    assert result.actions == (CREATE_ORGANIZATION,)
    assert result.failure is not None
    assert "UnmatchedPrincipalType" in result.failure.message
    assert setup.organizations.created == ["contoso-fabrikam"]
    assert len(setup.azure.requests) == 1


async def test_a_reader_that_left_loses_the_role_although_another_one_is_refused() -> None:
    setup = ExecutorSetup(FakeAzure([arm_error(400, "UnmatchedPrincipalType", "No."), answer(200, {})]))
    removal = RemoveReader("other", "principal")
    result = await setup.execute(AssignReader("name", "principal", "User", "role"), removal)
    assert result.actions == (removal,)
    assert result.failure is not None
    assert [request.method for request in setup.azure.requests] == ["PUT", "DELETE"]


async def test_after_a_failed_write_to_kubernetes_nothing_follows_and_the_first_failure_is_reported() -> None:
    setup = ExecutorSetup(FakeAzure([arm_error(403, "AuthorizationFailed", "No.")]))
    setup.organizations.error = KubernetesRefused("No rights.")
    another = CreateOrganization("contoso-tailspin", "tailspin")
    result = await setup.execute(ACTION, CREATE_ORGANIZATION, another)
    assert result.actions == ()
    assert result.failure is not None
    assert result.failure.reason == "Forbidden"
    result = await setup.execute(CREATE_ORGANIZATION, ACTION)
    assert result.failure is not None
    assert result.failure.message == "No rights."
    assert len(setup.azure.requests) == 1


async def test_a_best_effort_action_that_fails_is_skipped_and_the_next_one_follows() -> None:
    setup = ExecutorSetup(FakeAzure([arm_error(403, "AuthorizationFailed", "No."), TAGGED]))
    result = await setup.execute(RemoveOwnerTags({}, ()), ACTION)
    assert result.actions == (ACTION,)
    assert result.failure is None


async def test_a_connector_is_not_created_in_a_place_that_was_corrected_meanwhile() -> None:
    setup = ExecutorSetup(FakeAzure([]))
    connector = snapshot().connector
    body = connector.dump()
    body["metadata"] |= {"generation": connector.metadata.generation + 1, "resourceVersion": "9"}
    setup.resources.upsert_connector(body)
    result = await setup.execute(CreateConnector(CONNECTOR_ID, "westeurope", {}, "guid"))
    assert result.failure is not None
    assert "The spec was changed before the connector was created" in result.failure.message
    assert setup.azure.requests == []
