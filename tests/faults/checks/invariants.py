"""What holds after every plan, whatever happened during it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.cluster.client import ApiError
from tests.faults.stack.lane import Lane
from tests.support.leak_search import find_leaks
from tests.support.scenarios.scenario import KIND, ORGANIZATION

__all__ = ["check_codes", "check_log", "check_secrets", "check_strays", "repeated_effects"]


def check_log(text: str) -> Iterator[str]:
    """Yield what the operator's log must not contain."""
    for mark in ("Traceback", "InternalError", "reconcile raised", "Task exception was never retrieved"):
        if mark in text:
            begin = text.index(mark)
            yield f"the log contains {mark!r}: …{text[max(0, begin - 300) : begin + 1500]}"


def check_codes(lane: Lane) -> Iterator[str]:
    """Yield one-time codes that were sent more than once."""
    codes = Counter(code for entry in lane.control.journal(service="arm") for code in entry.get("codes", []))
    for code, number in codes.items():
        if number > 1:
            yield f"the one-time code {code[:8]}… was sent {number} times"


def check_strays(lane: Lane) -> Iterator[str]:
    """Yield requests with a token that followed a redirect or a link to another server."""
    for headers in lane.proxy.strays:
        if "authorization" in headers or "cookie" in headers:
            yield f"a token was sent to another server: {sorted(headers)}"


def check_secrets(lane: Lane, log: str) -> Iterator[str]:
    """Yield secrets in logs, statuses, events and metrics."""
    secrets = {**lane.secrets, "a token or code of Entra ID": tuple(lane.control.secrets())}
    objects: list[Any] = [*lane.kube.list_all(KIND, lane.namespace), *lane.kube.list_all(ORGANIZATION, lane.namespace)]
    try:
        objects += lane.kube.list_all("Event", lane.namespace)
    except ApiError as error:
        yield f"the events cannot be read: {error}"
    places = {"log": log, "object": json.dumps(objects), "metrics": lane.metrics()}
    for place, text in places.items():
        for leak in find_leaks(text, secrets):
            yield f"a secret in the {place}: {leak}"


def repeated_effects(entries: list[dict[str, Any]], allowance: int) -> Iterator[str]:
    """Yield effects in Azure that happened more often than they have to.

    Args:
        entries: journal of the simulated cloud.
        allowance: how often an effect may happen.
    """
    effects: Counter[str] = Counter(
        f"{entry['method']} {entry['path'].lower()} {json.dumps(_stable(effect), sort_keys=True)}"
        for entry in entries
        for effect in entry.get("effects", [])
    )
    for effect, number in effects.items():
        if number > allowance:
            yield f"an effect in Azure happened {number} times, at most {allowance} expected: {effect}"


def _stable(effect: Mapping[str, Any]) -> dict[str, Any]:
    """Return an effect without what differs between equal ones."""
    return {name: value for name, value in effect.items() if name != "time"}
