"""Renders templates. Every value is HTML-escaped; a name that is not passed to the template is an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from defender_devops.text import printable

__all__ = ["STATIC", "link_addresses", "render_page", "static_files"]

_ADDRESS: Final = re.compile(r"(https://[\w.:/%~-]*[\w/])")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("defender_devops.signin.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,  # not Markup, which is made here
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["link_addresses"] = link_addresses
    return environment


def link_addresses(text: str) -> Markup:
    """Return the text with its https addresses as links; everything else stays escaped text."""
    parts = _ADDRESS.split(printable(text))  # every second part is an address
    return Markup().join(
        Markup('<a href="{0}" target="_blank" rel="noopener noreferrer">{0}</a>').format(part) if index % 2 else part
        for index, part in enumerate(parts)
    )


def render_page(template: str, status: int = 200, **values: object) -> web.Response:
    """Render a page."""
    text = _environment().get_template(template).render({**_COMMON, **values})
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


def static_files(name: str) -> str:
    """Return the text of a static file."""
    loader = _environment().loader
    assert loader is not None  # noqa: S101 - set above, for the type checker
    return loader.get_source(_environment(), name)[0]


STATIC: Final[Mapping[str, str]] = {"style.css": "text/css", "icon.svg": "image/svg+xml"}
"""Content types of the static files."""

_COMMON: Final[Mapping[str, object]] = {"connector": None, "page": None, "refresh": None}
