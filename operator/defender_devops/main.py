"""Starts the operator and ends it cleanly: settings, logs, signals, exit status."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys

import structlog
import uvloop
from pydantic import ValidationError
from pydantic_settings import SettingsError

from defender_devops.app.operator import Operator
from defender_devops.errors import OperatorError
from defender_devops.settings import Settings
from defender_devops.telemetry.logs import configure_logs

__all__ = ["main"]

_MISCONFIGURED = 2

_COLLECT_AFTER = (10_000, 20, 20)
"""Objects that come into being, less those that go, between two searches for cyclic garbage; and how many searches
until older objects are searched too.

Python 3.11's 700, 10, 10 are for small programs: while a thousand connectors become Ready a tenth of all work is such
searches. They find next to nothing: what is kept of a resource is bytes, and what a reconcile makes goes with it.
"""


def main() -> None:
    """Run until SIGTERM or SIGINT. Exits 2 where a setting is wrong, 1 where the operator cannot go on."""
    try:
        settings = Settings()
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            name = "_".join(str(part) for part in each["loc"]).upper()
            print(f"Setting DEFENDER_DEVOPS_{name}: {each['msg']}.", file=sys.stderr)  # noqa: T201 - no log yet
        sys.exit(_MISCONFIGURED)
    except SettingsError as error:  # what it holds, the error does not repeat
        print(f"A setting that must be JSON is not: {error}.", file=sys.stderr)  # noqa: T201 - no log yet
        sys.exit(_MISCONFIGURED)
    configure_logs(settings.log_format, settings.log_level)
    gc.freeze()  # the modules stay
    gc.set_threshold(*_COLLECT_AFTER)
    sys.exit(uvloop.run(_run(settings)))


async def _run(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def install_signal_handlers() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)

    install_signal_handlers()
    try:
        await Operator(settings, install_signal_handlers).run(stop)
    except OperatorError as error:
        return _give_up(error)
    except ExceptionGroup as group:
        named, rest = group.split(OperatorError)
        if rest is not None:
            raise
        return _give_up(*(named.exceptions if named else ()))
    return 0


def _give_up(*errors: Exception) -> int:
    for error in errors:
        structlog.get_logger(__name__).error("cannot go on", message=str(error))
    return 1
