"""One request to Azure Resource Manager: token, rate limit, time-outs, retries, and errors by name."""

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
from urllib.parse import urlencode

import aiohttp
from pydantic import SecretStr
from yarl import URL

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.azure.arm.error_body import parse_error
from defender_devops.azure.arm.error_mapping import (
    HttpResponse,
    RequestContext,
    arm_error_for_response,
    arm_retry_after_seconds,
)
from defender_devops.azure.arm.rate_limiter import OperationKind, RateLimitKey
from defender_devops.azure.arm.session import ArmSession
from defender_devops.azure.arm.token_source import TokenSource
from defender_devops.azure.arm.transport import HttpRequest
from defender_devops.errors import WILL_RETRY, AzureError, AzureUnavailable, InvalidRequest, Throttled
from defender_devops.http_client import NETWORK_ERRORS
from defender_devops.telemetry.context import reconcile_id
from defender_devops.url_paths import url_path

__all__ = ["ArmClient", "ArmRequest", "ArmResponse", "RetryPolicy", "arm_connector_path", "arm_path"]

_MAX_ATTEMPTS: Final = 3
_FIRST_RETRY_DELAY: Final = 0.3
_MAX_RETRY_DELAY: Final = 5.0
"""Seconds: a longer Retry-After is left to the work queue, which does something else meanwhile."""

_ATTEMPT_TIMEOUT: Final = 90.0
_BODY_MAX: Final = 16 * 1024 * 1024
_PAGES_MAX: Final = 1000
_THROTTLED_DELAY: Final = 5.0
"""Seconds to wait after a 429 without Retry-After."""

_UNAUTHORIZED: Final = 401
_REQUEST_TIMEOUT: Final = 408
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500
_URL_CHARACTERS: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")
"""A URL that is percent-encoded (RFC 3986, section 2)."""

_USER_AGENT: Final = "defender-devops-operator"


class RetryPolicy(Enum):
    """When the client may send a request again by itself."""

    ALWAYS = "always"
    """The request is idempotent (GET, PUT, DELETE): also after a failure that leaves open whether it was processed."""

    IF_NOT_PROCESSED = "if not processed"
    """Only where Azure certainly did not process it: it rejected the token (401) or the request rate (429)."""

    NEVER = "never"
    """The request consumes something that exists once, such as a one-time code."""


@dataclass(frozen=True, slots=True)
class ArmRequest:
    """A request without its token.

    Attributes:
        operation: a verb phrase such as `create connector`, for messages and metrics; one of few.
        method: HTTP method.
        path: path with all names quoted (`resource_path` does so).
        api_version: version of the provider's API.
        subscription: subscription whose rate limit it counts against; None for requests outside of subscriptions.
        kind: rate limit that it counts against; follows from the method where None.
        body: JSON; a SecretStr is sent as its value.
        retry: when it may be sent again; follows from the method where None.
        query: further query parameters.
        checks_authorization: whether Azure can deny it because Defender's own authorization does not work.
        link: absolute URL that Azure returned, instead of path, api_version and query. A secret, because it is signed.
    """

    operation: str
    method: str
    path: str = ""
    api_version: str = ""
    subscription: str | None = None
    kind: OperationKind | None = None
    body: Mapping[str, Any] | None = None
    retry: RetryPolicy | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    checks_authorization: bool = False
    link: SecretStr | None = None

    def for_page(self, link: str) -> Self:
        """Return the same request for another page."""
        return replace(self, link=SecretStr(link))

    @property
    def operation_kind(self) -> OperationKind:
        """The rate limit that it counts against."""
        return self.kind or _KINDS.get(self.method, OperationKind.WRITES)

    @property
    def is_from_manifest(self) -> bool:
        """Whether the manifest decides about its content: a write with a body, other than a query."""
        return self.body is not None and self.operation_kind is OperationKind.WRITES

    @property
    def retry_policy(self) -> RetryPolicy:
        """When it may be sent again."""
        return self.retry or (RetryPolicy.ALWAYS if self.method in _IDEMPOTENT else RetryPolicy.IF_NOT_PROCESSED)


