"""Faults that tests set for requests to come.

A fault matches by service, method, path and principal, skips its first `after` matches and then applies `times` times.
It can answer in place of the service, add headers, delay, close the connection before or after the effect, or change
the outcome of the long-running operation that the request starts.
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
from sandbox.cloud.variants import Variants

__all__ = ["Fault", "Faults", "OperationFault"]


class OperationFault(CamelModel):
    """Outcome of a long-running operation.

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
    """One fault; a match criterion that is None matches everything.

    Attributes:
        path: regular expression, searched in the path without regard to case.
        content: regular expression, searched in the body without regard to case.
        times: how many requests it applies to; None for all.
        after: how many matching requests pass first.
        status: answer with this status in place of the service; the request then has no effect.
        body: text, or a value that is sent as JSON; only with `status`.
        headers: headers of that answer; without `status`, added to the service's own.
        aadsts: answer as Entra does with this error; the request then has no effect.
        delay: real seconds before the service sees the request.
        cut: close the connection `before` the effect or `after` it, without an answer.
        operation: outcome of the long-running operation that the request starts.
    """

    id: str = ""
    service: str | None = None
    method: str | None = None
    path: str | None = None
    content: str | None = None
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
    _content: re.Pattern[bytes] | None = PrivateAttr(default=None)

    def model_post_init(self, context: object, /) -> None:
        """Compile the patterns once, so that an invalid one is rejected when the fault is set."""
        del context
        self._pattern = re.compile(self.path, re.IGNORECASE) if self.path else None
        self._content = re.compile(self.content.encode(), re.IGNORECASE) if self.content else None
        if self.aadsts is not None and self.aadsts not in CATALOGUE:
            raise ValueError(f"AADSTS{self.aadsts} is not in the catalogue of sandbox.cloud.entra.catalogue")

    def matches(self, request: Request) -> bool:
        """Whether the request matches; `principal` is compared by `Faults`, which knows it."""
        return (
            self.service in (None, request.service)
            and self.method in (None, request.method)
            and (self._pattern is None or self._pattern.search(request.path) is not None)
            and (self._content is None or self._content.search(request.body) is not None)
        )

    def reply(self, request: Request, wall: float, variants: Variants) -> Reply | None:
        """Return the response in place of the service; None lets the service answer."""
        if self.aadsts is not None:
            error = catalogue_error(self.aadsts)
            if variants.is_chosen("rareErrors", "generic") and error.error != "invalid_grant":
                error.error, error.status = "invalid_request", 400
            refusal = error.reply(request.base, wall)
            refusal.headers.update(self.headers)
            return refusal
        if self.status is None:
            return None
        if isinstance(self.body, str):
            return Reply(self.status, self.body.encode(), dict(self.headers))
        body = json.dumps(self.body).encode()
        return Reply(self.status, body, {"Content-Type": "application/json; charset=utf-8", **self.headers})


class Faults:
    """All active faults, oldest first; the first one that matches a request applies."""

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
        """Return all faults, used-up ones included."""
        return list(self._faults)

    def remove(self, identifier: str | None = None) -> int:
        """Remove one fault, or all, and return how many were removed."""
        count = len(self._faults)
        self._faults = [fault for fault in self._faults if identifier is not None and fault.id != identifier]
        return count - len(self._faults)

    def match(self, request: Request, principal: str | None) -> Fault | None:
        """Return the fault that applies to this request and count a hit; None if there is none."""
        for fault in self._faults:
            if fault.matches(request) and fault.principal in (None, principal):
                fault.hits += 1
                position = fault.hits - fault.after
                if position > 0 and (fault.times is None or position <= fault.times):
                    return fault
        return None
