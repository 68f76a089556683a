"""Defender's one-time code in what people paste."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from defender_devops.authorization_code.code import InvalidCode, parse_code


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


CODE = f"{part({'typ': 'JWT', 'alg': 'RS256', 'x5t': 'abc'})}.{part({'aui': 'x', 'exp': 1})}.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "pasted",
    [
        CODE,
        f"  {CODE}\n",
        f"{CODE[:40]}\r\n   {CODE[40:]}",
        f"https://portal.azure.com/TokenAuthorize?code={CODE}&state=abc",
        f"https://portal.azure.com/TokenAuthorize?state=abc&code={quote(CODE)}",
        f"https://portal.azure.com/#code={CODE}&state=1",
    ],
    ids=["plain", "with space around", "broken over lines", "address", "escaped address", "in the fragment"],
)
def test_the_code_is_extracted_from_the_pasted_text(pasted: str) -> None:
    assert parse_code(SecretStr(pasted)).get_secret_value() == CODE


@pytest.mark.parametrize(
    ("pasted", "message"),
    [
        ("", "Nothing was pasted"),
        (" \n\t", "Nothing was pasted"),
        ("0.AXkA_secret-canary", "code of Entra ID"),
        ("1.AXkA_secret-canary", "code of Entra ID"),
        ("M.C507_BL2.2.U.secret-canary", "code of Entra ID"),
        ("https://localhost/?code=1.Asecret-canary&session_state=1", "code of Entra ID"),
        ("https://portal.azure.com/?error=access_denied", "refusal"),
        ("https://portal.azure.com/?state=secret-canary", "no code"),
        ("https://[broken", "not a valid one"),
        (CODE.rsplit(".", 1)[0], "cut off"),
        (CODE[10:], "cut off"),
        ("a.b.c", "cannot be decoded"),
        (f"{part([1])}.{part({})}.x", "cannot be decoded"),
        ("secret-canary", "three parts"),
        ("x" * 20_000, "longer than any code"),
    ],
)
def test_an_invalid_code_is_rejected_before_it_is_sent_and_not_repeated(pasted: str, message: str) -> None:
    with pytest.raises(InvalidCode, match=message) as caught:
        parse_code(SecretStr(pasted))
    assert "canary" not in str(caught.value)


@given(st.text(max_size=300) | st.from_regex(r"https://[a-z]{1,5}/\?code=.{0,40}"))
@example("https://a/?code=a.b.c")
def test_any_text_is_a_code_or_is_rejected(pasted: str) -> None:
    try:
        code = parse_code(SecretStr(pasted)).get_secret_value()
    except InvalidCode:
        return
    assert len(code.split(".")) == 3
