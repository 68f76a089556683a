"""One request to Azure Resource Manager: token, budget, time-outs, what may be repeated, and errors by name."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import random
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

import aiohttp
import httpx
from pydantic import SecretStr

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.azure.arm.error_body import parse_error
from defender_devops.azure.arm.error_mapping import Answer, Asked, error_of_answer, retry_after_of
from defender_devops.azure.arm.rate_limiter import BudgetKey, OperationKind
from defender_devops.azure.arm.session import ArmSession
from defender_devops.azure.arm.token_source import TokenSource
from defender_devops.errors import AzureError, AzureUnavailable, InvalidRequest, Throttled
from defender_devops.telemetry.context import reconcile_id

__all__ = ["ArmClient", "Call", "Repeat", "Reply", "connector_path", "resource_path"]

_ATTEMPTS: Final = 3
_PAUSE_FIRST: Final = 0.3
_PAUSE_MAX: Final = 5.0
_DEADLINE: Final = 90.0
_BODY_MAX: Final = 16 * 1024 * 1024
_PAGES_MAX: Final = 1000
_THROTTLED_PAUSE: Final = 5.0
_UNAUTHORIZED: Final = 401
_REQUEST_TIMEOUT: Final = 408
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_USER_AGENT: Final = "defender-devops-operator"
_TIMEOUTS: Final = {"timeout": httpx.Timeout(connect=5.0, read=30.0, write=30.0, pool=None).as_dict()}
"""Seconds, as a transport reads them. Waiting for a connection has no limit of its own: `ArmSession.places` bounds who
may wait."""


class Repeat(Enum):
    """When a request may be sent again without being asked to."""

    ALWAYS = "always"
    """It does the same each time (GET, PUT, DELETE): also after a failure that leaves its deletion_mode open."""

    IF_REFUSED = "if refused"
    """Only where Azure surely did nothing: it refused the token (401) or the number of requests (429)."""

    NEVER = "never"
    """It spends something that cannot be spent twice."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request, before it has a token.

    Attributes:
        what: in words (`create connector`), for errors and metrics; one of few.
        method: HTTP method.
        path: path with all names quoted (`resource_path` does so).
        api_version: version of the provider's API.
        subscription: whose budget it draws on; None for what belongs to no subscription.
        kind: which budget; by the method where None.
        body: JSON, in which SecretStr stands for its value.
        repeat: when it may be sent again; by the method where None.
        query: further parameters.
        link: absolute address given by Azure, instead of path, api_version and query; held as a secret: it is signed.
    """

    what: str
    method: str
    path: str = ""
    api_version: str = ""
    subscription: str | None = None
    kind: OperationKind | None = None
    body: Mapping[str, Any] | None = None
    repeat: Repeat | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    link: SecretStr | None = None

    def following(self, link: str) -> Self:
        """The same request for another page."""
        return replace(self, link=SecretStr(link))

    @property
    def counted_as(self) -> OperationKind:
        """The budget that it draws on."""
        return self.kind or _KINDS.get(self.method, OperationKind.WRITES)

    @property
    def repeated(self) -> Repeat:
        """When it may be sent again."""
        return self.repeat or (Repeat.ALWAYS if self.method in _IDEMPOTENT else Repeat.IF_REFUSED)


_KINDS: Final = {"GET": OperationKind.READS, "DELETE": OperationKind.DELETES}
_IDEMPOTENT: Final = frozenset({"GET", "PUT", "DELETE"})
_CHANGING: Final = frozenset({OperationKind.WRITES, OperationKind.DELETES})


@dataclass(frozen=True, slots=True)
class Reply:
    """A good answer.

    Attributes:
        status: HTTP status.
        headers: by name in lower case.
        content: the JSON object, empty where there is no body.
    """

    status: int
    headers: Mapping[str, str]
    content: Mapping[str, Any]

    @property
    def values(self) -> list[Mapping[str, Any]]:
        """The entries of a list's page."""
        value = self.content.get("value")
        return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def resource_path(*segments: str) -> str:
    """A path of these segments, each quoted.

    Raises:
        InvalidRequest: a segment is empty or would climb out of the path.
    """
    if any(segment in ("", ".", "..") for segment in segments):
        raise InvalidRequest(
            f"Azure has no address for '{'/'.join(segments)}': correct the name that is empty or a dot."
        )
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def connector_path(ref: ConnectorRef) -> str:
    """The path of a connector."""
    return resource_path(*ref.id.strip("/").split("/"))


