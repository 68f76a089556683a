"""One inferred behaviour with its forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Variant"]


@dataclass(frozen=True, slots=True)
class Variant:
    """An inferred behaviour.

    Attributes:
        behaviour: what it is about.
        values: what speaks for each form, by its name; the first one is the default.
    """

    behaviour: str
    values: Mapping[str, str]

    @property
    def default(self) -> str:
        """The value without a choice."""
        return next(iter(self.values))
