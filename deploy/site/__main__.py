"""Build the site of all released versions and of what is checked out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.release.version import ReleaseError
from deploy.site.building import build_site

_ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Build the site; return 1 with a message if a version cannot be built."""
    parser = argparse.ArgumentParser(prog="python -m deploy.site", description=__doc__)
    parser.add_argument("--output", type=Path, default=_ROOT / "site", help="folder of the site, which is replaced")
    parser.add_argument("--url", default="", help="address at which the site will be published")
    options = parser.parse_args(arguments)
    try:
        versions = build_site(_ROOT, options.output.absolute(), url=options.url)
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for pages in versions:
        print(f"{options.output / pages.folder}: {pages.title}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
