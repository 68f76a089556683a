"""How a reconcile ended: what the queue is told and what a reconcile says, so it lies below both."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Result"]


@dataclass(frozen=True, slots=True)
class Result:
    """How a reconcile ended.

    Attributes:
        next_look: seconds until the next one (jitter only adds to it, so a Retry-After is kept); None leaves it to the
            back-off after a failure, and to the next event after a success.
        failed: counts towards the back-off, which a success or an event starts afresh.
    """

    requeue_after: float | None = None
    failed: bool = False
