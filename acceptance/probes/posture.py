"""Probe `posture`: the shape of assessments."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final
from urllib.parse import unquote

from acceptance.checks import Check, Cost, Observation, Probe, agreement
from acceptance.probes.discovery import parse_time
from acceptance.session.answer import Inconclusive, items_of, member, text_of
from acceptance.tenant import Tenant

__all__ = ["POSTURE_KEYS", "PROBE"]

_SERVICE_CONNECTION_KEYS: Final = {
    "9245366d-393f-49c5-b8e6-258b1b1c2daa",
    "a887e860-40ff-4b57-9ef9-5177a11091ac",
}
POSTURE_KEYS: Final = _SERVICE_CONNECTION_KEYS | {
    "c7a934bf-7be6-407a-84d9-4f20e6e49592",
    "d5711372-9b5f-4926-a711-13dcf51565a6",
    "6855e9b1-c493-4a43-a6d1-74f30e72c5af",
    "2c2c801e-6279-4d88-a419-af73f0eff4fb",
    "470742ea-324a-406c-b91f-fc1da6a27c0c",
    "98b5895a-0ad8-4ed9-8c9d-d654f5bda816",
    "9f4a17ee-7a02-4978-b968-8c36b74ac8e3",
}
"""Keys of posture recommendations (https://learn.microsoft.com/azure/defender-for-cloud/recommendations-reference-devops),
the same in every tenant."""

_CATEGORIES: Final = {
    "ExposedSecrets",
    "CodeVulnerabilities",
    "SoftwareUpdate",
    "IacVulnerabilities",
    "ApiVulnerabilities",
}
_KINDS: Final = {0: "organization", 2: "project", 4: "repository"}
"""Kind of a resource by the number of segments below the organization, as in projects/{}/repos/{}."""

_SEVERITIES: Final = {"Critical", "High", "Medium", "Low"}
_STATUSES: Final = {"Healthy", "Unhealthy", "NotApplicable"}
_ASSESSMENT_VERSION: Final = "2021-06-01"
_HALF_HOUR_MAX: Final = 2 * 3600.0
_DAY_MAX: Final = 32 * 3600.0
_SEPARATOR: Final = "/providers/microsoft.security/assessments/"
_SUBASSESSMENTS: Final = """\
securityresources
| where type =~ 'microsoft.security/assessments/subassessments'
| project id
| order by id asc
"""


def _is_posture(row: dict[str, Any]) -> bool:
    return text_of(row, "name").lower() in POSTURE_KEYS


async def _findings(tenant: Tenant) -> list[dict[str, Any]]:
    findings = [row for row in await tenant.assessments() if not _is_posture(row)]
    if not findings:
        raise Inconclusive("no assessment is a finding")
    return findings


def _place(row: dict[str, Any]) -> list[str]:
    """Return the segments of the assessed resource after the organization, without an encoding."""
    resource = text_of(row, "id").lower().rpartition(_SEPARATOR)[0]
    return [unquote(segment) for segment in resource.partition("/azuredevopsorgs/")[2].split("/")[1:]]


async def _has_rows(tenant: Tenant) -> Observation:
    rows = await tenant.assessment_rows()
    if rows:
        return Observation("present", f"{len(rows)} rows on the first page")
    if not tenant.file.has_security_role:
        raise Inconclusive("no rows: there are none, or the identity may not see them (see hasSecurityRole)")
    if not (await _in_arm(tenant)):
        raise Inconclusive("Resource Manager shows no assessment either")
    return Observation("absent", "Resource Manager shows assessments, Resource Graph has no row")


async def _rights(tenant: Tenant) -> Observation:
    if tenant.file.has_security_role is None:
        raise Inconclusive("needs hasSecurityRole in the tenant file")
    if tenant.file.has_security_role:
        raise Inconclusive("the identity has a security role: another without one would show more")
    await tenant.assessments()
    return Observation("read", "an identity without a security role sees assessments")


async def _one_for_each(tenant: Tenant) -> Observation:
    findings, rows = await _findings(tenant), await tenant.assessments()
    places = Counter((tuple(_place(row)), text_of(row, "metadata", "recommendationCategory")) for row in findings)
    if max(places.values()) == 1:
        raise Inconclusive("nothing has two findings of one category, which one grouped assessment would stand for")
    evidence = f"{len(findings)} findings and {len(rows) - len(findings)} posture recommendations"
    return agreement(holds=True, evidence=evidence)


async def _subassessments(tenant: Tenant) -> Observation:
    rows = await tenant.rows(_SUBASSESSMENTS)
    return agreement(not rows, f"{len(rows)} rows")


async def _in_arm(tenant: Tenant) -> list[dict[str, Any]]:
    """Return the first page of the connector's assessments in Resource Manager."""
    path = f"{tenant.connector_path()}/providers/Microsoft.Security/assessments"
    return (await tenant.arm(path, _ASSESSMENT_VERSION)).values()


async def _shape(tenant: Tenant) -> Observation:
    properties = tenant.properties(await _in_arm(tenant))
    if not properties:
        raise Inconclusive("Resource Manager shows no assessment of the connector")
    complete = [
        item
        for item in properties
        if text_of(item, "status", "code")
        and parse_time(text_of(item, "status", "firstEvaluationDate"))
        and parse_time(text_of(item, "status", "statusChangeDate"))
        and "://" not in text_of(item, "links", "azurePortal")
    ]
    return agreement(len(complete) == len(properties), f"{len(complete)} of {len(properties)} have these fields")


async def _category_in_arm(tenant: Tenant) -> Observation:
    items = [item for item in await _in_arm(tenant) if not _is_posture(item)]
    if not items:
        raise Inconclusive("Resource Manager shows no finding of the connector")
    with_category = [item for item in items if text_of(item, "properties", "metadata", "recommendationCategory")]
    evidence = f"{len(with_category)} of {len(items)} findings have a category"
    return Observation("withCategory" if with_category else "withoutCategory", evidence)


async def _ids(tenant: Tenant) -> Observation:
    # What is below the connector: the connector's own part of the id is in lower case in every answer.
    tails = [
        text_of(row, "id")[len(tenant.connector_path()) :] for row in await tenant.assessments() if text_of(row, "id")
    ]
    is_lower = all(tail == tail.lower() for tail in tails)
    if not any("%20" in tail or " " in tail for tail in tails):
        raise Inconclusive("no name has a blank that could be encoded")
    is_encoded = any("%20" in tail for tail in tails)
    values = {
        (False, False): "arm",
        (True, False): "lowerCase",
        (False, True): "percentEncoded",
        (True, True): "lowerCasePercentEncoded",
    }
    evidence = f"{'lower' if is_lower else 'mixed'} case, blanks {'encoded' if is_encoded else 'as they are'}"
    return Observation(values[is_lower, is_encoded], evidence)


async def _details(tenant: Tenant) -> Observation:
    details = [row["details"] for row in await tenant.assessments() if isinstance(row.get("details"), dict)]
    if not details:
        return Observation("absent", "no assessment has resourceDetails")
    names = set(details[0])
    if {"Source", "Id"} & names:
        return Observation("upperCase", "Source and Id")
    if {"source", "id"} & names:
        return Observation("lowerCase", "source and id")
    raise Inconclusive("resourceDetails has neither Source nor source")


async def _resource(tenant: Tenant) -> Observation:
    kinds = {_KINDS.get(len(_place(row)), "unknown") for row in await _findings(tenant)}
    evidence = f"findings are on: {', '.join(sorted(kinds))}"
    if kinds == {"repository"}:
        return Observation("repository", evidence)
    return Observation(next(kind for kind in ("unknown", "organization", "project") if kind in kinds), evidence)


async def _service_connections(tenant: Tenant) -> Observation:
    rows = [row for row in await tenant.assessments() if text_of(row, "name").lower() in _SERVICE_CONNECTION_KEYS]
    if not rows:
        raise Inconclusive("there is no recommendation on service connections")
    place = _place(rows[0])
    value = "organization" if not place else "project" if len(place) == 2 else "serviceConnection"  # noqa: PLR2004 - projects/{}
    return Observation(value, f"{len(rows)} recommendations on service connections")


async def _category(tenant: Tenant) -> Observation:
    categories = {text_of(row, "metadata", "recommendationCategory") for row in await _findings(tenant)}
    if categories <= _CATEGORIES:
        return Observation("known", ", ".join(sorted(categories)))
    if categories & _CATEGORIES and not categories - _CATEGORIES - {"", "Unknown"}:
        raise Inconclusive("some findings have a category and some have none")
    if categories == {""}:
        return Observation("absent", "no finding has a category")
    if categories <= {"", "Unknown"}:
        return Observation("unknown", "the category is Unknown")
    return Observation("unfamiliar", f"{len(categories - _CATEGORIES)} categories that are described nowhere")


async def _posture_category(tenant: Tenant) -> Observation:
    rows = [row for row in await tenant.assessments() if _is_posture(row)]
    if not rows:
        raise Inconclusive("there is no posture recommendation")
    categories = {text_of(row, "metadata", "recommendationCategory") for row in rows}
    if categories == {""}:
        return Observation("absent", f"{len(rows)} recommendations without a category")
    value = "unknown" if categories <= {"", "Unknown"} else "another"
    return Observation(value, "posture recommendations have a category")


async def _severity(tenant: Tenant) -> Observation:
    rows = await tenant.assessments()
    severities = {text_of(row, "metadata", "severity") for row in rows}
    if severities <= _SEVERITIES:
        return Observation("metadata", f"metadata.severity is {', '.join(sorted(severities))}")
    if any(text_of(row, "status", "severity") for row in rows):
        return Observation("status", "status.severity")
    if severities == {""}:
        return Observation("absent", "no assessment has a severity")
    if {severity.capitalize() for severity in severities} <= _SEVERITIES:
        return Observation("lowerCase", "metadata.severity is in lower case")
    return Observation("unfamiliar", "metadata.severity has values that are described nowhere")


async def _status(tenant: Tenant) -> Observation:
    codes = {text_of(row, "status", "code") for row in await tenant.assessments()}
    if codes <= _STATUSES:
        return Observation("known", ", ".join(sorted(codes)))
    if {code.lower() for code in codes} <= {code.lower() for code in _STATUSES}:
        return Observation("lowerCase", "the code is in lower case")
    return Observation("unfamiliar", "codes that are described nowhere")


async def _first(tenant: Tenant) -> Observation:
    rows = await tenant.assessments()
    delays = []
    for project in await tenant.projects():
        discovered = parse_time(text_of(project, "properties", "provisioningStatusUpdateTimeUtc"))
        place = ["projects", text_of(project, "name").lower()]
        moments = [
            moment
            for row in rows
            if _place(row)[:2] == place
            and f"/azuredevopsorgs/{tenant.file.organization.lower()}/" in text_of(row, "id").lower()
            and (moment := parse_time(text_of(row, "status", "firstEvaluationDate"))) is not None
        ]
        if discovered is not None and moments:
            delays.append((min(moments) - discovered).total_seconds())
    if not delays:
        raise Inconclusive("no project has both a time of discovery and an assessment")
    evidence = f"{round(min(delays) / 60)} minutes after the discovery of a project"
    if 0 <= min(delays) <= _HALF_HOUR_MAX:
        return Observation("halfHour", evidence)
    if _HALF_HOUR_MAX < min(delays) <= _DAY_MAX:
        return Observation("day", evidence)
    raise Inconclusive(f"{evidence}: a connector of today is needed")


async def _resolved(tenant: Tenant) -> Observation:
    changed = [
        row
        for row in await _findings(tenant)
        if text_of(row, "status", "code").lower() == "healthy"
        and text_of(row, "status", "statusChangeDate") > text_of(row, "status", "firstEvaluationDate")
    ]
    if not changed:
        raise Inconclusive("no finding has turned Healthy: none was resolved, or resolved ones vanish")
    return Observation("healthy", f"{len(changed)} findings have turned Healthy")


async def _repository_details(tenant: Tenant) -> Observation:
    names = {text_of(item, "name").lower() for item in await tenant.repositories()}
    places = [_place(row) for row in await tenant.assessments()]
    assessed = {place[3] for place in places if len(place) >= 4}  # noqa: PLR2004 - projects/{}/repos/{}
    if not names or not assessed:
        raise Inconclusive("no repository has both a resource and an assessment")
    keys = {text_of(row, "name").lower() for row in await tenant.assessments()} & POSTURE_KEYS
    if names & assessed and not keys:
        raise Inconclusive(
            "no assessment has a published key: there is no posture recommendation, or it has another key"
        )
    return agreement(bool(names & assessed), f"{len(keys)} of the published keys")


def _lists_all(items: list[dict[str, Any]]) -> int:
    return len([item for item in items if member(item, "properties")])


async def _subscription_list(tenant: Tenant) -> Observation:
    path = f"{tenant.subscription_path()}/providers/Microsoft.Security/assessments"
    answer = await tenant.arm(path, _ASSESSMENT_VERSION)
    items = items_of(answer.object(), "value")
    if not items:
        raise Inconclusive("the subscription has no assessment")
    return agreement(_lists_all(items) == len(items), f"{len(items)} on the first page")


PROBE: Final = Probe(
    "posture",
    "assessments of the subscription, without additionalData where Resource Graph is asked",
    Cost(reads=12, queries=4),
    (
        Check("assessments of Azure DevOps have rows in Resource Graph", _has_rows, "assessmentRows"),
        Check("one assessment for each finding", _one_for_each),
        Check("type `microsoft.security/assessments/subassessments`", _subassessments),
        Check("`status` (code, firstEvaluationDate", _shape),
        Check("id: the resource's in Resource Manager", _ids, "assessmentIds"),
        Check("id: the resource's in Resource Manager", _repository_details),
        Check("the resource, the spelling of its id", _details, "assessmentResourceDetails"),
        Check("the resource, the spelling of its id", _resource, "assessmentResource"),
        Check("the resource, the spelling of its id", _service_connections, "serviceConnectionAssessments"),
        Check("the resource, the spelling of its id", _category, "assessmentCategory"),
        Check("the resource, the spelling of its id", _posture_category, "postureCategory"),
        Check("the resource, the spelling of its id", _severity, "assessmentSeverity"),
        Check("the resource, the spelling of its id", _status, "assessmentStatus"),
        Check("first results 30 minutes after", _first, "firstAssessments"),
        Check("a resolved finding turns Healthy", _resolved, "resolvedAssessments"),
        Check("visible to whoever may perform", _rights, "assessmentRights"),
        Check("`…/providers/Microsoft.Security/assessments` of a subscription", _category_in_arm, "assessmentLists"),
        Check("`…/providers/Microsoft.Security/assessments` of a subscription", _subscription_list),
    ),
    requirements=(Tenant.require_resource_graph,),
)
