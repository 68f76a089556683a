"""Waiting keys by group, so that a thousand connectors of one subscription do not starve the single one of another."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["FairQueue"]

K = TypeVar("K", bound=Hashable)


class FairQueue(Generic[K]):
    """Keys that wait for a slot, and how many keys of each group are running.

    The next key comes from the group with the fewest running keys, in rotation among equal groups, and within a group
    in the order of arrival. Counting running keys matters: with rotation alone, a group whose reconciles are slow ends
    up with every slot, because it is the one that never releases any.

    Args:
        slots: how many keys of all groups may run at once.
        slots_per_group: how many keys of one group may run at once; reserves slots for other groups even while those
            have nothing to do yet.
    """

    def __init__(self, slots: int, slots_per_group: int | None = None) -> None:
        self._slots_per_group = min(slots, slots_per_group or slots)
        self._free = slots
        self._group_of: dict[K, Hashable] = {}
        self._waiting: dict[Hashable, OrderedDict[K, None]] = {}
        self._running: dict[Hashable, int] = {}
        # Groups with waiting keys, by how many keys they have running. Both ends of an OrderedDict cost O(1).
        self._levels: list[OrderedDict[Hashable, None]] = [OrderedDict() for _ in range(slots + 1)]

    def __len__(self) -> int:
        return len(self._group_of)

    def __contains__(self, key: K) -> bool:
        return key in self._group_of

    def add(self, key: K, group: Hashable) -> None:
        """Append `key` to the waiting keys of its group; nothing changes if it waits already."""
        if key in self._group_of:
            return
        self._group_of[key] = group
        if group not in self._waiting:
            self._waiting[group] = OrderedDict()
            self._levels[self._running.get(group, 0)][group] = None
        self._waiting[group][key] = None

    def discard(self, key: K) -> None:
        """Remove `key` from the waiting keys, if it is one of them."""
        if key not in self._group_of:
            return
        group = self._group_of.pop(key)
        del self._waiting[group][key]
        if not self._waiting[group]:
            del self._waiting[group]
            del self._levels[self._running.get(group, 0)][group]

    def take(self) -> tuple[K, Hashable] | None:
        """Give a slot to the next key and return it with its group; None if no key waits or no slot is free.

        The caller releases the slot with `release` and the same group.
        """
        if not self._free:
            return None
        for running, level in enumerate(self._levels[: self._slots_per_group]):
            if not level:
                continue
            group, _ = level.popitem(last=False)
            key, _ = self._waiting[group].popitem(last=False)
            del self._group_of[key]
            self._free -= 1
            self._running[group] = running + 1
            if self._waiting[group]:
                self._levels[running + 1][group] = None
            else:
                del self._waiting[group]
            return key, group
        return None

    def release(self, group: Hashable) -> None:
        """Release the slot of a key of `group`."""
        running = self._running.pop(group)
        self._free += 1
        if running > 1:
            self._running[group] = running - 1
        if group in self._waiting:
            del self._levels[running][group]
            self._levels[running - 1][group] = None
