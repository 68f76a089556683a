"""HTTP answers of Azure Resource Manager become errors of `defender_devops.errors`: here, and nowhere else.

The code decides; the HTTP status only where no code is known. Every message says what happened to whom and what to do
about it. Nothing in a message changes from one attempt to the next (no times, no ids of requests): messages end in
conditions, and a condition that changes is a write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from defender_devops.azure.arm.error_body import ErrorDetail, error_detail, parse_error
from defender_devops.azure.arm.error_codes import (
    BY_CODE,
    Asked,
    busy,
    is_token_exchange,
    said,
    throttled,
    token_exchange_failed,
    token_refused,
    unavailable,
)
from defender_devops.errors import AzureError, AzureNotFound, AzureUnavailable, Forbidden, InvalidRequest, Throttled

__all__ = ["Answer", "Asked", "error_of_answer", "error_of_operation", "retry_after_of"]

_RETRY_AFTER_MAX: Final = 3600.0
_CLIENT_ERROR, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TIMEOUT, _CONFLICT, _TOO_MANY = 400, 401, 403, 404, 408, 409, 429
_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole.

    Attributes:
        status: HTTP status.
        headers: by name in lower case.
        body: as sent.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


def retry_after_of(answer: Answer, now: float) -> float | None:
    """Seconds that the service asks to wait, at most an hour, or None where it does not ask.

    Args:
        answer: any answer, also a good one.
        now: seconds since the epoch, for a Retry-After that is a date.
    """
    for header, seconds_of in _RETRY_HEADERS.items():
        seconds = seconds_of(answer.headers.get(header, "").strip(), now)
        if seconds is not None:
            return min(max(seconds, 0.0), _RETRY_AFTER_MAX)
    return None


def _number_or_date(text: str, now: float) -> float | None:
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    try:
        return parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None


def _clock_time(text: str, _now: float) -> float | None:
    if (match := re.fullmatch(r"([0-9]{1,2}):([0-9]{2}):([0-9]{2})", text)) is None:
        return None
    hours, minutes, seconds = (float(part) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


_RETRY_HEADERS: Final[Mapping[str, Callable[[str, float], float | None]]] = {
    "retry-after": _number_or_date,
    "x-ms-user-quota-resets-after": _clock_time,
}


def error_of_answer(answer: Answer, asked: Asked, now: float) -> AzureError:
    """The error that an answer other than 2xx stands for.

    Args:
        answer: the answer.
        asked: what was asked.
        now: seconds since the epoch.
    """
    detail = parse_error(answer.body)
    error = _not_azure(answer, asked) if detail.page else _error(detail, asked, answer.status)
    error.status = answer.status
    error.retry_after = retry_after_of(answer, now)
    return error


def error_of_operation(error: object, asked: Asked) -> AzureError:
    """The error that a long-running operation ended in.

    Args:
        error: the field `error` of the operation's status, or None.
        asked: what the operation was to do.
    """
    return _error(error_detail(error) if isinstance(error, dict) else ErrorDetail(), asked, None)


def _error(detail: ErrorDetail, asked: Asked, status: int | None) -> AzureError:
    for each in detail.walk():
        if (known := BY_CODE.get(each.code.lower())) is not None:
            return _with_code(known(each, asked), each.code)
    if is_token_exchange(detail):
        return _with_code(token_exchange_failed(detail, asked), detail.code)
    return _with_code(_by_status(detail, asked, status), detail.code)


def _with_code(error: AzureError, code: str) -> AzureError:
    error.code = code or None
    return error


def _not_azure(answer: Answer, asked: Asked) -> AzureError:
    kind = Throttled if answer.status == _TOO_MANY else AzureUnavailable
    return kind(
        f"Asked to {asked.what}, the address of Azure Resource Manager answered HTTP {answer.status} with a page for "
        "people: if this lasts, check the proxies and firewalls between the operator and Azure."
    )


def _by_status(detail: ErrorDetail, asked: Asked, status: int | None) -> AzureError:
    if status == _TOO_MANY:
        return throttled(detail, asked)
    if status is None:  # an operation of its own accord: nothing says that trying again would help
        return _invalid(detail, asked)
    if status >= _SERVER_ERROR or status == _TIMEOUT:
        return unavailable(detail, asked)
    if status < _CLIENT_ERROR:
        return AzureUnavailable(
            f"Asked to {asked.what}, Azure answered HTTP {status}, which is not followed: check "
            "DEFENDER_DEVOPS_ARM_ENDPOINT and the proxies on the way."
        )
    return _CLIENT_ERRORS.get(status, _invalid)(detail, asked)


def _not_found(detail: ErrorDetail, asked: Asked) -> AzureError:
    return AzureNotFound(f"Asked to {asked.what}, Azure finds no such resource{said(detail)}.")


def _forbidden(detail: ErrorDetail, asked: Asked) -> AzureError:
    return Forbidden(f"Azure forbids {asked.who} to {asked.what}{said(detail)}.")


def _invalid(detail: ErrorDetail, asked: Asked) -> AzureError:
    return InvalidRequest(f"Azure refuses to {asked.what}{said(detail)}. Correct the manifest accordingly.")


_CLIENT_ERRORS: Final[Mapping[int, Callable[[ErrorDetail, Asked], AzureError]]] = {
    _UNAUTHORIZED: token_refused,
    _FORBIDDEN: _forbidden,
    _NOT_FOUND: _not_found,
    _CONFLICT: busy,
}
