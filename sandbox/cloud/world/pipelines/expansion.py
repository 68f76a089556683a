"""Expansion of a pipeline's YAML: templates and parameters are resolved, shortcuts become tasks.

Of the template language, files, `extends`, lists of stages, jobs and steps, and `${{ parameters.name }}` are supported;
other expressions stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from posixpath import dirname, join, normpath
from typing import Any

import yaml

from sandbox.cloud.world.pipelines.tasks import Step, parse_task

__all__ = ["FileReader", "PipelineInvalid", "expand", "steps_of", "with_injected_step"]

FileReader = Callable[[str | None, str], str]
"""Returns the text of a file by the name of its repository (None: the pipeline's own) and its absolute path.

It raises `PipelineInvalid` for a file or a repository that does not exist.
"""

_MOST_FILES = 100
_MOST_LEVELS = 100
_LARGEST_FILE = 1_048_576
_SECTIONS = ("stages", "jobs", "steps")
_PARAMETER = re.compile(r"\$\{\{\s*parameters\.(\w+)\s*\}\}")
_SHORTCUTS: dict[str, tuple[str, dict[str, str], str]] = {
    "script": ("CmdLine@2", {}, "script"),
    "bash": ("Bash@3", {"targetType": "inline"}, "script"),
    "pwsh": ("PowerShell@2", {"targetType": "inline", "pwsh": "true"}, "script"),
    "powershell": ("PowerShell@2", {"targetType": "inline"}, "script"),
    "checkout": ("6d15af64-176c-496d-b583-fd2ae21d4df4@1", {}, "repository"),
    "download": ("30f35852-3f7e-4c0c-9a88-e127b4f97211@1", {}, "alias"),
    "publish": ("ecdc45f6-832d-4ad9-b52b-ee49e94659be@1", {}, "path"),
}
"""Task, fixed inputs and name of the value's input for each keyword."""

_DISPLAY_NAMES = {"Checkout": "Checkout", "Download": "DownloadPipelineArtifact"}


class PipelineInvalid(Exception):
    """The YAML cannot be expanded; the message is that of the service."""


class _Dumper(yaml.CSafeDumper):
    """Writes every value in full: expanded YAML has no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


@dataclass(slots=True)
class _File:
    """A parsed file and its place, for templates with a relative path."""

    repository: str | None
    path: str
    document: dict[str, Any]


@dataclass(slots=True)
class _Expansion:
    """One expansion.

    Attributes:
        read_file: returns the text of a file.
        repositories: names of the repository resources by alias.
        count: number of files.
    """

    read_file: FileReader
    repositories: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def run(self, path: str, text: str, arguments: Mapping[str, Any]) -> str:
        """Return the expanded YAML of the root file."""
        root = self._open(None, path, text, arguments)
        resources = root.document.get("resources")
        listed = resources.get("repositories") if isinstance(resources, dict) else None
        for resource in listed if isinstance(listed, list) else []:
            if isinstance(resource, dict):
                self.repositories[str(resource.get("repository"))] = str(resource.get("name"))
        stages = self._stages(root, 0)
        return yaml.dump({"stages": stages}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)

    def _open(self, repository: str | None, path: str, text: str, arguments: Mapping[str, Any]) -> _File:
        self.count += 1
        if self.count > _MOST_FILES:
            raise PipelineInvalid(
                f"{path}: The maximum number of YAML files in a pipeline, {_MOST_FILES}, is exceeded."
            )
        document = _parse(path, text)
        parameters = _parameters(path, document.get("parameters"), arguments)
        return _File(repository, path, _substitute(document, parameters))

    def _template(self, file: _File, item: Mapping[str, Any], level: int) -> _File:
        if level > _MOST_LEVELS:
            raise PipelineInvalid(f"{file.path}: The maximum number of template levels, {_MOST_LEVELS}, is exceeded.")
        name, at, alias = str(item["template"]).partition("@")
        repository = file.repository
        if at:
            if alias != "self" and alias not in self.repositories:
                message = f"{file.path}: Repository resource {alias} not found. Check that it is defined in resources."
                raise PipelineInvalid(message)
            repository = None if alias == "self" else self.repositories[alias]
        folder = "/" if at else dirname(file.path)
        path = normpath(join("/", folder, name))
        arguments = item.get("parameters")
        text = self.read_file(repository, path)
        return self._open(repository, path, text, arguments if isinstance(arguments, dict) else {})

    def _stages(self, file: _File, level: int) -> list[Any]:
        document = file.document
        if "extends" in document:
            extended = document["extends"]
            if not isinstance(extended, dict) or "template" not in extended:
                raise PipelineInvalid(f"{file.path}: A template is required after 'extends'.")
            return self._stages(self._template(file, extended, level + 1), level + 1)
        if "stages" in document:
            return self._items(file, "stages", level)
        if "jobs" in document:
            return [{"stage": "__default", "jobs": self._items(file, "jobs", level)}]
        if "steps" in document:
            job = {"job": "Job", "steps": self._items(file, "steps", level)}
            return [{"stage": "__default", "jobs": [job]}]
        raise PipelineInvalid(f"{file.path}: A pipeline must have stages, jobs, steps or extends.")

    def _items(self, file: _File, section: str, level: int) -> list[Any]:
        """Return the expanded items of a file's list of stages, jobs or steps."""
        items: list[Any] = []
        listed = file.document.get(section)
        for item in listed if isinstance(listed, list) else []:
            if not isinstance(item, dict):
                raise PipelineInvalid(f"{file.path}: Unexpected value '{str(item)[:100]}' in {section}.")
            if "template" in item:
                items += self._items(self._template(file, item, level + 1), section, level + 1)
            elif section == "steps":
                items.append(_step(file.path, item))
            else:
                inner = _SECTIONS[_SECTIONS.index(section) + 1]
                below = _File(file.repository, file.path, item)
                items.append({**item, inner: self._items(below, inner, level)})
        return items


def _parse(path: str, text: str) -> dict[str, Any]:
    if len(text) > _LARGEST_FILE:
        raise PipelineInvalid(f"{path}: The file is larger than the maximum of {_LARGEST_FILE} characters.")
    try:
        for token in yaml.scan(text, Loader=yaml.CSafeLoader):
            if isinstance(token, (yaml.AnchorToken, yaml.AliasToken)):
                anchor = f"Anchors are not currently supported. Remove the anchor '{token.value}'"
                raise PipelineInvalid(f"{path}: (Line: {token.start_mark.line + 1}): {anchor}")
        document = yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise PipelineInvalid(f"{path}: (Line: 1, Col: 1): {reason or 'The YAML cannot be parsed.'}") from error
    if not isinstance(document, dict):
        raise PipelineInvalid(f"{path}: (Line: 1, Col: 1): A mapping was expected")
    return document


def _parameters(path: str, declared: object, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a file's parameters: arguments, or defaults."""
    values: dict[str, Any] = {}
    if isinstance(declared, dict):
        return {**{str(name): value for name, value in declared.items()}, **arguments}
    for parameter in declared if isinstance(declared, list) else []:
        if isinstance(parameter, dict):
            name = str(parameter.get("name"))
            if name not in arguments and "default" not in parameter:
                raise PipelineInvalid(f"{path}: A value for the '{name}' parameter must be provided.")
            values[name] = arguments.get(name, parameter.get("default"))
    return values


def _substitute(value: Any, parameters: Mapping[str, Any]) -> Any:  # noqa: ANN401 - YAML
    if not parameters:
        return value
    if isinstance(value, dict):
        return {
            key: inner if key == "parameters" and isinstance(inner, list) else _substitute(inner, parameters)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_substitute(item, parameters) for item in value]
    if not isinstance(value, str) or "${{" not in value:
        return value
    whole = _PARAMETER.fullmatch(value.strip())
    if whole and whole[1] in parameters:
        return parameters[whole[1]]
    return _PARAMETER.sub(lambda match: str(parameters.get(match[1], match[0])), value)


def _step(path: str, item: dict[str, Any]) -> dict[str, Any]:
    if "task" in item:
        return item
    for keyword, (task, inputs, name) in _SHORTCUTS.items():
        if keyword in item:
            remaining = {key: value for key, value in item.items() if key not in (keyword, "artifact")}
            values: dict[str, Any] = {**inputs, name: item[keyword]}
            if "artifact" in item:
                values["artifactName"] = item["artifact"]
            if keyword == "checkout" and item[keyword] == "none":
                remaining["condition"] = False
            return {"task": task, **remaining, "inputs": values}
    keys = ", ".join(str(key) for key in item)[:100]
    raise PipelineInvalid(f"{path}: Unexpected value '{keys}' in steps.")


@lru_cache(maxsize=256)
def _expand_alone(path: str, text: str) -> str:
    """Expand a file without templates: its text decides alone."""

    def no_file(_repository: str | None, name: str) -> str:
        raise PipelineInvalid(f"{name}: File not found.")

    return _Expansion(no_file).run(path, text, {})


def expand(path: str, text: str, read_file: FileReader, arguments: Mapping[str, Any] | None = None) -> str:
    """Return the expanded YAML of a pipeline's file; it begins with `stages:`.

    Args:
        path: of the file.
        text: of the file.
        read_file: reads its templates.
        arguments: values of its parameters.

    Raises:
        PipelineInvalid: the YAML is wrong, a parameter has no value, or a template does not exist.
    """
    path = join("/", path)
    if "template" in text or arguments:
        return _Expansion(read_file).run(path, text, arguments or {})
    return _expand_alone(path, text)


@lru_cache(maxsize=64)
def _with_injected_step(expanded: str, task: str, name: str, inputs: tuple[tuple[str, str], ...]) -> str:
    document = yaml.load(expanded, Loader=yaml.CSafeLoader)
    step = {"task": task, "displayName": name, "inputs": dict(inputs)}
    for stage in _mappings(document.get("stages")):
        for job in _mappings(stage.get("jobs")):
            job["steps"] = [step, *_mappings(job.get("steps"))]
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


def with_injected_step(expanded: str, task: str, name: str, inputs: Mapping[str, str]) -> str:
    """Return expanded YAML with a step at the start of every job; a text that is no expanded YAML stays as it is."""
    return _with_injected_step(expanded, task, name, tuple(inputs.items())) if steps_of(expanded) else expanded


@lru_cache(maxsize=256)
def steps_of(expanded: str) -> tuple[Step, ...]:
    """Return the steps of expanded YAML; none of a text that is no expanded YAML."""
    try:
        document = yaml.load(expanded, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return ()
    stages = document.get("stages") if isinstance(document, dict) else None
    return tuple(
        _parsed_step(str(stage.get("stage", "__default")), str(job.get("job", "Job")), step)
        for stage in _mappings(stages)
        for job in _mappings(stage.get("jobs"))
        for step in _mappings(job.get("steps"))
        if "task" in step
    )


def _mappings(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _parsed_step(stage: str, job: str, step: dict[str, Any]) -> Step:
    task = parse_task(str(step["task"]))
    inputs = step.get("inputs")
    return Step(
        stage,
        job,
        str(step.get("displayName") or _DISPLAY_NAMES.get(task.name, task.name)),
        task,
        inputs if isinstance(inputs, dict) else {},
        str(step.get("condition", "succeeded()")),
        str(step.get("enabled", True)).lower() != "false",
    )
