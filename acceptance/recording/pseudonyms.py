"""Stable pseudonyms: the same name or id gets the same one everywhere in a recording."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import quote

__all__ = ["GUID", "Pseudonyms"]

GUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_WORD: Final = re.compile(r"[^\W_]+")


class _Spelling(NamedTuple):
    """A form in which a name stands in a text: in lower case, from its first letter or digit to its last."""

    text: str
    name: str
    is_encoded: bool


@dataclass
class Pseudonyms:
    """Pseudonyms of one recording.

    Attributes:
        public_guids: GUIDs of Microsoft, the same in every tenant, in lower case; they are not replaced.
    """

    public_guids: frozenset[str] = frozenset()
    _names: dict[str, str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _guids: dict[str, str] = field(default_factory=dict)
    _numbers: dict[str, str] = field(default_factory=dict)
    _spellings: dict[str, list[_Spelling]] = field(default_factory=dict)

    def knows(self, name: str) -> bool:
        """Whether a name, decoded, has a pseudonym."""
        return name.lower() in self._names

    def add(self, kind: str, name: str) -> None:
        """Give a name a pseudonym, unless it has one.

        Args:
            kind: what it names, the beginning of the pseudonym.
            name: the name, decoded.
        """
        key = name.lower()
        if key in self._names:
            return
        self._counts[kind] = number = self._counts.get(kind, 0) + 1
        # A blank stays a blank: how it is encoded is one of the behaviours.
        self._names[key] = f"{kind}{' ' if quote(name) != name else '-'}{number}"
        for text in {key, quote(name).lower(), quote(name, safe="").lower(), key.replace(" ", "+")}:
            matches = list(_WORD.finditer(text))
            if matches:
                spelling = _Spelling(text[matches[0].start() : matches[-1].end()], key, text != key)
                candidates = self._spellings.setdefault(matches[0][0], [])
                candidates.append(spelling)
                candidates.sort(key=lambda candidate: len(candidate.text), reverse=True)

    def spelled(self, name: str) -> str:
        """Return the pseudonym of a name that has one, with a capital where the name has one."""
        return _capitalized(self._names[name.lower()], name)

    def guid(self, value: str) -> str:
        """Return the pseudonym of a GUID, in its letter case."""
        key = value.lower()
        if key in self.public_guids or not key.replace("-", "").strip("0"):
            return value
        if key not in self._guids:
            number = len(self._guids) + 1
            self._guids[key] = f"{number:08x}-0000-4000-8000-{number:012x}"
        return self._guids[key].upper() if value != key and value == value.upper() else self._guids[key]

    def number(self, value: str) -> str:
        """Return the pseudonym of a number that identifies something."""
        return self._numbers.setdefault(value, str(1001 + len(self._numbers)))

    def replace_names(self, text: str, *, keeps: Callable[[str], bool] = lambda _: False) -> str:
        """Replace all names in a text, plain or percent-encoded, whatever their letter case; longer ones first.

        Args:
            text: the text.
            keeps: whether a name, in lower case, stays.
        """
        result: list[str] = []
        end = 0
        lowered = text.lower()
        if len(lowered) != len(text):  # a few letters of other alphabets have a longer lower case
            text = lowered
        for word in _WORD.finditer(lowered):
            if word.start() < end:
                continue
            for spelling in self._spellings.get(word[0], ()):
                stop = word.start() + len(spelling.text)
                is_here = lowered.startswith(spelling.text, word.start()) and not _WORD.match(lowered, stop)
                if is_here and not keeps(spelling.name):
                    pseudonym = _capitalized(self._names[spelling.name], text[word.start() : stop])
                    result += [text[end : word.start()], quote(pseudonym) if spelling.is_encoded else pseudonym]
                    end = stop
                    break
        return "".join((*result, text[end:]))


def _capitalized(pseudonym: str, spelling: str) -> str:
    return pseudonym if spelling == spelling.lower() else pseudonym[0].upper() + pseudonym[1:]
