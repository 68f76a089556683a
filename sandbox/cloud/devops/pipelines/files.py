"""Git: one repository, its branches, and files on a branch."""

from __future__ import annotations

import mimetypes
from posixpath import join
from typing import Any

from sandbox.cloud.devops.call import DevOpsCall, listing
from sandbox.cloud.devops.errors import DevOpsError, not_found, repository_missing
from sandbox.cloud.devops.organizations import repository_body
from sandbox.cloud.transport.message import Reply, json_reply, sha256
from sandbox.cloud.world.devops import Project, Repository
from sandbox.cloud.world.pipelines.files import commit_of, object_of

__all__ = ["find_repository", "get_items", "get_repository", "head_commit", "list_refs"]


def find_repository(call: DevOpsCall) -> tuple[Project, Repository]:
    """Return the repository of the path by name or id, and its project.

    Raises:
        DevOpsError: 404 TF401019.
    """
    name = call.names["repository"]
    for project in call.projects():
        position = None if project.tfvc else project.repositories.position(name)
        if position is not None:
            return project, project.repositories[position]
    raise repository_missing(name)


def get_repository(call: DevOpsCall) -> Reply:
    """GET _apis/git/repositories/{repositoryId}."""
    return json_reply(repository_body(call, *find_repository(call)))


def list_refs(call: DevOpsCall) -> Reply:
    """GET _apis/git/repositories/{repositoryId}/refs?filter=heads/main: the commits of the branches."""
    _, repository = find_repository(call)
    _check_enabled(call, repository)
    prefix = f"refs/{call.request.query.get('filter', '').lstrip('/')}"
    branches = {} if repository.empty else {repository.default_branch: repository.files, **repository.branches}
    refs = {f"refs/heads/{name}": head_commit(call, files) for name, files in branches.items()}
    page, headers = call.page([name for name in sorted(refs) if name.startswith(prefix)], 1000)
    return listing([{"name": name, "objectId": refs[name]} for name in page], headers)


def _check_enabled(call: DevOpsCall, repository: Repository) -> None:
    if repository.disabled:
        is_usual = call.world.variants.is_chosen("unreadableRepositories", "notFound")
        raise repository_missing(repository.id, 404 if is_usual else 403)


def get_items(call: DevOpsCall) -> Reply:
    """GET _apis/git/repositories/{repositoryId}/items: one file of `path`, or a list of `scopePath`."""
    project, repository = find_repository(call)
    _check_enabled(call, repository)
    query = call.request.query
    branch = query.get("versionDescriptor.version") or query.get("version") or repository.default_branch
    kind = query.get("versionDescriptor.versionType") or query.get("versionType") or "branch"
    if repository.empty:
        message = f"VS403403: Cannot find any branches for the {repository.name} repository."
        is_usual = call.world.variants.is_chosen("unreadableRepositories", "notFound")
        raise DevOpsError(404 if is_usual else 400, "GitItemNotFoundException", message)
    files = repository.files_of(branch) if kind.lower() == "branch" else _at_commit(call, repository, branch)
    if files is None:
        message = (
            f"TF401175: The version descriptor <{kind.capitalize()}: {branch}> could not be resolved to a version in "
            f"the repository {repository.name}"
        )
        raise not_found(message, "GitUnresolvableToCommitException")
    base = call.url(project.id, "_apis", "git", "repositories", repository.id, "items")
    if "path" in query:
        return _item(call, base, repository, branch, files)
    scope = join("/", query.get("scopePath", "/")).rstrip("/")
    is_full = query.get("recursionLevel", "none").lower() == "full"
    paths = [path for path in sorted(files) if path.startswith(f"{scope}/")]
    if not is_full:
        paths = [path for path in paths if "/" not in path.removeprefix(f"{scope}/")]
    commit = head_commit(call, files)
    return listing([_metadata(base, path, files[path], commit) for path in paths])


def _at_commit(call: DevOpsCall, repository: Repository, commit: str) -> dict[str, str] | None:
    every = [repository.files, *repository.branches.values()]
    return next((files for files in every if head_commit(call, files) == commit.lower()), None)


def head_commit(call: DevOpsCall, files: dict[str, str]) -> str:
    """Return the id of the commit at the head of a branch with these files."""
    commit = commit_of(files)
    if call.world.variants.is_chosen("commitIds", "content"):
        return commit
    return sha256(f"{commit} {int(call.world.clock.now() // 86_400)}")[:40]


def _item(call: DevOpsCall, base: str, repository: Repository, branch: str, files: dict[str, str]) -> Reply:
    query = call.request.query
    path = join("/", query["path"])
    text = files.get(path)
    commit = head_commit(call, files)
    if text is None:
        message = (
            f"TF401174: The item '{path}' could not be found in the repository '{repository.name}' at the version "
            f"specified by '<Branch: {branch}>' (resolved to commit '{commit}')"
        )
        raise not_found(message, "GitItemNotFoundException")
    accepted = call.request.headers.get("Accept", "")
    shape = query.get("$format", "").lower()
    if shape == "json" or (not shape and "application/json" in accepted):
        body = _metadata(base, path, text, commit)
        if call.flag("includeContent"):
            body["content"] = text
        if call.flag("includeContentMetadata"):
            kind = mimetypes.guess_type(path)[0] or "text/plain"
            name = path.rpartition("/")[2]
            body["contentMetadata"] = {"fileName": name, "extension": name.rpartition(".")[2], "contentType": kind}
        return json_reply(body)
    if shape not in ("", "text", "octetstream"):
        raise DevOpsError(400, "InvalidArgumentValueException", f"The $format '{shape}' is not supported for a file.")
    return Reply(200, text.encode("utf-8", "replace"), {"Content-Type": "text/plain; charset=utf-8"})


def _metadata(base: str, path: str, text: str, commit: str) -> dict[str, Any]:
    return {
        "objectId": object_of(text),
        "gitObjectType": "blob",
        "commitId": commit,
        "path": path,
        "url": f"{base}{path}?versionType=Branch&versionOptions=None",
    }
