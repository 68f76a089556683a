"""Of which repositories of an organization Defender for Cloud has results: read from Azure, compared with scans."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

__all__ = ["RepositoryNames", "RepositoryResults"]


class RepositoryNames:
    """Names of repositories, of which 8 bytes each are kept: whether a name is among them, in any case.

    Args:
        names: `project/repository`.
    """

    __slots__ = ("_hashes",)

    def __init__(self, names: Iterable[str] = ()) -> None:
        # Hashes of strings differ between processes: these never leave this one.
        self._hashes = array("q", sorted({hash(name.lower()) for name in names}))

    def __or__(self, other: RepositoryNames) -> RepositoryNames:
        """Return the names of both."""
        union = RepositoryNames()
        union._hashes = array("q", sorted({*self._hashes, *other._hashes}))
        return union

    def __contains__(self, name: str) -> bool:
        value = hash(name.lower())
        position = bisect_left(self._hashes, value)
        return position < len(self._hashes) and self._hashes[position] == value

    def __len__(self) -> int:
        return len(self._hashes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RepositoryNames) and self._hashes == other._hashes

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class RepositoryResults:
    """Of which repositories of an organization Defender for Cloud has a recommendation, whatever its status.

    Equal results are equal, whenever they were read.

    Attributes:
        names: `project/repository` of all of these; None if they are not known.
        problem: why they are not known, as a sentence; empty while they have not been read since the start.
        answered_at: when they were read.
        evaluated_since: the first evaluation of any of the organization's recommendations that still exist.
    """

    names: RepositoryNames | None = None
    problem: str = ""
    answered_at: datetime | None = field(default=None, compare=False)
    evaluated_since: datetime | None = field(default=None, compare=False)

    @property
    def is_read(self) -> bool:
        """Whether there was an answer, or a failure, since the start."""
        return self.names is not None or bool(self.problem)
