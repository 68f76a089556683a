"""One request to Azure DevOps: headers, rate limit, retries, and the response as a value or an error."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from defender_devops.azuredevops.errors import raise_azure_devops_error
from defender_devops.azuredevops.rate_limiter import RateLimiter
from defender_devops.errors import AzureDevOpsResponseTooLarge, AzureDevOpsUnavailable
from defender_devops.http_client import NETWORK_ERRORS
from defender_devops.settings import Settings

__all__ = [
    "AzureDevOpsClient",
    "Endpoints",
    "RequestObserver",
    "azure_devops_list",
    "ignore_request",
    "quote_path_segment",
]

API_VERSION: Final = "7.1"
_REQUEST_TIMEOUT: Final = 30.0
_MAX_ATTEMPTS: Final = 3
_RETRY_DELAY: Final = 0.5
_RETRYABLE: Final = frozenset({502, 503, 504})
_PAGES_MAX: Final = 1000
"""Pages of 100 projects: more than any organization may have (1,000 projects)."""

RESPONSE_MAX_BYTES: Final = 32 * 1024 * 1024
"""Longest response that is read: far more than a list of all repositories of an organization."""

_CONTINUATION_HEADER: Final = "x-ms-continuationtoken"

RequestObserver = Callable[[str, int | None, float], None]
"""Called after every request with the area of the API, the HTTP status (None: no response), and its duration in
seconds."""


def ignore_request(_area: str, _status: int | None, _seconds: float) -> None:
    """Do nothing: the observer of a client without metrics."""


@dataclass(frozen=True)
class Endpoints:
    """Base URLs of Azure DevOps Services, without a trailing slash."""

    dev_azure: str = "https://dev.azure.com"
    profile: str = "https://app.vssps.visualstudio.com"
    identity: str = "https://vssps.dev.azure.com"
    entitlement: str = "https://vsaex.dev.azure.com"
    extension: str = "https://extmgmt.dev.azure.com"
    search: str = "https://almsearch.dev.azure.com"
    advanced_security: str = "https://advsec.dev.azure.com"

    @classmethod
    def from_settings(cls, settings: Settings) -> Endpoints:
        """Return the endpoints of the operator's settings."""
        urls = (
            settings.azure_devops_endpoint,
            settings.azure_devops_profile_endpoint,
            settings.azure_devops_identity_endpoint,
            settings.azure_devops_entitlement_endpoint,
            settings.azure_devops_extension_endpoint,
            settings.azure_devops_search_endpoint,
            settings.azure_devops_advanced_security_endpoint,
        )
        return cls(*(str(url).rstrip("/") for url in urls))


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that reads.

    Attributes:
        query: parameters of the URL.
        body: JSON of a POST; None for GET.
        accept: media type.
        max_bytes: longest response body, decoded.
    """

    url: str
    query: Mapping[str, str]
    body: Mapping[str, Any] | None = None
    accept: str = "application/json"
    max_bytes: int = RESPONSE_MAX_BYTES


@dataclass(frozen=True)
class AzureDevOpsClient:
    """Azure DevOps with one account. All requests read: the operator changes nothing in Azure DevOps.

    Args:
        http: shared connections, without cookies and redirects.
        endpoints: base URLs.
        token: of the account; None for anonymous requests.
        rate_limiter: of the account, shared by all its clients.
        observe: called after every request.
    """

    http: httpx.AsyncClient
    endpoints: Endpoints
    token: SecretStr | None
    rate_limiter: RateLimiter
    observe: RequestObserver = ignore_request

    async def get(
        self, url: str, params: Mapping[str, str] | None = None, api_version: str | None = API_VERSION
    ) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of a URL.

        Raises:
            AzureDevOpsError: as `errors.raise_azure_devops_error`.
        """
        return parse_json_response(await self._get(url, params or {}, api_version))

    async def get_text(self, url: str, *, max_bytes: int) -> str:
        """Return a text of at most `max_bytes` bytes. Bytes that are not UTF-8 are replaced.

        Raises:
            AzureDevOpsError: as `errors.raise_azure_devops_error`; AzureDevOpsResponseTooLarge.
        """
        request = _Request(url, {"api-version": API_VERSION}, accept="text/plain", max_bytes=max_bytes)
        return (await self._checked(request)).content.decode(errors="replace")

    async def query(self, url: str, body: Mapping[str, Any], api_version: str = API_VERSION) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON that a POST returns which only reads, such as a search.

        Raises:
            AzureDevOpsError: as `errors.raise_azure_devops_error`.
        """
        return parse_json_response(await self._checked(_Request(url, {"api-version": api_version}, body)))

    async def pages(
        self, url: str, params: Mapping[str, str], api_version: str = API_VERSION
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield the `value` of each page of a list with continuation tokens.

        Raises:
            AzureDevOpsError: as `get`; also where the service sends the same token twice.
        """
        tokens = set[str]()
        query = dict(params)
        for _ in range(_PAGES_MAX):
            response = await self._get(url, query, api_version)
            yield azure_devops_list(parse_json_response(response))
            token = response.headers.get(_CONTINUATION_HEADER, "")
            if not token:
                return
            if token in tokens:
                raise AzureDevOpsUnavailable("Azure DevOps returned the same continuation token of a list twice.")
            tokens.add(token)
            query["continuationToken"] = token
        raise AzureDevOpsUnavailable(f"A list of Azure DevOps has more than {_PAGES_MAX} pages.")

    async def headers_of(self, url: str) -> httpx.Headers:
        """Return the headers of a response, also of one that denies access.

        Raises:
            AzureDevOpsNotFound, AzureDevOpsUnavailable: the URL does not exist, or the service failed.
        """
        response = await self._send(_Request(url, {}))
        if response.status_code in {httpx.codes.NOT_FOUND, httpx.codes.TOO_MANY_REQUESTS} or response.is_server_error:
            raise_azure_devops_error(response, self.rate_limiter.delay or None)
        return response.headers

    async def _get(self, url: str, params: Mapping[str, str], api_version: str | None) -> httpx.Response:
        return await self._checked(_Request(url, {**params, **({"api-version": api_version} if api_version else {})}))

    async def _checked(self, request: _Request) -> httpx.Response:
        response = await self._send(request)
        raise_azure_devops_error(response, self.rate_limiter.delay or None)
        return response

    async def _send(self, request: _Request) -> httpx.Response:
        """Send a request; after a cut connection or a gateway error again, because all requests are reads."""
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            is_last = attempt == _MAX_ATTEMPTS
            try:
                response = await self._send_once(request)
            except AzureDevOpsUnavailable:
                # The service demanded a wait, which is too long for a retry here.
                if is_last or self.rate_limiter.delay > 0:
                    raise
            else:
                # With Retry-After, the rate limiter delays the next request instead.
                if is_last or response.status_code not in _RETRYABLE or "Retry-After" in response.headers:
                    return response
            jitter = 0.5 + random.random()  # noqa: S311 - spreads load, no secret
            await self.rate_limiter.sleep(_RETRY_DELAY * attempt * jitter)
        raise AssertionError("the last attempt returns or raises")

    async def _send_once(self, request: _Request) -> httpx.Response:
        # The paths of the REST API are `…/_apis/{area}/{resource}`; the area is one of few, as a metric label must be.
        area = request.url.partition("/_apis/")[2].partition("/")[0]
        async with self.rate_limiter.concurrency:
            await self.rate_limiter.acquire()
            started, status = time.monotonic(), None
            try:
                async with asyncio.timeout(_REQUEST_TIMEOUT), self._open_response(request) as response:
                    status = response.status_code
                    self.rate_limiter.update(response.headers)
                    return await _read(response, request.max_bytes)
            # From None: these exceptions hold the request, which holds the token.
            except TimeoutError:
                raise AzureDevOpsUnavailable("Azure DevOps did not respond in time.") from None
            except NETWORK_ERRORS as error:
                raise AzureDevOpsUnavailable(f"Azure DevOps cannot be reached ({type(error).__name__}).") from None
            finally:
                self.observe(area, status, time.monotonic() - started)

    def _open_response(self, request: _Request) -> AbstractAsyncContextManager[httpx.Response]:
        headers = {"Accept": request.accept, "X-TFS-FedAuthRedirect": "Suppress"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.get_secret_value()}"
        method = "GET" if request.body is None else "POST"
        return self.http.stream(method, request.url, params=dict(request.query), headers=headers, json=request.body)


