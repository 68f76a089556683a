"""Any request gets a proper response, possibly an error, but never an internal error of the sandbox."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.cloud.devops.service import HOSTS
from tests.sandbox.cloud.direct import (
    ACCOUNT,
    CONFIGURATION,
    CONNECTOR,
    CONNECTOR_BODY,
    ORGANIZATIONS,
    SIGN_IN_APP_ID,
    TENANT,
    Answer,
    Direct,
)

CLOUD = Direct()
asyncio.run(CLOUD.connect())
asyncio.run(
    CLOUD.control(
        "POST", "/organizations/contoso/projects/webshop/pipelines", name="ci", repository="storefront", builds=[{}]
    )
)
CLOUD.move(8 * 3600)
CLOUD.world.settings.throttling = False
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.sampled_from(
    [
        "subscriptions",
        "resourceGroups",
        "rg-devops-security",
        "providers",
        "Microsoft.Security",
        "securityConnectors",
        "devops",
        "default",
        "azureDevOpsOrgs",
        "contoso",
        "projects",
        "repos",
        "roleAssignments",
        "Microsoft.Authorization",
        "operationResults",
        "register",
        "tenants",
        "22222222-2222-2222-2222-222222222222",
        "_apis",
        "git",
        "repositories",
        "identities",
        "graph",
        "groups",
        "userentitlements",
        "webshop",
        "build",
        "definitions",
        "builds",
        "timeline",
        "logs",
        "artifacts",
        "pipelines",
        "preview",
        "policy",
        "configurations",
        "items",
        "search",
        "codesearchresults",
        "management",
        "enablement",
        "1",
    ]
)
PATHS = st.lists(WORDS | st.text(max_size=6), max_size=14).map(lambda parts: "/" + quote("/".join(parts)))
METHODS = st.sampled_from(["GET", "PUT", "PATCH", "POST", "DELETE", "HEAD", "OPTIONS"])
FIELDS = st.sampled_from(
    [
        "location",
        "tags",
        "properties",
        "hierarchyIdentifier",
        "environmentName",
        "environmentData",
        "offerings",
        "authorization",
        "code",
        "autoDiscovery",
        "topLevelInventoryList",
        "agentlessConfiguration",
        "actionableRemediation",
        "categoryConfigurations",
        "state",
        "inventoryList",
        "branchConfiguration",
        "onboardingState",
        "principalId",
        "roleDefinitionId",
        "query",
        "options",
        "subscriptions",
    ]
)
BODIES = st.recursive(JSON, lambda inner: st.dictionaries(FIELDS, inner, max_size=4), max_leaves=12)


def answer_of(service: str, method: str, url: str, body: bytes = b"", token: str = "") -> Answer:
    """Send a request and assert that the sandbox itself does not fail; the only assertion of some tests."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = asyncio.run(CLOUD.send(service, method, url, body, headers))
    assert answer is not None
    assert answer.status < 500, answer.text
    return answer


@given(METHODS, PATHS, BODIES)
@settings(max_examples=100)
def test_any_request_to_resource_manager_is_answered(method: str, path: str, body: object) -> None:
    for version in ("2025-03-01", "2024-08-01-preview", "2022-04-01"):
        url = f"{path}?api-version={version}"
        answer_of("arm", method, url, json.dumps(body).encode(), CLOUD.token())


GOOD: dict[str, dict[str, Any]] = {
    CONNECTOR: CONNECTOR_BODY,
    CONFIGURATION: {
        "properties": {
            "authorization": {"code": "x"},
            "autoDiscovery": "Disabled",
            "topLevelInventoryList": ["contoso"],
            "agentlessConfiguration": {
                "agentlessEnabled": "Enabled",
                "inventoryListType": "Exclusion",
                "scanners": ["x"],
                "inventoryList": [{"inventoryKind": "AzureDevOpsProject", "value": "a/b"}],
            },
        }
    },
    f"{ORGANIZATIONS}/contoso": {
        "properties": {
            "onboardingState": "Onboarded",
            "actionableRemediation": {
                "state": "Enabled",
                "categoryConfigurations": [{"category": "IaC", "minimumSeverityLevel": "High"}],
                "branchConfiguration": {"branchNames": ["main"], "annotateDefaultBranch": "Enabled"},
            },
        }
    },
    f"{CONNECTOR}/providers/Microsoft.Authorization/roleAssignments/00000000-0000-0000-0000-0000000000aa": {
        "properties": {"roleDefinitionId": "/x/39bc4728-0917-49c7-9d2c-d95423bc2eb4", "principalId": "x"}
    },
}


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the paths of all values in a body."""
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [path, *(place for key, inner in items for place in places(inner, (*path, key)))]


def put(value: Any, path: tuple[str | int, ...], new: object) -> Any:  # noqa: ANN401 - JSON
    """Return the body with one value replaced."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(copy[path[0]], path[1:], new)
    return copy


