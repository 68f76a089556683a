"""A failure of a read or of an action, in the words of a condition."""

from __future__ import annotations

from dataclasses import dataclass

from defender_devops.errors import AzureError, ErrorCategory, OperatorError

__all__ = ["Failure", "failure_of_error"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A read or an action that failed, as the condition that it ends in.

    Attributes:
        reason: reason of that condition.
        message: what happened and how to fix it; contains no secret.
        terminal: a retry does not help; a person has to act.
        retry_after: seconds that the service asked to wait.
        code: Azure's error code, if it sent one.
        category: what it concerns: Defender's authorization, the operator's own access, or something else.
    """

    reason: str
    message: str
    terminal: bool = False
    retry_after: float | None = None
    code: str | None = None
    category: ErrorCategory = ErrorCategory.UNKNOWN


def failure_of_error(error: OperatorError) -> Failure:
    """Return the failure that an error stands for."""
    return Failure(
        reason=error.reason,
        message=error.message,
        terminal=error.terminal,
        retry_after=error.retry_after,
        code=error.code if isinstance(error, AzureError) else None,
        category=error.category,
    )
