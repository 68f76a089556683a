"""Which requests may be sent."""

from __future__ import annotations

import pytest

from acceptance.session.guard import WriteRefused, check_request

CONNECTOR = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Security/securityConnectors/trial"
EXPENDABLE = ("s", "G", "Trial")
READS = [
    ("GET", CONNECTOR),
    ("OPTIONS", "/contoso/_apis"),
    ("POST", "/providers/Microsoft.ResourceGraph/resources"),
    ("POST", f"{CONNECTOR}/devops/default/listAvailableAzureDevOpsOrgs"),
    ("POST", "/contoso/_apis/search/codesearchresults"),
    ("POST", "/contoso/web/_apis/search/codesearchresults"),
]
CHANGES_OF_IT = [
    ("PATCH", CONNECTOR),
    ("DELETE", CONNECTOR.upper()),
    ("PUT", f"{CONNECTOR}/devops/default"),
    ("PATCH", f"{CONNECTOR}/devops/default/azureDevOpsOrgs/one"),
]
NEVER = [
    ("PATCH", CONNECTOR.replace("trial", "contoso")),
    ("PATCH", CONNECTOR.replace("/s/", "/other/")),
    ("DELETE", "/subscriptions/s/resourceGroups/g"),
    ("PUT", f"{CONNECTOR}/providers/Microsoft.Authorization/roleAssignments/1"),
    ("POST", "/contoso/web/_apis/pipelines/7/preview"),
    ("POST", "/contoso/web/_apis/build/builds"),
    ("POST", f"{CONNECTOR}/devops/default/somethingElse/../../../contoso"),
    ("POST", "/_apis/search/codesearchresults/x"),
]


@pytest.mark.parametrize(("method", "path"), READS)
def test_reads_are_sent(method: str, path: str) -> None:
    check_request(method, path, expendable=None)


@pytest.mark.parametrize(("method", "path"), CHANGES_OF_IT)
def test_changes_of_the_expendable_connector_need_write(method: str, path: str) -> None:
    check_request(method, path, expendable=EXPENDABLE)
    with pytest.raises(WriteRefused):
        check_request(method, path, expendable=None)


@pytest.mark.parametrize(("method", "path"), NEVER)
def test_nothing_else_is_ever_changed(method: str, path: str) -> None:
    with pytest.raises(WriteRefused):
        check_request(method, path, expendable=EXPENDABLE)