async def _read(response: httpx.Response, max_bytes: int) -> httpx.Response:
    """Return the response with its decoded body; that of an error is cut.

    Raises:
        AzureDevOpsResponseTooLarge: the body has more than `max_bytes` bytes.
    """
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > max_bytes:
            if not response.is_success:
                break
            raise AzureDevOpsResponseTooLarge(
                f"A response of Azure DevOps has more than {max_bytes} bytes, and is not read."
            )
    headers = [(name, value) for name, value in response.headers.raw if name.lower() != b"content-encoding"]
    return httpx.Response(response.status_code, headers=headers, content=bytes(body))


def parse_json_response(response: httpx.Response) -> Any:  # noqa: ANN401 - JSON
    """Return the body of a successful response; None for one without content.

    Raises:
        AzureDevOpsUnavailable: it is not JSON.
    """
    if response.status_code == httpx.codes.NO_CONTENT:
        return None
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        body = None
    if body is None:  # null, too, is no response to any request
        raise AzureDevOpsUnavailable("The response of Azure DevOps is not JSON.")
    return body


def azure_devops_list(body: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Return the list of objects in a response, which is `{count, value: […]}` mostly and an array in old APIs.

    Raises:
        AzureDevOpsUnavailable: there is no list.
    """
    items = body.get("value") if isinstance(body, dict) else body
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise AzureDevOpsUnavailable("The response of Azure DevOps does not have the requested list.")
    return items


def quote_path_segment(name: str) -> str:
    """Quote a name as one segment of a path: a slash or question mark in it cannot change the URL."""
    return quote(name, safe="")