class ArmClient:
    """Azure Resource Manager, as one identity.

    Args:
        session: what all identities share.
        tokens: this identity's tokens.
        principal: key of its budgets: tenant and client.
        who: the identity in words, for messages.
    """

    def __init__(self, session: ArmSession, tokens: TokenSource, *, principal: str, who: str) -> None:
        self.principal = principal
        self.who = who
        self._session = session
        self._tokens = tokens
        self._origin = httpx.URL(session.endpoint)

    async def send(self, call: Call) -> Reply:
        """Send a request, again if it may be and that helps.

        Raises:
            AzureError: Azure refused, failed or did not answer.
            CredentialsError: there is no token.
        """
        address = self._address(call)
        for attempt in range(_ATTEMPTS - 1):
            try:
                return await self._attempt(call, address)
            except AzureError as error:
                if not self._is_worth_repeating(call, error):
                    raise
                # After a 429 the budget keeps the time that Azure named, for everybody.
                if error.status != _TOO_MANY:
                    await self._session.clock.sleep(error.retry_after or _pause(attempt))
        return await self._attempt(call, address)

    async def pages(self, call: Call) -> AsyncIterator[Reply]:
        """All pages of a list, one by one.

        Raises:
            AzureError: as `send`; also where the pages do not end, or lead away from Azure Resource Manager.
            CredentialsError: there is no token.
        """
        seen: set[str] = set()
        while True:
            reply = await self.send(call)
            yield reply
            link = reply.content.get("nextLink")
            if not link or not isinstance(link, str):
                return
            if link in seen or len(seen) >= _PAGES_MAX:
                raise AzureUnavailable(f"Asked to {call.what}, Azure gave pages without end.")
            seen.add(link)
            call = call.following(link)

    async def values(self, call: Call) -> list[Mapping[str, Any]]:
        """The entries of all pages of a list.

        Raises:
            AzureError: as `pages`.
            CredentialsError: there is no token.
        """
        return [entry async for page in self.pages(call) for entry in page.values]

    async def close(self) -> None:
        """Give up the identity's own connections; the session's are shared."""
        await self._tokens.close()

    @staticmethod
    def _is_worth_repeating(call: Call, error: AzureError) -> bool:
        if error.status == _TOO_MANY:
            return call.repeated is not Repeat.NEVER
        if isinstance(error, Throttled):  # our own budget: it told the caller when to come back
            return False
        passing = error.status is None or error.status >= _SERVER_ERROR or error.status == _REQUEST_TIMEOUT
        soon = error.retry_after is None or error.retry_after <= _PAUSE_MAX
        return call.repeated is Repeat.ALWAYS and isinstance(error, AzureUnavailable) and passing and soon

    async def _attempt(self, call: Call, address: httpx.URL) -> Reply:
        token = await self._tokens.current()
        answer = await self._exchange(call, address, token)
        if answer.status == _UNAUTHORIZED and call.repeated is not Repeat.NEVER and _another_token_may_help(answer):
            token = await self._tokens.replace(token, _claims(answer))
            answer = await self._exchange(call, address, token)
        if not 200 <= answer.status < 300:  # noqa: PLR2004 - the class of HTTP successes
            raise error_of_answer(answer, self._asked(call), self._session.clock.wall())
        return Reply(answer.status, answer.headers, self._content(call, answer))

    async def _exchange(self, call: Call, address: httpx.URL, token: SecretStr) -> Answer:
        key = BudgetKey(self.principal, call.counted_as, (call.subscription or "").lower())
        request = self._request(call, address, token)
        async with self._session.budget.request(key), self._session.places:
            if call.counted_as in _CHANGING:
                self._session.fence()
            answer = await self._observed(call, request)
        self._learn(key, answer)
        return answer

    async def _observed(self, call: Call, request: httpx.Request) -> Answer:
        started = self._session.clock.monotonic()
        status = None
        try:
            async with asyncio.timeout(_DEADLINE):
                answer = await self._read(request)
            status = answer.status
        # From None: these errors hold the request, and that holds the token or more.
        except (httpx.TimeoutException, TimeoutError):
            raise AzureUnavailable(
                f"Asked to {call.what}, Azure did not answer in time ({self._origin.host}). It is tried again."
            ) from None
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            raise AzureUnavailable(
                f"Asked to {call.what}, the connection to Azure failed ({self._origin.host}, {type(error).__name__}). "
                "It is tried again; if this lasts, check DNS, proxies and network policies."
            ) from None
        finally:
            self._session.observe(call.what, status, self._session.clock.monotonic() - started)
        return answer

    async def _read(self, request: httpx.Request) -> Answer:
        response = await self._session.http.handle_async_request(request)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _BODY_MAX:
                    raise AzureUnavailable(
                        f"Azure's answer is larger than {_BODY_MAX // 1024**2} MiB.", status=response.status_code
                    )
        finally:
            await response.aclose()
        return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, bytes(body))

    def _request(self, call: Call, address: httpx.URL, token: SecretStr) -> httpx.Request:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "Authorization": f"Bearer {token.get_secret_value()}",
            "User-Agent": _USER_AGENT,
            "x-ms-client-request-id": reconcile_id() or str(uuid.uuid4()),
        }
        content = None
        if call.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(call.body, default=_revealed, separators=(",", ":")).encode()
        return httpx.Request(call.method, address, headers=headers, content=content, extensions=_TIMEOUTS)

    def _address(self, call: Call) -> httpx.URL:
        if call.link is None:
            query = urlencode({"api-version": call.api_version, **call.query})
            return httpx.URL(f"{self._session.endpoint}{call.path}?{query}")
        try:
            address = httpx.URL(call.link.get_secret_value())
        except httpx.InvalidURL:
            address = httpx.URL()
        if (address.scheme, address.host, address.port) != (self._origin.scheme, self._origin.host, self._origin.port):
            raise AzureUnavailable(
                f"Asked to {call.what}, Azure gave a link that leads away from {self._origin.host}: it is not followed."
            )
        return address

    def _content(self, call: Call, answer: Answer) -> Mapping[str, Any]:
        if not answer.body.strip():
            return {}
        try:
            content = json.loads(answer.body)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise AzureUnavailable(
                f"Asked to {call.what}, something else than JSON came back: check the proxies on the way.",
                status=answer.status,
            )
        return content

    def _asked(self, call: Call) -> Asked:
        return Asked(call.what, self.who, call.subscription)

    def _learn(self, key: BudgetKey, answer: Answer) -> None:
        budget, headers = self._session.budget, answer.headers
        wait = retry_after_of(answer, self._session.clock.wall())
        remaining = _whole(headers.get(_REMAINING[key.kind]))
        if remaining is not None:
            budget.remaining(key, remaining)
        if answer.status == _TOO_MANY:
            budget.block(key, _THROTTLED_PAUSE if wait is None else wait)
        elif key.kind is OperationKind.RESOURCE_GRAPH and remaining == 0 and wait:
            budget.block(key, wait)


_REMAINING: Final = {
    OperationKind.READS: "x-ms-ratelimit-remaining-subscription-reads",
    OperationKind.WRITES: "x-ms-ratelimit-remaining-subscription-writes",
    OperationKind.DELETES: "x-ms-ratelimit-remaining-subscription-deletes",
    OperationKind.RESOURCE_GRAPH: "x-ms-user-quota-remaining",
}


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,9}", text) else None


def _pause(attempt: int) -> float:
    """Seconds before another try: doubled each time, anywhere between half and all of it."""
    return _PAUSE_FIRST * float(1 << attempt) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, no secret


def _revealed(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _another_token_may_help(answer: Answer) -> bool:
    return parse_error(answer.body).code.lower() != "invalidauthenticationtokentenant"


def _claims(answer: Answer) -> str | None:
    """What a claims challenge asks for (https://learn.microsoft.com/entra/identity-platform/claims-challenge)."""
    match = re.search(r'claims="([A-Za-z0-9_+/=-]+)"', answer.headers.get("www-authenticate", ""))
    if match is None:
        return None
    try:
        return base64.urlsafe_b64decode(match[1].replace("+", "-").replace("/", "_") + "===").decode()
    except (binascii.Error, ValueError):
        return None
