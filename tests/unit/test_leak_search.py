"""The search for secrets finds what it is made to find; else a test that finds nothing would say nothing."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.leak_search import find_leaks

SECRET = "Canary+ü/ =?&%'\"\\0123"
TOKEN = "1.AXkA" + "".join(chr(97 + number % 26) for number in range(200))
WHERE = {
    "plain": lambda secret: f"the token {secret} is bad",
    "JSON": lambda secret: json.dumps({"token": secret}),
    "a repr": lambda secret: repr({"token": secret}),
    "an address": lambda secret: f"https://example.com/?code={quote(secret, safe='')}&state=x",
    "a form": lambda secret: urlencode({"client_secret": secret}),
    "a query": lambda secret: f"?a={quote_plus(secret)}",
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 for addresses": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode().rstrip("="),
    "hex": lambda secret: secret.encode().hex(),
}


@pytest.mark.parametrize("secret", [SECRET, TOKEN], ids=["short", "long"])
@pytest.mark.parametrize("write", WHERE.values(), ids=WHERE)
def test_a_secret_is_found_however_it_is_written(write, secret: str) -> None:  # noqa: ANN001 - a table of functions
    assert find_leaks(write(secret), {"it": [secret]})
    assert not find_leaks(write("nothing of the kind"), {"it": [secret]})


@given(st.binary(max_size=7), st.binary(max_size=7), st.sampled_from([SECRET, TOKEN]))
def test_a_secret_in_the_midst_of_something_encoded_is_found(prefix: bytes, suffix: bytes, secret: str) -> None:
    assert find_leaks(base64.b64encode(prefix + secret.encode() + suffix).decode(), {"it": [secret]})


@pytest.mark.parametrize("part", [TOKEN[:40], TOKEN[80:150]])
def test_a_piece_of_a_long_secret_is_found(part: str) -> None:
    assert find_leaks(f"token {part}…", {"it": [TOKEN]})


@pytest.mark.parametrize(
    "text",
    [
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQifQ.c2ln",
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
        "https://management.azure.com/x?api-version=2025-03-01&t=1&c=MIIabcdefghijklmnopqrstuvw",
    ],
    ids=["a token", "a key", "a signed address"],
)
def test_what_was_not_planted_gives_itself_away(text: str) -> None:
    assert find_leaks(text, {})
