"""Assessments in Resource Graph: rows, shapes, permissions, lag, pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from sandbox.cloud.defender.assessments import EVIDENCE
from sandbox.cloud.world.load import DEFAULT_WORLD, read_world_file
from sandbox.cloud.world.schema import AssessmentGeneratorSpec
from tests.sandbox.cloud.direct import ACCOUNT, APP, CONNECTOR, SUBSCRIPTION, Answer, Direct

URL = "/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01"
ROWS = "securityresources | where type =~ 'microsoft.security/assessments'"
FINDINGS = f"{ROWS} | where properties.displayName startswith 'finding'"
NEWEST = "summarize t = max(todatetime(properties.status.statusChangeDate))"
A_DAY = 24 * 3600.0

COUNTS = f"""
{ROWS}
| extend lid = tolower(id)
| where lid contains '/devops/default/azuredevopsorgs/'
| extend resource = tostring(split(lid, '/providers/microsoft.security/assessments/')[0])
| extend organization = tostring(split(resource, '/')[12])
| extend status = tolower(tostring(properties.status.code)), severity = tolower(tostring(properties.metadata.severity))
| extend category = tostring(properties.metadata.recommendationCategory)
| summarize rows = count(), critical = countif(status == 'unhealthy' and severity == 'critical'),
    secrets = countif(status == 'unhealthy' and category =~ 'ExposedSecrets'), healthy = countif(status == 'healthy'),
    affected = dcountif(resource, status == 'unhealthy'),
    newest = max(todatetime(properties.status.statusChangeDate)) by organization
