"""azure-mgmt-resourcegraph queries what azure-mgmt-security has created, page by page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.resourcegraph import ResourceGraphClient
from azure.mgmt.resourcegraph.models import QueryRequest, QueryRequestOptions, QueryResponse

from tests.sandbox.cloud.direct import ACCOUNT, SUBSCRIPTION
from tests.sandbox.cloud.remote import Remote

COUNTS = """
securityresources
| where type =~ 'microsoft.security/securityconnectors/devops/azuredevopsorgs/projects/repos'
| extend organization = tostring(split(id, '/')[12])
| summarize repositories = count() by organization
| order by organization asc
"""


@pytest.fixture
def client(remote: Remote) -> Iterator[ResourceGraphClient]:
    remote.control.add_connector(
        name="contoso",
        subscription=SUBSCRIPTION,
        resourceGroup="rg-devops-security",
        account=ACCOUNT,
        organizations=["contoso", "wingtip-toys"],
    )
    remote.control.move(8 * 3600)
    with remote.credential() as credential, ResourceGraphClient(credential, **remote.client_options()) as client_:
        yield client_


def ask(client: ResourceGraphClient, query: str, **options: object) -> QueryResponse:
    request = QueryRequest(
        query=query,
        subscriptions=[SUBSCRIPTION],
        options=QueryRequestOptions(result_format="objectArray", **options),  # type: ignore[arg-type]
    )
    response: QueryResponse = client.resources(request)
    return response


def test_repositories_are_counted_without_listing_them(client: ResourceGraphClient) -> None:
    response = ask(client, COUNTS)
    assert response.data == [
        {"organization": "contoso", "repositories": 33},
        {"organization": "wingtip-toys", "repositories": 6},
    ]
    assert response.result_truncated == "false"


def test_rows_are_paged_by_a_skip_token_where_id_is_projected_and_ordered(client: ResourceGraphClient) -> None:
    query = "securityresources | where type endswith '/repos' | project id, name | order by id asc"
    names: list[str] = []
    token = None
    while True:
        response = ask(client, query, top=15, skip_token=token)
        names += [row["name"] for row in response.data]
        token = response.skip_token
        if token is None:
            break
    assert len(names) == response.total_records == 39
    assert names == [row["name"] for row in ask(client, query, top=1000).data]


def test_without_an_order_there_is_no_second_page(client: ResourceGraphClient) -> None:
    response = ask(client, "securityresources | project id", top=5)
    assert response.count == 5
    assert response.skip_token is None
    assert response.result_truncated == "true"


def test_a_wrong_query_is_refused_as_azure_does(client: ResourceGraphClient) -> None:
    with pytest.raises(HttpResponseError) as caught:
        ask(client, "resources | wher type == 'x'")
    error = caught.value.error
    assert error is not None
    assert error.code == "BadRequest"
    assert [detail.code for detail in error.details] == ["InvalidQuery", "InvalidQueryLanguage"]


def test_the_table_result_format_is_supported(client: ResourceGraphClient) -> None:
    request = QueryRequest(
        query="resources | project id, name | order by id asc", options=QueryRequestOptions(result_format="table")
    )
    data = client.resources(request).data
    assert [column["name"] for column in data["columns"]] == ["id", "name"]
    assert data["rows"][0][1] == "contoso"
