"""The version of a release: semantic, with release candidates as its only pre-releases."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

__all__ = ["ReleaseError", "Version"]

_NUMBER = r"(?:0|[1-9]\d*)"
_SEMANTIC = re.compile(rf"({_NUMBER}\.{_NUMBER}\.{_NUMBER})(?:-rc\.([1-9]\d*))?")
_PYTHON = re.compile(rf"({_NUMBER}\.{_NUMBER}\.{_NUMBER})(?:rc([1-9]\d*))?")


class ReleaseError(Exception):
    """The release cannot be made or is not as promised; the message says what to do."""


@dataclass(frozen=True)
class Version:
    """A version in its two spellings.

    Attributes:
        release: the three numbers, such as 1.2.3.
        candidate: number of the release candidate; None for a release.
    """

    release: str
    candidate: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the version of a text such as 1.2.3 or 1.2.3-rc.1.

        Raises:
            ReleaseError: it has another form.
        """
        match = _SEMANTIC.fullmatch(text)
        if match is None:
            raise ReleaseError(f"{text!r} is no version: write it as 1.2.3, or 1.2.3-rc.1 for a release candidate")
        return cls(match[1], int(match[2]) if match[2] else None)

    @classmethod
    def parse_python(cls, text: str) -> Self:
        """Return the version of a text in the spelling of Python packages, such as 1.2.3 or 1.2.3rc1.

        Raises:
            ReleaseError: it has another form.
        """
        match = _PYTHON.fullmatch(text)
        if match is None:
            raise ReleaseError(f"{text!r} is no version of a package of this project, such as 1.2.3 or 1.2.3rc1")
        return cls(match[1], int(match[2]) if match[2] else None)

    def __str__(self) -> str:
        """Return the semantic spelling, of charts, images and tags."""
        return self.release if self.candidate is None else f"{self.release}-rc.{self.candidate}"

    @property
    def python(self) -> str:
        """The spelling of Python packages (PEP 440)."""
        return self.release if self.candidate is None else f"{self.release}rc{self.candidate}"