| project id = organization, rows, critical, secrets, healthy, affected, newest
| order by id asc
"""


async def ask(direct: Direct, query: str, *, token: str | None = None, **options: object) -> Answer:
    direct.move(0, wall=5)  # a new window of the quota
    body = {"query": query, "subscriptions": [SUBSCRIPTION], "options": {"$top": 1000, **options}}
    return await direct.arm("POST", URL, body, token=token)


async def rows(direct: Direct, query: str, token: str | None = None) -> list[dict[str, Any]]:
    answer = await ask(direct, query, token=token)
    assert answer.status == 200, answer.text
    return list(answer.json["data"])


async def connected(per_repository: float = 0.0, *, posture: bool = False, **generator: object) -> Direct:
    """Return a cloud with three discovered organizations, and findings in them."""
    spec = read_world_file(DEFAULT_WORLD)
    spec.assessments = []
    spec.generate_assessments = AssessmentGeneratorSpec(per_repository=per_repository, posture=posture, **generator)
    direct = Direct(spec)
    await direct.connect(topLevelInventoryList=["contoso", "northwind", "tailspin"])
    direct.move(A_DAY)
    return direct


async def add(direct: Direct, number: int = 1, **values: object) -> str:
    finding = {"organization": "northwind", "project": "traders", "repository": "orders", "title": f"finding {number}"}
    return str((await direct.control("POST", "/assessments", **{**finding, **values}))["key"])


async def finding(direct: Direct) -> dict[str, Any]:
    (row,) = await rows(direct, FINDINGS)
    return row


async def test_a_finding_has_the_documented_shape() -> None:
    direct = await connected()
    key = await add(direct, severity="Critical", category="ExposedSecrets", additionalData={"FilePath": "/a.cs"})
    row = await finding(direct)
    resource = row["id"].rpartition("/providers/")[0]
    path = "/devops/default/azureDevOpsOrgs/northwind/projects/traders/repos/orders"
    assert resource.endswith(f"/securityConnectors/contoso{path}")
    assert row["id"] == f"{resource}/providers/Microsoft.Security/assessments/{key}"
    assert (row["name"], row["type"], row["subscriptionId"]) == (key, "microsoft.security/assessments", SUBSCRIPTION)
    properties = row["properties"]
    assert properties["status"]["code"] == "Unhealthy"
    assert properties["status"]["firstEvaluationDate"] == properties["status"]["statusChangeDate"]
    metadata = properties["metadata"]
    assert (metadata["severity"], metadata["recommendationCategory"]) == ("Critical", "ExposedSecrets")
    assert properties["resourceDetails"] == {"Source": "AzureDevOps", "Id": resource, "ResourceName": "orders"}
    assert properties["additionalData"] == {"FilePath": "/a.cs"}
    assert properties["links"]["azurePortal"].startswith("portal.azure.com/#")


async def test_counts_by_organization_are_a_query() -> None:
    direct = await connected()
    await add(direct, 1, severity="Critical", category="ExposedSecrets")
    await add(direct, 2, severity="Critical", category="CodeVulnerabilities")
    await add(direct, 3, repository="shipping", status="Healthy")
    await add(direct, 4, organization="tailspin", project="spaces", repository="tower", status="NotApplicable")
    first, second = await rows(direct, COUNTS)
    assert first.pop("newest") == second.pop("newest") != ""
    assert first == {"id": "northwind", "rows": 3, "critical": 2, "secrets": 1, "healthy": 1, "affected": 1}
    assert second == {"id": "tailspin", "rows": 1, "critical": 0, "secrets": 0, "healthy": 0, "affected": 0}


async def test_a_retired_type_has_no_rows_and_no_error() -> None:
    direct = await connected(2, posture=True)
    assert await rows(direct, "securityresources | where type =~ 'microsoft.security/assessments/subassessments'") == []
    assert len(await rows(direct, ROWS)) > 50


async def test_generated_findings_carry_the_evidence_that_must_not_leave_azure() -> None:
    direct = await connected(2)
    for row in await rows(direct, ROWS):
        assert row["properties"]["additionalData"]
        assert all(EVIDENCE in value for value in row["properties"]["additionalData"].values())


def spelled(name: str) -> Callable[[dict[str, Any]], object]:
    """Return a function that gives a value of a row by its path."""

    def read(row: dict[str, Any]) -> object:
        value: Any = row
        for part in name.split("."):
            value = None if value is None else value.get(part)
        return value

    return read


SUFFIX = "/providers/Microsoft.Security/assessments/"
SHAPES: dict[tuple[str, str], tuple[Callable[[dict[str, Any]], object], object]] = {
    ("assessmentIds", "lowerCase"): (lambda row: row["id"] == row["id"].lower(), True),
    ("assessmentIds", "percentEncoded"): (lambda row: "/projects/Web%20Shop/repos/a%2Bb/" in row["id"], True),
    ("assessmentIds", "lowerCasePercentEncoded"): (lambda row: "/projects/web%20shop/repos/a%2bb/" in row["id"], True),
    ("assessmentResourceDetails", "lowerCase"): (spelled("properties.resourceDetails.source"), "AzureDevOps"),
    ("assessmentResourceDetails", "absent"): (spelled("properties.resourceDetails"), None),
    ("assessmentResource", "project"): (lambda row: f"/projects/Web Shop{SUFFIX}" in row["id"], True),
    ("assessmentResource", "organization"): (lambda row: f"/azureDevOpsOrgs/northwind{SUFFIX}" in row["id"], True),
    ("assessmentResource", "unknown"): (lambda row: f"/repos/a+b/branches/main{SUFFIX}" in row["id"], True),
    ("assessmentCategory", "absent"): (spelled("properties.metadata.recommendationCategory"), None),
    ("assessmentCategory", "unknown"): (spelled("properties.metadata.recommendationCategory"), "Unknown"),
    ("assessmentCategory", "unfamiliar"): (spelled("properties.metadata.recommendationCategory"), "LicenseViolations"),
    ("assessmentSeverity", "absent"): (spelled("properties.metadata.severity"), None),
    ("assessmentSeverity", "status"): (spelled("properties.status.severity"), "High"),
    ("assessmentSeverity", "lowerCase"): (spelled("properties.metadata.severity"), "high"),
    ("assessmentSeverity", "unfamiliar"): (spelled("properties.metadata.severity"), "Severe"),
    ("assessmentStatus", "lowerCase"): (spelled("properties.status.code"), "unhealthy"),
}


@pytest.mark.parametrize("choice", SHAPES, ids="=".join)
async def test_a_variant_changes_the_shape_of_a_finding(choice: tuple[str, str]) -> None:
    direct = await connected()
    await direct.control("POST", "/organizations/northwind/projects", name="Web Shop", repositories=["a+b"])
    direct.move(A_DAY)
    await add(direct, project="Web Shop", repository="a+b", category="CodeVulnerabilities")
    read, expected = SHAPES[choice]
    assert read(await finding(direct)) != expected, "otherwise the test proves nothing"
    await direct.control("PATCH", "/variants", **dict([choice]))
    assert read(await finding(direct)) == expected


async def test_statuses_may_be_unfamiliar() -> None:
    direct = await connected()
    for number, status in enumerate(("Healthy", "NotApplicable", "Unhealthy")):
        await add(direct, number, status=status)
    await direct.control("PATCH", "/variants", assessmentStatus="unfamiliar")
    codes = await rows(direct, f"{FINDINGS} | summarize n = count() by c = tostring(properties.status.code)")
    assert codes == [{"c": "OffByPolicy", "n": 2}, {"c": "Unhealthy", "n": 1}]


async def test_posture_recommendations_are_on_repositories_and_projects() -> None:
    direct = await connected(posture=True)
    query = f"{ROWS} | where id contains '/northwind/' | project tail = split(tolower(id), '/projects/traders')[1]"
    tails = [row["tail"].partition("/providers/")[0] for row in await rows(direct, query)]
    assert sorted(tails) == ["", ""] + [f"/repos/{name}" for name in ("archive", "orders", "shipping") for _ in "ab"]
    await direct.control("PATCH", "/variants", serviceConnectionAssessments="serviceConnection")
    tails = [row["tail"].partition("/providers/")[0] for row in await rows(direct, query)]
    assert sorted(set(tails))[:2] == ["", "/repos/archive"]
    assert "/serviceconnections/azure" in tails
    await direct.control("PATCH", "/variants", serviceConnectionAssessments="organization", postureCategory="unknown")
    on_organization = f"{ROWS} | where id contains 'Orgs/northwind/providers' | project c = properties.metadata"
    (row,) = await rows(direct, on_organization)
    assert row["c"]["recommendationCategory"] == "Unknown"


async def test_only_who_may_read_assessments_sees_them() -> None:
    direct = await connected(1)
    stranger = direct.token(ACCOUNT)
    assert await rows(direct, ROWS, stranger) == []
    await direct.control("POST", "/role-assignments", role="Security Reader", principal=ACCOUNT, scope=CONNECTOR)
    assert len(await rows(direct, ROWS, stranger)) > 10
    await direct.control("PATCH", "/variants", assessmentRights="securityRoles")
    assert len(await rows(direct, ROWS, stranger)) > 10
    assert await rows(direct, ROWS) == [], f"{APP} is a Contributor only"
    assert len(await rows(direct, "resources | where type endswith '/securityconnectors'")) == 1


async def test_there_may_be_no_rows_at_all() -> None:
    direct = await connected(1)
    await direct.control("PATCH", "/variants", assessmentRows="absent")
    assert await rows(direct, ROWS) == []
    assert len(await rows(direct, "securityresources | where type endswith '/repos'")) > 10


async def test_assessments_lag_more_than_other_rows() -> None:
    direct = await connected()
    await direct.control("PATCH", "/settings", assessmentLag=600)
    await add(direct)
    assert await rows(direct, FINDINGS) == []
    direct.move(600)
    assert len(await rows(direct, FINDINGS)) == 1


async def pages(direct: Direct, query: str, **options: object) -> list[dict[str, Any]]:
    """Return all pages of a query."""
    answers = [(await ask(direct, query, **options)).json]
    while "$skipToken" in answers[-1]:
        answers.append((await ask(direct, query, **{**options, "$skipToken": answers[-1]["$skipToken"]})).json)
    return answers


async def test_rows_come_in_pages_whose_size_can_be_set() -> None:
    direct = await connected(30)
    query = f"{ROWS} | project id | order by id asc"
    answers = await pages(direct, query)
    identifiers = [row["id"] for answer in answers for row in answer["data"]]
    assert len(answers) == 2
    assert len(identifiers) == len(set(identifiers)) == answers[0]["totalRecords"] > 1000
    assert all(first <= second for first, second in pairwise(identifiers))
    await direct.control("PATCH", "/settings", resourceGraphPageSize=400)
    assert [answer["count"] for answer in await pages(direct, query)][:2] == [400, 400]
    await direct.control("PATCH", "/variants", resourceGraphPages="truncated")
    (only,) = await pages(direct, query)
    assert (only["resultTruncated"], only["count"]) == ("true", 400)


async def test_a_page_in_the_middle_can_fail() -> None:
    direct = await connected(30)
    await direct.control("POST", "/faults", path="ResourceGraph", content="assessments", after=1, status=500)
    query = f"{ROWS} | project id | order by id asc"
    first = await ask(direct, query)
    assert first.status == 200
    assert len(await rows(direct, "resources")) == 1, "another query is not affected"
    assert (await ask(direct, query, **{"$skipToken": first.json["$skipToken"]})).status == 500


Step = Callable[[Direct], Awaitable[object]]


async def lose_the_account(direct: Direct) -> None:
    await direct.control("PATCH", f"/accounts/{ACCOUNT}", blocked=True)


async def lose_the_membership(direct: Direct) -> None:
    await direct.control("POST", f"/accounts/{ACCOUNT}/access", access=False, organizations=["northwind"])


async def lose_the_policy(direct: Direct) -> None:
    await direct.control("PATCH", "/organizations/northwind", thirdPartyOauth=False)


async def revoke(direct: Direct) -> None:
    direct.move(0, wall=1)
    await direct.control("PATCH", f"/accounts/{ACCOUNT}", revokeDefender=True)


@pytest.mark.parametrize("lose", [lose_the_account, lose_the_membership, lose_the_policy, revoke])
async def test_without_authorization_rows_stop_moving(lose: Step) -> None:
    direct = await connected(2, churn=1, categories={"CodeVulnerabilities": 1})
    states = f"{ROWS} | where id contains '/northwind/' | order by id asc"
    newest = f"{ROWS} | where id contains '/northwind/' | {NEWEST}"
    direct.move(A_DAY, wall=A_DAY)
    newest_at_loss = await rows(direct, newest)
    await lose(direct)
    direct.move(1, wall=1)
    key = await add(direct)
    rows_at_loss = await rows(direct, states)
    assert all(row["name"] != key for row in rows_at_loss)
    direct.move(3 * A_DAY, wall=3 * A_DAY)
    assert await rows(direct, newest) == newest_at_loss
    assert await rows(direct, states) == rows_at_loss
    await direct.control("PATCH", "/variants", assessmentsWithoutAuthorization="vanish")
    assert await rows(direct, newest) == [{"t": None}]
    await direct.control("PATCH", "/variants", assessmentsWithoutAuthorization="moving")
    assert (await rows(direct, newest))[0]["t"] > newest_at_loss[0]["t"]


async def test_others_go_on_and_rows_move_again_with_the_access() -> None:
    direct = await connected(2, churn=1)
    newest = f"{ROWS} | extend o = tostring(split(id, '/')[12]) | {NEWEST} by o"
    await lose_the_membership(direct)
    direct.move(3 * A_DAY, wall=3 * A_DAY)
    times = {row["o"]: row["t"] for row in await rows(direct, newest)}
    assert times["northwind"] < times["tailspin"]
    await direct.control("POST", f"/accounts/{ACCOUNT}/access", access=True, organizations=["northwind"])
    again = {row["o"]: row["t"] for row in await rows(direct, newest)}
    assert again["northwind"] > times["northwind"]
    assert again["tailspin"] == times["tailspin"]
