"""Sends requests to the services of a tenant, one at a time, and remembers each with its answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import httpx

from acceptance.session.answer import Answer, Exchange, Inconclusive
from acceptance.session.guard import check_request, is_reading
from acceptance.session.tokens import Tokens
from defender_devops.clock import Clock
from defender_devops.http_client import NETWORK_ERRORS, retry_after_seconds

__all__ = ["ARM", "Session"]

ARM: Final = "arm"

_TIMEOUT: Final = httpx.Timeout(connect=10.0, read=60.0, write=30.0, pool=None)
_MAX_BYTES: Final = 16 * 1024 * 1024
_MAX_ATTEMPTS: Final = 4
_MAX_PAGES: Final = 20
_MAX_WAIT: Final = 120.0
"""Seconds that the kit waits after a 429 before it sends a request again."""

_TOO_MANY_REQUESTS: Final = 429
_USER_AGENT: Final = "defender-devops-acceptance"


@dataclass
class Session:
    """The conversation with a tenant.

    Attributes:
        http: connections, without redirects and cookies.
        services: base URL of each service by name, without a trailing slash.
        tokens: where tokens come from.
        clock: time.
        expendable: subscription, group and name of the connector that may be changed; None where nothing may.
        exchanges: all requests with their answers, in their order.
    """

    http: httpx.AsyncClient
    services: Mapping[str, str]
    tokens: Tokens
    clock: Clock = field(default_factory=Clock)
    expendable: tuple[str, str, str] | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    _answers: dict[str, Answer] = field(default_factory=dict)

    async def get(
        self,
        service: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        fresh: bool = False,
        token: str | None = "",
        accept: str = "application/json",
        suppress_redirect: bool = True,
    ) -> Answer:
        """Return the answer to a GET; a repeated request gets the earlier answer.

        Args:
            service: name of the service.
            path: percent-encoded path.
            query: parameters.
            fresh: send it although there is an earlier answer.
            token: None sends none, a text that text in place of the identity's.
            accept: media type.
            suppress_redirect: whether Azure DevOps is requested to answer 401 in place of its sign-in page.

        Raises:
            Inconclusive: there is no answer.
        """
        return await self.send(
            "GET",
            service,
            path,
            query,
            fresh=fresh,
            token=token,
            accept=accept,
            suppress_redirect=suppress_redirect,
        )

    async def send(
        self,
        method: str,
        service: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,  # noqa: ANN401 - JSON
        *,
        fresh: bool = False,
        token: str | None = "",
        accept: str = "application/json",
        suppress_redirect: bool = True,
    ) -> Answer:
        """Send a request; see `get`. A write is never repeated and never answered from an earlier one.

        Raises:
            Inconclusive: there is no answer.
            WriteRefused: it would change something that may not be changed.
        """
        check_request(method, unquote(path), expendable=self.expendable)
        reads = is_reading(method, unquote(path))
        key = json.dumps([method, service, path, query, body, token, accept, suppress_redirect], sort_keys=True)
        if reads and not fresh and key in self._answers:
            return self._answers[key]
        headers = {"Accept": accept, "User-Agent": _USER_AGENT}
        if service != ARM and suppress_redirect:
            headers["X-TFS-FedAuthRedirect"] = "Suppress"
        kind = "identity" if token == "" else "none" if token is None else "invalid"
        if token == "":
            token = await self.tokens.token(ARM if service == ARM else "azureDevOps")
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        url = f"{self.services[service]}{path}" + (f"?{urlencode(query)}" if query else "")
        request = self.http.build_request(method, url, headers=headers, json=body, timeout=_TIMEOUT)
        response = await self._exchange(request, attempts=_MAX_ATTEMPTS if reads else 1)
        answer = Answer(_operation(method, path), response.status_code, _headers(response), response.content)
        self._remember(service, request, body, kind, answer)
        self._answers[key] = answer
        return answer

    async def follow(self, service: str, link: str, *, fresh: bool = True) -> Answer:
        """Return the answer to a GET of a link that the service returned.

        Raises:
            Inconclusive: the link leads to another host, or there is no answer.
        """
        parts, base = urlsplit(link), urlsplit(self.services[service])
        if (parts.scheme, parts.netloc) != (base.scheme, base.netloc):
            raise Inconclusive("a link of the answer leads to another host")
        return await self.get(service, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), fresh=fresh)

    async def arm_pages(self, path: str, query: Mapping[str, str]) -> list[list[dict[str, Any]]]:
        """Return the pages of a list of Resource Manager, at most twenty.

        Raises:
            Inconclusive: a page is none.
        """
        answer = await self.get(ARM, path, query)
        pages = [answer.values()]
        for _ in range(_MAX_PAGES):
            body = answer.json()
            link = body.get("nextLink") if isinstance(body, dict) else None
            if not isinstance(link, str) or not link:
                return pages
            answer = await self.follow(ARM, link, fresh=False)
            pages.append(answer.values())
        return pages

    async def _exchange(self, request: httpx.Request, attempts: int) -> httpx.Response:
        for attempt in range(1, attempts + 1):
            try:
                response = await self.http.send(request, stream=True)
                try:
                    content = bytearray()
                    async for chunk in response.aiter_bytes():
                        content += chunk
                        if len(content) > _MAX_BYTES:
                            raise Inconclusive("the answer is larger than 16 MiB")
                finally:
                    await response.aclose()
            # From None: these exceptions hold the request, which holds the token.
            except NETWORK_ERRORS as error:
                raise Inconclusive(f"no answer ({type(error).__name__})") from None
            headers = [(name, value) for name, value in response.headers.items() if name != "content-encoding"]
            response = httpx.Response(response.status_code, headers=headers, content=bytes(content))
            wait = retry_after_seconds(response.headers.get("Retry-After"), self.clock.wall())
            if response.status_code != _TOO_MANY_REQUESTS or attempt == attempts or (wait or 0) > _MAX_WAIT:
                return response
            await self.clock.sleep(5.0 if wait is None else wait)
        raise AssertionError("the last attempt returns")

    def _remember(self, service: str, request: httpx.Request, body: object, token: str, answer: Answer) -> None:
        self.exchanges.append(
            Exchange(
                service=service,
                method=request.method,
                path=request.url.raw_path.decode().partition("?")[0],
                query=tuple(request.url.params.multi_items()),
                accept=request.headers["Accept"],
                body=body,
                token=token,
                suppresses_redirect="X-TFS-FedAuthRedirect" in request.headers,
                status=answer.status,
                headers=answer.headers,
                content=answer.content,
            )
        )


def _headers(response: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _operation(method: str, path: str) -> str:
    """Return the request in public words: the last segments of the path that are names of the API."""
    names = [segment for segment in path.split("/") if re.fullmatch(r"[a-z][A-Za-z]+", segment) and segment in _PUBLIC]
    return f"{method} {names[-1]}" if names else method


_PUBLIC: Final = frozenset(
    {
        "securityConnectors",
        "devops",
        "azureDevOpsOrgs",
        "projects",
        "repos",
        "listAvailableAzureDevOpsOrgs",
        "resources",
        "pricings",
        "assessments",
        "healthReports",
        "roleAssignments",
        "roleDefinitions",
        "endpoints",
        "connectionData",
        "accounts",
        "definitions",
        "builds",
        "logs",
        "artifacts",
        "timeline",
        "enablement",
        "codesearchresults",
        "repositories",
        "installedextensions",
        "identities",
        "operationResults",
    }
)
