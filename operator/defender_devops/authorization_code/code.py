"""The content of Defender's one-time code, checked before the code is sent.

Only Defender for Cloud can redeem the code, and only once. What is certainly something else (a token of another
service, a key, a password) must never leave the cluster. The format of a code, on the other hand, is an observation and
not documented: text that merely does not have it is sent, with a warning.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from defender_devops.api.names import TOKEN_SECRET_TYPE
from defender_devops.authorization_code.claims import decode_claims
from defender_devops.credential_text import InvalidCredential, credential_text

__all__ = ["CODE_KEY", "InvalidCode", "check_code_secret_type", "code_warning", "parse_code"]

CODE_MAX_LENGTH: Final = 16 * 1024
CODE_KEY: Final = "defender-code"
"""Key of a token Secret that holds a code that was entered on the page."""

_OPAQUE: Final = "Opaque"  # default type of Secrets
_CODE_CHARACTERS: Final = re.compile(r"[A-Za-z0-9._~+/=!*%-]+")

_OTHER_SECRETS: Final = (
    # Codes and refresh tokens of Entra ID begin with "0.A", "1.A" (work accounts) or "M." (personal accounts). That is
    # an observation too; codes of Azure DevOps are JWTs, which begin with "eyJ".
    (
        re.compile(r"\d\.A|M\."),
        "a code or a refresh token of Entra ID",
    ),
    (re.compile(r"[\w~.-]{3}\dQ~[\w~.-]{30,40}\Z"), "a client secret of Entra ID"),
    (re.compile(r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}\Z"), "a personal access token of Azure DevOps"),
    (re.compile(r"[a-z0-9]{52}\Z"), "a personal access token of Azure DevOps"),
    (re.compile(r"gh[pousr]_|github_pat_|glpat-"), "an access token of a Git service"),
    (re.compile(r"-----BEGIN|MII[A-Za-z0-9+/]"), "a key or a certificate"),
    (re.compile(r"ssh-(rsa|ed25519|dss)|ecdsa-sha2-"), "a key of SSH"),
    (re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}\Z"), "a bootstrap token of a cluster"),
    (re.compile(r"(AKIA|ASIA)[A-Z0-9]{16}\Z"), "an access key of AWS"),
    (re.compile(r"xox[a-z]-|npm_[A-Za-z0-9]{36}\Z|hvs\.|ya29\."), "an access token of another service"),
    (re.compile(r"[A-Za-z0-9+/]{86}==\Z"), "a key of Azure"),
    (
        re.compile(r"apiVersion:|kind:|\{[^}]{0,99}\"(apiVersion|auths|private_key|clientSecret)\""),
        "a configuration file with credentials",
    ),
)
"""What a text is, by its beginning, if it is certainly not a code."""

_WRAPPINGS_MAX: Final = 6
_SCHEME: Final = re.compile(r"\A(Bearer|token)[ =:]*(?=eyJ)", re.IGNORECASE)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")

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
        raise InvalidCode(f"The text is not a code: {error}.") from None
    if not text:
        raise InvalidCode("Nothing was pasted.")
    if len(text) > CODE_MAX_LENGTH:
        raise InvalidCode(f"The text is longer than any code ({CODE_MAX_LENGTH} characters).")
    code = _code_in_address(text) if "://" in text[:12] else text
    for content in _unwrapped(code):
        _check_content(content)
    if not _CODE_CHARACTERS.fullmatch(code):
        raise InvalidCode("The text contains characters that no code has, so it was not sent. Copy the code again.")
    return SecretStr(code)


def _unwrapped(text: str) -> Iterator[str]:
    """Yield a text, and what is in it without percent-encoding, authentication scheme and base64, up to some depth.

    A Secret's value that was encoded twice (`base64` before `stringData`) is the same token as the plain one.
    """
    for _ in range(_WRAPPINGS_MAX):
        yield text
        plain = _SCHEME.sub("", unquote(text))
        if plain == text:
            decoded = _decode_base64(text)
            if decoded is None:
                return
            plain = decoded
        text = plain


def _decode_base64(text: str) -> str | None:
    """Return the text in base64, or None if it is none; a code itself is none because of its full stops."""
    if not _BASE64.fullmatch(text):
        return None
    try:
        decoded = base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_").decode()
    except ValueError:
        return None
    return decoded.strip() if decoded.replace("\n", "").replace("\r", "").isprintable() else None


def _check_content(content: str) -> None:
    """Check that a text, or what it wraps, is not certainly something else.

    Raises:
        InvalidCode: it is.
    """
    for pattern, description in _OTHER_SECRETS:
        if pattern.match(content):
            raise InvalidCode(f"This is {description}, so it was not sent. Get a code from the dialog in the portal.")
    # Whatever follows the three parts, they are the token.
    owner = _other_owner(decode_claims(".".join(content.split(".")[:3])) or {})
    if owner is not None:
        raise InvalidCode(
            f"This is a token of {owner}, not a code of Defender's authorization dialog, so it was not sent. Get a "
            "code from the dialog in the portal."
        )


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
        raise InvalidCode("The text starts like an address, but is not a valid one.") from None
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
