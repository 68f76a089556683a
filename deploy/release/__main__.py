"""The commands of a release."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from pathlib import Path

from deploy.release import changelog
from deploy.release.artifacts import NAME, Build, build, commit_time
from deploy.release.bump import prepare_release, verify_tag
from deploy.release.checks import Artifacts, check
from deploy.release.image import DockerBuilder, push_image
from deploy.release.places import current_version
from deploy.release.rehearsal import Rehearsal
from deploy.release.version import ReleaseError, Version
from deploy.release.workflows import lint_workflows

_ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return 1 with a message if it fails."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.release", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: object, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=function)
        return command

    add("version", _show_version, "print the version, which must be the same in every place")
    bump = add("bump", _bump, "write a version to every place, and close its section of CHANGELOG.md")
    bump.add_argument("version")
    add("lint-workflows", _lint_workflows, "lint .github with actionlint and zizmor")
    notes = add("notes", _show_notes, "print the release notes of a version")
    notes.add_argument("version")
    tag = add("verify-tag", _verify_tag, "verify that a tag is that of the version")
    tag.add_argument("tag")
    building = add("build", _build, "build all artifacts but the image")
    building.add_argument("--output", type=Path, required=True, help="empty folder for the artifacts")
    building.add_argument("--image", default=NAME, help="repository of the image, for the bundle of OperatorHub")
    building.add_argument("--download-base", default=Build.download_base, help="where the files will be downloaded")
    checking = add("check", _check, "use every artifact of a folder as its users do")
    checking.add_argument("folder", type=Path)
    pushing = add("push-image", _push_image, "build the image with Docker, push it, and print its digests")
    pushing.add_argument("image", help="repository, such as ghcr.io/contoso/defender-devops-operator")
    pushing.add_argument("--platforms", default="linux/amd64,linux/arm64")
    pushing.add_argument("--output", type=Path, required=True, help="folder for the bills of materials")
    rehearsal = add("rehearse", _rehearse, "release a version without publishing anything")
    rehearsal.add_argument("version")
    rehearsal.add_argument("--output", type=Path, help="folder for the artifacts; dist/VERSION if not given")
    rehearsal.add_argument("--without-image", action="store_true", help="where no image can be built")
    return parser


def _show_version(_: argparse.Namespace) -> None:
    print(current_version(_ROOT))


def _bump(options: argparse.Namespace) -> None:
    prepare_release(_ROOT, Version.parse(options.version), dt.datetime.now(dt.UTC).date())


def _show_notes(options: argparse.Namespace) -> None:
    print(changelog.section((_ROOT / "CHANGELOG.md").read_text(), Version.parse(options.version)), end="")


def _lint_workflows(_: argparse.Namespace) -> None:
    lint_workflows(_ROOT)


def _verify_tag(options: argparse.Namespace) -> None:
    verify_tag(_ROOT, options.tag, current_version(_ROOT))


def _build(options: argparse.Namespace) -> None:
    build(Build(_ROOT, options.output.absolute(), commit_time(_ROOT), options.image, options.download_base))


def _check(options: argparse.Namespace) -> None:
    for line in check(Artifacts(options.folder.absolute(), current_version(_ROOT))):
        print(line, flush=True)


def _push_image(options: argparse.Namespace) -> None:
    version = current_version(_ROOT)
    builder = DockerBuilder(_ROOT, version, commit_time(_ROOT), f"{options.image}:{version}")
    for name, digest in push_image(builder, options.image, options.platforms.split(","), options.output).items():
        print(f"{name}={digest}")


def _rehearse(options: argparse.Namespace) -> None:
    version = Version.parse(options.version)
    output = options.output or _ROOT / "dist" / str(version)
    Rehearsal(_ROOT, version, output.absolute(), with_image=not options.without_image).run()


if __name__ == "__main__":
    sys.exit(main())