_KINDS: Final = {"GET": OperationKind.READS, "DELETE": OperationKind.DELETES}
_IDEMPOTENT: Final = frozenset({"GET", "PUT", "DELETE"})
_CHANGING: Final = frozenset({OperationKind.WRITES, OperationKind.DELETES})


@dataclass(frozen=True, slots=True)
class ArmResponse:
    """A 2xx response.

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
        """The entries of a list's page.

        Raises:
            AzureUnavailable: it is not a list of objects.
        """
        value = self.content.get("value")
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise AzureUnavailable(
                f"The response of Azure is not a list of objects (HTTP {self.status}). {WILL_RETRY}", status=self.status
            )
        return value


def arm_path(*segments: str) -> str:
    """Return a path of these segments, each quoted.

    Raises:
        InvalidRequest: a segment is empty or is a relative one (`.`, `..`).
    """
    if any(segment in ("", ".", "..") for segment in segments):
        raise InvalidRequest(
            f"'{'/'.join(segments)}' is not a valid path in Azure: correct the name that is empty or a dot."
        )
    return url_path(*segments)


def arm_connector_path(ref: ConnectorRef) -> str:
    """Return the path of a connector."""
    return arm_path(*ref.id.strip("/").split("/"))


class ArmClient:
    """Azure Resource Manager with one identity.

    Args:
        session: what all identities share.
        tokens: this identity's tokens.
        principal: tenant and client, the key of its rate limits.
        identity_name: the identity in words, for messages.
    """

    def __init__(self, session: ArmSession, tokens: TokenSource, *, principal: str, identity_name: str) -> None:
        self.principal = principal
        self.identity_name = identity_name
        self._session = session
        self._tokens = tokens
        self._origin = URL(session.endpoint)

    async def send(self, request: ArmRequest) -> ArmResponse:
        """Send a request, again where its retry policy and the failure permit.

        Raises:
            AzureError: Azure refused, failed or did not respond.
            CredentialsError: there is no token.
        """
        url = self._url(request)
        for attempt in range(_MAX_ATTEMPTS - 1):
            try:
                return await self._attempt(request, url)
            except AzureError as error:
                if not self._is_retryable(request, error):
                    raise
                # After a 429 the rate limiter itself waits for Retry-After, for all requests of this kind.
                if error.status != _TOO_MANY_REQUESTS:
                    backoff = _FIRST_RETRY_DELAY * float(1 << attempt)
                    jittered = backoff * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, no secret
                    await self._session.clock.sleep(error.retry_after or jittered)
        return await self._attempt(request, url)

    async def pages(self, request: ArmRequest) -> AsyncIterator[ArmResponse]:
        """Yield the pages of a list.

        Raises:
            AzureError: as `send`; also where there are too many pages, or a link to another host.
            CredentialsError: there is no token.
        """
        links: set[str] = set()
        while True:
            response = await self.send(request)
            yield response
            link = response.content.get("nextLink")
            if not isinstance(link, str | None):
                raise AzureUnavailable(f"A page of the response to {request.operation} has no valid link to the next.")
            if not link:
                return
            if link in links or len(links) >= _PAGES_MAX:
                raise AzureUnavailable(f"The pages of the response to {request.operation} do not end.")
            links.add(link)
            request = request.for_page(link)

    async def values(self, request: ArmRequest) -> list[Mapping[str, Any]]:
        """Return the entries of all pages of a list.

        Raises:
            AzureError: as `pages`.
            CredentialsError: there is no token.
        """
        return [entry async for page in self.pages(request) for entry in page.values]

    async def close(self) -> None:
        """Close the identity's own connections; the session's are shared."""
        await self._tokens.close()

    @staticmethod
    def _is_retryable(request: ArmRequest, error: AzureError) -> bool:
        if error.status == _TOO_MANY_REQUESTS:
            return request.retry_policy is not RetryPolicy.NEVER
        if isinstance(error, Throttled):  # by the operator's own rate limiter: the caller is to come back later
            return False
        transient = error.status is None or error.status >= _SERVER_ERROR or error.status == _REQUEST_TIMEOUT
        soon = error.retry_after is None or error.retry_after <= _MAX_RETRY_DELAY
        return request.retry_policy is RetryPolicy.ALWAYS and isinstance(error, AzureUnavailable) and transient and soon

    async def _attempt(self, request: ArmRequest, url: str) -> ArmResponse:
        token = await self._tokens.current()
        response = await self._exchange(request, url, token)
        if (
            response.status == _UNAUTHORIZED
            and request.retry_policy is not RetryPolicy.NEVER
            # Another token of the same tenant would be rejected as well.
            and parse_error(response.body).code.lower() != "invalidauthenticationtokentenant"
        ):
            token = await self._tokens.replace(token, _claims(response))
            response = await self._exchange(request, url, token)
        if not 200 <= response.status < 300:  # noqa: PLR2004 - the class of HTTP successes
            context = RequestContext(
                request.operation,
                self.identity_name,
                request.subscription,
                from_manifest=request.is_from_manifest,
                checks_authorization=request.checks_authorization,
            )
            raise arm_error_for_response(response, context, self._session.clock.wall())
        return ArmResponse(response.status, response.headers, _json_object(request, response))

    async def _exchange(self, request: ArmRequest, url: str, token: SecretStr) -> HttpResponse:
        """Wait for the rate limiter and a free slot, send, and pass the rate limit headers to the rate limiter."""
        rate_limiter, clock, kind = self._session.rate_limiter, self._session.clock, request.operation_kind
        key = RateLimitKey(self.principal, kind, (request.subscription or "").lower())
        http_request = _http_request(request, url, token)
        async with rate_limiter.request(key), self._session.concurrency:
            if kind in _CHANGING:
                self._session.fence()
            started = clock.monotonic()
            status = None
            try:
                async with asyncio.timeout(_ATTEMPT_TIMEOUT):
                    response = await self._session.http.send(http_request, body_max=_BODY_MAX)
                status = response.status
            # From None: these exceptions hold the request, which holds the token.
            except TimeoutError:
                raise AzureUnavailable(
                    f"Azure ({self._origin.host}) did not respond in time to the request to {request.operation}. "
                    f"{WILL_RETRY}"
                ) from None
            except NETWORK_ERRORS as error:
                raise AzureUnavailable(self._connection_failure(request, error)) from None
            except ValueError as error:  # aiohttp's of control characters in a header, and of a host that IDNA excludes
                raise AzureUnavailable(
                    f"The request to {request.operation} cannot be sent ({type(error).__name__}): the token contains "
                    f"control characters, or {self._origin.host} or the proxy has an invalid host name. {WILL_RETRY} "
                    "If the problem persists, check DEFENDER_DEVOPS_ARM_ENDPOINT, HTTPS_PROXY and where the token "
                    "comes from."
                ) from None
            finally:
                self._session.observe(request.operation, status, clock.monotonic() - started)
        if len(response.body) > _BODY_MAX:
            raise AzureUnavailable(f"The response of Azure is larger than {_BODY_MAX // 1024**2} MiB.", status=status)
        retry_after = arm_retry_after_seconds(response, clock.wall())
        header = response.headers.get(_REMAINING_HEADERS[kind], "")
        remaining = int(header) if re.fullmatch(r"[0-9]{1,9}", header) else None
        if remaining is not None:
            rate_limiter.update_remaining(key, remaining)
        if response.status == _TOO_MANY_REQUESTS:
            rate_limiter.block(key, _THROTTLED_DELAY if retry_after is None else retry_after)
        elif kind is OperationKind.RESOURCE_GRAPH and remaining == 0 and retry_after:
            rate_limiter.block(key, retry_after)
        return response

    def _connection_failure(self, request: ArmRequest, error: Exception) -> str:
        """Return the message of a network error: without the error's own text, which may contain the request."""
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return (
                f"The proxy between the operator and Azure ({self._origin.host}) refused the request to "
                f"{request.operation} with HTTP {error.status}. {WILL_RETRY} If the problem persists, check the user "
                "and password in HTTPS_PROXY, and whether the proxy allows this host."
            )
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            return (
                f"The proxy between the operator and Azure ({self._origin.host}) cannot be reached for the request to "
                f"{request.operation}. {WILL_RETRY} If the problem persists, check the address in HTTPS_PROXY."
            )
        return (
            f"The connection to Azure ({self._origin.host}) failed with {type(error).__name__} during the request to "
            f"{request.operation}. {WILL_RETRY} If the problem persists, check DNS, proxies and network policies."
        )

    def _url(self, request: ArmRequest) -> str:
        """The URL of a request; a link must have the endpoint's origin, or the token would go to another host."""
        if request.link is None:
            query = urlencode({"api-version": request.api_version, **request.query})
            return f"{self._session.endpoint}{request.path}?{query}"
        link = request.link.get_secret_value()
        try:
            # As it is, where it can be: a link may be signed, and yarl replaces escapes that are not needed.
            url = URL(link, encoded=_URL_CHARACTERS.fullmatch(link) is not None)
            is_at_origin = _host_and_port(url) == _host_and_port(self._origin) and not (
                url.raw_user or url.raw_password
            )
        except ValueError:
            is_at_origin = False
        if not is_at_origin:
            raise AzureUnavailable(
                f"The response to {request.operation} has a link to another host than {self._origin.host}, which is "
                "not followed."
            )
        # Of the link only path and query are sent, so that no difference between parsers can choose another host.
        return f"{self._origin.origin()}{url.raw_path_qs}"


