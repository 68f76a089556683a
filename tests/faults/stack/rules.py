"""The active rules of a proxy: which of them applies to a request or to an event of a watch."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from tests.faults.plans.rule import Rule

__all__ = ["ActiveRule", "ActiveRules", "RequestInfo"]


@dataclass(frozen=True)
class RequestInfo:
    """What rules match.

    Attributes:
        server: name of the server.
        method: HTTP method.
        target: path and query.
        is_watch: whether it opens a watch.
        is_write: whether it changes something that the operator manages.
    """

    server: str
    method: str
    target: str
    is_watch: bool
    is_write: bool


@dataclass
class ActiveRule:
    """A rule with the number of its matches.

    Attributes:
        rule: the rule.
        lifted: set once it applies no more.
        matches: number of requests or events that it has matched.
    """

    rule: Rule
    lifted: asyncio.Event = field(default_factory=asyncio.Event)
    matches: int = 0

    def applies(self, request: RequestInfo, event: str | None) -> bool:
        """Whether it applies to a request, or to an event of its watch; counts the match."""
        rule = self.rule
        if rule.action.is_of_events != (event is not None) or self.lifted.is_set():
            return False
        is_match = (
            rule.server == request.server
            and rule.watch == request.is_watch
            and (request.is_write or not rule.writes)
            and (not rule.method or re.fullmatch(rule.method, request.method) is not None)
            and re.search(rule.path, request.target) is not None
            and (event is None or re.search(rule.event, event) is not None)
        )
        self.matches += is_match
        return (
            is_match and self.matches > rule.after and (rule.times is None or self.matches <= rule.after + rule.times)
        )


class ActiveRules:
    """All active rules, oldest first; the first one that matches applies."""

    def __init__(self) -> None:
        self._rules: list[ActiveRule] = []

    def add(self, rule: Rule) -> ActiveRule:
        """Activate a rule."""
        active = ActiveRule(rule)
        self._rules.append(active)
        return active

    def lift(self) -> None:
        """Deactivate all rules; events on hold continue."""
        for active in self._rules:
            active.lifted.set()
        self._rules.clear()

    def match(self, request: RequestInfo, event: str | None = None) -> ActiveRule | None:
        """Return the rule that applies to a request, or to an event; None if none does."""
        return next((active for active in self._rules if active.applies(request, event)), None)
