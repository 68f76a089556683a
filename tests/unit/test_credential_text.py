from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretBytes, SecretStr

from defender_devops.credential_text import InvalidCredential, check_credential_secret_type, credential_text

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
