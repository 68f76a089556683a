"""Converts HTTP responses of Azure Resource Manager into errors of `defender_devops.errors`.

The code decides, and the HTTP status only where the code is unknown. Every message says what failed for which identity,
and what to do about it. No part of a message changes between attempts (no times, no request ids): messages end in
conditions, and each change of a condition is a write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from defender_devops.azure.arm.error_body import ErrorDetail, parse_error
from defender_devops.azure.arm.error_codes import RequestContext, rule_for_error_code, rule_for_http_status
from defender_devops.errors import WILL_RETRY, AzureError, AzureUnavailable, Throttled
from defender_devops.http_client import RETRY_AFTER_MAX, retry_after_seconds

__all__ = ["HttpResponse", "RequestContext", "arm_error_for_response", "arm_retry_after_seconds"]

_TOO_MANY_REQUESTS: Final = 429
_CONCLUSIVE: Final = frozenset(range(400, 500)) - {401, 403, 408, 409, 412, 429}
"""Statuses from which something would follow that is not so where a proxy sent them: above all, that a resource does
not exist. Those that are missing here lead to a retry, or are denials, which Azure may send without a body."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An HTTP response with its whole body.

    Attributes:
        status: HTTP status.
        headers: by name in lower case.
        body: as received.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


def arm_retry_after_seconds(response: HttpResponse, now: float) -> float | None:
    """Return the seconds that the service demands to wait, at most an hour, or None where it demands nothing.

    Args:
        response: any response, also a successful one.
        now: seconds since the epoch, for a Retry-After that is a date.
    """
    seconds = retry_after_seconds(response.headers.get("retry-after"), now)
    if seconds is None:  # Resource Graph's header, a duration as hh:mm:ss
        quota = response.headers.get("x-ms-user-quota-resets-after", "").strip()
        if match := re.fullmatch(r"([0-9]{1,2}):([0-9]{2}):([0-9]{2})", quota):
            seconds = min(int(match[1]) * 3600.0 + int(match[2]) * 60.0 + int(match[3]), RETRY_AFTER_MAX)
    return seconds


def arm_error_for_response(response: HttpResponse, context: RequestContext, now: float) -> AzureError:
    """Return the error of a response that is not 2xx.

    Args:
        response: the response.
        context: the request.
        now: seconds since the epoch.
    """
    detail = parse_error(response.body)
    if detail.is_html:
        error = _from_html(response, context)
    elif response.status in _CONCLUSIVE and not detail.is_azure:
        error = AzureUnavailable(
            f"The request to {context.operation} got HTTP {response.status} without an error of Azure Resource "
            f"Manager. {WILL_RETRY} If the problem persists, check the proxies and gateways between the operator and "
            "Azure."
        )
    else:
        error = _from_detail(detail, context, response.status)
    error.status = response.status
    error.retry_after = arm_retry_after_seconds(response, now)
    return error


def _from_html(response: HttpResponse, context: RequestContext) -> AzureError:
    error_class = Throttled if response.status == _TOO_MANY_REQUESTS else AzureUnavailable
    return error_class(
        f"The request to {context.operation} got an HTML page with HTTP {response.status} instead of a response of "
        f"Azure Resource Manager. {WILL_RETRY} If the problem persists, check the proxies and firewalls between the "
        "operator and Azure."
    )


def _from_detail(detail: ErrorDetail, context: RequestContext, status: int) -> AzureError:
    for nested in detail.walk():
        if (rule := rule_for_error_code(nested.code)) is not None:
            error, code = rule.build(nested, detail, context, status), nested.code
            break
    else:
        error = rule_for_http_status(status, detail, context).build(detail, detail, context, status)
        code = detail.code
    error.code = code or None
    return error
