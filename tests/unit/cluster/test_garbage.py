"""What is not a response of an API server is an outage of it: every operation, every kind of garbage.

A new method of a client fails here until it has a case.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from defender_devops.api.connector import parse_connector
from defender_devops.api.organization import parse_organization
from defender_devops.cluster.client import KubernetesClient
from defender_devops.cluster.cluster_uid import cluster_uid
from defender_devops.cluster.connectors import Connectors
from defender_devops.cluster.lease import Leases
from defender_devops.cluster.list_uids import list_uids
from defender_devops.cluster.organizations import Organizations
from defender_devops.cluster.secrets import Secrets
from defender_devops.cluster.service_accounts import ServiceAccounts
from defender_devops.cluster.user_actions import UserActions
from defender_devops.errors import KubernetesUnavailable
from tests.support.fakes.kubernetes_api import FakeKubernetesApi
from tests.support.manifests import connector as connector_manifest
from tests.support.manifests import merge

NS = "security"
STORED = {"namespace": NS, "uid": "77777777-7777-7777-7777-777777777777", "resourceVersion": "7", "generation": 1}
API = "defender-devops.io/v1alpha1"


def stored(kind: str, name: str, api: str = API, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"apiVersion": api, "kind": kind, "metadata": {**STORED, "name": name}, **fields}


CONNECTOR = merge(connector_manifest(namespace=NS), {"metadata": {**STORED, "name": "contoso"}})
ORGANIZATION = stored(
    "DevOpsOrganization", "contoso-a", spec={"connectorRef": {"name": "contoso"}, "organization": "a"}
)
SECRET = stored("Secret", "code", "v1", data={"code": "Y29kZQ=="})
NAMESPACE = stored("Namespace", "kube-system", "v1", spec={})
LEASE = stored("Lease", "operator", "coordination.k8s.io/v1", spec={"holderIdentity": "a", "leaseDurationSeconds": 10})
TOKEN = {
    "apiVersion": "authentication.k8s.io/v1",
    "kind": "TokenRequest",
    "metadata": {"name": "sa"},
    "status": {"token": "t", "expirationTimestamp": "2099-01-01T00:00:00Z"},
}


def list_of(*items: Mapping[str, Any]) -> dict[str, Any]:
    kind = f"{items[0]['kind']}List"
    return {"apiVersion": API, "kind": kind, "metadata": {"resourceVersion": "9"}, "items": list(items)}


@dataclass(frozen=True)
class Operation:
    """One operation of a client, and the body of a valid response to it.

    Attributes:
        call: sends it.
        valid: body of a valid response.
        is_evaluated: whether something follows from the content of a successful response.
    """

    call: Callable[[KubernetesClient], Awaitable[Any]]
    valid: Mapping[str, Any]
    is_evaluated: bool = True


async def consume(items: AsyncIterator[Any]) -> None:
    async for _ in items:
        pass


def connector() -> Any:  # noqa: ANN401 - a parsed resource
    return parse_connector(CONNECTOR)


def organization() -> Any:  # noqa: ANN401 - a parsed resource
    return parse_organization(ORGANIZATION)


FINALIZED = merge(CONNECTOR, {"metadata": {"finalizers": ["defender-devops.io/finalizer"]}})
OPERATIONS: dict[str, Operation] = {
    "Connectors.items": Operation(lambda c: consume(Connectors(c).items(NS)), list_of(CONNECTOR)),
    "Connectors.get": Operation(lambda c: Connectors(c).get(NS, "contoso"), CONNECTOR),
    "Connectors.patch_status": Operation(lambda c: Connectors(c).patch_status(NS, "contoso", {}), CONNECTOR),
    "Connectors.claim": Operation(lambda c: Connectors(c).claim(CONNECTOR, {}), CONNECTOR),
    "Connectors.add_finalizer": Operation(lambda c: Connectors(c).add_finalizer(CONNECTOR), CONNECTOR),
    "Connectors.remove_finalizer": Operation(lambda c: Connectors(c).remove_finalizer(FINALIZED), CONNECTOR),
    "Organizations.items": Operation(lambda c: consume(Organizations(c).items(NS)), list_of(ORGANIZATION)),
    "Organizations.create": Operation(
        lambda c: Organizations(c).create(NS, "contoso-a", connector(), "a"), ORGANIZATION
    ),
    "Organizations.delete": Operation(
        lambda c: Organizations(c).delete(NS, "contoso-a", "u", "7"), ORGANIZATION, is_evaluated=False
    ),
    "Organizations.restore": Operation(lambda c: Organizations(c).restore(organization(), connector()), ORGANIZATION),
    "Organizations.release": Operation(lambda c: Organizations(c).release(organization()), ORGANIZATION),
    "Organizations.patch_status": Operation(lambda c: Organizations(c).patch_status(NS, "contoso-a", {}), ORGANIZATION),
    "Secrets.read": Operation(lambda c: Secrets(c).read(NS, "code"), SECRET),
    "Secrets.create": Operation(lambda c: Secrets(c).create(SECRET), SECRET),
    "Secrets.replace": Operation(lambda c: Secrets(c).replace(SECRET), SECRET),
    "Secrets.read_key": Operation(lambda c: Secrets(c).read_key(NS, "code", "code"), SECRET),
    "Secrets.read_credential": Operation(lambda c: Secrets(c).read_credential(NS, "code", "code"), SECRET),
    "Secrets.read_typed_key": Operation(lambda c: Secrets(c).read_typed_key(NS, "code", "code"), SECRET),
    "ServiceAccounts.token": Operation(lambda c: ServiceAccounts(c).token(NS, "sa", "audience"), TOKEN),
    "UserActions.get": Operation(lambda c: UserActions(c).get(NS, "contoso"), CONNECTOR),
    "UserActions.request_reconcile": Operation(
        lambda c: UserActions(c).request_reconcile(NS, "contoso", "now"), CONNECTOR
    ),
    "UserActions.suspend": Operation(lambda c: UserActions(c).suspend(NS, "contoso"), CONNECTOR),
    "UserActions.resume": Operation(lambda c: UserActions(c).resume(NS, "contoso"), CONNECTOR),
    "UserActions.dry_run": Operation(
        lambda c: UserActions(c).dry_run(CONNECTOR, CONNECTOR), CONNECTOR, is_evaluated=False
    ),
    "Leases.read": Operation(lambda c: Leases(c).read(NS, "operator"), LEASE),
    "cluster_uid": Operation(cluster_uid, NAMESPACE),
    "list_uids": Operation(lambda c: list_uids(c, "azuredevopsconnectors", NS), list_of(CONNECTOR)),
}

Response = tuple[int, dict[str, str], bytes]
HTML = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json"}
ELSEWHERE = {"Location": "/elsewhere"}
NO_OBJECT: dict[str, Response] = {
    "204": (204, {}, b""),
    "an empty 200": (200, JSON, b""),
    "an array": (200, JSON, b"[]"),
    "null": (200, JSON, b"null"),
    "a text": (200, JSON, b'"x"'),
    "HTML": (200, HTML, b"<html>Sign in</html>"),
    "bytes": (200, JSON, b"\xff\xfe\x00"),
    **{f"a redirect {status}": (status, ELSEWHERE, b"") for status in (301, 302, 303, 307, 308)},
    **{f"{status} of a proxy": (status, HTML, b"<html>No</html>") for status in (400, 403, 405, 409, 422, 502)},
    "403 of a gateway": (403, JSON, b'{"message": "Forbidden"}'),
    "409 as an array": (409, JSON, b"[]"),
}
NOT_FOUND: dict[str, Response] = {
    "404 of a proxy": (404, {"Content-Type": "text/plain"}, b"default backend - 404"),
    "404 as an array": (404, JSON, b"[]"),
    "404 of a gateway": (404, JSON, b'{"message": "no Route matched with those values"}'),
}


def ok(body: object) -> Response:
    return 200, JSON, json.dumps(body).encode()


def defects(operation: Operation) -> Iterator[tuple[str, Response]]:
    """Yield the responses that are objects, and not what was requested."""
    valid = dict(operation.valid)
    status, headers, whole = ok(valid)
    yield "truncated", (status, headers, whole[: len(whole) // 2])
    yield "{}", ok({})
    yield "a Status", ok({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success"})
    if valid["kind"] == "TokenRequest":
        yield from token_defects(valid)
        return
    for value in (None, [], 7):
        yield f"metadata: {value}", ok({**valid, "metadata": value})
    yield from (list_defects if "items" in valid else object_defects)(valid)


def token_defects(valid: dict[str, Any]) -> Iterator[tuple[str, Response]]:
    for value in (None, [], {}, {"token": "t"}, {**valid["status"], "token": 7}, {**valid["status"], "token": ""}):
        yield f"status: {value}", ok({**valid, "status": value})
    yield "no time", ok({**valid, "status": {"token": "t", "expirationTimestamp": "soon"}})


def list_defects(valid: dict[str, Any]) -> Iterator[tuple[str, Response]]:
    for value in ({}, 7, "x", [None], [[]], [{}], [{"metadata": None}]):
        yield f"items: {value}", ok({**valid, "items": value})
    yield "an object in place of a list", ok(valid["items"][0])
    yield "pages without an end", ok({**valid, "metadata": {"resourceVersion": "9", "continue": "t"}})


def object_defects(valid: dict[str, Any]) -> Iterator[tuple[str, Response]]:
    yield "another kind", ok({**valid, "kind": "ConfigMap"})
    for key in ("name", "uid", "resourceVersion"):
        for value in (None, "", 7):
            yield f"{key}: {value!r}", ok({**valid, "metadata": {**valid["metadata"], key: value}})
    yield "another name", ok({**valid, "metadata": {**valid["metadata"], "name": "northwind"}})
    if valid["kind"] == "Secret":
        for data in ([], "x", {"code": 7}):
            yield f"data: {data}", ok({**valid, "data": data})
    else:
        yield "spec: null", ok({**valid, "spec": None})
    if valid["kind"] == "Lease":
        for field, value in (("holderIdentity", 7), ("leaseDurationSeconds", "x"), ("leaseTransitions", [])):
            yield f"{field}: {value}", ok({**valid, "spec": {**valid["spec"], field: value}})


def garbage(operation: Operation) -> dict[str, Response]:
    """Return everything that is not a response to an operation."""
    responses = dict(NO_OBJECT)
    if "items" not in operation.valid:  # the API server itself answers so where the kind does not exist
        responses |= NOT_FOUND
    return responses | (dict(defects(operation)) if operation.is_evaluated else {})


def test_every_operation_has_a_case() -> None:
    classes = (Connectors, Organizations, Secrets, ServiceAccounts, UserActions, Leases)
    methods = {
        f"{item.__name__}.{name}"
        for item in classes
        for name, _ in inspect.getmembers(item, inspect.isfunction)
        if not name.startswith("_")
    }
    assert OPERATIONS.keys() == methods | {"cluster_uid", "list_uids"}


def answer_always(server: FakeKubernetesApi, response: Response) -> None:
    status, headers, body = response

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers, body=body)

    server.responses = [answer] * 10


@pytest.mark.parametrize("name", OPERATIONS)
async def test_the_valid_response_of_each_case_is_accepted(
    client: KubernetesClient, server: FakeKubernetesApi, name: str
) -> None:
    answer_always(server, ok(OPERATIONS[name].valid))
    await OPERATIONS[name].call(client)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_garbage_is_an_outage(
    client: KubernetesClient, server: FakeKubernetesApi, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("defender_devops.cluster.client._PAGES_MAX", 3)
    believed = []
    for kind, response in garbage(OPERATIONS[name]).items():
        answer_always(server, response)
        try:
            await OPERATIONS[name].call(client)
            believed.append(kind)
        except KubernetesUnavailable:
            pass
    assert believed == []
    assert "/elsewhere" not in {request.path for request in server.requests}
