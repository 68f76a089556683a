"""The content of Defender's one-time code, checked before the code is sent.

Only Defender for Cloud can redeem the code, and only once. What is certainly something else (a token of another
service, a key, a password) must never leave the cluster. The format of a code, on the other hand, is an observation and
not documented: text that merely does not have it is sent, with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

from defender_devops.api.names import TOKEN_SECRET_TYPE
from defender_devops.authorization_code.claims import decode_claims, holds_two_tokens
from defender_devops.credentials.kinds import AUTHENTICATION_SCHEME, CredentialKind, credential_kind, unwrapped
from defender_devops.credentials.text import InvalidCredential, credential_text

__all__ = ["CODE_KEY", "InvalidCode", "check_code_secret_type", "code_warning", "parse_code"]

CODE_MAX_LENGTH: Final = 16 * 1024
CODE_KEY: Final = "defender-code"
"""Key of a token Secret that holds a code that was entered on the page."""

_OPAQUE: Final = "Opaque"  # default type of Secrets
_CODE_CHARACTERS: Final = re.compile(r"[A-Za-z0-9._~+/=!*%-]+")

_GET_CODE: Final = "Get a code from the dialog in the portal."
_WHAT_TO_PASTE: Final = (
    "Paste the code of Defender's dialog, or the whole address at which the browser ended after Accept."
)

_CODE_MIN_LENGTH: Final = 8
_WORDS: Final = (
    "change|replace|paste|put|insert|enter|your|todo|tbd|example|dummy|placeholder|null|none|undefined|code|x{2,}"
)
_OTHER_TEXTS: Final = (
    (re.compile(r"\d+\Z"), "a number, such as that of an authenticator app"),
    (re.compile(r"[A-Z0-9]{8,9}\Z|[A-Z0-9]{4}-[A-Z0-9]{4}\Z"), "the code of a device sign-in"),
    (re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}\Z", re.IGNORECASE), "an id"),
    (re.compile(r"(/|\./|\.\./|~/)[\w.-]+/|/?subscriptions/", re.IGNORECASE), "a path"),
    (re.compile(rf"({_WORDS})[a-z_.-]*\Z", re.IGNORECASE), "a placeholder"),
)
"""What people paste instead of a code, though nothing in it is secret."""

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,19}\Z")
_ADDRESS_WITHOUT_SCHEME: Final = re.compile(
    r"(localhost|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,})(:\d+)?[/?#]", re.IGNORECASE
)
_QUERY: Final = re.compile(r"[?#&]?(code|state|session_state|error|error_description)=")
_ENCODED_MIN_LENGTH: Final = 16
"""Characters from which on a text that is text in base64 is no coincidence."""

_ISSUER: Final = "app.vstoken.visualstudio.com"
"""Issuer and audience of the tokens of Azure DevOps' own OAuth service, which Defender uses [observed]."""


class InvalidCode(ValueError):
    """The text is not a code that Defender could redeem; the message says what it is instead, without repeating it."""


def check_code_secret_type(secret_type: str, key: str) -> None:
    """Check that a Secret of this type can hold a code.

    Secrets of other types hold what their type says: tokens of service accounts, TLS keys, registry passwords.

    Raises:
        InvalidCode: it cannot.
    """
    if secret_type == _OPAQUE or (secret_type == TOKEN_SECRET_TYPE and key == CODE_KEY):
        return
    raise InvalidCode(
        f"The Secret has the type {secret_type}, which does not hold a one-time code, so its content was not sent. Put "
        "the code into a Secret of type Opaque."
    )


def parse_code(pasted: SecretStr) -> SecretStr:
    """Return the code in what a person pasted: the code itself, or the whole address at which the browser ended.

    Raises:
        InvalidCode: the text holds no code, or is certainly something else.
    """
    try:
        text = credential_text("".join(pasted.get_secret_value().split())).get_secret_value()
    except InvalidCredential as error:
        raise InvalidCode(f"The text is not a code: {error}. {_WHAT_TO_PASTE}") from None
    if not text:
        raise InvalidCode(f"Nothing was pasted. {_WHAT_TO_PASTE}")
    if len(text) > CODE_MAX_LENGTH:
        raise InvalidCode(f"The text is longer than any code ({CODE_MAX_LENGTH} characters). {_WHAT_TO_PASTE}")
    _check_content(text)
    code = _extract(text)
    _check_content(code)
    _check_form(code)
    if not _CODE_CHARACTERS.fullmatch(code):
        raise InvalidCode(f"The text contains characters that no code has, so it was not sent. {_WHAT_TO_PASTE}")
    return SecretStr(code)


