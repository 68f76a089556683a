"""What is taken out of a body before it leaves the house (pure).

No Secret is ever read for a bundle. This is about what people and tools write into other places.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from defender_devops.telemetry.redaction import redacted

__all__ = ["HIDDEN", "clean"]

HIDDEN: Final = "(hidden)"

_DROPPED: Final = frozenset({"managedFields", "kubectl.kubernetes.io/last-applied-configuration"})
"""Long, and the second repeats whatever was once applied."""

_ADDRESSES: Final = frozenset({"url"})
"""The address of a sign-in page is signed: whoever has it may use it."""

_ACCOUNT: Final = re.compile(r"\b([A-Za-z0-9])[A-Za-z0-9._%+'-]*@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")
_PAGE: Final = re.compile(r"https?://[^\s\"']*/connectors/[^\s\"']+")


def clean(value: Any, field: str = "") -> Any:  # noqa: ANN401 - JSON
    """A body without secrets, signed addresses, and whole names of accounts."""
    if isinstance(value, Mapping):
        return {key: clean(each, str(key)) for key, each in value.items() if key not in _DROPPED}
    if isinstance(value, list):
        return [clean(each, field) for each in value]
    if not isinstance(value, str):
        return value
    if field in _ADDRESSES:
        return HIDDEN
    text: str = redacted(_PAGE.sub(HIDDEN, value))
    return _ACCOUNT.sub(r"\1…@\2", text)
