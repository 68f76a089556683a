from __future__ import annotations

import base64
import json
import secrets
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.telemetry.redaction import redact_log_entry, redact_value

HIDDEN = "**********"


def _part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


JWT = f"{_part({'alg': 'RS256', 'typ': 'JWT'})}.{_part({'sub': 'system:serviceaccount:a:b'})}.c2lnbmF0dXJl-_x"
ENCRYPTED_JWT = f"{_part({'alg': 'RSA-OAEP', 'enc': 'A256GCM'})}.a1.b2.c3.d4"
CODE = "1.AXkA" + "b0" * 40 + ".AgABBAIAAAB-_x"
REFRESH_TOKEN = "0.AXoA" + "Zz9-_" * 30
PERSONAL_CODE = "M.C546_BAY.2.U." + "a1b2-" * 8
CLIENT_SECRET = "abc8Q~" + "Dd9.~_-x" * 4 + "9"
PAT = "a1B2" * 19 + "AZDO" + "x1Y2"
FERNET = "gAAAAABn" + "Qq1-_" * 14 + "=="
PRIVATE_KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nq+/=\n-----END RSA PRIVATE KEY-----"

SECRETS = {
    "a token": JWT,
    "an encrypted token": ENCRYPTED_JWT,
    "a code": CODE,
    "a refresh token": REFRESH_TOKEN,
    "a code of a personal account": PERSONAL_CODE,
    "a client secret": CLIENT_SECRET,
    "a personal access token": PAT,
    "a sealed token": FERNET,
    "a private key": PRIVATE_KEY,
}

FRAMES = {
    "alone": "{}",
    "in a sentence": "Azure said: {} is wrong.",
    "in an error": "ValueError('{}')",
    "in JSON": '{{"x": "{}"}}',
    "in an address": "https://example.test/a?x={}&y=1",
    "as a header": "Authorization: Bearer {}",
    "at the end of a path": "/callback/{}",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_secret_is_known_by_its_shape_wherever_it_stands(secret: str, frame: str) -> None:
    output = redact_value(frame.format(secret))
    assert HIDDEN in output
    assert secret not in output
    assert secret[10:40] not in output


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "access_token",
        "refreshToken",
        "client_secret",
        "Authorization",
        "password",
        "code_verifier",
        "client_assertion",
        "Set-Cookie",
        "api_key",
        "apikey",
        "privateKey",
        "kubectl.kubernetes.io/last-applied-configuration",
    ],
)
def test_a_secret_is_known_by_its_name_at_any_depth(name: str) -> None:
    event: dict[str, Any] = {name: "plain", "deep": {"list": [{name: "plain"}, ({name: b"plain"},)]}}
    assert "plain" not in str(redact_log_entry(None, "info", event))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("token_secret_name", "contoso-tokens"),
        ("secretRef", "arm-credentials"),
        ("token_expires_at", "2026-11-24T05:00:00Z"),
        ("tokens", 7),
        ("secret", None),
        ("has_token", True),
        ("code", "AuthorizationFailed"),
        ("reason", "TokenExchangeFailed"),
        ("credential_type", "ClientSecret"),
    ],
)
def test_what_only_speaks_of_a_secret_is_shown(name: str, value: object) -> None:
    assert redact_log_entry(None, "info", {name: value}) == {name: value}


@pytest.mark.parametrize(
    ("text", "output"),
    [
        (
            "https://management.azure.com/subscriptions/1/operationResults/2?api-version=2025-03-01&t=638&c=MII&s=x-_&h=y",
            (
                "https://management.azure.com/subscriptions/1/operationResults/2"
                f"?api-version=2025-03-01&t={HIDDEN}&c={HIDDEN}&s={HIDDEN}&h={HIDDEN}"
            ),
        ),
        (
            "https://login.example.test/callback?code=abc&state=def",
            f"https://login.example.test/callback?code={HIDDEN}&state={HIDDEN}",
        ),
        ("https://example.test/#access_token=abc&x", f"https://example.test/#access_token={HIDDEN}&x"),
        ("https://user:pass@example.test/path", f"https://{HIDDEN}@example.test/path"),
        ("https://example.test/a?$top=5&api-version=7.1", "https://example.test/a?$top=5&api-version=7.1"),
        ("'https://example.test/a?sv=1&sig=abc', then", f"'https://example.test/a?sv={HIDDEN}&sig={HIDDEN}', then"),
        (
            "grant_type=refresh_token&refresh_token=abc&client_id=1",
            f"grant_type=refresh_token&refresh_token={HIDDEN}&client_id=1",
        ),
        ("client_secret=abc", f"client_secret={HIDDEN}"),
        ('{"refresh_token": "a\\"bc", "expires_in": 5}', f'{{"refresh_token": "{HIDDEN}", "expires_in": 5}}'),
        ("{'access_token': 'abc'}", f"{{'access_token': \"{HIDDEN}\"}}"),
        ('{"code": "abc"}', f'{{"code": "{HIDDEN}"}}'),
    ],
)
def test_addresses_forms_and_json_keep_all_but_their_secrets(text: str, output: str) -> None:
    assert redact_value(text) == output


@pytest.mark.parametrize(
    "text",
    [
        "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/rg-devops-security/providers/Microsoft.Security",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "connector security/contoso-adventure-works is Ready",
        "HTTP 404: code ResourceNotFound",
        "2026-11-24T05:00:00.123456Z",
        "0.1.0",
        "mdc-devops-connector@contoso.com",
        "defender-devops-operator-7c9d8b6f5-x2x4z",
        "Basic access level is enough",
    ],
)
def test_what_people_need_to_read_is_shown(text: str) -> None:
    assert redact_value(text) == text


@given(st.text())
def test_redacting_never_fails_and_redacting_again_changes_nothing(text: str) -> None:
    once = redact_value(text)
    assert redact_value(once) == once


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=20))
STRUCTURES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=10), inner))


@given(STRUCTURES, st.data())
def test_a_token_is_found_however_deep_it_lies(structure: Any, data: st.DataObject) -> None:  # noqa: ANN401
    wrap = data.draw(
        st.sampled_from([lambda x: [x], lambda x: {"a": x}, lambda x: (structure, x), lambda x: {"a": [x]}])
    )
    assert JWT not in str(redact_value(wrap(wrap(f"x {JWT}"))))


def test_random_values_of_the_length_of_our_own_keys_do_not_pass_by_name() -> None:
    assert redact_log_entry(None, "info", {"sealing_secret": secrets.token_hex(32)}) == {"sealing_secret": HIDDEN}
