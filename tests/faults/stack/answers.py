"""Changes of a server's answer: what a proxy, a cache or a newer version of a service makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["CHANGES", "change_answer"]

JSON = Any

_ERROR_PAGE: Final = b"<!DOCTYPE html><html><head><title>Gateway</title></head><body>Please try again.</body></html>"
_UNFAMILIAR: Final = "SomethingNew"


def _on_objects(change: Callable[[dict[str, JSON]], dict[str, JSON]]) -> Callable[[JSON], JSON]:
    """Return the change applied to every object of a JSON value, inner ones first."""

    def apply(value: JSON) -> JSON:
        if isinstance(value, Mapping):
            return change({name: apply(entry) for name, entry in value.items()})
        return [apply(entry) for entry in value] if isinstance(value, list) else value

    return apply


def _of_list(entries: Callable[[list[JSON]], JSON]) -> Callable[[JSON], JSON]:
    """Return the change of the entries of a list's page, which Azure calls value and Kubernetes items."""

    def apply(body: JSON) -> JSON:
        if not isinstance(body, Mapping):
            return body
        return {
            name: entries(value) if name in {"value", "items", "data"} and isinstance(value, list) else value
            for name, value in body.items()
        }

    return apply


def _upper_case_ids(body: dict[str, JSON]) -> dict[str, JSON]:
    identifier = body.get("id")
    return body | {"id": identifier.upper()} if isinstance(identifier, str) else body


def _unfamiliar_states(body: dict[str, JSON]) -> dict[str, JSON]:
    return {
        name: _UNFAMILIAR if name.endswith("State") and isinstance(value, str) else value
        for name, value in body.items()
    }


def _null_properties(body: dict[str, JSON]) -> dict[str, JSON]:
    return body | {"properties": None} if "properties" in body else body


def _unfamiliar_fields(body: dict[str, JSON]) -> dict[str, JSON]:
    return body | {"somethingNew": {"nested": [1, None, "text"]}}


_OF_JSON: Final[Mapping[str, Callable[[JSON], JSON]]] = {
    "null": lambda _: None,
    "array": lambda body: [body],
    "text": lambda _: "OK",
    "empty object": lambda _: {},
    "without entries": _of_list(lambda _: None),
    "null entries": _of_list(lambda entries: [None for _ in entries] or [None]),
    "object for entries": _of_list(lambda _: {}),
    "null properties": _on_objects(_null_properties),
    "ids in upper case": _on_objects(_upper_case_ids),
    "unfamiliar states": _on_objects(_unfamiliar_states),
    "unfamiliar fields": _on_objects(_unfamiliar_fields),
}

_OF_BYTES: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "nothing": lambda _: b"",
    "half": lambda content: content[: len(content) // 2],
    "html": lambda _: _ERROR_PAGE,
}

CHANGES: Final = frozenset({*_OF_JSON, *_OF_BYTES, "looping link", "foreign link"})
"""Names of all changes."""


def change_answer(name: str, content: bytes, *, url: str, elsewhere: str) -> bytes:
    """Return the changed body of an answer; one that is no JSON is not changed by a change of JSON.

    Args:
        name: one of CHANGES.
        content: the body.
        url: URL of the request.
        elsewhere: URL of another server.
    """
    if name in _OF_BYTES:
        return _OF_BYTES[name](content)
    try:
        body = json.loads(content)
    except ValueError:
        return content
    if name in {"looping link", "foreign link"}:
        return json.dumps(body | {"nextLink": url if name == "looping link" else elsewhere}).encode()
    return json.dumps(_OF_JSON[name](body)).encode()
