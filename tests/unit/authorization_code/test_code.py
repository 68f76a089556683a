"""Defender's one-time code in what people paste."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from defender_devops.api.names import TOKEN_SECRET_TYPE
from defender_devops.authorization_code.code import (
    CODE_KEY,
    InvalidCode,
    check_code_secret_type,
    code_warning,
    parse_code,
)


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
        f"https://portal.azure.com/TokenAuthorize?state=%7B%22a%22%3A1%7D&code={CODE}",
        f"Location: https://portal.azure.com/TokenAuthorize?code={CODE}",
        f"portal.azure.com/TokenAuthorize?code={CODE}",
        f"localhost:8400/?state=1&code={CODE}",
        f"?code={CODE}&state=1",
        f"code={CODE}",
        f"#state=1&code={CODE}",
        CODE.replace(".", "%2E"),
        base64.b64encode(CODE.encode()).decode(),
        base64.b64encode(f"{CODE}\n".encode()).decode(),
    ],
    ids=[
        "plain",
        "with space around",
        "broken over lines",
        "address",
        "escaped address",
        "in the fragment",
        "address with an escaped state",
        "header with the address",
        "address without scheme",
        "address of this computer",
        "query",
        "parameter",
        "fragment",
        "escaped",
        "base64",
        "base64 of a line",
    ],
)
def test_the_code_is_extracted_from_the_pasted_text(pasted: str) -> None:
    assert parse_code(SecretStr(pasted)).get_secret_value() == CODE


def jwt(**claims: object) -> str:
    return f"{part({'alg': 'RS256'})}.{part(claims)}.canary"


OTHER_SECRETS: list[tuple[str, str]] = [
    ("0.AXkA_secret-canary", "refresh token of Entra ID"),
    ("1.AXkA_secret-canary", "refresh token of Entra ID"),
    ("M.C507_BL2.2.U.secret-canary", "refresh token of Entra ID"),
    ("https://localhost/?code=1.Asecret-canary&session_state=1", "refresh token of Entra ID"),
    ("abc8Q~canary" + "x" * 28, "client secret of Entra ID"),
    ("canary" + "a" * 70 + "AZDOabcd", "personal access token"),
    ("canary" + "a" * 46, "personal access token"),
    ("ghp_canary", "Git service"),
    ("-----BEGIN RSA PRIVATE KEY-----canary", "a key or a certificate"),
    ('{"auths":{"canary":1}}', "a configuration file"),
    ("apiVersion: v1\nkind: Config\nusers: [canary]", "a configuration file"),
    ("-rw canary&", "characters that no code has"),
    ("canary.0123456789abcdef", "a bootstrap token"),
    ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCcanary", "a key or a certificate"),
    ("ssh-rsa AAAAB3Nzacanary", "a key of SSH"),
    ("AKIA" + "CANARY2222222222", "an access key of AWS"),
    ("xoxb-1234-canary", "an access token of another service"),
    ("canary" + "A" * 80 + "==", "a key of Azure"),
    (jwt(iss="https://localhost:8443/canary"), "localhost"),
    (jwt(iss="https://[fd00::1]/canary"), "fd00::1"),
    ("p\xe4ssw\xf6rt-canary", "characters that no code has"),
    (
        jwt(iss="https://kubernetes.default.svc.cluster.local", sub="system:serviceaccount:a:b"),
        "Kubernetes service account",
    ),
    (jwt(iss="kubernetes/serviceaccount", **{"kubernetes.io": {}}), "Kubernetes service account"),
    (jwt(iss="https://oidc.eks.eu-west-1.amazonaws.com/id/A", aud=["sts.amazonaws.com"]), "amazonaws.com"),
    (jwt(iss="https://sts.windows.net/tenant/", aud="499b84ac-1321-427f-aa17-267ca6975798"), "Entra ID"),
    (jwt(iss="https://login.microsoftonline.com/tenant/v2.0", aud="client"), "Entra ID"),
    (jwt(aud="https://management.azure.com/"), "management.azure.com"),
    (jwt(aud=["app.vstoken.visualstudio.com", "https://graph.microsoft.com"]), "graph.microsoft.com"),
    (jwt(iss="https://token.actions.githubusercontent.com"), "githubusercontent.com"),
    (jwt(iss="https://accounts.google.com"), "accounts.google.com"),
    (jwt(iss="https://visualstudio.com.evil.example"), "evil.example"),
]


@pytest.mark.parametrize(("pasted", "message"), OTHER_SECRETS, ids=range(len(OTHER_SECRETS)))
def test_what_is_certainly_something_else_is_rejected_and_not_repeated(pasted: str, message: str) -> None:
    with pytest.raises(InvalidCode, match=message) as caught:
        parse_code(SecretStr(pasted))
    assert "canary" not in str(caught.value)


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "wrap",
    [
        base64_of,
        lambda text: base64_of(base64_of(text)),
        lambda text: base64_of(text + "\n"),
        lambda text: quote(text, safe="").replace(".", "%2E"),
        lambda text: "https://example.com/?code=" + quote(quote(text, safe=""), safe=""),
        lambda text: "https://example.com/#code=" + quote(base64_of(text), safe=""),
    ],
    ids=["base64", "base64 twice", "base64 of a line", "escaped", "escaped in an address", "base64 in an address"],
)
@pytest.mark.parametrize("secret", [secret for secret, _ in OTHER_SECRETS if "://" not in secret[:12]])
def test_what_is_certainly_something_else_is_recognized_in_any_wrapping(
    secret: str, wrap: Callable[[str], str]
) -> None:
    if not secret.isascii() or secret.startswith("-rw"):
        return  # recognized by its characters alone, which an encoding replaces
    with pytest.raises(InvalidCode) as caught:
        parse_code(SecretStr(wrap(secret)))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer%20", "token=", "token: "])
def test_a_token_with_its_scheme_is_recognized(scheme: str) -> None:
    with pytest.raises(InvalidCode, match="Kubernetes service account"):
        parse_code(SecretStr(scheme + jwt(sub="system:serviceaccount:a:b") + "."))


@pytest.mark.parametrize(
    ("pasted", "message"),
    [
        ("", "Nothing was pasted"),
        (" \n\t", "Nothing was pasted"),
        ("https://portal.azure.com/?error=access_denied", "refusal"),
        ("https://portal.azure.com/?state=secret-canary", "no code"),
        ("https://[broken", "not a valid one"),
        ("x" * 20_000, "longer than any code"),
    ],
)
def test_a_text_without_a_code_is_rejected(pasted: str, message: str) -> None:
    with pytest.raises(InvalidCode, match=message) as caught:
        parse_code(SecretStr(pasted))
    assert "canary" not in str(caught.value)


NO_CODES = [
    ("1234567890", "a number"),
    ("F7XK9PQRS", "device sign-in"),
    ("ABCD-EFGH", "device sign-in"),
    ("11111111-2222-3333-4444-AAAAAAAAAAAA", "an id"),
    ("/subscriptions/1/resourceGroups/rg/providers/Microsoft.Security/securityConnectors/canary", "a path"),
    ("subscriptions/1/resourceGroups/canary", "a path"),
    ("/etc/secrets/canary", "a path"),
    ("~/canary/code.txt", "a path"),
    ("REPLACE_ME", "a placeholder"),
    ("paste-the-one-time-code-here", "a placeholder"),
    ("changeme", "a placeholder"),
    ("xxxxxxxxxxxxxxxxxxxxxxxx", "a placeholder"),
    ("hunter2", "shorter than any code"),
    ("a.b.c", "shorter than any code"),
    ("dev.azure.com/canary", "holds no code"),
    ("https://dev.azure.com/canary", "holds no code"),
    ("state=canary", "holds no code"),
    ("?error=access_denied", "refusal"),
    ("mdc@canary.example", "characters that no code has"),
    ('{"code": "canary"}', "a JSON document"),
    ("code: canary-canary", "characters that no code has"),
    (f"Bearer {CODE}", "a header for authentication"),
    ("Basic " + base64.b64encode(b"canary:canary-canary").decode(), "a header for authentication"),
    (base64.b64encode(f"Bearer {CODE}".encode()).decode(), "a header for authentication"),
    (base64.b64encode(b"canary:canary-canary").decode(), "encoded text"),
    (base64.b64encode(b":" + b"canary" + b"a" * 46).decode(), "personal access token"),
    (base64.b64encode(b"user: canary\npassword: canary\n").decode(), "encoded text"),
    (f"{CODE}\n{CODE}", "several codes"),
    ("DefaultEndpointsProtocol=https;AccountName=canary;AccountKey=canary", "a connection string"),
]


@pytest.mark.parametrize(("pasted", "message"), NO_CODES, ids=range(len(NO_CODES)))
def test_what_cannot_be_a_code_is_rejected_with_what_to_paste_and_not_repeated(pasted: str, message: str) -> None:
    with pytest.raises(InvalidCode, match=message) as caught:
        parse_code(SecretStr(pasted))
    assert "canary" not in str(caught.value)
    assert re.search("Paste the|paste the|Get a code|authorize again", str(caught.value))


@pytest.mark.parametrize("length", [1_000, 16_000])
@pytest.mark.parametrize("character", ["a", "A", "1", ".", "-", "/", ":", "=", "%41", "eyJ.", "a.", "://"])
def test_the_time_to_examine_a_long_text_is_bounded(character: str, length: int) -> None:
    start = time.perf_counter()
    with contextlib.suppress(InvalidCode):
        parse_code(SecretStr((character * length)[:length]))
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"iss": "app.vstoken.visualstudio.com", "aud": "app.vstoken.visualstudio.com|vso:1"},
        {"iss": "vstoken", "aud": None, "sub": 7},
        {"iss": "https://app.vssps.visualstudio.com", "aud": ["https://dev.azure.com"]},
        {"iss": "https://[broken", "aud": {"a": 1}},
    ],
)
def test_claims_that_decide_nothing_let_a_code_pass(claims: dict[str, object]) -> None:
    code = SecretStr(jwt(**claims))
    assert parse_code(code) == code
    assert code_warning(code) is None


@pytest.mark.parametrize(
    "code",
    [
        CODE.rsplit(".", 1)[0],
        CODE[10:],
        "a.b.c.d.e",
        f"{part([1])}.{part({})}.x",
        "opaque-value",
        f"{CODE}.four.five",
    ],
)
def test_an_unusual_format_is_a_warning_and_no_rejection(code: str) -> None:
    assert parse_code(SecretStr(code)) == SecretStr(code)
    warning = code_warning(SecretStr(code))
    assert warning
    assert code not in warning


@pytest.mark.parametrize(
    ("secret_type", "key", "accepted"),
    [
        ("Opaque", "code", True),
        (TOKEN_SECRET_TYPE, CODE_KEY, True),
        (TOKEN_SECRET_TYPE, "refresh-token", False),
        (TOKEN_SECRET_TYPE, "access-token", False),
        ("kubernetes.io/service-account-token", "token", False),
        ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", False),
        ("kubernetes.io/tls", "tls.key", False),
        ("helm.sh/release.v1", "release", False),
        ("defender-devops.io/signin-key", "key", False),
    ],
)
def test_only_secrets_that_can_hold_a_code_are_read_as_one(secret_type: str, key: str, accepted: bool) -> None:
    if accepted:
        check_code_secret_type(secret_type, key)
    else:
        with pytest.raises(InvalidCode, match=f"type {secret_type}"):
            check_code_secret_type(secret_type, key)


@given(st.text(max_size=300) | st.from_regex(r"https://[a-z]{1,5}/\?code=.{0,40}"))
@example("https://a/?code=a.b.c")
def test_any_text_is_a_code_or_is_rejected(pasted: str) -> None:
    try:
        code = parse_code(SecretStr(pasted)).get_secret_value()
    except InvalidCode:
        return
    assert code.isascii()
    assert code.isprintable()
    code_warning(SecretStr(code))
