"""Invalid input to Resource Manager gets the errors of Azure: a table."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.sandbox.cloud.direct import (
    CONFIGURATION,
    CONNECTOR,
    CONNECTOR_BODY,
    CONNECTOR_VERSION,
    CONNECTORS,
    GROUP_ID,
    ORGANIZATIONS,
    SUBSCRIPTION,
    Direct,
)
from tests.sandbox.cloud.remote import Remote

V = f"api-version={CONNECTOR_VERSION}"
D = "api-version=2025-03-01"


@dataclass(frozen=True)
class Case:
    """A request and the expected response; `message` is a regular expression."""

    method: str
    url: str
    status: int
    code: str
    message: str = ""
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def changed(**properties: object) -> dict[str, Any]:
    """Return a connector's body with other properties."""
    return {**CONNECTOR_BODY, "properties": {**CONNECTOR_BODY["properties"], **properties}}  # type: ignore[dict-item]


MISSING_GROUP = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/nowhere/providers/Microsoft.Security/securityConnectors/x"
)
MISSING_SUBSCRIPTION = f"/subscriptions/00000000-0000-0000-0000-00000000dead/resourceGroups/g/providers/x/y?{V}"

CASES = {
    "no api-version": Case("GET", CONNECTOR, 400, "MissingApiVersionParameter", "is required for all requests"),
    "a version that never was": Case(
        "GET",
        f"{CONNECTOR}?api-version=1999-01-01",
        400,
        "InvalidApiVersionParameter",
        r"supported versions are '2026-08-",
    ),
    "a version of another type": Case(
        "GET", f"{CONNECTOR}?api-version=2025-03-01", 400, "NoRegisteredProviderFound", "type 'securityConnectors'"
    ),
    "an unknown type": Case(
        "GET", f"{GROUP_ID}/providers/Microsoft.Security/nothings/x?{V}", 404, "InvalidResourceType", "'nothings'"
    ),
    "an unknown namespace": Case(
        "GET", f"{GROUP_ID}/providers/Contoso.Nothing/things/x?{V}", 404, "InvalidResourceNamespace", "Contoso.Nothing"
    ),
    "no resource id at all": Case("GET", f"/nonsense?{V}", 404, "MissingSubscription"),
    "the root": Case("GET", f"/?{V}", 404, "MissingSubscription"),
    "a wrong method": Case("POST", f"{CONNECTOR}?{V}", 405, "MethodNotAllowed", "http method 'POST'"),
    "DELETE of an organization": Case("DELETE", f"{ORGANIZATIONS}/contoso?{D}", 405, "MethodNotAllowed"),
    "a subscription that is none": Case(
        "GET",
        f"/subscriptions/abc/resourceGroups/g/providers/Microsoft.Security/securityConnectors/x?{V}",
        400,
        "InvalidSubscriptionId",
        "'abc'",
    ),
    "a subscription that is not there": Case(
        "GET",
        MISSING_SUBSCRIPTION.replace("x/y", "Microsoft.Security/securityConnectors/x"),
        404,
        "SubscriptionNotFound",
        "could not be found",
    ),
    "a resource group that is not there": Case(
        "GET", f"{MISSING_GROUP}?{V}", 404, "ResourceGroupNotFound", "'nowhere'"
    ),
    "a connector that is not there": Case("GET", f"{CONNECTORS}/nobody?{V}", 404, "ResourceNotFound", "nobody"),
    "a configuration without connector": Case("GET", f"{CONFIGURATION}?{D}", 404, "ResourceNotFound"),
    "a body that is no JSON": Case("PUT", f"{CONNECTOR}?{V}", 400, "InvalidRequestContent", body=b"{"),
    "no body": Case("PUT", f"{CONNECTOR}?{V}", 400, "InvalidRequestContent"),
    "a body that is a list": Case("PUT", f"{CONNECTOR}?{V}", 400, "InvalidRequestContent", body=[]),
    "no location": Case(
        "PUT", f"{CONNECTOR}?{V}", 400, "LocationRequired", body={"properties": CONNECTOR_BODY["properties"]}
    ),
    "a region without Defender": Case(
        "PUT",
        f"{CONNECTOR}?{V}",
        400,
        "LocationNotAvailableForResourceType",
        "'eastasia,australiaeast,",
        body={**CONNECTOR_BODY, "location": "brazilsouth"},
    ),
    "a tag name with a slash": Case(
        "PUT", f"{CONNECTOR}?{V}", 400, "InvalidTagNameCharacters", body={**CONNECTOR_BODY, "tags": {"a/b": "c"}}
    ),
    "a tag value that is a number": Case(
        "PUT", f"{CONNECTOR}?{V}", 400, "InvalidRequestContent", body={**CONNECTOR_BODY, "tags": {"a": 1}}
    ),
    "a tag value that is too long": Case(
        "PUT", f"{CONNECTOR}?{V}", 400, "TagValueTooLong", body={**CONNECTOR_BODY, "tags": {"a": "x" * 257}}
    ),
    "no token": Case("GET", f"{CONNECTOR}?{V}", 401, "AuthenticationFailed", headers={"Authorization": ""}),
    "a token that is none": Case(
        "GET", f"{CONNECTOR}?{V}", 401, "InvalidAuthenticationToken", headers={"Authorization": "Bearer nonsense"}
    ),
    "an operation that never was": Case(
        "GET", f"{CONFIGURATION}/operationResults/00000000-0000-0000-0000-000000000001?{D}", 404, "ResourceNotFound"
    ),
    "an empty Resource Graph query": Case(
        "POST",
        "/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01",
        400,
        "BadRequest",
        body={"query": ""},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_invalid_input_gets_the_error_of_azure(direct: Direct, case: Case) -> None:
    answer = await direct.arm(case.method, case.url, case.body, version="", headers=case.headers)
    assert (answer.status, answer.code) == (case.status, case.code), answer.text
    assert re.search(case.message, answer.json["error"]["message"])
    assert answer.headers["x-ms-request-id"]
    assert (answer.status == 401) == ("WWW-Authenticate" in answer.headers)
    assert (answer.status == 405) == ("Allow" in answer.headers)


CONNECTOR_CASES = {
    "no properties": {"location": "westeurope"},
    "no hierarchyIdentifier": changed(hierarchyIdentifier=None),
    "a hierarchyIdentifier that is no GUID": changed(hierarchyIdentifier="contoso"),
    "another environment's type": changed(environmentData={"environmentType": "GithubScope"}),
    "no offering": changed(offerings=[]),
}


@pytest.mark.parametrize("body", CONNECTOR_CASES.values(), ids=CONNECTOR_CASES.keys())
async def test_the_connectors_own_errors_have_a_shape_of_their_own(direct: Direct, body: dict[str, Any]) -> None:
    answer = await direct.arm("PUT", CONNECTOR, body)
    assert answer.status == 400
    assert set(answer.json) == {"statusCode", "errorMessage", "errorCorrelation"}
    assert answer.json["errorMessage"].startswith("error occured for security connector: ")


CONFIGURATION_CASES = {
    "properties that are a list": {"properties": []},
    "an unknown autoDiscovery": {"properties": {"autoDiscovery": "Sometimes"}},
    "an inventory that is a text": {"properties": {"topLevelInventoryList": "contoso"}},
    "a code that is a number": {"properties": {"authorization": {"code": 7}}},
    "auto-discovery of scanning with a list of what to include": {
        "properties": {
            "agentlessConfiguration": {"agentlessAutoDiscovery": "Enabled", "inventoryListType": "Inclusion"},
        }
    },
}


@pytest.mark.parametrize("body", CONFIGURATION_CASES.values(), ids=CONFIGURATION_CASES.keys())
async def test_an_invalid_configuration_is_rejected_without_effect(direct: Direct, body: dict[str, Any]) -> None:
    await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    answer = await direct.arm("PUT", CONFIGURATION, body)
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert (await direct.arm("GET", CONFIGURATION)).status == 404


async def test_no_code_appears_in_an_error(direct: Direct) -> None:
    await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    body = {"properties": {"authorization": {"code": "very-secret"}, "autoDiscovery": "Disabled"}}
    accepted = await direct.arm("PUT", CONFIGURATION, body)
    direct.move(60)
    polled = await direct.arm("GET", accepted.headers["Azure-AsyncOperation"])
    output = accepted.text + polled.text + json.dumps(await direct.control("GET", "/journal"))
    assert "very-secret" not in output


async def test_errors_of_expired_and_foreign_tokens_have_details(direct: Direct) -> None:
    token = direct.token()
    await direct.control("POST", "/tokens/expire")
    expired = await direct.arm("GET", CONNECTOR, token=token)
    assert (expired.status, expired.code) == (401, "ExpiredAuthenticationToken")
    assert "is earlier than current UTC time" in expired.json["error"]["message"]
    assert 'error="invalid_token"' in expired.headers["WWW-Authenticate"]

    stranger = await direct.arm("GET", CONNECTOR, token=direct.token("megan@litware.com"))
    assert (stranger.status, stranger.code) == (401, "InvalidAuthenticationTokenTenant")
    assert "wrong issuer 'https://sts.windows.net/99999999-" in stranger.json["error"]["message"]


async def test_a_token_for_another_resource_is_not_for_resource_manager(direct: Direct) -> None:
    answer = await direct.arm("GET", CONNECTOR, token=direct.token(resource="devops"))
    assert (answer.status, answer.code) == (401, "InvalidAuthenticationTokenAudience")


async def test_a_path_is_found_in_whatever_case_it_is_written(direct: Direct) -> None:
    await direct.connect()
    for path in (CONFIGURATION.upper(), CONFIGURATION.lower()):
        answer = await direct.arm("GET", path, version="2025-03-01")
        assert answer.status == 200
        assert answer.json["id"].lower() == CONFIGURATION.lower()


LONE_SURROGATE = b'"\\udcff"'
"""Valid JSON, but no valid text: it cannot be encoded as UTF-8."""


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CONNECTOR, b'{"location": "westeurope", "tags": {"a": %s}, "properties": {}}'),
        (CONNECTOR, b'{"location": %s, "properties": {}}'),
        (CONFIGURATION, b'{"properties": {"authorization": {"code": %s}}}'),
        (CONFIGURATION, b'{"properties": {"autoDiscovery": "Disabled", "topLevelInventoryList": [%s]}}'),
    ],
)
async def test_text_that_is_not_unicode_is_answered(direct: Direct, path: str, body: bytes) -> None:
    await direct.connect()
    answer = await direct.arm("PUT", path, body % LONE_SURROGATE)
    assert answer.status < 500
    assert await direct.control("GET", "/journal")


def test_header_bytes_that_are_not_utf_8_are_answered(remote: Remote) -> None:
    parts = urlsplit(remote.arm)
    for name in ("Authorization", "x-ms-client-request-id", "Accept", "Cookie", "X-TFS-FedAuthRedirect"):
        connection = HTTPSConnection(parts.hostname or "", parts.port, context=remote.context, timeout=10)
        connection.putrequest("GET", "/subscriptions?api-version=2022-12-01")
        connection.putheader("x-ms-return-client-request-id", "true")
        connection.putheader(name, b"Basic \xff\xfe\xe4")
        connection.endheaders()
        assert connection.getresponse().status == 401
        connection.close()
    assert remote.control.journal()
