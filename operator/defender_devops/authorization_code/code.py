"""The format of Defender's one-time code, checked before the code is sent.

Only Defender for Cloud can redeem the code, and only once. Sending a code of another kind would waste it and leave the
connector with a failed token exchange, so everything that its form reveals is checked here.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

from defender_devops.credential_text import InvalidCredential, credential_text

__all__ = ["InvalidCode", "parse_code"]

CODE_MAX_LENGTH: Final = 16 * 1024
_JWT_PARTS: Final = 3
_JWT_PART: Final = re.compile(r"[A-Za-z0-9_-]+")
# Codes of Entra ID begin with "0.A", "1.A" (work accounts) or "M." (personal accounts). That is an observation, not a
# documented format; Azure DevOps' own codes are JWTs, which begin with "eyJ".
_ENTRA_CODE: Final = re.compile(r"(\d\.A|M\.)")


class InvalidCode(ValueError):
    """The text is not a code that Defender could redeem; the message says what it is instead."""


def parse_code(pasted: SecretStr) -> SecretStr:
    """Return the code in what a person pasted: the code itself, or the whole address at which the browser ended.

    Raises:
        InvalidCode: the text holds no code, or a code of another service.
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
    if _ENTRA_CODE.match(code):
        raise InvalidCode(
            "This is a code of Entra ID, not of Defender's own authorization dialog. Defender could not redeem it, so "
            "it was not sent. Get one from the dialog in the Defender portal."
        )
    parts = code.split(".")
    if len(parts) != _JWT_PARTS or not all(_JWT_PART.fullmatch(part) for part in parts):
        raise InvalidCode(
            "This is not a code of Defender's authorization dialog (three parts separated by full stops). It was not "
            "sent. Was it cut off when it was copied?"
        )
    if not all(isinstance(_decode_json(part), dict) for part in parts[:2]):
        raise InvalidCode("The code has the right form, but cannot be decoded. Was it cut off when it was copied?")
    return SecretStr(code)


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


def _decode_json(part: str) -> object:
    try:
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None
