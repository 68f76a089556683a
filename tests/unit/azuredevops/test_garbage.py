"""What Azure DevOps itself did not send, or in another shape, is an outage: every operation, every kind of garbage.

A new function fails here until it has a case.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from defender_devops.api.organization import Prerequisite
from defender_devops.azuredevops import counts, members, organizations, prerequisites
from defender_devops.azuredevops.client import AzureDevOpsClient
from defender_devops.azuredevops.members import Account, Member
from defender_devops.azuredevops.pipelines import builds, code_search, inventory, organization_settings
from defender_devops.errors import AzureDevOpsUnavailable, SignInExpired
from tests.support.fakes.azure_devops import AzureDevOpsSetup

TENANT = "11111111-1111-1111-1111-111111111111"
ACCOUNT = Account("mdc@contoso.com", "id-1")
MEMBER = Member("id-1", "aad.subject", frozenset({"a"}))
GROUP = {"principalName": "[contoso]\\Project Collection Administrators", "descriptor": "vssgp.administrators"}
EXTENSION = {"publisherId": "a", "extensionId": "b", "installState": {"flags": "trusted"}}
PIPELINE = {
    "id": 1,
    "name": "build",
    "revision": 1,
    "process": {"type": 2, "yamlFilename": "azure-pipelines.yml"},
    "repository": {"type": "TfsGit", "id": "r"},
}
BUILD = {"id": 7, "definition": {"id": 1}, "finishTime": "2026-11-24T05:00:00Z", "sourceBranch": "refs/heads/main"}
POLICY = {"id": 1, "isEnabled": True, "settings": {"buildDefinitionId": 1, "scope": [{"repositoryId": "r"}]}}

Call = Callable[[AzureDevOpsClient], Awaitable[Any]]


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        call: sends its requests.
        valid: an entry of the list that it reads, or the object.
        entries: key of the list in the response; None for an object.
        needs: keys of the entry, or of the object, without which nothing follows from the response.
    """

    call: Call
    valid: Any
    entries: str | None = None
    needs: tuple[str, ...] = ()


def check(function: Callable[..., Awaitable[Any]], *arguments: object) -> Call:
    return lambda client: function(client, *arguments)


