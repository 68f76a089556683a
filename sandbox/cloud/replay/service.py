"""A service that answers from a recording, and says so where the recording has no answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from sandbox.cloud.entra.state import EntraState
from sandbox.cloud.replay.fixtures import Fixture, Recording
from sandbox.cloud.transport.message import Reply, Request, json_reply

__all__ = ["ReplayedService", "Tags"]

_NOT_RECORDED: Final = 501
_UNAUTHORIZED: Final = 401
_PAGING: Final = {"$top"}
"""Options of a query that do not change what a short answer has."""

_CONNECTORS: Final = "/providers/microsoft.security/securityconnectors/"
_Key = tuple[Any, ...]


def _key(method: str, path: str, query: Mapping[str, str], body: Any) -> _Key:  # noqa: ANN401 - JSON
    parameters = sorted((name.lower(), value) for name, value in query.items())
    return method, unquote(path).lower(), tuple(parameters), json.dumps(_comparable(body), sort_keys=True).lower()


def _comparable(body: Any) -> Any:  # noqa: ANN401 - JSON
    """Return the body of a query without its page size."""
    if isinstance(body, dict) and isinstance(body.get("options"), dict):
        options = {name: value for name, value in body["options"].items() if name not in _PAGING}
        return {**body, "options": options}
    return body or None


@dataclass
class Tags:
    """The tags that clients have set since the start, by the id of the connector in lower case.

    A recording is of one moment. Tags are all that the operator writes to a connector that it adopts, so they are the
    only state of a replay.
    """

    by_connector: dict[str, dict[str, str]] = field(default_factory=dict)

    def apply(self, body: Any) -> Any:  # noqa: ANN401 - JSON
        """Return a body in which connectors have these tags."""
        if isinstance(body, list):
            return [self.apply(item) for item in body]
        if not isinstance(body, dict):
            return body
        changed = {name: self.apply(value) for name, value in body.items()}
        tags = self.by_connector.get(str(body.get("id", "")).lower())
        return changed if tags is None or "tags" not in body else {**changed, "tags": tags}


class ReplayedService:
    """One service of a recording.

    Args:
        name: its name.
        recording: what it answers from.
        entra: issuer of the accepted tokens.
        addresses: returns the address of each service, which takes the place of the recorded one.
        tags: tags that clients have set.
    """

    def __init__(
        self, name: str, recording: Recording, entra: EntraState, addresses: Callable[[], Mapping[str, str]], tags: Tags
    ) -> None:
        self.name = name
        self._recording = recording
        self._entra = entra
        self._addresses = addresses
        self._tags = tags
        self._positions: dict[int, int] = {}
        self._fixtures: dict[_Key, list[Fixture]] = {}
        for fixture in recording.fixtures:
            if fixture.service == name:
                key = _key(fixture.method, fixture.path, dict(fixture.query), fixture.body)
                self._fixtures.setdefault(key, []).append(fixture)

    async def handle(self, request: Request) -> Reply:
        """Answer a request."""
        token = self._entra.access_tokens.bearer(request.headers.get("Authorization"))
        if token is not None:
            request.principal = token.principal.name
        request.operation = "Replayed"
        body = _body(request)
        reply = self._set_tags(request, body)
        if reply is not None:
            return reply
        fixtures = self._fixtures.get(_key(request.method, request.path, request.query, body), [])
        if not fixtures:
            request.operation = "NotRecorded"
            message = (
                f"The recording has no answer to this {request.method}. Replay answers what the acceptance kit has "
                "requested, and nothing else."
            )
            return json_reply({"error": {"code": "NotRecorded", "message": message}}, _NOT_RECORDED)
        kind = "identity" if token is not None else "invalid" if "Authorization" in request.headers else "none"
        fixture = self._choose(fixtures, request, kind)
        if fixture.token == "identity" and token is None:
            message = "The access token is invalid."
            error = {"error": {"code": "InvalidAuthenticationToken", "message": message}}
            return json_reply(error, _UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
        return self._reply(fixture)

    def _set_tags(self, request: Request, body: Any) -> Reply | None:  # noqa: ANN401 - JSON
        """Answer a PATCH that replaces the tags of a recorded connector; None for any other request."""
        below = request.path.lower().partition(_CONNECTORS)[2]
        has_tags = isinstance(body, dict) and body.keys() == {"tags"} and isinstance(body["tags"], dict)
        if request.method != "PATCH" or not below or "/" in below or not has_tags:
            return None
        identifier = request.path.lower().rstrip("/")
        connector = next(
            (
                fixture
                for fixtures in self._fixtures.values()
                for fixture in fixtures
                if fixture.method == "GET" and unquote(fixture.path).lower() == identifier and fixture.status == 200  # noqa: PLR2004
            ),
            None,
        )
        if connector is None:
            return None
        self._tags.by_connector[identifier] = body["tags"]
        request.effect("connector.update", id=identifier, tags=body["tags"])
        return self._reply(connector)

    def _choose(self, fixtures: list[Fixture], request: Request, token: str) -> Fixture:
        """Return the fixture that fits best; of several the next one each time, and in the end the last one."""
        accept = request.headers.get("Accept", "")
        suppresses = "X-TFS-FedAuthRedirect" in request.headers

        def rank(fixture: Fixture) -> tuple[bool, bool, bool]:
            return fixture.token == token, fixture.accept == accept, fixture.suppresses_redirect == suppresses

        best = max(map(rank, fixtures))
        matches = [fixture for fixture in fixtures if rank(fixture) == best]
        position = self._positions.setdefault(id(matches[0]), 0)
        self._positions[id(matches[0])] = min(position + 1, len(matches) - 1)
        return matches[position]

    def _reply(self, fixture: Fixture) -> Reply:
        content = fixture.content()
        if fixture.answer is not None:
            content = json.dumps(self._tags.apply(fixture.answer), ensure_ascii=False).encode()
        headers = dict(fixture.headers)
        for service, public in self._recording.summary.hosts.items():
            address = self._addresses().get(service)
            if address is not None:
                content = content.replace(public.encode(), address.encode())
                headers = {name: value.replace(public, address) for name, value in headers.items()}
        return Reply(fixture.status, content, headers)


def _body(request: Request) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(request.body) if request.body else None
    except ValueError:
        return None
