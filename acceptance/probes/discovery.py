"""Probe `discovery`: when projects appear, and which repositories."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, unquote

from acceptance.checks import Check, Cost, Observation, Probe, agreement
from acceptance.session.answer import Inconclusive, member, text_of
from acceptance.tenant import Tenant

__all__ = ["PROBE", "parse_time"]

_QUARTER_HOUR_MAX: Final = 2 * 3600.0
_SIX_HOURS_MAX: Final = 10 * 3600.0
"""Seconds from the creation of a connector to its first project that still speak for a variant's value."""


def parse_time(text: str) -> datetime | None:
    """Return a time of Azure; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def _start(tenant: Tenant) -> Observation:
    created = parse_time(text_of(await tenant.connector(), "systemData", "createdAt"))
    moments = [
        moment
        for item in await tenant.projects()
        if (moment := parse_time(text_of(item, "properties", "provisioningStatusUpdateTimeUtc"))) is not None
    ]
    if created is None or not moments:
        raise Inconclusive("the connector or its projects have no time")
    seconds = (min(moments) - created).total_seconds()
    minutes = f"the first project is {round(seconds / 60)} minutes younger than the connector"
    if 0 <= seconds <= _QUARTER_HOUR_MAX:
        return Observation("quarterHour", minutes)
    if _QUARTER_HOUR_MAX < seconds <= _SIX_HOURS_MAX:
        return Observation("sixHours", minutes)
    raise Inconclusive(f"{minutes}: a connector of today is needed")


async def _by_project(tenant: Tenant) -> list[tuple[dict[str, Any], set[str]]]:
    """Return the repositories in Azure DevOps of the projects that were read, each with what Defender lists there."""
    listed = {
        project.lower(): {text_of(item, "name").lower() for page in pages for item in page}
        for project, pages in (await tenant.repository_pages()).items()
    }
    return [
        (repository, listed[project])
        for repository in await tenant.source_repositories()
        if (project := text_of(repository, "project", "name").lower()) in listed
    ]


async def _disabled(tenant: Tenant) -> Observation:
    disabled = [pair for pair in await _by_project(tenant) if pair[0].get("isDisabled") is True]
    if not disabled:
        raise Inconclusive("the projects have no disabled repository")
    listed = [item for item, names in disabled if text_of(item, "name").lower() in names]
    return agreement(not listed, f"{len(listed)} of {len(disabled)} disabled repositories are listed")


async def _empty(tenant: Tenant) -> Observation:
    empty = [
        pair
        for pair in await _by_project(tenant)
        if "defaultBranch" not in pair[0] and not pair[0].get("isDisabled") and not pair[0].get("size")
    ]
    if not empty:
        raise Inconclusive("the projects have no empty repository")
    listed = [item for item, names in empty if text_of(item, "name").lower() in names]
    evidence = f"{len(listed)} of {len(empty)} empty repositories are listed"
    return Observation("listed" if listed else "missing", evidence)


async def _addresses(tenant: Tenant) -> Observation:
    repositories = await tenant.repositories()
    addresses = [text_of(item, "properties", "repoUrl") for item in repositories]
    names = [text_of(item, "name") for item in (*repositories, *await tenant.projects())]
    if not any(addresses) or all(quote(name) == name for name in names):
        raise Inconclusive("no name of a project or repository needs an encoding")
    holds = all(" " not in address and quote(unquote(address), safe=":/@%") for address in addresses)
    return agreement(holds, f"{len(addresses)} addresses")


async def _visibility(tenant: Tenant) -> Observation:
    properties = tenant.properties(await tenant.repositories())
    if not properties:
        raise Inconclusive("there are no repositories")
    with_visibility = [item for item in properties if member(item, "visibility")]
    return agreement(len(with_visibility) == len(properties), f"{len(with_visibility)} of {len(properties)} have one")


PROBE: Final = Probe(
    "discovery",
    "the connector, projects and repositories that Defender has discovered, and the repositories in Azure DevOps",
    Cost(reads=80, azure_devops=3),
    (
        Check("the first project after 15 minutes", _start, "discoveryStart"),
        Check("TFVC and disabled repositories are not discovered", _disabled),
        Check("TFVC and disabled repositories are not discovered", _empty, "emptyRepositories"),
        Check("remoteUrl, webUrl, sshUrl and repoUrl", _addresses),
        Check("older api-versions omit newer fields", _visibility),
    ),
    requirements=(Tenant.require_resource_manager, Tenant.require_azure_devops),
)
