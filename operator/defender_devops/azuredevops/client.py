"""HTTP to Azure DevOps: one request, its headers, its turn, and its answer made into values or errors."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from defender_devops.azuredevops.errors import json_object, raise_for_failure
from defender_devops.azuredevops.rate_limiter import RateLimiter
from defender_devops.errors import AzureDevOpsUnavailable
from defender_devops.http_client import NETWORK_ERRORS
from defender_devops.settings import Settings

__all__ = ["AzureDevOpsClient", "Endpoints", "RequestObserver", "ignore_request", "list_items", "path_segment"]

API_VERSION: Final = "7.1"
_REQUEST_SECONDS: Final = 30.0
_ATTEMPTS: Final = 3
_RETRY_SECONDS: Final = 0.5
_REPEATABLE: Final = frozenset({502, 503, 504})
_PAGES_MAX: Final = 1000
"""Pages of 100 projects: more than any organization may have (1,000 projects)."""

_CONTINUATION: Final = "x-ms-continuationtoken"

RequestObserver = Callable[[str, int | None, float], None]
"""Told of every request: the area of the API, the HTTP status (None: no answer came), seconds it took."""


def ignore_request(_area: str, _status: int | None, _seconds: float) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Endpoints:
    """Hosts of Azure DevOps Services, without a slash at the end."""

    dev_azure: str = "https://dev.azure.com"
    profile: str = "https://app.vssps.visualstudio.com"
    identity: str = "https://vssps.dev.azure.com"
    entitlement: str = "https://vsaex.dev.azure.com"
    extension: str = "https://extmgmt.dev.azure.com"

    @classmethod
    def of(cls, settings: Settings) -> Endpoints:
        """As the operator is set up."""
        urls = (
            settings.azure_devops_endpoint,
            settings.azure_devops_profile_endpoint,
            settings.azure_devops_identity_endpoint,
            settings.azure_devops_entitlement_endpoint,
            settings.azure_devops_extension_endpoint,
        )
        return cls(*(str(url).rstrip("/") for url in urls))


@dataclass(frozen=True)
class AzureDevOpsClient:
    """Asks Azure DevOps as one account. Only GETs: the operator changes nothing there.

    Args:
        http: shared connections, without cookies and redirects.
        endpoints: hosts.
        token: of the account; None asks as nobody.
        pace: of the account, shared by all its clients.
        observe: told of every request.
    """

    http: httpx.AsyncClient
    endpoints: Endpoints
    token: SecretStr | None
    pace: RateLimiter
    observe: RequestObserver = ignore_request

    async def get(
        self, url: str, params: Mapping[str, str] | None = None, api_version: str | None = API_VERSION
    ) -> Any:  # noqa: ANN401 - JSON
        """The JSON that an address gives.

        Raises:
            AzureDevOpsError: as `answers.raise_for_failure`.
        """
        return json_object(await self._answer(url, params or {}, api_version))

    async def pages(
        self, url: str, params: Mapping[str, str], api_version: str = API_VERSION
    ) -> AsyncIterator[list[Any]]:
        """The `value` of each page of a list that goes on by continuation tokens.

        Raises:
            AzureDevOpsError: as `get`; also where the service sends the same token twice.
        """
        seen = set[str]()
        query = dict(params)
        for _ in range(_PAGES_MAX):
            response = await self._answer(url, query, api_version)
            yield list_items(json_object(response))
            token = response.headers.get(_CONTINUATION, "")
            if not token:
                return
            if token in seen:
                raise AzureDevOpsUnavailable("Azure DevOps sends the same page of a list again and again.")
            seen.add(token)
            query["continuationToken"] = token
        raise AzureDevOpsUnavailable(f"A list of Azure DevOps has more than {_PAGES_MAX} pages.")

    async def headers_of(self, url: str) -> httpx.Headers:
        """Headers of an answer whatever it says, unless it is that there is nothing or that the service fails.

        Raises:
            AzureDevOpsNotFound, AzureDevOpsUnavailable: as they are called.
        """
        response = await self._send(url, {})
        if response.status_code in {httpx.codes.NOT_FOUND, httpx.codes.TOO_MANY_REQUESTS} or response.is_server_error:
            raise_for_failure(response, self.pace.wait or None)
        return response.headers

    async def _answer(self, url: str, params: Mapping[str, str], api_version: str | None) -> httpx.Response:
        query = {**params, **({"api-version": api_version} if api_version else {})}
        response = await self._send(url, query)
        raise_for_failure(response, self.pace.wait or None)
        return response

    async def _send(self, url: str, query: Mapping[str, str]) -> httpx.Response:
        """Send it in its turn; a cut connection or a gateway's hiccup is tried again, as nothing but reads are sent."""
        for attempt in range(1, _ATTEMPTS + 1):
            last = attempt == _ATTEMPTS
            try:
                response = await self._once(url, query)
            except AzureDevOpsUnavailable:
                if last or self.pace.wait > 0:
                    raise
            else:
                if last or response.status_code not in _REPEATABLE or "Retry-After" in response.headers:
                    return response
            await self.pace.sleep(_RETRY_SECONDS * attempt * (0.5 + random.random()))  # noqa: S311 - jitter, no secret
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, url: str, query: Mapping[str, str]) -> httpx.Response:
        async with self.pace.places:
            await self.pace.turn()
            started, status = time.monotonic(), None
            try:
                async with asyncio.timeout(_REQUEST_SECONDS):
                    response = await self.http.get(url, params=dict(query), headers=self._headers())
                status = response.status_code
            except TimeoutError:
                raise AzureDevOpsUnavailable("Azure DevOps gave no answer in time.") from None
            except NETWORK_ERRORS as error:
                raise AzureDevOpsUnavailable(f"Azure DevOps cannot be reached ({type(error).__name__}).") from None
            finally:
                self.observe(_area(url), status, time.monotonic() - started)
            self.pace.note(response.headers)
            return response

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "X-TFS-FedAuthRedirect": "Suppress"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.get_secret_value()}"
        return headers


def _area(url: str) -> str:
    """What the paths of Azure DevOps' REST API name first (`…/_apis/{area}/{resource}`): one of few."""
    return url.partition("/_apis/")[2].partition("/")[0]


def list_items(body: Any) -> list[Any]:  # noqa: ANN401 - JSON
    """The list in an answer, which is `{count, value: […]}` nearly everywhere and a bare array in old places.

    Raises:
        AzureDevOpsUnavailable: there is no list.
    """
    found = body.get("value") if isinstance(body, dict) else body
    if not isinstance(found, list):
        raise AzureDevOpsUnavailable("Azure DevOps answered without the list that was asked for.")
    return found


def path_segment(name: str) -> str:
    """A name as one part of a path: a slash or question mark in it cannot lead elsewhere."""
    return quote(name, safe="")
