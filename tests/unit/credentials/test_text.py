from __future__ import annotations

import base64
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretBytes, SecretStr

from defender_devops.credentials.text import (
    InvalidCredential,
    check_credential_secret_type,
    client_secret_text,
    credential_text,
    refresh_token_text,
)

BOM = "\ufeff"
PRINTABLE = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1)


@pytest.mark.parametrize(
    "value",
    [
        "secret",
        "secret\n",
        "secret\r\n",
        " \tsecret\u00a0",
        f"{BOM}secret",
        f"{BOM}secret\r\n",
        f"\n{BOM} secret {BOM}",
    ],
    ids=repr,
)
def test_white_space_and_byte_order_mark_are_removed_from_every_kind_of_value(value: str) -> None:
    for kind in (value, value.encode(), SecretStr(value), SecretBytes(value.encode())):
        assert credential_text(kind).get_secret_value() == "secret"


@given(PRINTABLE)
def test_everything_printable_is_kept(value: str) -> None:
    assert credential_text(f" {value}\r\n").get_secret_value() == value


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("sec\u200bret", "U+200B (zero width space)"),
        ("sec\nret", "U+000A"),
        ("sec\x00ret", "U+0000"),
        ("sec\u202eret", "U+202E (right-to-left override)"),
        (f"sec{BOM}ret", "U+FEFF (zero width no-break space)"),
    ],
)
def test_an_invisible_character_is_named_and_never_the_value(value: str, name: str) -> None:
    with pytest.raises(InvalidCredential) as invalid:
        credential_text(value)
    assert name in str(invalid.value)
    assert "character 4 of 7" in str(invalid.value)
    assert "sec" not in str(invalid.value)


def test_bytes_that_are_no_text_are_rejected_without_the_value() -> None:
    with pytest.raises(InvalidCredential, match="UTF-8") as invalid:
        credential_text(b"sec\xffret")
    assert invalid.value.__cause__ is None
    assert "sec" not in str(invalid.value)


@pytest.mark.parametrize("secret_type", ["Opaque", "kubernetes.io/basic-auth", "example.com/entra-app"])
def test_a_secret_of_a_fitting_type_can_hold_a_credential(secret_type: str) -> None:
    check_credential_secret_type(secret_type)


@pytest.mark.parametrize(
    "secret_type",
    [
        "kubernetes.io/service-account-token",
        "kubernetes.io/dockerconfigjson",
        "kubernetes.io/dockercfg",
        "kubernetes.io/tls",
        "kubernetes.io/ssh-auth",
        "bootstrap.kubernetes.io/token",
        "helm.sh/release.v1",
    ],
)
def test_a_secret_of_another_type_is_not_sent_as_a_credential(secret_type: str) -> None:
    with pytest.raises(InvalidCredential, match=f"type {secret_type}"):
        check_credential_secret_type(secret_type)


def web_token(claims: str) -> str:
    header, payload = (base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in ('{"alg":"x"}', claims))
    return f"{header}.{payload}.canary"


KUBECONFIG = "apiVersion: v1\nkind: Config\nusers:\n- name: canary\n"
ENTRA_SECRET = "abc8Q~" + "x" * 34
REFRESH_TOKEN = "1.AXkA" + "canary_-" * 120

CERTAINLY_OTHER = [
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIEcanary\n-----END RSA PRIVATE KEY-----\n", "a key or a certificate"),
    ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCcanary", "a key or a certificate"),
    ('{"canary": 1}', "a JSON document"),
    ('[{"canary": 1}]\n', "a JSON document"),
    ('{"auths": {"canary": 1}}', "a configuration file"),
    (KUBECONFIG, "a configuration file"),
    (web_token('{"iss":"kubernetes/serviceaccount","canary":1}'), "a token"),
    (f"Bearer {web_token('{}')}", "a token"),
    ("ghp_canary", "Git service"),
    ("canary" + "a" * 46, "personal access token"),
    ("canary" + "a" * 70 + "AZDOabcd", "personal access token"),
    ("AKIA" + "CANARY2222222222", "an access key of AWS"),
    ("canary" + "A" * 80 + "==", "a key of Azure"),
    ("DefaultEndpointsProtocol=https;AccountName=canary", "a connection string"),
    ("https://canary.vault.azure.net/secrets/x", "an address"),
    ("ssh-rsa AAAAB3Nzacanary", "a key of SSH"),
    ("canary.0123456789abcdef", "a bootstrap token"),
]
SENT_TO_ENTRA = pytest.mark.parametrize("accept", [client_secret_text, refresh_token_text])


