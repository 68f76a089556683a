"""What does not have the shape that was asked for is an outage of Azure: every operation, every kind of garbage.

A new method of a client fails here until it has a case.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from defender_devops.api.azure_types import Annotations, AutoDiscovery
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.resource_graph.client import ResourceGraph
from defender_devops.azure.resources import pricings, subscriptions
from defender_devops.azure.resources.role_assignments import SECURITY_READER, RoleAssignments
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.errors import AzureUnavailable
from tests.unit.azure.fakes import ENDPOINT, REF, SUBSCRIPTION, answer, azure_with

OTHER_ID = REF.id.replace("contoso", "northwind")
BELOW = f"{REF.id}/devops/default"
CONNECTOR = {
    "id": REF.id.lower(),
    "name": "contoso",
    "location": "westeurope",
    "tags": {"a": "b"},
    "properties": {"environmentName": "AzureDevOps", "hierarchyIdentifier": "h"},
}
CONFIGURATION = {"id": BELOW, "name": "default", "properties": {"provisioningState": "Succeeded"}}
ORGANIZATION = {
    "id": f"{BELOW}/azureDevOpsOrgs/contoso",
    "name": "contoso",
    "properties": {"onboardingState": "Onboarded"},
}
PRICING_ID = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Security/pricings/CloudPosture"
PRICING = {"id": PRICING_ID, "name": "CloudPosture", "properties": {"pricingTier": "Free"}}
ASSIGNMENT = {
    "id": f"{REF.id}/providers/Microsoft.Authorization/roleAssignments/{SECURITY_READER}",
    "name": SECURITY_READER,
    "properties": {"scope": REF.id, "principalId": "p", "roleDefinitionId": "r"},
}
ROWS = {"totalRecords": 1, "count": 1, "data": [{"id": REF.id}], "resultTruncated": "false"}


@dataclass(frozen=True)
class Operation:
    """One operation of a client.

    Attributes:
        call: sends it.
        valid: body of a valid response.
        entry: key of a list's entries in that body; None for an object.
        names_resource: whether another resource in the response is recognized.
        is_evaluated: whether something follows from the content of a successful response.
    """

    call: Callable[[ArmClient], Awaitable[Any]]
    valid: Mapping[str, Any]
    entry: str | None = None
    names_resource: bool = True
    is_evaluated: bool = True


def connectors(call: Callable[[SecurityConnectors], Awaitable[Any]]) -> Callable[[ArmClient], Awaitable[Any]]:
    return lambda arm: call(SecurityConnectors(arm))


def assignments(call: Callable[[RoleAssignments], Awaitable[Any]]) -> Callable[[ArmClient], Awaitable[Any]]:
    return lambda arm: call(RoleAssignments(arm))


async def consume(pages: Any) -> None:  # noqa: ANN401 - an asynchronous iterator
    async for _ in pages:
        pass


async def raise_batch_error(arm: ArmClient) -> None:
    """Raise the error that a batch contains in place of rows."""
    async for batch in ResourceGraph(arm).batch_answers("q", [SUBSCRIPTION], dict):
        if batch.error is not None:
            raise batch.error


OPERATIONS: dict[str, Operation] = {
    "SecurityConnectors.get": Operation(connectors(lambda c: c.get(REF)), CONNECTOR),
    "SecurityConnectors.list_in": Operation(
        connectors(lambda c: c.list_in(SUBSCRIPTION)), {"value": [CONNECTOR]}, "value", names_resource=False
    ),
    "SecurityConnectors.create": Operation(
        connectors(lambda c: c.create(REF, location="westeurope", tags={}, hierarchy_identifier="h")), CONNECTOR
    ),
    "SecurityConnectors.set_tags": Operation(connectors(lambda c: c.set_tags(REF, {})), CONNECTOR),
    "SecurityConnectors.delete": Operation(connectors(lambda c: c.delete(REF)), CONNECTOR),
    "SecurityConnectors.get_configuration": Operation(connectors(lambda c: c.get_configuration(REF)), CONFIGURATION),
    "SecurityConnectors.create_configuration": Operation(
        connectors(
            lambda c: c.create_configuration(REF, code=SecretStr("code"), auto_discovery=AutoDiscovery.DISABLED)
        ),
        CONFIGURATION,
        is_evaluated=False,
    ),
    "SecurityConnectors.update_configuration": Operation(
        connectors(lambda c: c.update_configuration(REF, inventory=())), CONFIGURATION, is_evaluated=False
    ),
    "SecurityConnectors.organizations": Operation(
        connectors(lambda c: c.organizations(REF)), {"value": [ORGANIZATION]}, "value"
    ),
    # What the id of an organization that another connector has onboarded looks like is not documented.
    "SecurityConnectors.available_organizations": Operation(
        connectors(lambda c: c.available_organizations(REF)), {"value": [ORGANIZATION]}, "value", names_resource=False
    ),
    "SecurityConnectors.set_annotations": Operation(
        connectors(lambda c: c.set_annotations(REF, "contoso", Annotations(enabled=False))),
        ORGANIZATION,
        is_evaluated=False,
    ),
    "SecurityConnectors.count": Operation(
        connectors(lambda c: c.count(REF, "contoso")), {"value": [ORGANIZATION]}, "value", names_resource=False
    ),
    # Assignments at another scope are inherited ones.
    "RoleAssignments.list_at": Operation(
        assignments(lambda r: r.list_at(REF)), {"value": [ASSIGNMENT]}, "value", names_resource=False
    ),
    "RoleAssignments.create": Operation(
        assignments(lambda r: r.create(REF, SECURITY_READER, "p", "User")), ASSIGNMENT, is_evaluated=False
    ),
    "RoleAssignments.delete": Operation(
        assignments(lambda r: r.delete(REF, SECURITY_READER)), ASSIGNMENT, is_evaluated=False
    ),
    "ResourceGraph.pages": Operation(
        lambda arm: consume(ResourceGraph(arm).pages("q")), ROWS, "data", names_resource=False
    ),
    "ResourceGraph.rows": Operation(lambda arm: ResourceGraph(arm).rows("q"), ROWS, "data", names_resource=False),
    "ResourceGraph.batch_answers": Operation(raise_batch_error, ROWS, "data", names_resource=False),
    "ResourceGraph.parsed_rows": Operation(
        lambda arm: ResourceGraph(arm).parsed_rows("q", [SUBSCRIPTION], dict), ROWS, "data", names_resource=False
    ),
    "pricings.is_defender_cspm_enabled": Operation(
        lambda arm: pricings.is_defender_cspm_enabled(arm, SUBSCRIPTION), PRICING
    ),
    "subscriptions.tenant_of_subscription": Operation(
        lambda arm: subscriptions.tenant_of_subscription(arm, SUBSCRIPTION),
        {"id": f"/subscriptions/{SUBSCRIPTION}", "subscriptionId": SUBSCRIPTION, "tenantId": "t"},
    ),
}

HTML = {"Content-Type": "text/html"}
NO_OBJECT = {
    "an array": answer(200, []),
    "null": httpx.Response(200, content=b"null"),
    "a number": answer(200, 7),
    "a text": answer(200, "x"),
    "HTML": httpx.Response(200, headers=HTML, content=b"<html>Sign in</html>"),
    "bytes": httpx.Response(200, content=b"\xff\xfe\x00"),
}
NOT_OF_AZURE = {
    **{
        f"{status} without a body": httpx.Response(status, content=b"")
        for status in (301, 302, 307, 308, 400, 404, 405, 410, 418, 422, 502)
    },
    "404 as a text": httpx.Response(404, content=b"404 page not found"),
    "404 as HTML": httpx.Response(404, headers=HTML, content=b"<html>Not found</html>"),
    "404 of a gateway": answer(404, {"message": "no Route matched with those values"}),
    "404 with an empty error": answer(404, {"error": {}}),
    "404 with an error of null": answer(404, {"error": None}),
    "404 as an array": answer(404, []),
    "400 of a gateway": answer(400, {"error": "Bad Request"}),
}
EMPTY = {"204": answer(204), "an empty 200": answer(200), "{}": answer(200, {})}


def defects(operation: Operation) -> Iterator[tuple[str, httpx.Response]]:
    """Yield the responses that have the form of an object, and not what was requested."""
    whole = json.dumps(operation.valid).encode()
    yield "truncated", httpx.Response(200, content=whole[: len(whole) // 2])
    if operation.entry is None:
        yield from object_defects(dict(operation.valid), names_resource=operation.names_resource)
        return
    valid, entries = dict(operation.valid), operation.valid[operation.entry]
    for value in (None, {}, 7, "x", [None], [[]], [{}], [*entries, None], [*entries, {}]):
        yield f"{operation.entry}: {json.dumps(value)[:40]}", answer(200, {**valid, operation.entry: value})
    yield from (row_defects if operation.entry == "data" else list_defects)(valid)
    if operation.names_resource:
        moved = {**entries[0], "id": f"{OTHER_ID}/devops/default/azureDevOpsOrgs/contoso"}
        yield "an entry of another resource", answer(200, {"value": [*entries, moved]})


def object_defects(valid: dict[str, Any], *, names_resource: bool) -> Iterator[tuple[str, httpx.Response]]:
    for key in {"properties", "tenantId"} & valid.keys():
        for value in (None, [], 7):
            yield f"{key}: {value}", answer(200, {**valid, key: value})
        yield f"no {key}", answer(200, {name: part for name, part in valid.items() if name != key})
    if names_resource:
        for key in ("subscriptionId",) if "subscriptionId" in valid else ("id", "name"):
            yield f"another {key}", answer(200, {**valid, key: f"{valid[key]}x"})
        yield "another object", answer(200, {"id": OTHER_ID, "name": "northwind", "properties": {"x": "y"}})


def list_defects(valid: dict[str, Any]) -> Iterator[tuple[str, httpx.Response]]:
    for value in (None, [], {}):
        yield f"properties: {value}", answer(200, {**valid, "value": [{**valid["value"][0], "properties": value}]})
    for link in (7, {}, ["x"], "https://elsewhere.example/x", "http://[", f"{ENDPOINT}/loop"):
        yield f"nextLink: {link}", answer(200, {**valid, "nextLink": link})


def row_defects(valid: dict[str, Any]) -> Iterator[tuple[str, httpx.Response]]:
    for change in ({"totalRecords": None}, {"totalRecords": "1"}, {"totalRecords": 2}, {"$skipToken": 7}):
        yield str(change), answer(200, {**valid, **change})
    yield "rows without an id", answer(200, {**valid, "data": [{"x": 1}]})
    yield "no rows, and nothing else", answer(200, {"data": []})


def garbage(name: str) -> dict[str, httpx.Response]:
    """Return everything that is not a response to an operation."""
    operation, responses = OPERATIONS[name], {**NO_OBJECT, **NOT_OF_AZURE}
    if operation.is_evaluated:
        responses |= {**EMPTY, **dict(defects(operation))}
    if name == "SecurityConnectors.count":
        del responses["properties: {}"]  # the properties of a project are not used
    return responses


def public_methods() -> set[str]:
    """Return every operation of every client."""
    classes = (SecurityConnectors, RoleAssignments, ResourceGraph)
    methods = {
        f"{item.__name__}.{name}"
        for item in classes
        for name, _ in inspect.getmembers(item, inspect.isfunction)
        if not name.startswith("_")
    }
    functions = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in (pricings, subscriptions)
        for name in module.__all__
        if inspect.iscoroutinefunction(getattr(module, name))
    }
    return methods | functions


def test_every_operation_has_a_case() -> None:
    assert OPERATIONS.keys() == public_methods()


@pytest.mark.parametrize("name", OPERATIONS)
async def test_the_valid_response_of_each_case_is_accepted(name: str) -> None:
    if name == "SecurityConnectors.delete":
        return  # it is not an error only once the connector is gone
    await OPERATIONS[name].call(azure_with(answer(200, OPERATIONS[name].valid)).arm)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_garbage_is_an_outage(name: str) -> None:
    believed = []
    for kind, response in garbage(name).items():
        azure = azure_with(response)
        try:
            await OPERATIONS[name].call(azure.arm)
            believed.append(kind)
        except AzureUnavailable:
            pass
        assert len(azure.requests) <= 6, "the retries are bounded"
        assert {request.url.host for request in azure.requests} == {"management.example"}
    assert believed == []


async def test_a_deletion_that_leaves_the_connector_is_no_deletion() -> None:
    azure = azure_with(answer(200), answer(200, CONNECTOR))
    with pytest.raises(Exception, match="still returns it"):
        await SecurityConnectors(azure.arm).delete(REF)