@given(st.data(), st.sampled_from(["PUT", "PATCH"]), st.sampled_from(list(GOOD)), JSON)
@settings(max_examples=400)
def test_a_mutated_body_is_accepted_or_rejected(data: st.DataObject, method: str, path: str, new: object) -> None:
    place = data.draw(st.sampled_from(places(GOOD[path])))
    version = {CONNECTOR: "2024-08-01-preview"}.get(path, "2022-04-01" if "roleAssignments" in path else "2025-03-01")
    body = json.dumps(put(GOOD[path], place, new)).encode()
    answer = answer_of("arm", method, f"{path}?api-version={version}", body, CLOUD.token())
    assert answer.status in (200, 201, 202, 400, 404, 405, 409)
    CLOUD.move(60)


@given(st.text(max_size=60), JSON, JSON)
@settings(max_examples=100)
def test_any_query_of_resource_graph_is_answered_or_refused(query: str, options: object, subscriptions: object) -> None:
    url = "/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01"
    body = {"query": query, "options": options, "subscriptions": subscriptions}
    assert answer_of("arm", "POST", url, json.dumps(body).encode(), CLOUD.token()).status in (200, 400)


@given(METHODS, PATHS, st.sampled_from(HOSTS))
@settings(max_examples=100)
def test_any_request_to_azure_devops_is_answered(method: str, path: str, host: str) -> None:
    answer_of(host, method, path, token=CLOUD.token(ACCOUNT, "devops"))
    answer_of(host, method, f"/contoso{path}?api-version=7.1", token=CLOUD.token(ACCOUNT, "devops"))


PIPELINE_CALLS = {
    "build/definitions": "devAzure",
    "build/builds": "devAzure",
    "build/builds/1/logs/1": "devAzure",
    "policy/configurations": "devAzure",
    "git/repositories/storefront/items": "devAzure",
    "pipelines/1/preview": "devAzure",
    "pipelines/1/runs": "devAzure",
    "search/codesearchresults": "search",
    "management/enablement": "advancedSecurity",
}
PARAMETERS = st.sampled_from(
    [
        "$top",
        "continuationToken",
        "minTime",
        "repositoryId",
        "definitions",
        "queryOrder",
        "path",
        "scopePath",
        "startLine",
    ]
)
PIPELINE_FIELDS = st.sampled_from(["searchText", "$top", "$skip", "filters", "yamlOverride", "resources", "definition"])


@given(
    st.sampled_from(list(PIPELINE_CALLS)),
    st.dictionaries(PARAMETERS, st.text(max_size=8) | st.integers().map(str) | st.just("9" * 5000), max_size=3),
    st.none() | st.dictionaries(PIPELINE_FIELDS, JSON, max_size=4),
)
@settings(max_examples=100)
def test_any_request_about_pipelines_is_answered(path: str, query: dict[str, str], body: object) -> None:
    url = f"/contoso/webshop/_apis/{path}?{urlencode({**query, 'api-version': '7.1-preview'})}"
    method, content = ("GET", b"") if body is None else ("POST", json.dumps(body).encode())
    answer_of(PIPELINE_CALLS[path], method, url, content, CLOUD.token(ACCOUNT, "devops"))


FORM_FIELDS = st.sampled_from(
    [
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "grant_type",
        "scope",
        "code",
        "refresh_token",
        "device_code",
        "redirect_uri",
        "code_verifier",
        "ctx",
        "loginfmt",
        "passwd",
        "decision",
        "account",
        "otc",
        "action",
    ]
)
FORM_VALUES = st.text(max_size=10) | st.sampled_from(
    [
        SIGN_IN_APP_ID,
        "sandbox-sign-in-secret",
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "openid",
        "x/y",
    ]
)


@given(
    st.sampled_from(
        [
            "oauth2/v2.0/token",
            "oauth2/v2.0/authorize",
            "oauth2/v2.0/devicecode",
            "oauth2/deviceauth",
            "login",
            "choose",
            "mfa",
            "consent",
            "x",
        ]
    ),
    METHODS,
    st.dictionaries(FORM_FIELDS, FORM_VALUES, max_size=6),
)
@settings(max_examples=100)
def test_any_form_sent_to_entra_is_answered(path: str, method: str, form: dict[str, str]) -> None:
    encoded = urlencode(form)
    answer_of("authority", method, f"/{TENANT}/{path}?{encoded}", encoded.encode())
