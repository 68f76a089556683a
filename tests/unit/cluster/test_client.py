from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.cluster.client import JSON_PATCH, MERGE_PATCH, KubernetesClient, api_path, path_with_query
from defender_devops.cluster.kubeconfig.credentials import CredentialsLoader
from defender_devops.errors import KubernetesConflict, KubernetesNotFound, KubernetesRefused, KubernetesUnavailable
from tests.support.fakes.kubernetes_api import FakeKubernetesApi, write_kubeconfig

CONNECTORS = api_path("defender-devops.io/v1alpha1", "azuredevopsconnectors", "security")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (api_path("v1", "secrets"), "/api/v1/secrets"),
        (api_path("v1", "secrets", "security", "a"), "/api/v1/namespaces/security/secrets/a"),
        (api_path("events.k8s.io/v1", "events", "ns"), "/apis/events.k8s.io/v1/namespaces/ns/events"),
        (api_path("v1", "serviceaccounts", "ns", "sa", "token"), "/api/v1/namespaces/ns/serviceaccounts/sa/token"),
        (path_with_query("/api/v1/secrets"), "/api/v1/secrets"),
        (path_with_query("/api/v1/secrets", a="b c"), "/api/v1/secrets?a=b+c"),
        (path_with_query("/api/v1/secrets?x=y", a="b"), "/api/v1/secrets?x=y&a=b"),
    ],
)
def test_paths_follow_the_api_conventions(url: str, expected: str) -> None:
    assert url == expected


@given(st.text(min_size=1))
def test_a_name_cannot_leave_its_path(name: str) -> None:
    url = api_path("v1", "secrets", name, name, "token")
    assert url.count("/") == 7
    assert not set("?#&").intersection(url)


async def test_a_request_has_the_token_and_a_user_agent(client: KubernetesClient, server: FakeKubernetesApi) -> None:
    server.respond(200, {"kind": "AzureDevOpsConnector"})
    assert await client.get(f"{CONNECTORS}/contoso") == {"kind": "AzureDevOpsConnector"}
    request = server.requests[0]
    assert (request.method, request.path) == ("GET", f"{CONNECTORS}/contoso")
    assert request.headers["Authorization"] == "Bearer first"
    assert request.headers["User-Agent"] == "defender-devops-operator"


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        (MERGE_PATCH, {"fieldManager": "defender-devops-operator"}),
        (JSON_PATCH, {"fieldManager": "defender-devops-operator"}),
    ],
)
async def test_a_patch_has_its_content_type_and_field_manager(
    client: KubernetesClient, server: FakeKubernetesApi, kind: str, query: dict[str, str]
) -> None:
    await client.patch(f"{CONNECTORS}/contoso", {"spec": {}}, kind)
    request = server.requests[0]
    assert (request.method, request.query, request.headers["Content-Type"], request.body) == (
        "PATCH",
        query,
        kind,
        {"spec": {}},
    )


async def test_a_deletion_can_have_preconditions(client: KubernetesClient, server: FakeKubernetesApi) -> None:
    await client.delete(f"{CONNECTORS}/contoso", {"uid": "u", "resourceVersion": "7"})
    assert server.requests[0].body == {"preconditions": {"uid": "u", "resourceVersion": "7"}}


async def test_a_list_is_read_page_by_page_and_each_item_has_its_kind(
    client: KubernetesClient, server: FakeKubernetesApi
) -> None:
    head = {"apiVersion": "v1", "kind": "SecretList"}
    server.respond(200, {**head, "metadata": {"continue": "t"}, "items": [{"metadata": {"name": "a"}}]})
    server.respond(200, {**head, "metadata": {}, "items": [{"metadata": {"name": "b"}}]})
    items = [item async for item in client.items("/api/v1/secrets")]
    assert items == [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}} for name in "ab"]
    assert [request.query for request in server.requests] == [{"limit": "500"}, {"limit": "500", "continue": "t"}]


async def test_a_rejected_token_is_reloaded_and_the_request_repeated_once(
    client: KubernetesClient, server: FakeKubernetesApi, token_file: Path
) -> None:
    server.respond(401, {"message": "Unauthorized"})
    server.respond(200, {"fine": True})
    await client.credentials_loader.credentials()
    token_file.write_text("second\n")
    assert await client.get(CONNECTORS) == {"fine": True}
    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer first", "Bearer second"]


