from __future__ import annotations

import contextlib
import sys
import webbrowser
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from defender_devops.api.connector import parse_connector
from defender_devops.cli import authorize
from defender_devops.cli.authorize import open_sign_in_page, sign_in_page
from defender_devops.cli.cluster_target import ClusterTarget
from defender_devops.cli.exit_codes import CommandFailed, ExitCode
from tests.support.manifests import CLIENT, connector

SIGN_IN = f"signIn: {{method: AuthorizationCode, account: a@b.c, {CLIENT}}}"


def page(spec: str = SIGN_IN, url: str | None = None) -> str:
    status = {"signIn": {"url": url}} if url else {}
    return sign_in_page(parse_connector(connector(spec) | {"status": status}))


SAFE = ["https://signin.example/connectors/u/s", "http://localhost:8081/connectors/u/s", "http://127.0.0.1/x"]


@pytest.mark.parametrize("url", SAFE)
def test_a_page_with_https_or_on_localhost_is_opened(url: str) -> None:
    assert page(url=url) == url


UNSAFE = [
    "http://signin.example/x",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "--help",
    "ftp://localhost/x",
    "https://a.example/\x1b",
]


@pytest.mark.parametrize("url", UNSAFE)
def test_other_addresses_are_not_opened(url: str) -> None:
    with pytest.raises(CommandFailed, match="not an https address") as error_info:
        page(url=url)
    assert error_info.value.exit_code is ExitCode.NOT_OK


NO_PAGE = [
    (SIGN_IN, "no sign-in page yet"),
    ("{}", "authorize connector contoso in the portal"),
    ("authorization: {account: a@b.c}", "in the environment settings of Defender for Cloud as a@b.c"),
    ("authorization: {method: Code, codeSecretRef: {name: s, key: k}}", "into key k of Secret s"),
]


@pytest.mark.parametrize(("spec", "message"), NO_PAGE)
def test_without_a_page_the_message_says_where_to_authorize(spec: str, message: str) -> None:
    with pytest.raises(CommandFailed) as error_info:
        page(spec)
    assert message in error_info.value.message


async def test_the_account_of_the_page_is_named_and_not_the_one_that_authorizes_defender(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page accepts no other account."""
    body = connector("{" + SIGN_IN + ", authorization: {account: defender@b.c}}")
    body["status"] = {"signIn": {"url": SAFE[0]}}

    async def find(_name: str) -> dict[str, Any]:
        return body

    @contextlib.asynccontextmanager
    async def open_cluster(_target: ClusterTarget) -> AsyncIterator[SimpleNamespace]:
        yield SimpleNamespace(find=find)

    monkeypatch.setattr(authorize, "open_cluster", open_cluster)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(webbrowser, "open", lambda _page: True)
    monkeypatch.setenv("DISPLAY", ":0")
    assert await open_sign_in_page(ClusterTarget(), "security/contoso", only_print=False) is ExitCode.OK
    assert capsys.readouterr().out == f"Opening {SAFE[0]}\nSign in as a@b.c.\n"
