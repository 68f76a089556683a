"""Probe `pipelines`: definitions, builds, logs, code search and Advanced Security of the organization."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from acceptance.checks import Check, Cost, Observation, Probe, agreement
from acceptance.probes.discovery import parse_time
from acceptance.session.answer import Answer, Inconclusive, items_of, member, text_of
from acceptance.tenant import Tenant, required
from defender_devops.api.pipelines.evidence import SECURITY_DEVOPS_TASK_ID

__all__ = ["PROBE"]

_YAML: Final = 2
_TASK: Final = "microsoftsecuritydevops"
_MAPPING: Final = "Container Mapping"
_ENABLEMENT_VERSION: Final = "7.2-preview.3"
_TASK_GROUPS_VERSION: Final = "7.1-preview.1"
_RETENTION: Final = timedelta(days=30)
_NEARLY: Final = timedelta(days=25)
_FILES_MAX: Final = 5
_BAD_REQUEST: Final = 400
_NOT_FOUND: Final = 404
_KINDS_OF_UNREADABLE: Final = 2
_ONBOARDING: Final = 6


def _path(tenant: Tenant, project: str, area: str) -> str:
    return f"/{quote(tenant.file.organization, safe='')}/{quote(project, safe='')}/_apis/{area}"


async def _get(tenant: Tenant, project: str, area: str, *, version: str = "7.1", **query: str) -> Answer:
    """Return the answer to a GET below a project; `top` is `$top`."""
    parameters = {("$top" if name == "top" else name): value for name, value in query.items()}
    return await tenant.session.get("devAzure", _path(tenant, project, area), {"api-version": version, **parameters})


async def _first_project(tenant: Tenant) -> str:
    """Return the id of the project with the newest build, otherwise of any project with pipelines.

    Raises:
        Inconclusive: there is none.
    """
    for project, pipelines in (await tenant.definitions()).items():
        if pipelines:
            return project
    raise Inconclusive("the projects have no pipeline")


def _yaml_pipelines(pipelines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for item in pipelines if member(item, "process", "type") == _YAML]


async def _task_filter(tenant: Tenant) -> Observation:
    has_yaml_with_task = False
    for project, pipelines in (await tenant.definitions()).items():
        query = {"taskIdFilter": SECURITY_DEVOPS_TASK_ID, "includeAllProperties": "true"}
        matches = (await _get(tenant, project, "build/definitions", **query)).values()
        if _yaml_pipelines(matches):
            return Observation("everything", "the filter finds a YAML pipeline")
        for pipeline in _yaml_pipelines(pipelines)[:_FILES_MAX]:
            repository, file = text_of(pipeline, "repository", "id"), text_of(pipeline, "process", "yamlFilename")
            area = f"git/repositories/{quote(repository, safe='')}/items"
            answer = await _get(tenant, project, area, path=file, includeContent="true")
            has_yaml_with_task |= answer.is_success and _TASK in answer.text.lower()
    if not has_yaml_with_task:
        raise Inconclusive("no YAML file of the first pipelines names the task")
    return Observation("designer", "the filter finds no YAML pipeline, although one has the task")


async def _first_log(tenant: Tenant) -> Observation:
    answer = await tenant.first_log()
    if not answer.is_success or not answer.text.strip() or answer.text.lstrip().startswith("<"):
        raise Inconclusive(f"HTTP {answer.status} without a log")
    is_yaml = any(line.startswith("stages:") for line in answer.text.splitlines())
    return Observation("expandedYaml" if is_yaml else "ordinary", "log 1 is YAML" if is_yaml else "log 1 is not YAML")


async def _expanded_yaml(tenant: Tenant) -> str:
    """Return log 1 where it is the expanded YAML."""
    answer = await tenant.first_log()
    if not answer.is_success or "stages:" not in answer.text:
        raise Inconclusive("log 1 is not the expanded YAML")
    return answer.text


async def _begins_with_stages(tenant: Tenant) -> Observation:
    text = await _expanded_yaml(tenant)
    holds = text.lstrip().startswith("stages:")
    return agreement(holds, "begins with stages" if holds else "begins with something else")


async def _timeline(tenant: Tenant) -> list[dict[str, Any]]:
    """Return the records of the newest build of a YAML pipeline.

    Raises:
        Inconclusive: there are none.
    """
    project, build = (await tenant.yaml_builds())[0]
    records = items_of((await _get(tenant, project, f"build/builds/{build}/timeline")).object(), "records")
    if not records:
        raise Inconclusive("the newest build has no timeline")
    return records


async def _mapping_steps(tenant: Tenant) -> Observation:
    if not any(_MAPPING in text_of(record, "name") for record in await _timeline(tenant)):
        raise Inconclusive("the newest build has no step of container mapping")
    is_shown = _MAPPING in await _expanded_yaml(tenant)
    evidence = f"its steps are {'' if is_shown else 'not '}in the expanded YAML"
    return Observation("shown" if is_shown else "hidden", evidence)


async def _mapping_records(tenant: Tenant) -> Observation:
    records = [record for record in await _timeline(tenant) if _MAPPING in text_of(record, "name")]
    if not records:
        raise Inconclusive("the newest build has no step of container mapping")
    holds = all(text_of(record, "task", "id").lower() == SECURITY_DEVOPS_TASK_ID for record in records)
    return agreement(holds, f"{len(records)} records")


async def _records_without_task(tenant: Tenant) -> Observation:
    records = [record for record in await _timeline(tenant) if text_of(record, "name").startswith("Checkout ")]
    if not records:
        raise Inconclusive("the newest build has no such record")
    with_task = [record for record in records if record.get("task") is not None]
    evidence = f"{len(with_task)} of {len(records)} records have a task"
    return Observation("withTask" if with_task else "withoutTask", evidence)


async def _old_builds(tenant: Tenant) -> Observation:
    now = tenant.session.clock.wall()
    ages: list[timedelta] = []
    for project in await tenant.definitions():
        query = {"queryOrder": "finishTimeAscending", "statusFilter": "completed", "top": "1"}
        for build in (await _get(tenant, project, "build/builds", **query)).values():
            finished = parse_time(text_of(build, "finishTime"))
            if finished is not None and not build.get("retainedByRelease") and not build.get("keepForever"):
                ages.append(timedelta(seconds=now - finished.timestamp()))
    if not ages:
        raise Inconclusive("the projects have no completed build")
    evidence = f"the oldest build is {max(ages).days} days old"
    if max(ages) > _RETENTION:
        return Observation("remain", evidence)
    if max(ages) > _NEARLY:
        return Observation("deleted", evidence)
    raise Inconclusive(f"{evidence}: pipelines of more than 30 days are needed")


async def _logs_for_json(tenant: Tenant) -> Observation:
    answer = await tenant.first_log("application/json")
    if not answer.is_success:
        raise Inconclusive(f"HTTP {answer.status} for a log")
    try:
        value = member(answer.json(), "value")
    except Inconclusive:
        value = None
    if isinstance(value, list):
        return Observation("lines", "an object with lines")
    if not (await tenant.first_log()).text.strip() == answer.text.strip() or answer.text.lstrip().startswith("<"):
        raise Inconclusive("neither lines nor the text of the log")
    return Observation("text", "text, whatever is accepted")


async def _without_properties(tenant: Tenant) -> Observation:
    pipelines = (await _get(tenant, await _first_project(tenant), "build/definitions")).values()
    if not pipelines:
        raise Inconclusive("the project has no pipeline")
    full = [item for item in pipelines if "process" in item or "repository" in item]
    return agreement(not full, f"{len(full)} of {len(pipelines)} have a process or a repository")


async def _repository_without_type(tenant: Tenant) -> Observation:
    repositories = await tenant.source_repositories()
    if not repositories:
        raise Inconclusive("there is no repository")
    repository = text_of(repositories[0], "id")
    answer = await _get(tenant, await _first_project(tenant), "build/definitions", repositoryId=repository)
    if answer.status not in {200, _BAD_REQUEST}:
        raise Inconclusive(f"HTTP {answer.status}")
    if answer.is_success:
        answer.values()
    return Observation("ignored" if answer.is_success else "badRequest", f"HTTP {answer.status}")


async def _latest_build(tenant: Tenant) -> Observation:
    is_default_instead = False
    for pipeline in [item for pipelines in (await tenant.definitions()).values() for item in pipelines]:
        default = text_of(pipeline, "repository", "defaultBranch")
        default = default if default.startswith("refs/") else f"refs/heads/{default}"
        latest, completed = (
            text_of(pipeline, name, "sourceBranch") for name in ("latestBuild", "latestCompletedBuild")
        )
        if completed and completed != default:
            return Observation("anyBranch", "a pipeline has one of another branch than the default one")
        is_completed = text_of(pipeline, "latestBuild", "status") == "completed"
        is_default_instead |= bool(completed) and bool(latest) and latest != default and is_completed
    if not is_default_instead:
        raise Inconclusive("every newest build is of the default branch")
    return Observation("defaultBranch", "it is of the default branch, although a newer build is of another one")


async def _unreadable(tenant: Tenant) -> Observation:
    statuses = set()
    for repository in await tenant.source_repositories():
        if repository.get("isDisabled") is True or "defaultBranch" not in repository:
            path = f"/_apis/git/repositories/{quote(text_of(repository, 'id'), safe='')}/items"
            answer = await tenant.azure_devops(path, {"scopePath": "/"})
            if text_of(answer.json(), "typeKey"):
                statuses.add(answer.status)
        if len(statuses) == _KINDS_OF_UNREADABLE:
            break
    if not statuses:
        raise Inconclusive("there is no disabled and no empty repository")
    return Observation(
        "notFound" if statuses == {_NOT_FOUND} else "other", f"HTTP {', '.join(map(str, sorted(statuses)))}"
    )


async def _search(tenant: Tenant, organization: str, text: str = "MicrosoftSecurityDevOps ext:yml") -> Answer:
    body = {"searchText": text, "$skip": 0, "$top": 25, "includeFacets": False}
    path = f"/{quote(organization, safe='')}/_apis/search/codesearchresults"
    return await tenant.session.send("POST", "search", path, {"api-version": "7.1"}, body)


async def _missing_search(tenant: Tenant) -> Observation:
    name = required(tenant.file.organization_without_code_search, "organizationWithoutCodeSearch")
    (await tenant.session.get("devAzure", f"/{quote(name, safe='')}/_apis/projects", {"api-version": "7.1"})).values()
    answer = await _search(tenant, name)
    if answer.status == _NOT_FOUND and "json" in answer.headers.get("content-type", ""):
        return Observation("notFound", "HTTP 404")
    body = answer.object()
    if body.get("infoCode") != _ONBOARDING:
        raise Inconclusive("the search was answered")
    return Observation("onboarding", f"infoCode {_ONBOARDING}")


async def _info_code(tenant: Tenant) -> Observation:
    body = (await _search(tenant, tenant.file.organization)).object()
    code = body.get("infoCode")
    if not isinstance(code, int):
        raise Inconclusive("the answer has no infoCode")
    if code == _ONBOARDING:
        raise Inconclusive(f"infoCode {code}: the organization has no code search, or does not index its code yet")
    return agreement(code == 0, f"infoCode {code}")


async def _info_code_of_nothing(tenant: Tenant) -> Observation:
    body = (await _search(tenant, tenant.file.organization, "ext:yml")).object()
    code = body.get("infoCode")
    if not isinstance(code, int):
        raise Inconclusive("the answer has no infoCode")
    return Observation("none" if code == 0 else "detailed", f"infoCode {code} for a search without a word")


async def _enablement_items(tenant: Tenant) -> list[dict[str, Any]]:
    answer = await tenant.azure_devops(
        "/_apis/management/enablement",
        {"includeAllProperties": "true"},
        host="advancedSecurity",
        version=_ENABLEMENT_VERSION,
    )
    body = answer.object()
    if not isinstance(body.get("reposEnablementStatus"), list):
        raise Inconclusive("the answer has no list of repositories")
    return items_of(body, "reposEnablementStatus")


async def _enablement(tenant: Tenant) -> Observation:
    items = await _enablement_items(tenant)
    rows = {text_of(item, "repositoryId").lower() for item in items}
    repositories = {text_of(item, "id").lower() for item in await tenant.source_repositories()}
    if not repositories:
        raise Inconclusive("there is no repository")
    evidence = f"{len(rows & repositories)} of {len(repositories)} repositories are in the answer"
    if not repositories <= rows:
        return Observation("touched", evidence)
    if any(not _has_feature(item) for item in items):
        return Observation("all", f"{evidence}, some with everything off")
    return Observation("touched", f"{evidence}, and something is on in each", ("all",))


def _has_feature(item: dict[str, Any]) -> bool:
    """Whether a feature of Advanced Security is on."""
    features = (member(item, name) for name in ("codeSecurityFeatures", "secretProtectionFeatures"))
    return any(value is True for group in features if isinstance(group, dict) for value in group.values())


async def _definitions(tenant: Tenant) -> Observation:
    counts = [len(pipelines) for pipelines in (await tenant.definitions()).values()]
    if not any(counts):
        raise Inconclusive("the projects have no pipeline")
    return agreement(holds=True, evidence=f"{sum(counts)} pipelines in {len(counts)} projects")


async def _one_definition(tenant: Tenant) -> Observation:
    project = await _first_project(tenant)
    identifier = (await tenant.definitions())[project][0].get("id")
    body = (await _get(tenant, project, f"build/definitions/{identifier}")).object()
    return agreement("process" in body, "has a process" if "process" in body else "has no process")


async def _builds(tenant: Tenant) -> Observation:
    project, _ = (await tenant.yaml_builds())[0]
    query = {"statusFilter": "completed", "maxBuildsPerDefinition": "1", "queryOrder": "finishTimeDescending"}
    builds = (await _get(tenant, project, "build/builds", **query)).values()
    identifiers = [member(build, "definition", "id") for build in builds]
    return agreement(len(set(map(str, identifiers))) == len(builds), f"{len(builds)} builds, one of each pipeline")


async def _build_parts(tenant: Tenant) -> Observation:
    project, build = (await tenant.yaml_builds())[0]
    artifacts = (await _get(tenant, project, f"build/builds/{build}/artifacts")).values()
    logs = (await _get(tenant, project, f"build/builds/{build}/logs")).values()
    return agreement(bool(logs), f"{len(artifacts)} artifacts, {len(logs)} logs")


async def _task_groups(tenant: Tenant) -> Observation:
    answer = await _get(
        tenant, await _first_project(tenant), "distributedtask/taskgroups", version=_TASK_GROUPS_VERSION
    )
    return agreement(holds=True, evidence=f"{len(answer.values())} task groups")


async def _task(tenant: Tenant) -> Observation:
    answer = await tenant.azure_devops(f"/_apis/distributedtask/tasks/{SECURITY_DEVOPS_TASK_ID}")
    return agreement(holds=True, evidence=f"{len(answer.values())} versions of the task")


async def _repository(tenant: Tenant) -> Observation:
    repositories = [item for item in await tenant.source_repositories() if item.get("defaultBranch")]
    if not repositories:
        raise Inconclusive("no repository has a default branch")
    path = f"/_apis/git/repositories/{quote(text_of(repositories[0], 'id'), safe='')}"
    refs = (await tenant.azure_devops(f"{path}/refs")).values()
    body = (await tenant.azure_devops(path)).object()
    return agreement(text_of(body, "id") == text_of(repositories[0], "id"), f"{len(refs)} references")


def _first_repository(repositories: list[dict[str, Any]]) -> tuple[str, str]:
    """Return project and repository, by id.

    Raises:
        Inconclusive: there is none.
    """
    if not repositories:
        raise Inconclusive("there is no repository")
    return text_of(repositories[0], "project", "id"), text_of(repositories[0], "id")


async def _search_status(tenant: Tenant) -> Observation:
    project, repository = _first_repository(await tenant.source_repositories())
    path = _path(tenant, project, f"search/status/repositories/{quote(repository, safe='')}")
    body = (await tenant.session.get("search", path, {"api-version": "7.1"})).object()
    branches = items_of(body, "indexedBranches")
    return agreement(isinstance(body.get("indexedBranches"), list), f"{len(branches)} branches")


async def _enablement_of_one(tenant: Tenant) -> Observation:
    project, repository = _first_repository(await tenant.source_repositories())
    path = _path(tenant, project, f"management/repositories/{quote(repository, safe='')}/enablement")
    answer = await tenant.session.get("advancedSecurity", path, {"api-version": _ENABLEMENT_VERSION})
    holds = {"codeSecurityFeatures", "secretProtectionFeatures"} <= answer.object().keys()
    return agreement(holds, "both kinds of features" if holds else "other fields")


async def _policies(tenant: Tenant) -> Observation:
    policies = (await _get(tenant, await _first_project(tenant), "policy/configurations")).values()
    return agreement(all("settings" in item and "type" in item for item in policies), f"{len(policies)} policies")


PROBE: Final = Probe(
    "pipelines",
    "pipelines of three projects, their newest build with its logs and timeline, at most five YAML files, code search",
    Cost(azure_devops=60),
    (
        Check("`GET {project}/_apis/build/definitions`", _definitions),
        Check("`GET {project}/_apis/build/definitions/{definitionId}`", _one_definition),
        Check("`GET {project}/_apis/build/builds`", _builds),
        Check("`GET {project}/_apis/build/builds/{buildId}` and its", _build_parts),
        Check("`GET {project}/_apis/distributedtask/taskgroups`", _task_groups),
        Check("`GET _apis/distributedtask/tasks/{taskId}`", _task),
        Check("`GET [{project}/]_apis/git/repositories/{repository}`", _repository),
        Check("`GET {project}/_apis/policy/configurations`", _policies),
        Check("host `search`: `POST [{project}/]_apis/search/codesearchresults`", _info_code),
        Check("host `search`: `GET {project}/_apis/search/status", _search_status),
        Check("host `advancedSecurity`: `GET [{project}/]_apis/management/enablement`", _enablement_of_one),
        Check("without `includeAllProperties` a definition", _without_properties),
        Check("`taskIdFilter` finds designer pipelines only", _task_filter, "taskFilter"),
        Check("`yamlFilename` filters only with", _repository_without_type, "repositoryWithoutType"),
        Check("`latestCompletedBuild` may be of any branch", _latest_build, "latestCompletedBuild"),
        Check("a disabled repository: 404", _unreadable, "unreadableRepositories"),
        Check("records of checkout and of the agent", _records_without_task, "checkoutRecords"),
        Check("container mapping, installed and working", _mapping_steps, "containerMappingSteps"),
        Check("container mapping, installed and working", _mapping_records),
        Check("log 1 of a YAML build", _first_log, "firstLog"),
        Check("expanded YAML begins with `stages:`", _begins_with_stages),
        Check("a log is text, or", _logs_for_json, "logsForJson"),
        Check("after 30 days logs and artifacts are deleted", _old_builds, "expiredBuilds"),
        Check("code search needs its extension", _missing_search, "missingCodeSearch"),
        Check("infoCode 0, 3", _info_code),
        Check("infoCode 0, 3", _info_code_of_nothing, "infoCodes"),
        Check("enablement is not paged", _enablement, "enablementRows"),
    ),
    requirements=(Tenant.require_azure_devops,),
)
