"""What the YAML of a pipeline says, without constructing it.

The events of the parser are read one after another. An alias is one event, so an anchor is never expanded. The depth
and the number of directives are limited, as the parser takes time with their squares, for directives without a pause
for other threads: so time and memory grow with the number of bytes alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from defender_devops.api.pipelines.evidence import SECURITY_DEVOPS_TASK_ID, ScanTask, Unread, YamlReading

__all__ = ["TEXT_MAX_BYTES", "read_yaml", "task_of"]

TEXT_MAX_BYTES: Final = 2 * 1024 * 1024
"""Longest YAML that is read. Azure Pipelines expands a pipeline to at most 4 MB, and rejects most at 1 MB."""

_EVENTS_MAX: Final = 500_000
_DEPTH_MAX: Final = 100
_NAMES_MAX: Final = 100
"""Checkouts and declared repositories that are kept of one pipeline."""

_NAMES_MAX_CHARACTERS: Final = 8_000
"""Characters of all these names: a pipeline with more must not fill the Secret of its whole organization."""

_DIRECTIVES_MAX: Final = 10
_DIRECTIVE: Final = re.compile(r"(?:^|[\r\n\x85\u2028\u2029])\ufeff?%")
"""Beginning of a line that may be a directive, such as %TAG. A text block in a pipeline is indented."""

_CHECKOUT_TASK_ID: Final = "6d15af64-176c-496d-b583-fd2ae21d4df4"
_LOG_TIME: Final = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z ?", re.MULTILINE)
_NO_OTHER_REPOSITORY: Final = frozenset({"self", "none", ""})
_SCALARS: Final = frozenset({"task", "enabled", "template", "checkout", "repository", "name", "type", "command"})

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class _Mapping:
    """A mapping that has begun.

    Attributes:
        scalars: values of the keys that matter, in lower case.
        inputs: those of the mapping below the key `inputs`.
        key: the key whose value comes next; None before a key.
        parent_key: the key that this mapping is the value of, directly or within a list.
    """

    parent_key: str
    scalars: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    key: str | None = None


@dataclass(slots=True)
class _Sequence:
    """A list that has begun."""

    parent_key: str


@dataclass(slots=True)
class _Result:
    """What has been read so far."""

    tasks: set[ScanTask] = field(default_factory=set)
    has_templates: bool = False
    has_stages: bool = False
    checkouts: dict[str, None] = field(default_factory=dict)
    repositories: dict[str, str] = field(default_factory=dict)


def read_yaml(text: str, *, is_expanded: bool) -> YamlReading | Unread:
    """Return what a YAML text says, or why it cannot be read.

    Args:
        text: of at most `TEXT_MAX_BYTES` bytes.
        is_expanded: whether it must be the expanded YAML of a run or a preview, which has `stages`.
    """
    if is_expanded:
        text = _LOG_TIME.sub("", text)
    text = text.lstrip("\ufeff")
    if any(number >= _DIRECTIVES_MAX for number, _ in enumerate(_DIRECTIVE.finditer(text))):
        return Unread.TOO_LARGE
    try:
        result = _read(yaml.parse(text, Loader=_Loader))
    except (yaml.YAMLError, ValueError, RecursionError):
        return Unread.NOT_YAML
    if result is None or _name_characters(result) > _NAMES_MAX_CHARACTERS:
        return Unread.TOO_LARGE
    if is_expanded and not result.has_stages:
        return Unread.NOT_YAML
    return YamlReading(
        frozenset(result.tasks), result.has_templates, tuple(result.checkouts), tuple(result.repositories.items())
    )


def task_of(reference: str) -> ScanTask | None:
    """Return the scanning task that `task:` refers to: `Name@1`, `publisher.extension.….Name@1` or `<id>@1`."""
    name = reference.partition("@")[0].strip().lower()
    short = name.rpartition(".")[2]
    if short == "microsoftsecuritydevops" or name == SECURITY_DEVOPS_TASK_ID:
        return ScanTask.SECURITY_DEVOPS
    if short == "microsoftdefendercli":
        return ScanTask.DEFENDER_CLI
    return ScanTask.ADVANCED_SECURITY if short.startswith("advancedsecurity-") else None


def _read(events: Iterator[Any]) -> _Result | None:
    """Return what the events of one text say; None if there are too many.

    Raises:
        ValueError: the text is not a mapping.
    """
    result = _Result()
    stack: list[_Mapping | _Sequence] = []
    for number, event in enumerate(events):
        if number > _EVENTS_MAX or len(stack) > _DEPTH_MAX:
            return None
        if isinstance(event, yaml.MappingStartEvent):
            stack.append(_Mapping(_take_key(stack)))
        elif isinstance(event, yaml.SequenceStartEvent):
            if not stack:
                raise ValueError("the YAML of a pipeline is a mapping")
            stack.append(_Sequence(_take_key(stack)))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            ended = stack.pop()
            if isinstance(ended, _Mapping):
                _end_mapping(ended, stack, result)
        elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            value = event.value if isinstance(event, yaml.ScalarEvent) else ""
            _read_scalar(value, stack, result)
    return result


def _name_characters(result: _Result) -> int:
    names = (*result.checkouts, *result.repositories, *result.repositories.values())
    return sum(map(len, names))


def _take_key(stack: list[_Mapping | _Sequence]) -> str:
    """Return the key of which a collection is the value, directly or within a list; empty for a key or the root."""
    if not stack:
        return ""
    top = stack[-1]
    if isinstance(top, _Sequence):
        return top.parent_key
    if top.key is None:  # a collection as a key; its value comes next
        top.key = ""
        return ""
    key, top.key = top.key, None
    return key


def _read_scalar(value: str, stack: list[_Mapping | _Sequence], result: _Result) -> None:
    if not stack:
        raise ValueError("the YAML of a pipeline is a mapping")
    top = stack[-1]
    if isinstance(top, _Sequence):
        return
    if top.key is None:
        top.key = value.lower()
        # Only the first level of a file has `extends`; `template` may stand anywhere.
        result.has_templates = result.has_templates or (top.key == "extends" and len(stack) == 1)
        result.has_stages = result.has_stages or (top.key == "stages" and len(stack) == 1)
        return
    if top.key in _SCALARS:
        top.scalars[top.key] = value
    top.key = None


def _end_mapping(mapping: _Mapping, stack: list[_Mapping | _Sequence], result: _Result) -> None:
    """Evaluate a whole mapping: a step, a template, or a declared repository."""
    scalars = mapping.scalars
    parent = stack[-1] if stack else None
    if mapping.parent_key == "inputs" and isinstance(parent, _Mapping):
        parent.inputs = scalars
    if "template" in scalars:
        result.has_templates = True
    if scalars.get("enabled", "").lower() == "false":  # a disabled step never runs
        return
    if "task" in scalars:
        _read_step(scalars["task"], mapping.inputs, result)
    elif "checkout" in scalars:
        _add_checkout(scalars["checkout"], result)
    elif "repository" in scalars and mapping.parent_key == "repositories" and len(result.repositories) < _NAMES_MAX:
        is_azure_repos = scalars.get("type", "git").lower() == "git"
        result.repositories[scalars["repository"]] = scalars.get("name", "") if is_azure_repos else ""


def _read_step(reference: str, inputs: dict[str, str], result: _Result) -> None:
    if reference.partition("@")[0].strip().lower() == _CHECKOUT_TASK_ID:
        _add_checkout(inputs.get("repository", ""), result)
        return
    task = task_of(reference)
    # Container mapping runs the same task with these commands, and scans nothing.
    if task is ScanTask.SECURITY_DEVOPS and inputs.get("command", "").lower() in {"pre-job", "post-job"}:
        return
    if task is not None:
        result.tasks.add(task)


def _add_checkout(repository: str, result: _Result) -> None:
    if repository.lower() not in _NO_OTHER_REPOSITORY and len(result.checkouts) < _NAMES_MAX:
        result.checkouts[repository] = None
