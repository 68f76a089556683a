"""Responses of the devops tree match the published description of their api-version: types, enums, no unknown fields.

Where the recorded service itself differs from its description, the difference is listed in `ODDITIES`, and a test
checks that every listed difference still occurs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from sandbox.cloud.faults import OperationFault
from tests.sandbox.cloud.direct import (
    ACCOUNT,
    APP_ID,
    CONFIGURATION,
    CONNECTOR,
    CONNECTOR_BODY,
    ORGANIZATIONS,
    SUBSCRIPTION,
    Answer,
    Direct,
)

DESCRIPTION: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "devops-2025-03-01.json").read_text())

ODDITIES = {
    "DevOpsConfiguration.location": "GET of devops/default has the connector's location [recorded]",
    "DevOpsConfiguration.tags": "devops/default has tags, always empty [recorded]",
    "DevOpsConfigurations_Delete 202": "DELETE answers with a body that the description does not have [recorded]",
}
"""Differences between the recorded service and its description, by location."""


@dataclass
class Checker:
    """Validates responses against the description, and collects the differences."""

    met: set[str] = field(default_factory=set)
    covered: set[str] = field(default_factory=set)

    def check(self, operation: str, answer: Answer) -> None:
        """Validate one response.

        Raises:
            AssertionError: it does not match.
        """
        self.covered.add(operation)
        responses = DESCRIPTION["operations"][operation]["responses"]
        name = responses.get(str(answer.status), responses["default"])
        assert str(answer.status) in responses or answer.status >= 400, f"{operation} answered {answer.status}"
        if name is None:
            if answer.content:
                self.met.add(f"{operation} {answer.status}")
            return
        problems = list(self._problems(name, answer.json))
        assert not problems, f"{operation} {answer.status}: {problems}"

    def _problems(self, name: str, value: object) -> Iterator[str]:
        schema = {"$ref": f"#/definitions/{name}", "definitions": STRICT}
        for error in Draft202012Validator(schema).iter_errors(value):
            if error.validator != "additionalProperties":
                yield f"{error.json_path}: {error.message}"
                continue
            owner = error.schema["title"]
            for unknown in set(error.instance) - set(error.schema["properties"]):
                place = f"{owner}.{unknown}"
                if place in ODDITIES:
                    self.met.add(place)
                else:
                    yield f"{error.json_path}: {place} is not described"


def _strict() -> dict[str, Any]:
    """Return the definitions, each rejecting unknown fields."""
    return {
        name: {**definition, "title": name, "additionalProperties": False} if "properties" in definition else definition
        for name, definition in DESCRIPTION["definitions"].items()
    }


STRICT = _strict()
ANNOTATIONS = {
    "properties": {
        "actionableRemediation": {
            "state": "Enabled",
            "categoryConfigurations": [{"category": "IaC", "minimumSeverityLevel": "High"}],
        }
    }
}
AGENTLESS = {
    "agentlessEnabled": "Enabled",
    "agentlessAutoDiscovery": "Enabled",
    "inventoryListType": "Exclusion",
    "inventoryList": [{"inventoryKind": "AzureDevOpsProject", "value": "contoso/webshop"}],
    "scanners": ["iac"],
}


async def tell_everything(direct: Direct, checker: Checker) -> None:
    """Call every operation of the description, with success and failure."""

    async def call(operation: str, method: str, path: str, body: object = None) -> Answer:
        answer = await direct.arm(method, path, body)
        checker.check(operation, answer)
        return answer

    async def poll(answer: Answer) -> None:
        for seconds in (0.0, 60.0):
            direct.move(seconds)
            polled = await direct.arm("GET", answer.headers["Azure-AsyncOperation"])
            checker.check("DevOpsOperationResults_Get", polled)

    await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    await call("DevOpsConfigurations_Get", "GET", CONFIGURATION)
    await call("DevOpsConfigurations_List", "GET", f"{CONNECTOR}/devops")
    bad = {"properties": {"authorization": {"code": "wrong"}, "autoDiscovery": "Disabled"}}
    await poll(await call("DevOpsConfigurations_CreateOrUpdate", "PUT", CONFIGURATION, bad))
    await call("DevOpsConfigurations_Get", "GET", CONFIGURATION)
    await call("AzureDevOpsOrgs_ListAvailable", "POST", f"{CONFIGURATION}/listAvailableAzureDevOpsOrgs")
    good = {"properties": {"authorization": {"code": await direct.code()}, "agentlessConfiguration": AGENTLESS}}
    await poll(await call("DevOpsConfigurations_CreateOrUpdate", "PUT", CONFIGURATION, good))
    await call("DevOpsConfigurations_List", "GET", f"{CONNECTOR}/devops")
    await poll(
        await call("DevOpsConfigurations_Update", "PATCH", CONFIGURATION, {"properties": {"autoDiscovery": "Enabled"}})
    )
    await call("DevOpsConfigurations_Update", "PATCH", CONFIGURATION, {"properties": {"autoDiscovery": "Sometimes"}})
    await call("DevOpsConfigurations_Get", "GET", CONFIGURATION)
    direct.move(8 * 3600)
    await call("AzureDevOpsOrgs_ListAvailable", "POST", f"{CONFIGURATION}/listAvailableAzureDevOpsOrgs")
    await call("AzureDevOpsOrgs_List", "GET", ORGANIZATIONS)
    organization = f"{ORGANIZATIONS}/contoso"
    project, repository = f"{organization}/projects/data-platform", "repos/data-platform-0001"
    for name, path in (
        ("AzureDevOpsOrgs", organization),
        ("AzureDevOpsProjects", project),
        ("AzureDevOpsRepos", f"{project}/{repository}"),
    ):
        await call(f"{name}_Get", "GET", path)
        await call(f"{name}_Get", "GET", f"{path}-that-is-not-there")
        await call(f"{name}_List", "GET", path.rpartition("/")[0])
        await poll(await call(f"{name}_Update", "PATCH", path, ANNOTATIONS))
        await poll(await call(f"{name}_CreateOrUpdate", "PUT", path, ANNOTATIONS))
        await call(f"{name}_Get", "GET", path)
    await poll(await call("DevOpsConfigurations_Delete", "DELETE", CONFIGURATION))
    await call("DevOpsConfigurations_Delete", "DELETE", CONFIGURATION)


async def test_every_response_matches_the_api_description_except_for_the_listed_differences(direct: Direct) -> None:
    checker = Checker()
    await tell_everything(direct, checker)
    assert checker.covered == set(DESCRIPTION["operations"])
    assert checker.met == set(ODDITIES)


async def test_failed_and_canceled_operations_match_too(direct: Direct) -> None:
    await direct.connect()
    checker = Checker()
    for outcome in ("failed", "canceled"):
        fault = {"method": "PATCH", "operation": {"outcome": outcome, "code": "Conflict", "message": "no"}}
        await direct.control("POST", "/faults", **fault)
        accepted = await direct.arm("PATCH", CONFIGURATION, {"properties": {"autoDiscovery": "Disabled"}})
        direct.move(60)
        polled = await direct.arm("GET", accepted.headers["Azure-AsyncOperation"])
        checker.check("DevOpsOperationResults_Get", polled)
        assert polled.json["status"] == outcome.capitalize()
        assert OperationFault.model_validate(fault["operation"]).code == polled.json["error"]["code"]


@pytest.mark.parametrize("change", [{"state": "On"}, {"unheard": 1}, {"state": 3}])
def test_the_check_itself_detects_differences(change: dict[str, object]) -> None:
    body = {"properties": {"onboardingState": "Onboarded", "actionableRemediation": change}}
    with pytest.raises(AssertionError):
        Checker().check("AzureDevOpsOrgs_Get", Answer(200, {}, json.dumps(body).encode()))


async def test_the_connector_has_the_recorded_spelling(direct: Direct) -> None:
    body = (await direct.arm("PUT", CONNECTOR.replace("rg-devops-security", "RG-DevOps-Security"), CONNECTOR_BODY)).json
    assert body["id"] == (
        f"/subscriptions/{SUBSCRIPTION}/resourcegroups/rg-devops-security"
        "/providers/Microsoft.Security/securityConnectors/contoso"
    )
    assert body["type"] == "Microsoft.Security/securityconnectors"
    assert body["systemData"]["createdBy"] == APP_ID
    assert body["systemData"]["createdByType"] == "Application"
    assert "provisioningState" not in body["properties"]
    assert ACCOUNT not in json.dumps(body)
