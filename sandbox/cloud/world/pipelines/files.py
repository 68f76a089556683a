"""The YAML of a pipeline: its file and its templates are read from the repositories of the organization."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from posixpath import join
from typing import Any

from sandbox.cloud.world.devops import Organization, Repository
from sandbox.cloud.world.pipelines.expansion import PipelineInvalid, expand
from sandbox.cloud.world.pipelines.model import Pipeline

__all__ = ["commit_of", "expanded_yaml", "object_of"]

_NOTHING = "stages: []\n"
_COMMIT_OF_NOTHING = hashlib.sha1(b"", usedforsecurity=False).hexdigest()


def object_of(text: str) -> str:
    """Return the id of a file's content, as Git computes it."""
    content = text.encode("utf-8", "replace")
    return hashlib.sha1(b"blob %d\x00" % len(content) + content, usedforsecurity=False).hexdigest()


def commit_of(files: dict[str, str]) -> str:
    """Return the id of the commit at the head of a branch: it changes with the files only."""
    if not files:
        return _COMMIT_OF_NOTHING
    listing = "\n".join(f"{path} {object_of(files[path])}" for path in sorted(files))
    return hashlib.sha1(listing.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class _Files:
    """The files that a pipeline may read.

    Attributes:
        branch: short name of the branch of its own repository; None: the default one.
    """

    organization: Organization
    pipeline: Pipeline
    branch: str | None

    def read_file(self, repository_name: str | None, path: str) -> str:
        """Return the text of a file of a repository (`name` or `project/name`; None: the pipeline's own)."""
        source = self.pipeline.source
        name = source.name if repository_name is None else repository_name
        project_name, slash, short_name = name.rpartition("/")
        project = self.organization.project(project_name if slash else source.project)
        position = None if project is None else project.repositories.position(short_name)
        if project is None or position is None:
            message = f"Repository {name} could not be retrieved. Verify the name and credentials being used."
            raise PipelineInvalid(message)
        repository = project.repositories[position]
        branch = self.branch if repository_name is None else None
        return self._text(project.name, repository, branch, path)

    def _text(self, project: str, repository: Repository, branch: str | None, path: str) -> str:
        files = repository.files_of(branch)
        text = None if files is None or repository.disabled else files.get(path)
        if text is None:
            url = f"https://dev.azure.com/{self.organization.name}/{project}/_git/{repository.name}"
            reference = f"branch refs/heads/{branch or repository.default_branch}"
            version = f"version {commit_of(files or {})}"
            raise PipelineInvalid(f"{path}: File {path} not found in repository {url} {reference} {version}.")
        return text


def expanded_yaml(
    organization: Organization,
    pipeline: Pipeline,
    branch: str | None = None,
    *,
    override: str | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> str:
    """Return the expanded YAML of a pipeline.

    Args:
        organization: with the repositories that it may read.
        pipeline: a YAML pipeline.
        branch: short name of the branch of its own repository; None: the default one.
        override: text in place of its file.
        arguments: values of the parameters of its file.

    Raises:
        PipelineInvalid: it cannot be expanded.
    """
    if pipeline.expanded_yaml is not None and override is None:
        return pipeline.expanded_yaml
    if pipeline.source.type == "GitHub" and override is None:
        # The files of GitHub are not part of this world.
        return _NOTHING
    files = _Files(organization, pipeline, branch)
    path = join("/", pipeline.yaml_filename or "azure-pipelines.yml")
    return expand(path, files.read_file(None, path) if override is None else override, files.read_file, arguments)
