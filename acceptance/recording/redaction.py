"""Redaction: what is not known to be public is replaced.

First all names of the tenant are collected from where they stand: segments of ids and paths, and fields with names.
Then every text is rewritten. A word stays only if it is part of the services' own vocabulary (`vocabulary`) and not a
name; a field of an enumeration keeps any single word; everything else gets a pseudonym.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from acceptance.recording.pseudonyms import GUID, Pseudonyms
from acceptance.recording.vocabulary import (
    ENUM_FIELDS,
    MAP_FIELDS,
    NAME_FIELDS,
    OWN_PREFIX,
    PUBLIC_GUIDS,
    PUBLIC_HOSTS,
    PUBLIC_PARAMETERS,
    VOCABULARY,
)
from acceptance.session.answer import Exchange

__all__ = ["Redactor", "decoded"]

_SEGMENTS: Final = {
    "resourcegroups": "group",
    "securityconnectors": "connector",
    "azuredevopsorgs": "organization",
    "projects": "project",
    "repos": "repository",
    "_git": "repository",
    "repositories": "repository",
    "serviceconnections": "connection",
}
"""Kind of the segment that follows, by the segment before it, in lower case."""

_NUMBERED: Final = {"builds", "definitions", "pipelines"}
_DATE: Final = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?|-preview)?"
_OPAQUE: Final = r"eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)*|[A-Za-z0-9+_=-]{48,}"
_MAIL: Final = r"[^\s\"'<>()\[\],;:@]+@[\w-]+\.[\w.-]+"
_URL: Final = r"https?://[^\s\"'<>]+"
_WORD: Final = r"[^\W\d_][^\W_]*"
_TOKEN: Final = re.compile(
    f"(?P<url>{_URL})|(?P<mail>{_MAIL})|(?P<guid>{GUID.pattern})|(?P<date>{_DATE})|(?P<opaque>{_OPAQUE})"
    f"|(?P<word>{_WORD})|(?P<number>\\d{{4,}})"
)
_PSEUDONYM_KIND: Final = re.compile(
    r"(?:group|connector|organization|project|repository|connection|item|person)[ -]$", re.IGNORECASE
)
_ERROR_NUMBER: Final = re.compile(r"TF\d{6}|VS\d{6,7}|AADSTS\d{4,8}")
_SINGLE_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_FIELD: Final = re.compile(r"[a-z$@_][A-Za-z0-9$@._-]{0,63}")
_OPAQUE_QUERY: Final = {"continuation-token", "continuationtoken", "$skiptoken", "t", "c", "s", "h"}
_NAMED: Final = {"visibility", "defaultBranch", "remoteUrl", "isDisabled", "queueStatus"}
"""Fields of projects, repositories and pipelines of Azure DevOps: their names are collected whatever their words."""

_ARM_ID: Final = re.compile(r"/?subscriptions/", re.IGNORECASE)


@dataclass
class Redactor:
    """Redacts the exchanges of one run.

    Attributes:
        hosts: the service's public address by the address that was used, such as an address of a sandbox.
    """

    hosts: Mapping[str, str] = field(default_factory=dict)
    pseudonyms: Pseudonyms = field(default_factory=lambda: Pseudonyms(PUBLIC_GUIDS))
    _words: dict[str, str] = field(default_factory=dict)

    # --- names

    def add_name(self, kind: str, name: str) -> None:
        """Add a name of the tenant."""
        if name and not GUID.fullmatch(name):
            self.pseudonyms.add(kind, name)

    def collect(self, exchanges: Iterable[Exchange]) -> None:
        """Collect the names of the tenant from requests and answers."""
        for exchange in exchanges:
            self._collect_path(exchange.path)
            if exchange.service not in {"arm", "authority"}:
                self._collect_host_path(exchange)
            self._collect_value(exchange.body, "", exchange.service)
            self._collect_value(decoded(exchange), "", exchange.service)

    def _collect_host_path(self, exchange: Exchange) -> None:
        """Collect the organization and the project at the beginning of a path of Azure DevOps."""
        segments = [segment for segment in exchange.path.partition("/_apis")[0].split("/") if segment]
        for kind, segment in zip(("organization", "project"), segments, strict=False):
            self.add_name(kind, unquote(segment))

    def _collect_path(self, path: str) -> None:
        for parent, segment in pairwise(path.split("/")):
            kind = _SEGMENTS.get(parent.lower())
            if kind and segment and not segment.startswith(("_", OWN_PREFIX)):
                self.add_name(kind, unquote(segment))

    def _collect_value(self, value: Any, name: str, service: str) -> None:  # noqa: ANN401 - JSON
        if isinstance(value, dict):
            if service != "arm" and _NAMED.intersection(value) and isinstance(value.get("name"), str):
                self.add_name("item", value["name"])
            for key, item in value.items():
                self._collect_value(item, key, service)
        elif isinstance(value, list):
            for item in value:
                self._collect_value(item, name, service)
        elif isinstance(value, str):
            self._collect_text(value, name)

    def _collect_text(self, text: str, name: str) -> None:
        if _ARM_ID.match(text):
            self._collect_path(text)
        kind = NAME_FIELDS.get(name.lower())
        # `[organization]\\group` is not one name but two.
        if kind is not None and text and "\\" not in text and not self._is_public(text):
            self.add_name(kind, text)
        for match in re.finditer(_URL, text):
            self._collect_path(match[0])

    @staticmethod
    def _is_public(value: str) -> bool:
        all_words = re.findall(_WORD, value)
        return bool(all_words) and all(word.lower() in VOCABULARY for word in all_words) and "@" not in value

    # --- rewriting

    def path(self, path: str) -> str:
        """Return a percent-encoded path, or an id, with pseudonyms."""
        segments = path.split("/")
        result = []
        for position, segment in enumerate(segments):
            parent = segments[position - 1].lower() if position else ""
            result.append(self._segment(parent, segment, is_first=position < 3))  # noqa: PLR2004 - organization, project
        return "/".join(result)

    def _segment(self, parent: str, segment: str, *, is_first: bool) -> str:
        plain = unquote(segment)
        encode = (lambda text: quote(text, safe="")) if plain != segment else str
        if GUID.fullmatch(plain):
            return self.pseudonyms.guid(plain)
        if parent in _NUMBERED and plain.isdecimal():
            return self.pseudonyms.number(plain)
        if (parent in _SEGMENTS or is_first) and self.pseudonyms.knows(plain):
            return encode(self.pseudonyms.spelled(plain))
        return encode(self.text(plain)) if plain else segment

    def query(self, query: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the parameters of a query with pseudonyms."""
        return [
            (name, self.opaque(value) if name.lower() in _OPAQUE_QUERY else self._query_value(name, value))
            for name, value in query
        ]

    def _query_value(self, name: str, value: str) -> str:
        if name.lower() in {"definitions", "buildids", "definitionids"}:
            return ",".join(self.pseudonyms.number(part) for part in value.split(","))
        return self.evidence(value) if name.lower() in PUBLIC_PARAMETERS else self.text(value)

    def opaque(self, value: str) -> str:
        """Return a pseudonym of a value that only the service reads, such as a continuation token."""
        return self._words.setdefault(f"opaque {value}", f"token-{len(self._words) + 1}")

    def value(self, value: Any, name: str = "", *, is_map: bool = False) -> Any:  # noqa: ANN401 - JSON
        """Return a JSON value with pseudonyms.

        Args:
            value: the value.
            name: the field that holds it.
            is_map: whether the keys of the object are the tenant's own.
        """
        if isinstance(value, dict):
            below = name.lower() in MAP_FIELDS or is_map
            return {self._key(key, is_map=below): self.value(item, key, is_map=below) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, name, is_map=is_map) for item in value]
        if isinstance(value, str):
            return self._field(value, name, is_map=is_map)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return int(self.pseudonyms.number(str(value))) if is_number and name == "id" else value

    def _field(self, text: str, name: str, *, is_map: bool) -> str:
        """Return the text of a field with pseudonyms."""
        if name.lower() == "$skiptoken":
            return self.opaque(text)
        if not is_map and name.lower() in ENUM_FIELDS and _SINGLE_WORD.fullmatch(text):
            return text if text.lower() in VOCABULARY else self.pseudonyms.replace_names(text)
        return self.literals(text) if name == "query" else self.text(text)

    def literals(self, query: str) -> str:
        """Return a query of Resource Graph with pseudonyms in its string literals; the rest is the kit's own text."""
        return re.sub(r"'[^']*'", lambda match: self.pseudonyms.replace_names(match[0]), query)

    def _key(self, key: str, *, is_map: bool) -> str:
        if is_map or not _FIELD.fullmatch(key) or self.pseudonyms.knows(key):
            return key if key.lower() in VOCABULARY else self.text(key)
        return key

    def text(self, text: str) -> str:
        """Return a text with pseudonyms in place of all that is not known to be public."""
        if _ARM_ID.match(text):
            return self.path(text)
        return _TOKEN.sub(self._token, self.pseudonyms.replace_names(text))

    def evidence(self, text: str) -> str:
        """Return a sentence of the kit without names and ids of the tenant.

        A name stays that consists of ordinary words: nothing distinguishes it from the kit's own words.
        """
        sentence = self.pseudonyms.replace_names(text, keeps=self._is_public)
        return GUID.sub(lambda match: self.pseudonyms.guid(match[0]), sentence)

    def _token(self, match: re.Match[str]) -> str:
        replace: dict[str | None, Callable[[str], str]] = {
            "url": self.url,
            "mail": self._mail,
            "guid": self.pseudonyms.guid,
            "date": str,
            "opaque": lambda _: "redacted",
            "number": lambda text: text if _is_in_pseudonym(match) else "0" * len(text),
            "word": self._word,
        }
        return replace[match.lastgroup](match[0])

    def _mail(self, text: str) -> str:
        return self._words.setdefault(text.lower(), f"person-{len(self._words) + 1}@example.com")

    def _word(self, text: str) -> str:
        key = text.lower()
        if key in VOCABULARY or _ERROR_NUMBER.fullmatch(text):
            return text
        word = self._words.setdefault(key, f"word{len(self._words) + 1}")
        return word if text == key else word.capitalize()

    def url(self, url: str) -> str:
        """Return an address with a public host and pseudonyms."""
        for used, public in self.hosts.items():
            if url == used or url.startswith((f"{used}/", f"{used}?")):
                url = public + url[len(used) :]
                break
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if host not in PUBLIC_HOSTS:
            host = self._words.setdefault(host, f"host-{len(self._words) + 1}.example")
        query = "&".join(
            f"{quote(self.text(name), safe='$')}={quote(value, safe='')}"
            for name, value in self.query(_parameters(parts.query))
        )
        return f"{parts.scheme}://{host}{self.path(parts.path)}" + (f"?{query}" if query else "")


def _is_in_pseudonym(number: re.Match[str]) -> bool:
    """Whether a number is that of a pseudonym, such as project-1234."""
    return _PSEUDONYM_KIND.search(number.string, max(0, number.start() - 16), number.start()) is not None


def _parameters(query: str) -> list[tuple[str, str]]:
    pairs = [part.partition("=") for part in query.split("&") if part]
    return [(unquote(name), unquote(value)) for name, _, value in pairs]


def decoded(exchange: Exchange) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON of an answer; None where it is none."""
    try:
        return json.loads(exchange.content)
    except (ValueError, RecursionError):
        return None