OPERATIONS: dict[str, Operation] = {
    "organizations.read_profile": Operation(
        check(organizations.read_profile), {"id": "id-1", "emailAddress": "mdc@contoso.com"}, needs=("id",)
    ),
    "organizations.list_organizations": Operation(
        check(organizations.list_organizations, "id-1"), {"accountName": "contoso"}, "value", ("accountName",)
    ),
    "members.find_member": Operation(
        check(members.find_member, "contoso", ACCOUNT), {"id": "id-1", "memberOf": []}, "value", ("id",)
    ),
    "members.is_administrator": Operation(check(members.is_administrator, "contoso", MEMBER), GROUP, "value"),
    "prerequisites.check_project_collection_administrator": Operation(
        check(prerequisites.check_project_collection_administrator, "contoso", ACCOUNT, MEMBER), GROUP, "value"
    ),
    "prerequisites.check_access_level": Operation(
        check(prerequisites.check_access_level, "contoso", ACCOUNT, MEMBER),
        {"accessLevel": {"accountLicenseType": "express", "status": "active"}},
        needs=("accessLevel",),
    ),
    "prerequisites.check_third_party_oauth": Operation(
        check(prerequisites.check_third_party_oauth, "contoso"), {"effectiveValue": False}, needs=("effectiveValue",)
    ),
    "prerequisites.check_container_mapping_extension": Operation(
        check(prerequisites.check_container_mapping_extension, "contoso"), EXTENSION, "value", ("extensionId",)
    ),
    "counts.expected_counts": Operation(check(counts.expected_counts, "contoso"), {"id": "p"}, "value", ("id",)),
    "inventory.list_projects": Operation(
        check(inventory.list_projects, "contoso"), {"id": "p", "name": "project"}, "value", ("id", "name")
    ),
    "inventory.list_repositories": Operation(
        check(inventory.list_repositories, "contoso", {"p": "project"}),
        {"id": "r", "name": "repository", "project": {"id": "p"}},
        "value",
        ("id", "name", "project"),
    ),
    "inventory.list_pipelines": Operation(
        check(inventory.list_pipelines, "contoso", "p", {}),
        PIPELINE,
        "value",
        ("id", "name", "revision", "process", "repository"),
    ),
    "inventory.list_designer_pipelines_with_task": Operation(
        check(inventory.list_designer_pipelines_with_task, "contoso", "p"), PIPELINE, "value", ("id",)
    ),
    "inventory.list_builds": Operation(
        check(inventory.list_builds, "contoso", "p", "refs/heads/main", [1]),
        BUILD,
        "value",
        ("id", "definition", "finishTime", "sourceBranch"),
    ),
    "organization_settings.extension_state": Operation(
        check(organization_settings.extension_state, "contoso"), EXTENSION, "value", ("extensionId",)
    ),
    "organization_settings.list_features": Operation(
        check(organization_settings.list_features, "contoso"),
        {"repositoryId": "r"},
        "reposEnablementStatus",
        ("repositoryId",),
    ),
    "organization_settings.list_build_policies": Operation(
        check(organization_settings.list_build_policies, "contoso", "p"), POLICY, "value", ("settings",)
    ),
    "builds.has_analysis_artifact": Operation(
        check(builds.has_analysis_artifact, "contoso", "p", 7), {"name": "a"}, "value", ("name",)
    ),
    "builds.step_result": Operation(check(builds.step_result, "contoso", "p", 7), {"id": "x"}, "records"),
    "builds.read_file": Operation(
        check(builds.read_file, "contoso", "p", "r", "a.yml"), {"content": "steps: []"}, needs=("content",)
    ),
    "builds.read_preview": Operation(
        check(builds.read_preview, "contoso", "p", 1), {"finalYaml": "stages: []"}, needs=("finalYaml",)
    ),
    "code_search.find_files": Operation(
        check(code_search.find_files, "contoso", "word"), {"count": 0, "infoCode": 0, "results": []}, needs=("results",)
    ),
}
NOT_JSON = {
    # Headers of any response name the tenant, and a text is any text.
    "organizations.organization_tenant",
    "prerequisites.check_tenant",
    "builds.read_build_yaml",
}
HTML = "text/html"
NO_JSON: dict[str, web.Response] = {
    "an empty 200": web.Response(text="", content_type="application/json"),
    "truncated": web.Response(text='{"value": [{"id": "a', content_type="application/json"),
    "bytes": web.Response(body=b"\xff\xfe", content_type="application/json"),
    "HTML": web.Response(text="<html>Sign in</html>", content_type=HTML),
    "a redirect": web.Response(status=302, headers={"Location": "https://elsewhere.example/"}),
    **{f"{status} of a proxy": web.Response(status=status, text="No") for status in (404, 410, 502)},
    "404 of a proxy as HTML": web.Response(status=404, text="<html>Not found</html>", content_type=HTML),
    "404 of a gateway": web.json_response({"message": "no Route matched with those values"}, status=404),
    "404 as an array": web.json_response([], status=404),
}


def defects(operation: Operation) -> Iterator[tuple[str, Any]]:
    """Yield JSON that is not what was requested."""
    for value in ({}, 7, "x", None, [None], [[]], [7]):
        yield json.dumps(value), value
    if operation.entries is None:
        for key in operation.needs:
            for value in (None, [], 7):
                yield f"{key}: {value}", {**operation.valid, key: value}
        return
    for value in (None, {}, 7, "x", [[]], [7], [operation.valid, 7]):
        yield f"{operation.entries}: {json.dumps(value)[:30]}", {operation.entries: value}
    for key in operation.needs:
        without = {name: value for name, value in operation.valid.items() if name != key}
        yield f"an entry without {key}", {operation.entries: [without]}
        yield f"an entry with {key} of null", {operation.entries: [{**operation.valid, key: None}]}


def test_every_operation_has_a_case() -> None:
    modules = (builds, code_search, counts, inventory, members, organization_settings, organizations, prerequisites)
    functions = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in modules
        for name in module.__all__
        if inspect.iscoroutinefunction(getattr(module, name))
    }
    assert functions == OPERATIONS.keys() | NOT_JSON


@pytest.mark.parametrize("name", OPERATIONS)
async def test_garbage_is_an_outage(reach: AzureDevOpsSetup, name: str) -> None:
    believed = []
    for kind, response in {**NO_JSON, **dict(defects(OPERATIONS[name]))}.items():

        class Everywhere(dict[str, Any]):
            content = response

            def get(self, _path: str, _default: object = None) -> Any:  # noqa: ANN401 - any response
                return self.content if isinstance(self.content, web.Response) else web.json_response(self.content)

        reach.service.responses = Everywhere()
        try:
            result = await OPERATIONS[name].call(reach.client)
        except AzureDevOpsUnavailable:
            continue
        except SignInExpired:
            assert isinstance(response, web.Response), "only a page or a redirect is that of the sign-in"
            continue
        if not (isinstance(result, Prerequisite) and result.status == "Unknown"):
            believed.append((kind, result))
    assert believed == []
