"""Starts the operator and stops it cleanly: settings, logs, signals, exit status."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.metadata
import signal
import sys
from typing import Final

import structlog
import uvloop
from pydantic import ValidationError
from pydantic_settings import SettingsError

from defender_devops.app.operator import Operator
from defender_devops.errors import OperatorError
from defender_devops.http_client import check_http_environment
from defender_devops.settings import Settings
from defender_devops.telemetry.logs import configure_logs

__all__ = ["main"]

_EXIT_INVALID_SETTINGS: Final = 2

_GC_THRESHOLDS: Final = (10_000, 20, 20)
"""New objects, less deleted ones, between two collections of cyclic garbage; and collections between those of the older
generations.

The defaults of Python 3.11 (700, 10, 10) are for small programs: while a thousand connectors become Ready, a tenth of
the CPU time goes into collections. They find next to nothing, because resources are kept as bytes and what a reconcile
creates is freed with it.
"""


def main() -> None:
    """Run until SIGTERM or SIGINT. Exits with 2 if a setting is invalid, and with 1 after a fatal error."""
    parser = argparse.ArgumentParser(
        prog="defender-devops-operator",
        description="Run the operator that connects Azure DevOps to Microsoft Defender for Cloud.",
        epilog="Settings are environment variables with the prefix DEFENDER_DEVOPS_, see settings.py. The command line "
        "for users is `defender-devops`.",
        allow_abbrev=False,
    )
    version = importlib.metadata.version("defender-devops-operator")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}", help="show the version and exit")
    parser.parse_args()
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            variable = name if name.startswith("AZURE_AUTHORITY") else f"DEFENDER_DEVOPS_{name}"
            print(f"Setting {variable}: {problem['msg']}.", file=sys.stderr)  # noqa: T201 - no log yet
        sys.exit(_EXIT_INVALID_SETTINGS)
    except SettingsError as error:  # its message names the setting and not the value
        print(f"A setting that must be JSON is not: {error}.", file=sys.stderr)  # noqa: T201 - no log yet
        sys.exit(_EXIT_INVALID_SETTINGS)
    try:
        check_http_environment()
    except OperatorError as error:
        print(error.message, file=sys.stderr)  # noqa: T201 - no log yet
        sys.exit(_EXIT_INVALID_SETTINGS)
    configure_logs(settings.log_format, settings.log_level)
    gc.freeze()  # modules are never garbage, so collections need not visit them
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.exit(uvloop.run(_run(settings)))


async def _run(settings: Settings) -> int:
    """Run the operator and return the exit status."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def install_signal_handlers() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)

    install_signal_handlers()
    errors: tuple[Exception, ...] = ()
    try:
        await Operator(settings, install_signal_handlers).run(stop)
    except OperatorError as error:
        errors = (error,)
    except ExceptionGroup as group:
        operator_errors, unexpected = group.split(OperatorError)
        if unexpected is not None:
            raise
        errors = tuple(operator_errors.exceptions) if operator_errors else ()
    for fatal_error in errors:
        structlog.get_logger(__name__).error("fatal error, exiting", message=str(fatal_error))
    return 1 if errors else 0
