"""Validation of request bodies, with the errors of the DevOps provider."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.cloud.arm.errors import ArmError

__all__ = ["bad_request", "check_choice", "check_strings"]


def bad_request(target: str, complaint: str) -> ArmError:
    """400 BadRequest about a field."""
    return ArmError(400, "BadRequest", f"The field '{target}' {complaint}.", target=target)


def check_choice(target: str, value: object, choices: Sequence[str]) -> None:
    """Check that a value is absent or one of the choices.

    Raises:
        ArmError: it is something else.
    """
    if value is not None and value not in choices:
        raise bad_request(target, f"is '{value}', but must be one of {', '.join(choices)}")


def check_strings(target: str, value: object) -> list[str] | None:
    """Check that a value is absent or a list of strings, and return a copy.

    Raises:
        ArmError: it is something else.
    """
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise bad_request(target, "must be a list of strings")
    return list(value)
