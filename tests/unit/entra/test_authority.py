"""AZURE_AUTHORITY_HOST as files and people write it, and what is rejected by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.entra.authority import DEFAULT_AUTHORITY_HOST, parse_authority_host
from defender_devops.settings import Settings


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", DEFAULT_AUTHORITY_HOST),
        (" \n", DEFAULT_AUTHORITY_HOST),
        ("login.microsoftonline.com", "https://login.microsoftonline.com"),
        ("https://login.microsoftonline.com/\r\n", "https://login.microsoftonline.com"),
        ("\ufeffhttps://login.microsoftonline.com//\n", "https://login.microsoftonline.com"),
        ("\tHTTPS://login.microsoftonline.us ", "HTTPS://login.microsoftonline.us"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("http://127.0.0.1:8443", "http://127.0.0.1:8443"),
    ],
)
def test_addresses(value: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_authority_host(value) == expected
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", value)
    assert Settings().authority_host == expected


@pytest.mark.parametrize(
    ("value", "phrase"),
    [
        ("http://login.canary.com", "https"),
        ("https://user:canary@login.example.com", "address of Entra ID"),
        ("https://login.example.com/canary", "without a path"),
        ("https://login.example.com?canary", "address of Entra ID"),
        ("https://", "address of Entra ID"),
        ("https://login.canary.com:port", "Port"),
        ("https://login\u200b.canary.com", "ZERO WIDTH SPACE"),
    ],
)
def test_what_is_no_address_is_rejected_without_its_value(value: str, phrase: str) -> None:
    with pytest.raises(ValueError, match=f"(?i){phrase}") as invalid:
        parse_authority_host(value)
    assert "canary" not in str(invalid.value)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = parse_authority_host(text)
    except ValueError:
        return
    assert address.isprintable()
    assert not address.endswith("/")
    assert parse_authority_host(address) == address