@SENT_TO_ENTRA
@pytest.mark.parametrize(
    "encode", [str, lambda text: base64.b64encode(text.encode()).decode()], ids=["plain", "base64"]
)
@pytest.mark.parametrize(("value", "description"), CERTAINLY_OTHER, ids=range(len(CERTAINLY_OTHER)))
def test_what_is_certainly_something_else_is_not_sent_to_entra_and_never_repeated(
    value: str, description: str, encode: Callable[[str], str], accept: Callable[[SecretBytes], SecretStr]
) -> None:
    with pytest.raises(InvalidCredential, match=description) as invalid:
        accept(SecretBytes(encode(value).encode()))
    assert "not sent" in str(invalid.value)
    assert "canary" not in str(invalid.value).lower()
    assert invalid.value.__cause__ is None


@pytest.mark.parametrize(
    ("accept", "value", "description"),
    [
        (client_secret_text, REFRESH_TOKEN, "refresh token of Entra ID"),
        (client_secret_text, "canary-" * 60, "longer than any client secret"),
        (client_secret_text, "canary\x00secret", "a control character"),
        (client_secret_text, "canary\nsecret", "a control character"),
        (refresh_token_text, ENTRA_SECRET, "client secret of Entra ID"),
        (refresh_token_text, "canary-" * 3000, "longer than any refresh token"),
        (refresh_token_text, "canary\x1bsecret", "a control character"),
    ],
)
def test_each_credential_for_entra_has_a_form_and_a_length(
    accept: Callable[[SecretBytes], SecretStr], value: str, description: str
) -> None:
    with pytest.raises(InvalidCredential, match=description) as invalid:
        accept(SecretBytes(value.encode()))
    assert "canary" not in str(invalid.value)


@pytest.mark.parametrize(
    "value",
    [
        ENTRA_SECRET,
        "M.a8Q~" + "y" * 34,  # begins as a refresh token does
        "0.A" + "y" * 30,
        "11111111-2222-3333-4444-555555555555",  # as `az ad sp create-for-rbac` once created them
        "]pK0-uX3/.Kzn=?{5[_",
        "Z2VuZXJhdGVkLXNlY3JldA+/9fHk7cQ0z1sM8y5wX3E=",
        "hunter2",
    ],
)
def test_client_secrets_of_all_times_are_accepted(value: str) -> None:
    assert client_secret_text(SecretBytes(f"{value}\r\n".encode())).get_secret_value() == value


@pytest.mark.parametrize("value", [REFRESH_TOKEN, "M.C507_BL2.2.U." + "x" * 400, "AwABAAAA" + "vD_-" * 200])
def test_refresh_tokens_are_accepted(value: str) -> None:
    assert refresh_token_text(SecretStr(f"{value}\n")).get_secret_value() == value


@SENT_TO_ENTRA
@pytest.mark.parametrize("text", ["{", "[", "%41", "A", "eyJ.", "-----BEGIN ", "a:", " x"])
def test_a_text_as_long_as_a_secret_can_be_is_rejected_quickly(
    text: str, accept: Callable[[SecretBytes], SecretStr]
) -> None:
    start = time.perf_counter()
    with pytest.raises(InvalidCredential):
        accept(SecretBytes((text * 2**20)[: 2**20].encode()))
    assert time.perf_counter() - start < 0.5
