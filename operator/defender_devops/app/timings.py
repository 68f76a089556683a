"""The intervals of the settings, as the reconciler uses them."""

from __future__ import annotations

from datetime import timedelta

from defender_devops.reconcile.facts.snapshot import Timings
from defender_devops.settings import Settings

__all__ = ["timings_from_settings"]


def timings_from_settings(settings: Settings) -> Timings:
    """Return the intervals that decisions depend on."""
    check_interval = timedelta(seconds=settings.check_interval)
    return Timings(
        probe_interval=check_interval,
        resend_interval=check_interval,
        listing_interval=check_interval,
        poll_interval=timedelta(seconds=settings.operation_poll_interval),
        settle_interval=timedelta(seconds=settings.discovery_settle_interval),
    )
