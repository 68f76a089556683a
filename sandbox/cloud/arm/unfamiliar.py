"""Content that the described API does not have: what a later version of the service may answer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from sandbox.cloud.transport.message import Reply, json_reply

__all__ = ["with_unfamiliar_content"]

_FIELDS = {"futureSetting": {"mode": "Automatic", "since": 7}}
_VALUES = {"Pending": "Updating", "NotOnboarded": "OnboardingScheduled", "OnboardedByOtherConnector": "Shared"}
"""Replacements of provisioning and onboarding states."""

_STATES = ("provisioningState", "onboardingState")


def with_unfamiliar_content(reply: Reply, choice: str) -> Reply:
    """Return a reply with unfamiliar fields or values, as the variant `unfamiliarAnswers` chooses."""
    if choice not in ("fields", "values") or not reply.body:
        return reply
    body = json.loads(reply.body)
    for item in [body, *body.get("value", [])] if isinstance(body, dict) else []:
        properties = item.get("properties")
        if isinstance(properties, dict):
            _change(item, properties, choice)
    return replace(reply, body=json_reply(body).body)


def _change(item: dict[str, Any], properties: dict[str, Any], choice: str) -> None:
    if choice == "fields":
        item["futureField"] = ["a", 1, None]
        properties.update(_FIELDS)
        return
    for name in _STATES:
        if properties.get(name) in _VALUES:
            properties[name] = _VALUES[properties[name]]
