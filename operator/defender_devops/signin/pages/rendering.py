"""Templates into responses. Everything that is put into a template is escaped; a name that it lacks is an error."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["STATIC", "render"]


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("defender_devops.signin.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, status: int = 200, **values: object) -> web.Response:
    """A page."""
    text = _environment().get_template(template).render({**_COMMON, **values})
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


def static(name: str) -> str:
    """The text of a file that is served as it is."""
    loader = _environment().loader
    assert loader is not None  # noqa: S101 - it is given above
    return loader.get_source(_environment(), name)[0]


STATIC: Final[Mapping[str, str]] = {"style.css": "text/css", "icon.svg": "image/svg+xml"}
"""Files by name, with their type."""

_COMMON: Final[Mapping[str, object]] = {"connector": None, "page": None}
