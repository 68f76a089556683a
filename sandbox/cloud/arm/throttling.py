"""Request budgets: a token bucket for each subscription, principal and kind of operation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sandbox.cloud.arm.errors import ArmError

__all__ = ["LIMITS", "RequestBudgets", "TokenBucket", "kind_of"]


@dataclass(slots=True)
class TokenBucket:
    """A token bucket in wall time.

    Attributes:
        capacity: tokens when full.
        refill: tokens a second.
    """

    capacity: float
    refill: float
    tokens: float
    filled_at: float

    def take(self, wall: float, *, enforce: bool) -> float | None:
        """Take a token; return the seconds to wait if the bucket is empty and budgets are enforced."""
        self.tokens = min(self.capacity, self.tokens + max(0.0, wall - self.filled_at) * self.refill)
        self.filled_at = wall
        if self.tokens < 1 and enforce:
            return (1 - self.tokens) / self.refill
        self.tokens = max(0.0, self.tokens - 1)
        return None


LIMITS = {"reads": (250.0, 25.0), "writes": (200.0, 10.0), "deletes": (200.0, 10.0)}
_CONNECTOR_LIMITS = {"reads": (100.0, 100.0), "writes": (250.0, 250.0), "deletes": (250.0, 250.0)}
_KINDS = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}


def kind_of(method: str) -> str:
    """Return the kind of operation that Resource Manager counts an HTTP method as."""
    return _KINDS.get(method, "writes")


class RequestBudgets:
    """The token buckets of all principals; an unused one is full."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str, str], TokenBucket] = {}

    def take(
        self,
        wall: float,
        subscription: str,
        principal: str,
        method: str,
        *,
        enforce: bool,
        connector: bool,
        constant: bool = False,
    ) -> dict[str, str]:
        """Take a token for a request.

        Args:
            wall: current wall time.
            subscription: id.
            principal: object id.
            method: HTTP method, which determines the kind of operation.
            enforce: whether an empty bucket raises an error.
            connector: whether the request is for a connector itself, whose responses show the provider's own counter.
            constant: whether that counter always shows what remains after one request.

        Returns:
            The headers with the remaining requests.

        Raises:
            ArmError: 429 SubscriptionRequestsThrottled.
        """
        kind = kind_of(method)
        bucket = self._bucket((subscription, principal, kind), LIMITS[kind], wall)
        wait = bucket.take(wall, enforce=enforce)
        if wait is not None:
            seconds = max(1, math.ceil(wait))
            message = (
                f"Number of '{kind}' requests for subscription '{subscription}' actor exceeded. Please try again after "
                f"'{seconds}' seconds after additional tokens are available. Refer to "
                "https://aka.ms/arm-throttling for additional information."
            )
            headers = {"Retry-After": str(seconds), f"x-ms-ratelimit-remaining-subscription-{kind}": "0"}
            raise ArmError(429, "SubscriptionRequestsThrottled", message, headers=headers)
        # Connectors show the counter of their provider instead of the one of Resource Manager.
        if not connector:
            return {f"x-ms-ratelimit-remaining-subscription-{kind}": str(int(bucket.tokens))}
        limit = _CONNECTOR_LIMITS[kind]
        remaining = limit[0] - 1
        if not constant:
            connector_bucket = self._bucket((subscription, principal, f"connector-{kind}"), limit, wall)
            connector_bucket.take(wall, enforce=False)
            remaining = connector_bucket.tokens
        return {"x-ms-ratelimit-remaining-subscription-resource-requests": str(int(remaining))}

    def _bucket(self, key: tuple[str, str, str], limit: tuple[float, float], wall: float) -> TokenBucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(*limit, tokens=limit[0], filled_at=wall)
        return bucket
