"""Code search (almsearch.dev.azure.com) and the state of its index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.cloud.devops.call import DevOpsCall
from sandbox.cloud.devops.errors import DevOpsError, not_found
from sandbox.cloud.devops.pipelines.files import find_repository, head_commit
from sandbox.cloud.transport.message import Reply, json_reply
from sandbox.cloud.world.devops import CODE_SEARCH_EXTENSION, Project, Repository
from sandbox.cloud.world.pipelines.files import object_of

__all__ = ["get_index_status", "search_code"]

_MOST_HITS = 1000
_BAD_REQUEST, _ONBOARDING, _TOP_CUT = 3, 6, 8
_FILTER = re.compile(r"(ext|file|path|repo|proj):(\S+)", re.IGNORECASE)
_WORD = re.compile(r'"([^"]+)"|(\S+)')


@dataclass(frozen=True, slots=True)
class _Query:
    """A parsed search: all patterns must be in a file whose name passes the filters."""

    patterns: tuple[re.Pattern[str], ...]
    extension: str
    filters: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> _Query:
        """Parse words, phrases in quotes, a wildcard at the end of a word, and filters such as `ext:yml`."""
        filters = {name.lower(): value.lower() for name, value in _FILTER.findall(text)}
        terms = ["".join(match) for match in _WORD.findall(_FILTER.sub(" ", text))]
        patterns = []
        for term in terms:
            core = re.escape(term.rstrip("*"))
            ending = "" if term.endswith("*") else r"(?![\w])"
            patterns.append(re.compile(rf"(?<![\w]){core}{ending}", re.IGNORECASE))
        return cls(tuple(patterns), filters.pop("ext", ""), filters)

    def position(self, path: str, text: str) -> tuple[int, int] | None:
        """Return offset and length of the first match in a file; None if it does not match."""
        if self.extension and not path.lower().endswith(f".{self.extension}"):
            return None
        name = path.rpartition("/")[2].lower()
        if self.filters.get("file", name) not in name or self.filters.get("path", "") not in path.lower():
            return None
        matches = [pattern.search(text) for pattern in self.patterns]
        if not matches or not all(matches) or matches[0] is None:
            return None
        return matches[0].start(), matches[0].end() - matches[0].start()


def search_code(call: DevOpsCall) -> Reply:
    """POST [{project}/]_apis/search/codesearchresults: default branches of indexed repositories that are no forks."""
    organization, body = call.current_organization, call.body()
    if not organization.has_working_extension(CODE_SEARCH_EXTENSION):
        if call.world.variants["missingCodeSearch"] == "onboarding":
            return json_reply({"count": 0, "results": [], "infoCode": _ONBOARDING, "facets": None})
        message = "The extension Code Search (ms.vss-code-search) is not installed in this organization."
        raise not_found(message, "InvalidSearchException")
    text, skip, top = body.get("searchText"), body.get("$skip", 0), body.get("$top", 100)
    if not isinstance(text, str) or not isinstance(skip, int) or not isinstance(top, int) or top < 1 or skip < 0:
        raise DevOpsError(400, "InvalidQueryException", "searchText, $skip and $top must be a text and two numbers.")
    query, has_codes = _Query.parse(text), call.world.variants.is_chosen("infoCodes", "detailed")
    if not query.patterns:
        return json_reply({"count": 0, "results": [], "infoCode": _BAD_REQUEST if has_codes else 0, "facets": None})
    hits = list(_hits(call, query, body.get("filters")))
    code = organization.search_info_code
    if top > _MOST_HITS and code == 0 and has_codes:
        code = _TOP_CUT
    results = hits[:_MOST_HITS][skip : skip + min(top, _MOST_HITS)]
    return json_reply({"count": len(hits), "results": results, "infoCode": code, "facets": None})


def _hits(call: DevOpsCall, query: _Query, filters: object) -> Iterator[dict[str, Any]]:
    projects, names, branches = (
        {str(item).lower() for item in values} if isinstance(values, list) else set[str]()
        for values in (filters.get(key) if isinstance(filters, dict) else None for key in _FILTER_KEYS)
    )
    for project in call.projects():
        if project.tfvc or (projects and project.name.lower() not in projects):
            continue
        for repository in project.repositories.existing():
            is_searched = repository.indexed and not (repository.fork or repository.disabled or repository.empty)
            is_named = not names or repository.name.lower() in names
            is_branch = not branches or repository.default_branch.lower() in branches
            if is_searched and is_named and is_branch:
                yield from _hits_in(call, query, project, repository)


_FILTER_KEYS = ("Project", "Repository", "Branch")


def _hits_in(call: DevOpsCall, query: _Query, project: Project, repository: Repository) -> Iterator[dict[str, Any]]:
    for path, text in repository.files.items():
        match = query.position(path, text)
        if match is not None:
            branch = {"branchName": repository.default_branch, "changeId": head_commit(call, repository.files)}
            content = {"charOffset": match[0], "length": match[1], "type": "content"}
            yield {
                "fileName": path.rpartition("/")[2],
                "path": path,
                "matches": {"content": [content], "fileName": []},
                "collection": {"name": call.current_organization.name},
                "project": {"name": project.name, "id": project.id},
                "repository": {"name": repository.name, "id": repository.id, "type": "git"},
                "versions": [branch],
                "contentId": object_of(text),
            }


def get_index_status(call: DevOpsCall) -> Reply:
    """GET {project}/_apis/search/status/repositories/{repository}: the branches that are indexed."""
    _, repository = find_repository(call)
    branches = []
    if repository.indexed and not repository.empty and not repository.disabled:
        branches.append(
            {
                "name": repository.default_branch,
                "lastIndexedChangeId": head_commit(call, repository.files),
                "lastProcessedTime": call.time(call.world.clock.now()),
            }
        )
    return json_reply({"id": repository.id, "name": repository.name, "indexedBranches": branches})