def _extract(text: str) -> str:
    """Return the code in a text: in an address or its parameters, or in an encoding of the code.

    Raises:
        InvalidCode: the address has no code.
    """
    end = text.find("://")
    scheme = _SCHEME.search(text, max(0, end - 20), end) if end > 0 else None
    code = text
    if scheme is not None:
        code = _code_in_address(text[scheme.start() :])
    elif _ADDRESS_WITHOUT_SCHEME.match(text):
        code = _code_in_address(f"https://{text}")
    elif _QUERY.match(text):
        code = _code_in_address(f"https://host/?{text.lstrip('?#&')}")
    return next((content for content in unwrapped(code) if decode_claims(content) is not None), code)


def _check_content(text: str) -> None:
    """Check that a text, or what it wraps, is not certainly something else.

    Raises:
        InvalidCode: it is.
    """
    contents = tuple(unwrapped(text))
    for content in contents:
        # Whatever follows the three parts, they are the token.
        owner = _other_owner(decode_claims(".".join(content.split(".")[:3])) or {})
        if owner is not None:
            raise InvalidCode(
                f"This is a token of {owner}, not a code of Defender's authorization dialog, so it was not sent. "
                f"{_GET_CODE}"
            )
    kind = credential_kind(text)
    if kind not in {None, CredentialKind.WEB_TOKEN, CredentialKind.ADDRESS}:
        raise InvalidCode(f"This is {kind}, so it was not sent. {_GET_CODE}")
    if any(AUTHENTICATION_SCHEME.match(content) for content in contents[:-1]):
        raise InvalidCode(f"This is {CredentialKind.HEADER}, not a code, so it was not sent. {_GET_CODE}")


def _check_form(text: str) -> None:
    """Check that a text is not certainly something else that is not secret, or that has no code in it.

    Raises:
        InvalidCode: it is.
    """
    _, *decoded = unwrapped(text)
    if any(len(content) >= _ENCODED_MIN_LENGTH and not _CODE_CHARACTERS.fullmatch(content) for content in decoded):
        raise InvalidCode(f"This is encoded text and not a code, so it was not sent. {_WHAT_TO_PASTE}")
    if holds_two_tokens(text):
        raise InvalidCode(f"These are several codes, so none was sent. {_WHAT_TO_PASTE}")
    for pattern, description in _OTHER_TEXTS:
        if pattern.match(text):
            raise InvalidCode(f"This is {description}, not a code, so it was not sent. {_WHAT_TO_PASTE}")
    if len(text) < _CODE_MIN_LENGTH:
        raise InvalidCode(f"The text is shorter than any code, so it was not sent. {_WHAT_TO_PASTE}")


def code_warning(code: SecretStr) -> str | None:
    """Return what is unusual about the format of a code; None for a JSON Web Token of three parts, as codes are."""
    if decode_claims(code.get_secret_value()) is not None:
        return None
    return (
        "The one-time code does not have the usual format (three parts separated by full stops, which can be decoded); "
        "it may have been cut off when it was copied."
    )


def _code_in_address(address: str) -> str:
    try:
        parts = urlsplit(address)
        parameters = dict(parse_qsl(parts.query) + parse_qsl(parts.fragment))
    except ValueError:
        raise InvalidCode(f"The text starts like an address, but is not a valid one. {_WHAT_TO_PASTE}") from None
    if "code" in parameters:
        return parameters["code"]
    if "error" in parameters:
        raise InvalidCode("The address holds a refusal instead of a code: authorize again and press Accept.")
    raise InvalidCode("The address holds no code: paste the one at which the browser ended after Accept.")


def _other_owner(claims: Mapping[str, Any]) -> str | None:
    """Return which service a token belongs to, if its claims say that it is certainly not Azure DevOps' OAuth service.

    A claim that is missing, or is not the address of a service, decides nothing.
    """
    subject, issuer = str(claims.get("sub", "")), str(claims.get("iss", ""))
    if "kubernetes.io" in claims or subject.startswith("system:serviceaccount:"):
        return "a Kubernetes service account"
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    for address in (issuer, *(item for item in audiences if isinstance(item, str))):
        host = _host(address)
        if host in {"sts.windows.net", "login.microsoftonline.com", "login.microsoftonline.us"}:
            return "Entra ID"
        if host is not None and not _is_azure_devops(host):
            return f"{host}"
    return None


def _host(address: str) -> str | None:
    """Return the host that an issuer or audience names; None if it names none."""
    try:
        if "://" in address:  # also a host of a single label, or an address of IPv6
            return (urlsplit(address).hostname or "").lower() or None
        host = address.split("|", maxsplit=1)[0]
    except ValueError:
        return None
    return host.lower() if host and re.fullmatch(r"[\w-]+(\.[\w-]+)+", host) else None


def _is_azure_devops(host: str) -> bool:
    return host == _ISSUER or host.endswith((".visualstudio.com", ".dev.azure.com")) or host == "dev.azure.com"
