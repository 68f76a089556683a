"""The result of one reconcile. The reconciler returns it and the queue reads it, so it lies below both."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Result"]


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one reconcile.

    Attributes:
        requeue_after: seconds until the key is reconciled again without an event. Jitter only adds to it, so a
            Retry-After is respected. After a failure it is at least the delay of the back-off. None leaves the delay to
            the back-off after a failure; after a success the key then stays idle until the next event.
        failed: whether it counts towards the back-off, which a success or an event resets.
        is_terminal: whether the failure lasts until a person or a changed spec solves it, so that retrying soon is
            pointless.
        is_deferred: whether nothing was reconciled yet, because what that needs arrives later: metrics do not count it.
        reason: why the key is requeued, for the debug log.
    """

    requeue_after: float | None = None
    failed: bool = False
    is_terminal: bool = False
    is_deferred: bool = False
    reason: str = ""
