from __future__ import annotations

from collections.abc import Iterator

import pytest

from defender_devops import errors
from defender_devops.errors import ErrorCategory, OperatorError


def subclasses(error: type[OperatorError]) -> Iterator[type[OperatorError]]:
    for subclass in error.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


LEAVES = [
    error for error in subclasses(OperatorError) if error.__module__ == errors.__name__ and not error.__subclasses__()
]


@pytest.mark.parametrize("error", LEAVES)
def test_every_error_has_a_category(error: type[OperatorError]) -> None:
    assert error.category is not ErrorCategory.UNKNOWN


@pytest.mark.parametrize("error", LEAVES)
def test_a_transient_error_is_never_terminal(error: type[OperatorError]) -> None:
    if error.category in (ErrorCategory.TRANSIENT, ErrorCategory.ABSENT):
        assert not error.terminal


def test_only_a_failed_token_exchange_concerns_defenders_authorization() -> None:
    assert [error for error in LEAVES if error("x").concerns_defender_authorization] == [errors.TokenExchangeFailed]
