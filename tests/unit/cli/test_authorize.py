from __future__ import annotations

import pytest

from defender_devops.api.connector import parse_connector
from defender_devops.cli.authorize import page_of
from defender_devops.cli.exit_codes import CommandFailed, ExitCode
from tests.support.manifests import CLIENT, connector

SIGN_IN = f"signIn: {{method: AuthorizationCode, account: a@b.c, {CLIENT}}}"


def page(spec: str = SIGN_IN, url: str | None = None) -> str:
    status = {"signIn": {"url": url}} if url else {}
    return page_of(parse_connector(connector(spec) | {"status": status}))


SAFE = ["https://signin.example/connectors/u/s", "http://localhost:8081/connectors/u/s", "http://127.0.0.1/x"]


@pytest.mark.parametrize("url", SAFE)
def test_a_page_is_opened_over_https_or_on_this_machine(url: str) -> None:
    assert page(url=url) == url


UNSAFE = ["http://signin.example/x", "file:///etc/passwd", "javascript:alert(1)", "--help", "ftp://localhost/x"]


@pytest.mark.parametrize("url", UNSAFE)
def test_no_browser_is_sent_anywhere_else(url: str) -> None:
    with pytest.raises(CommandFailed, match="no https address") as caught:
        page(url=url)
    assert caught.value.exit_code is ExitCode.NOT_OK


WITHOUT = [
    (SIGN_IN, "no sign-in page yet"),
    ("{}", "authorize connector contoso in the portal"),
    ("authorization: {account: a@b.c}", "in the environment settings of Defender for Cloud as a@b.c"),
    ("authorization: {method: Code, codeSecretRef: {name: s, key: k}}", "into key k of Secret s"),
]


@pytest.mark.parametrize(("spec", "words"), WITHOUT)
def test_without_a_page_it_says_where_to_authorize(spec: str, words: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        page(spec)
    assert words in caught.value.message
