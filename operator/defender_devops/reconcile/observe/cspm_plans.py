"""The plan Defender CSPM of each subscription, read once for all of its connectors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from weakref import WeakKeyDictionary

from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.resources.pricings import is_defender_cspm_enabled
from defender_devops.errors import ErrorCategory, OperatorError
from defender_devops.reconcile.facts.failure import failure_of_error
from defender_devops.reconcile.facts.posture import CspmPlan

__all__ = ["CspmPlans"]

_REFRESH_AGE: Final = timedelta(seconds=10)
"""A requested reconcile may read more than once; the plan is then read once."""


@dataclass(slots=True)
class _Entry:
    """The plan of one subscription, and when it was read; the lock makes connectors wait for one read."""

    plan: CspmPlan | None = None
    read_at: datetime | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class CspmPlans:
    """Reads plans, each with the identity of the connector that needs it.

    Args:
        interval: time for which an answer is reused.
        clock: returns the current time.
    """

    def __init__(self, interval: timedelta, clock: Callable[[], datetime]) -> None:
        self._interval = interval
        self._clock = clock
        self._entries: WeakKeyDictionary[ArmClient, dict[str, _Entry]] = WeakKeyDictionary()

    async def plan(self, arm: ArmClient, subscription_id: str, *, refresh: bool = False) -> CspmPlan:
        """Return the plan of a subscription. A failed read is part of the result; a transient one keeps the last plan.

        Args:
            arm: client of the identity.
            subscription_id: the subscription.
            refresh: whether to read it again, because a reconcile was requested.
        """
        entry = self._entries.setdefault(arm, {}).setdefault(subscription_id.lower(), _Entry())
        async with entry.lock:
            max_age = _REFRESH_AGE if refresh else self._interval
            if entry.plan is None or entry.read_at is None or self._clock() - entry.read_at >= max_age:
                entry.plan = await _read(arm, subscription_id, entry.plan)
                entry.read_at = self._clock()
            return entry.plan


async def _read(arm: ArmClient, subscription_id: str, previous: CspmPlan | None) -> CspmPlan:
    try:
        return CspmPlan(await is_defender_cspm_enabled(arm, subscription_id))
    except OperatorError as error:
        is_transient = error.category is ErrorCategory.TRANSIENT
        if is_transient and previous is not None and previous.is_enabled is not None:
            return previous
        return CspmPlan(None, failure_of_error(error))
