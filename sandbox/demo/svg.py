"""The demo's output as an SVG, for the README: what a terminal of 110 columns shows, with nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from rich.console import Console

__all__ = ["WIDTH", "recording_console", "save"]

WIDTH: Final = 110
_FONT_FACE: Final = re.compile(r"@font-face\s*\{.*?\}", re.DOTALL)


def recording_console() -> Console:
    """A console that remembers what it printed."""
    return Console(record=True, width=WIDTH)


def save(console: Console, file: Path) -> None:
    """Write the picture; fonts are the reader's own, since a picture in a README may load nothing."""
    file.write_text(_FONT_FACE.sub("", console.export_svg(title="make demo")), encoding="utf-8")