async def test_a_token_that_is_rejected_twice_is_a_transient_error(
    client: KubernetesClient, server: FakeKubernetesApi
) -> None:
    server.respond(401, {"message": "Unauthorized"})
    server.respond(401, {"message": "Unauthorized"})
    with pytest.raises(KubernetesUnavailable, match="rejected the operator's credentials"):
        await client.get(CONNECTORS)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "error"), [(404, KubernetesNotFound), (409, KubernetesConflict), (403, KubernetesRefused)]
)
async def test_errors_have_the_message_of_the_server(
    client: KubernetesClient, server: FakeKubernetesApi, status: int, error: type[Exception]
) -> None:
    server.respond(status, {"kind": "Status", "message": "the message of the server"})
    with pytest.raises(error, match=r"^the message of the server$"):
        await client.get(CONNECTORS)


async def test_an_unreachable_server_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{unused_tcp_port}", token="t")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    observed_requests: list[tuple[str, str, str]] = []
    client = KubernetesClient(
        CredentialsLoader(), lambda verb, resource, code, _: observed_requests.append((verb, resource, code))
    )
    with pytest.raises(KubernetesUnavailable, match="does not answer") as error_info:
        await client.get(CONNECTORS)
    assert "Bearer" not in str(error_info.value)
    assert observed_requests == [("list", "azuredevopsconnectors", "error")]
    await client.close()


async def test_a_response_after_the_timeout_is_unavailable(client: KubernetesClient, server: FakeKubernetesApi) -> None:
    async def never(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    impatient = KubernetesClient(client.credentials_loader, timeout=0.2)
    server.responses.append(never)
    with pytest.raises(KubernetesUnavailable, match="Timeout"):
        await impatient.get(CONNECTORS)
    await impatient.close()


async def test_an_observer_is_called_for_each_request(client: KubernetesClient, server: FakeKubernetesApi) -> None:
    observed_requests: list[tuple[str, str, str]] = []
    observed = KubernetesClient(
        client.credentials_loader, lambda verb, resource, code, _: observed_requests.append((verb, resource, code))
    )
    await observed.get(f"{CONNECTORS}/contoso")
    server.respond(409, {"kind": "Status"})
    with pytest.raises(KubernetesConflict):
        await observed.patch(f"{CONNECTORS}/contoso/status", {}, MERGE_PATCH)
    assert observed_requests == [
        ("get", "azuredevopsconnectors", "200"),
        ("patch", "azuredevopsconnectors/status", "409"),
    ]
    await observed.close()


async def test_a_fence_blocks_writes_and_no_reads(client: KubernetesClient, server: FakeKubernetesApi) -> None:
    def closed() -> None:
        raise KubernetesUnavailable("another leads")

    fenced = KubernetesClient(client.credentials_loader, fence=closed)
    for write in (
        fenced.create(CONNECTORS, {}),
        fenced.replace(CONNECTORS, {}),
        fenced.patch(CONNECTORS, {}, MERGE_PATCH),
        fenced.delete(CONNECTORS),
    ):
        with pytest.raises(KubernetesUnavailable, match="another leads"):
            await write
    assert server.requests == []
    await fenced.get(CONNECTORS)
    assert len(server.requests) == 1
    await fenced.close()


async def test_the_number_of_concurrent_requests_is_limited(
    client: KubernetesClient, server: FakeKubernetesApi
) -> None:
    under_way, most, go_on = 0, 0, asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 3:
            go_on.set()
        await go_on.wait()
        under_way -= 1
        return web.json_response({})

    narrow = KubernetesClient(client.credentials_loader, max_concurrent_requests=3)
    server.responses += [slow] * 10
    await asyncio.gather(*[narrow.get(CONNECTORS) for _ in range(10)])
    assert most == 3
    await narrow.close()


async def test_a_watch_yields_events_until_the_server_ends_it(
    client: KubernetesClient, server: FakeKubernetesApi
) -> None:
    server.responses.append(web.Response(text='{"type":"ADDED"}\n{"type":"DELETED"}\n'))
    events = [event["type"] async for event in client.watch("/api/v1/secrets?watch=true", idle_timeout=5)]
    assert events == ["ADDED", "DELETED"]


async def test_an_idle_watch_is_ended(client: KubernetesClient, server: FakeKubernetesApi) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b'{"type":"ADDED"}\n')
        await asyncio.Event().wait()
        return answer

    server.responses.append(silent)
    events = client.watch("/api/v1/secrets?watch=true", idle_timeout=1.0)
    assert await anext(events) == {"type": "ADDED"}
    with pytest.raises(KubernetesUnavailable, match="does not answer"):
        await anext(events)


async def test_a_refused_watch_has_the_message_of_the_server(
    client: KubernetesClient, server: FakeKubernetesApi
) -> None:
    server.respond(403, {"kind": "Status", "message": "secrets is forbidden"})
    with pytest.raises(KubernetesRefused, match="secrets is forbidden"):
        await anext(client.watch("/api/v1/secrets?watch=true", idle_timeout=5))
