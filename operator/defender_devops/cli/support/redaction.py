"""Remove secrets and personal data from resources before they leave the cluster. Pure.

No Secret is read for a bundle. This module handles secrets that people and tools write into other places.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from defender_devops.telemetry.redaction import redact_value

__all__ = ["HIDDEN", "redact_for_bundle"]

HIDDEN: Final = "(hidden)"

_DROPPED: Final = frozenset({"managedFields", "kubectl.kubernetes.io/last-applied-configuration"})
"""Both are long, and the annotation repeats everything that was applied."""

_SIGNED_ADDRESS_FIELDS: Final = frozenset({"url"})
"""The address of a sign-in page contains a signature that grants access to the page."""

_ACCOUNT: Final = re.compile(r"\b([A-Za-z0-9])[A-Za-z0-9._%+'-]*@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")
_PAGE: Final = re.compile(r"https?://[^\s\"']*/connectors/[^\s\"']+")


def redact_for_bundle(value: Any, field: str = "") -> Any:  # noqa: ANN401 - JSON
    """Return a value without secrets and signed addresses, and with shortened account names."""
    if isinstance(value, Mapping):
        return {key: redact_for_bundle(item, str(key)) for key, item in value.items() if key not in _DROPPED}
    if isinstance(value, list):
        return [redact_for_bundle(item, field) for item in value]
    if not isinstance(value, str):
        return value
    if field in _SIGNED_ADDRESS_FIELDS:
        return HIDDEN
    text: str = redact_value(_PAGE.sub(HIDDEN, value))
    return _ACCOUNT.sub(r"\1…@\2", text)
