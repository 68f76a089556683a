"""Rejected requests: counted by reason, and logged in a short line without any of their content."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog
from aiohttp import web
from multidict import MultiMapping

from defender_devops import listening
from defender_devops.signin.pages.rate_limit import RateLimit
from defender_devops.supervision import OnFailure

__all__ = ["Rejections", "read_form", "sign_in_connection_logger"]

_LOG: Final = structlog.stdlib.get_logger(__name__)


def _log_limit() -> RateLimit:
    """Ten lines at once and one in ten seconds for each reason: the metric counts all, and nobody can fill the log."""
    return RateLimit(burst=10, per_second=0.1, all_burst=50, all_per_second=1)


@dataclass(frozen=True)
class Rejections:
    """Notes rejected requests.

    Attributes:
        count: increments the metric for a reason.
    """

    count: Callable[[str], None] = lambda _: None
    _limit: RateLimit = field(default_factory=_log_limit)

    def note(self, reason: str, error: BaseException | None = None) -> None:
        """Count a request, and log its reason and the class of an error.

        Args:
            reason: label of the metric.
            error: what a parser raised. Its message repeats bytes of the request, so it is never logged.
        """
        self.count(reason)
        if self._limit.acquire(reason) == 0:
            _LOG.info("sign-in request rejected", reason=reason, error=type(error).__name__ if error else None)


def sign_in_connection_logger(rejections: Rejections, on_failure: OnFailure) -> logging.Logger:
    """Return the logger for aiohttp's connections to the pages, which counts unexpected exceptions."""

    def on_error(record: logging.LogRecord) -> None:
        _LOG.error("sign-in connection failed", exc_info=record.exc_info)
        on_failure("sign-in page")

    return listening.connection_logger(partial(rejections.note, "malformed"), on_error)


async def read_form(request: web.Request) -> MultiMapping[object]:
    """Return the fields of a form.

    Raises:
        HTTPBadRequest: the body is not a form; its cause is the parser's error.
        HTTPRequestEntityTooLarge: it is too long.
    """
    try:
        return await request.post()
    except web.HTTPException:
        raise
    except Exception as error:
        raise web.HTTPBadRequest from error
