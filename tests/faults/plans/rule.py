"""Rules of the proxy: which requests or watch events of the operator meet a fault, and which fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Final, Self

__all__ = ["AZURE", "KUBERNETES", "Action", "Rule"]

KUBERNETES: Final = "kubernetes"
AZURE: Final = "azure"


class Action(StrEnum):
    """What happens to a request, or to an event of a watch."""

    ANSWER = "answer"
    """The server does not receive the request; the answer is the rule's."""
    ANSWER_AFTER = "answer after"
    """The server executes the request; the answer is the rule's."""
    RESET = "reset"
    """The connection ends without an answer, and the server does not receive the request."""
    RESET_AFTER = "reset after"
    """The server executes the request, and the connection ends without an answer."""
    TRUNCATE = "truncate"
    """The connection ends after the first half of the answer."""
    CHANGE = "change"
    """The answer is changed by a function of `tests.faults.stack.answers`."""
    DELAY = "delay"
    """The server receives the request later."""
    KILL = "kill"
    """The operator is killed before the server receives the request."""
    KILL_AFTER = "kill after"
    """The server executes the request, and the operator is killed before the answer."""
    FREEZE = "freeze"
    """The operator is stopped (SIGSTOP) before the server receives the request, which it then does."""
    OLDER = "older"
    """The answer is the list that was remembered."""

    HOLD = "hold"
    """Of a watch: the event and all later ones wait until the rules are lifted."""
    DROP = "drop"
    """Of a watch: the event is dropped."""
    SILENCE = "silence"
    """Of a watch: nothing more arrives, and the connection does not end."""
    CUT = "cut"
    """Of a watch: the connection ends in place of the event."""
    EVENT = "event"
    """Of a watch: the rule's body is sent in place of the event, and the watch ends."""

    @property
    def is_of_events(self) -> bool:
        """Whether it concerns events of a watch, not requests."""
        return self in {Action.HOLD, Action.DROP, Action.SILENCE, Action.CUT, Action.EVENT}


@dataclass(frozen=True)
class Rule:
    """One fault.

    Attributes:
        server: `kubernetes` or `azure`.
        action: what happens.
        method: regular expression for the whole method; empty matches all.
        path: regular expression, searched in path and query.
        watch: whether it is about watches; False for all other requests.
        event: regular expression, searched in `TYPE name` of an event.
        writes: only requests that change something.
        after: number of matches that pass first.
        times: number of matches that it applies to; None for all.
        status: HTTP status of the answer.
        body: body of the answer.
        headers: headers of the answer; `{elsewhere}` in a value is the address of another server.
        seconds: of a delay.
        change: name of the change of the answer.
    """

    server: str
    action: Action
    method: str = ""
    path: str = ""
    watch: bool = False
    event: str = ""
    writes: bool = False
    after: int = 0
    times: int | None = 1
    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    change: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return what differs from the defaults."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        defaults = vars(Rule("", Action.ANSWER))
        return {name: value for name, value in values.items() if name == "action" or value != defaults[name]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the rule of a step's arguments."""
        return cls(**{**values, "action": Action(values["action"])})
