"""Building the site: mkdocs for each version, in a folder of its own."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from deploy.release.programs import run
from deploy.release.version import ReleaseError
from deploy.site.versions import DEVELOPMENT, Pages, latest, list_of_versions, pages_of_tags

__all__ = ["build_site"]

_SOURCES = ("docs", "mkdocs.yml", "deploy/site/theme")
_REDIRECT = """\
<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <title>{title}</title>
  <meta http-equiv="refresh" content="0; url={target}">
  <p><a href="{target}">{title}</a></p>
</html>
"""


def build_site(root: Path, output: Path, *, url: str = "") -> list[Pages]:
    """Build the pages of all releases and of what is checked out, and return the versions.

    The folder `latest` has the pages of the newest release, or those that are checked out as long as there is no
    release; the site's own address redirects there.

    Args:
        root: of the repository, a clone with its tags.
        output: the folder of the site; it is replaced.
        url: address of the site; empty if it is not known. Search engines then get no canonical addresses.

    Raises:
        ReleaseError: a version cannot be built; the message names it.
    """
    versions = [Pages(DEVELOPMENT, "development", None), *pages_of_tags(root)]
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    for pages in versions:
        address = f"{url.rstrip('/')}/{pages.folder}/" if url else ""
        with _sources(root, pages) as sources:
            _build(sources, output / pages.folder, address, is_strict=pages.tag is None)
    shutil.copytree(output / latest(versions).folder, output / "latest")
    _write_common_files(output, versions)
    return versions


@contextmanager
def _sources(root: Path, pages: Pages) -> Iterator[Path]:
    """The folder with the sources of a version: the clone itself, or what a tag has, unpacked."""
    if pages.tag is None:
        yield root
        return
    listing = run("git", "ls-tree", "--name-only", pages.tag, *_SOURCES, cwd=root).split()
    command = ["git", "archive", "--format=tar", pages.tag, *listing]
    archive = subprocess.run(command, cwd=root, capture_output=True, check=False)
    if archive.returncode:
        raise ReleaseError(
            f"the pages of {pages.tag} cannot be read: {archive.stderr.decode(errors='replace').strip()}"
        )
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
        yield Path(folder)


def _build(sources: Path, output: Path, address: str, *, is_strict: bool) -> None:
    """Build one version.

    Only what is checked out must be without a warning: a released page cannot be changed any more.
    """
    with tempfile.NamedTemporaryFile("w", dir=sources, prefix=".mkdocs-", suffix=".yml") as config:
        yaml.safe_dump({"INHERIT": "mkdocs.yml", "site_url": address}, config)
        config.flush()
        options = ["--config-file", config.name, "--site-dir", str(output), *(["--strict"] if is_strict else [])]
        try:
            run(sys.executable, "-m", "mkdocs", "build", *options, env={"NO_MKDOCS_2_WARNING": "1"})
        except ReleaseError as error:
            raise ReleaseError(f"the pages {output.name} cannot be built. {error}") from error


def _write_common_files(output: Path, versions: Sequence[Pages]) -> None:
    """Write what is outside of every version: their list, the start page, and the page for wrong addresses."""
    (output / "versions.json").write_text(json.dumps(list_of_versions(versions), indent=2) + "\n")
    (output / "index.html").write_text(_REDIRECT.format(title="Documentation", target="latest/"))
    shutil.copy(output / "latest/404.html", output / "404.html")
