"""Faults that tests set for requests to come.

A fault matches by service, method, path and principal, skips its first `after` matches and then strikes `times` times.
It can answer in the service's place, add headers, wait, cut the connection before or after the effect, or spoil the
long-running operation that the request starts.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import Any, Literal

from pydantic import Field, PrivateAttr

from sandbox.cloud.entra.catalogue import CATALOGUE, catalogue_error
from sandbox.cloud.models import CamelModel
from sandbox.cloud.transport.message import Reply, Request

__all__ = ["Fault", "Faults", "OperationFault"]


class OperationFault(CamelModel):
    """What a long-running operation does wrong.

    Attributes:
        outcome: `never` stays Accepted for ever; `failed` and `canceled` end so, without effect.
        seconds: how long it takes (inner time) in place of the recorded timing.
        code: error code of a failed one.
        message: error message of a failed one.
    """

    outcome: Literal["never", "failed", "canceled", "succeeded"] = "failed"
    seconds: float | None = None
    code: str = "InternalServerError"
    message: str = "The server encountered an internal error. Please retry."


class Fault(CamelModel):
    """One fault; every part of the match that is None admits all.

    Attributes:
        path: regular expression, searched in the path without regard to case.
        times: how many requests it meets; None for all.
        after: how many matching requests pass before.
        status: answer with this status in the service's place: the request then has no effect.
        body: text, or a value that is sent as JSON; only with `status`.
        headers: headers of that answer; without `status`, added to the service's own.
        aadsts: answer as Entra does with this error; the request then has no effect.
        delay: real seconds before the service sees the request.
        cut: close the connection `before` the effect or `after` it, without an answer.
        operation: spoil the long-running operation that the request starts.
    """

    id: str = ""
    service: str | None = None
    method: str | None = None
    path: str | None = None
    principal: str | None = None
    times: int | None = 1
    after: int = 0
    status: int | None = None
    body: Any = ""
    headers: dict[str, str] = Field(default_factory=dict)
    aadsts: int | None = None
    delay: float = 0.0
    cut: Literal["before", "after"] | None = None
    operation: OperationFault | None = None
    hits: int = 0
    _pattern: re.Pattern[str] | None = PrivateAttr(default=None)

    def model_post_init(self, context: object, /) -> None:
        """Compile the pattern once, so that a bad one is refused at the door."""
        del context
        self._pattern = re.compile(self.path, re.IGNORECASE) if self.path else None
        if self.aadsts is not None and self.aadsts not in CATALOGUE:
            raise ValueError(f"AADSTS{self.aadsts} is not in the catalogue of sandbox.cloud.entra.catalogue")

    def matches(self, request: Request) -> bool:
        """Whether the request is one of those meant; `principal` is compared by `Faults`, once it is known."""
        return (
            self.service in (None, request.service)
            and self.method in (None, request.method)
            and (self._pattern is None or self._pattern.search(request.path) is not None)
        )

    def reply(self, request: Request, wall: float) -> Reply | None:
        """The answer in the service's place, if it has one."""
        if self.aadsts is not None:
            refusal = catalogue_error(self.aadsts).reply(request.base, wall)
            refusal.headers.update(self.headers)
            return refusal
        if self.status is None:
            return None
        if isinstance(self.body, str):
            return Reply(self.status, self.body.encode(), dict(self.headers))
        body = json.dumps(self.body).encode()
        return Reply(self.status, body, {"Content-Type": "application/json; charset=utf-8", **self.headers})


class Faults:
    """All faults that are set, oldest first; the first that meets a request takes it."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._numbers = itertools.count(1)

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, fault: Fault) -> Fault:
        """Set a fault, and name it if it has no name."""
        fault.id = fault.id or f"fault-{next(self._numbers)}"
        self._faults.append(fault)
        return fault

    def all(self) -> list[Fault]:
        """What is set, spent ones included."""
        return list(self._faults)

    def remove(self, identifier: str | None = None) -> int:
        """Take one fault away, or all; says how many went."""
        count = len(self._faults)
        self._faults = [fault for fault in self._faults if identifier is not None and fault.id != identifier]
        return count - len(self._faults)

    def match(self, request: Request, principal: str | None) -> Fault | None:
        """The fault for this request, counted as one hit; None where the request passes unharmed."""
        for fault in self._faults:
            if fault.matches(request) and fault.principal in (None, principal):
                fault.hits += 1
                position = fault.hits - fault.after
                if position > 0 and (fault.times is None or position <= fault.times):
                    return fault
        return None
