"""The demo's output as an SVG, for the README: a terminal of 110 columns, without external resources."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from rich.console import Console

__all__ = ["WIDTH", "recording_console", "save"]

WIDTH: Final = 110
_FONT_FACE: Final = re.compile(r"@font-face\s*\{.*?\}", re.DOTALL)


def recording_console() -> Console:
    """Return a console that records its output."""
    return Console(record=True, width=WIDTH)


def save(console: Console, file: Path) -> None:
    """Write the SVG without web fonts, because an image in a README cannot load anything."""
    file.write_text(_FONT_FACE.sub("", console.export_svg(title="make demo")), encoding="utf-8")