_REMAINING_HEADERS: Final = {
    OperationKind.READS: "x-ms-ratelimit-remaining-subscription-reads",
    OperationKind.WRITES: "x-ms-ratelimit-remaining-subscription-writes",
    OperationKind.DELETES: "x-ms-ratelimit-remaining-subscription-deletes",
    OperationKind.RESOURCE_GRAPH: "x-ms-user-quota-remaining",
}


def _host_and_port(url: URL) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port; Azure returns links with other case, and with port 443 (RFC 3986, section 6.2)."""
    return url.scheme, url.raw_host and url.raw_host.lower(), url.port


def _http_request(request: ArmRequest, url: str, token: SecretStr) -> HttpRequest:
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Authorization": f"Bearer {token.get_secret_value()}",
        "User-Agent": _USER_AGENT,
        "x-ms-client-request-id": reconcile_id() or str(uuid.uuid4()),
    }
    content = None
    if request.body is not None:
        headers["Content-Type"] = "application/json"
        content = json.dumps(request.body, default=_secret_value, separators=(",", ":")).encode()
    return HttpRequest(request.method, url, headers, content)


def _secret_value(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _json_object(request: ArmRequest, response: HttpResponse) -> Mapping[str, Any]:
    if not response.body.strip():
        return {}
    try:
        content = json.loads(response.body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise AzureUnavailable(
            f"The response to the request to {request.operation} is not a JSON object. Check the proxies between the "
            "operator and Azure.",
            status=response.status,
        )
    return content


def _claims(response: HttpResponse) -> str | None:
    """The claims of a claims challenge (https://learn.microsoft.com/entra/identity-platform/claims-challenge)."""
    match = re.search(r'claims="([A-Za-z0-9_+/=-]+)"', response.headers.get("www-authenticate", ""))
    if match is None:
        return None
    try:
        return base64.urlsafe_b64decode(match[1].replace("+", "-").replace("/", "_") + "===").decode()
    except (binascii.Error, ValueError):
        return None
