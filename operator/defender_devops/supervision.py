"""Confines unexpected exceptions to the part of the operator where they happen, so that everything else goes on."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from defender_devops.backoff import Backoff
from defender_devops.clock import Clock
from defender_devops.errors import LeadershipLost

__all__ = ["OnFailure", "contain_exceptions", "run_supervised"]

OnFailure = Callable[[str], None]
"""Called with the component or task in which an unexpected exception was confined; counts it."""

_BACKOFF: Final = Backoff(initial=1.0, maximum=60.0)

_log: Final = structlog.get_logger(__name__)


@contextmanager
def contain_exceptions(component: str, on_failure: OnFailure, **context: object) -> Iterator[None]:
    """Log and count an exception within the block instead of raising it.

    Args:
        component: part of the operator, for the log and the metric; one of few.
        on_failure: called with the component; counts it.
        context: more values for the log.

    Raises:
        LeadershipLost: another replica may lead by now, so nothing may go on here.
    """
    try:
        yield
    except LeadershipLost:
        raise
    except Exception:  # noqa: BLE001 - the reason for this function
        _log.exception("unexpected error", component=component, **context)
        on_failure(component)


async def run_supervised(
    name: str,
    run: Callable[[], Awaitable[None]],
    on_failure: OnFailure,
    *,
    clock: Clock | None = None,
) -> None:
    """Run a task until it ends by itself or is cancelled, and restart it with a back-off whenever it raises.

    Args:
        name: of the task, for the log and the metric.
        run: starts the task.
        on_failure: called with the name at each failure; counts it.
        clock: monotonic time and sleep.

    Raises:
        LeadershipLost: another replica may lead by now, so nothing may be restarted here.
    """
    clock = clock or Clock()
    failures = 0
    while True:
        start = clock.monotonic()
        try:
            await run()
        except LeadershipLost:
            raise
        except Exception:  # noqa: BLE001 - the reason for this function
            # A task that ran for long has recovered from its earlier failures.
            failures = 1 if clock.monotonic() - start > _BACKOFF.maximum else failures + 1
            delay = _BACKOFF.delay(failures, random.random())  # noqa: S311 - spreads load
            _log.exception("background task failed", task=name, restart_after=round(delay, 1))
            on_failure(name)
            await clock.sleep(delay)
        else:
            return
