"""The chosen value of each variant."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.cloud.variants.catalogue import VARIANTS

__all__ = ["UnknownVariant", "Variants"]


class UnknownVariant(ValueError):
    """There is no variant, or no value of it, with this name; the message lists those that there are."""


class Variants:
    """The chosen value of each variant.

    Args:
        choices: values by name; the others have their default.

    Raises:
        UnknownVariant: unknown name or value.
    """

    def __init__(self, choices: Mapping[str, str] | None = None) -> None:
        self._choices: dict[str, str] = {}
        self.choose(choices or {})

    def choose(self, choices: Mapping[str, str]) -> None:
        """Choose values by name.

        Raises:
            UnknownVariant: unknown name or value; nothing is chosen then.
        """
        for name, value in choices.items():
            _check(name, value)
        self._choices.update(choices)

    def __getitem__(self, name: str) -> str:
        """Return the chosen value of a variant."""
        return self._choices.get(name) or VARIANTS[name].default

    def is_chosen(self, name: str, value: str) -> bool:
        """Whether a variant has this value.

        Raises:
            UnknownVariant: unknown name or value.
        """
        _check(name, value)
        return self[name] == value


def _check(name: str, value: str) -> None:
    variant = VARIANTS.get(name)
    if variant is None:
        raise UnknownVariant(f"there is no variant {name!r}; there are {', '.join(VARIANTS)}")
    if value not in variant.values:
        raise UnknownVariant(f"variant {name!r} has no value {value!r}; it has {', '.join(variant.values)}")
