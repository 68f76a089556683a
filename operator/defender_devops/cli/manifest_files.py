"""Manifests in files that people write: read, checked, and complained about by file and field."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import yaml

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.model import ApiModel, ObjectMeta
from defender_devops.api.names import API_VERSION, CONNECTOR, GROUP, ORGANIZATION
from defender_devops.api.organization import DevOpsOrganization
from defender_devops.api.parsing import InvalidManifest, parse
from defender_devops.cli.exit_codes import CommandFailed

__all__ = ["Manifest", "Manifests", "read_manifests"]

_KINDS: Final[Mapping[str, type[ApiModel]]] = {
    CONNECTOR.kind: AzureDevOpsConnector,
    ORGANIZATION.kind: DevOpsOrganization,
}
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_STANDARD_INPUT: Final = "-"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One resource, as it is written in a file.

    Attributes:
        source: file and place in it, for messages.
        body: with a namespace.
    """

    source: str
    body: dict[str, Any]

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.body["kind"])

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.body["metadata"]["namespace"], self.body["metadata"]["name"]


@dataclass(frozen=True, slots=True)
class Manifests:
    """What is ours in some files; everything else in them (Secrets, namespaces) is passed over."""

    connectors: tuple[Manifest, ...]
    organizations: tuple[Manifest, ...]


def read_manifests(paths: Iterable[Path], namespace: str) -> Manifests:
    """Read files, folders of files, or standard input (`-`).

    Args:
        paths: of files and folders.
        namespace: of manifests that name none.

    Raises:
        CommandFailed: a file cannot be read, or holds something that cannot be used; the message names file and field.
    """
    found = [_checked(source, document, namespace) for source, document in _documents(paths) if _is_ours(document)]
    connectors = tuple(each for each in found if each.kind == CONNECTOR.kind)
    organizations = tuple(each for each in found if each.kind == ORGANIZATION.kind)
    if not found:
        raise CommandFailed(f"There is neither an {CONNECTOR.kind} nor a {ORGANIZATION.kind} in {_listed(paths)}.")
    return Manifests(connectors, organizations)


def _documents(paths: Iterable[Path]) -> Iterator[tuple[str, Any]]:
    """Every document with its source; a List gives its items."""
    for path in paths:
        for file in _files(path):
            documents = [each for each in _parsed(file) if each is not None]
            for number, document in enumerate(documents, 1):
                name = _name(file)
                source = f"{name}, document {number}" if len(documents) > 1 else name
                yield from _items(source, document)


def _items(source: str, document: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - whatever YAML holds
    if isinstance(document, dict) and isinstance(document.get("items"), list):
        yield from ((f"{source}, item {number}", item) for number, item in enumerate(document["items"], 1))
    else:
        yield source, document


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(each for each in path.iterdir() if each.suffix in _SUFFIXES)
    if not files:
        raise CommandFailed(f"There is no file with {', '.join(sorted(_SUFFIXES))} in {path}.")
    return files


def _parsed(file: Path) -> list[Any]:
    try:
        text = sys.stdin.read() if str(file) == _STANDARD_INPUT else file.read_text(encoding="utf-8")
        return list(yaml.safe_load_all(text))
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CommandFailed(f"{file} is no text: write manifests in UTF-8.") from None
    except yaml.YAMLError as error:
        raise CommandFailed(f"{file} is no valid YAML: {_where(error)}.") from None


def _name(path: Path) -> str:
    return "standard input" if str(path) == _STANDARD_INPUT else str(path)


def _where(error: yaml.YAMLError) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    words = str(problem or "it cannot be parsed")
    return f"line {mark.line + 1}: {words}" if mark is not None else words


def _is_ours(document: Any) -> bool:  # noqa: ANN401 - whatever YAML holds
    group = str(document.get("apiVersion", "")).partition("/")[0] if isinstance(document, dict) else ""
    return group == GROUP or (isinstance(document, dict) and document.get("kind") in _KINDS)


def _checked(source: str, document: dict[str, Any], namespace: str) -> Manifest:
    """One of our documents, if the API server would take it.

    Raises:
        CommandFailed: it would not.
    """
    kind = str(document.get("kind"))
    model = _KINDS.get(kind)
    if model is None:
        raise CommandFailed(f"{source}: kind: {kind} is none of {GROUP}.{_meant(kind, _KINDS)}")
    if document.get("apiVersion") != API_VERSION:
        raise CommandFailed(f"{source}: apiVersion: must be {API_VERSION}.")
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise CommandFailed(f"{source}: metadata.name: is required: add it.")
    body = {**document, "metadata": {**metadata, "namespace": metadata.get("namespace") or namespace}}
    body.pop("status", None)
    # First, since a field that is misspelled is often one that is required, too.
    complaint = next(_unknown_fields(model, body), None) or _complaint(model, body)
    if complaint is not None:
        raise CommandFailed(f"{source}: {kind} {metadata['name']}: {complaint}")
    return Manifest(source, body)


def _complaint(model: type[ApiModel], body: Mapping[str, Any]) -> str | None:
    try:
        parse(model, body)
    except InvalidManifest as error:
        return error.message
    return None


def _unknown_fields(model: type[ApiModel], written: object, path: str = "") -> Iterator[str]:
    """Complaints about fields that there are not: slips of the pen, which kubectl refuses too."""
    if not isinstance(written, dict):
        return
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    for name, value in written.items():
        if name not in fields:
            yield f"{path}{name}: there is no such field.{_meant(name, fields)}"
            continue
        inner = _model_in(fields[name].annotation)
        if inner is None or inner is ObjectMeta:  # of metadata we know a part only
            continue
        for number, item in enumerate(value if isinstance(value, list) else [value]):
            place = f"{path}{name}[{number}]." if isinstance(value, list) else f"{path}{name}."
            yield from _unknown_fields(inner, item, place)


def _model_in(annotation: Any) -> type[ApiModel] | None:  # noqa: ANN401 - any annotation
    """The model in an annotation such as `tuple[SecurityReader, ...] | None`."""
    inner = (_model_in(argument) for argument in get_args(annotation))
    if found := next((model for model in inner if model is not None), None):
        return found
    return annotation if isinstance(annotation, type) and issubclass(annotation, ApiModel) else None


def _meant(word: str, candidates: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(candidates), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def _listed(paths: Iterable[Path]) -> str:
    return ", ".join(_name(path) for path in paths)
