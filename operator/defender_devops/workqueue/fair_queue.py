"""Whose turn it is: waiting keys by group, so that a thousand of one subscription do not shut out another's one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["FairQueue"]

K = TypeVar("K", bound=Hashable)


class FairQueue(Generic[K]):
    """Keys that wait, and how many of each group are running.

    The next turn belongs to the group with the fewest running, in rotation among equals, and within a group to whoever
    waited longest. Counting what runs matters: by rotation alone, a group whose reconciles are slow ends up with every
    slot, since it is the one that never gives any back.

    Args:
        slots: how many may run at once, of all groups.
        slots_per_group: how many of one group; leaves room for others even while they have nothing to do yet.
    """

    def __init__(self, slots: int, slots_per_group: int | None = None) -> None:
        self._slots = slots
        self._slots_per_group = min(slots, slots_per_group or slots)
        self._free = slots
        self._group_of: dict[K, Hashable] = {}
        self._waiting: dict[Hashable, OrderedDict[K, None]] = {}
        self._running: dict[Hashable, int] = {}
        # Groups that have someone waiting, by how many they have running. Both ends of an OrderedDict cost O(1).
        self._levels: list[OrderedDict[Hashable, None]] = [OrderedDict() for _ in range(slots + 1)]

    def __len__(self) -> int:
        return len(self._group_of)

    def __contains__(self, key: K) -> bool:
        return key in self._group_of

    def add(self, key: K, group: Hashable) -> None:
        """Let `key` wait as the last of its group; nothing changes if it waits already."""
        if key in self._group_of:
            return
        self._group_of[key] = group
        if group not in self._waiting:
            self._waiting[group] = OrderedDict()
            self._levels[self._running.get(group, 0)][group] = None
        self._waiting[group][key] = None

    def discard(self, key: K) -> None:
        """Let `key` wait no longer, if it does."""
        if key not in self._group_of:
            return
        group = self._group_of.pop(key)
        del self._waiting[group][key]
        if not self._waiting[group]:
            del self._waiting[group]
            del self._levels[self._running.get(group, 0)][group]

    def take(self) -> tuple[K, Hashable] | None:
        """Give a slot to the next key, with its group; None if nobody waits or nobody may run.

        Every key taken is given back by `finished` with the same group.
        """
        if not self._free:
            return None
        for running, level in enumerate(self._levels[: self._slots_per_group]):
            if level:
                return self._take_from(next(iter(level)), running)
        return None

    def _take_from(self, group: Hashable, running: int) -> tuple[K, Hashable]:
        del self._levels[running][group]
        key, _ = self._waiting[group].popitem(last=False)
        del self._group_of[key]
        self._free -= 1
        self._running[group] = running + 1
        if self._waiting[group]:
            self._levels[running + 1][group] = None
        else:
            del self._waiting[group]
        return key, group

    def finished(self, group: Hashable) -> None:
        """Take the slot back that a key of `group` had."""
        running = self._running.pop(group)
        self._free += 1
        if running > 1:
            self._running[group] = running - 1
        if group in self._waiting:
            del self._levels[running][group]
            self._levels[running - 1][group] = None
