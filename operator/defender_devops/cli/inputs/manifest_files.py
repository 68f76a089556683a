"""Read and validate manifests in files; errors name file and field."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import yaml

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.names import API_VERSION, CONNECTOR, GROUP, ORGANIZATION
from defender_devops.api.organization import DevOpsOrganization
from defender_devops.api.schema.model import ApiModel, ObjectMeta
from defender_devops.api.schema.parsing import InvalidManifest, parse_resource
from defender_devops.cli.exit_codes import CommandFailed
from defender_devops.cluster.kubernetes_yaml import load_yaml

__all__ = ["Manifest", "Manifests", "read_manifests"]

_MODELS: Final[Mapping[str, type[ApiModel]]] = {
    CONNECTOR.kind: AzureDevOpsConnector,
    ORGANIZATION.kind: DevOpsOrganization,
}
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_STANDARD_INPUT: Final = "-"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One resource in a file.

    Attributes:
        source: file and document, for messages.
        body: the resource, with a namespace.
    """

    source: str
    body: dict[str, Any]

    @property
    def kind(self) -> str:
        """Kind of the resource."""
        return str(self.body["kind"])

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.body["metadata"]["namespace"], self.body["metadata"]["name"]


@dataclass(frozen=True, slots=True)
class Manifests:
    """The operator's resources in some files; other resources, such as Secrets, are ignored."""

    connectors: tuple[Manifest, ...]
    organizations: tuple[Manifest, ...]


def read_manifests(paths: Iterable[Path], namespace: str) -> Manifests:
    """Read files, folders of files, or standard input (`-`).

    Args:
        paths: files and folders.
        namespace: namespace of manifests without one.

    Raises:
        CommandFailed: a file cannot be read or contains an invalid manifest; the message names file and field.
    """
    files = [file for path in paths for file in _files_in(path)]
    manifests = [
        _validated(source, document, namespace)
        for file in files
        for source, document in _documents(file)
        if _is_ours(document)
    ]
    if not manifests:
        names = ", ".join(_display_name(path) for path in paths)
        raise CommandFailed(f"{names} contains neither an {CONNECTOR.kind} nor a {ORGANIZATION.kind}.")
    return Manifests(
        tuple(manifest for manifest in manifests if manifest.kind == CONNECTOR.kind),
        tuple(manifest for manifest in manifests if manifest.kind == ORGANIZATION.kind),
    )


def _files_in(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
    if not files:
        raise CommandFailed(f"{path} contains no file with the suffix {', '.join(sorted(_SUFFIXES))}.")
    return files


def _documents(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield each document of a file, and each item of a List, with its source."""
    name = _display_name(file)
    try:
        content = sys.stdin.buffer.read() if str(file) == _STANDARD_INPUT else file.read_bytes()
        documents = [document for document in load_yaml(content) if document is not None]
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CommandFailed(f"{file} is not a text file: manifests must be UTF-8 or UTF-16.") from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f"line {mark.line + 1}: " if mark is not None else ""
        raise CommandFailed(f"{file} is not valid YAML: {place}{problem or error}.") from None
    for number, document in enumerate(documents, 1):
        source = f"{name}, document {number}" if len(documents) > 1 else name
        if isinstance(document, dict) and isinstance(document.get("items"), list):
            yield from ((f"{source}, item {position}", item) for position, item in enumerate(document["items"], 1))
        else:
            yield source, document


def _display_name(path: Path) -> str:
    return "standard input" if str(path) == _STANDARD_INPUT else str(path)


def _is_ours(document: Any) -> bool:  # noqa: ANN401 - whatever YAML contains
    """Whether a document is meant for the operator, by its API group or its kind."""
    if not isinstance(document, dict):
        return False
    return str(document.get("apiVersion", "")).partition("/")[0] == GROUP or document.get("kind") in _MODELS


def _validated(source: str, document: dict[str, Any], namespace: str) -> Manifest:
    """Return a manifest that the API server would accept.

    Raises:
        CommandFailed: the API server would reject it.
    """
    kind = str(document.get("kind"))
    model = _MODELS.get(kind)
    if model is None:
        raise CommandFailed(f"{source}: kind: {GROUP} has no kind {kind}.{_suggestion(kind, _MODELS)}")
    if document.get("apiVersion") != API_VERSION:
        raise CommandFailed(f"{source}: apiVersion: must be {API_VERSION}.")
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise CommandFailed(f"{source}: metadata.name is required.")
    body = {**document, "metadata": {**metadata, "namespace": metadata.get("namespace") or namespace}}
    body.pop("status", None)
    # Unknown fields first: a misspelled field often is a required one, and the suggestion is the better message.
    problem = next(_unknown_fields(model, body), None)
    if problem is None:
        try:
            parse_resource(model, body)
        except InvalidManifest as error:
            problem = error.message
    if problem is not None:
        raise CommandFailed(f"{source}: {kind} {metadata['name']}: {problem}")
    return Manifest(source, body)


def _unknown_fields(model: type[ApiModel], value: object, path: str = "") -> Iterator[str]:
    """Yield a message for each field that the model does not have; kubectl rejects them, too."""
    if not isinstance(value, dict):
        return
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    for name, inner_value in value.items():
        if name not in fields:
            yield f"{path}{name}: unknown field.{_suggestion(name, fields)}"
            continue
        inner_model = _model_in(fields[name].annotation)
        if inner_model is None or inner_model is ObjectMeta:  # ObjectMeta declares only the fields that are used
            continue
        if isinstance(inner_value, list):
            for number, item in enumerate(inner_value):
                yield from _unknown_fields(inner_model, item, f"{path}{name}[{number}].")
        else:
            yield from _unknown_fields(inner_model, inner_value, f"{path}{name}.")


def _model_in(annotation: Any) -> type[ApiModel] | None:  # noqa: ANN401 - any annotation
    """Return the model in an annotation such as `tuple[SecurityReader, ...] | None`."""
    for argument in get_args(annotation):
        if (model := _model_in(argument)) is not None:
            return model
    return annotation if isinstance(annotation, type) and issubclass(annotation, ApiModel) else None


def _suggestion(word: str, candidates: Iterable[str]) -> str:
    similar = difflib.get_close_matches(word, list(candidates), n=1)
    return f" Did you mean {similar[0]}?" if similar else ""
