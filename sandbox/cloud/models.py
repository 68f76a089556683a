"""What the pydantic models of files, faults and the control interface have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["CamelModel"]


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


class CamelModel(BaseModel):
    """Written in camelCase outside, and with no field that is not known."""

    model_config = ConfigDict(extra="forbid", alias_generator=_camel, populate_by_name=True)
