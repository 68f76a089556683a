"""Templates into responses. Everything that is put into a template is escaped; a name that it lacks is an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

__all__ = ["STATIC", "linked", "render", "static"]

_ADDRESS: Final = re.compile(r"(https://[\w.:/%~-]*[\w/])")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("defender_devops.signin.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["linked"] = linked
    return environment


def linked(text: str) -> Markup:
    """Text with its https addresses as links; all else in it stays text."""
    parts = _ADDRESS.split(text)  # every second part is an address
    return Markup().join(
        Markup('<a href="{0}" target="_blank" rel="noopener noreferrer">{0}</a>').format(part) if index % 2 else part
        for index, part in enumerate(parts)
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
