"""The account in the claims of a one-time code."""

from __future__ import annotations

import base64
import json

import pytest
from pydantic import SecretStr

from defender_devops.authorization_code.claims import account_in_code


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def code(claims: object) -> SecretStr:
    return SecretStr(f"{segment({'alg': 'RS256'})}.{segment(claims)}.c2lnbmF0dXJl")


@pytest.mark.parametrize(
    ("claims", "account"),
    [
        ({"upn": "alex@contoso.com"}, "alex@contoso.com"),
        ({"preferred_username": "alex@contoso.com"}, "alex@contoso.com"),
        ({"unique_name": "alex@contoso.com", "nameid": "77"}, "alex@contoso.com"),
        ({"upn": "alex", "email": "alex@contoso.com"}, "alex@contoso.com"),
        ({"upn": "a\x1b[2J@contoso.com"}, "a\\x1b[2J@contoso.com"),
        ({"nameid": "77"}, None),
        ({"upn": 7}, None),
        ({"upn": "a@" + "b" * 300}, None),
        ([], None),
        ("alex@contoso.com", None),
        (None, None),
    ],
)
def test_the_account_is_read_from_the_claims_if_they_contain_one(claims: object, account: str | None) -> None:
    assert account_in_code(code(claims)) == account


@pytest.mark.parametrize("text", ["", "one", "a.b", "a.b.c", "..", "a.!!!.c", f"a.{'W' * 9000}.c"])
def test_a_code_that_cannot_be_decoded_has_no_account(text: str) -> None:
    assert account_in_code(SecretStr(text)) is None


def test_an_account_that_does_not_fit_into_a_status_counts_as_unknown() -> None:
    """Escaped it may be longer than the status allows, which is written before the code is sent."""
    account = account_in_code(code({"upn": "a" * 200 + "\x1b" * 20 + "@contoso.com"}))
    assert account is None
