"""Defender's one-time code in what people paste."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from defender_devops.api.connector import parse_connector
from defender_devops.signin.authorization_code import DefenderCodes, NotACode, read_code
from defender_devops.signin.tokens.record import fingerprint
from tests.support.fakes.sign_in import SignInSetup, connector


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
def test_the_code_is_found_in_whatever_was_pasted(pasted: str) -> None:
    assert read_code(SecretStr(pasted)).get_secret_value() == CODE


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        ("", "Nothing was pasted"),
        (" \n\t", "Nothing was pasted"),
        ("0.AXkA_secret-canary", "code of Entra ID"),
        ("1.AXkA_secret-canary", "code of Entra ID"),
        ("M.C507_BL2.2.U.secret-canary", "code of Entra ID"),
        ("https://localhost/?code=1.Asecret-canary&session_state=1", "code of Entra ID"),
        ("https://portal.azure.com/?error=access_denied", "refusal"),
        ("https://portal.azure.com/?state=secret-canary", "no code"),
        ("https://[broken", "is none"),
        (CODE.rsplit(".", 1)[0], "cut off"),
        (CODE[10:], "cut off"),
        ("a.b.c", "cannot be read"),
        (f"{part([1])}.{part({})}.x", "cannot be read"),
        ("secret-canary", "three parts"),
        ("x" * 20_000, "far too long"),
    ],
)
def test_what_is_no_code_is_told_before_it_is_spent_and_not_repeated(pasted: str, words: str) -> None:
    with pytest.raises(NotACode, match=words) as caught:
        read_code(SecretStr(pasted))
    assert "canary" not in str(caught.value)


@given(st.text(max_size=300) | st.from_regex(r"https://[a-z]{1,5}/\?code=.{0,40}"))
@example("https://a/?code=a.b.c")
def test_anything_pasted_is_a_code_or_refused(pasted: str) -> None:
    try:
        code = read_code(SecretStr(pasted)).get_secret_value()
    except NotACode:
        return
    assert len(code.split(".")) == 3


async def test_a_code_is_kept_until_exactly_that_one_is_discarded(world: SignInSetup) -> None:
    codes, contoso = world.package.codes, connector()
    await codes.put(contoso, SecretStr(CODE))
    assert (await codes.get(contoso)) == SecretStr(CODE)
    await codes.discard(contoso, fingerprint(SecretStr("another")))
    assert (await codes.get(contoso)) == SecretStr(CODE)
    await codes.discard(contoso, fingerprint(SecretStr(CODE)))
    assert (await codes.get(contoso)) is None


@pytest.mark.parametrize("written", ["codeHash", "spentCodeHashes"])
async def test_a_code_that_was_sent_is_removed_and_never_given_out_again(world: SignInSetup, written: str) -> None:
    codes, contoso = world.package.codes, connector()
    await codes.put(contoso, SecretStr(CODE))
    sent = fingerprint(SecretStr(CODE))
    body = contoso.dump() | {"status": {"authorization": {written: sent if written == "codeHash" else [sent]}}}
    assert (await codes.get(parse_connector(body))) is None
    assert world.stored("defender-code") is None


async def test_a_code_and_a_sign_in_in_the_same_secret_do_not_disturb_each_other(world: SignInSetup) -> None:
    contoso = connector()
    await world.package.codes.put(contoso, SecretStr(CODE))
    store = world.sign_ins.renewal.store
    await store.change(
        contoso, lambda record: type(record)(**{**vars(record), "refresh_token": SecretStr("refresh-0")})
    )
    await world.sign_ins.state(contoso)
    assert world.stored("refresh-token") == "refresh-1"
    assert (await DefenderCodes(store).get(contoso)) == SecretStr(CODE)
